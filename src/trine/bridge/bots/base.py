"""What a bidder sees and what it answers: a batch of observations in, one call for each out.

A bot needs one method, `calls`. One more is optional, and others ask for it by protocol:
`probabilities` (a stochastic policy; alternatives are shown and hands are weighted by it).

Shapes: `n` positions, `t` calls of the longest auction among them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from trine.bridge.calls import DOUBLE, PASS, REDOUBLE

__all__ = ["CALLS", "NO_CALL", "Bot", "Observations", "PolicyBot", "Public"]

CALLS = 38
"""Number of different calls: 35 bids, pass, double, redouble."""

NO_CALL = -1
"""What pads a shorter auction at its end."""


@dataclass(frozen=True, slots=True)
class Public:
    """What stands on the table after the calls so far.

    Attributes:
      length: `[n]` number of calls.
      bid: `[n]` the last bid 0..34, or -1.
      bidder: `[n]` the seat that made it, or -1.
      doubled: `[n]` 0 undoubled, 1 doubled, 2 redoubled.
      declarer: `[n]` the first of the bidder's side to have named its strain, or -1.
      over: `[n]` whether the auction is finished.
    """

    length: NDArray[np.int64]
    bid: NDArray[np.int64]
    bidder: NDArray[np.int64]
    doubled: NDArray[np.int64]
    declarer: NDArray[np.int64]
    over: NDArray[np.bool_]

    @classmethod
    def of(cls, calls: NDArray[np.integer], dealer: NDArray[np.integer]) -> "Public":
        """Reads `[n, t]` calls from the left, all rows at once.

        Args:
          calls: `[n, t]`, legal, each row padded at its end with -1.
          dealer: `[n]` 0..3.
        """
        n = len(calls)
        rows = np.arange(n)
        bid, bidder, declarer = (np.full(n, -1) for _ in range(3))
        length, doubled, passes = (np.zeros(n, np.int64) for _ in range(3))
        first = np.full((n, 2, 5), -1)  # side, strain -> the seat that named it first
        for place in range(calls.shape[1]):
            call = calls[:, place].astype(np.int64)
            seat = (dealer + place) % 4
            is_bid = (call >= 0) & (call < PASS)
            length += call >= 0
            passes = np.where(call == PASS, passes + 1, np.where(call >= 0, 0, passes))
            doubled = np.where(is_bid, 0, doubled)
            doubled = np.where(call == DOUBLE, 1, np.where(call == REDOUBLE, 2, doubled))
            bid, bidder = np.where(is_bid, call, bid), np.where(is_bid, seat, bidder)
            side, strain = seat % 2, np.where(is_bid, call, 0) % 5
            named = first[rows, side, strain]
            named = np.where(is_bid & (named < 0), seat, named)
            first[rows, side, strain] = named
            declarer = np.where(is_bid, named, declarer)
        over = np.where(bid >= 0, passes >= 3, passes >= 4)
        return cls(length, bid, bidder, doubled, declarer, over)

    def legal(self, seat: NDArray[np.integer]) -> NDArray[np.bool_]:
        """`[n, 38]` which calls the seat to call may make (Law 18, Law 19)."""
        bids = np.arange(PASS)[None, :] > self.bid[:, None]
        theirs = (self.bid >= 0) & ((self.bidder - seat) % 2 == 1)
        ours = (self.bid >= 0) & ~theirs
        legal = np.empty((len(self.bid), CALLS), np.bool_)
        legal[:, :PASS] = bids
        legal[:, PASS] = True
        legal[:, DOUBLE] = theirs & (self.doubled == 0)
        legal[:, REDOUBLE] = ours & (self.doubled == 1)
        return legal


@dataclass(frozen=True)
class Observations:
    """A batch of positions, each as the seat to call sees it.

    Attributes:
      hands: `[n, 52]` bool, own cards, card index = suit (C D H S) * 13 + rank (2..A).
      dealer: `[n]` 0..3 = N E S W.
      seat: `[n]` the seat to call.
      vulnerability: `[n]` bit 0 = N/S, bit 1 = E/W.
      calls: `[n, t]` int8, the calls from the dealer on, padded at the end with -1.
    """

    hands: NDArray[np.bool_]
    dealer: NDArray[np.int64]
    seat: NDArray[np.int64]
    vulnerability: NDArray[np.int64]
    calls: NDArray[np.int8]
    known: Public | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        n = len(self.hands)
        shapes = {a.shape for a in (self.dealer, self.seat, self.vulnerability)}
        assert self.hands.shape == (n, 52) and shapes == {(n,)} and len(self.calls) == n

    def __len__(self) -> int:
        return len(self.hands)

    @cached_property
    def public(self) -> Public:
        """What stands on the table."""
        return self.known if self.known is not None else Public.of(self.calls, self.dealer)

    @cached_property
    def legal(self) -> NDArray[np.bool_]:
        """`[n, 38]` which calls are legal."""
        return self.public.legal(self.seat)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "Observations":
        """Some of the positions, in the given order."""
        return Observations(
            self.hands[rows],
            self.dealer[rows],
            self.seat[rows],
            self.vulnerability[rows],
            self.calls[rows],
        )

    @classmethod
    def same_auction(
        cls,
        hands: NDArray[np.bool_],
        calls: Sequence[int],
        dealer: int,
        vulnerability: int,
    ) -> "Observations":
        """Several hands `[n, 52]` in the place of the seat whose turn it is after `calls`."""
        n = len(hands)
        return cls(
            hands,
            np.full(n, dealer),
            np.full(n, (dealer + len(calls)) % 4),
            np.full(n, vulnerability),
            np.tile(np.array(calls, np.int8).reshape(1, -1), (n, 1)),
        )


@runtime_checkable
class Bot(Protocol):
    """A bidder: all four seats, any batch; keeps nothing between calls that a deal depends on."""

    name: str

    def calls(self, observations: Observations) -> NDArray[np.int64]:
        """`[n]` legal calls 0..37."""
        ...


@runtime_checkable
class PolicyBot(Bot, Protocol):
    """A bidder with a probability for each call."""

    def probabilities(self, observations: Observations) -> NDArray[np.float64]:
        """`[n, 38]`, 0 for illegal calls, rows sum to 1."""
        ...
