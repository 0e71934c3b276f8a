"""Responses to one of a suit while the opponents pass: raises, new suits, notrump.

Source: standard American, ACBL SAYC booklet.
"""

from __future__ import annotations

from trine.bridge.calls import PASS, bid
from trine.bridge.rules.hand_features import Feature
from trine.bridge.rules.language import (
    BALANCED,
    NOTRUMP,
    Need,
    Option,
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

__all__ = ["jacoby_answers", "responses"]


def responses(table: Table) -> list[Option]:
    """Partner opened one of a suit, the opponents have passed, and I have not bid."""
    passed = table.mine.passes > 0
    opened = table.strain
    return _to_major(opened, passed) if opened >= hearts else _to_minor(opened, passed)


def _to_major(major: int, passed: bool) -> list[Option]:
    options = [
        Option(bid(4, major), (length(major, 5), hcp(0, 9), short(1)), meaning="to play"),
    ]
    if not passed:
        options += [
            Option(
                bid(2, NOTRUMP), (length(major, 4), support(major, 13)), 2, f"jacoby{major}",
                "Jacoby 2NT",
            ),
            *_game_with_three(major),
        ]  # fmt: skip
    options += [
        Option(bid(4, major), (length(major, 3), support(major, 13)), meaning="to play"),
        Option(bid(3, major), (length(major, 3), support(major, 10, 12)), meaning="limit raise"),
        Option(bid(2, major), (length(major, 3), support(major, 6, 9)), meaning="raise"),
    ]
    if major == hearts:
        options.append(Option(bid(1, spades), (points(6), length(spades, 4)), 1 - passed))
    options += _two_over_one(major, passed)
    no_fit: tuple[Need, ...] = (length(major, 0, 2),)
    if major == hearts:
        no_fit = (*no_fit, length(spades, 0, 3))
    return [
        *options,
        Option(bid(3, NOTRUMP), (hcp(15, 17), BALANCED, *no_fit)),
        Option(bid(3, NOTRUMP), (hcp(13), *no_fit)),
        *([Option(bid(2, NOTRUMP), (hcp(11, 12), *no_fit))] if passed else []),
        Option(bid(1, NOTRUMP), (hcp(6, 12 if not passed else 10), *no_fit)),
        Option(PASS, (hcp(0, 5),)),
        Option(PASS, fallback=True),
    ]


def _game_with_three(major: int) -> list[Option]:
    """Three trumps and game: a suit first, the raise next."""
    needs = (length(major, 3, 3), support(major, 13))
    options = [
        Option(bid(2, s), (*needs, length(s, 4 if s < hearts else 5), (Feature.LONG_LOW, s, s)), 1)
        for s in range(major)
    ]
    options += [
        Option(bid(2, s), (*needs, length(s, 4)), 1) for s in (clubs, diamonds) if s < major
    ]
    return options


def _two_over_one(opened: int, passed: bool) -> list[Option]:
    strength = points(10, 12) if passed else points(11)
    options: list[Option] = []
    for s in range(opened):
        cards = 5 if s == hearts or passed else 4
        options.append(Option(bid(2, s), (strength, length(s, cards), longest(s)), 1 - passed))
    if not passed:  # the longest suit is not below partner's; the cheapest four-card suit then
        options += [
            Option(bid(2, s), (points(12), length(s, 4)), 1)
            for s in (clubs, diamonds) if s < opened
        ]  # fmt: skip
    return options


def _to_minor(minor: int, passed: bool) -> list[Option]:
    enough = 4 if minor == diamonds else 5
    no_major = (length(hearts, 0, 3), length(spades, 0, 3))
    once = 1 - passed
    one = [
        Option(bid(1, s), (points(6), length(s, 5), longest(s)), once, meaning="")
        for s in (spades, hearts)
    ]
    # With a game, the longer minor first; with less, the major before it is too late.
    if minor == clubs:
        one.append(Option(bid(1, diamonds), (points(12), length(diamonds, 5), longest(diamonds)),
                          once))  # fmt: skip
    one += [Option(bid(1, s), (points(6), length(s, 4)), once) for s in (hearts, spades)]
    options = one
    if not passed:
        options += [
            Option(bid(3, NOTRUMP), (hcp(16, 17), BALANCED, *no_major)),
            Option(bid(2, NOTRUMP), (hcp(13, 15), BALANCED, *no_major), 2),
        ]
    else:
        options.append(Option(bid(2, NOTRUMP), (hcp(11, 12), BALANCED, *no_major)))
    raise_needs = (length(minor, enough), *no_major)
    options += [
        Option(bid(3, minor), (support(minor, 10, 12), *raise_needs), meaning="limit raise"),
        Option(bid(2, minor), (support(minor, 6, 9), *raise_needs), meaning="raise"),
    ]
    if minor == clubs:
        options.append(Option(bid(1, diamonds), (points(6), length(diamonds, 4), *no_major), once))
    else:
        options.append(Option(bid(2, clubs), (points(11), length(clubs, 4), *no_major), once))
    return [
        *options,
        *([] if passed else _strong_with_support(minor, raise_needs)),
        Option(bid(3, NOTRUMP), (hcp(13), *no_major)),
        Option(bid(2, NOTRUMP), (hcp(11, 12), *no_major)),
        Option(bid(1, NOTRUMP), (hcp(6, 10), *no_major)),
        Option(PASS, (hcp(0, 5),)),
        Option(PASS, fallback=True),
    ]


def _strong_with_support(minor: int, needs: tuple[Need, ...]) -> list[Option]:
    """No raise shows this: another suit first, on three cards if need be."""
    strong = (*needs, support(minor, 13))
    if minor == clubs:
        return [Option(bid(1, diamonds), (*strong, length(diamonds, 3)), 1)]
    return [Option(bid(2, clubs), (*strong, length(clubs, 3)), 1)]


def jacoby_answers(major: int) -> list[Option]:
    """Partner has four trumps and a game: shortness, else strength."""
    others = [s for s in range(4) if s != major]
    return [
        *(
            Option(bid(3, s), (length(s, 0, 1),), 2, meaning=f"short in {_WORDS[s]}")
            for s in others
        ),
        Option(bid(3, major), (points(18),), 2, meaning="extra strength"),
        Option(bid(3, NOTRUMP), (points(15, 17),), 2, meaning="medium strength"),
        Option(bid(4, major), (points(0, 14),), meaning="least strength"),
    ]


_WORDS = ("clubs", "diamonds", "hearts", "spades")
