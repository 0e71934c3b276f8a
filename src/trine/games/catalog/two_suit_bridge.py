"""2-Suit Mini-Bridge(N) (Tian et al. 2020, Definition 3)."""

from __future__ import annotations

import numpy as np

from trine.games.game import TERMINAL, Deals

PASS = 0


class TwoSuitBridge:
    """Two partners with N cards each in hearts and spades bid to the highest makeable contract.

    A hand is its number of hearts, independent and uniform in 0..N; the rest are spades. Bids in
    order: 1H 1S 2H 2S ... NH NS. A pass ends the auction, except at the very first turn. Level l in
    a suit makes if both hands hold at least N + l cards of it: payoff 2^(l-1), else -1; passed
    out: 0.

    Args:
      size: `N`, number of cards in a hand.
    """

    num_players = 2

    def __init__(self, size: int) -> None:
        self.name = f"two-suit-bridge:{size}"
        self.hand_size = size
        self.top_bid = 2 * size
        self.num_states = 1 + (size + 1) ** 2 * (2 ** (2 * size + 2) - 1)

    def deals(self) -> Deals:
        """All pairs of heart counts, equally likely."""
        hands = self.hand_size + 1
        return Deals(np.indices((hands, hands)).reshape(2, -1).T, np.full(hands**2, 1 / hands**2))

    def start(self) -> tuple[int, ...]:
        """A public state is the tuple of calls so far; 0 is pass."""
        return ()

    def player(self, public_state: tuple[int, ...]) -> int:
        """Players alternate until a pass that is not the first call."""
        if len(public_state) > 1 and public_state[-1] == PASS:
            return TERMINAL
        return len(public_state) % 2

    def actions(self, public_state: tuple[int, ...]) -> list[int]:
        """Pass or a higher bid."""
        highest = public_state[-1] if public_state else 0
        return [PASS, *range(highest + 1, self.top_bid + 1)]

    def apply(self, public_state: tuple[int, ...], action: int) -> tuple[int, ...]:
        """Append the call."""
        return (*public_state, action)

    def payoff(self, public_state: tuple[int, ...], cards: np.ndarray) -> np.ndarray:
        """`[K]` payoff of the last bid."""
        bid = public_state[-2]
        if bid == PASS:
            return np.zeros(len(cards))
        hearts = cards.sum(axis=1)
        level = (bid + 1) // 2
        trumps = hearts if bid % 2 == 1 else 2 * self.hand_size - hearts
        return np.where(trumps >= self.hand_size + level, 2.0 ** (level - 1), -1.0)
