"""Duplicate scores and IMPs, the obvious way: one contract at a time.

Source: Laws of Duplicate Bridge, Law 77 (scoring table) and Law 78B (International Match Points).
Tables of all contracts for batches are in `trine.bridge.rewards`; tests hold the two to each other.
"""

from __future__ import annotations

from bisect import bisect_right

from trine.bridge.auction import Contract
from trine.bridge.cards import Vulnerability

__all__ = ["IMP_STEPS", "imps", "score"]

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
