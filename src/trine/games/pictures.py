"""Figures of the games room: tidy table in, matplotlib figure out, no files touched."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from trine.core.figures import Palette, house_style, new_figure
from trine.games.convention import final_states
from trine.games.paper import PAPER
from trine.games.policy import TabularPolicy
from trine.games.tree import Tree

METHOD_PALETTE = Palette(("cfr", "jps", "cfr+jps", "best", "bad", "a2c", "exact"))
"""The same method has the same colour in every figure."""


def curve_table(curves: Mapping[str, list[tuple[np.ndarray, np.ndarray]]]) -> pl.DataFrame:
    """Mean and standard error over seeds at each iteration.

    Args:
      curves: per method, one `(iteration, value)` pair of arrays per seed. A curve that ends early
        keeps its last value.

    Returns:
      Columns `method`, `iteration`, `mean`, `standard_error`, `seeds`.
    """
    tables: list[pl.DataFrame] = []
    for method, runs in curves.items():
        at = np.unique(np.concatenate([x for x, _ in runs]))
        values = np.stack([y[np.searchsorted(x, at, side="right") - 1] for x, y in runs])
        error = values.std(axis=0, ddof=1) / np.sqrt(len(runs)) if len(runs) > 1 else 0 * at
        tables.append(
            pl.DataFrame(
                {
                    "method": [method] * len(at),
                    "iteration": at,
                    "mean": values.mean(axis=0),
                    "standard_error": np.asarray(error, dtype=np.float64),
                    "seeds": [len(runs)] * len(at),
                }
            )
        )
    return pl.concat(tables)


def value_curves(
    table: pl.DataFrame,
    title: str,
    *,
    x_label: str = "iteration",
    lines: Mapping[str, float] | None = None,
    logarithmic: bool = False,
) -> Figure:
    """Value per iteration, mean over seeds with a band of one standard error.

    Args:
      table: as made by `curve_table`.
      title: the finding.
      x_label: what an iteration is.
      lines: horizontal lines by name, e.g. the proved optimum.
      logarithmic: whether the iterations are shown on a logarithmic axis (from 1).
    """
    figure, axes = new_figure()
    with house_style():
        for method in table["method"].unique(maintain_order=True):
            rows = table.filter(pl.col("method") == method)
            x = rows["iteration"].to_numpy() + (1 if logarithmic else 0)
            mean, error = rows["mean"].to_numpy(), rows["standard_error"].to_numpy()
            colour = METHOD_PALETTE.colour(method)
            name = f"{method} ({rows['seeds'][0]} seeds)"
            axes.plot(x, mean, color=colour, label=name)
            axes.fill_between(x, mean - error, mean + error, color=colour, alpha=0.2, linewidth=0)
        for n, (name, value) in enumerate((lines or {}).items()):
            style = ("--", ":")[n % 2]
            text = f"{name}: {value:.4g}"
            axes.axhline(value, color="#444444", linewidth=1.1, linestyle=style, label=text)
        if logarithmic:
            axes.set_xscale("log")
        axes.set_xlabel(x_label)
        axes.set_ylabel("value, game points")
        axes.set_title(title)
        axes.margins(y=0.12)
        figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    return figure


def method_scores(frame: pl.DataFrame, optima: Mapping[str, float], title: str) -> Figure:
    """Share of the best known value each method reaches, one group of dots per game.

    Args:
      frame: columns `game` (label), `method`, `mean`, `standard_error`, `paper` (may be null).
      optima: the value that counts as 1, by game label.
      title: the finding.
    """
    games = list(frame["game"].unique(maintain_order=True))
    methods = list(frame["method"].unique(maintain_order=True))
    figure, axes = new_figure(width=8.0, height=0.62 * len(games) + 1.4)
    with house_style():
        spread = np.linspace(-0.28, 0.28, len(methods)) if len(methods) > 1 else [0.0]
        for offset, method in zip(spread, methods, strict=True):
            rows = frame.filter(pl.col("method") == method)
            top = np.array([optima[game] for game in rows["game"]])
            y = np.array([games.index(game) for game in rows["game"]]) + offset
            colour = METHOD_PALETTE.colour(method)
            error = np.nan_to_num(rows["standard_error"].to_numpy().astype(float))
            axes.errorbar(
                rows["mean"].to_numpy() / top, y, xerr=error / top, fmt="o",
                markersize=5, color=colour, label=method, capsize=2,
            )  # fmt: skip
            paper = rows["paper"].to_numpy().astype(float)
            axes.plot(
                paper / top, y, linestyle="none", marker="|", markersize=11, color=colour,
                markeredgewidth=1.8,
            )  # fmt: skip
        axes.plot([], [], linestyle="none", marker="|", color="#444444", label="paper")
        axes.axvline(1.0, color="#444444", linewidth=1)
        axes.set_yticks(range(len(games)), games)
        axes.invert_yaxis()
        axes.set_xlabel("share of the best known value (dots: ours, mean ± s.e. over seeds)")
        axes.set_title(title)
        figure.legend(loc="outside lower center", ncols=len(methods) + 1, fontsize=8)
    return figure


def convention_picture(
    tree: Tree, policy: TabularPolicy, title: str
) -> tuple[Figure, pl.DataFrame]:
    """Where every deal of a bidding game ends, and what it is worth.

    Args:
      tree: a two-player game with public actions and one shared payoff.
      policy: a pure or nearly pure policy of it.
      title: the finding.

    Returns:
      The figure: a grid of player 1's cards by player 2's, colour the payoff, text the calls; and
      the table behind it.
    """
    public = tree.public
    assert public is not None
    assert public.deal_index is not None
    end = final_states(public, tree, policy)
    deals = np.arange(len(end))
    payoff = tree.payoff[0, 1 + end * len(deals) + deals]
    calls = ["-".join(str(a) for a in public.history(int(s))) for s in end]
    grid = np.full(public.deal_index.shape, np.nan)
    grid[public.cards[:, 0], public.cards[:, 1]] = payoff
    rows, columns = public.deal_index.shape[0], public.deal_index.shape[1]
    figure, axes = new_figure(width=1.6 + 0.52 * columns, height=1.5 + 0.42 * rows)
    with house_style():
        image = axes.imshow(grid, cmap="YlGnBu", origin="lower", aspect="auto")
        axes.grid(visible=False)
        size = 8.0 if columns <= 8 else 5.2
        brightest = np.nanmax(grid) * 0.6
        for k in deals:
            i, j = public.cards[k]
            colour = "white" if payoff[k] > brightest else "#222222"
            axes.text(j, i, calls[k], ha="center", va="center", fontsize=size, color=colour)
        axes.set_xticks(range(columns))
        axes.set_yticks(range(rows))
        axes.set_xlabel("card of player 2")
        axes.set_ylabel("card of player 1")
        axes.set_title(title)
        figure.colorbar(image, ax=axes, label="payoff, game points")
    frame = pl.DataFrame(
        {"card_1": public.cards[:, 0], "card_2": public.cards[:, 1], "calls": calls,
         "payoff": payoff}
    )  # fmt: skip
    return figure, frame


def reference_lines(game: str, size: int | None, proved: float | None) -> dict[str, float]:
    """Horizontal lines for a game's curves: the paper's result and the proved optimum."""
    lines: dict[str, float] = {}
    row = PAPER.get((game, size))
    if row is not None:
        lines["paper CFR1k+JPS"] = row.cfr_jps
    if proved is not None:
        lines["proved optimum"] = proved
    return lines
