"""Partner opened, and the next hand has come in: raises, new suits, the negative double.

Source: standard American, ACBL SAYC booklet.
"""

from __future__ import annotations

from trine.bridge.calls import DOUBLE, PASS, bid
from trine.bridge.rules.competing import law_raises, penalty_doubles
from trine.bridge.rules.judgement import GAME, games, invitations, last_resorts, stoppers
from trine.bridge.rules.language import (
    NOTRUMP,
    Option,
    cheapest,
    hcp,
    hearts,
    length,
    level_of,
    longest,
    points,
    spades,
    support,
)
from trine.bridge.rules.overcalls import unbid
from trine.bridge.rules.table import Table

__all__ = ["over_our_notrump", "over_our_suit"]


def over_our_suit(table: Table) -> list[Option]:
    """Partner opened one of a suit, the next hand overcalled or doubled, and I have not acted."""
    opened = table.partner.suit
    options: list[Option] = []
    fit = length(opened, 3)
    if opened >= hearts:
        low = table.partner.low
        options += [
            Option(bid(4, opened), (fit, support(opened, GAME - low))),
            Option(bid(4, opened), (length(opened, 5), hcp(0, 9)), meaning="in the way"),
            *_limit_raise(table, opened, low),
            Option(bid(3, opened), (length(opened, 4), hcp(3, 8)), meaning="in the way"),
            Option(bid(2, opened), (fit, support(opened, 5, 9))),
        ]
    suits = [s for s in unbid(table) if s != opened]
    for s in suits:
        call = cheapest(s, table.bid)
        if call <= bid(1, spades):
            options.append(Option(call, (points(6), length(s, 5), longest(s)), 1))
        elif call <= bid(3, spades):
            worth = 10 if call < bid(3, 0) else 12
            options.append(Option(call, (points(worth), length(s, 5), longest(s)), 1))
    if table.theirs and table.strain != NOTRUMP:
        options += _negative(table, suits)
    elif table.ours:  # a double: as if it had not been there, at the one level
        for s in suits:
            if cheapest(s, table.bid) <= bid(1, spades):
                options.append(Option(cheapest(s, table.bid), (points(6), length(s, 4)), 1))
    elif table.theirs:
        options += penalty_doubles(table)
    stops = stoppers(table)
    if table.bid < bid(3, NOTRUMP):
        options.append(Option(bid(3, NOTRUMP), (hcp(13), *stops)))
    if table.bid < bid(2, NOTRUMP):
        options.append(Option(bid(2, NOTRUMP), (hcp(11, 12), *stops)))
    if table.bid < bid(1, NOTRUMP):
        options.append(Option(bid(1, NOTRUMP), (hcp(7, 10), *stops)))
    if opened < hearts:
        enough = length(opened, 4 if opened else 5)
        options += [
            Option(bid(3, opened), (enough, support(opened, 10, 13))),
            Option(bid(3, opened), (length(opened, 5), hcp(3, 8)), meaning="in the way"),
            Option(bid(2, opened), (enough, support(opened, 5, 9))),
        ]
    options += games(table)
    options += [o for o in law_raises(table) if level_of(o.call) <= 3]
    return [*options, Option(PASS, (hcp(0, 9),)), Option(PASS, fallback=True)]


def _limit_raise(table: Table, opened: int, low: int) -> list[Option]:
    """Three trumps and 10 points or more: 2NT over a double, a cue-bid over an overcall."""
    needs = (length(opened, 3), support(opened, 10, GAME - 1 - low))
    cue = bid(2, NOTRUMP) if table.ours else cheapest(table.strain, table.bid)
    if table.ours or (table.strain != NOTRUMP and cue < bid(3, opened)):
        return [Option(cue, needs, 1, "raise", "limit raise or better")]
    return [Option(bid(3, opened), needs)]


def _negative(table: Table, suits: list[int]) -> list[Option]:
    """For the unbid majors; with enough strength, for want of anything better."""
    majors = [s for s in suits if s >= hearts]
    worth = {1: 6, 2: 8, 3: 9, 4: 11}.get(table.level, 40)
    options: list[Option] = []
    if table.level == 1 and len(majors) == 2:
        needs = (length(hearts, 4), length(spades, 4))
        options.append(Option(DOUBLE, (hcp(6), *needs), 1, "negative", "negative"))
        options += [
            Option(cheapest(s, table.bid), (points(6), length(s, 4)), 1)
            for s in majors if cheapest(s, table.bid) <= bid(1, spades)
        ]  # fmt: skip
    elif (
        len(majors) == 1
        and cheapest(majors[0], table.bid) <= bid(1, spades)
        and (table.strain != hearts)
    ):
        options.append(Option(cheapest(majors[0], table.bid), (points(6), length(majors[0], 4)), 1))
    else:
        options += [
            Option(DOUBLE, (hcp(worth), length(s, 4)), 1, "negative", "negative") for s in majors
        ]
    return options


def over_our_notrump(table: Table) -> list[Option]:
    """Partner opened 1NT and they bid a suit: natural; two of a suit is to play."""
    partner, suits = table.partner, unbid(table)
    low = partner.low
    game = GAME - low
    options: list[Option] = []
    for s in suits:
        call = cheapest(s, table.bid)
        if s >= hearts and bid(4, s) > table.bid:
            options.append(Option(bid(4, s), (length(s, 6), points(game + 1))))
        if level_of(call) == 3 and s >= hearts:
            options.append(Option(call, (length(s, 5), hcp(game)), 1))
    if table.bid < bid(3, NOTRUMP):
        options.append(Option(bid(3, NOTRUMP), (hcp(game), *stoppers(table))))
    if table.theirs and not table.doubled and table.level <= 4 and table.strain != NOTRUMP:
        strain = table.strain
        options.append(Option(DOUBLE, (hcp(8), length(strain, 3)), 0, "penalty", "penalty"))
        options.append(Option(DOUBLE, (hcp(game),), 0, "penalty", "values"))
    for s in suits:
        call = cheapest(s, table.bid)
        if level_of(call) == 2:
            options.append(Option(call, (length(s, 5), points(5, game))))
        elif level_of(call) == 3:
            options.append(Option(call, (length(s, 6), points(7, game))))
    options += games(table) + invitations(table)
    if table.forced:
        options += last_resorts(table)
    return [*options, Option(PASS, (hcp(0, game - 1),)), Option(PASS, fallback=True)]
