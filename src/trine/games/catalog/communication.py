"""Comm(L), Simple Communication (Tian et al. 2020, Definition 1)."""

from __future__ import annotations

import numpy as np

from trine.games.game import TERMINAL, Deals

Public = tuple[tuple[int, ...], int | None]


class Communication:
    """Player 1 sees a number below 2^L and sends L bits; player 2 sees the bits and names it.

    Payoff 1 if right, else 0. The binary code earns 1, its optimum; from a bad code no single
    player can do better alone, which is what joint search is for.

    Args:
      size: `L`, number of bits.
    """

    num_players = 2

    def __init__(self, size: int) -> None:
        self.name = f"comm:{size}"
        self.bits = size
        self.numbers = 2**size
        self.num_states = 1 + self.numbers * (2 * self.numbers - 1 + self.numbers**2)

    def deals(self) -> Deals:
        """One deal per number; player 2 holds nothing (one type)."""
        cards = np.stack([np.arange(self.numbers), np.zeros(self.numbers, dtype=int)], axis=1)
        return Deals(cards, np.full(self.numbers, 1 / self.numbers))

    def start(self) -> Public:
        """A public state is (bits sent, number named)."""
        return (), None

    def player(self, public_state: Public) -> int:
        """Player 1 until all bits are sent, then player 2 once."""
        bits, named = public_state
        if named is not None:
            return TERMINAL
        return 0 if len(bits) < self.bits else 1

    def actions(self, public_state: Public) -> range:
        """A bit, or a number."""
        return range(2) if len(public_state[0]) < self.bits else range(self.numbers)

    def apply(self, public_state: Public, action: int) -> Public:
        """Send a bit or name a number."""
        bits, _ = public_state
        return ((*bits, action), None) if len(bits) < self.bits else (bits, action)

    def payoff(self, public_state: Public, cards: np.ndarray) -> np.ndarray:
        """`[K]` 1 where player 2 named the number of player 1."""
        return (cards[:, 0] == public_state[1]).astype(np.float64)
