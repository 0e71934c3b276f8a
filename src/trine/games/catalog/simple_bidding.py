"""Simple Bidding(N) (Tian et al. 2020, Definition 2)."""

from __future__ import annotations

import numpy as np

from trine.games.game import TERMINAL, Deals

PASS = 0


class SimpleBidding:
    """Two players bid up to the largest power of two that their hidden cards add up to.

    Cards are independent and uniform in 0..N-1. Bid b is worth 2^(b-1). Player 1 opens and must
    bid; then players in turn pass (which ends the game) or bid higher. The last bid's worth is
    paid if it does not exceed the sum of the cards, else nothing.

    Args:
      size: `N`, number of cards of each player.
    """

    num_players = 2

    def __init__(self, size: int) -> None:
        self.name = f"simple-bidding:{size}"
        self.cards = size
        # The top bid is the largest power of two not above 2(N-1).
        self.top_bid = (size - 1).bit_length() + 1
        if 2 ** (self.top_bid - 1) > 2 * (size - 1):
            self.top_bid -= 1
        self.num_states = 1 + size**2 * (2 ** (self.top_bid + 1) - 1)

    def deals(self) -> Deals:
        """All pairs of cards, equally likely."""
        cards = np.indices((self.cards, self.cards)).reshape(2, -1).T
        return Deals(cards, np.full(self.cards**2, 1 / self.cards**2))

    def start(self) -> tuple[int, ...]:
        """A public state is the tuple of calls so far; 0 is pass."""
        return ()

    def player(self, public_state: tuple[int, ...]) -> int:
        """Players alternate until somebody passes."""
        if public_state and public_state[-1] == PASS:
            return TERMINAL
        return len(public_state) % 2

    def actions(self, public_state: tuple[int, ...]) -> list[int]:
        """Pass (not at the first turn) or a higher bid."""
        if not public_state:
            return list(range(1, self.top_bid + 1))
        return [PASS, *range(public_state[-1] + 1, self.top_bid + 1)]

    def apply(self, public_state: tuple[int, ...], action: int) -> tuple[int, ...]:
        """Append the call."""
        return (*public_state, action)

    def payoff(self, public_state: tuple[int, ...], cards: np.ndarray) -> np.ndarray:
        """`[K]` worth of the last bid where the cards reach it, else 0."""
        worth = 2.0 ** (public_state[-2] - 1)
        return np.where(worth <= cards.sum(axis=1), worth, 0.0)
