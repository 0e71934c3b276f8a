"""F1: best correlation per layer over epochs, deep students of random teachers (spec 7.1).

Verdict, on living teacher nodes, seeds paired:
  order   the mean over nodes rises above .95 first in layer 0, then in layer 1, and so on; layers
          that do not get there by the end come last. Where fewer than two layers get there, in the
          median over seeds, no order is seen: not tested, and it does not count as held;
  best    at the end no layer is above the one below it;
  over    the widest student ends above the narrowest in every layer, by two standard errors;
  bottom  layer 0 of the widest student ends at .999 or more.
At scale `paper`, also `targets`: the layers end at .999, .99, .94 and .90 or more.
All: holds; only some: holds in part; none, or `best` alone, which students that learn nothing can
have: does not hold. Scale `demo` is too short to tell. The widths between the narrowest and the
widest are told, and what the last one adds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from trine.core.figures import save_figure
from trine.core.report import picture
from trine.core.stats import Summary, paired_difference, summarise
from trine.core.tables import Column, Table, save_table
from trine.dynamics.experiments.base import ExperimentContext, Finding, Verdict
from trine.dynamics.experiments.deep_films import DEEP_SCALES, deep_reels, label, labelled
from trine.dynamics.films import Reel
from trine.dynamics.pictures import compared_correlations, correlation_curves
from trine.dynamics.results import correlation_frame

__all__ = ["AUTHORS", "TARGETS", "experiment", "verdict_of"]

CLAIM = (
    "Student nodes become teacher nodes, the bottom layer first and best; wider students do it "
    "better (Tian et al. 2019, deep set-up of the published program)."
)

AUTHORS = (0.9999, 0.994, 0.949, 0.908)
"""Layers 0 to 3 of the authors' program at the reference settings, one seed."""

TARGETS = (0.999, 0.99, 0.94, 0.90)
RISEN = 0.95


def experiment(context: ExperimentContext) -> Finding:
    """Trains, compares layers and widths."""
    reels = deep_reels(context)
    frame = labelled(reels, [correlation_frame(reel) for reel in reels])
    widest = max(reels, key=lambda reel: reel.config.over)
    verdict, because = verdict_of(frame, full=context.scale == "paper")
    if context.scale == "demo":
        verdict, because = "not tested", f"Too short to test the claim. {because}"
    table = final_table(frame)
    rises = rise_table(frame)
    save_table(table, context.directory / "tables", "final")
    save_table(rises, context.directory / "tables", "rises")
    figures = context.directory / "figures"
    compared = compared_correlations(frame, "over", "Best correlation by student width")
    curves = frame.filter(pl.col("over") == label(widest.config))
    own = correlation_curves(curves, f"Student {widest.config.student_architecture.label}")
    scale = DEEP_SCALES[context.scale]
    band = f"Mean over {scale.seeds} seeds; band: one standard error over seeds."
    return Finding(
        claim=CLAIM,
        verdict=verdict,
        because=because,
        settings=_settings(widest),
        seeds=scale.seeds,
        tables=[table, rises],
        figures=[
            picture(
                save_figure(compared, frame, figures, "by-over"),
                f"Best correlation, mean over living teacher nodes. {band}",
            ),
            picture(
                save_figure(own, curves, figures, "widest"),
                f"The widest student: mean, smallest and largest over living teacher nodes. {band}",
            ),
        ],
        notes=[
            "The authors' program prints .9999, .994, .949 and .908 for over 10 after 40 epochs "
            "(one seed, 192 evaluation samples of 3 batches at a time during training); ours are "
            f"on {widest.config.data.evaluation:,} samples.",
            "Bottom first is about when layers rise; bottom best about where they end. With these "
            "teachers the top layer often ends above the one below it, at full length too.",
            "Teacher nodes that are never active are counted as dead and left out of the means.",
        ],
    )


def _settings(reel: Reel) -> dict[str, object]:
    config = reel.config
    return {
        "teacher": config.teacher,
        "inputs": config.inputs,
        "outputs": config.outputs,
        "std": config.data.std,
        "samples": config.data.samples,
        "evaluation samples": config.data.evaluation,
        "batch": config.descent.batch,
        "rate": config.descent.rate,
        "epochs": config.epochs,
        "precision": config.dtype,
    }


