"""Candidates bid out on sampled deals, and what their contracts score.

Symbols: `C` candidates, `K` deals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trine.bridge.auction import Contract
from trine.bridge.bots.base import NO_CALL, Bot, Observations, Public
from trine.bridge.scoring import points_table

__all__ = ["DoubleDummyTricks", "EstimatedTricks", "Tricks", "score_candidates"]


class Tricks(Protocol):
    """Where the tricks of a contract come from."""

    def tricks(
        self,
        owner: NDArray[np.uint8],
        strain: NDArray[np.int64],
        declarer: NDArray[np.int64],
        deal: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """`[n]` of contracts on deals `[n, 52]`; rows of one deal have the same `deal` `[n]`."""
        ...


class EstimatedTricks:
    """By `trine.bridge.trick_estimate`, with its error drawn.

    Args:
      generator: of the errors.
    """

    def __init__(self, generator: np.random.Generator) -> None:
        from trine.bridge.trick_estimate import load_estimate

        self._estimate, self._generator = load_estimate(), generator

    def tricks(
        self,
        owner: NDArray[np.uint8],
        strain: NDArray[np.int64],
        declarer: NDArray[np.int64],
        deal: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """See `Tricks`."""
        return self._estimate.draw(owner, strain, declarer, deal, self._generator)


class DoubleDummyTricks:
    """By the double-dummy solver, each contract on a deal once."""

    def tricks(
        self,
        owner: NDArray[np.uint8],
        strain: NDArray[np.int64],
        declarer: NDArray[np.int64],
        deal: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """See `Tricks`."""
        from trine.bridge.double_dummy import solve_contract

        solved: dict[tuple[int, int, int], int] = {}
        found = np.zeros(len(owner), np.int64)
        for row, key in enumerate(
            zip(deal.tolist(), strain.tolist(), declarer.tolist(), strict=True)
        ):
            if key not in solved:
                solved[key] = solve_contract(owner[row], key[1], key[2])
            found[row] = solved[key]
        return found


def score_candidates(
    bot: Bot,
    owner: NDArray[np.uint8],
    candidates: Sequence[int],
    calls: Sequence[int],
    dealer: int,
    vulnerability: int,
    judge: Tricks,
) -> tuple[NDArray[np.int64], list[Counter[str]]]:
    """`[C, K]` points of North-South, and each candidate's final contracts.

    Args:
      bot: who bids on in all seats.
      owner: `[K, 52]` deals.
      candidates: `C` legal calls of the seat to call.
      calls: before them, from the dealer on.
      dealer: seat.
      vulnerability: bits.
      judge: of the tricks.
    """
    count, k = len(candidates), len(owner)
    everyone = np.tile(owner, (count, 1))
    begun = np.tile(np.array(calls, np.int8).reshape(1, -1), (count * k, 1))
    first = np.repeat(np.array(candidates, np.int8), k)[:, None]
    ended = _bid_on(bot, everyone, np.concatenate([begun, first], axis=1), dealer, vulnerability)
    public = Public.of(ended, np.full(len(ended), dealer))
    played = public.bid >= 0
    bid, declarer = np.maximum(public.bid, 0), np.maximum(public.declarer, 0)
    taken = np.zeros(len(ended), np.int64)
    rows = np.flatnonzero(played)
    deal = np.tile(np.arange(k), count)
    if len(rows):
        taken[rows] = judge.tricks(everyone[rows], bid[rows] % 5, declarer[rows], deal[rows])
    vulnerable = vulnerability >> (declarer % 2) & 1
    points = points_table()[public.doubled, vulnerable, bid, taken] * (1 - 2 * (declarer % 2))
    names = [
        str(Contract(b // 5 + 1, b % 5, x, d)) if b >= 0 else "P"
        for b, x, d in zip(
            public.bid.tolist(), public.doubled.tolist(), declarer.tolist(), strict=True
        )
    ]
    counted = [Counter(names[row * k : (row + 1) * k]) for row in range(count)]
    return np.where(played, points, 0).reshape(count, k), counted


def _bid_on(
    bot: Bot,
    owner: NDArray[np.uint8],
    calls: NDArray[np.int8],
    dealer: int,
    vulnerability: int,
) -> NDArray[np.int8]:
    """`[n, t]` the auctions to their end, padded."""
    dealers = np.full(len(owner), dealer)
    going = np.flatnonzero(~Public.of(calls, dealers).over)
    while len(going):
        seat = np.full(len(going), (dealer + calls.shape[1]) % 4)
        seen = Observations(
            owner[going] == seat[:, None], dealers[going], seat,
            np.full(len(going), vulnerability), calls[going],
        )  # fmt: skip
        column = np.full((len(owner), 1), NO_CALL, np.int8)
        column[going, 0] = bot.calls(seen)
        calls = np.concatenate([calls, column], axis=1)
        going = going[~Public.of(calls[going], dealers[going]).over]
    return calls
