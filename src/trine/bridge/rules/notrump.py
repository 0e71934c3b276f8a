"""After our notrump, opened, overcalled or rebid after 2C: Stayman, transfers, the arithmetic.

25 points make game, 33 and 37 the slams; the thresholds come from what partner has shown at least.
Source: standard American, ACBL SAYC booklet.
"""

from __future__ import annotations

from trine.bridge.calls import NUM_BIDS, PASS, bid
from trine.bridge.rules.language import (
    BALANCED,
    NOTRUMP,
    Option,
    cheapest,
    clubs,
    diamonds,
    hcp,
    hearts,
    length,
    longest,
    points,
    short,
    spades,
    support,
)
from trine.bridge.rules.table import Table

__all__ = [
    "after_stayman", "after_transfer", "stayman_answers", "to_notrump", "transfer_answers",
]  # fmt: skip

GAME, SLAM, GRAND = 25, 33, 37


def to_notrump(table: Table) -> list[Option]:
    """Partner's notrump is the last bid."""
    level, low = table.level, table.partner.low
    if level > 2:
        return [
            Option(bid(6, NOTRUMP), (hcp(SLAM - low),)),
            Option(bid(4, hearts), (length(hearts, 6), hcp(0, SLAM - low - 1))),
            Option(bid(4, spades), (length(spades, 6), hcp(0, SLAM - low - 1))),
            Option(PASS, (hcp(0, SLAM - 1 - low),)),
        ]
    game, up = GAME - low, level + 1
    # An invitation there is over 1NT only; a good suit counts with a fifth card.
    worth = game - 2 if level == 1 else game
    options = [
        Option(bid(7, NOTRUMP), (hcp(GRAND - low),)),
        Option(bid(6, NOTRUMP), (hcp(SLAM - low, GRAND - 1 - low), BALANCED)),
        Option(bid(up, hearts), (length(spades, 5), longest(spades)), 1, "transfer3", "transfer"),
        Option(bid(up, diamonds), (length(hearts, 5),), 1, "transfer2", "transfer"),
        *(
            Option(
                bid(up, clubs), (hcp(worth), short(2), length(suit, 4, 4)), 1, "stayman", "Stayman"
            )
            for suit in (spades, hearts)
        ),
        # 4333 plays like notrump: no gain from the fit.
        *(
            Option(bid(up, clubs), (hcp(worth + 3), length(suit, 4, 4)), 1, "stayman", "Stayman")
            for suit in (spades, hearts)
        ),
    ]
    if level == 1:
        weak = (hcp(0, game - 3), length(hearts, 0, 4), length(spades, 0, 4))
        options += [
            Option(bid(2, spades), (*weak, length(suit, 6)), 1, "minor", "to play in a minor")
            for suit in (clubs, diamonds)
        ]
    options += [
        Option(bid(6, NOTRUMP), (hcp(SLAM - low),)),
        Option(
            bid(4, NOTRUMP), (hcp(SLAM - 2 - low, SLAM - 1 - low), BALANCED), 0, "quantitative",
            "quantitative",
        ),
        Option(bid(3, NOTRUMP), (hcp(game, SLAM - 1 - low),)),
    ]  # fmt: skip
    if level == 1:
        options += [
            Option(bid(3, NOTRUMP), (hcp(game - 1), points(game + 1))),
            Option(bid(2, NOTRUMP), (hcp(game - 2, game - 1),)),
            Option(bid(2, NOTRUMP), (hcp(game - 3), points(game - 2))),
        ]
    return [*options, Option(PASS, (hcp(0, game - 1),))]


def stayman_answers(table: Table) -> list[Option]:
    """A four-card major, hearts first, or diamonds."""
    level = table.level
    return [
        Option(bid(level, hearts), (length(hearts, 4),), tag="answer"),
        Option(bid(level, spades), (length(spades, 4), length(hearts, 0, 3)), tag="answer"),
        Option(
            bid(level, diamonds), (length(hearts, 0, 3), length(spades, 0, 3)), 1, "answer",
            "no four-card major",
        ),
    ]  # fmt: skip


def after_stayman(table: Table) -> list[Option]:
    """My Stayman is answered: raise the major, or notrump, which shows the other one."""
    low, level, found = table.partner.low, table.level, table.strain
    game = GAME - low
    options: list[Option] = []
    other: tuple[tuple[int, int, int], ...] = ()
    if found >= hearts:
        fit = length(found, 4)
        options += [
            Option(bid(6, found), (fit, support(found, SLAM - low))),
            Option(bid(4, found), (fit, support(found, game, SLAM - 1 - low))),
        ]
        if level == 2:
            options.append(Option(bid(3, found), (fit, support(found, game - 2, game - 1))))
        if found == hearts:
            other = (length(spades, 4),)
    options += [
        Option(bid(6, NOTRUMP), (hcp(SLAM - low),)),
        Option(bid(4, NOTRUMP), (hcp(SLAM - 2 - low, SLAM - 1 - low), *other), 0, "quantitative",
               "quantitative"),
        Option(bid(3, NOTRUMP), (hcp(game, SLAM - 1 - low), *other)),
    ]  # fmt: skip
    if level == 2:
        options.append(Option(bid(2, NOTRUMP), (hcp(game - 2, game - 1), *other)))
    return [*options, Option(cheapest(NOTRUMP, table.bid), fallback=True)]


def transfer_answers(table: Table, suit: int) -> list[Option]:
    """Into the suit; with four trumps and the most, one higher."""
    level, high = table.level, table.mine.high
    options: list[Option] = []
    if level == 2 and high < NUM_BIDS:
        options.append(
            Option(bid(3, suit), (length(suit, 4), hcp(high)), meaning="maximum with four trumps")
        )
    return [*options, Option(bid(level, suit), meaning="completes the transfer")]


def after_transfer(table: Table, suit: int) -> list[Option]:
    """My transfer is completed."""
    low, level = table.partner.low, table.level
    game = GAME - low
    options = [
        Option(bid(6, suit), (length(suit, 6), support(suit, SLAM - low))),
        Option(bid(6, NOTRUMP), (hcp(SLAM - low), BALANCED)),
        Option(bid(4, suit), (length(suit, 6), support(suit, game, SLAM - 1 - low))),
    ]
    super_accepted = (
        level == 3 and table.bid > bid(3, diamonds) and table.partner.shortest[suit] > 3
    )
    if super_accepted:
        options.append(Option(bid(4, suit), (support(suit, game - 2),)))
        return [*options, Option(PASS)]
    if level == 2:
        options.append(Option(bid(3, suit), (length(suit, 6), support(suit, game - 2, game - 1))))
    seconds = [s for s in range(4) if s != suit and cheapest(s, table.bid) < bid(3, NOTRUMP)]
    options += [
        Option(cheapest(s, table.bid), (points(game + 1), length(s, 4), short(1)), 2)
        for s in seconds if cheapest(s, table.bid) > bid(2, NOTRUMP)
    ]  # fmt: skip
    options += [
        Option(bid(4, NOTRUMP), (hcp(SLAM - 2 - low, SLAM - 1 - low), BALANCED), 0, "quantitative",
               "quantitative"),
        Option(bid(3, NOTRUMP), (hcp(game, SLAM - 1 - low),)),
        Option(bid(3, NOTRUMP), (hcp(game - 1), points(game + 1)))
    ]  # fmt: skip
    if level == 2:
        options.append(Option(bid(2, NOTRUMP), (hcp(game - 2, game - 1),)))
    return [*options, Option(PASS, (hcp(0, game - 1),)), Option(PASS, fallback=True)]
