"""Rates of all measures for a bidder, with standard errors, a comparison and the worst boards.

By itself a bidder sits in all four seats, and a board counts once for a measure whichever side did
it. Against opponents every board is bid at two tables with the seats exchanged, and what the
bidder's side did is counted at both: again all four seats of the board, so that the rates compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.bridge.audit.base import Audited, Measure
from trine.bridge.audit.registry import MEASURES
from trine.bridge.board_record import BoardRecord
from trine.bridge.bots.base import Bot
from trine.bridge.cards import Deal, Vulnerability
from trine.bridge.match import Boards, bid_out
from trine.core.stats import summarise

__all__ = ["Audit", "audit_bot", "count_measures", "difference"]

_PER = 1000


@dataclass(frozen=True, slots=True)
class Audit:
    """What was counted.

    Attributes:
      names: of the bot and its opponents.
      tables: one, all seats the bot's; or two, where it sits North-South and East-West.
      measures: that were counted.
      found: for each table `[measures, n]`, whether the bot did it.
      lost: for each table and measure `[measures, n]`, IMPs against par of the side that did it.
    """

    names: tuple[str, str]
    tables: tuple[Audited, ...]
    measures: tuple[Measure, ...]
    found: tuple[NDArray[np.bool_], ...]
    lost: tuple[NDArray[np.int64], ...]

    @property
    def counts(self) -> NDArray[np.int64]:
        """`[measures, n]` how often on each board."""
        return np.sum(self.found, axis=0)

    def document(self) -> dict[str, Any]:
        """For JSON: rates per 1,000 boards."""
        distance = [np.abs(table.imps_lost[:, 0]).mean() for table in self.tables]
        return {
            "bot": self.names[0],
            "opponents": self.names[1],
            "boards": len(self.tables[0]),
            "tables": len(self.tables),
            "imps_from_par": float(np.mean(distance)),
            "measures": {
                measure.name: self._rate(row) for row, measure in enumerate(self.measures)
            },
        }

    def _rate(self, row: int) -> dict[str, Any]:
        summary = summarise(self.counts[row])
        lost = np.concatenate(
            [lost[row][found[row]] for lost, found in zip(self.lost, self.found, strict=True)]
        )
        return {
            "count": int(self.counts[row].sum()),
            "per_thousand": _PER * summary.mean,
            "se": _PER * summary.standard_error,
            "imps_lost": float(lost.mean()) if len(lost) else None,
        }

    def worst(self, count: int) -> list[BoardRecord]:
        """Of each measure the boards that cost most against par; the event tells which it was."""
        records: list[BoardRecord] = []
        for row, measure in enumerate(self.measures):
            cases = [
                (-int(self.lost[place][row, board]), int(board), place)
                for place in range(len(self.tables))
                for board in np.flatnonzero(self.found[place][row])
            ]
            for lost, board, place in sorted(cases)[:count]:
                records.append(self._record(board, place, f"{measure.name}: {lost:+d} IMPs"))
        return records

    def _record(self, row: int, place: int, event: str) -> BoardRecord:
        seen = self.tables[place]
        boards, table = seen.boards, seen.table
        calls = table.calls[row]
        sides = self.names if place == 0 else self.names[::-1]
        return BoardRecord(
            deal=Deal(boards.owner[row]),
            dealer=int(boards.dealer[row]),
            vulnerability=Vulnerability(int(boards.vulnerability[row])),
            calls=tuple(int(call) for call in calls[calls >= 0]),
            board=str(row + 1),
            names=(sides[0], sides[1], sides[0], sides[1]),
            tricks=tuple(int(number) for number in boards.tricks[row]),
            par=int(seen.par[row]),
            taken=int(table.taken[row]) if table.declarer[row] >= 0 else None,
            tags={"Event": event},
        )


def audit_bot(
    bot: Bot,
    boards: Boards,
    opponents: Bot | None = None,
    measures: Sequence[Measure] = MEASURES,
) -> Audit:
    """Bids the boards and counts.

    Raises:
      CheckFailed: a bot made a call that is not legal.
    """
    if opponents is None:
        tables = (Audited(boards, bid_out(boards, (bot, bot))),)
    else:
        pairs = ((bot, opponents), (opponents, bot))
        tables = tuple(Audited(boards, bid_out(boards, pair)) for pair in pairs)
    return count_measures((bot.name, (opponents or bot).name), tables, measures)


def count_measures(
    names: tuple[str, str], tables: tuple[Audited, ...], measures: Sequence[Measure] = MEASURES
) -> Audit:
    """Counts at tables whose boards are bid: one in self-play, else two (see `Audit`)."""
    found: list[NDArray[np.bool_]] = []
    lost: list[NDArray[np.int64]] = []
    for place, seen in enumerate(tables):
        # [measures, n, 2]; with opponents only the seats of the bot count.
        sides = np.stack([measure.find(seen) for measure in measures])
        if len(tables) == 2:
            sides[:, :, 1 - place] = False
        found.append(sides[:, :, 0] | sides[:, :, 1])
        lost.append(np.where(sides, seen.imps_lost, -99).max(2))
    return Audit(names, tables, tuple(measures), tuple(found), tuple(lost))


def difference(first: Audit, second: Audit) -> dict[str, dict[str, float]]:
    """First minus second per 1,000 boards, board by board, with its standard error.

    Args:
      first: of the same boards and measures as
      second: this one.
    """
    result: dict[str, dict[str, float]] = {}
    for row, measure in enumerate(first.measures):
        summary = summarise(first.counts[row] - second.counts[row])
        result[measure.name] = {
            "per_thousand": _PER * summary.mean,
            "se": _PER * summary.standard_error,
        }
    return result
