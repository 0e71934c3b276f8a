"""Sacrifices against contracts that would have failed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trine.bridge.audit.base import GAME, Audited, by_side, kind_of

__all__ = ["phantom_sacrifice"]


def phantom_sacrifice(seen: Audited) -> NDArray[np.bool_]:
    """The contract fails, and so would have the opponents' game or slam that it was bid over.

    Their contract is their last bid, declared by the first of them to have named its strain.
    At fault is the declaring side.
    """
    rows = np.arange(len(seen))
    other = np.where(seen.side >= 0, 1 - seen.side, 0)
    theirs = seen.auction.last_bid[rows, other]
    known = np.maximum(theirs, 0)
    place = seen.auction.first_place[rows, other, known % 5]
    declarer = (seen.boards.dealer + np.maximum(place, 0)) % 4
    taken = seen.boards.tricks[rows, known % 5 * 4 + declarer].astype(np.int64)
    fails = (kind_of(theirs) >= GAME) & (taken < known // 5 + 7)
    return by_side(seen.failed & fails, seen.side)