def final_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of the last moment."""
    return frame.filter(pl.col("epoch") == pl.col("epoch").max().over("over"))


def final_table(frame: pl.DataFrame) -> Table:
    """Ends of all widths: one row an `over` and layer."""
    rows: list[dict[str, object]] = []
    for (over, layer), group in final_rows(frame).group_by(["over", "layer"], maintain_order=True):
        found = _summary(group["mean_alive"])
        number = int(str(layer))
        authors = AUTHORS[number] if over == "over 10" and number < len(AUTHORS) else None
        rows.append(
            {
                "over": over, "layer": number, "correlation": found.mean,
                "standard_error": found.standard_error, "authors": authors,
                "smallest": group["minimum"].min(), "dead": int(group["dead"].sum()),
                "nodes": int(group["nodes"].sum()), "seeds": group.height,
            }
        )  # fmt: skip
    columns = (
        Column("over", "student"), Column("layer"),
        Column("correlation", "best correlation, alive", ".4f", highlight=True),
        Column("standard_error", "s.e.", ".4f"),
        Column("authors", "authors' program, 40 epochs", ".4f"),
        Column("smallest", "smallest node", ".3f"), Column("dead"), Column("nodes", "of nodes"),
        Column("seeds"),
    )  # fmt: skip
    return Table(pl.DataFrame(rows, infer_schema_length=None), "At the end of training", columns)


def rise_epochs(frame: pl.DataFrame, over: str) -> list[list[float]]:
    """Per layer and seed, the first epoch with a mean above `RISEN`; infinite if there is none."""
    rows = frame.filter(pl.col("over") == over)
    found: list[list[float]] = []
    for layer in sorted(set(rows["layer"])):
        times: list[float] = []
        for seed in sorted(set(rows["seed"])):
            own = rows.filter((pl.col("layer") == layer) & (pl.col("seed") == seed))
            above = own.filter(pl.col("mean_alive") > RISEN)["epoch"]
            times.append(float(above.min()) if len(above) else math.inf)  # pyright: ignore[reportArgumentType] (stubs)
        found.append(times)
    return found


def rise_table(frame: pl.DataFrame) -> Table:
    """When layers rise above `RISEN`: one row an `over` and layer."""
    rows: list[dict[str, object]] = []
    for over in frame["over"].unique(maintain_order=True):
        for layer, times in enumerate(rise_epochs(frame, over)):
            there = [time for time in times if math.isfinite(time)]
            mean = summarise(there).mean if there else math.nan
            rows.append(
                {
                    "over": over, "layer": layer, "epoch": mean, "reached": len(there),
                    "seeds": len(times),
                }
            )  # fmt: skip
    columns = (
        Column("over", "student"), Column("layer"),
        Column("epoch", "epoch, mean over seeds that get there", ".2f", highlight=True),
        Column("reached", "seeds that get there"), Column("seeds"),
    )  # fmt: skip
    title = f"First moment with a mean best correlation above {RISEN}"
    return Table(pl.DataFrame(rows), title, columns)


def _summary(values: pl.Series) -> Summary:
    return summarise(values.drop_nans().to_numpy())


def is_bottom_first(times: list[list[float]]) -> bool | None:
    """Whether medians over seeds grow strictly with the layer; layers that never rise come last.

    Args:
      times: per layer and seed the epoch of the rise, infinite if there is none.

    Returns:
      None if fewer than two layers rise and nothing contradicts the order: two layers that have not
      risen are in no order.
    """
    medians = [float(pl.Series(layer).median()) for layer in times]  # pyright: ignore[reportArgumentType] (stubs)
    risen = [math.isfinite(median) for median in medians]
    if any(b and (not a or before >= after) for (a, before), (b, after) in pairwise(
        zip(risen, medians, strict=True)
    )):  # fmt: skip
        return False
    return True if sum(risen) >= 2 else None


def is_bottom_best(means: Sequence[float]) -> bool:
    """Whether no layer ends above the one below it."""
    return all(below >= above for below, above in pairwise(means))


def verdict_of(frame: pl.DataFrame, *, full: bool) -> tuple[Verdict, str]:
    """The verdict and the numbers it rests on; see the module.

    Args:
      frame: correlations over time with a column `over`.
      full: whether the targets count.
    """
    overs = sorted(frame["over"].unique(), key=lambda text: float(text.split()[1]))
    narrow, wide = overs[0], overs[-1]
    ends = final_rows(frame).sort("seed")
    layers = sorted(set(frame["layer"]))

    def at(over: str, layer: int) -> np.ndarray[Any, Any]:
        own = ends.filter((pl.col("over") == over) & (pl.col("layer") == layer))
        return own["mean_alive"].to_numpy()

    means = [summarise(at(wide, layer)) for layer in layers]
    gains = [paired_difference(at(narrow, layer), at(wide, layer)) for layer in layers]
    levels = [found.mean for found in means]
    order = is_bottom_first(rise_epochs(frame, wide))
    checks: dict[str, bool | None] = {
        "order": order,
        "best": is_bottom_best(levels),
        "over": all(gain.mean > 2 * gain.standard_error for gain in gains),
        "bottom": levels[0] >= TARGETS[0],
    }
    if full:
        checks["targets"] = all(m >= t for m, t in zip(levels, TARGETS, strict=True))
    count = sum(held is True for held in checks.values())
    # The order at the end of students that learn nothing is no part of the claim.
    verdict: Verdict = (
        "holds"
        if count == len(checks)
        else "holds in part"
        if count - (checks["best"] is True)
        else "does not hold"
    )
    words = {
        "order": f"layers rise above {RISEN} from the bottom up",
        "best": "no layer ends above the one below",
        "over": f"{wide} ends above {narrow} in every layer",
        "bottom": f"layer 0 ends at {TARGETS[0]} or more",
        "targets": f"the layers reach {', '.join(str(t) for t in TARGETS)}",
    }
    answers = {True: "yes", False: "no", None: f"not tested, one layer or none rises above {RISEN}"}
    inverted = [
        f"L{up} {levels[up]:.4f} above L{up - 1} {levels[up - 1]:.4f}"
        for up in range(1, len(levels))
        if levels[up] > levels[up - 1]
    ]
    extra = {"best": f" ({', '.join(inverted)})" if inverted else ""}
    told = "; ".join(
        f"{words[name]}: {answers[held]}{extra.get(name, '')}" for name, held in checks.items()
    )
    widths = "; ".join(
        f"{over}: " + ", ".join(f"L{n} {summarise(at(over, n)).text(4)}" for n in layers)
        for over in reversed(overs)
    )
    gain_text = ", ".join(f"{g.mean:+.3f} ± {g.standard_error:.3f}" for g in gains)
    last = ""
    if len(overs) > 2:
        steps = [paired_difference(at(overs[-2], n), at(wide, n)) for n in layers]
        last = f"; of {wide} over {overs[-2]}: {', '.join(g.text(3) for g in steps)}"
    return verdict, (
        f"{widths} (mean ± s.e. over {means[0].count} seeds). Gain of {wide} over {narrow}: "
        f"{gain_text}{last}. {told[0].upper()}{told[1:]}."
    )
