"""Slams: 33 points and a fit; Blackwood 4NT keeps off those with two aces out.

Source: standard American, ACBL SAYC booklet (plain Blackwood: four aces, no king of trumps).
"""

from __future__ import annotations

from trine.bridge.calls import PASS, bid
from trine.bridge.rules.hand_features import Feature
from trine.bridge.rules.language import (
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
    points,
    support,
)
from trine.bridge.rules.table import Table

__all__ = ["SLAM", "ace_answers", "after_aces", "quantitative_answers", "slam_tries"]

SLAM, GRAND = 33, 38
_SUITS = (*MAJORS, diamonds, clubs)


def short_at_least(cards: int) -> Need:
    """No suit shorter than that."""
    return Feature.SHORTEST, cards, 13


def trump_needs(table: Table, suit: int, total: int = 8) -> tuple[Need, ...] | None:
    """The length that makes `total` trumps with partner; None if partner has shown too little."""
    shown = table.partner.shortest[suit]
    if shown < 3 and table.mine.shortest[suit] + shown < 6:
        return None
    return (length(suit, max(total - shown, 2)),)


def slam_tries(table: Table) -> list[Option]:
    """With 33 points or more together."""
    partner = table.partner
    if partner.low < 6 or partner.tag in ("aces", "final") or partner.tag.startswith("shown"):
        return []
    options: list[Option] = []
    # Over notrump 4NT speaks of points, over a suit it asks for aces: one bid, one meaning.
    over_notrump = table.ours and table.strain == NOTRUMP
    ask = table.level >= 2 and table.bid < bid(4, NOTRUMP) and not over_notrump
    for suit in sorted(_SUITS, key=table.shown, reverse=True):
        needs = trump_needs(table, suit, 8 if suit >= hearts else 9)
        if needs is None:
            continue
        # Shortness alone does not make twelve tricks.
        worth = support(suit, SLAM - partner.expected)
        needs = (*needs, hcp(27 - partner.low))
        if ask:
            options.append(Option(bid(4, NOTRUMP), (*needs, worth), 1, "aces", "Blackwood"))
        elif table.bid < bid(5, NOTRUMP):
            options.append(Option(bid(6, suit), (*needs, worth), 0, "final"))
    if partner.acted and (table.ours or table.bid < bid(4, clubs)):
        enough = SLAM - partner.low
        options.append(Option(bid(6, NOTRUMP), (hcp(enough), short_at_least(2)), 0, "final"))
        if over_notrump and bid(2, NOTRUMP) <= table.bid < bid(4, NOTRUMP):
            needs = (hcp(SLAM - partner.hoped, enough - 1), short_at_least(2))
            options.append(Option(bid(4, NOTRUMP), needs, 0, "quantitative", "quantitative"))
    return options


def ace_answers() -> list[Option]:
    """To Blackwood."""
    return [
        Option(bid(5, clubs), ((Feature.ACES, 0, 0),), 1, "shown0", "no ace or four"),
        Option(bid(5, clubs), ((Feature.ACES, 4, 4),), 1, "shown0", "no ace or four"),
        *(Option(bid(5, n), ((Feature.ACES, n, n),), 1, f"shown{n}", _ACES[n]) for n in (1, 2, 3)),
    ]


_ACES = ("no ace", "one ace", "two aces", "three aces")


def after_aces(table: Table, shown: int) -> list[Option]:
    """Partner has shown aces: six with three of them together, the cheapest of the suit else."""
    options: list[Option] = []
    for suit in sorted(_SUITS, key=table.shown, reverse=True):
        needs = trump_needs(table, suit, 8 if suit >= hearts else 9)
        if needs is None:
            continue
        all_aces = (Feature.ACES, 4 - shown, 4 - shown)
        worth = support(suit, GRAND - table.partner.low)
        stop_here = table.bid if table.strain == suit else cheapest(suit, table.bid)
        options += [
            Option(bid(7, suit), (*needs, all_aces, worth), 0, "final"),
            Option(bid(6, suit), (*needs, (Feature.ACES, max(3 - shown, 0), 4)), 0, "final"),
            Option(PASS if stop_here == table.bid else stop_here, needs, 0, "final"),
        ]
    for suit in sorted(range(4), key=table.shown, reverse=True):  # one trump fewer will have to do
        if table.partner.shortest[suit] >= 4 and table.strain != suit:
            enough = (length(suit, max(7 - table.partner.shortest[suit], 2)),)
            options.append(Option(cheapest(suit, table.bid), enough, 0, "final"))
    return [*options, Option(cheapest(NOTRUMP, table.bid), (), 0, "final", fallback=True)]


def quantitative_answers(table: Table) -> list[Option]:
    """Partner raised to 4NT: six with the most."""
    enough = SLAM - table.partner.low
    return [
        Option(bid(6, NOTRUMP), (hcp(enough),), 0, "final"),
        Option(bid(6, NOTRUMP), (hcp(enough - 1), points(enough)), 0, "final"),
        Option(PASS, (hcp(0, enough - 1),), 0, "final"),
    ]
