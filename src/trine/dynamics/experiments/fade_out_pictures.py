"""The pictures of F4, from the frames of `fade_out`."""

from __future__ import annotations

from typing import Any

import polars as pl
from matplotlib.figure import Figure

from trine.core.figures import PALETTE, house_style

__all__ = ["curve_figure", "straggler_figure"]


def _panels(count: int, height: float) -> tuple[Figure, list[Any]]:
    columns = min(count, 2)
    rows = -(-count // columns)
    with house_style():
        figure = Figure(figsize=(1.2 + 3.6 * columns, height * rows), layout="constrained")
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    return figure, list(axes.ravel())


def curve_figure(curves: pl.DataFrame) -> Figure:
    """Norms over steps, a panel a case; columns of `curves` as in the CSV."""
    cases = curves["case"].unique(maintain_order=True).to_list()
    figure, axes = _panels(len(cases), 2.9)
    with house_style():
        for number, (ax, case) in enumerate(zip(axes, cases, strict=False)):
            for group in ("lucky", "unlucky"):
                part = curves.filter(
                    (pl.col("case") == case) & (pl.col("group") == group) & (pl.col("step") > 0)
                )
                colour = PALETTE.colour(group)
                ax.plot(part["step"], part["norm"], color=colour, label=f"{group}, median")
                ax.fill_between(
                    part["step"], part["low"], part["high"], color=colour, alpha=0.25, lw=0
                )
                name = "smallest" if group == "lucky" else "largest"
                ax.plot(
                    part["step"],
                    part["extreme"],
                    ":",
                    color=colour,
                    lw=1.2,
                    label=f"{name} {group}",
                )
            ax.set(xscale="log", yscale="log", title=case)
            if number == 0:
                ax.legend(loc="lower left")
        for ax in axes[len(cases) :]:
            ax.set_visible(False)
        figure.supxlabel("step")
        figure.supylabel("norm of outgoing weights")
    return figure


def straggler_figure(nodes: pl.DataFrame, parallel: float) -> Figure:
    """Norm of unlucky nodes, alone and merged, against the angle to the nearest other, degrees.

    Merged norms are drawn for nodes less than `parallel` degrees apart.
    """
    cases = nodes["case"].unique(maintain_order=True).to_list()
    figure, axes = _panels(len(cases), 2.9)
    with house_style():
        for number, (ax, case) in enumerate(zip(axes, cases, strict=False)):
            part = nodes.filter(pl.col("case") == case)
            x = part["partner"]
            kind = {"s": 12, "alpha": 0.6}
            ax.scatter(x, part["norm"], color=PALETTE.colour("unlucky"), label="alone", **kind)
            near = part.filter(pl.col("partner") < parallel)
            ax.scatter(
                near["partner"],
                near["merged"],
                color=PALETTE.colour("lucky"),
                marker="^",
                label="with its parallel partner",
                **kind,
            )
            ax.set(xscale="log", yscale="log", title=case)
            if number == 0:
                ax.legend(loc="lower left")
        for ax in axes[len(cases) :]:
            ax.set_visible(False)
        figure.supxlabel("angle to the nearest other unlucky node, degrees")
        figure.supylabel("norm of outgoing weights")
    return figure
