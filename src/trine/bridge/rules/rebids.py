"""The opener's second call.

Least 12 to 15, medium 16 to 18, most 19 to 21 points. Raise with four, rebid with six, a second
suit with four; a reverse shows 17, a jump shift 19.
Source: standard American, ACBL SAYC booklet.
"""

from __future__ import annotations

from trine.bridge.calls import DOUBLE, NUM_BIDS, PASS, bid
from trine.bridge.rules.competing import competing, reopening
from trine.bridge.rules.judgement import games, judgement, last_resorts
from trine.bridge.rules.language import (
    BALANCED,
    NOTRUMP,
    UNBALANCED,
    Option,
    cheapest,
    hcp,
    hearts,
    length,
    level_of,
    points,
    short,
    spades,
    stop,
    support,
)
from trine.bridge.rules.table import Table

__all__ = ["opener_rebids"]


def opener_rebids(table: Table) -> list[Option]:
    """I opened one of a suit, and it is my second turn."""
    opened = next(call for call in table.calls if call < NUM_BIDS) % 5
    answer = table.partners_call
    if answer == PASS:
        return reopening(table, opened)
    if answer == DOUBLE:
        return _to_double(table, opened)
    if answer >= NUM_BIDS:
        return [*competing(table)] if table.theirs else judgement(table)
    if table.theirs:  # the right-hand opponent came in over partner's answer
        own = [Option(cheapest(opened, table.bid), (length(opened, 7), points(14)))]
        return [*games(table), *own, *_raises(table, answer), *competing(table)]
    suit = answer % 5
    if suit == opened or (suit == NOTRUMP and level_of(answer) > 1):
        return judgement(table)
    if suit == NOTRUMP:
        return _after_notrump(table, opened)
    return _after_suit(table, opened, suit)


def _raises(table: Table, answer: int) -> list[Option]:
    """Of partner's suit, with four cards; with three of a five-card suit."""
    suit, level = answer % 5, level_of(answer)
    if suit == NOTRUMP:
        return []
    cards = max(8 - table.partner.shortest[suit], 3)
    fit = length(suit, cards)
    if level == 1:
        options = [
            Option(bid(3, suit), (fit, support(suit, 16, 18))),
            Option(bid(2, suit), (fit, support(suit, 0, 15))),
        ]
        if suit >= hearts:
            options.insert(0, Option(bid(4, suit), (fit, support(suit, 19))))
        else:
            options.insert(0, Option(bid(3, suit), (fit, support(suit, 19)), 1))
        return options
    forcing = int(table.partner.passes == 0)
    options = [Option(bid(3, suit), (fit, support(suit, 0, 14 if suit >= hearts else 40)), forcing)]
    if suit >= hearts:
        options.insert(0, Option(bid(4, suit), (fit, support(suit, 15))))
    return options


def _after_suit(table: Table, opened: int, suit: int) -> list[Option]:
    """Partner answered in a new suit, which forces."""
    cheap = level_of(table.bid) == 1
    raises = _raises(table, table.bid)
    options = raises if suit >= hearts or not cheap else []
    if cheap:  # suits that still fit in at the one level
        options += [
            Option(bid(2, s), (length(s, 4), points(19)), 2, "", "jump shift")
            for s in (hearts, spades)
            if bid(1, s) > table.bid and s != opened
        ]
        options += [
            Option(bid(1, s), (length(s, 4), points(0, 18)))
            for s in (hearts, spades)
            if bid(1, s) > table.bid and s != opened
        ]
        options += [
            Option(bid(2, NOTRUMP), (BALANCED, hcp(18, 19))),
            Option(bid(1, NOTRUMP), (BALANCED, hcp(0, 14))),
        ]
    else:
        if opened >= hearts:
            options += [
                Option(bid(2, opened), (length(opened, 6), points(0, 15))),
            ]
        options += [
            Option(bid(3, NOTRUMP), (BALANCED, hcp(18, 19))),
            Option(bid(2, NOTRUMP), (BALANCED, hcp(0, 14))),
        ]
    options += _second_suits(table, opened, suit)
    options += _own_suit(table, opened)
    if not raises or options is not raises:
        options += raises
    if cheap and suit >= hearts:
        options += [Option(bid(2, suit), (length(suit, 3), short(1), support(suit, 0, 16)))]
    options += [
        Option(bid(3, NOTRUMP), (hcp(19 if cheap else 16),)),
        Option(bid(2, NOTRUMP), (hcp(17),)),
        Option(cheapest(opened, table.bid), (length(opened, 5), points(0, 17))),
        Option(cheapest(NOTRUMP, table.bid), (hcp(0, 16),)),
    ]
    return options + last_resorts(table)


