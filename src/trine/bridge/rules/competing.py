"""Later rounds when the opponents have bid last: raise, double, or let them play.

A weak raise follows the law of total tricks (Vernes 1966; Cohen 1992): as many tricks as the side
has trumps. A penalty double needs more points together than their level leaves them.
"""

from __future__ import annotations

from trine.bridge.calls import DOUBLE, PASS, bid
from trine.bridge.rules.judgement import GAME, games, invitations, last_resorts, stoppers
from trine.bridge.rules.language import (
    NOTRUMP,
    Option,
    cheapest,
    clubs,
    hcp,
    hearts,
    honours,
    length,
    level_of,
    points,
    support,
)
from trine.bridge.rules.slams import slam_tries
from trine.bridge.rules.table import Table

__all__ = ["competing", "law_raises", "penalty_doubles", "reopening"]

# Points together that double a suit contract, notrump, of a level.
_TO_DOUBLE = {1: 40, 2: 25, 3: 23, 4: 21, 5: 19, 6: 16, 7: 12}
_TO_DOUBLE_NOTRUMP = {1: 21, 2: 20, 3: 18, 4: 16, 5: 15, 6: 12, 7: 9}


def competing(table: Table) -> list[Option]:
    """The opponents have bid last, and both of us have had a say."""
    options = [*slam_tries(table), *games(table)]
    options += penalty_doubles(table)
    if table.mine.tag == "preempt" and not table.forced:  # it said all it had
        return [*options, Option(PASS)]
    options += invitations(table)
    options += law_raises(table)
    options += _own_suit(table)
    if table.forced:
        return options + last_resorts(table)
    return [*options, Option(PASS, (hcp(0, max(GAME - table.partner.expected, 0)),)), _PASS]


_PASS = Option(PASS, fallback=True)


def penalty_doubles(table: Table) -> list[Option]:
    """Their contract is clearly too high."""
    if not table.theirs or table.doubled:
        return []
    low, strain, level = table.partner.low, table.strain, table.level
    if strain == NOTRUMP:
        return [Option(DOUBLE, (hcp(_TO_DOUBLE_NOTRUMP[level] - low),), meaning="penalty")]
    # With many trumps of our own, there are fewer tricks for us in them on defence.
    enough = _TO_DOUBLE[level] - low + 2 * any(table.shown(s) >= 9 for s in range(4))
    options = [
        Option(DOUBLE, (hcp(max(enough, 8)), length(strain, 2)), 0, "penalty", "penalty"),
        Option(DOUBLE, (hcp(max(enough + 2, 10)),), 0, "penalty", "penalty"),
    ]
    if level >= 3 or (level == 2 and table.partner.acted):
        options.append(
            Option(
                DOUBLE, (hcp(max(enough - 4, 8)), length(strain, 4), honours(strain, 3)), 0,
                "penalty", "penalty",
            )
        )  # fmt: skip
    return options


def law_raises(table: Table) -> list[Option]:
    """To the level of our trumps."""
    options: list[Option] = []
    partner = table.partner
    for suit in sorted(range(4), key=lambda s: (-table.shown(s), -s)):
        shown = partner.shortest[suit]
        call = cheapest(suit, table.bid)
        level = level_of(call)
        if shown < 3 or level > 4 or (suit < hearts and level > 3) or suit in _bid_by_them(table):
            continue
        # Beyond the level that the points carry, vulnerability counts.
        least = (0, 4, 16, 17, 18 + table.we_are_vulnerable)[level] - partner.low
        needs = (length(suit, max(level + 6 - shown, 2)), support(suit, max(least, 3)))
        options.append(Option(call, needs, meaning="to the level of our trumps"))
    return options


def _bid_by_them(table: Table) -> list[int]:
    return [
        s for s in range(4) if max(table.left.shortest[s], table.right.shortest[s]) >= 4
    ]  # fmt: skip


def _own_suit(table: Table) -> list[Option]:
    """A long suit again, or for the first time."""
    options: list[Option] = []
    low = table.partner.low
    for suit in range(4):
        call = cheapest(suit, table.bid)
        level = level_of(call)
        if level > 3 or suit in _bid_by_them(table):
            continue
        cards = 6 if level == 2 or low >= 6 else 7
        if level == 1:
            cards = 5
        worth = {1: 8, 2: 12, 3: 15}[level] - min(low // 2, 4)
        needs = (length(suit, cards), points(max(worth, 6)), honours(suit, 3))
        options.append(Option(call, needs))
    return options


def reopening(table: Table, opened: int) -> list[Option]:
    """I opened, partner has passed, and the opponents have bid."""
    if not table.theirs:
        return [Option(PASS)]
    strain, level = table.strain, table.level
    options: list[Option] = []
    if strain != NOTRUMP and level <= 3:
        theirs = (length(strain, 0, 2),)
        others = [s for s in range(4) if s not in table.their_suits and s != opened]
        shape = tuple(length(s, 3) for s in others)
        if table.last_chance and level <= 2:
            options.append(Option(DOUBLE, (*theirs, hcp(11), length(opened, 0, 5)), 1, "takeout",
                                  "takeout"))  # fmt: skip
        options.append(Option(DOUBLE, (*theirs, *shape, hcp(14 + level)), 1, "takeout", "takeout"))
        options.append(Option(DOUBLE, (hcp(18),), 1, "takeout", "strong takeout"))
        if level <= 2:
            options.append(
                Option(cheapest(NOTRUMP, table.bid), (hcp(18, 20), *stoppers(table)), 0, "")
            )
    for cards, worth in ((6, (0, 11, 11, 15)), (5, (0, 12, 40, 40))):
        call = cheapest(opened, table.bid)
        at = level_of(call)
        if at <= 3 and (table.last_chance or at < 3):
            options.append(Option(call, (length(opened, cards), points(worth[at] + 1))))
    for s in range(4):
        call = cheapest(s, table.bid)
        if s != opened and s not in table.their_suits and call < bid(3, clubs):
            options.append(Option(call, (length(s, 4), length(opened, 5), points(13))))
    return [*options, Option(PASS)]
