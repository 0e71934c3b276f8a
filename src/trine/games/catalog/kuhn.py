"""Kuhn poker (Kuhn 1950): three cards, one bet. Value to player 1: -1/18."""

from __future__ import annotations

import numpy as np

from trine.games.game import TERMINAL, Deals

PASS, BET = "pass", "bet"
_OVER = {("pass", "pass"), ("pass", "bet", "pass"), ("pass", "bet", "bet")} | {
    ("bet", "pass"),
    ("bet", "bet"),
}


class Kuhn:
    """Each player antes 1 and holds one of three cards; one bet of 1 is allowed."""

    name = "kuhn"
    num_players = 2
    num_states = 55

    def deals(self) -> Deals:
        """Six equally likely pairs of different cards."""
        cards = np.array([(i, j) for i in range(3) for j in range(3) if i != j])
        return Deals(cards, np.full(6, 1 / 6))

    def card_label(self, player: int, card: int) -> str:
        """Jack, queen or king."""
        return "JQK"[card]

    def start(self) -> tuple[str, ...]:
        """A public state is the tuple of actions so far."""
        return ()

    def player(self, public_state: tuple[str, ...]) -> int:
        """Players alternate until the betting is over."""
        return TERMINAL if public_state in _OVER else len(public_state) % 2

    def actions(self, public_state: tuple[str, ...]) -> list[str]:
        """Pass (check, fold) or bet (call)."""
        return [PASS, BET]

    def apply(self, public_state: tuple[str, ...], action: str) -> tuple[str, ...]:
        """Append the action."""
        return (*public_state, action)

    def payoff(self, public_state: tuple[str, ...], cards: np.ndarray) -> np.ndarray:
        """`[K, 2]` chips won by each player."""
        first_wins = np.where(cards[:, 0] > cards[:, 1], 1.0, -1.0)
        if public_state == (BET, PASS):
            won = np.ones(len(cards))
        elif public_state == (PASS, BET, PASS):
            won = -np.ones(len(cards))
        else:
            won = first_wins * (2 if public_state[-1] == BET else 1)
        return np.stack([won, -won], axis=1)
