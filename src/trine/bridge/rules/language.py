"""Bidding rules as data: a call, the hands that make it, and what it asks of partner.

An `Option` says: make this call if these features of the hand lie in these ranges. The first option
of a list that fits is chosen; and the same list, read the other way, tells what a call shows
(`trine.bridge.rules.knowledge`). So the bidder understands its partner by the very rules by which
the partner bids, and there is no second table of meanings to keep in step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from trine.bridge.calls import NUM_BIDS
from trine.bridge.rules.hand_features import Feature

__all__ = [
    "BALANCED", "MAJORS", "NOTRUMP", "UNBALANCED", "Need", "Option", "cheapest", "clubs",
    "describe", "diamonds", "hcp", "hearts", "honours", "length", "level_of", "longest", "points",
    "short", "spades", "stop", "support",
]  # fmt: skip

clubs, diamonds, hearts, spades = range(4)
NOTRUMP = 4
MAJORS = (spades, hearts)

Need = tuple[int, int, int]
"""A feature's place, its lowest and its highest value."""

BALANCED: Need = (Feature.BALANCED, 1, 1)
UNBALANCED: Need = (Feature.BALANCED, 0, 0)
MOST = 40
"""An upper bound that bounds nothing."""


class Option(NamedTuple):
    """A call and the hands that make it.

    Attributes:
      call: 0..37.
      needs: all must hold.
      forcing: 0 no, 1 partner must not pass, 2 nor may either of us before game.
      tag: a convention that the partner's next list asks for, e.g. `stayman`.
      meaning: a word for people, e.g. `limit raise`; what the needs say is added to it.
      fallback: made for want of anything better; shows nothing.
    """

    call: int
    needs: tuple[Need, ...] = ()
    forcing: int = 0
    tag: str = ""
    meaning: str = ""
    fallback: bool = False

    def fits(self, features: Sequence[int]) -> bool:
        """Whether a row of `hand_features` has what is needed."""
        for place, low, high in self.needs:  # all() would be slower, and this is hot
            if not low <= features[place] <= high:
                return False
        return True


def cheapest(strain: int, above: int) -> int:
    """The lowest bid in a strain that is higher than the bid `above` (-1: any)."""
    call = max(above, 0) // 5 * 5 + strain
    return call if call > above else call + 5


def level_of(call: int) -> int:
    """1..7 of a bid."""
    return call // 5 + 1


def hcp(lowest: int, highest: int = MOST) -> Need:
    """So many high-card points."""
    return Feature.HCP, lowest, highest


def points(lowest: int, highest: int = MOST) -> Need:
    """So many points with length."""
    return Feature.POINTS, lowest, highest


def length(suit: int, lowest: int, highest: int = 13) -> Need:
    """So many cards in a suit."""
    return Feature.CLUBS + suit, lowest, highest


def support(suit: int, lowest: int, highest: int = MOST) -> Need:
    """So many support points."""
    return Feature.SUPPORT_CLUBS + suit, lowest, highest


def stop(suit: int) -> Need:
    """A stopper."""
    return Feature.STOP_CLUBS + suit, 1, 1


def honours(suit: int, lowest: int) -> Need:
    """So many high-card points in a suit."""
    return Feature.HONOURS_CLUBS + suit, lowest, 10


def longest(suit: int) -> Need:
    """No suit is longer, and no higher one as long."""
    return Feature.LONG_HIGH, suit, suit


def short(highest: int) -> Need:
    """A suit of at most so many cards."""
    return Feature.SHORTEST, 0, highest


def describe(option: Option) -> str:
    """What a call says, in a line: `limit raise: 10-12 support points, 3+ hearts`."""
    parts = [text for need in option.needs if (text := _describe_need(*need))]
    if option.fallback:
        parts = ["for want of a better call"]
    if option.forcing and option.call < NUM_BIDS:
        parts.append("forcing to game" if option.forcing == 2 else "forcing")
    text = ", ".join(parts)
    if option.meaning and text:
        return f"{option.meaning}: {text}"
    return option.meaning or text or "nothing more to say"


_SUIT_WORDS = ("clubs", "diamonds", "hearts", "spades")


def _describe_need(place: int, low: int, high: int) -> str:
    if place in (Feature.HCP, Feature.POINTS):
        return _span(low, high, 37, "HCP" if place == Feature.HCP else "points")
    for base, word in (
        (Feature.CLUBS, "{}"),
        (Feature.SUPPORT_CLUBS, "points for {}"),
    ):
        if 0 <= place - base < 4:
            return _span(
                low, high, 13 if word == "{}" else 37, word.format(_SUIT_WORDS[place - base])
            )
    if 0 <= place - Feature.STOP_CLUBS < 4:
        return f"{_SUIT_WORDS[place - Feature.STOP_CLUBS]} stopped"
    if 0 <= place - Feature.HONOURS_CLUBS < 4:
        return "good suit"
    return {
        Feature.BALANCED: "balanced" if low else "unbalanced",
        Feature.ACES: f"{low} aces" if low == high else f"{low}+ aces",
        Feature.PEARSON: "rule of fifteen",
        Feature.OPENING: "rule of twenty",
    }.get(Feature(place), "")


def _span(low: int, high: int, most: int, word: str) -> str:
    if high >= most:
        return f"{low}+ {word}" if low > 0 else ""
    return f"{low} {word}" if low == high else f"{max(low, 0)}-{high} {word}"
