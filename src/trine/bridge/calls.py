"""Calls: 0..34 = 1C 1D 1H 1S 1NT 2C .. 7NT, then pass, double, redouble."""

from __future__ import annotations

import re

from trine.bridge.cards import STRAINS
from trine.core.errors import DataError

__all__ = [
    "DOUBLE", "NUM_BIDS", "NUM_CALLS", "PASS", "REDOUBLE", "bid", "format_call", "parse_auction",
    "parse_call",
]  # fmt: skip

NUM_BIDS = 35
PASS, DOUBLE, REDOUBLE = 35, 36, 37
NUM_CALLS = 38

_WORDS = {
    **dict.fromkeys(("P", "PASS", "--"), PASS),
    **dict.fromkeys(("X", "D", "DB", "DBL", "DOUBLE"), DOUBLE),
    **dict.fromkeys(("XX", "R", "RD", "RDBL", "REDOUBLE"), REDOUBLE),
}
_BID = re.compile(r"([1-7])(C|D|H|S|NT?)")


def bid(level: int, strain: int) -> int:
    """The call of a level 1..7 and a strain C D H S NT = 0..4."""
    return (level - 1) * 5 + strain


def parse_call(text: str) -> int:
    """A call from P, pass; X, D, dbl; XX, R, rdbl; 1C .. 7NT, 7N.

    Raises:
      DataError: something else.
    """
    word = text.strip().upper()
    if word in _WORDS:
        return _WORDS[word]
    match = _BID.fullmatch(word)
    if match is None:
        raise DataError(f"call {text!r}", accepted="P, X, XX, 1C 1D 1H 1S 1NT .. 7NT")
    return bid(int(match[1]), "CDHSN".index(match[2][0]))


def parse_auction(text: str) -> tuple[int, ...]:
    """Calls from the dealer on, separated by blanks or commas.

    Raises:
      DataError: a word that is no call.
    """
    return tuple(parse_call(word) for word in re.split(r"[\s,]+", text.strip()) if word)


def format_call(call: int) -> str:
    """P, X, XX, 1C .. 7NT."""
    if call < NUM_BIDS:
        return f"{call // 5 + 1}{STRAINS[call % 5]}"
    return {PASS: "P", DOUBLE: "X", REDOUBLE: "XX"}[call]
