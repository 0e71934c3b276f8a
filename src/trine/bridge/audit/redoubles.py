"""Contracts that are played redoubled: somebody was wrong at a high price."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trine.bridge.audit.base import Audited, by_side

__all__ = ["redoubled"]


def redoubled(seen: Audited) -> NDArray[np.bool_]:
    """The contract is played redoubled.

    At fault is the side that doubled if it makes, the side that redoubled if it fails.
    """
    return by_side(seen.table.doubled == 2, np.where(seen.made, 1 - seen.side, seen.side))
