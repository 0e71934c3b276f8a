"""Auctions that do not end."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trine.bridge.audit.base import Audited, by_side

__all__ = ["LONGEST", "long_auction"]

LONGEST = 20
"""Calls, passes included, of an auction that is not yet long."""


def long_auction(seen: Audited) -> NDArray[np.bool_]:
    """The auction has more than `LONGEST` calls, passes included.

    At fault is the side that makes the first call beyond, whatever it is.
    """
    return by_side(seen.auction.length > LONGEST, (seen.boards.dealer + LONGEST) % 2)
