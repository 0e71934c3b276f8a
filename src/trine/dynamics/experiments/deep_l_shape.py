"""F11: the L-shape in deep networks, layer by layer over training (Tian 2020; spec 7.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from trine.core.figures import save_figure
from trine.core.report import picture
from trine.core.tables import Column, Table
from trine.dynamics.deep_specialisation import DeepSetting, deep
from trine.dynamics.experiments.base import ExperimentContext, Finding, Scale, Verdict
from trine.dynamics.experiments.l_shape import COLUMNS, l_table
from trine.dynamics.experiments.two_layer_cells import end_of, keep, train_settings
from trine.dynamics.joint_results import node_frame, student_frame, summary_frame
from trine.dynamics.measures.l_shape import FLOOR
from trine.dynamics.specialisation_pictures import deep_l_shape_figure

__all__ = ["SCALES", "experiment"]

CLAIM = (
    "In deep networks students specialise at the lowest layer first: there matched nodes keep their"
    " influence sqrt(E beta_kk) and the others lose it; higher layers follow weakly (Tian 2020)."
)


DECADES = 0.5
"""An L at the bottom: unmatched nodes are this many decades below matched ones, by medians."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One deep setting.

    Attributes:
      values: what differs from the paper's.
      seeds: how many.
    """

    values: Mapping[str, Any]
    seeds: int

    @property
    def setting(self) -> DeepSetting:
        """The setting."""
        return deep(**self.values)


SCALES: Mapping[Scale, Plan] = {
    "demo": Plan(
        {
            "teacher": "8-10", "over": 4, "inputs": 10, "outputs": 20, "epochs": 12,
            "snapshots": [1, 3, 6], "data": {"samples": 10_000},
            "descent": {"schedule": [[6, 0.5]]}, "student_start": {"scale": 0.5},
        },
        2,
    ),
    "quick": Plan(
        {
            "teacher": "10-15-20-25", "over": 5, "outputs": 50, "epochs": 20,
            "snapshots": [1, 4, 10], "data": {"samples": 40_000},
            "descent": {"schedule": [[10, 0.5]]}, "student_start": {"scale": 0.5},
        },
        8,
    ),
    "paper": Plan({"snapshots": [1, 5, 20]}, 8),
}  # fmt: skip
"""`paper` is the paper's setting: 50-75-100-125, over 10, 200,000 samples, 100 epochs; about two
hours of one core a seed, minutes on a GPU. `quick` has a tenth of the student nodes, a fifth of the
samples and of the epochs, and starts from weights scaled by 0.5: by 0.1 (the paper's factor) four
hidden layers hand on so little that these 12,500 steps do not leave the first plateau."""


def experiment(context: ExperimentContext) -> Finding:
    """Every student node at five moments, layer by layer."""
    plan = SCALES[context.scale]
    setting = plan.setting
    outcomes = train_settings(context, [setting], plan.seeds, context.directory / "cells")
    students = student_frame(outcomes)
    frame = l_table(end_of(students), ["layer"])
    nodes = node_frame(outcomes)
    ends = summary_frame(outcomes).select(
        "layer", "teacher_nodes", "matched", "matched_se", "mean_best"
    )
    frame = frame.join(ends, on="layer", maintain_order="left")
    verdict, because = _judge(frame)
    saved = save_figure(
        deep_l_shape_figure(students), students, context.directory / "figures", "deep-l-shape"
    )
    shown = picture(
        saved,
        f"One point a student node, {plan.seeds} seeds, teacher {setting.teacher}, over "
        f"{setting.over:g}. Influence: sqrt(E beta_kk) over {setting.data.evaluation:,} evaluation "
        "samples, relative to the largest of the panel; dashed: 0.95.",
        "The L appears at the bottom layer first",
    )
    table = Table(
        frame,
        "The L at the end, medians over student nodes of all seeds",
        [
            Column("layer"),
            Column("teacher_nodes", "teacher nodes"),
            Column("matched", "teacher nodes found", ".2f"),
            Column("matched_se", "s.e.", ".2f"),
            Column("mean_best", "mean best correlation", ".4f"),
            *COLUMNS[:1],
            *COLUMNS[2:],
        ],
        f"floor: below {FLOOR:g} times the median influence of matched nodes.",
    )
    over_time = Table(
        nodes.group_by(["epoch", "layer"], maintain_order=True)
        .agg(pl.col("mean_best").mean(), pl.col("matched_95").mean(), pl.col("decades").mean())
        .sort(["layer", "epoch"]),
        "Over training, mean over seeds",
        [
            Column("layer"),
            Column("epoch"),
            Column("matched_95", "teacher nodes found", ".2f"),
            Column("mean_best", "mean best correlation", ".4f"),
            Column("decades", "decades between", ".2f"),
        ],
    )
    tables, pictures = keep(context, {"deep-l-shape": table, "over-training": over_time}, [shown])
    return Finding(
        claim=CLAIM,
        verdict=verdict,
        because=because,
        settings={
            "teacher": setting.teacher,
            "over": setting.over,
            "inputs": f"{setting.inputs}, N(0, {setting.data.std:g}^2)",
            "outputs": setting.outputs,
            "samples": setting.data.samples,
            "epochs": setting.epochs,
            "batch": setting.descent.batch,
            "rate": f"{setting.descent.rate:g}, halved at epoch {setting.descent.schedule[0][0]}",
            "student": f"framework start, scaled by {setting.student_start.scale:g}",
            "precision": setting.dtype,
        },
        seeds=plan.seeds,
        tables=tables,
        figures=pictures,
        notes=[
            "E beta_kk is estimated with random signs at the output (one backward pass a sample), "
            "which is unbiased: relative standard error below 1 %.",
        ],
    )


def _judge(frame: pl.DataFrame) -> tuple[Verdict, str]:
    """An L at the bottom (half a decade or more), and more nodes found there than at the top."""
    bottom, top = frame.row(0, named=True), frame.row(-1, named=True)
    shape = bottom["decades"] >= DECADES
    order = bottom["matched"] / bottom["teacher_nodes"] > top["matched"] / top["teacher_nodes"]
    verdict: Verdict = (
        "holds" if shape and order else "holds in part" if shape or order else "does not hold"
    )
    told = ", ".join(
        f"layer {row['layer']}: {row['matched']:.1f} of {row['teacher_nodes']} teacher nodes, "
        f"others {row['decades']:.2f} decades below matched students"
        for row in frame.iter_rows(named=True)
    )
    return verdict, told
