"""Initial ranks of winners as a table and a figure; shared by the experiments about luck.

Per layer and seed: the mean rank at the start of the nodes that win (0 the nearest), as a share of
the student's width, so that layers and networks compare; 1/2 is chance. p-values are those of
`measures.luck` (winners renumbered together).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from numpy.typing import NDArray

from trine.core.figures import Palette, house_style, new_figure
from trine.core.seeding import Seeds
from trine.core.stats import bootstrap_interval
from trine.core.tables import Column, Table
from trine.dynamics.measures.luck import luck

__all__ = ["fading", "pooled_rows", "rank_figure", "rank_rows", "rank_table"]

Array = NDArray[Any]

ORDERINGS = 10_000


def rank_rows(
    initial: Sequence[Array],
    final: Sequence[Array],
    alive: Sequence[Array],
    numbers: Sequence[int],
    seeds: Seeds,
) -> pl.DataFrame:
    """Luck of every layer for every seed.

    Args:
      initial: per layer `[R, m, n]`, correlations at the start.
      final: at the end, likewise.
      alive: per layer `[R, m]`, teacher nodes that count.
      numbers: the R seeds, for the table.
      seeds: the stream `permutations` of these is used.

    Returns:
      Rows `layer`, `seed`, `nodes` (teacher nodes that count), `students`, `rank_mean`,
      `rank_chance`, `share` (mean rank over width), `nearest` (share of winners that were the
      nearest), `p_value`. A layer whose teacher nodes are all dead has no row.
    """
    rows: list[dict[str, Any]] = []
    for layer, (start, end, living) in enumerate(zip(initial, final, alive, strict=True)):
        for network, number in enumerate(numbers):
            if np.asarray(living[network]).any():
                generator = seeds.generator("permutations", layer, number)
                found = luck(start[network], end[network], generator, alive=living[network])
                rows.append({"layer": layer, "seed": number, **_values(found)})
    return pl.DataFrame(rows, infer_schema_length=None)


def pooled_rows(
    initial: Sequence[Array],
    final: Sequence[Array],
    alive: Sequence[Array],
    numbers: Sequence[int],
    seeds: Seeds,
) -> pl.DataFrame:
    """The same, all seeds together, with a 95 % interval of the share by resampling seeds.

    Returns:
      Rows as in `rank_rows`, without `seed`, with `seeds`, `low` and `high`.
    """
    single = rank_rows(initial, final, alive, numbers, seeds)
    rows: list[dict[str, Any]] = []
    for layer, (start, end, living) in enumerate(zip(initial, final, alive, strict=True)):
        if not np.asarray(living).any():
            continue
        found = luck(start, end, seeds.generator("permutations", layer), alive=living)
        shares = single.filter(pl.col("layer") == layer)["share"].to_numpy()
        interval = bootstrap_interval(shares, seeds.generator("bootstrap", layer))
        row = {"layer": layer, "seeds": len(numbers), **_values(found)}
        rows.append({**row, "low": interval.low, "high": interval.high})
    return pl.DataFrame(rows, infer_schema_length=None)


def _values(found: Any) -> dict[str, Any]:
    return {
        "nodes": len(found.ranks),
        "students": found.students,
        "rank_mean": found.rank_mean,
        "rank_chance": found.rank_chance,
        "share": found.share,
        "nearest": float((found.ranks == 0).mean()),
        "p_value": found.p_value,
    }


def fading(single: pl.DataFrame, seeds: Seeds, orderings: int = ORDERINGS) -> dict[str, float]:
    """Whether luck fades with height: slope of the rank share over layers, tested.

    If layers were alike, those of a seed could be put in any order: p is the share of random
    orders, drawn anew for each seed, whose slope, mean over seeds, is as large.

    Args:
      single: from `rank_rows`; seeds without a row for every layer are left out.
      seeds: the stream `fading` is used.
      orderings: how many.

    Returns:
      `slope` (share of the width a layer, mean over seeds), `p_value`, `seeds`.
    """
    layers = single["layer"].n_unique()
    shares = [
        group.sort("layer")["share"].to_numpy()
        for _, group in single.group_by("seed", maintain_order=True)
        if len(group) == layers
    ]
    if layers < 2 or not shares:
        return {"slope": float("nan"), "p_value": float("nan"), "seeds": len(shares)}
    table = np.stack(shares)  # [R, layers]
    centred = np.arange(layers) - (layers - 1) / 2
    weights = centred / (centred**2).sum()
    observed = float((table @ weights).mean())
    generator = seeds.generator("fading")
    total = np.zeros(orderings)
    for row in table:
        order = generator.random((orderings, layers)).argsort(1)
        total += row[order] @ weights
    as_large = int((total / len(table) >= observed - 1e-12).sum())
    return {"slope": observed, "p_value": (as_large + 1) / (orderings + 1), "seeds": len(table)}


def rank_table(pooled: pl.DataFrame, title: str, extra: Sequence[Column] = ()) -> Table:
    """The pooled ranks as people read them."""
    columns = (
        *extra,
        Column("layer"),
        Column("students", "student nodes"),
        Column("rank_mean", "mean initial rank", ".2f", highlight=True),
        Column("rank_chance", "by chance", ".1f"),
        Column("share", "share of width", ".3f"),
        Column("low", "95 % from", ".3f"),
        Column("high", "to", ".3f"),
        Column("nearest", "was the nearest", ".2f"),
        Column("p_value", "p", ".4f"),
        Column("nodes", "teacher nodes"),
        Column("seeds"),
    )
    caption = (
        "Rank 0: the student node nearest to its teacher node at the start. Interval: seeds "
        "resampled. p: winners renumbered at random, 10,000 times. Dead teacher nodes left out."
    )
    return Table(pooled, title, columns, caption)


def rank_figure(pooled: pl.DataFrame, single: pl.DataFrame, by: str = "") -> Figure:
    """Rank share per layer, seeds as small dots, pooled mean with its interval, chance dashed.

    Args:
      pooled: from `pooled_rows`, perhaps of several conditions with a column `by`.
      single: from `rank_rows`, likewise.
      by: column whose values are drawn side by side, in order.
    """
    figure, axes = new_figure()
    names = pooled[by].unique(maintain_order=True).to_list() if by else [""]
    palette = Palette([str(name) for name in names])
    with house_style():
        for place, name in enumerate(names):
            shift = 0.12 * (place - (len(names) - 1) / 2)
            mine = pooled.filter(pl.col(by) == name) if by else pooled
            dots = single.filter(pl.col(by) == name) if by else single
            label = f"{by} {name}" if by else "mean over seeds"
            colour, marker = palette.colour(str(name)), palette.marker(str(name))
            x = mine["layer"].to_numpy() + shift
            y, low, high = (mine[key].to_numpy() for key in ("share", "low", "high"))
            # One seed has no interval.
            spread = np.nan_to_num(np.clip(np.stack([y - low, high - y]), 0, None))
            axes.scatter(
                dots["layer"].to_numpy() + shift, dots["share"].to_numpy(), s=12, color=colour,
                alpha=0.35, linewidths=0,
            )  # fmt: skip
            axes.errorbar(
                x, y, spread, color=colour, marker=marker, linestyle="none", capsize=3, label=label
            )
            chance = mine["rank_chance"].to_numpy() / mine["students"].to_numpy()
            known = "chance" if place == len(names) - 1 else None
            axes.plot(x, chance, color="#000000", marker="_", markersize=14, lw=0, label=known)
        axes.set_xticks(sorted(pooled["layer"].unique().to_list()))
        axes.set_ylim(0, None)
        axes.set_xlabel("hidden layer (0: next to the input)")
        axes.set_ylabel("initial rank of winners\n(share of the student's width)")
        axes.legend(loc="upper left", ncols=2, fontsize=9)
        top = max(0.62, float(single["share"].max() or 0) * 1.15)  # pyright: ignore[reportArgumentType] (a float column)
        axes.set_ylim(0, top + 0.1)
    return figure
