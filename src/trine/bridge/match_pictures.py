"""The plots of a match's page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from trine.bridge.match import Match
from trine.core.figures import Palette, house_style, new_figure, save_figure
from trine.core.report import Picture, picture

__all__ = ["LEVELS", "NORMAL_95", "histogram", "level_bars", "running_mean", "side_dots"]

NORMAL_95 = 1.96
"""Standard errors on either side of a mean, in an interval of 95 %."""

LEVELS = range(1, 8)

_POINTS = 200  # of the running mean
# By place and not by name: two names may share a colour of the palette.
_BOTS = Palette(("first", "second"))
_FIRST, _SECOND = _BOTS.colour("first"), _BOTS.colour("second")


def histogram(match: Match, folder: Path) -> Picture:
    """How many boards had each result."""
    values = np.arange(-24, 25)
    counts = np.array([(match.imps == value).sum() for value in values])
    figure, axes = new_figure(7.2, 3.0)
    with house_style():
        colours = [_FIRST if v > 0 else "#8a93a0" if v == 0 else _SECOND for v in values]
        axes.bar(values, counts, width=0.85, color=colours)
        axes.set_xlabel(f"IMPs of {match.names[0]} on a board")
        axes.set_ylabel("boards")
        axes.grid(visible=False, axis="x")
    saved = save_figure(
        figure, pl.DataFrame({"imps": values, "boards": counts}), folder, "histogram"
    )
    ties = int(counts[24])
    return picture(
        saved, f"Results of single boards; {ties:,} ties in the middle.", "IMPs on a board"
    )


def running_mean(match: Match, folder: Path) -> Picture:
    """IMPs a board after each board, with its interval."""
    count = len(match.imps)
    start = min(max(10, count // 20), count)
    ends = np.unique(np.linspace(start, count, min(_POINTS, count)).astype(int))
    parts = [match.summary(np.arange(count) < end) for end in ends]
    mean = np.array([part.mean for part in parts])
    half = NORMAL_95 * np.array([part.standard_error for part in parts])
    figure, axes = new_figure(7.2, 3.0)
    colour = _FIRST
    with house_style():
        axes.axhline(0, color="#5c6675", linewidth=0.8)
        axes.fill_between(ends, mean - half, mean + half, color=colour, alpha=0.18, linewidth=0)
        axes.plot(ends, mean, color=colour)
        axes.set_xlabel("boards")
        axes.set_ylabel("IMPs a board so far")
        axes.set_xlim(0, ends[-1])
    frame = pl.DataFrame({"boards": ends, "mean": mean, "half_width": half})
    saved = save_figure(figure, frame, folder, "running")
    return picture(
        saved,
        "Mean of the boards so far, in the order they were played, with 95 % around it; the first "
        "twentieth is left out.",
        "Running mean",
    )  # fmt: skip


def side_dots(match: Match, frame: pl.DataFrame, folder: Path) -> Picture:
    """Means of `match_report.side_frame` with intervals."""
    figure, axes = new_figure(7.2, 2.8)
    with house_style():
        axes.axhline(0, color="#5c6675", linewidth=0.8)
        axes.axhline(float(match.imps.mean()), color="#5c6675", linewidth=0.8, linestyle="--")
        for place, row in enumerate(frame.iter_rows(named=True)):
            # A gap between the two kinds.
            x = place + (row["kind"] == "dealer")
            axes.errorbar(
                x, row["imps"], yerr=NORMAL_95 * row["se"], fmt="o", capsize=3,
                color=_FIRST,
            )  # fmt: skip
        kinds = frame["kind"].to_list()
        axes.set_xticks(
            [place + (kind == "dealer") for place, kind in enumerate(kinds)],
            [
                f"{value} vul." if kind == "vulnerability" else f"{value} deals"
                for kind, value in zip(kinds, frame["value"], strict=True)
            ],
        )
        axes.set_ylabel("IMPs a board")
        axes.grid(visible=False, axis="x")
    saved = save_figure(figure, frame, folder, "sides")
    return picture(saved, "Means with 95 % intervals; dashed: all boards.")


def level_bars(match: Match, frame: pl.DataFrame, folder: Path) -> Picture:
    """Contracts of `match_report.contract_frame`, made and down."""
    figure, axes = new_figure(7.2, 3.0)
    with house_style():
        for bot, colour in enumerate((_FIRST, _SECOND)):
            rows = frame.slice(bot * len(LEVELS), len(LEVELS))
            x = rows["level"].to_numpy() + (bot - 0.5) * 0.4
            made, all_of_them = rows["made"].to_numpy(), rows["contracts"].to_numpy()
            axes.bar(x, made, 0.36, color=colour, label=f"{match.names[bot]}, made")
            axes.bar(
                x, all_of_them - made, 0.36, bottom=made, color=colour, alpha=0.35,
                label=f"{match.names[bot]}, down",
            )  # fmt: skip
        axes.set_xticks(list(LEVELS))
        axes.set_xlabel("level of the contract")
        axes.set_ylabel("contracts")
        axes.grid(visible=False, axis="x")
        axes.legend()
    saved = save_figure(figure, frame, folder, "levels")
    return picture(saved, "Contracts declared at either table.")
