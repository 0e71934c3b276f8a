"""Figures of the BatchNorm audit: tidy table in, matplotlib figure out, no files touched."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from trine.core.figures import Palette, house_style
from trine.dynamics.bn_audit import POOLED

__all__ = ["ROLE_PALETTE", "bias_histograms", "layer_profile", "negative_fractions"]

ROLE_PALETTE = Palette(
    ("before_relu", "before_addition", "after_relu_or_linear", "before_smooth_relu", "unknown")
)
"""The same role has the same colour in every figure."""

_BINS = 41
_EDGE = 99.0  # percentile of |bias| that a histogram reaches; what lies beyond is in its end bins


def bias_histograms(frame: pl.DataFrame, title: str, *, columns: int = 3) -> Figure:
    """One histogram of biases a network, roles stacked.

    Args:
      frame: columns `name`, `role`, `bias`, one row a channel (`bn_audit.bias_frame`).
      title: the finding.
      columns: of the grid.
    """
    names = list(frame["name"].unique(maintain_order=True))
    columns = min(columns, len(names))
    rows = math.ceil(len(names) / columns)
    roles = [role for role in ROLE_PALETTE.labels if role in set(frame["role"])]
    with house_style():
        figure = Figure(figsize=(3.1 * columns + 0.4, 2.2 * rows + 1.0), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(names) :]:
            axes.set_visible(False)
        for name, axes in zip(names, grid.flat, strict=False):
            mine = frame.filter(pl.col("name") == name)
            reach = float(np.percentile(np.abs(mine["bias"].to_numpy()), _EDGE)) or 1.0
            # As many bins on each side, hence an edge at 0: no bin mixes the two signs.
            edges = np.linspace(-reach, reach, _BINS)
            shown = [role for role in roles if role in set(mine["role"])]
            values = [
                np.clip(mine.filter(pl.col("role") == role)["bias"].to_numpy(), -reach, reach)
                for role in shown
            ]
            colours = [ROLE_PALETTE.colour(role) for role in shown]
            axes.hist(values, bins=list(edges), stacked=True, color=colours)
            axes.axvline(0, color="#222222", linewidth=1)
            share = float((mine["bias"] < 0).sum()) / mine.height
            axes.set_title(f"{name}\n{share:.1%} of {mine.height:,} negative", fontsize=8)
            axes.tick_params(labelsize=8)
        for axes in grid[:, 0]:
            axes.set_ylabel("channels", fontsize=9)
        for place in range(columns):  # the lowest one drawn in each column
            grid[(len(names) - 1 - place) // columns, place].set_xlabel("bias", fontsize=9)
        figure.suptitle(title, fontweight="bold", fontsize=11, x=0.01, ha="left")
        handles = [
            figure.axes[0].bar([0], [0], color=ROLE_PALETTE.colour(role), label=_words(role))
            for role in roles
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8)
    return figure


def negative_fractions(frame: pl.DataFrame, title: str) -> Figure:
    """The pooled fraction of negative biases of each network, one dot with interval a role.

    Args:
      frame: an audit (`bn_audit.audit_frame`); its pooled rows per role are drawn.
      title: the finding.
    """
    pooled = frame.filter(pl.col("layer") == POOLED, pl.col("role") != "all")
    names = list(pooled["name"].unique(maintain_order=True))
    roles = [role for role in ROLE_PALETTE.labels if role in set(pooled["role"])]
    with house_style():
        figure = Figure(figsize=(7.4, 0.34 * len(names) + 1.7), layout="constrained")
        axes = figure.add_subplot()
        for role in roles:
            mine = pooled.filter(pl.col("role") == role)
            x = mine["negative_fraction"].to_numpy()
            y = np.array([_height(pooled, names, name, role) for name in mine["name"]])
            # A bootstrap interval may lie beside its estimate by a rounding error.
            ends = np.abs(np.stack([x - mine["low"].to_numpy(), mine["high"].to_numpy() - x]))
            axes.errorbar(
                x, y, xerr=ends, fmt=ROLE_PALETTE.marker(role), markersize=5, capsize=2,
                linewidth=1.2, color=ROLE_PALETTE.colour(role), label=_words(role),
            )  # fmt: skip
        axes.axvline(0.5, color="#444444", linewidth=1, linestyle="--")
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.invert_yaxis()
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel("share of negative BatchNorm biases (bars: 95 %, bootstrap over layers)")
        axes.set_title(title)
        figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _height(pooled: pl.DataFrame, names: list[str], name: str, role: str) -> float:
    """Where a dot stands: at its network's place, the network's roles a little apart."""
    present = set(pooled.filter(pl.col("name") == name)["role"])
    mine = [r for r in ROLE_PALETTE.labels if r in present]
    return names.index(name) + 0.2 * (mine.index(role) - (len(mine) - 1) / 2)


def layer_profile(frame: pl.DataFrame, title: str, *, columns: int = 3) -> Figure:
    """The fraction of negative biases of each layer, in the order of the network.

    Args:
      frame: rows of single layers of an audit, one network after the other.
      title: the finding.
      columns: of the grid, one pair of axes a network.
    """
    names = list(frame["name"].unique(maintain_order=True))
    columns = min(columns, len(names))
    rows = math.ceil(len(names) / columns)
    with house_style():
        figure = Figure(figsize=(3.1 * columns + 0.4, 2.0 * rows + 0.7), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axes in grid.flat[len(names) :]:
            axes.set_visible(False)
        for name, axes in zip(names, grid.flat, strict=False):
            mine = frame.filter(pl.col("name") == name)
            y = mine["negative_fraction"].to_numpy()
            ends = np.abs(np.stack([y - mine["low"].to_numpy(), mine["high"].to_numpy() - y]))
            x = np.arange(1, len(y) + 1)
            colour = ROLE_PALETTE.colour("before_relu")
            axes.errorbar(x, y, yerr=ends, color=colour, marker="o", markersize=4, linewidth=1.2)
            axes.axhline(0.5, color="#444444", linewidth=1, linestyle="--")
            axes.set_title(name, fontsize=8)
            axes.tick_params(labelsize=8)
            axes.set_ylim(-0.03, 1.03)
        for place in range(columns):
            grid[(len(names) - 1 - place) // columns, place].set_xlabel("layer", fontsize=9)
        for axes in grid[:, 0]:
            axes.set_ylabel("negative share", fontsize=9)
        figure.suptitle(title, fontweight="bold", fontsize=11, x=0.01, ha="left")
    return figure


def _words(role: str) -> str:
    return role.replace("_", " ").replace("relu", "ReLU")
