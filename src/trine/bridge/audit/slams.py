"""Slams without the controls."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trine.bridge.audit.base import SLAM, Audited, by_side

__all__ = ["cashable_tricks", "off_two_aces", "off_two_tops"]

_ACE, _KING = 12, 11


def off_two_aces(seen: Audited) -> NDArray[np.bool_]:
    """A suit contract at level 6 or 7 while the opponents hold two aces or more.

    Whether it makes does not matter: a void may save it. At fault is the declaring side.
    """
    missing = ~_own(seen.boards.owner, seen.side)[:, :, _ACE]
    return by_side((seen.kind >= SLAM) & (seen.strain < 4) & (missing.sum(1) >= 2), seen.side)


def off_two_tops(seen: Audited) -> NDArray[np.bool_]:
    """A contract at level 6 or 7 while the opponents can cash two tricks from the top.

    See `cashable_tricks`. At fault is the declaring side.
    """
    tricks = cashable_tricks(seen.boards.owner, seen.side, seen.strain)
    return by_side((seen.kind >= SLAM) & (tricks >= 2), seen.side)


def cashable_tricks(
    owner: NDArray[np.uint8], side: NDArray[np.int64], strain: NDArray[np.int64]
) -> NDArray[np.int64]:
    """`[n]` tricks that the defenders have in aces, and in kings beside the ace of the suit.

    In a suit no more count than the longer defender has cards, and, beside the trumps, no more
    than declarer and dummy must follow to. That a defender may not reach his partner's ace, because
    he has no card of the suit to lead, is left aside.

    Args:
      owner: `[n, 52]`.
      side: `[n]` that declares.
      strain: `[n]` C D H S NT = 0..4.
    """
    own = _own(owner, side)  # [n, 4, 13]
    ace, king = ~own[:, :, _ACE], ~own[:, :, _KING]
    tops = ace + (ace & king).astype(np.int64)  # [n, 4]
    suits = owner.reshape(-1, 4, 13)
    lengths = np.stack([(suits == seat).sum(2) for seat in range(4)], axis=2)  # [n, suit, seat]
    ours = (np.arange(4) % 2 == side[:, None])[:, None, :]
    longest = np.where(ours, 0, lengths).max(2)
    follow = np.where(ours, lengths, 13).min(2)
    ruffed = (strain[:, None] < 4) & (np.arange(4) != strain[:, None])
    follow = np.where(ruffed, follow, 13)
    return np.minimum(tops, np.minimum(longest, follow)).sum(1)


def _own(owner: NDArray[np.uint8], side: NDArray[np.int64]) -> NDArray[np.bool_]:
    """`[n, 4, 13]` the cards of the declaring side."""
    return (owner % 2 == side[:, None]).reshape(-1, 4, 13)
