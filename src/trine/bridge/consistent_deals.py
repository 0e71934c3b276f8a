"""Deals that fit an auction: the hidden hands, given the calls so far and what a bot would call.

Every call depends on the caller's own hand and on the calls before it, so a deal's probability is
proportional to the product, over the calls, of the bot's probability of the call with that hand.
The deals are drawn from that distribution by resample-move (Gilks and Berzuini 2001; Del Moral,
Doucet and Jasra 2006):

1. deal the unknown cards at random, `FIRST` times as often as deals are wanted;
2. call by call, multiply each deal's weight by the probability of the call;
3. when few deals carry most of the weight, resample: copy them in proportion to their weights, then
   move each copy by Metropolis steps that exchange one to three cards between two hidden hands;
   more steps where few deals had survived.

With few informative calls this is importance sampling and nothing else.

People do not always bid as the bot would. A share `MISTAKES` of all calls is taken to be any legal
call, so a call that the bot makes with hardly any hand weighs all deals alike, that is, it is
ignored; such calls are named in the result. Own calls of a known hand carry no information.

Symbols: `N` deals, `T` calls. Cards, seats and calls as everywhere in the room.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trine.bridge.bots.base import CALLS, Bot, Observations, PolicyBot
from trine.bridge.cards import SEATS
from trine.core.errors import DataError
from trine.core.seeding import Seeds

__all__ = ["MISTAKES", "ConsistentDeals", "call_probabilities", "read_auction", "sample_deals"]

MISTAKES = 1e-4
"""Share of calls that may be anything legal."""

_LEAST_ESS = 0.4
"""Share of effective deals below which they are resampled."""

FIRST = 4
"""Deals at the start for each that is kept: the first call is the one that rules out most."""

_MOVES = ((0.0, 8), (0.05, 4), (0.15, 2))
"""Metropolis steps after a resampling, from which share of effective deals on."""

_MOST_EXCHANGED = 3
"""Cards that change hands in one step, at most."""

_IGNORED = 0.5
"""Share of a call's weight due to mistakes from which the call is named as ignored."""


def call_probabilities(bot: Bot, seen: Observations) -> NDArray[np.float64]:
    """`[n, 38]` of a bot; one for its only call if it has no probabilities."""
    if isinstance(bot, PolicyBot):
        return bot.probabilities(seen)
    found = np.zeros((len(seen), CALLS))
    found[np.arange(len(seen)), bot.calls(seen)] = 1.0
    return found


@dataclass(frozen=True, slots=True)
class ConsistentDeals:
    """Weighted deals.

    Attributes:
      owner: `[N, 52]` uint8, seat of each card.
      weights: `[N]`, sum 1.
      effective: effective number of different deals: 1 / sum of squared weights, equal deals
        counted as one. Deals that were copied and moved apart count as different.
      ignored: places of the calls that hardly any hand found would make.
      shares: for each place read, the bot's mean probability of the call over the deals that fitted
        the calls before it; NaN for a call of the known hand.
      survivors: for each place read, how many effective deals were left after the call, before
        they were copied and moved; few where the call is rare.
    """

    owner: NDArray[np.uint8]
    weights: NDArray[np.float64]
    effective: float
    ignored: tuple[int, ...]
    shares: tuple[float, ...]
    survivors: tuple[float, ...]

    def draw(self, count: int, generator: np.random.Generator) -> NDArray[np.uint8]:
        """`[count, 52]` equally weighted deals, by systematic resampling, in random order."""
        rows = _systematic(self.weights, count, generator)
        return self.owner[generator.permutation(rows)]


