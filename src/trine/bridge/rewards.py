"""What an auction is worth in training: points of every contract on a deal, par, rewards.

Points are duplicate scores of North-South. A batch has `N` tables in the order of `deal_tables`:
table `k * boards + b` is the `k`-th table of deal `b`; in the first half of the `k` one side of the
match sits North-South, in the other half East-West.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from trine.bridge.calls import NUM_BIDS
from trine.bridge.lockstep import LockstepAuctions
from trine.bridge.scoring import IMP_STEPS
from trine.core.errors import UsageError

__all__ = [
    "ContractPoints",
    "Rewards",
    "auction_points",
    "contract_points",
    "imps_of",
    "par_points",
    "score_table",
]

_SIDES = 2
_MOST = 7600
"""Points a side can win or lose at most (7NT redoubled and vulnerable, thirteen down)."""


@cache
def score_table(device: torch.device | None = None) -> Tensor:
    """Points of the declarer's side: `[3 doubled, 2 vulnerable, 35 bids, 14 tricks]`, float32.

    Args:
      device: where the table lies: on a GPU a copy at every call would be a pause.

    Source: Laws of Duplicate Bridge, Law 77.
    """
    if device is not None:
        return score_table().to(device)
    doubled = torch.arange(3).view(3, 1, 1, 1)
    vulnerable = torch.arange(2).view(1, 2, 1, 1)
    bid = torch.arange(NUM_BIDS).view(1, 1, NUM_BIDS, 1)
    tricks = torch.arange(14).view(1, 1, 1, 14)
    level, strain = bid // 5 + 1, bid % 5
    over = tricks - 6 - level
    each = torch.where(strain < 2, 20, 30)
    trick_score = (each * level + 10 * (strain == 4)) * 2**doubled
    bonus = torch.where(trick_score >= 100, 300 + 200 * vulnerable, 50)
    bonus = (
        bonus + (level == 6) * (500 + 250 * vulnerable) + (level == 7) * (1000 + 500 * vulnerable)
    )
    overtrick = torch.where(doubled == 0, each, 100 * doubled * (1 + vulnerable))
    made = trick_score + bonus + 50 * doubled + over * overtrick
    down = (-over).clamp_min(0)
    plain = 50 * down * (1 + vulnerable)
    # Doubled: 100, then 200 each up to the third, then 300; vulnerable 200, then 300 each.
    fined = torch.where(
        vulnerable == 1, 300 * down - 100, 200 * down - 100 + 100 * (down - 3).clamp_min(0)
    )
    lost = torch.where(doubled == 0, plain, fined * doubled)
    return torch.where(over >= 0, made, -lost).float()


def auction_points(auctions: LockstepAuctions, tricks: Tensor) -> Tensor:
    """`[N]` points of North-South if the contract so far is the last one; 0 without a bid.

    Args:
      auctions: `N`.
      tricks: `[N, 20]` double-dummy tricks.
    """
    declarer, bid = auctions.declarer, auctions.bid.clamp_min(0)
    taken = tricks.gather(1, (bid % 5 * 4 + declarer)[:, None])[:, 0].long()
    vulnerable = auctions.vulnerability >> (declarer % 2) & 1
    table = score_table(tricks.device)
    points = table[auctions.doubled, vulnerable, bid, taken] * (1 - 2 * (declarer % 2))
    return torch.where(auctions.bid >= 0, points, 0.0)


@cache
def _imp_table(device: torch.device) -> Tensor:
    """IMPs of every tenth of a difference in points, `[1521]`: scores are multiples of ten."""
    tens = torch.arange(2 * _MOST // 10 + 1) * 10
    return torch.bucketize(tens, torch.tensor(IMP_STEPS), right=True).float().to(device)


def imps_of(difference: Tensor) -> Tensor:
    """Signed IMPs of differences in points (multiples of ten), any shape, float32."""
    places = (difference.abs() / 10).round().long()
    return _imp_table(difference.device)[places] * difference.sign()


@dataclass(frozen=True, slots=True)
class ContractPoints:
    """Points of North-South for every contract on every deal.

    Attributes:
      points: `[N, 2 declaring sides, 2 undoubled/doubled, 35]`, the better declarer of the side.
    """

    points: Tensor

    def repeat(self, times: int) -> ContractPoints:
        """Of the same deals at several tables each, in the order of a batch."""
        return ContractPoints(self.points.repeat(times, 1, 1, 1))


def contract_points(tricks: Tensor, vulnerability: Tensor) -> ContractPoints:
    """Points of all contracts.

    Args:
      tricks: `[N, 20]`, strain C D H S NT major, then declarer N E S W.
      vulnerability: `[N]` bits, 1 North-South, 2 East-West.
    """
    device = tricks.device
    table = score_table(device)[:2]
    by_side = tricks.long().view(-1, 5, 2, _SIDES).amax(2)  # [N, 5, side]: N and S, E and W
    bids = torch.arange(35, device=device)
    taken = by_side[:, bids % 5]  # [N, 35, side]
    vulnerable = torch.stack([vulnerability.long() & 1, vulnerability.long() >> 1 & 1], -1)
    sides = []
    for side in range(_SIDES):
        own = table[:, vulnerable[:, side]]  # [2, N, 35, 14]
        picked = own.gather(3, taken[:, :, side].expand(2, -1, -1)[..., None])[..., 0]
        sides.append(picked.transpose(0, 1) * (1 - 2 * side))  # [N, 2, 35]
    return ContractPoints(torch.stack(sides, 1))


def par_points(contracts: ContractPoints, dealer: Tensor) -> Tensor:
    """Par: the points when both sides bid and double perfectly, seeing all cards, `[N]`.

    From the highest contract down: whoever holds a contract gets the worse of the opponents' two
    answers, accepting it (doubled if that is better for them) and outbidding it.

    Args:
      contracts: of the deals.
      dealer: `[N]` seats; matters where both sides could make the first contract.
    """
    points = contracts.points
    count = len(points)
    # `held[s]`: value to North-South of a contract just bid by side s, best over those seen so far.
    best_ns = points.new_full((count,), -float("inf"))
    best_ew = points.new_full((count,), float("inf"))
    for bid in range(34, -1, -1):
        held_ns = torch.minimum(points[:, 0, :, bid].amin(1), best_ew)
        held_ew = torch.maximum(points[:, 1, :, bid].amax(1), best_ns)
        best_ns = torch.maximum(best_ns, held_ns)
        best_ew = torch.minimum(best_ew, held_ew)
    nothing = torch.zeros_like(best_ns)
    # The dealer's side bids if that is better than what follows its passes, and so does the other.
    ns_first = torch.maximum(best_ns, torch.minimum(best_ew, nothing))
    ew_first = torch.minimum(best_ew, torch.maximum(best_ns, nothing))
    return torch.where(dealer.to(best_ns.device) % 2 == 0, ns_first, ew_first)


@dataclass(frozen=True, slots=True)
class Rewards:
    """From points of a table to rewards of its North-South.

    Attributes:
      kind: as in `RewardConfig`.
      unit: IMPs or points that count as 1.
      reference: `[N, J]` points that a table is compared with; None for `own_score`.
    """

    kind: str
    unit: float
    reference: Tensor | None

    def of(self, points: Tensor, tables: Tensor | None = None) -> Tensor:
        """Rewards of points.

        Args:
          points: `[n, ...]`.
          tables: `[n]`, which table each row belongs to; all in order if None.
        """
        if self.reference is None:
            return points.float() / self.unit
        reference = self.reference if tables is None else self.reference[tables]
        total = torch.zeros_like(points, dtype=torch.float32)
        for column in range(reference.shape[1]):  # one to a few: sums keep the memory small
            other = reference[:, column].view(-1, *[1] * (points.ndim - 1))
            total += imps_of(points - other)
        return total / (reference.shape[1] * self.unit)

    @classmethod
    def make(
        cls, kind: str, unit: float, points: Tensor, tables: int, par: Tensor | None = None
    ) -> Rewards:
        """Of a finished batch.

        Args:
          kind: `duplicate`, `own_score` or `minus_par`.
          unit: see the class.
          points: `[N]` of North-South at each table.
          tables: tables a deal.
          par: `[N]`, for `minus_par`.

        Raises:
          UsageError: an unknown kind.
        """
        if kind == "own_score":
            return cls(kind, unit, None)
        if kind == "minus_par":
            assert par is not None
            return cls(kind, unit, par[:, None])
        if kind != "duplicate":
            raise UsageError.unknown("reward", kind, ["duplicate", "own_score", "minus_par"])
        by_table = points.view(tables, -1)  # [K, boards]
        half = tables // 2
        first, second = by_table[:half].T, by_table[half:].T  # [boards, K/2]
        reference = torch.cat([second.repeat(half, 1), first.repeat(half, 1)])
        return cls(kind, unit, reference)
