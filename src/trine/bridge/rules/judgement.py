"""What to do when no table is written: from the points and lengths that both have shown.

Game needs 25 points together in notrump, 25 with support points in a major, 28 in a minor; with
less at the most, the cheapest playable contract; between, an invitation.
"""

from __future__ import annotations

from trine.bridge.calls import PASS, bid
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
    honours,
    length,
    level_of,
    points,
    short,
    stop,
    support,
)
from trine.bridge.rules.slams import SLAM, slam_tries, trump_needs
from trine.bridge.rules.table import Table

__all__ = ["GAME", "games", "improvements", "invitations", "judgement", "last_resorts", "stoppers"]

GAME = 25
MINOR_GAME = 28


def judgement(table: Table) -> list[Option]:
    """All of it while the last bid is ours, best first."""
    options = [*slam_tries(table), *games(table), *invitations(table)]
    options += improvements(table)
    if table.forced:
        return options + last_resorts(table)
    return [*options, Option(PASS, (hcp(0, max(GAME - table.partner.expected, 0)),)), _PASS]


_PASS = Option(PASS, fallback=True)


def stoppers(table: Table) -> tuple[Need, ...]:
    """In the suits of the opponents, unless partner has promised them."""
    if table.partner.stops:
        return ()
    return tuple(stop(s) for s in table.their_suits)


def _agreed(table: Table) -> int | None:
    """The major that both know to be ours."""
    return next((s for s in MAJORS if table.shown(s) >= 8), None)


def games(table: Table) -> list[Option]:
    """In a major with eight trumps, in notrump, in a minor."""
    partner = table.partner
    game = GAME - partner.expected
    most = SLAM - 1 - partner.low
    options: list[Option] = []
    if table.ours and table.bid >= bid(3, NOTRUMP) and table.partners_call == table.bid:
        return _corrections(table)
    for suit in sorted(MAJORS, key=table.shown, reverse=True):
        needs = trump_needs(table, suit)
        if needs is not None and table.bid < bid(4, suit):
            options.append(Option(bid(4, suit), (*needs, support(suit, game, max(most, game)))))
    for suit in MAJORS:
        if table.bid < bid(4, suit) and suit not in table.their_suits:
            seven = (length(suit, 7), honours(suit, 4), points(max(game - 2, 14)))
            options.append(Option(bid(4, suit), seven))
    if table.bid < bid(3, NOTRUMP) and _agreed(table) is None:
        stops = stoppers(table)
        strength = hcp(game, max(most, game))
        options.append(Option(bid(3, NOTRUMP), (strength, *stops)))
        options.append(Option(bid(3, NOTRUMP), (hcp(game - 1), points(game + 1), *stops)))
    for suit in (diamonds, clubs):
        needs = trump_needs(table, suit, 9)
        if needs is not None and table.bid < bid(5, suit):
            worth = support(suit, MINOR_GAME - partner.expected)
            options.append(Option(bid(5, suit), (*needs, worth, short(1))))
    if table.forced or (table.ours and partner.acted):  # strength for game, and no place shown
        for suit in MAJORS:
            if table.bid < bid(4, suit) and partner.shortest[suit] + table.mine.shortest[suit] >= 5:
                needs = (length(suit, 6), points(game + 1))
                options.append(Option(bid(4, suit), needs))
        if table.bid < bid(3, NOTRUMP) and _agreed(table) is None:
            options.append(Option(bid(3, NOTRUMP), (hcp(game + 1, max(most, game + 1)),)))
    return options


def _corrections(table: Table) -> list[Option]:
    """Partner chose a game: another strain of the same level only for a known fit."""
    if table.bid != bid(3, NOTRUMP) or _agreed(table) is not None:
        return []
    options = [
        Option(bid(4, s), (length(s, max(table.fit(s), 3)),))
        for s in MAJORS if table.partner.shortest[s] >= 4
    ]  # fmt: skip
    own = [s for s in MAJORS if table.partner.shortest[s] >= 2]
    options += [Option(bid(4, s), (length(s, 6), short(1))) for s in own]
    return options + [Option(bid(4, s), (length(s, 7),)) for s in MAJORS]


