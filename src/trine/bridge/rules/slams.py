"""Slams: 33 points and a fit; Blackwood 4NT keeps off those with two aces out.

Source: standard American, ACBL SAYC booklet (plain Blackwood: four aces, no king of trumps).
"""

from __future__ import annotations

from trine.bridge.calls import PASS, bid
from trine.bridge.rules.hand_features import Feature
from trine.bridge.rules.language import (
    BALANCED,
    MAJORS,
    NOTRUMP,
    Need,
    Option,
    cheapest,
    clubs,
    diamonds,
    hcp,
    hearts,
    length,
    support,
)
from trine.bridge.rules.table import Table

__all__ = ["SLAM", "ace_answers", "after_aces", "quantitative_answers", "slam_tries"]

SLAM, GRAND = 33, 37
_SUITS = (*MAJORS, diamonds, clubs)


def trump_needs(table: Table, suit: int, total: int = 8) -> tuple[Need, ...] | None:
    """The length that makes `total` trumps with partner; None if partner has shown too little."""
    shown = table.partner.shortest[suit]
    if shown < 3 and table.mine.shortest[suit] + shown < 6:
        return None
    return (length(suit, max(total - shown, 2)),)


def slam_tries(table: Table) -> list[Option]:
    """With 33 points or more together."""
    partner = table.partner
    if partner.low < 6 or partner.tag.startswith(("aces", "shown", "preempt")):
        return []
    options: list[Option] = []
    for suit in _SUITS:
        needs = trump_needs(table, suit, 8 if suit >= hearts else 9)
        if needs is None:
            continue
        worth = support(suit, SLAM - partner.expected)
        if bid(4, NOTRUMP) > table.bid and table.level >= 2:
            options.append(Option(bid(4, NOTRUMP), (*needs, worth), 1, f"aces{suit}", "Blackwood"))
        elif table.bid < bid(5, NOTRUMP):
            options.append(Option(bid(6, suit), (*needs, worth)))
    if partner.stops or partner.tag == "notrump" or not table.forced:
        options.append(Option(bid(6, NOTRUMP), (hcp(SLAM - partner.low), BALANCED)))
    return options


def ace_answers() -> list[Option]:
    """To Blackwood."""
    return [
        Option(bid(5, clubs), ((Feature.ACES, 0, 0),), 1, "shown0", "no ace or four"),
        Option(bid(5, clubs), ((Feature.ACES, 4, 4),), 1, "shown0", "no ace or four"),
        *(Option(bid(5, n), ((Feature.ACES, n, n),), 1, f"shown{n}", _ACES[n]) for n in (1, 2, 3)),
    ]


_ACES = ("no ace", "one ace", "two aces", "three aces")


def after_aces(table: Table, shown: int, asked: int) -> list[Option]:
    """Partner has shown aces: six with three of them together, the cheapest of the suit else."""
    options = [
        Option(
            bid(7, asked), ((Feature.ACES, 4 - shown, 4), support(asked, GRAND - table.partner.low))
        )
        if shown
        else Option(bid(7, asked), ((Feature.ACES, 4, 4), hcp(24))),
        Option(bid(6, asked), ((Feature.ACES, max(3 - shown, 0), 4),)),
    ]
    stop_here = cheapest(asked, table.bid)
    if stop_here == table.bid + 5:  # the answer is our suit already
        return [*options, Option(PASS)]
    return [*options, Option(stop_here if stop_here < bid(6, asked) else bid(6, asked))]


def quantitative_answers(table: Table) -> list[Option]:
    """Partner raised to 4NT: six with the most."""
    high = table.mine.high
    return [Option(bid(6, NOTRUMP), (hcp(high - 1),)), Option(PASS, (hcp(0, high - 2),))]
