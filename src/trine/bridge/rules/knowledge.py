"""What the calls of a seat have shown, read from the rules by which it calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from trine.bridge.calls import NUM_BIDS, PASS
from trine.bridge.rules.hand_features import Feature
from trine.bridge.rules.language import NOTRUMP, Option

__all__ = ["Known", "learn"]

_LENGTHS = range(Feature.CLUBS, Feature.SPADES + 1)
_STRENGTHS = frozenset(
    {Feature.HCP, Feature.POINTS, *range(Feature.SUPPORT_CLUBS, Feature.SUPPORT_SPADES + 1)}
)


class Known(NamedTuple):
    """What a seat's calls have shown.

    Attributes:
      low, high: total points.
      shortest, longest: bounds of the four suit lengths.
      tag: of the last call that was no pass.
      forcing: of the last call.
      acted: number of calls other than passes.
      passes: number of passes.
      stops: whether a natural notrump bid promised the opponents' suits.
    """

    low: int = 0
    high: int = 37
    shortest: tuple[int, ...] = (0, 0, 0, 0)
    longest: tuple[int, ...] = (13, 13, 13, 13)
    tag: str = ""
    forcing: int = 0
    acted: int = 0
    passes: int = 0
    stops: bool = False

    @property
    def expected(self) -> int:
        """Points to count on: the lowest, and something of a wide range."""
        if self.low == 0 and self.acted:  # answered a question: seldom nothing at all
            return 4
        return self.low + min(2, (self.high - self.low) // 3)

    @property
    def hoped(self) -> int:
        """Points to hope for when inviting."""
        return min(self.high, self.low + 3)

    @property
    def suit(self) -> int:
        """The longest suit shown, of equal ones the higher."""
        return max(range(4), key=lambda s: (self.shortest[s], s))


def learn(before: Known, call: int, options: Iterable[Option]) -> Known:
    """What is known of a seat after one more call of it.

    A call that its rules do not have (another system's, or a mistake) shows four cards in its suit.
    """
    meant = [o for o in options if o.call == call and not o.fallback]
    counted = before._replace(
        acted=before.acted + (call != PASS),
        passes=before.passes + (call == PASS),
        tag=before.tag if call == PASS else meant[0].tag if meant else "",
        forcing=max((o.forcing for o in meant), default=0),
    )
    if not meant:
        if call < NUM_BIDS and call % 5 != NOTRUMP:
            suit = call % 5
            shown = tuple(max(v, 4) if s == suit else v for s, v in enumerate(counted.shortest))
            return counted._replace(shortest=shown)
        return counted
    ranges = [_ranges(option) for option in meant]
    low = max(counted.low, min(r[0][0] for r in ranges))
    high = min(counted.high, max(r[0][1] for r in ranges))
    shortest = tuple(max(counted.shortest[s], min(r[1 + s][0] for r in ranges)) for s in range(4))
    longest = tuple(min(counted.longest[s], max(r[1 + s][1] for r in ranges)) for s in range(4))
    if low > high:  # contradicts what was shown before: the newer call counts
        low, high = min(r[0][0] for r in ranges), max(r[0][1] for r in ranges)
    return counted._replace(
        low=low,
        high=high,
        shortest=shortest,
        longest=longest,
        stops=counted.stops or (call < NUM_BIDS and call % 5 == NOTRUMP and not meant[0].tag),
    )


def _ranges(option: Option) -> list[tuple[int, int]]:
    """Points, then the four lengths."""
    result = [(0, 37)] + [(0, 13)] * 4
    for place, low, high in option.needs:
        if place in _STRENGTHS:
            result[0] = (max(result[0][0], low), min(result[0][1], high))
        elif place in _LENGTHS:
            suit = place - Feature.CLUBS
            old = result[1 + suit]
            result[1 + suit] = (max(old[0], low), min(old[1], high))
        elif place == Feature.BALANCED and low:
            for suit in range(4):
                old = result[1 + suit]
                result[1 + suit] = (max(old[0], 2), min(old[1], 5))
    return result
