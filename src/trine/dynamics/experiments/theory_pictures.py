"""The pictures of F12, from the frames of `theory_overlay`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from trine.core.figures import Palette, house_style

__all__ = ["angle_figure", "kernel_figure", "overlay_figure"]

LAYERS = Palette([f"layer {k}" for k in range(7)])
KERNEL = Palette(["flow", "batch 16", "batch 64", "batch 1,024"])


BLUE = LAYERS.colour("layer 0")


def _band(axes: Any, line: pl.DataFrame, style: Mapping[str, Any]) -> None:
    colour = style["color"]
    axes.fill_between(line["step"], line["low"], line["high"], color=colour, alpha=0.25, lw=0)


def overlay_figure(overlay: pl.DataFrame) -> Figure:
    """Share of the movement over steps: a row a run, a column a series."""
    runs = overlay["run"].unique(maintain_order=True).to_list()
    series = overlay["series"].unique(maintain_order=True).to_list()
    with house_style():
        figure = Figure(figsize=(3.3 * len(series) + 0.6, 2.8 * len(runs)), layout="constrained")
        axes = figure.subplots(len(runs), len(series), sharey=True, squeeze=False)
        for row, run in enumerate(runs):
            for column, name in enumerate(series):
                ax = axes[row, column]
                part = overlay.filter((pl.col("run") == run) & (pl.col("series") == name))
                top = part["layer"].max()
                for (layer,), line in part.group_by(["layer"], maintain_order=True):
                    style = LAYERS.line(f"layer {layer}")
                    if layer == top:
                        style["label"] = "output layer"
                    ax.plot(line["step"], line["mean"], **style)
                    ax.fill_between(
                        line["step"],
                        line["low"],
                        line["high"],
                        color=style["color"],
                        alpha=0.25,
                        lw=0,
                    )
                ax.axhline(1, color="black", lw=0.8, ls=":")
                ax.set(xscale="log", xlabel="step", ylim=(0, 1.8))
                ax.set_title(f"{run}:\n{name}")
                if column == 0:
                    ax.set_ylabel("distance / movement")
                if column == len(series) - 1:  # where curves leave room
                    ax.legend(loc="upper right")
    return figure


def kernel_figure(kernel: pl.DataFrame) -> Figure:
    """Expected loss of the flow and of SGD, and their distance."""
    with house_style():
        figure = Figure(figsize=(8.2, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        for (name,), line in kernel.group_by(["series"], maintain_order=True):
            style = KERNEL.line(str(name))
            if name == "flow":
                style |= {"color": "black", "linestyle": "--", "zorder": 3}
            left.plot(line["step"].clip(1), line["loss_mean"], **style)
            left.fill_between(
                line["step"].clip(1),
                line["loss_low"],
                line["loss_high"],
                color=style["color"],
                alpha=0.2,
                lw=0,
            )
            if name != "flow":
                moved = line.filter(pl.col("step") > 0)
                right.plot(moved["step"], moved["mean"], **style)
                right.fill_between(
                    moved["step"],
                    moved["low"],
                    moved["high"],
                    color=style["color"],
                    alpha=0.25,
                    lw=0,
                )
        left.set(xscale="log", yscale="log", xlabel="step", ylabel="expected loss", title="Loss")
        right.set(xscale="log", yscale="log", xlabel="step", title="Distance to the flow")
        right.set_ylabel("distance / movement")
        left.legend()
    return figure


def angle_figure(paths: pl.DataFrame, fits: pl.DataFrame) -> Figure:
    """Winners on the curve, and who arrives when."""
    with house_style():
        figure = Figure(figsize=(8.2, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        for _, line in paths.group_by(["seed", "node"], maintain_order=True):
            left.plot(
                line["time"], line["tangent"], color=LAYERS.colour("layer 0"), lw=0.7, alpha=0.5
            )
        if len(paths):
            time = np.linspace(float(paths["time"].min()), float(paths["time"].max()), 200)  # pyright: ignore[reportArgumentType] (polars' wide type)
            left.plot(time, np.exp(-time), color="black", lw=2, label="e^-t")
            left.legend()
        left.set(yscale="log", xlabel="time, in units of 1 / rate", ylabel="tan(theta / 2)")
        left.set_title("Winners and the curve")
        there = fits.drop_nulls("arrival")
        right.scatter(
            np.degrees(there["start"]),
            there["arrival"],
            s=14,
            alpha=0.6,
            color=LAYERS.colour("layer 0"),
        )
        right.set(yscale="log", xlabel="angle at the start, degrees", ylabel="step of arrival")
        right.set_title("Start and arrival")
    return figure
