"""The page of a match: IMPs a board, where they come from, what was bid, the biggest swings."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trine.bridge.calls import format_call
from trine.bridge.cards import SEATS, Deal, Vulnerability, format_deal
from trine.bridge.diagram import board_diagram, contract_text
from trine.bridge.match import Match, imps_text
from trine.bridge.match_pictures import (
    LEVELS,
    NORMAL_95,
    histogram,
    level_bars,
    running_mean,
    side_dots,
)
from trine.core.artifacts import write_text
from trine.core.report import Picture, Section, write_report
from trine.core.tables import Column, Table, to_csv

__all__ = ["board_frame", "contract_frame", "side_frame", "write_match_report"]


def write_match_report(
    path: Path, match: Match, *, facts: Mapping[str, object] | None = None, swings: int = 10
) -> Path:
    """Writes the page, and beside it, with the suffix `.csv`, a row for each board.

    Args:
      path: of the page.
      match: to show.
      facts: more lines for the end of the page.
      swings: how many of the largest results are drawn.

    Raises:
      DataError: it cannot be written.
    """
    found = match.document()
    first, second = match.names
    summary = (
        f"`{first}` scored {imps_text(found)} IMPs a board against `{second}` over "
        f"{found['boards']:,} boards: {found['wins']:,} won, {found['ties']:,} tied, "
        f"{found['losses']:,} lost."
    )
    boards = board_frame(match)
    # The page holds its figures itself; the numbers behind them are the boards.
    with tempfile.TemporaryDirectory(prefix="trine-match-") as folder:
        drawn = Path(folder)
        sections = [
            _result(match, found, drawn),
            _sides(match, drawn),
            _contracts(match, drawn),
            _swings(match, swings),
        ]
    write_text(path.with_suffix(".csv"), to_csv(Table(boards)))
    told = {"boards": found["boards"], "different deals": found["deals"], **(facts or {})}
    return write_report(
        path, f"{first} against {second}", sections, summary=summary, facts=told
    )  # fmt: skip


def board_frame(match: Match) -> pl.DataFrame:
    """A row for each board: cards, both auctions, both scores of North-South, IMPs."""
    boards, tables = match.boards, match.tables
    columns: dict[str, Any] = {
        "board": np.arange(1, len(boards) + 1),
        "deal": boards.deal + 1,
        "dealer": [SEATS[seat] for seat in boards.dealer],
        "vulnerability": [Vulnerability(int(bits)).text for bits in boards.vulnerability],
        "cards": [format_deal(Deal(owner)) for owner in boards.owner],
    }
    for room, table in zip(("open", "closed"), tables, strict=True):
        columns[f"auction_{room}"] = [
            " ".join(format_call(int(call)) for call in row[row >= 0]) for row in table.calls
        ]
        columns[f"tricks_{room}"] = np.where(table.declarer >= 0, table.taken, -1)
        columns[f"points_{room}"] = table.points
    return pl.DataFrame({**columns, "imps": match.imps})


def side_frame(match: Match) -> pl.DataFrame:
    """IMPs of the first bot by vulnerability and by dealer: `kind`, `value`, boards, mean, s.e."""
    boards = match.boards
    groups = [
        ("vulnerability", Vulnerability(bits).text, boards.vulnerability == bits)
        for bits in range(4)
    ] + [("dealer", SEATS[seat], boards.dealer == seat) for seat in range(4)]
    rows: list[dict[str, Any]] = []
    for kind, value, chosen in groups:
        if chosen.any():
            summary = match.summary(chosen)
            rows.append(
                {"kind": kind, "value": value, "boards": summary.count, "imps": summary.mean,
                 "se": summary.standard_error}
            )  # fmt: skip
    return pl.DataFrame(rows)


def contract_frame(match: Match) -> pl.DataFrame:
    """What each bot's side declared at both tables, by level; level 0 is passed out."""
    rows: list[dict[str, Any]] = []
    parts = [_declared(match, bot) for bot in range(2)]
    passed = sum(int((table.declarer < 0).sum()) for table in match.tables)
    for bot, part in enumerate(parts):
        for level in LEVELS:
            own = part["level"] == level
            made, doubled = part["made"][own], part["doubled"][own] > 0
            rows.append(
                {
                    "bot": match.names[bot],
                    "level": level,
                    "contracts": int(own.sum()),
                    "made": int(made.sum()),
                    "share": 100 * float(made.mean()) if len(made) else None,
                    "doubled": int(doubled.sum()),
                    "doubled_made": int((made & doubled).sum()),
                    "points": float(part["points"][own].mean()) if own.any() else None,
                }
            )
    empty = {name: None for name in ("made", "share", "doubled", "doubled_made", "points")}
    rows.append({"bot": "passed out", "level": 0, "contracts": passed, **empty})
    return pl.DataFrame(rows, infer_schema_length=None)


