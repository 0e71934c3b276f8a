"""Mini-Hanabi: the two-step matrix game of the BAD paper (Foerster et al. 2019)."""

from __future__ import annotations

import numpy as np

from trine.games.game import TERMINAL, Deals

PAYOFF = np.array(
    [
        [[[10, 0, 0], [4, 8, 4], [10, 0, 0]], [[0, 0, 10], [4, 8, 4], [0, 0, 10]]],
        [[[0, 0, 10], [4, 8, 4], [0, 0, 0]], [[10, 0, 0], [4, 8, 4], [10, 0, 0]]],
    ],
    dtype=np.float64,
)
"""`[card 1, card 2, action 1, action 2]`; equal to OpenSpiel's default `tiny_hanabi`. The row of
zeros at card 1 = 1, card 2 = 0 is not a misprint."""


class MiniHanabi:
    """Each player holds one of two cards and plays one of three actions, player 1 first."""

    name = "mini-hanabi"
    num_players = 2
    num_states = 53

    def deals(self) -> Deals:
        """Four equally likely deals."""
        cards = np.indices((2, 2)).reshape(2, -1).T
        return Deals(cards, np.full(4, 0.25))

    def start(self) -> tuple[int, ...]:
        """A public state is the tuple of actions so far."""
        return ()

    def player(self, public_state: tuple[int, ...]) -> int:
        """Player 1, then player 2."""
        return len(public_state) if len(public_state) < 2 else TERMINAL

    def actions(self, public_state: tuple[int, ...]) -> range:
        """Three actions for each."""
        return range(3)

    def apply(self, public_state: tuple[int, ...], action: int) -> tuple[int, ...]:
        """Append the action."""
        return (*public_state, action)

    def payoff(self, public_state: tuple[int, ...], cards: np.ndarray) -> np.ndarray:
        """`[K]` shared payoff."""
        return PAYOFF[cards[:, 0], cards[:, 1], public_state[0], public_state[1]]
