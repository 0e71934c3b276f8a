"""Thousands of auctions in lock-step on torch tensors: the engine of self-play.

`N` auctions are one object; every operation works on all of them and returns a new object, so that
a search can branch from a state and come back to it. No loop over boards.

Rules: Laws of Duplicate Bridge 17 to 22 (turn, sufficient bid, double, redouble, end, declarer).
Calls: 0..34 = 1C 1D 1H 1S 1N .. 7N, 35 pass, 36 double, 37 redouble.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache

import torch
from torch import Tensor

from trine.bridge.calls import DOUBLE, NUM_BIDS, NUM_CALLS, PASS, REDOUBLE

__all__ = ["HISTORY", "LockstepAuctions"]

HISTORY = 4 + NUM_BIDS * 3 * 4
"""Numbers of an auction's history: who passed first, who bid, doubled and redoubled each bid."""


@cache
def _legal_calls(device: torch.device) -> Tensor:
    """`[36 * 3, 38]` by standing bid (none first), then neither, double or redouble legal."""
    rows = torch.arange(-1, NUM_BIDS)
    legal = torch.zeros((NUM_BIDS + 1, 3, NUM_CALLS), dtype=torch.bool)
    legal[:, :, :NUM_BIDS] = (torch.arange(NUM_BIDS) > rows[:, None])[:, None]
    legal[:, :, PASS] = True
    legal[:, 1, DOUBLE] = True
    legal[:, 2, REDOUBLE] = True
    return legal.flatten(0, 1).to(device)


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
      history: `[N, 424]` uint8 zeros and ones, four seats each: who passed before any bid; then for
        each bid who bid, doubled and redoubled it.
    """

    dealer: Tensor
    vulnerability: Tensor
    turn: Tensor
    bid: Tensor
    side: Tensor
    doubled: Tensor
    passes: Tensor
    first: Tensor
    history: Tensor

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
            history=torch.zeros((count, HISTORY), dtype=torch.uint8, device=device),
        )

    def select(self, rows: Tensor) -> LockstepAuctions:
        """Some of them, by index (which may repeat) or mask."""
        if rows.dtype == torch.bool:
            rows = rows.nonzero()[:, 0]
        # Copies whole rows, which indexing with [] does number by number.
        return LockstepAuctions(
            *(getattr(self, field.name).index_select(0, rows) for field in fields(self))
        )

    def legal(self) -> Tensor:
        """`[N, 38]` which calls the seat to call may make."""
        ours = self.side == self.turn % 2
        # 0: neither double nor redouble, 1: double, 2: redouble.
        more = torch.where(self.doubled == 0, (~ours).long(), 2 * ((self.doubled == 1) & ours))
        more = torch.where(self.bid >= 0, more, 0)
        return _legal_calls(self.bid.device).index_select(0, (self.bid + 1) * 3 + more)

    def after(self, calls: Tensor) -> LockstepAuctions:
        """The auctions after one more legal call each, `[N]`; this object is not changed."""
        is_bid, is_pass = calls < NUM_BIDS, calls == PASS
        turn_side = self.turn % 2
        bid = torch.where(is_bid, calls, self.bid)
        kind = torch.where(is_bid, 0, calls - PASS)  # 0 bid, 1 double, 2 redouble
        place = torch.where(is_pass, self.turn, (3 * bid + kind) * 4 + self.turn + 4)[:, None]
        # A pass after a bid is not told: it leaves its place, among the first passes, as it was.
        told = self.history.gather(1, place)
        told |= (~is_pass | (self.bid < 0))[:, None]
        strain = (turn_side * 5 + bid.clamp_min(0) % 5)[:, None]
        named = self.first.gather(1, strain)
        is_first = is_bid[:, None] & (named < 0)
        named = torch.where(is_first, self.turn.to(torch.int8)[:, None], named)
        return LockstepAuctions(
            dealer=self.dealer,
            vulnerability=self.vulnerability,
            turn=(self.turn + 1) % 4,
            bid=bid,
            side=torch.where(is_bid, turn_side, self.side),
            doubled=torch.where(is_pass, self.doubled, kind),
            passes=torch.where(is_pass, self.passes + 1, 0),
            first=self.first.scatter(1, strain, named),
            history=self.history.scatter(1, place, told),
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