def _after_notrump(table: Table, opened: int) -> list[Option]:
    """Partner answered 1NT: 6 to 10 and no fit."""
    return [
        Option(bid(3, NOTRUMP), (BALANCED, hcp(19))),
        Option(bid(2, NOTRUMP), (BALANCED, hcp(17, 18))),
        Option(PASS, (BALANCED, hcp(0, 16))),
        *_second_suits(table, opened, NOTRUMP),
        *_own_suit(table, opened),
        Option(bid(3, NOTRUMP), (hcp(19),)),
        Option(bid(2, NOTRUMP), (hcp(17, 18),)),
        Option(PASS, (hcp(0, 17),)),
        Option(PASS, fallback=True),
    ]


def _second_suits(table: Table, opened: int, answered: int) -> list[Option]:
    options: list[Option] = []
    barrier = bid(2, opened)
    for s in (spades, hearts, 1, 0):
        call = cheapest(s, table.bid)
        if s in (opened, answered) or call < bid(2, 0):
            continue
        if call < barrier:
            if call + 5 < bid(3, NOTRUMP):
                options.append(Option(call + 5, (points(19), length(s, 4)), 2, "", "jump shift"))
            options.append(Option(call, (points(0, 18), length(s, 4), UNBALANCED)))
        elif call < bid(3, opened):
            needs = (points(17), length(s, 4), length(opened, 5))
            options.append(Option(call, needs, 1, "", "reverse"))
    return options


def _own_suit(table: Table, opened: int) -> list[Option]:
    """Six cards, by strength."""
    six = length(opened, 6)
    call = cheapest(opened, table.bid)
    options: list[Option] = []
    if opened >= hearts:
        options.append(Option(bid(4, opened), (six, points(19))))
    else:
        options.append(Option(bid(3, NOTRUMP), (six, points(19))))
    if call < bid(3, opened):
        options += [
            Option(bid(3, opened), (six, points(16, 18))),
            Option(call, (six, points(0, 15))),
        ]
    else:
        options.append(Option(call, (six, points(0, 18)), 0))
    return options


def _to_double(table: Table, opened: int) -> list[Option]:
    """Partner's negative double: its major with four, else as without it."""
    if table.theirs and not table.right_passed:
        return competing(table)
    options: list[Option] = []
    for s in (spades, hearts):
        if table.partner.shortest[s] < 4 or s == opened:
            continue
        call, fit = cheapest(s, table.bid), length(s, 4)
        options.append(Option(bid(4, s), (fit, support(s, 18))))
        if call + 5 < bid(4, s):
            options.append(Option(call + 5, (fit, support(s, 15, 17))))
        options.append(Option(call, (fit, support(s, 0, 14))))
    strain = table.strain
    if strain != NOTRUMP:
        options += [
            Option(PASS, (length(strain, 5), stop(strain)), meaning="for penalties"),
            Option(bid(3, NOTRUMP), (hcp(18), stop(strain))),
            Option(cheapest(NOTRUMP, table.bid), (BALANCED, stop(strain), hcp(0, 17))),
        ]
    call = cheapest(opened, table.bid)
    if strain != NOTRUMP:
        options.append(Option(cheapest(strain, table.bid), (hcp(18),), 1, "cue", "strong"))
    if call + 5 < bid(4, opened):
        options.append(Option(call + 5, (length(opened, 6), points(16))))
    options.append(Option(call, (length(opened, 6),)))
    options += [
        Option(cheapest(s, table.bid), (length(s, 4),)) for s in range(4)
        if s not in (opened, strain)
    ]  # fmt: skip
    return [*options, Option(call, (length(opened, 5),)), *last_resorts(table)]
