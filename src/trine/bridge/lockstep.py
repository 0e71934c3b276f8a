"""Thousands of auctions in lock-step on torch tensors: the engine of self-play.

`N` auctions are one object; every operation works on all of them and returns a new object, so that
a search can branch from a state and come back to it. No loop over boards.

Rules: Laws of Duplicate Bridge 17 to 22 (turn, sufficient bid, double, redouble, end, declarer).
Calls: 0..34 = 1C 1D 1H 1S 1N .. 7N, 35 pass, 36 double, 37 redouble.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from trine.bridge.calls import DOUBLE, NUM_BIDS, NUM_CALLS, PASS, REDOUBLE

__all__ = ["LockstepAuctions"]


@dataclass(frozen=True, slots=True)
class LockstepAuctions:
    """`N` auctions under way. What was never bid is -1.

    Attributes:
      dealer: `[N]` seats.
      vulnerability: `[N]` bits, 1 North-South, 2 East-West.
      turn: `[N]` seat to call.
      bid: `[N]` standing bid 0..34.
      side: `[N]` side that made it, 0 North-South.
      doubled: `[N]` 0, 1 doubled, 2 redoubled.
      passes: `[N]` passes since the last other call.
      first: `[N, 10]` first seat of each side (major) to name each strain.
      made: `[N, 35, 3, 4]` for each bid, who bid, doubled and redoubled it (seats).
      passed: `[N, 4]` who passed before any bid.
    """

    dealer: Tensor
    vulnerability: Tensor
    turn: Tensor
    bid: Tensor
    side: Tensor
    doubled: Tensor
    passes: Tensor
    first: Tensor
    made: Tensor
    passed: Tensor

    @classmethod
    def start(cls, dealer: Tensor, vulnerability: Tensor) -> LockstepAuctions:
        """Before the first call, dealers and vulnerabilities `[N]`."""
        count, device = len(dealer), dealer.device
        none = torch.full((count,), -1, device=device)
        return cls(
            dealer=dealer.long(),
            vulnerability=vulnerability.long(),
            turn=dealer.long(),
            bid=none,
            side=none,
            doubled=torch.zeros_like(none),
            passes=torch.zeros_like(none),
            first=torch.full((count, 10), -1, dtype=torch.int8, device=device),
            made=torch.zeros((count, NUM_BIDS, 3, 4), dtype=torch.bool, device=device),
            passed=torch.zeros((count, 4), dtype=torch.bool, device=device),
        )

    def select(self, rows: Tensor) -> LockstepAuctions:
        """Some of them, by index (which may repeat) or mask."""
        return LockstepAuctions(*(getattr(self, field.name)[rows] for field in fields(self)))

    def legal(self) -> Tensor:
        """`[N, 38]` which calls the seat to call may make."""
        device = self.bid.device
        theirs = (self.bid >= 0) & (self.side != self.turn % 2)
        ours = (self.bid >= 0) & ~theirs
        legal = torch.ones((len(self.bid), NUM_CALLS), dtype=torch.bool, device=device)
        legal[:, :NUM_BIDS] = torch.arange(NUM_BIDS, device=device) > self.bid[:, None]
        legal[:, DOUBLE] = theirs & (self.doubled == 0)
        legal[:, REDOUBLE] = ours & (self.doubled == 1)
        return legal

    def after(self, calls: Tensor) -> LockstepAuctions:
        """The auctions after one more legal call each, `[N]`; this object is not changed."""
        is_bid = calls < NUM_BIDS
        bid = torch.where(is_bid, calls, self.bid)
        kind = torch.where(is_bid, 0, calls - PASS)  # 0 bid, 1 double, 2 redouble
        made, passed, first = self.made.clone(), self.passed.clone(), self.first.clone()
        rows = (calls != PASS).nonzero()[:, 0]
        made[rows, bid[rows], kind[rows], self.turn[rows]] = True
        rows = ((calls == PASS) & (self.bid < 0)).nonzero()[:, 0]
        passed[rows, self.turn[rows]] = True
        place = self.turn % 2 * 5 + bid.clamp_min(0) % 5
        named = first.gather(1, place[:, None])[:, 0]
        rows = (is_bid & (named < 0)).nonzero()[:, 0]
        first[rows, place[rows]] = self.turn[rows].to(torch.int8)
        doubled = torch.where(is_bid, 0, torch.where(calls == PASS, self.doubled, kind))
        return LockstepAuctions(
            dealer=self.dealer,
            vulnerability=self.vulnerability,
            turn=(self.turn + 1) % 4,
            bid=bid,
            side=torch.where(is_bid, self.turn % 2, self.side),
            doubled=doubled,
            passes=torch.where(calls == PASS, self.passes + 1, 0),
            first=first,
            made=made,
            passed=passed,
        )

    @property
    def done(self) -> Tensor:
        """`[N]` whether it is over: three passes after a bid, or four without one."""
        return self.passes >= torch.where(self.bid >= 0, 3, 4)

    @property
    def declarer(self) -> Tensor:
        """`[N]` first of the bidding side to have named the strain; 0 where nobody has bid."""
        place = self.side.clamp_min(0) * 5 + self.bid.clamp_min(0) % 5
        return self.first.gather(1, place[:, None])[:, 0].long().clamp_min(0)
