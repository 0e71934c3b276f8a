"""The opponents opened and partner overcalled or doubled.

Source: standard American, ACBL SAYC booklet.
"""

from __future__ import annotations

from trine.bridge.calls import PASS, bid
from trine.bridge.rules.competing import law_raises, penalty_doubles
from trine.bridge.rules.judgement import GAME, games, invitations, last_resorts, stoppers
from trine.bridge.rules.language import (
    NOTRUMP,
    Option,
    cheapest,
    hcp,
    hearts,
    honours,
    length,
    level_of,
    longest,
    points,
    spades,
    stop,
    support,
)
from trine.bridge.rules.overcalls import unbid
from trine.bridge.rules.table import Table

__all__ = ["advances", "to_takeout", "to_two_suits"]


def advances(table: Table) -> list[Option]:
    """Partner bid a suit, or notrump that is no system any more, and I have not acted."""
    options = games(table)
    if table.theirs:
        options += penalty_doubles(table)
    options += invitations(table)
    for s in unbid(table):
        call = cheapest(s, table.bid)
        if table.partner.shortest[s] or call > bid(3, spades):
            continue
        lowest = {1: 8, 2: 10, 3: 13}[level_of(call)]
        fit = tuple(length(t, 0, 2) for t in range(4) if table.partner.shortest[t] >= 4)
        options.append(Option(call, (points(lowest), length(s, 5), longest(s), *fit), 1))
    options += law_raises(table)
    if table.bid < bid(1, NOTRUMP):
        options.append(Option(bid(1, NOTRUMP), (hcp(8, 12), *stoppers(table))))
    if table.forced:
        return options + last_resorts(table)
    low = table.partner.low
    return [*options, Option(PASS, (hcp(0, max(GAME - 3 - low, 5)),)), Option(PASS, fallback=True)]


def to_takeout(table: Table) -> list[Option]:
    """Partner asks for my best suit: cheap with 0 to 8, a jump with 9 to 11, game with 12."""
    suits, low = unbid(table), 0 if table.right_passed else 5
    extra = max(table.partner.low - 12, 0)
    strain, now = table.strain, table.bid
    options: list[Option] = []
    own = [s for s in range(4) if table.partner.shortest[s] >= 5 and s not in table.their_suits]
    for s in own:  # partner has bid before: its suit with three
        options += [o for o in games(table) if o.call % 5 == s]
        options.append(Option(cheapest(s, now), (length(s, max(table.fit(s), 2)),)))
    game, jump = 12 - min(extra, 3), 9 - min(extra, 2)
    for s in suits:
        if s >= hearts and bid(4, s) > now:
            options.append(Option(bid(4, s), (support(s, game), length(s, 5))))
            options.append(Option(bid(4, s), (support(s, game + 1), length(s, 4))))
    if strain != NOTRUMP and bid(3, NOTRUMP) > now:
        options.append(Option(bid(3, NOTRUMP), (hcp(game + 1), stop(strain))))
    if table.right_passed and strain != NOTRUMP:
        cards, worth = (5, 4) if table.level == 1 else (4, 4)
        needs = (length(strain, cards), honours(strain, worth), hcp(7))
        options.append(Option(PASS, needs, 0, "penalty", "for penalties"))
    for s in suits:
        call = cheapest(s, now) + 5
        if s >= hearts and call < bid(4, s):
            options.append(Option(call, (support(s, jump, game), length(s, 4))))
    for s in suits:
        call = cheapest(s, now) + 5
        if s < hearts and call < bid(4, 0):
            options.append(Option(call, (points(jump + 1, game + 1), length(s, 5))))
    if strain != NOTRUMP:
        call = cheapest(NOTRUMP, now)
        if call <= bid(2, NOTRUMP):
            lowest = 7 if call == bid(1, NOTRUMP) else 10
            options.append(
                Option(call, (hcp(lowest, 11), stop(strain), length(spades, 0, 3), length(hearts, 0,
                                                                                          3)))
            )  # fmt: skip
            if call == bid(1, NOTRUMP):
                options.append(Option(bid(2, NOTRUMP), (hcp(11, 12), stop(strain))))
    for cards in (5, 4):
        for s in suits:
            long = (longest(s),) if cards == 5 else ()
            options.append(Option(cheapest(s, now), (hcp(low, 11), length(s, cards), *long)))
    if not table.right_passed:
        return [*options, Option(PASS, (hcp(0, 8),)), Option(PASS, fallback=True)]
    # Four cards or more only in their suit: three somewhere.
    ordered = sorted(suits, key=lambda s: cheapest(s, now))
    options += [Option(cheapest(s, now), (length(s, 4),), fallback=True) for s in ordered]
    options += [Option(cheapest(s, now), (length(s, 3),), fallback=True) for s in ordered]
    options += [Option(cheapest(s, now), fallback=True) for s in ordered]
    return [*options, Option(PASS, fallback=True)]


def to_two_suits(table: Table, suits: list[int]) -> list[Option]:
    """Partner showed five cards in each of two suits (over a major: in one, and a minor)."""
    options: list[Option] = []
    for s in suits:
        if s >= hearts:
            options += [
                Option(bid(4, s), (length(s, 3), support(s, 12))),
                Option(bid(4, s), (length(s, 4), support(s, 9))),
                Option(bid(3, s), (length(s, 3), support(s, 9, 11))),
            ]
        else:
            options.append(Option(bid(5, s), (length(s, 4), support(s, 13))))
    options.append(Option(bid(3, NOTRUMP), (hcp(15), *stoppers(table))))
    for cards in (4, 3):
        options += [Option(cheapest(s, table.bid), (length(s, cards),)) for s in suits]
    if len(suits) == 1:  # the minor is unknown: clubs asks, and partner corrects
        options.append(Option(cheapest(0, table.bid), (length(suits[0], 0, 1),), 0, "which"))
    options += [
        Option(cheapest(s, table.bid), tuple(length(s, k + 0) for k in (2,)), fallback=True)
        for s in suits
    ]
    if not table.right_passed:
        options.append(Option(PASS))
    return [*options, Option(cheapest(suits[0], table.bid), fallback=True)]
