"""Contracts beyond what could be made, when stopping lower was possible."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trine.bridge.audit.base import (
    GAME,
    GRAND,
    PART_SCORE,
    SLAM,
    Audited,
    by_side,
)
from trine.bridge.scoring import imps_of

__all__ = [
    "LEAST_IMPS",
    "game_too_high",
    "grand_too_high",
    "part_score_too_high",
    "slam_too_high",
]

LEAST_IMPS = 3
"""What it must have cost, against par and against stopping."""


def part_score_too_high(seen: Audited) -> NDArray[np.bool_]:
    """A part-score that is too high.

    The contract fails. At the level that the tricks allow (1 or more) the same declarer would have
    made it undoubled, that bid is higher than the opponents' last bid, and would have scored
    `LEAST_IMPS` IMPs more; and the result is as much worse than par. At fault is the declaring
    side.
    """
    return _too_high(seen, PART_SCORE)


def game_too_high(seen: Audited) -> NDArray[np.bool_]:
    """A game that is too high, as in `part_score_too_high`."""
    return _too_high(seen, GAME)


def slam_too_high(seen: Audited) -> NDArray[np.bool_]:
    """A small slam that is too high, as in `part_score_too_high`."""
    return _too_high(seen, SLAM)


def grand_too_high(seen: Audited) -> NDArray[np.bool_]:
    """A grand slam that is too high, as in `part_score_too_high`."""
    return _too_high(seen, GRAND)


def _too_high(seen: Audited, kind: int) -> NDArray[np.bool_]:
    rows = np.arange(len(seen))
    side = np.maximum(seen.side, 0)
    lower = (seen.table.taken - 7) * 5 + seen.strain
    theirs = seen.auction.last_bid[rows, 1 - side]
    found = (seen.kind == kind) & seen.failed & (seen.table.taken >= 7) & (lower > theirs)
    stopped = seen.points_of(np.maximum(lower, 0), np.maximum(seen.table.declarer, 0), 0)
    found &= imps_of(stopped - seen.own_points) >= LEAST_IMPS
    found &= seen.imps_lost[rows, side] >= LEAST_IMPS
    return by_side(found, seen.side)