def invitations(table: Table) -> list[Option]:
    """A level below game, when partner's range leaves it open."""
    partner = table.partner
    low, high = GAME - partner.hoped, GAME - 1 - partner.expected
    options: list[Option] = []
    if high < low or partner.high == partner.low:
        return options
    for suit in sorted(MAJORS, key=table.shown, reverse=True):
        needs = trump_needs(table, suit)
        if needs is not None and table.bid < bid(3, suit):
            options.append(Option(bid(3, suit), (*needs, support(suit, low, high))))
    if _agreed(table) is None and table.bid < bid(2, NOTRUMP):
        options.append(Option(bid(2, NOTRUMP), (hcp(low, high), *stoppers(table))))
    for suit in (diamonds, clubs):
        needs = trump_needs(table, suit)
        if needs is not None and table.bid < bid(3, suit) and partner.shortest[suit] >= 4:
            options.append(Option(bid(3, suit), (*needs, support(suit, low + 1, high + 1))))
    return options


def improvements(table: Table) -> list[Option]:
    """A better strain at about the same level: partner's other suit, a long one of my own."""
    if table.bid >= bid(3, NOTRUMP) or not table.ours:
        return []
    partner, now = table.partner, table.strain
    options: list[Option] = []
    if table.level == 1 and now != NOTRUMP and partner.acted and partner.high >= 18:
        # Partner may be strong: keep it open with a fit or some points.
        options.append(Option(bid(2, now), (length(now, max(table.fit(now), 3)), support(now, 7))))
        options.append(Option(bid(1, NOTRUMP), (hcp(7), length(now, 0, 3))))
    for suit in range(4):
        call = cheapest(suit, table.bid)
        if suit == now or level_of(call) > max(table.level, 2):
            continue
        shown = partner.shortest[suit]
        here = partner.shortest[now] if now != NOTRUMP else 0
        if shown >= 3 and now != NOTRUMP and here >= 3:  # preference
            gap = here - shown + (suit < hearts)
            options += [
                Option(
                    call, (length(now, k, k), length(suit, max(k + gap, 2))), meaning="preference"
                )
                for k in range(4)
            ]
        elif now == NOTRUMP and shown >= 5:
            options.append(Option(call, (length(suit, 3), short(1)), meaning="preference"))
        if call < bid(3, clubs):
            thin = (length(now, 0, 2),) if now != NOTRUMP else ()
            options.append(Option(call, (length(suit, 6), *thin)))
            if suit >= hearts and now != NOTRUMP and here < 6:
                options.append(Option(call, (length(suit, 5), length(now, 0, 1))))
    return options


def last_resorts(table: Table) -> list[Option]:
    """A pass is not allowed: something playable, the cheapest first."""
    partner = table.partner
    options: list[Option] = []
    known = sorted(range(4), key=lambda s: (-partner.shortest[s], -s))
    for suit in known:
        if partner.shortest[suit] >= 3:
            need = max(8 - partner.shortest[suit], 2)
            options.append(Option(cheapest(suit, table.bid), (length(suit, need),)))
    theirs = table.their_suits
    own = [s for s in range(4) if s not in theirs]
    for cards in (6, 5, 4):
        for suit in sorted(own, key=lambda s: cheapest(s, table.bid)):
            if cards > 4 or partner.shortest[suit] == 0:
                options.append(Option(cheapest(suit, table.bid), (length(suit, cards),)))
    notrump = cheapest(NOTRUMP, table.bid)
    if notrump <= bid(3, NOTRUMP):
        options.append(Option(notrump, stoppers(table)))
    for suit in known:
        if partner.shortest[suit] >= 3:
            options.append(Option(cheapest(suit, table.bid), (length(suit, 2),), fallback=True))
    if notrump <= bid(3, NOTRUMP):
        options.append(Option(notrump, fallback=True))
    options += [
        Option(cheapest(s, table.bid), (length(s, 3),), fallback=True)
        for s in sorted(own, key=lambda s: cheapest(s, table.bid))
    ]
    return [*options, Option(cheapest(known[0], table.bid), fallback=True)]
