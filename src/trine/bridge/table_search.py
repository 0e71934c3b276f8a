"""Search at the table: what each likely call leads to on deals that fit the auction.

1. Candidates are the calls that the bot makes with at least a given probability.
2. Deals are sampled that fit the own hand and the auction (`trine.bridge.consistent_deals`).
3. On every deal and for every candidate the bot bids on in all four seats, always its most probable
   call.
4. The contracts are scored, by an estimate of the tricks or by the double-dummy solver.
5. A candidate's expected IMPs are those against a second table with the same cards where the bot
   draws among the candidates with its own probabilities.

The call with the most expected IMPs is chosen if it is ahead of the bot's own by more than
`margin` standard errors of the difference on the same deals; else the bot's own is.

Symbols: `C` candidates, `K` deals.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trine.bridge.bots.base import Bot, Observations
from trine.bridge.consistent_deals import ConsistentDeals, call_probabilities, sample_deals
from trine.bridge.scoring import imps_of
from trine.bridge.table_rollouts import DoubleDummyTricks, EstimatedTricks, score_candidates
from trine.core.seeding import Seeds

__all__ = ["Candidate", "Search", "SearchBot", "SearchSettings", "search_call"]

_CHUNK = 8
"""Deals between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How much to search.

    Attributes:
      samples: `K`, deals.
      particles: deals kept while the auction is read.
      least_probability: of a candidate.
      valued: of the most probable calls, how many are valued however improbable they are; they are
        not chosen for it.
      most_candidates: `C` at most, the most probable.
      seconds: bound of the time; what is done by then counts.
      margin: standard errors by which another call must be ahead of the bot's own.
      double_dummy: whether tricks are those of the solver; else they are estimated.
      seed: of the deals.
    """

    samples: int = 64
    particles: int = 128
    least_probability: float = 0.05
    valued: int = 1
    most_candidates: int = 5
    seconds: float = math.inf
    margin: float = 1.0
    double_dummy: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a call leads to.

    Attributes:
      call: the call.
      probability: with which the bot makes it.
      imps: expected, against the second table; NaN if there is no other candidate.
      error: standard error of `imps` over the deals.
      points: mean score of the own side.
      contracts: final contracts with their share of the deals, most frequent first; "P" is
        passed out.
    """

    call: int
    probability: float
    imps: float
    error: float
    points: float
    contracts: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Search:
    """The result.

    Attributes:
      own: the bot's own call.
      call: the one that is chosen.
      candidates: by probability.
      deals: that were sampled.
      drawn: `[K, 52]` the deals looked at, all alike likely.
      used: on how many of them every candidate was bid out and scored.
      wanted: how many were asked for; more than `used` if the time was up.
    """

    own: int
    call: int
    candidates: tuple[Candidate, ...]
    deals: ConsistentDeals
    drawn: NDArray[np.uint8]
    used: int
    wanted: int


