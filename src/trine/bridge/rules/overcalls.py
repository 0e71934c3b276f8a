"""The opponents opened, and our side has not acted: overcalls and take-out doubles.

In the balancing seat, where a pass would end the auction, everything is three points lighter.
Source: standard American, ACBL SAYC booklet.
"""

from __future__ import annotations

from trine.bridge.calls import DOUBLE, PASS, bid
from trine.bridge.rules.language import (
    BALANCED,
    NOTRUMP,
    Need,
    Option,
    cheapest,
    hcp,
    hearts,
    honours,
    length,
    level_of,
    longest,
    spades,
    stop,
)
from trine.bridge.rules.table import Table

__all__ = ["overcalls", "unbid"]


def unbid(table: Table) -> list[int]:
    """Suits the opponents have not bid, majors first."""
    theirs = table.their_suits
    return [s for s in (spades, hearts, 1, 0) if s not in theirs]


def overcalls(table: Table) -> list[Option]:
    """Neither partner nor I have done more than pass."""
    level, strain = table.level, table.strain
    less = _lighter(table)
    suits = unbid(table)
    if strain == NOTRUMP:
        return _over_notrump(table, suits)
    options: list[Option] = []
    stops = tuple(stop(s) for s in table.their_suits)
    if level <= 2:
        strength = hcp(11, 15) if less and level == 1 else hcp(15, 18)
        options.append(
            Option(cheapest(NOTRUMP, table.bid), (strength, BALANCED, *stops), 0, "notrump")
        )
    if level in (2, 3):
        needs = (hcp(17 + level - 2, 22), *stops)
        options.append(Option(bid(3, NOTRUMP), needs))
    if level <= 3:
        options.append(Option(DOUBLE, (hcp(18),), 1, "takeout", "strong takeout"))
    if level == 1 and not less:
        options += _two_suits(table)
    for s in suits:
        if s >= hearts and cheapest(s, table.bid) < bid(2, 0):
            options += _suit(table, s, less)
    if level <= 4:
        options += _doubles(table, suits, less)
    for s in suits:
        options += _suit(table, s, less)
    return [*options, Option(PASS, (hcp(0, 16),)), Option(PASS, fallback=True)]


def _lighter(table: Table) -> int:
    """Points that the balancing seat bids on: less when they may still be strong and misfitting."""
    if not table.last_chance:
        return 0
    fit = table.right.shortest[table.strain % 4] >= 3 and table.left.shortest[table.strain % 4] >= 3
    return 3 if table.level == 1 else 2 if fit or table.right.acted + table.left.acted == 1 else 1


def _doubles(table: Table, suits: list[int], less: int) -> list[Option]:
    level = table.level
    lowest = 12 + (level - 1) - less + (level >= 4)
    if table.mine.passes > 0 and not less:
        lowest = max(lowest - 2, 9)
    shape: tuple[Need, ...] = tuple(length(s, 3, 5) for s in suits)
    for_majors = [s for s in suits if s >= hearts]
    shown = tuple(length(s, 0, 2) for s in table.their_suits)
    options = [Option(DOUBLE, (hcp(lowest), *shown, *shape), 1, "takeout", "takeout")]
    if len(for_majors) == 1 and level <= 3:  # four of the other major, and not more of theirs
        needs = (hcp(lowest + 1), *shown, length(for_majors[0], 4, 4))
        rest = tuple(length(s, 2, 5) for s in suits if s < hearts)
        options.append(Option(DOUBLE, (*needs, *rest), 1, "takeout", "takeout"))
    return options


def _two_suits(table: Table) -> list[Option]:
    """Michaels and the unusual 2NT: five cards in each of two suits."""
    if not table.right_passed or len(table.calls) < 4:
        theirs = table.strain
        options: list[Option] = []
        if theirs >= hearts:
            other = spades + hearts - theirs
            options += [
                Option(bid(2, theirs), (length(other, 5), length(m, 5), hcp(8)), 1,
                       f"michaels{other}", "Michaels")
                for m in (0, 1)
            ]  # fmt: skip
        else:
            options.append(Option(bid(2, theirs), (length(spades, 5), length(hearts, 5), hcp(7)), 1,
                                  "michaels", "Michaels"))  # fmt: skip
        low, high = [s for s in range(4) if s != theirs][:2]
        options.append(Option(bid(2, NOTRUMP), (length(low, 5), length(high, 5), hcp(8)), 1,
                              "unusual", "unusual notrump"))  # fmt: skip
        return options
    return []


def _suit(table: Table, s: int, less: int) -> list[Option]:
    level = table.level
    call = cheapest(s, table.bid)
    at, long = level_of(call), longest(s)
    options: list[Option] = []
    if at == 1:
        options.append(Option(call, (hcp(8 - less, 17), length(s, 5), long)))
    elif at == 2:
        options += [
            Option(call, (hcp(10 - less, 17), length(s, 6), long)),
            Option(call, (hcp(11 - less, 17), length(s, 5), long, honours(s, 4))),
            Option(call, (hcp(13 - less, 17), length(s, 5), long)),
        ]
    elif at == 3:
        options += [
            Option(call, (hcp(12 - less, 17), length(s, 6), long, honours(s, 3))),
            Option(call, (hcp(14 - less, 17), length(s, 5), long, honours(s, 4))),
        ]
    elif at == 4:
        if s >= hearts and level == 3:
            options.append(Option(call, (hcp(14, 17), length(s, 6), long)))
        options.append(Option(call, (hcp(12, 17), length(s, 7), long)))
    jump = call + 5
    if not less and level_of(jump) <= 4:
        cards = {2: 6, 3: 7, 4: 8}[level_of(jump)]
        needs = (hcp(5, 10), length(s, cards), honours(s, 2))
        options.append(Option(jump, needs, 0, "preempt", "preempt"))
        if level_of(jump) < 4 and s >= hearts:
            needs = (hcp(4, 10), length(s, 8))
            options.append(Option(bid(4, s), needs, 0, "preempt", "preempt"))
    return options


def _over_notrump(table: Table, suits: list[int]) -> list[Option]:
    level = table.level
    options: list[Option] = []
    if level == 1:
        options.append(Option(DOUBLE, (hcp(16),), 0, "penalty", "penalty"))
    if level <= 2:
        for s in suits:
            call = cheapest(s, table.bid)
            at = level_of(call)
            options.append(Option(call, (hcp(8 + 2 * (at - 2), 15), length(s, 6), honours(s, 2))))
            if at == 2:
                options.append(Option(call, (hcp(11, 15), length(s, 5), honours(s, 4),
                                             (24, 0, 1))))  # fmt: skip
    return [*options, Option(PASS, (hcp(0, 15),)), Option(PASS, fallback=True)]
