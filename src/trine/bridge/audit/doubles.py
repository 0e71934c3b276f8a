"""Doubles that cost: of contracts that make, and of those that should have been run from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trine.bridge.audit.base import GAME, PART_SCORE, Audited, by_side
from trine.bridge.scoring import imps_of

__all__ = ["RUN_IMPS", "double_made", "doubled_game_made", "doubled_part_score_made", "not_run"]

RUN_IMPS = 3
"""Running must be better by so many IMPs to be counted as missed."""


def doubled_part_score_made(seen: Audited) -> NDArray[np.bool_]:
    """The contract is below game as bid, is played doubled or redoubled, and makes.

    At fault is the side that doubled.
    """
    return _made(seen, seen.kind == PART_SCORE)


def doubled_game_made(seen: Audited) -> NDArray[np.bool_]:
    """The contract is a game or slam as bid, is played doubled or redoubled, and makes.

    At fault is the side that doubled.
    """
    return _made(seen, seen.kind >= GAME)


def double_made(seen: Audited) -> NDArray[np.bool_]:
    """Any contract that is played doubled or redoubled and makes: both measures together.

    At fault is the side that doubled.
    """
    return _made(seen, seen.kind >= PART_SCORE)


def not_run(seen: Audited) -> NDArray[np.bool_]:
    """A part-score doubled or redoubled fails, and its side had a better place to run to.

    Better: the lowest sufficient bid of another strain, declared by the better of the two hands
    and scored as the worse of undoubled and doubled, gives `RUN_IMPS` IMPs more than the contract.
    At fault is the declaring side.
    """
    rows = (seen.kind == PART_SCORE) & (seen.table.doubled > 0) & seen.failed
    best = np.full(len(seen), np.iinfo(np.int64).min)
    side, bid = np.maximum(seen.side, 0), np.maximum(seen.table.bid, 0)
    for step in range(1, 5):  # the next four bids name the four other strains
        for declarer in (side, side + 2):
            other = np.minimum(bid + step, 34)
            worse = np.minimum(
                seen.points_of(other, declarer, 0), seen.points_of(other, declarer, 1)
            )
            best = np.maximum(best, worse)
    rows &= imps_of(np.where(rows, best - seen.own_points, 0)) >= RUN_IMPS
    return by_side(rows, seen.side)


def _made(seen: Audited, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return by_side(rows & (seen.table.doubled > 0) & seen.made, 1 - seen.side)
