"""The pictures of F5, from the frames of `alignment`."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
from matplotlib.figure import Figure

from trine.core.figures import Palette, house_style

__all__ = ["curve_figure", "heat_figure"]

LAYERS = Palette([f"layer {k}" for k in range(7)])


def heat_figure(maps: pl.DataFrame) -> Figure:
    """A row a layer, top layer above; columns L* and H* over steps."""
    layers = sorted(maps["layer"].unique().to_list(), reverse=True)
    steps = maps["step"].unique(maintain_order=True).to_list()
    words = maps["overlap"].unique(maintain_order=True).to_list()
    pairs = [(word, step) for word in words for step in steps]
    with house_style():
        figure = Figure(figsize=(1.35 * len(pairs), 1.45 * len(layers)), layout="constrained")
        axes = figure.subplots(len(layers), len(pairs), squeeze=False)
        image = None
        for row, layer in enumerate(layers):
            for column, (word, step) in enumerate(pairs):
                part = maps.filter(
                    (pl.col("layer") == layer)
                    & (pl.col("overlap") == word)
                    & (pl.col("step") == step)
                )
                size = round(len(part) ** 0.5)
                ax = axes[row, column]
                image = ax.imshow(
                    part["value"].to_numpy().reshape(size, size), vmin=0, vmax=1, cmap="cividis"
                )
                ax.set(xticks=[], yticks=[])
                ax.grid(visible=False)
                if row == 0:
                    ax.set_title(f"|{word}|, {step:,}", fontsize=9)
                if column == 0:
                    ax.set_ylabel(f"layer {layer}")
        if image is not None:
            bar = figure.colorbar(image, ax=axes, shrink=0.6)
            bar.set_label("share of the largest entry")
    return figure


def curve_figure(curves: pl.DataFrame, names: Mapping[str, str]) -> Figure:
    """Diagonality over steps, a row a run (called by its name), a column an overlap."""
    words = curves["overlap"].unique(maintain_order=True).to_list()
    runs = curves["run"].unique(maintain_order=True).to_list()
    with house_style():
        figure = Figure(figsize=(8.2, 2.9 * len(runs)), layout="constrained")
        axes = figure.subplots(len(runs), len(words), squeeze=False)
        for row, run in enumerate(runs):
            for column, word in enumerate(words):
                ax = axes[row, column]
                part = curves.filter((pl.col("run") == run) & (pl.col("overlap") == word))
                for (layer,), line in part.group_by(["layer"], maintain_order=True):
                    x = line["step"].clip(1)
                    style = LAYERS.line(f"layer {layer}")
                    ax.plot(x, line["ratio"], marker=LAYERS.marker(f"layer {layer}"), ms=3, **style)
                    ax.fill_between(
                        x, line["low"], line["high"], color=style["color"], alpha=0.25, lw=0
                    )
                ax.set(xscale="log", title=f"{word}: {names[run]}", xlabel="step")
                ax.set_ylabel("|diagonal| / |off-diagonal|")
                if column == 0:
                    ax.legend(loc="upper left")
    return figure
