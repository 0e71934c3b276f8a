"""Duplicate scores and IMPs, the obvious way: one contract at a time, and arrays of them.

Source: Laws of Duplicate Bridge, Law 77 (scoring table) and Law 78B (International Match Points).
The tensors of self-play have a table of their own in `trine.bridge.rewards`, from a formula written
another way; tests hold the two to each other.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cache

import numpy as np
from numpy.typing import NDArray

from trine.bridge.auction import Contract
from trine.bridge.calls import NUM_BIDS
from trine.bridge.cards import Vulnerability

__all__ = ["IMP_STEPS", "imps", "imps_of", "points_table", "score"]

IMP_STEPS = (
    20, 50, 90, 130, 170, 220, 270, 320, 370, 430, 500, 600,
    750, 900, 1100, 1300, 1500, 1750, 2000, 2250, 2500, 3000, 3500, 4000,
)  # fmt: skip
"""Least difference in points for 1, 2, .. 24 IMPs (Law 78B)."""


def score(contract: Contract | None, tricks: int, vulnerability: Vulnerability | int) -> int:
    """Points of North-South.

    Args:
      contract: None: passed out.
      tricks: that declarer took, 0..13.
      vulnerability: of both sides.
    """
    if contract is None:
        return 0
    vulnerable = Vulnerability(vulnerability).of(contract.declarer)
    points = _declarer_points(contract, tricks, vulnerable)
    return points if contract.declarer % 2 == 0 else -points


def imps(difference: int) -> int:
    """Of a difference in points, with its sign."""
    won = bisect_right(IMP_STEPS, abs(difference))
    return won if difference >= 0 else -won


def imps_of(difference: NDArray[np.integer]) -> NDArray[np.int64]:
    """Of differences in points, any shape, with their signs."""
    won = np.searchsorted(np.array(IMP_STEPS), np.abs(difference), side="right")
    return won * np.sign(difference).astype(np.int64)


@cache
def points_table() -> NDArray[np.int64]:
    """Points of the declarer's side: `[3 doubled, 2 vulnerable, 35 bids, 14 tricks]`; read only."""
    table = np.zeros((3, 2, NUM_BIDS, 14), np.int64)
    for doubled, vulnerable, bid, taken in np.ndindex(*table.shape):
        contract = Contract(bid // 5 + 1, bid % 5, doubled, 0)
        table[doubled, vulnerable, bid, taken] = _declarer_points(contract, taken, bool(vulnerable))
    table.flags.writeable = False
    return table


def _declarer_points(contract: Contract, tricks: int, vulnerable: bool) -> int:
    over = tricks - 6 - contract.level
    if over < 0:
        return -_penalty(-over, contract.doubled, vulnerable)
    each = 20 if contract.strain < 2 else 30
    trick_score = each * contract.level + (10 if contract.strain == 4 else 0)
    trick_score *= 2**contract.doubled
    points = trick_score
    if trick_score >= 100:
        points += 500 if vulnerable else 300
    else:
        points += 50
    if contract.level == 6:
        points += 750 if vulnerable else 500
    if contract.level == 7:
        points += 1500 if vulnerable else 1000
    points += 50 * contract.doubled  # for the insult
    if contract.doubled:
        each = 100 * contract.doubled * (2 if vulnerable else 1)
    return points + over * each


def _penalty(down: int, doubled: int, vulnerable: bool) -> int:
    if not doubled:
        return down * (100 if vulnerable else 50)
    first, next_two, rest = (200, 300, 300) if vulnerable else (100, 200, 300)
    steps = [first, next_two, next_two] + [rest] * 10
    return sum(steps[:down]) * doubled