def sample_deals(
    bot: Bot,
    calls: Sequence[int],
    dealer: int,
    vulnerability: int,
    *,
    seat: int | None = None,
    hand: NDArray[np.bool_] | None = None,
    count: int = 512,
    seed: int = 0,
    deadline: float = math.inf,
) -> ConsistentDeals:
    """Deals that fit a whole auction.

    Args:
      bot: whose policy the calls are read with.
      calls: legal, from the dealer on.
      dealer: seat.
      vulnerability: bits.
      seat: of a known hand; None: all four are hidden.
      hand: `[52]` the known cards.
      count: deals wanted; there are more as long as nothing had to be resampled.
      seed: of the draws.
      deadline: of `time.monotonic()`, from which on resampled deals are no longer moved.
    """
    *_, last = read_auction(
        bot, calls, dealer, vulnerability,
        seat=seat, hand=hand, count=count, seed=seed, deadline=deadline,
    )  # fmt: skip
    return last


def read_auction(
    bot: Bot,
    calls: Sequence[int],
    dealer: int,
    vulnerability: int,
    *,
    seat: int | None = None,
    hand: NDArray[np.bool_] | None = None,
    count: int = 512,
    seed: int = 0,
    deadline: float = math.inf,
) -> Iterator[ConsistentDeals]:
    """The same before the first call and after each, `T + 1` results.

    Raises:
      DataError: a hand that has not 13 cards.
    """
    if hand is not None and hand.sum() != 13:
        raise DataError(f"a hand of {int(hand.sum())} cards", accepted="13")
    particles = _Particles.deal(
        FIRST * count, len(calls), seat, hand, Seeds(seed).generator("consistent deals")
    )
    table = _Table(bot, dealer, vulnerability, tuple(calls))
    ignored: list[int] = []
    shares: list[float] = []
    survivors: list[float] = []
    yield particles.result((), (), ())
    for place in range(len(calls)):
        caller = (dealer + place) % 4
        if caller == seat:
            shares.append(float("nan"))
            survivors.append(particles.effective)
            yield particles.result(ignored, shares, survivors)
            continue
        p, noise = table.likelihood(particles.owner, place)
        share = float(particles.weights @ p)
        shares.append(share)
        if share * (1 - MISTAKES) * _IGNORED < noise * (1 - _IGNORED):
            ignored.append(place)
        particles.weigh(place, np.log((1 - MISTAKES) * p + noise))
        effective = particles.effective
        survivors.append(effective)
        if effective < _LEAST_ESS * count:
            moves = [steps for least, steps in _MOVES if effective >= least * count][-1]
            particles.resample(count)
            for _ in range(moves):
                if time.monotonic() < deadline:
                    particles.move(table, place)
        yield particles.result(ignored, shares, survivors)


@dataclass(frozen=True, slots=True)
class _Table:
    bot: Bot
    dealer: int
    vulnerability: int
    calls: tuple[int, ...]

    def likelihood(self, owner: NDArray[np.uint8], place: int) -> tuple[NDArray[np.float64], float]:
        """`[n]` the bot's probability of one call, and what mistakes add to it."""
        caller = (self.dealer + place) % 4
        seen = Observations.same_auction(
            owner == caller, self.calls[:place], self.dealer, self.vulnerability
        )
        p = call_probabilities(self.bot, seen)[:, self.calls[place]]
        return p, MISTAKES / int(seen.legal[0].sum()) if len(seen) else 0.0

    def log_likelihood(self, owner: NDArray[np.uint8], place: int) -> NDArray[np.float64]:
        """`[n]` of one call, mistakes included."""
        p, noise = self.likelihood(owner, place)
        return np.log((1 - MISTAKES) * p + noise)

    def callers(self) -> NDArray[np.int64]:
        """`[T]` seats."""
        return (self.dealer + np.arange(len(self.calls))) % 4


