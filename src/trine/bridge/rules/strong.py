"""The strong 2C opening and what follows; weak hands opposite a preempt.

Source: standard American, ACBL SAYC booklet.
"""

from __future__ import annotations

from trine.bridge.calls import PASS, bid
from trine.bridge.rules.language import (
    BALANCED,
    NOTRUMP,
    Option,
    cheapest,
    clubs,
    diamonds,
    hcp,
    hearts,
    honours,
    length,
    longest,
    short,
    spades,
    stop,
    support,
)
from trine.bridge.rules.table import Table

__all__ = ["strong_rebids", "to_preempt", "to_strong"]


def to_strong(table: Table) -> list[Option]:
    """Partner opened 2C."""
    good = hcp(8)
    suits = [
        Option(cheapest(s, table.bid), (good, length(s, 5), longest(s), honours(s, 3)), 2)
        for s in (spades, hearts, clubs, diamonds)
        if cheapest(s, table.bid) != bid(2, diamonds)  # that one waits
    ]
    if table.bid != bid(2, clubs):  # overcalled: a pass waits
        return [*suits, Option(PASS)]
    return [
        *suits,
        Option(bid(2, NOTRUMP), (good, BALANCED), 2),
        Option(bid(2, diamonds), (hcp(0),), 1, "waiting", "waiting"),
    ]


def strong_rebids(table: Table) -> list[Option]:
    """I opened 2C and partner waited: notrump by strength, or my suit."""
    options = [
        Option(bid(3, NOTRUMP), (hcp(25, 27), BALANCED), 0, "notrump"),
        Option(bid(2, NOTRUMP), (hcp(22, 24), BALANCED), 0, "notrump"),
    ]
    options += [
        Option(cheapest(s, table.bid), (length(s, 5), longest(s)), 2)
        for s in (spades, hearts, diamonds, clubs)
    ]
    options += [
        Option(cheapest(s, table.bid), (length(s, 4), longest(s)), 2)
        for s in (hearts, spades, diamonds, clubs)
    ]
    return options


def to_preempt(table: Table) -> list[Option]:
    """Partner has a long suit and little else: raise to the level of our trumps, or with tricks."""
    level, suit = table.level, table.strain
    if suit == NOTRUMP:
        return [Option(PASS)]
    cards = table.partner.shortest[suit] or level + 4
    options: list[Option] = []
    if suit >= hearts and level < 4:
        options += [
            Option(bid(4, NOTRUMP), (length(suit, 2), support(suit, 21), hcp(19)), 1,
                   "aces", "Blackwood"),
            Option(bid(4, suit), (length(suit, 3), hcp(14 if level == 2 else 12))),
            Option(bid(4, suit), (length(suit, 2), hcp(16))),
            Option(bid(4, suit), (length(suit, 1), hcp(17), short(1))),
            Option(bid(4, suit), (length(suit, 10 - cards), hcp(0, 12)), meaning="to the level of "
                   "our trumps"),
        ]  # fmt: skip
    if level == 2:
        options += [
            Option(bid(4, s), (hcp(16), length(s, 6), honours(s, 4)))
            for s in (spades, hearts) if s != suit
        ]  # fmt: skip
    if suit < hearts and level < 4:
        others = tuple(stop(s) for s in range(4) if s != suit)
        options.append(Option(bid(3, NOTRUMP), (length(suit, 2), hcp(15), *others)))
        if level == 3:
            options.append(Option(bid(5, suit), (length(suit, 3), hcp(16))))
            needs = (length(suit, 10 - cards), hcp(0, 12))
            options.append(Option(bid(4, suit), needs, meaning="in the way"))
    if level == 2:
        options.append(Option(bid(3, NOTRUMP), (hcp(17), length(suit, 2))))
        needs = (length(suit, 3), hcp(0, 13))
        options.append(Option(bid(3, suit), needs, meaning="in the way"))
    return [*options, Option(PASS, (hcp(0, 16),)), Option(PASS, fallback=True)]
