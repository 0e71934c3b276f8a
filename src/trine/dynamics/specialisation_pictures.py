"""Figures of student specialisation (Tian 2020): functions of tidy frames of `joint_results`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from trine.core.figures import Palette, house_style

__all__ = [
    "OVER",
    "deep_l_shape_figure",
    "l_shape_figure",
    "loss_figure",
    "matched_figure",
    "success_figure",
]

OVER = Palette(["over 1", "over 2", "over 5", "over 10"])
"""One colour for each over-realisation, in every figure."""

MOST_POINTS = 4000
"""Points of a scatter panel; a larger cloud is thinned evenly."""


def _panels(rows: int, columns: int, width: float, height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width * columns + 0.6, height * rows + 0.6), layout="constrained")
    return figure, figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)


def _label(over: float) -> str:
    return f"over {over:g}"


def success_figure(frame: pl.DataFrame) -> Figure:
    """Success rate by teacher node, a panel for each decay, a line for each over-realisation.

    Args:
      frame: of `success_frame`, one number of teacher nodes. The last epoch is drawn solid, with
        the 95 % interval of rates between 0 and 1; the middle one dotted.
    """
    decays = frame["decay"].unique().sort().to_list()
    epochs = frame["epoch"].unique().sort().to_list()
    early = epochs[1:-1][:1]
    with house_style():
        figure, axes = _panels(1, len(decays), 2.6, 2.7)
        for axis, decay in zip(axes[0], decays, strict=True):
            part = frame.filter(pl.col("decay") == decay)
            overs = part["over"].unique().sort().to_list()
            for place, over in enumerate(overs):
                one = part.filter(pl.col("over") == over)
                colour = OVER.colour(_label(over))
                end = one.filter(pl.col("epoch") == epochs[-1]).sort("teacher_node")
                axis.plot(
                    end["teacher_node"], end["rate"], color=colour, label=_label(over),
                    marker=OVER.marker(_label(over)), markersize=3,
                )  # fmt: skip
                # Side by side; rates of 0 and 1 all have the same bar, which would hide the rest.
                some = end.filter((pl.col("rate") > 0) & (pl.col("rate") < 1))
                beside = some["teacher_node"] + 0.2 * (place - (len(overs) - 1) / 2)
                axis.vlines(beside, some["low"], some["high"], color=colour, lw=1.0, alpha=0.6)
                for epoch in early:
                    begun = one.filter(pl.col("epoch") == epoch).sort("teacher_node")
                    axis.plot(begun["teacher_node"], begun["rate"], color=colour, linestyle=":")
            axis.set_title(f"p = {decay:g}")
            axis.set_xlabel("teacher node, strongest first")
            axis.set_ylim(-0.03, 1.03)
        axes[0][0].set_ylabel("success rate over seeds")
        _legend(figure, axes)
    return figure


def loss_figure(frame: pl.DataFrame) -> Figure:
    """log10 of the evaluation loss over epochs, mean and standard deviation over seeds.

    Args:
      frame: of `loss_frame`, one number of teacher nodes.
    """
    decays = frame["decay"].unique().sort().to_list()
    columns = min(3, len(decays))
    rows = -(-len(decays) // columns)
    with house_style():
        figure, axes = _panels(rows, columns, 2.9, 2.3)
        for place in range(rows * columns):
            axis = axes[place // columns][place % columns]
            if place >= len(decays):
                axis.set_axis_off()
                continue
            part = frame.filter(pl.col("decay") == decays[place])
            for over in part["over"].unique().sort().to_list():
                one = (
                    part.filter(pl.col("over") == over)
                    .with_columns(pl.col("evaluation_loss").log10().alias("log"))
                    .group_by("epoch")
                    .agg(pl.col("log").mean().alias("mean"), pl.col("log").std().alias("std"))
                    .sort("epoch")
                    .with_columns(pl.col("std").fill_null(0.0))
                )
                axis.plot(one["epoch"], one["mean"], **OVER.line(_label(over)))
                axis.fill_between(
                    one["epoch"], one["mean"] - one["std"], one["mean"] + one["std"],
                    color=OVER.colour(_label(over)), alpha=0.15, lw=0,
                )  # fmt: skip
            axis.set_title(f"p = {decays[place]:g}")
            if place + columns >= len(decays):
                axis.set_xlabel("epoch")
                axis.tick_params(labelbottom=True)
            if place % columns == 0:
                axis.set_ylabel("log10 evaluation loss")
        _legend(figure, axes)
    return figure


def _legend(figure: Figure, axes: Any) -> None:
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels))


def l_shape_figure(frame: pl.DataFrame, *, threshold: float = 0.95) -> Figure:
    """Best correlation against fan-out norm of every student node; rows p, columns over.

    Args:
      frame: of `student_frame` at one epoch and one layer.
      threshold: right of which a node counts as matched.
    """
    decays = frame["decay"].unique().sort().to_list()
    overs = frame["over"].unique().sort().to_list()
    with house_style():
        figure, axes = _panels(len(decays), len(overs), 2.3, 2.0)
        for row, decay in enumerate(decays):
            for column, over in enumerate(overs):
                axis = axes[row][column]
                part = frame.filter((pl.col("decay") == decay) & (pl.col("over") == over))
                _scatter(axis, part, threshold, OVER.colour(_label(over)))
                if row == 0:
                    axis.set_title(_label(over))
                if row == len(decays) - 1:
                    axis.set_xlabel("best correlation")
            axes[row][0].set_ylabel(f"p = {decay:g}\nfan-out norm")
    return figure


def deep_l_shape_figure(frame: pl.DataFrame, *, threshold: float = 0.95) -> Figure:
    """The same in deep networks: rows are hidden layers (top one first), columns are epochs.

    Args:
      frame: of `student_frame` of one setting, several layers and epochs. Influences are shown
        relative to the largest of their panel, because layers differ in scale.
      threshold: right of which a node counts as matched.
    """
    layers = frame["layer"].unique().sort(descending=True).to_list()
    epochs = frame["epoch"].unique().sort().to_list()
    with house_style():
        figure, axes = _panels(len(layers), len(epochs), 2.2, 1.7)
        for row, layer in enumerate(layers):
            for column, epoch in enumerate(epochs):
                axis = axes[row][column]
                part = frame.filter((pl.col("layer") == layer) & (pl.col("epoch") == epoch))
                part = part.with_columns(pl.col("influence") / pl.col("influence").max())
                _scatter(axis, part, threshold, OVER.colour("over 1"))
                axis.set_ylim(0, 1.05)
                if row == 0:
                    axis.set_title(f"epoch {epoch}" if epoch else "start")
                if row == len(layers) - 1:
                    axis.set_xlabel("best correlation")
            axes[row][0].set_ylabel(f"layer {layer}\nsqrt(E beta), relative")
    return figure


def _scatter(axis: Any, part: pl.DataFrame, threshold: float, colour: str) -> None:
    step = max(1, -(-len(part) // MOST_POINTS))
    shown = part.gather_every(step)
    axis.scatter(
        shown["best"], shown["influence"], s=5, color=colour, alpha=0.4, linewidths=0,
        rasterized=True,
    )  # fmt: skip
    axis.axvline(threshold, color="#555555", linewidth=0.8, linestyle="--")
    axis.set_xlim(-0.05, 1.05)


def matched_figure(frame: pl.DataFrame, axes_names: Sequence[str]) -> Figure:
    """Share of teacher nodes matched in each setting, lowest layer, with standard errors.

    Args:
      frame: of `summary_frame`.
      axes_names: the columns that name a setting.
    """
    part = frame.filter(pl.col("layer") == 0)
    labels = [
        ", ".join(f"{name.rpartition('.')[2]} {_short(row[name])}" for name in axes_names) or "all"
        for row in part.iter_rows(named=True)
    ]
    places = np.arange(len(part))[::-1]
    total = part["teacher_nodes"].cast(pl.Float64)
    error = part["matched_se"].fill_null(0.0).fill_nan(0.0) / total
    with house_style():
        figure = Figure(figsize=(6.4, 1.2 + 0.22 * len(part)), layout="constrained")
        axis = figure.add_subplot()
        axis.errorbar(
            part["matched_share"].to_numpy(), places, xerr=error.to_numpy(), fmt="o",
            color=OVER.colour("over 1"), markersize=4, capsize=2,
        )  # fmt: skip
        axis.set_yticks(places, labels)
        axis.set_ylim(-0.7, len(part) - 0.3)
        axis.set_xlim(-0.02, 1.02)
        axis.set_xlabel("share of teacher nodes with a student above 0.95")
    return figure


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