@dataclass(slots=True)
class _Particles:
    """`N` deals under way: cards, log weights, log likelihoods `[N, T]` of the calls so far."""

    owner: NDArray[np.uint8]
    hidden: tuple[int, ...]
    generator: np.random.Generator
    log_weights: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]
    weights: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self._normalise()

    @classmethod
    def deal(
        cls,
        count: int,
        places: int,
        seat: int | None,
        hand: NDArray[np.bool_] | None,
        generator: np.random.Generator,
    ) -> _Particles:
        hidden = tuple(other for other in range(len(SEATS)) if hand is None or other != seat)
        owner = np.full((count, 52), 255, np.uint8)
        cards = np.arange(52) if hand is None else np.flatnonzero(~hand)
        if hand is not None and seat is not None:
            owner[:, hand] = seat
        ordered = np.repeat(np.array(hidden, np.uint8), 13)
        owner[:, cards] = generator.permuted(np.tile(ordered, (count, 1)), axis=1)
        return cls(owner, hidden, generator, np.zeros(count), np.zeros((count, places)))

    @property
    def effective(self) -> float:
        return float(1 / (self.weights**2).sum())

    def weigh(self, place: int, log_p: NDArray[np.float64]) -> None:
        self.log_weights += log_p
        self.log_likelihood[:, place] = log_p
        self._normalise()

    def resample(self, count: int) -> None:
        rows = _systematic(self.weights, count, self.generator)
        self.owner, self.log_likelihood = self.owner[rows], self.log_likelihood[rows]
        self.log_weights = np.zeros(len(rows))
        self._normalise()

    def move(self, table: _Table, last: int) -> None:
        """One Metropolis step for every deal: exchange cards between two hidden hands."""
        n, draw = len(self.owner), self.generator
        pair = draw.permuted(np.tile(np.array(self.hidden), (n, 1)), axis=1)[:, :2]
        exchanged = draw.integers(1, _MOST_EXCHANGED + 1, size=n)
        proposal = self.owner.copy()
        for side in range(2):
            giver, taker = pair[:, side], pair[:, 1 - side]
            # A random order of the giver's 13 cards: the others get keys above all of theirs.
            keys = draw.random((n, 52)) + (self.owner != giver[:, None])
            chosen = np.argpartition(keys, _MOST_EXCHANGED, axis=1)[:, :_MOST_EXCHANGED]
            order = np.argsort(np.take_along_axis(keys, chosen, 1), axis=1)
            chosen = np.take_along_axis(chosen, order, 1)
            for rank in range(_MOST_EXCHANGED):
                rows = np.flatnonzero(exchanged > rank)
                proposal[rows, chosen[rows, rank]] = taker[rows]
        # A move is taken if the likelihood does not fall below a drawn share of the old one. No
        # call can gain more than certainty, so most refusals are plain after a call or two: the
        # least certain calls are read first, and only for deals that may still be moved.
        callers = table.callers()[: last + 1]
        changed = (pair[:, :, None] == callers).any(1)  # [n, last + 1]
        old, new = self.log_likelihood[:, : last + 1], self.log_likelihood[:, : last + 1].copy()
        margin = -np.log(draw.random(n)) - (old * changed).sum(1)
        for place in np.argsort(old.mean(0), kind="stable").tolist():
            rows = np.flatnonzero((margin > 0) & changed[:, place])
            if len(rows):
                new[rows, place] = table.log_likelihood(proposal[rows], place)
                margin[rows] += new[rows, place]
        taken = margin > 0
        self.owner[taken] = proposal[taken]
        self.log_likelihood[taken, : last + 1] = new[taken]

    def result(
        self, ignored: Sequence[int], shares: Sequence[float], survivors: Sequence[float]
    ) -> ConsistentDeals:
        # One string of bytes a deal: much faster to sort than rows of numbers.
        deals = np.ascontiguousarray(self.owner).view("V52").ravel()
        _, group = np.unique(deals, return_inverse=True)
        total = np.bincount(group.ravel(), weights=self.weights)
        effective = float(1 / (total**2).sum())
        owner, weights = self.owner.copy(), self.weights.copy()
        return ConsistentDeals(
            owner, weights, effective, tuple(ignored), tuple(shares), tuple(survivors)
        )

    def _normalise(self) -> None:
        weights = np.exp(self.log_weights - self.log_weights.max())
        self.weights = weights / weights.sum()


def _systematic(
    weights: NDArray[np.float64], count: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """`[count]` rows in proportion to the weights, with one random number."""
    points = (np.arange(count) + generator.random()) / count
    return np.minimum(np.searchsorted(weights.cumsum(), points), len(weights) - 1)
