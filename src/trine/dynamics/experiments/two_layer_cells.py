"""The trained two-layer networks that F8, F9 and F10 share (Tian 2020, two layers; spec 7.5).

They lie beside the experiments' own directories, in `two-layer-cells`, so that whichever of the
three figures is made first trains them, and the others find them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from trine.core.report import Picture
from trine.core.sweep import sweep
from trine.core.tables import Table, save_table
from trine.dynamics.experiments.base import ExperimentContext, Scale
from trine.dynamics.joint_results import Outcome, read_outcomes
from trine.dynamics.joint_training import train_cell
from trine.dynamics.stack_plan import plan_stacks
from trine.dynamics.two_layer import DECAYS, OVERS, Setting, two_layer

__all__ = ["SCALES", "Grid", "facts_of", "keep", "outcomes_of", "train_grid", "train_settings"]


@dataclass(frozen=True, slots=True)
class Grid:
    """A part of the sweep.

    Attributes:
      nodes: m.
      overs: student width over m.
      decays: p.
      seeds: how many, from 1 on plus the experiment's seed.
      epochs: of 1000 steps.
    """

    nodes: int
    overs: Sequence[int]
    decays: Sequence[float]
    seeds: int
    epochs: int

    @property
    def settings(self) -> list[Setting]:
        """All of them."""
        return [
            two_layer(
                teacher=str(self.nodes),
                over=over,
                epochs=self.epochs,
                teacher_start={"decay": decay},
            )
            for decay in self.decays
            for over in self.overs
        ]


SCALES: Mapping[Scale, Mapping[str, Grid]] = {
    "demo": {
        "l-shape": Grid(10, (1, 5), (1.0, 2.0), 4, 15),
        "success": Grid(10, (1, 5), (1.0, 2.0), 4, 15),
    },
    "quick": {
        "l-shape": Grid(10, OVERS, (0.0, 1.0, 2.0), 8, 30),
        "success": Grid(20, OVERS, (0.5, 1.0, 2.0), 8, 30),
    },
    "paper": {
        "l-shape": Grid(10, OVERS, (0.0, 1.0, 2.0), 32, 100),
        "success": Grid(20, OVERS, DECAYS, 32, 100),
    },
}
"""`l-shape` is for F8, `success` for F9 and F10. Data are the paper's at every scale; `demo` has
small networks, 4 seeds and 15,000 of 100,000 steps; `quick` the paper's networks, 8 seeds, 30,000
steps and half of the decays."""


def train_settings(
    context: ExperimentContext, settings: Sequence[Setting], seeds: int, directory: Path
) -> list[Outcome]:
    """Trains settings times seeds, or finds them.

    Args:
      context: where to compute; its seed is added to the seeds 1, 2, ...
      settings: of any shapes.
      seeds: how many.
      directory: of the cells.
    """
    numbers = range(1 + context.seed, 1 + context.seed + seeds)
    cells = plan_stacks(settings, numbers)
    sweep(
        partial(train_cell, checkpoints=directory / "unfinished"), cells, directory,
        executor=context.executor, progress=context.progress, description="stacks of networks",
        note=lambda values: f"{values['members']} networks",
    )  # fmt: skip
    order = {setting.text: place for place, setting in enumerate(settings)}
    return sorted(
        read_outcomes(cells, directory),
        key=lambda outcome: (order[outcome.member.setting.text], outcome.member.seed),
    )


def train_grid(context: ExperimentContext, grid: Grid) -> list[Outcome]:
    """Trains a grid in the place that F8, F9 and F10 share, or finds it there."""
    shared = context.directory.parent / "two-layer-cells"
    return train_settings(context, grid.settings, grid.seeds, shared)


def outcomes_of(context: ExperimentContext, name: str) -> tuple[Grid, list[Outcome]]:
    """The grid of a name of `SCALES`, trained."""
    grid = SCALES[context.scale][name]
    return grid, train_grid(context, grid)


def facts_of(grid: Grid) -> dict[str, object]:
    """The settings of a grid for the report."""
    first = grid.settings[0]
    return {
        "teacher": f"{grid.nodes} nodes on {first.inputs} inputs, {first.outputs} outputs",
        "over": ", ".join(f"{over:g}" for over in grid.overs),
        "decay p": ", ".join(f"{decay:g}" for decay in grid.decays),
        "steps": first.epochs * first.steps_per_epoch,
        "batch": f"{first.descent.batch}, with replacement",
        "rate": first.descent.rate,
        "samples": f"{first.data.samples} to train, {first.data.evaluation} to evaluate",
        "inputs": f"N(0, {first.data.std:g}^2)",
        "student": f"N(0, {first.student_start.noise:g}^2), no biases",
        "precision": first.dtype,
    }


def keep(
    context: ExperimentContext, tables: Mapping[str, Table], pictures: Sequence[Picture]
) -> tuple[list[Table], list[Picture]]:
    """Saves tables under their names in `tables`; returns what a finding holds."""
    for name, table in tables.items():
        save_table(table, context.directory / "tables", name)
    return list(tables.values()), list(pictures)


def end_of(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of the last epoch."""
    return frame.filter(pl.col("epoch") == pl.col("epoch").max())
