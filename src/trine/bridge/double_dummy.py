"""Double-dummy tables by Haglund's DDS, which comes with endplay.

DDS is called on 40 deals at once, its own limit for full tables, and on one thread: it keeps about
150 MB of positions for each thread, and several processes scale better than its threads
(measured: docs/bridge/deals.md).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from trine.core.extras import require

__all__ = ["BATCH", "solve_contract", "solve_tables"]

BATCH = 40
"""Deals in a call of DDS: its limit when all five strains are asked for."""

# DDS counts suits from spades; a rank is a bit, the deuce bit 2.
_SUITS = [3, 2, 1, 0]
_STRAINS = [3, 2, 1, 0, 4]
_RANK_BITS = (1 << (np.arange(13, dtype=np.uint32) + np.uint32(2))).astype(np.uint32)


def solve_tables(owner: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Double-dummy tricks of every declarer in every strain, on the calling thread.

    Args:
      owner: seat of each card, `[n, 52]`; 13 cards a seat.

    Returns:
      uint8 `[n, 20]`, strain C D H S NT (major) then declarer N E S W.

    Raises:
      MissingExtra: endplay is not installed.
    """
    tables = np.zeros((len(owner), 20), dtype=np.uint8)
    for start in range(0, len(owner), BATCH):
        tables[start : start + BATCH] = _solve_batch(owner[start : start + BATCH])
    return tables


def solve_contract(owner: np.ndarray[Any, Any], strain: int, declarer: int) -> int:
    """Double-dummy tricks of one declarer in one strain: about a ninth of a whole table's work.

    Args:
      owner: seat of each card, `[52]`; 13 cards a seat.
      strain: C D H S NT = 0..4.
      declarer: seat.

    Raises:
      MissingExtra: endplay is not installed.
    """
    dds = _solver()
    deal, result = dds.deal(), dds.futureTricks()
    deal.trump, deal.first = _STRAINS[strain], (declarer + 1) % 4
    np.ctypeslib.as_array(deal.remainCards)[:] = _holdings(owner[None])[0]
    most_tricks, one_card, any_mode, thread = -1, 1, 0, 0
    dds.SolveBoard(deal, most_tricks, one_card, any_mode, result, thread)
    return 13 - int(result.score[0])  # the score is the defenders'


def _solve_batch(owner: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    dds = _solver()
    deals, results, par = dds.ddTableDeals(), dds.ddTablesRes(), dds.allParResults()
    deals.noOfTables = len(owner)
    holdings = _holdings(owner)
    cards = np.ctypeslib.as_array(deals.ddTableDeal)["cards"]
    cards[: len(owner)] = holdings
    no_strain_skipped = [0] * 5
    without_par = -1
    dds.CalcAllTables(deals, without_par, no_strain_skipped, results, par)
    # [n, strain S H D C NT, declarer]
    tricks = np.ctypeslib.as_array(results.results)["resTable"][: len(owner)]
    return tricks[:, _STRAINS].reshape(len(owner), 20).astype(np.uint8)


def _holdings(owner: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """uint32 `[n, hand N E S W, suit S H D C]`, a bit for each rank held."""
    suits = owner.reshape(-1, 1, 4, 13)[:, :, _SUITS]
    held = suits == np.arange(4, dtype=owner.dtype)[:, None, None]
    return (held * _RANK_BITS).sum(3, dtype=np.uint32)


@cache
def _solver() -> Any:
    require("bridge", "the double-dummy solver")
    import endplay._dds as dds

    dds.SetMaxThreads(1)
    return dds
