"""Deals that are the same but for the names of suits or seats, and which of them may be trained on.

Permuting the suits of a deal together with the first four rows of its table gives another true deal
with its true table; so does turning the seats. Recorded auctions have only the second symmetry,
because suits rank differently in the bidding. The 24 x 4 deals that come from one another have one
canonical form; its hash says whether they are for training or for measuring, so that no deal is
measured on in one guise that was trained on in another.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np

from trine.core.errors import UsageError

__all__ = [
    "EVALUATION_SHARE",
    "PARTS",
    "SUIT_ORDERS",
    "canonical_codes",
    "canonical_hash",
    "in_part",
    "is_evaluation",
    "permute_suits",
    "rotate_seats",
]

SUIT_ORDERS = np.array(list(permutations(range(4))), dtype=np.intp)
"""The 24 orders of four suits, `[24, 4]`; the first is the identity."""

PARTS = ("all", "train", "evaluation")
"""What deals may be drawn from: every deal, or one side of the split."""

EVALUATION_SHARE = 0.1
"""Of all deals, by the hash of the canonical form. A change makes old measurements worthless."""

_FOURS = 4 ** np.arange(13, dtype=np.uint64)


def permute_suits(
    owner: np.ndarray[Any, Any], tricks: np.ndarray[Any, Any], orders: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Suit `s` of the result is suit `orders[i, s]` of deal `i`, and so are the rows of its table.

    Args:
      owner: `[n, 52]`.
      tricks: `[n, 20]`.
      orders: `[n, 4]`, rows of `SUIT_ORDERS`, or one such row for all.
    """
    orders = np.broadcast_to(orders, (len(owner), 4))
    cards = np.take_along_axis(owner.reshape(-1, 4, 13), orders[:, :, None], axis=1)
    table = tricks.reshape(-1, 5, 4)
    suits = np.take_along_axis(table[:, :4], orders[:, :, None], axis=1)
    return cards.reshape(-1, 52), np.concatenate([suits, table[:, 4:]], axis=1).reshape(-1, 20)


def rotate_seats(
    owner: np.ndarray[Any, Any], tricks: np.ndarray[Any, Any], steps: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Every hand moves `steps` seats clockwise (1: North's to East); so do the declarers.

    Turn the dealer with them, and swap the vulnerability if `steps` is odd.

    Args:
      owner: `[n, 52]`.
      tricks: `[n, 20]`.
      steps: any integer.
    """
    turned = ((owner.astype(np.int64) + steps) % 4).astype(owner.dtype)
    return turned, np.roll(tricks.reshape(-1, 5, 4), steps, axis=2).reshape(-1, 20)


def canonical_codes(owner: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The canonical form of deals: equal rows for deals that are the same but for names.

    A suit is a number of 13 digits in base 4, the holder of each rank. Sorting the four numbers
    takes away the names of the suits; the least of the four rotations, those of the seats.

    Args:
      owner: `[n, 52]`.

    Returns:
      uint64 `[n, 4]`, ascending in each row.
    """
    suits = owner.reshape(-1, 4, 13).astype(np.uint64)
    best: np.ndarray[Any, Any] | None = None
    for step in range(4):
        digits = (suits + np.uint64(step)) % np.uint64(4)
        codes = np.sort((digits * _FOURS).sum(2, dtype=np.uint64), axis=1)
        best = codes if best is None else _least(best, codes)
    assert best is not None
    return best


def _least(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The lexicographically lesser row of two, row by row."""
    differs = a != b
    first = differs.argmax(1)
    rows = np.arange(len(a))
    return np.where((b[rows, first] < a[rows, first])[:, None], b, a)


def canonical_hash(owner: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """uint64 `[n]`, the same for deals that are the same but for names; fixed for ever.

    Each of the two halves of the canonical form goes through the finaliser of SplitMix64 (Steele,
    Lea and Flood 2014, Fig. 16), which is a bijection that mixes well.
    """
    codes = canonical_codes(owner)
    high = codes[:, 0] << np.uint64(26) | codes[:, 1]
    low = codes[:, 2] << np.uint64(26) | codes[:, 3]
    return _mix(_mix(high) ^ low)


def _mix(z: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def is_evaluation(owner: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Which deals `[n, 52]` are for measuring and must never be trained on; bool `[n]`."""
    return canonical_hash(owner) < np.uint64(int(EVALUATION_SHARE * 2**64))


def in_part(owner: np.ndarray[Any, Any], part: str) -> np.ndarray[Any, Any]:
    """Which deals `[n, 52]` belong to a name of `PARTS`; bool `[n]`.

    Raises:
      UsageError: there is no such part.
    """
    if part not in PARTS:
        raise UsageError.unknown("part", part, PARTS)
    if part == "all":
        return np.ones(len(owner), dtype=bool)
    evaluation = is_evaluation(owner)
    return evaluation if part == "evaluation" else ~evaluation
