"""Games and slams that were there and were not bid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trine.bridge.audit.base import GAME, GRAND, SLAM, Audited, by_side

__all__ = ["missed_game", "missed_grand", "missed_slam"]


def missed_game(seen: Audited) -> NDArray[np.bool_]:
    """Par is a making game of a side, and the auction ended below.

    Ended below: in an undoubled contract of that side of a lower kind, or passed out. At fault is
    that side. A part-score where par is a slam counts as a missed slam, not as a missed game; that
    the opponents bought the contract, doubled or not, does not count.
    """
    return _missed(seen, GAME)


def missed_slam(seen: Audited) -> NDArray[np.bool_]:
    """Par is a making small slam of a side, and the auction ended below, as in `missed_game`."""
    return _missed(seen, SLAM)


def missed_grand(seen: Audited) -> NDArray[np.bool_]:
    """Par is a making grand slam of a side, and the auction ended below, as in `missed_game`."""
    return _missed(seen, GRAND)


def _missed(seen: Audited, kind: int) -> NDArray[np.bool_]:
    own = (seen.side == seen.par_side) & (seen.table.doubled == 0) & (seen.kind < kind)
    return by_side((seen.par_kind == kind) & (own | (seen.side < 0)), seen.par_side)
