"""A duplicate match of two bots: every board at two tables, with the seats exchanged.

At the first table the first bot sits North-South, at the second East-West; cards, dealer and
vulnerability are the same. The play of the cards is the double-dummy table. A board's result is the
difference of the two scores in IMPs (Law 78B), counted for the first bot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.bridge.board_record import BoardRecord
from trine.bridge.bots.base import NO_CALL, Bot, Observations, Public
from trine.bridge.cards import Deal, Vulnerability
from trine.bridge.deals import SolvedDeals
from trine.bridge.scoring import imps_of, points_table
from trine.bridge.symmetry import SUIT_ORDERS, permute_suits
from trine.core.errors import CheckFailed, UsageError
from trine.core.seeding import Seeds
from trine.core.stats import Summary, summarise_clustered

__all__ = ["Boards", "Match", "Table", "bid_out", "boards_of", "imps_text", "play_match"]


@dataclass(frozen=True, slots=True)
class Boards:
    """`n` boards.

    Attributes:
      owner: `[n, 52]` seats.
      tricks: `[n, 20]` double-dummy, strain C D H S NT major, then declarer N E S W.
      dealer: `[n]` seats.
      vulnerability: `[n]` bits, 1 North-South, 2 East-West.
      deal: `[n]` which deal a board is; those of one deal (suits permuted) are not independent.
    """

    owner: NDArray[np.uint8]
    tricks: NDArray[np.uint8]
    dealer: NDArray[np.int64]
    vulnerability: NDArray[np.int64]
    deal: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.owner)


@dataclass(frozen=True, slots=True)
class Table:
    """What came of the boards at one table.

    Attributes:
      calls: `[n, t]` int8, padded with -1.
      bid: `[n]` the contract 0..34, -1 passed out.
      doubled: `[n]` 0, 1, 2.
      declarer: `[n]` seats, -1 passed out.
      taken: `[n]` tricks of the declarer.
      points: `[n]` of North-South.
    """

    calls: NDArray[np.int8]
    bid: NDArray[np.int64]
    doubled: NDArray[np.int64]
    declarer: NDArray[np.int64]
    taken: NDArray[np.int64]
    points: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Match:
    """The result.

    Attributes:
      boards: that were bid.
      names: of the bots.
      tables: the first bot North-South, and East-West.
      imps: `[n]` of the first bot.
    """

    boards: Boards
    names: tuple[str, str]
    tables: tuple[Table, Table]
    imps: NDArray[np.int64]

    def summary(self, rows: NDArray[np.bool_] | None = None) -> Summary:
        """IMPs a board of the first bot, all boards or some; standard error clustered by deal."""
        chosen = slice(None) if rows is None else rows
        return summarise_clustered(self.imps[chosen], self.boards.deal[chosen])

    def document(self) -> dict[str, Any]:
        """The figures, for JSON: IMPs a board of the first bot, and what both bid."""
        summary = self.summary()
        return {
            "first": self.names[0],
            "second": self.names[1],
            "imps_per_board": summary.mean,
            "se": summary.standard_error,
            "boards": len(self.boards),
            "deals": len(np.unique(self.boards.deal)),
            "wins": int((self.imps > 0).sum()),
            "ties": int((self.imps == 0).sum()),
            "losses": int((self.imps < 0).sum()),
            "contracts": [self._contracts(0), self._contracts(1)],
        }

    def largest(self, count: int) -> NDArray[np.int64]:
        """Rows of the boards with the largest results either way, largest first."""
        return np.argsort(-np.abs(self.imps), kind="stable")[:count]

    def swings(self, count: int) -> list[BoardRecord]:
        """Both tables of the boards with the largest results, largest first."""
        return [self.record(int(i), table) for i in self.largest(count) for table in (0, 1)]

    def _contracts(self, bot: int) -> dict[str, Any]:
        """Of the boards on which a bot's side declared, at either table."""
        made = doubled = declared = 0
        for place, table in enumerate(self.tables):
            own = (table.declarer >= 0) & (table.declarer % 2 == (bot + place) % 2)
            declared += int(own.sum())
            made += int((own & (table.taken >= table.bid // 5 + 7)).sum())
            doubled += int((own & (table.doubled > 0)).sum())
        return {"declared": declared, "made": made, "doubled": doubled}

    def record(self, row: int, place: int) -> BoardRecord:
        """A board as it was bid at the first or second table (0, 1)."""
        table, names = self.tables[place], self.names
        calls = table.calls[row]
        sides = names if place == 0 else names[::-1]
        return BoardRecord(
            deal=Deal(self.boards.owner[row]),
            dealer=int(self.boards.dealer[row]),
            vulnerability=Vulnerability(int(self.boards.vulnerability[row])),
            calls=tuple(int(call) for call in calls[calls >= 0]),
            board=str(row + 1),
            names=(sides[0], sides[1], sides[0], sides[1]),
            explanations={},
            tricks=tuple(int(number) for number in self.boards.tricks[row]),
            par=None,
            taken=int(table.taken[row]) if table.declarer[row] >= 0 else None,
            tags={"Room": ("Open", "Closed")[place]},
        )


def boards_of(deals: SolvedDeals, count: int, seed: int, *, permute: bool = False) -> Boards:
    """The first `count` deals with random dealers and vulnerabilities.

    Args:
      deals: to take boards from.
      count: of boards.
      seed: of dealers, vulnerabilities and permutations.
      permute: whether more boards than deals may be asked for: once all deals are used, they come
        again with their suits (and the rows of their tables) permuted, up to 24 times each.

    Raises:
      UsageError: there are fewer deals.
    """
    most = len(deals) * (len(SUIT_ORDERS) if permute else 1)
    if not 1 <= count <= most:
        raise UsageError(
            f"{count:,} boards of {len(deals):,} deals",
            accepted=f"1 to {most:,}",
            hint="make more with: trine bridge deals generate"
            + ("" if permute else "; or permute the suits: --permute-suits"),
        )
    draw = Seeds(seed).generator("boards")
    dealer, vulnerability = draw.integers(4, size=count), draw.integers(4, size=count)
    rounds, rows = np.divmod(np.arange(count), len(deals))
    owner, tricks = deals.owner[rows], deals.tricks[rows]
    if rounds.any():
        # Each deal goes through the 24 orders from the identity on, in an order of its own.
        shuffled = Seeds(seed).generator("suits").permuted(
            np.tile(np.arange(1, len(SUIT_ORDERS)), (len(deals), 1)), axis=1
        )  # fmt: skip
        which = np.where(rounds > 0, shuffled[rows, rounds - 1], 0)
        owner, tricks = permute_suits(owner, tricks, SUIT_ORDERS[which])
    return Boards(owner, tricks, dealer, vulnerability, rows)


def play_match(first: Bot, second: Bot, boards: Boards) -> Match:
    """Bids all boards at both tables.

    Raises:
      CheckFailed: a bot made a call that is not legal.
    """
    tables = (bid_out(boards, (first, second)), bid_out(boards, (second, first)))
    won = imps_of(tables[0].points - tables[1].points)
    return Match(boards, (first.name, second.name), tables, won)


def imps_text(found: Mapping[str, Any]) -> str:
    """Of `Match.document`: `+1.07 ± 0.13`; without the second part if there is a single deal."""
    mean = f"{found['imps_per_board']:+.2f}"
    return mean if np.isnan(found["se"]) else f"{mean} ± {found['se']:.2f}"


def bid_out(boards: Boards, sides: tuple[Bot, Bot]) -> Table:
    """All auctions to their end, in lock-step.

    Args:
      boards: to bid.
      sides: North-South and East-West.

    Raises:
      CheckFailed: a bot made a call that is not legal.
    """
    calls = np.full((len(boards), 0), NO_CALL, np.int8)
    going = np.arange(len(boards))
    while len(going):
        place = calls.shape[1]
        column = np.full(len(boards), NO_CALL, np.int8)
        seat = (boards.dealer + place) % 4
        for side, bot in enumerate(sides):
            rows = going[seat[going] % 2 == side]
            if len(rows):
                column[rows] = _called(bot, boards, rows, seat[rows], calls[rows])
        calls = np.concatenate([calls, column[:, None]], axis=1)
        going = going[~Public.of(calls[going], boards.dealer[going]).over]
    return _scored(boards, calls)


def _called(
    bot: Bot,
    boards: Boards,
    rows: NDArray[np.int64],
    seat: NDArray[np.int64],
    calls: NDArray[np.int8],
) -> NDArray[np.int64]:
    seen = Observations(
        boards.owner[rows] == seat[:, None].astype(np.uint8),
        boards.dealer[rows], seat, boards.vulnerability[rows], calls,
    )  # fmt: skip
    made = bot.calls(seen)
    legal = seen.legal[np.arange(len(rows)), made]
    if not legal.all():
        wrong = int(np.flatnonzero(~legal)[0])
        raise CheckFailed(
            f"{bot.name} called {int(made[wrong])} on board {int(rows[wrong]) + 1}, "
            "which is not legal there"
        )
    return made


def _scored(boards: Boards, calls: NDArray[np.int8]) -> Table:
    public = Public.of(calls, boards.dealer)
    played = public.bid >= 0
    bid, declarer = np.maximum(public.bid, 0), np.maximum(public.declarer, 0)
    rows = np.arange(len(boards))
    taken = boards.tricks[rows, bid % 5 * 4 + declarer].astype(np.int64)
    vulnerable = boards.vulnerability >> (declarer % 2) & 1
    points = points_table()[public.doubled, vulnerable, bid, taken] * (1 - 2 * (declarer % 2))
    return Table(
        calls, public.bid, public.doubled, np.where(played, public.declarer, -1),
        np.where(played, taken, 0), np.where(played, points, 0),
    )  # fmt: skip
