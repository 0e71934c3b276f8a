"""The dynamics section of `trine demo`: the deep reference run, shortened, and the BatchNorm audit.

About a minute on two cores.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import polars as pl

from trine.core.figures import save_figure
from trine.core.report import Section, SectionContext, picture
from trine.core.tables import Column, Table, save_table
from trine.dynamics.animation import write_animation
from trine.dynamics.bn_audit import audit, shipped_arrays
from trine.dynamics.bn_report import audit_section
from trine.dynamics.config import make_run_config
from trine.dynamics.experiments.deep_correlation import AUTHORS
from trine.dynamics.films import Reel, shoot
from trine.dynamics.pictures import correlation_curves, rank_histograms
from trine.dynamics.results import correlation_frame, layer_results, node_frame

__all__ = ["EPOCHS", "SEEDS", "section"]

EPOCHS = 8
SEEDS = 4
SAMPLES = 100_000


def section(context: SectionContext) -> Section:
    """Students become their teachers, node by node, and lucky nodes win.

    Args:
      context: where to compute and keep results; what is there already is not computed again.
    """
    config = make_run_config(
        "deep", seeds=SEEDS, first_seed=context.seed, epochs=EPOCHS, data={"samples": SAMPLES},
        device="cpu",
    )  # fmt: skip
    (reel,) = shoot(
        [config], context.directory / "cells", executor=context.executor,
        progress=context.progress, description="deep students", stack=2,
    )  # fmt: skip
    layers, _ = layer_results(reel)
    table = comparison(layers)
    save_table(table, context.directory / "tables", "layers")
    write_animation(context.directory / "animation.html", reel)
    audited, frame = audit_section(audit(_checkpoints()), context.directory / "audit-bn")
    curves, nodes = correlation_frame(reel), node_frame(reel)
    figures = context.directory / "figures"
    by_layer = correlation_curves(curves, "Students become their teachers, node by node")
    ranks = rank_histograms(nodes, layers, "Where the winners ranked at the start")
    return Section(
        title="Training dynamics: which student node becomes which teacher node",
        paragraphs=[
            "A ReLU network (the student) learns the outputs of a random one (the teacher, hidden "
            f"widths {config.teacher}), with ten times as many nodes in every layer. Tian et al. "
            "2019: nodes of the student turn into nodes of the teacher, the bottom layer first, "
            "and the winners are lucky: they were near at the start.",
            f"This is the reference run cut to {EPOCHS} of 40 epochs; the film of its correlation "
            "matrices is `animation.html` in the directory of this section. "
            "`trine dynamics run deep` is the whole of it.",
        ],
        tables=[table, *audited.tables[:1]],
        figures=[
            picture(
                save_figure(by_layer, curves, figures, "correlations"),
                "Best correlation of living teacher nodes with any student node, on "
                f"{config.data.evaluation:,} evaluation samples: mean, smallest and largest over "
                f"nodes. Mean over {SEEDS} seeds; band: one standard error.",
            ),
            picture(
                save_figure(ranks, nodes, figures, "initial-ranks"),
                f"Living teacher nodes of {SEEDS} seeds together; 0 is the nearest. p: share of "
                "10,000 renumberings of student nodes whose mean rank is as low.",
            ),
            *audited.figures[:1],
        ],
        notes=notes(reel, frame),
    )


def comparison(layers: list[dict[str, Any]]) -> Table:
    """Our layers beside those of the authors' program.

    Args:
      layers: pooled layers of `results.layer_results`.
    """
    rows = [
        {
            "layer": row["layer"],
            "authors": AUTHORS[row["layer"]] if row["layer"] < len(AUTHORS) else None,
            "ours": row["mean_best_correlation_alive"],
            "standard_error": row["mean_best_correlation_alive_se"],
            "dead": row["dead_teacher_nodes"],
            "nodes": row["teacher_nodes"],
            "initial_rank": row["initial_rank_mean"],
            "chance": row["initial_rank_chance"],
            "p": row["initial_rank_p"],
        }
        for row in layers
    ]
    columns = (
        Column("layer"), Column("authors", "authors' program, 40 epochs, 1 seed", ".4g"),
        Column("ours", f"ours, {EPOCHS} epochs, {SEEDS} seeds", ".4f", highlight=True),
        Column("standard_error", "s.e.", ".4f"), Column("dead"), Column("nodes", "of nodes"),
        Column("initial_rank", "winner's initial rank", ".2f", highlight=True),
        Column("chance", "by chance", ".1f"), Column("p", format=".1g"),
    )  # fmt: skip
    title = "Mean best correlation per layer, living teacher nodes, and luck"
    return Table(pl.DataFrame(rows, infer_schema_length=None), title, columns)


def notes(reel: Reel, audited: pl.DataFrame) -> list[str]:
    """Small print."""
    config = reel.config
    return [
        f"Deep run: {config.inputs} inputs N(0, {config.data.std:g}²), {config.outputs} outputs, "
        f"{SAMPLES:,} samples, batch {config.descent.batch}, rate {config.descent.rate:g}, "
        f"{reel.cpu_seconds:.0f} CPU seconds. The authors' program has the same settings; its "
        "correlations are those it prints, on 192 samples of three batches.",
        f"BatchNorm audit: {audited['name'].n_unique()} networks; which layers count, and why "
        "others are controls: `docs/dynamics/bn-audit.md`.",
        "All figures and tables of the papers: `trine dynamics reproduce all`.",
    ]


def _checkpoints() -> list[Path]:
    """The arrays that come with Trine, and those of `$TRINE_DATA` if they are there."""
    named = os.environ.get("TRINE_DATA")
    more = Path(named) / "vgg_bn" / "bn_params.npz" if named else None
    return [shipped_arrays(), *([more] if more is not None and more.is_file() else [])]
