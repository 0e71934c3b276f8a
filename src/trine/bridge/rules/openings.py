"""Opening bids: five-card majors, 15 to 17 notrump, weak twos, a strong 2C, preempts.

Source: standard American, ACBL SAYC booklet; light openings by the rule of twenty (Bergen), in
fourth seat by the rule of fifteen (Pearson).
"""

from __future__ import annotations

from trine.bridge.calls import PASS, bid
from trine.bridge.rules.hand_features import Feature
from trine.bridge.rules.language import (
    BALANCED,
    NOTRUMP,
    Need,
    Option,
    clubs,
    diamonds,
    hcp,
    hearts,
    honours,
    length,
    longest,
    points,
    spades,
)
from trine.bridge.rules.table import Table

__all__ = ["openings"]

_NO_MAJOR: tuple[Need, ...] = (length(hearts, 0, 4), length(spades, 0, 4))
_ONE_OF_A_SUIT: tuple[tuple[int, tuple[Need, ...]], ...] = (
    (spades, (length(spades, 5), longest(spades))),
    (hearts, (length(hearts, 5), longest(hearts))),
    (diamonds, (length(diamonds, 5), longest(diamonds))),
    (clubs, (length(clubs, 5), longest(clubs))),
    (diamonds, (length(diamonds, 4), length(clubs, 0, 4), *_NO_MAJOR)),
    (diamonds, (length(diamonds, 3), length(clubs, 0, 2), *_NO_MAJOR)),
    (clubs, (length(clubs, 3), *_NO_MAJOR)),
)


def openings(table: Table) -> list[Option]:
    """Nobody has bid."""
    seat = len(table.calls)  # 0 to 3
    options = [
        Option(bid(2, clubs), (hcp(22),), 1, "strong", "strong"),
        Option(bid(2, clubs), (hcp(20), points(24)), 1, "strong", "strong"),
        Option(bid(2, NOTRUMP), (hcp(20, 21), BALANCED), 0, "notrump"),
        Option(bid(1, NOTRUMP), (hcp(15, 17), BALANCED), 0, "notrump"),
    ]
    for strength in _one_level_strengths(seat):
        options += [Option(bid(1, suit), (*strength, *shape)) for suit, shape in _ONE_OF_A_SUIT]
    if seat == 2:  # third seat: a lead, and in the way
        options += [
            Option(bid(1, suit), (hcp(9, 11), length(suit, 5, 5), honours(suit, 5), longest(suit)))
            for suit in (spades, hearts)
        ]
    if seat < 3:
        options += _preempts(seat)
    return [*options, Option(PASS, (hcp(0, 11),)), Option(PASS, fallback=True)]


def _one_level_strengths(seat: int) -> tuple[tuple[Need, ...], ...]:
    if seat == 3:
        return ((hcp(13, 21),), (hcp(11, 12), (Feature.PEARSON, 15, 40)))
    return ((hcp(12, 21),), (hcp(10, 11), points(12), (Feature.OPENING, 20, 40)))


def _preempts(seat: int) -> list[Option]:
    twos = [
        Option(
            bid(2, suit), (hcp(5 if seat < 2 else 4, 10), length(suit, 6, 6), honours(suit, 2)),
            0, "preempt", "weak two",
        )
        for suit in (spades, hearts, diamonds)
    ]  # fmt: skip
    fours = [
        Option(bid(4, suit), (hcp(4, 10), length(suit, 8)), 0, "preempt", "preempt")
        for suit in (spades, hearts)
    ]
    threes = [
        Option(bid(3, suit), (hcp(4, 10), length(suit, 7)), 0, "preempt", "preempt")
        for suit in (spades, hearts, diamonds, clubs)
    ]
    return [*fours, *threes, *twos]
