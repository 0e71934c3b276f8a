"""Cards, hands and deals; seats and vulnerability.

A card is a number: suit * 13 + rank, suits C D H S = 0..3 (the order of the strains), ranks 2..A =
0..12. A hand is written as spades.hearts.diamonds.clubs, a deal as in PBN: the seat of the first
hand, a colon, four hands clockwise (PBN 2.1, section 3.4.11).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from trine.core.errors import DataError

__all__ = [
    "RANKS", "SEATS", "STRAINS", "SUITS", "Deal", "Vulnerability", "board_dealer",
    "board_vulnerability", "format_deal", "format_hand", "parse_deal", "parse_hand", "parse_seat",
]  # fmt: skip

SEATS = "NESW"
SUITS = "CDHS"
STRAINS = ("C", "D", "H", "S", "NT")
RANKS = "23456789TJQKA"

_BOARD_CYCLE = (0, 1, 2, 3, 1, 2, 3, 0, 2, 3, 0, 1, 3, 0, 1, 2)
"""Vulnerability of boards 1 to 16 (Laws of Duplicate Bridge, Law 2)."""


class Vulnerability(IntEnum):
    """Who is vulnerable: bit 0 North-South, bit 1 East-West."""

    NONE = 0
    NS = 1
    EW = 2
    BOTH = 3

    @classmethod
    def parse(cls, text: str) -> Vulnerability:
        """From what people and files write: None, Love, -, o, Neither; NS, N/S; EW; Both, All.

        Raises:
          DataError: something else.
        """
        word = text.strip().lower()
        found = 0 if word == "-" else _VULNERABILITIES.get(re.sub(r"[/-]", "", word))
        if found is None:
            raise DataError(f"vulnerability {text!r}", accepted="None, NS, EW, Both")
        return cls(found)

    @property
    def text(self) -> str:
        """As PBN spells it, `All` excepted: None, NS, EW, Both."""
        return ("None", "NS", "EW", "Both")[self]

    def of(self, seat: int) -> bool:
        """Whether the side of a seat is vulnerable."""
        return bool(self >> (seat % 2) & 1)


_VULNERABILITIES = {
    **dict.fromkeys(("none", "love", "o", "0", "neither", "z"), 0),
    **dict.fromkeys(("ns", "n"), 1),
    **dict.fromkeys(("ew", "e"), 2),
    **dict.fromkeys(("both", "all", "b"), 3),
}


@dataclass(frozen=True, slots=True, eq=False)
class Deal:
    """Who holds which card.

    Attributes:
      owner: `[52]` uint8, the seat of each card, 13 cards a seat. Not to be written to.
    """

    owner: NDArray[np.uint8]

    def __post_init__(self) -> None:
        counts = np.bincount(self.owner, minlength=4)
        if self.owner.shape != (52,) or len(counts) != 4 or (counts != 13).any():
            raise DataError(
                f"a deal with {', '.join(map(str, counts))} cards", accepted="13 for each seat"
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Deal) and bool((self.owner == other.owner).all())

    def __hash__(self) -> int:
        return hash(self.owner.tobytes())

    def hand(self, seat: int) -> NDArray[np.bool_]:
        """`[52]` the cards of a seat."""
        return self.owner == seat


def parse_seat(text: str) -> int:
    """0..3 from N, E, S, W or North, East, South, West.

    Raises:
      DataError: something else.
    """
    names = ("NORTH", "EAST", "SOUTH", "WEST")
    word = text.strip().upper()
    for seat, name in enumerate(names):
        if word in (name, name[0]):
            return seat
    raise DataError(f"seat {text!r}", accepted="N, E, S, W")


def board_dealer(number: int) -> int:
    """Of a board by its number, from 1 (Law 2)."""
    return (number - 1) % 4


def board_vulnerability(number: int) -> Vulnerability:
    """Of a board by its number, from 1 (Law 2)."""
    return Vulnerability(_BOARD_CYCLE[(number - 1) % 16])


def parse_hand(text: str) -> NDArray[np.bool_]:
    """`[52]` the cards of `AKQ52.K83.A4.J72`; 10 or T, small letters and - for a void are fine.

    Raises:
      DataError: not four suits, an unknown rank, a card twice, not 13 cards.
    """
    cards = np.zeros(52, dtype=np.bool_)
    cards[_cards(text)] = True
    if cards.sum() != 13:
        raise DataError(f"hand {text!r} has {int(cards.sum())} cards", accepted="13")
    return cards


def parse_deal(text: str) -> Deal:
    """From `N:hand hand hand hand`.

    Raises:
      DataError: not of that form, or not every card once and 13 in each hand.
    """
    first, colon, rest = text.strip().partition(":")
    hands = rest.split()
    if not colon or len(hands) != 4:
        raise DataError(
            f"deal {text!r}", accepted="N:hand hand hand hand, each spades.hearts.diamonds.clubs"
        )
    start = parse_seat(first)
    owner = np.full(52, 255, dtype=np.uint8)
    for place, hand in enumerate(hands):
        seat = (start + place) % 4
        cards = np.flatnonzero(parse_hand(hand))
        twice = cards[owner[cards] != 255]
        if len(twice):
            card = int(twice[0])
            raise DataError(
                f"{SUITS[card // 13]}{RANKS[card % 13]} is in the hands of "
                f"{SEATS[owner[card]]} and {SEATS[seat]}",
                accepted="each card once",
            )
        owner[cards] = seat
    return Deal(owner)


def format_hand(cards: NDArray[np.bool_]) -> str:
    """spades.hearts.diamonds.clubs of `[52]` cards, high to low."""
    suits = cards.reshape(4, 13)
    return ".".join(
        "".join(RANKS[rank] for rank in range(12, -1, -1) if suits[suit, rank])
        for suit in range(3, -1, -1)
    )


def format_deal(deal: Deal) -> str:
    """As PBN writes it, from North."""
    return "N:" + " ".join(format_hand(deal.hand(seat)) for seat in range(4))


def _cards(text: str) -> list[int]:
    suits = text.strip().upper().replace("10", "T").split(".")
    if len(suits) != 4:
        raise DataError(
            f"hand {text!r} has {len(suits)} suits", accepted="spades.hearts.diamonds.clubs"
        )
    cards: list[int] = []
    for suit, ranks in zip(range(3, -1, -1), suits, strict=True):
        if re.fullmatch(r"-+", ranks):
            continue
        for rank in ranks:
            if rank not in RANKS:
                raise DataError(f"card {rank!r} in hand {text!r}", accepted=" ".join(RANKS[::-1]))
            card = suit * 13 + RANKS.index(rank)
            if card in cards:
                raise DataError(
                    f"{SUITS[suit]}{rank} is twice in hand {text!r}", accepted="each card once"
                )
            cards.append(card)
    return cards
