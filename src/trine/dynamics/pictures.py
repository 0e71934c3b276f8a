"""Figures of training runs: tidy table in, matplotlib figure out, no files touched.

Time is in epochs on a logarithmic axis; the start, which has no place on one, is drawn at its left
end. Bands are one standard error over seeds unless a caption says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from trine.core.figures import Palette, house_style
from trine.core.stats import summarise
from trine.dynamics.measures.matching import Matching

__all__ = [
    "compared_correlations",
    "compared_losses",
    "correlation_curves",
    "loss_curves",
    "matching_matrices",
    "pull_curves",
    "rank_histograms",
    "row_norm_curves",
    "winner_order",
]

LAYER_PALETTE = Palette(tuple(f"L{layer}" for layer in range(7)))
ROLE_PALETTE = Palette(("winner", "other"))
OVER_PALETTE = Palette(("over 10", "over 5", "over 2", "over 1"))
"""The same layer, role or over-parameterisation has the same colour in every figure."""

PANEL = (2.3, 2.35)  # inches; a page is about ten wide


def _panels(count: int, rows: int = 1, *, share_y: bool = True) -> tuple[Figure, list[list[Axes]]]:
    width = max(PANEL[0] * count + 0.5, 4.5)
    figure = Figure(figsize=(width, PANEL[1] * rows + 0.7), layout="constrained")
    grid: Any = figure.subplots(rows, count, squeeze=False, sharey="row" if share_y else False)
    return figure, [list(line) for line in grid]


def _over_seeds(frame: pl.DataFrame, by: str, value: str) -> tuple[NDArray[Any], ...]:
    """`by`, mean, standard error (0 for one seed), in order of `by`."""
    at, mean, error = [], [], []
    for (key,), group in frame.group_by([by], maintain_order=True):
        values = group[value].drop_nulls().drop_nans().to_numpy()
        if not len(values):
            continue
        found = summarise(values)
        at.append(key)
        mean.append(found.mean)
        error.append(0.0 if math.isnan(found.standard_error) else found.standard_error)
    order = np.argsort(at)
    return np.asarray(at)[order], np.asarray(mean)[order], np.asarray(error)[order]


def _epochs_axis(axes: Axes, epochs: Sequence[float]) -> float:
    """A logarithmic axis whose left end is the start; returns where the start is drawn."""
    positive = [epoch for epoch in epochs if epoch > 0]
    left = min(positive, default=1.0) / 2
    axes.set_xscale("log")
    decades = [10.0**k for k in range(-7, 8) if left * 5 < 10.0**k <= max(epochs)]
    axes.set_xticks([left, *decades])
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda x, _: "0" if abs(x / left - 1) < 1e-6 else f"{x:g}")
    )
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("epochs", fontsize=9)
    return left


def _draw(
    axes: Axes, x: NDArray[Any], mean: NDArray[Any], error: NDArray[Any], **line: Any
) -> None:
    axes.plot(x, mean, **line)
    colour = line["color"]
    axes.fill_between(x, mean - error, mean + error, color=colour, alpha=0.25, linewidth=0)


def correlation_curves(frame: pl.DataFrame, title: str) -> Figure:
    """One panel a layer: mean over living teacher nodes, and their extremes.

    Args:
      frame: as made by `results.correlation_frame`.
      title: the finding.
    """
    layers = sorted(set(frame["layer"]))
    with house_style():
        figure, grid = _panels(len(layers))
        for layer, axes in zip(layers, grid[0], strict=True):
            rows = frame.filter(pl.col("layer") == layer)
            left = _epochs_axis(axes, rows["epoch"].to_list())
            colour = LAYER_PALETTE.colour(f"L{layer}")
            for name, style, width in (
                ("maximum", ":", 1.2), ("mean_alive", "-", 2.0), ("minimum", "--", 1.2),
            ):  # fmt: skip
                x, mean, error = _over_seeds(rows, "epoch", name)
                _draw(
                    axes, np.maximum(x, left), mean, error, color=colour, linestyle=style,
                    linewidth=width,
                )  # fmt: skip
            last = rows.filter(pl.col("epoch") == rows["epoch"].max())
            living = last["mean_alive"].drop_nans()
            dead = int(last["dead"].sum())
            value = f" {summarise(living).mean:.4f}" if len(living) else ""
            died = f"; {dead} dead" if dead else ""
            axes.set_title(f"L{layer}:{value}{died}", fontsize=10)
            axes.set_ylim(min(0.0, axes.get_ylim()[0]), 1.02)
        grid[0][0].set_ylabel("best correlation")
        seeds = frame["seed"].n_unique()
        figure.suptitle(
            f"{title} ({seeds} seed{'s' * (seeds != 1)})", fontsize=11, fontweight="bold"
        )
        kinds: list[tuple[str, Any]] = [
            ("largest over teacher nodes", ":"), ("mean", "-"), ("smallest", "--"),
        ]  # fmt: skip
        handles = [
            Line2D([], [], color="#444444", linestyle=dash, label=name) for name, dash in kinds
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _compared(
    frame: pl.DataFrame, by: str, value: str, palette: Palette, axes: Axes, markers: bool = False
) -> list[Any]:
    lines: list[Any] = []
    left = _epochs_axis(axes, frame["epoch"].to_list())
    for label in frame[by].unique(maintain_order=True):
        rows = frame.filter(pl.col(by) == label)
        x, mean, error = _over_seeds(rows, "epoch", value)
        _draw(axes, np.maximum(x, left), mean, error, **palette.line(label))
        lines.append(axes.lines[-1])
    return lines


def compared_correlations(
    frame: pl.DataFrame, by: str, title: str, palette: Palette = OVER_PALETTE
) -> Figure:
    """One panel a layer, one line a setting: mean over living teacher nodes.

    Args:
      frame: rows of `results.correlation_frame` with a column `by` of labels.
      by: that column.
      title: the finding.
      palette: colours of the labels.
    """
    layers = sorted(set(frame["layer"]))
    with house_style():
        figure, grid = _panels(len(layers))
        lines: list[Any] = []
        for layer, axes in zip(layers, grid[0], strict=True):
            lines = _compared(
                frame.filter(pl.col("layer") == layer), by, "mean_alive", palette, axes
            )
            axes.set_title(f"L{layer}", fontsize=10)
            axes.set_ylim(min(0.0, axes.get_ylim()[0]), 1.02)
        grid[0][0].set_ylabel("best correlation, mean\nover living teacher nodes")
        figure.suptitle(title, fontsize=11, fontweight="bold")
        figure.legend(handles=lines, loc="outside lower center", ncols=6, fontsize=8)
    return figure


def compared_losses(
    frame: pl.DataFrame, by: str, title: str, palette: Palette = OVER_PALETTE, panel: str = ""
) -> Figure:
    """Evaluation loss, logarithmic, one line a setting.

    Args:
      frame: rows of `results.loss_frame` with a column `by` of labels.
      by: that column.
      title: the finding.
      palette: colours of the labels.
      panel: a column whose values have a panel each; one panel by default.
    """
    panels = list(frame[panel].unique(maintain_order=True)) if panel else [""]
    with house_style():
        figure, grid = _panels(len(panels), share_y=False)
        figure.set_size_inches(max(3.9 * len(panels), 5.6), 3.8)
        lines: list[Any] = []
        for name, axes in zip(panels, grid[0], strict=True):
            rows = frame.filter(pl.col(panel) == name) if panel else frame
            # Mean and error of the logarithm: one bad seed must not hide the others.
            shown = rows.with_columns(log=pl.col("evaluation_loss").log10())
            lines = _compared(shown, by, "log", palette, axes)
            axes.set_title(str(name), fontsize=10)
        grid[0][0].set_ylabel("log10 evaluation loss")
        figure.suptitle(title, fontsize=11, fontweight="bold")
        figure.legend(handles=lines, loc="outside lower center", ncols=6, fontsize=8)
    return figure


def loss_curves(frame: pl.DataFrame, title: str) -> Figure:
    """Training and evaluation loss of one run.

    Args:
      frame: as made by `results.loss_frame`.
      title: the finding.
    """
    with house_style():
        figure, grid = _panels(1)
        figure.set_size_inches(6.0, 3.6)
        axes = grid[0][0]
        left = _epochs_axis(axes, frame["epoch"].to_list())
        for name, colour, style in (
            ("evaluation_loss", "#0072B2", "-"), ("train_loss", "#D55E00", "--"),
        ):  # fmt: skip
            shown = frame.with_columns(log=pl.col(name).log10())
            x, mean, error = _over_seeds(shown, "epoch", "log")
            label = name.replace("_", " ").replace("train", "training")
            _draw(
                axes, np.maximum(x, left), mean, error, color=colour, linestyle=style, label=label
            )
        axes.set_ylabel("log10 loss")
        axes.set_title(title)
        figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    return figure


def rank_histograms(frame: pl.DataFrame, layers: Sequence[dict[str, Any]], title: str) -> Figure:
    """One panel a layer: where final winners ranked at the start.

    Args:
      frame: as made by `results.node_frame`.
      layers: pooled layers of `results.layer_results`, for chance and p-value.
      title: the finding.
    """
    with house_style():
        figure, grid = _panels(len(layers), share_y=False)
        for row, axes in zip(layers, grid[0], strict=True):
            layer = row["layer"]
            mine = frame.filter((pl.col("layer") == layer) & pl.col("alive"))
            students = int(frame.filter(pl.col("layer") == layer)["students"][0])
            bins = np.arange(0, students + 1, max(1, math.ceil(students / 25))) - 0.5
            colour = LAYER_PALETTE.colour(f"L{layer}")
            axes.hist(mine["initial_rank"].to_numpy(), bins=[*bins], color=colour)
            axes.axvline(row["initial_rank_chance"], color="#222222", linestyle="--", linewidth=1)
            if mine.height:
                axes.axvline(row["initial_rank_mean"], color="#222222", linewidth=1.4)
            axes.set_title(
                f"L{layer}: mean {row['initial_rank_mean']:.1f} of {students}\n"
                f"p = {row['initial_rank_p']:.1g}",
                fontsize=10,
            )
        grid[0][0].set_ylabel("teacher nodes")
        figure.supxlabel(
            "rank of the winner at the start, 0 the nearest (solid: mean, dashed: chance)",
            fontsize=9,
        )
        figure.suptitle(title, fontsize=11, fontweight="bold")
    return figure


def row_norm_curves(frame: pl.DataFrame, title: str) -> Figure:
    """Two rows of panels, weights in and out; winners and other nodes, median and extremes.

    Args:
      frame: as made by `results.row_norm_frame`.
      title: the finding.
    """
    layers = sorted(set(frame["layer"]))
    with house_style():
        figure, grid = _panels(len(layers), 2)
        for line, name in zip(grid, ("fan_in", "fan_out"), strict=True):
            for layer, axes in zip(layers, line, strict=True):
                rows = frame.filter(pl.col("layer") == layer)
                left = _epochs_axis(axes, rows["epoch"].to_list())
                axes.set_yscale("log")
                for role in ("winner", "other"):
                    mine = rows.filter(pl.col("role") == role)
                    if not mine.height:
                        continue
                    x, middle, _ = _over_seeds(mine, "epoch", f"{name}_median")
                    grouped = mine.group_by("epoch").agg(
                        pl.col(f"{name}_minimum").min(), pl.col(f"{name}_maximum").max()
                    )
                    spread = grouped.sort("epoch")
                    low = spread[f"{name}_minimum"].to_numpy().clip(1e-9)
                    high = spread[f"{name}_maximum"].to_numpy()
                    style = ROLE_PALETTE.line(role)
                    at = np.maximum(x, left)
                    axes.plot(at, middle, **style)
                    axes.fill_between(at, low, high, color=style["color"], alpha=0.15, linewidth=0)
                axes.set_title(f"L{layer}", fontsize=10)
            line[0].set_ylabel("norm of incoming" if name == "fan_in" else "norm of outgoing")
        figure.suptitle(title, fontsize=11, fontweight="bold")
        handles = grid[0][0].lines[:2]
        figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8)
    return figure


def pull_curves(frame: pl.DataFrame, title: str) -> Figure:
    """One panel a layer: how much a teacher node attracts its later winner, and the others.

    Args:
      frame: as made by `results.pull_frame`.
      title: the finding.
    """
    layers = sorted(set(frame["layer"]))
    with house_style():
        figure, grid = _panels(len(layers), share_y=False)
        for layer, axes in zip(layers, grid[0], strict=True):
            rows = frame.filter(pl.col("layer") == layer)
            means = rows.group_by("seed", "epoch", maintain_order=True).agg(
                pl.col("attraction", "attraction_others").mean()
            )
            left = _epochs_axis(axes, means["epoch"].to_list())
            for role, name in (("winner", "attraction"), ("other", "attraction_others")):
                x, mean, error = _over_seeds(means, "epoch", name)
                label = "winner" if role == "winner" else "median of the other student nodes"
                style = {**ROLE_PALETTE.line(role), "label": label}
                _draw(axes, np.maximum(x, left), mean, error, **style)
            axes.axhline(0, color="#222222", linewidth=0.8)
            axes.set_title(f"L{layer}", fontsize=10)
        grid[0][0].set_ylabel("attraction by the\nteacher node")
        figure.suptitle(title, fontsize=11, fontweight="bold")
        handles = grid[0][0].lines[:2]
        figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8)
    return figure


def winner_order(correlation: NDArray[Any]) -> NDArray[np.int64]:
    """Student nodes of one network in an order that makes a good matching diagonal.

    Args:
      correlation: `[m, n]`, teacher node by student node.

    Returns:
      `[n]`, the winner of teacher node 0, 1, ..., m - 1 first (each student once), then the others
      by the teacher node that they correlate with most, the best first.
    """
    winners = correlation.argmax(1)
    taken = list(dict.fromkeys(winners.tolist()))
    rest = np.setdiff1d(np.arange(correlation.shape[1]), taken)
    own, best = correlation[:, rest].argmax(0), correlation[:, rest].max(0)
    return np.asarray([*taken, *rest[np.lexsort((-best, own))].tolist()], dtype=np.int64)


def matching_matrices(start: Matching, end: Matching, place: int, title: str) -> Figure:
    """Correlation matrices of one network at the start and at the end, layer by layer.

    Args:
      start: at the start.
      end: at the end; gives the order of student nodes.
      place: of the network.
      title: the finding.
    """
    with house_style():
        figure, grid = _panels(end.depth, 2, share_y=False)
        image: Any = None
        for layer in range(end.depth):
            final = end.correlation[layer][place].numpy()
            order = winner_order(final)
            for line, matching, when in ((0, start, "start"), (1, end, "end")):
                axes = grid[line][layer]
                shown = matching.correlation[layer][place].numpy()[:, order]
                image = axes.imshow(
                    shown, cmap="PuOr_r", vmin=-1, vmax=1, aspect="auto", interpolation="nearest"
                )
                axes.grid(visible=False)
                axes.yaxis.set_major_locator(MaxNLocator(integer=True))
                axes.set_title(f"L{layer}, {when}", fontsize=10)
        for line in grid:
            line[0].set_ylabel("teacher node")
        figure.supxlabel("student node, winners first", fontsize=10)
        figure.suptitle(title, fontsize=11, fontweight="bold")
        figure.colorbar(image, ax=[axes for line in grid for axes in line], label="correlation")
    return figure