def _declared(match: Match, bot: int) -> dict[str, NDArray[Any]]:
    """Of the contracts of a bot's side: level, made or not, doubled 0 to 2, its own points."""
    parts: list[tuple[NDArray[Any], ...]] = []
    for place, table in enumerate(match.tables):
        own = (table.declarer >= 0) & (table.declarer % 2 == (bot + place) % 2)
        bid, sign = table.bid[own], 1 - 2 * (table.declarer[own] % 2)
        parts.append(
            (bid // 5 + 1, table.taken[own] >= bid // 5 + 7, table.doubled[own],
             table.points[own] * sign)
        )  # fmt: skip
    names = ("level", "made", "doubled", "points")
    return {
        name: np.concatenate(both)
        for name, both in zip(names, zip(*parts, strict=True), strict=True)
    }


def _result(match: Match, found: dict[str, Any], folder: Path) -> Section:
    same = (match.tables[0].bid == match.tables[1].bid) & (
        match.tables[0].declarer == match.tables[1].declarer
    )
    same &= match.tables[0].doubled == match.tables[1].doubled
    swing = np.abs(match.imps)
    frame = pl.DataFrame(
        {
            "imps": [found["imps_per_board"]],
            "se": [found["se"]],
            "low": [found["imps_per_board"] - NORMAL_95 * found["se"]],
            "high": [found["imps_per_board"] + NORMAL_95 * found["se"]],
            "spread": [float(match.imps.std(ddof=1)) if len(match.imps) > 1 else None],
            "same": [100 * float(same.mean())],
            "large": [100 * float((swing >= 10).mean())],
        }
    )
    columns = [
        Column("imps", "IMPs a board", "+.2f", highlight=True),
        Column("se", "s.e.", ".2f"),
        Column("low", "95 % from", "+.2f"),
        Column("high", "to", "+.2f"),
        Column("spread", "s.d. of a board", ".2f"),
        Column("same", "same contract, %", ".1f"),
        Column("large", "10 IMPs and more, %", ".1f"),
    ]
    figures = [histogram(match, folder)]
    if len(match.imps) > 1:
        figures.append(running_mean(match, folder))
    notes = [
        f"Each board is played twice with the seats exchanged; positive is good for "
        f"`{match.names[0]}`. The play of the cards is the double-dummy table.",
        "The standard error is clustered by deal"
        + (
            ": every board here is a deal of its own."
            if found["deals"] == found["boards"]
            else f": {found['boards']:,} boards come from {found['deals']:,} deals."
        ),
    ]
    return Section("Result", tables=[Table(frame, columns=columns)], figures=figures, notes=notes)


def _sides(match: Match, folder: Path) -> Section:
    frame = side_frame(match)
    columns = [
        Column("value", ""),
        Column("boards", format=","),
        Column("imps", "IMPs a board", "+.2f", highlight=True),
        Column("se", "s.e.", ".2f"),
    ]
    tables = [
        Table(frame.filter(pl.col("kind") == kind), f"By {kind}", columns)
        for kind in ("vulnerability", "dealer")
    ]
    figures = [side_dots(match, frame, folder)] if frame["se"].is_finite().any() else []
    note = "Both bots sit both ways on every board: no row favours one of them by its seats."
    return Section("Vulnerability and dealer", tables=tables, figures=figures, notes=[note])


def _contracts(match: Match, folder: Path) -> Section:
    frame = contract_frame(match)
    shown = frame.with_columns(
        pl.when(pl.col("level") == 0).then(None).otherwise(pl.col("level")).alias("level")
    )
    columns = [
        Column("bot", "declarer"),
        Column("level"),
        Column("contracts", format=","),
        Column("made", format=","),
        Column("share", "made, %", ".1f", highlight=True),
        Column("doubled", format=","),
        Column("doubled_made", "of them made", ","),
        Column("points", "mean points", "+.0f"),
    ]
    table = Table(
        shown.filter(pl.col("contracts") > 0), "Contracts by level, both tables", columns,
        "Points are those of the declaring side.",
    )  # fmt: skip
    return Section("Contracts", tables=[table], figures=[level_bars(match, frame, folder)])


def _swings(match: Match, count: int) -> Section:
    first, second = match.names
    figures: list[Picture] = []
    for row in match.largest(count):
        imps = int(match.imps[row])
        if imps == 0:
            break
        both = [match.record(int(row), place) for place in (0, 1)]
        title = f"Board {int(row) + 1}: {abs(imps)} IMPs to {first if imps > 0 else second}"
        heads = [
            f"{_short(first)} N/S, {_short(second)} E/W",
            f"{_short(second)} N/S, {_short(first)} E/W",
        ]
        read = "; ".join(
            f"{head}: {contract_text(board)}" for head, board in zip(heads, both, strict=True)
        )
        figures.append(Picture(board_diagram(both, heads, f"{title}. {read}"), "", title))
    note = (
        "The dealer is underlined, red seats are vulnerable; below the hands, the tricks of each "
        "declarer in each strain."
    )
    if not figures:
        return Section("Biggest swings", paragraphs=["Every board was tied."])
    return Section("Biggest swings", figures=figures, notes=[note])


def _short(name: str) -> str:
    return name if len(name) <= 14 else name[:13] + "…"
