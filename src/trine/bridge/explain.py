"""What a call shows: the hands with which a bot would make it, after the calls before it.

The hands are sampled (`trine.bridge.consistent_deals`) as somebody sees it who knows no hand: deals
that fit all calls up to and with this one. High-card points (ace 4, king 3, queen 2, jack 1) and
suit lengths are given from their 10th to their 90th percentile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.bridge.bots.base import Bot
from trine.bridge.calls import format_call
from trine.bridge.cards import SEATS, SUITS
from trine.bridge.consistent_deals import ConsistentDeals, read_auction

__all__ = ["RARE", "Meaning", "explain_auction", "explain_call", "high_card_points"]

RARE = 4
"""Effective deals from which on a call's meaning is trusted."""

_LOW, _HIGH = 0.1, 0.9
_SUIT_NAMES = ("clubs", "diamonds", "hearts", "spades")
_BALANCED = 0.8
"""Share of hands without a singleton, with at most one doubleton and no six cards."""


def high_card_points(hands: NDArray[np.bool_]) -> NDArray[np.int64]:
    """`[n]` of hands `[n, 52]`."""
    return hands.reshape(-1, 4, 13)[:, :, 9:].sum(1) @ np.array([1, 2, 3, 4])


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a call shows.

    Attributes:
      call: the call.
      seat: who makes it.
      hcp: 10th and 90th percentile of the high-card points.
      lengths: the same of the cards in C D H S.
      balanced: share of balanced hands (4333, 4432, 5332).
      share: how often the bot makes the call here.
      effective: how many deals the figures rest on.
      rare: whether less than `RARE` effective deals were left by the call: the figures are then
        those of a few hands and their neighbours.
      known: False if hardly any hand found would make the call; then nothing is said of it.
    """

    call: int
    seat: int
    hcp: tuple[int, int]
    lengths: tuple[tuple[int, int], ...]
    balanced: float
    share: float
    effective: float
    rare: bool
    known: bool

    @property
    def text(self) -> str:
        """Such as `12-19 HCP, 5+ spades`."""
        if not self.known:
            return "hardly any hand makes this call"
        parts = [f"{_range(*self.hcp)} HCP"]
        order = sorted(range(4), key=lambda suit: (-self.lengths[suit][0], -suit))
        parts += [
            f"{_at_least(*self.lengths[suit])} {_SUIT_NAMES[suit]}"
            for suit in order
            if self.lengths[suit][0] >= 4
        ]
        if self.balanced >= _BALANCED:
            parts.append("balanced")
        else:
            parts += [
                f"at most {high} {_SUIT_NAMES[suit][: None if high != 1 else -1]}"
                if high
                else f"no {_SUIT_NAMES[suit]}"
                for suit in range(3, -1, -1)
                if (high := self.lengths[suit][1]) <= 3
            ]
        return ("rare, perhaps " if self.rare else "") + ", ".join(parts)

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "call": format_call(self.call),
            "seat": SEATS[self.seat],
            "text": self.text,
            "hcp": list(self.hcp),
            "lengths": {SUITS[suit]: list(self.lengths[suit]) for suit in range(3, -1, -1)},
            "balanced": self.balanced,
            "share": self.share,
            "effective_samples": self.effective,
            "rare": self.rare,
            "known": self.known,
        }


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


def _at_least(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}+"


def explain_call(
    bot: Bot,
    calls: Sequence[int],
    dealer: int,
    vulnerability: int,
    seed: int = 0,
    count: int = 512,
) -> Meaning:
    """What the last of some calls shows.

    Args:
      bot: who bids, in all seats.
      calls: legal, at least one, from the dealer on.
      dealer: seat.
      vulnerability: bits.
      seed: of the sample.
      count: deals sampled.
    """
    return explain_auction(bot, calls, dealer, vulnerability, seed, count)[-1]


def explain_auction(
    bot: Bot,
    calls: Sequence[int],
    dealer: int,
    vulnerability: int,
    seed: int = 0,
    count: int = 512,
    deadline: float = math.inf,
) -> list[Meaning]:
    """What each call shows at the time it is made.

    The arguments are those of `explain_call`; after the `deadline` of `time.monotonic()` the sample
    gets coarser instead of taking longer.
    """
    reading = read_auction(
        bot, calls, dealer, vulnerability, count=count, seed=seed, deadline=deadline
    )
    next(reading)
    return [
        _meaning(found, call, (dealer + place) % 4, place)
        for place, (call, found) in enumerate(zip(calls, reading, strict=True))
    ]


def _meaning(found: ConsistentDeals, call: int, seat: int, place: int) -> Meaning:
    hands = found.owner == seat
    lengths = hands.reshape(-1, 4, 13).sum(2)
    shape = np.sort(lengths, 1)
    balanced = (shape[:, 0] >= 2) & (shape[:, 1] >= 3) & (shape[:, 3] <= 5)
    return Meaning(
        call=call,
        seat=seat,
        hcp=_percentiles(high_card_points(hands), found.weights),
        lengths=tuple(_percentiles(lengths[:, suit], found.weights) for suit in range(4)),
        balanced=float(found.weights @ balanced),
        share=found.shares[place],
        effective=found.effective,
        # Survivors may be copies of one deal, where there was no time to move them apart.
        rare=min(found.survivors[place], found.effective) < RARE,
        known=place not in found.ignored,
    )


def _percentiles(values: NDArray[np.integer], weights: NDArray[np.float64]) -> tuple[int, int]:
    order = np.argsort(values, kind="stable")
    mass = weights[order].cumsum()
    low, high = np.searchsorted(mass, [_LOW, _HIGH])
    last = len(order) - 1
    return int(values[order[min(low, last)]]), int(values[order[min(high, last)]])
