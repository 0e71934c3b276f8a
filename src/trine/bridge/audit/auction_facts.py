"""What measures ask of auctions, for thousands at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trine.bridge.calls import PASS

__all__ = ["AuctionFacts"]


@dataclass(frozen=True, slots=True)
class AuctionFacts:
    """Of `n` auctions; places count from the dealer's call 0, and -1 stands for never.

    Attributes:
      calls: `[n, t]`, padded with -1.
      dealer: `[n]` seats.
      length: `[n]` number of calls.
      opening: `[n]` place of the first bid.
      final: `[n]` place of the last bid.
      last_bid: `[n, 2]` highest bid of each side.
      first_place: `[n, 2, 5]` where each side first named each strain.
    """

    calls: NDArray[np.int64]
    dealer: NDArray[np.int64]
    length: NDArray[np.int64]
    opening: NDArray[np.int64]
    final: NDArray[np.int64]
    last_bid: NDArray[np.int64]
    first_place: NDArray[np.int64]

    @classmethod
    def of(cls, calls: NDArray[np.integer], dealer: NDArray[np.integer]) -> AuctionFacts:
        """Reads `[n, t]` calls."""
        wide = calls.astype(np.int64)
        n, rows = len(wide), np.arange(len(wide))
        opening, final = np.full(n, -1), np.full(n, -1)
        last_bid, first_place = np.full((n, 2), -1), np.full((n, 2, 5), -1)
        for place in range(wide.shape[1]):
            call = wide[:, place]
            is_bid = (call >= 0) & (call < PASS)
            side, strain = (dealer + place) % 2, np.where(is_bid, call, 0) % 5
            opening = np.where(is_bid & (opening < 0), place, opening)
            final = np.where(is_bid, place, final)
            last_bid[rows, side] = np.where(is_bid, call, last_bid[rows, side])
            named = first_place[rows, side, strain]
            first_place[rows, side, strain] = np.where(is_bid & (named < 0), place, named)
        length = (wide >= 0).sum(1)
        return cls(wide, dealer.astype(np.int64), length, opening, final, last_bid, first_place)

    def at(self, place: NDArray[np.int64]) -> NDArray[np.int64]:
        """`[n]` the call at a place of each auction; -1 outside of it."""
        inside = (place >= 0) & (place < self.calls.shape[1])
        found = np.take_along_axis(self.calls, np.where(inside, place, 0)[:, None], axis=1)[:, 0]
        return np.where(inside, found, -1)

    def after_opening(self, step: int) -> NDArray[np.int64]:
        """`[n]` the call so many places after the opening bid; -1 if there is none."""
        return np.where(self.opening >= 0, self.at(self.opening + step), -1)

    @property
    def opening_side(self) -> NDArray[np.int64]:
        """`[n]` side of the first bid, -1."""
        return np.where(self.opening >= 0, (self.dealer + self.opening) % 2, -1)