def search_call(
    bot: Bot,
    hand: NDArray[np.bool_],
    calls: Sequence[int],
    dealer: int,
    vulnerability: int,
    settings: SearchSettings | None = None,
) -> Search:
    """Looks ahead from one position.

    Args:
      bot: who bids in all seats.
      hand: `[52]` of the seat to call.
      calls: legal and not over, from the dealer on.
      dealer: seat.
      vulnerability: bits.
      settings: how much.
    """
    settings = settings or SearchSettings()
    deadline = time.monotonic() + settings.seconds
    seat = (dealer + len(calls)) % 4
    seen = Observations.same_auction(hand[None], calls, dealer, vulnerability)
    own, candidates, probability = _candidates(bot, seen, settings)
    deals = sample_deals(
        bot, calls, dealer, vulnerability, seat=seat, hand=hand,
        count=max(settings.particles, settings.samples), seed=settings.seed,
        # Reading gets half of the time at most.
        deadline=time.monotonic() + settings.seconds / 2,
    )  # fmt: skip
    seeds = Seeds(settings.seed).child("table search")
    owner = deals.draw(settings.samples, seeds.generator("deals"))
    judge = DoubleDummyTricks() if settings.double_dummy else EstimatedTricks(
        seeds.generator("tricks")
    )  # fmt: skip
    points: list[NDArray[np.int64]] = []
    contracts: list[list[Counter[str]]] = []
    step = settings.samples if settings.seconds == math.inf else _CHUNK
    for start in range(0, settings.samples, step):
        if points and time.monotonic() >= deadline:
            break
        part = owner[start : start + step]
        scored, names = score_candidates(bot, part, candidates, calls, dealer, vulnerability, judge)
        points.append(scored * (1 if seat % 2 == 0 else -1))
        contracts.append(names)
    table = np.concatenate(points, axis=1)
    used = table.shape[1]
    difference = table[:, None] - table[None]  # [C, C, K]
    won = imps_of(difference)
    share = probability / probability.sum()
    against = np.einsum("cjk,j->ck", won, share)  # IMPs against the second table
    likely = probability >= settings.least_probability
    chosen = _choice(against, candidates, own, settings.margin, likely)
    several = len(candidates) > 1
    found = tuple(
        Candidate(
            call=call,
            probability=float(probability[row]),
            imps=float(against[row].mean()) if several else math.nan,
            error=_error(against[row]) if several else math.nan,
            points=float(table[row].mean()),
            contracts=_shares(sum((part[row] for part in contracts), Counter()), used),
        )
        for row, call in enumerate(candidates)
    )
    return Search(own, chosen, found, deals, owner, used, settings.samples)


def _candidates(
    bot: Bot, seen: Observations, settings: SearchSettings
) -> tuple[int, list[int], NDArray[np.float64]]:
    """The bot's own call, all candidates by probability (with it), and their probabilities."""
    p = call_probabilities(bot, seen)[0]
    own = int(bot.calls(seen)[0])
    order = [int(call) for call in np.argsort(-p, kind="stable")]
    kept = [
        call
        for place, call in enumerate(order)
        if p[call] >= settings.least_probability or (place < settings.valued and p[call] > 0)
    ][: settings.most_candidates]
    if own not in kept:
        kept = [own, *kept[: settings.most_candidates - 1]]
    return own, kept, np.maximum(p[kept], 1e-12)


def _choice(
    against: NDArray[np.float64],
    candidates: Sequence[int],
    own: int,
    margin: float,
    likely: NDArray[np.bool_] | None = None,
) -> int:
    reference = candidates.index(own)
    means = against.mean(1)
    if likely is not None:
        means = np.where(likely | (np.arange(len(candidates)) == reference), means, -np.inf)
    best = int(means.argmax())
    ahead = against[best] - against[reference]
    return candidates[best] if ahead.mean() > margin * _error(ahead) else own


def _error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else math.inf


def _shares(counted: Counter[str], total: int) -> tuple[tuple[str, float], ...]:
    return tuple((name, times / total) for name, times in counted.most_common(3))


class SearchBot:
    """A bot that searches wherever it has a choice.

    Args:
      bot: whose policy it is.
      settings: of each search.
    """

    def __init__(self, bot: Bot, settings: SearchSettings | None = None) -> None:
        self.name = f"search:{bot.name}"
        self._bot = bot
        self._settings = settings or SearchSettings(least_probability=0.1)

    def calls(self, observations: Observations) -> NDArray[np.int64]:
        """`[n]` calls; a position at a time, so thousands of times slower than the bot itself."""
        found = self._bot.calls(observations).astype(np.int64)
        p = call_probabilities(self._bot, observations)
        unsure = np.flatnonzero((p >= self._settings.least_probability).sum(1) > 1)
        for row in unsure:
            calls = observations.calls[row]
            found[row] = search_call(
                self._bot,
                observations.hands[row],
                tuple(int(call) for call in calls[calls >= 0]),
                int(observations.dealer[row]),
                int(observations.vulnerability[row]),
                self._settings,
            ).call
        return found
