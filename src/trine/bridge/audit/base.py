"""What a measure looks at, and what it answers.

A measure is a function from the boards of a table to `[n, 2]`, whether North-South and whether
East-West did what it counts. Everything is vectorised over the boards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trine.bridge.audit.auction_facts import AuctionFacts
from trine.bridge.calls import bid
from trine.bridge.match import Boards, Table
from trine.bridge.par import find_par
from trine.bridge.scoring import imps_of, points_table

__all__ = [
    "GAME", "GRAND", "PART_SCORE", "SLAM", "Audited", "Measure", "by_side", "kind_of",
]  # fmt: skip

PART_SCORE, GAME, SLAM, GRAND = range(4)
"""Kinds of contract, undoubled: below 100 trick points, 100 and more, level 6, level 7 (Law 77)."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A pathology that is counted.

    Attributes:
      name: what it is called.
      title: a line for people.
      find: from the boards of a table to `[n, 2]`, which side did it (North-South, East-West).
    """

    name: str
    title: str
    find: Callable[[Audited], NDArray[np.bool_]]


@dataclass(frozen=True)
class Audited:
    """`n` boards as they were bid at one table; -1 stands for no contract.

    Attributes:
      boards: that were bid.
      table: what came of them.
    """

    boards: Boards
    table: Table

    def __len__(self) -> int:
        return len(self.boards)

    @cached_property
    def auction(self) -> AuctionFacts:
        """Of the calls."""
        return AuctionFacts.of(self.table.calls, self.boards.dealer)

    @cached_property
    def side(self) -> NDArray[np.int64]:
        """`[n]` that declares: 0 North-South, 1 East-West, -1."""
        return np.where(self.table.bid >= 0, self.table.declarer % 2, -1)

    @cached_property
    def level(self) -> NDArray[np.int64]:
        """`[n]` of the contract, 0 if passed out."""
        return np.where(self.table.bid >= 0, self.table.bid // 5 + 1, 0)

    @cached_property
    def strain(self) -> NDArray[np.int64]:
        """`[n]` of the contract, C D H S NT = 0..4, -1."""
        return np.where(self.table.bid >= 0, self.table.bid % 5, -1)

    @cached_property
    def kind(self) -> NDArray[np.int64]:
        """`[n]` of the contract as it was bid, doubles left aside; -1."""
        return kind_of(self.table.bid)

    @cached_property
    def made(self) -> NDArray[np.bool_]:
        """`[n]` whether there is a contract and it makes, double-dummy."""
        return (self.level > 0) & (self.table.taken >= self.level + 6)

    @cached_property
    def failed(self) -> NDArray[np.bool_]:
        """`[n]` whether there is a contract and it fails, double-dummy."""
        return (self.level > 0) & ~self.made

    @cached_property
    def par(self) -> NDArray[np.int64]:
        """`[n]` points of North-South at par."""
        return self._pars[:, 0]

    @cached_property
    def par_side(self) -> NDArray[np.int64]:
        """`[n]` side that declares at par, -1 if par is to pass out."""
        return self._pars[:, 1]

    @cached_property
    def par_kind(self) -> NDArray[np.int64]:
        """`[n]` kind of the par contract if that makes; -1 for a sacrifice or none at all."""
        return self._pars[:, 2]

    @cached_property
    def _pars(self) -> NDArray[np.int64]:
        found = np.full((len(self), 3), -1, dtype=np.int64)
        boards = self.boards
        for row in range(len(self)):
            par = find_par(
                boards.tricks[row], int(boards.dealer[row]), int(boards.vulnerability[row])
            )
            found[row, 0] = par.score
            if par.contracts:
                first = par.contracts[0]
                found[row, 1] = first.declarer % 2
                if not first.doubled:
                    found[row, 2] = kind_of(np.array([bid(first.level, first.strain)]))[0]
        return found

    @cached_property
    def imps_lost(self) -> NDArray[np.int64]:
        """`[n, 2]` of each side against par; negative where it did better."""
        lost = imps_of(self.par - self.table.points)
        return np.stack([lost, -lost], axis=1)

    def points_of(
        self, bid: NDArray[np.int64], declarer: NDArray[np.int64], doubled: NDArray[np.int64] | int
    ) -> NDArray[np.int64]:
        """`[n]` points of declarer's side in another contract, double-dummy; bid and seat >= 0."""
        rows = np.arange(len(self))
        taken = self.boards.tricks[rows, bid % 5 * 4 + declarer].astype(np.int64)
        vulnerable = self.boards.vulnerability >> (declarer % 2) & 1
        return points_table()[doubled, vulnerable, bid, taken]

    @cached_property
    def own_points(self) -> NDArray[np.int64]:
        """`[n]` points of declarer's side; 0 if passed out."""
        return np.where(self.side == 1, -self.table.points, self.table.points)


def kind_of(bids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Kind of each contract, -1 for -1."""
    level, strain = bids // 5 + 1, bids % 5
    trick_points = np.where(strain < 2, 20, 30) * level + 10 * (strain == 4)
    kind = np.where(trick_points >= 100, GAME, PART_SCORE)
    kind = np.where(level == 6, SLAM, np.where(level == 7, GRAND, kind))
    return np.where(bids >= 0, kind, -1)


def by_side(rows: NDArray[np.bool_], side: NDArray[np.int64]) -> NDArray[np.bool_]:
    """`[n, 2]` from which boards `[n]`, and which side did it there `[n]` (-1: neither)."""
    return rows[:, None] & (side[:, None] == np.arange(2))
