"""Auctions written by hand, at a table of the match."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tests.bridge.boards import DEAL
from trine.bridge.audit.base import Audited
from trine.bridge.audit.registry import MEASURES
from trine.bridge.bots.base import Observations
from trine.bridge.calls import PASS, parse_auction
from trine.bridge.cards import SEATS, STRAINS, Vulnerability, parse_deal
from trine.bridge.deals import SolvedDeals
from trine.bridge.match import Boards, bid_out, boards_of


class Scripted:
    """Makes the call that is written for the place in the auction, else passes."""

    def __init__(self, calls: str, name: str = "scripted") -> None:
        self.name = name
        self._calls = np.array([*parse_auction(calls), *[PASS] * 40])

    def calls(self, observations: Observations) -> np.ndarray:
        return self._calls[(observations.calls >= 0).sum(1)]


def board_of(
    tricks: Mapping[str, tuple[int, ...]] | None = None,
    *,
    deal: str = DEAL,
    dealer: str = "N",
    vulnerability: str = "None",
) -> Boards:
    """One board; `tricks` of a strain for N/S and E/W, or for N E S W; 7 and 6 where not told."""
    table = np.tile(np.array([7, 6, 7, 6], dtype=np.uint8), 5)
    for strain, taken in (tricks or {}).items():
        four = taken if len(taken) == 4 else (taken[0], taken[1]) * 2
        start = STRAINS.index(strain) * 4
        table[start : start + 4] = four
    solved = SolvedDeals(parse_deal(deal).owner[None], table[None])
    return replace(
        boards_of(solved, 1, seed=0),
        dealer=np.array([SEATS.index(dealer)]),
        vulnerability=np.array([int(Vulnerability.parse(vulnerability))]),
    )


def bid_by_hand(calls: str, board: Boards | None = None) -> Audited:
    """The table at which these are all the calls."""
    board = board_of() if board is None else board
    table = bid_out(board, (Scripted(calls), Scripted(calls)))
    assert tuple(table.calls[0]) == parse_auction(calls), "the auction goes on after these calls"
    return Audited(board, table)


def found(seen: Audited) -> dict[str, str]:
    """Measures that count the only board -> the side at fault."""
    sides: dict[str, str] = {}
    for measure in MEASURES:
        answer = measure.find(seen)
        assert answer.shape == (1, 2)
        if answer.any():
            sides[measure.name] = "both" if answer.all() else ("NS", "EW")[int(answer[0, 1])]
    return sides
