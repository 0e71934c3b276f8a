"""Tidy tables of networks that were trained together: one row a network and moment.

Column names are those of the measures (see `snapshots`); the columns that tell networks apart come
from a function of the setting, so that every user of these tables names its own axes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trine.core.sweep import Cell, read_cell
from trine.dynamics.measures.l_shape import l_shape
from trine.dynamics.measures.success import THRESHOLDS, matched_counts, success_rate
from trine.dynamics.stack_plan import Member, members_of
from trine.dynamics.two_layer import Setting

__all__ = [
    "Outcome",
    "axes_of",
    "loss_frame",
    "matched_name",
    "node_frame",
    "read_outcomes",
    "student_frame",
    "success_frame",
    "summary_frame",
]

Axes = Callable[[Setting], Mapping[str, Any]]
"""The columns that tell settings apart."""

MATCHED = 0.95
"""The threshold of success."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured of one network.

    Attributes:
      member: its setting and seed.
      arrays: those of `snapshots`, without the dimension R.
    """

    member: Member
    arrays: Mapping[str, Any]

    @property
    def depth(self) -> int:
        """Number of hidden layers."""
        return self.member.setting.teacher_architecture.depth

    @property
    def diverged_step(self) -> int | None:
        """First step with a loss that is not finite, if there was one."""
        step = int(self.arrays["diverged_step"])
        return None if step < 0 else step


def read_outcomes(cells: Sequence[Cell], directory: Path) -> list[Outcome]:
    """The networks of the cells that are there, in the order of the cells.

    Raises:
      DataError: if a cell has not been computed.
    """
    found: list[Outcome] = []
    for cell in cells:
        arrays = read_cell(cell, directory).arrays
        for place, member in enumerate(members_of(cell)):
            found.append(Outcome(member, {name: array[place] for name, array in arrays.items()}))
    return found


def axes_of(setting: Setting) -> dict[str, Any]:
    """The axes of the paper's sweep: `nodes` (m, of the lowest layer), `over`, `decay` (p)."""
    return {
        "nodes": setting.teacher_architecture.hidden[0],
        "over": setting.over,
        "decay": setting.teacher_start.decay,
    }


def matched_name(threshold: float) -> str:
    """Column of the number of teacher nodes above a threshold: `matched_95` for 0.95."""
    return f"matched_{round(100 * threshold)}"


def node_frame(outcomes: Sequence[Outcome], axes: Axes = axes_of) -> pl.DataFrame:
    """Teacher nodes found, one row a network, snapshot and hidden layer.

    Returns:
      The axes, `seed`, `epoch`, `layer`, `teacher_nodes`, `dead` (teacher nodes never active),
      `matched_50` to `matched_95`, `mean_best` (correlation, over teacher nodes that are alive),
      `students_95` (student nodes above 0.95, mean over teacher nodes), `observed` (smallest
      observability of a teacher node, layer 0 only), `decades` and `floor_share` (see `l_shape`),
      `evaluation_loss`, `relative_loss` (over that of a constant student), `diverged_step`.
    """
    rows: list[dict[str, Any]] = []
    for outcome in outcomes:
        setting, arrays = outcome.member.setting, outcome.arrays
        power = float(arrays["output_power"])
        for shot, epoch in enumerate(setting.snapshot_epochs):
            loss = float(arrays["evaluation_loss"][setting.curve_epochs.index(epoch)])
            for layer in range(outcome.depth):
                best = arrays[f"best_teacher.{layer}"][shot]
                alive = arrays[f"teacher_active.{layer}"] > 0
                shape = l_shape(
                    np.nan_to_num(arrays[f"best_student.{layer}"][shot]),
                    arrays[f"influence.{layer}"][shot],
                )
                rows.append(
                    {
                        **axes(setting),
                        "seed": outcome.member.seed,
                        "epoch": epoch,
                        "layer": layer,
                        "teacher_nodes": len(best),
                        "dead": int((~alive).sum()),
                        **_matched(best),
                        "mean_best": float(best[alive].mean()) if alive.any() else float("nan"),
                        "students_95": float(arrays[f"students_above.{layer}"][shot, -1].mean()),
                        "observed": float(arrays["observed"][shot].min()) if layer == 0 else None,
                        "decades": shape.decades,
                        "floor_share": shape.floor_share,
                        "evaluation_loss": loss,
                        "relative_loss": loss / power if power > 0 else float("nan"),
                        "diverged_step": outcome.diverged_step,
                    }
                )
    return pl.DataFrame(rows, infer_schema_length=None)


def _matched(best: NDArray[Any]) -> dict[str, int]:
    counts = matched_counts(best)
    return {matched_name(t): int(n) for t, n in zip(THRESHOLDS, counts, strict=True)}


def loss_frame(outcomes: Sequence[Outcome], axes: Axes = axes_of) -> pl.DataFrame:
    """Losses over epochs: the axes, `seed`, `epoch`, `evaluation_loss`, `training_loss`."""
    rows: list[dict[str, Any]] = []
    for outcome in outcomes:
        setting = outcome.member.setting
        named = axes(setting)
        for at, epoch in enumerate(setting.curve_epochs):
            rows.append(
                {
                    **named,
                    "seed": outcome.member.seed,
                    "epoch": epoch,
                    "evaluation_loss": float(outcome.arrays["evaluation_loss"][at]),
                    "training_loss": float(outcome.arrays["training_loss"][at]),
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def success_frame(
    outcomes: Sequence[Outcome], axes: Axes = axes_of, *, layer: int = 0
) -> pl.DataFrame:
    """Success rate of every teacher node over seeds.

    Returns:
      The axes, `epoch`, `teacher_node` (from 1), `rate`, `low`, `high` (Wilson's 95 % interval),
      `seeds`.
    """
    rows: list[dict[str, Any]] = []
    for named, group in _grouped(outcomes, axes):
        epochs = group[0].member.setting.snapshot_epochs
        for shot, epoch in enumerate(epochs):
            best = np.stack([outcome.arrays[f"best_teacher.{layer}"][shot] for outcome in group])
            found = success_rate(best, MATCHED)
            for node in range(best.shape[1]):
                rows.append(
                    {
                        **named,
                        "epoch": epoch,
                        "teacher_node": node + 1,
                        "rate": float(found.rate[node]),
                        "low": float(found.low[node]),
                        "high": float(found.high[node]),
                        "seeds": found.networks,
                    }
                )
    return pl.DataFrame(rows, infer_schema_length=None)


def student_frame(outcomes: Sequence[Outcome], axes: Axes = axes_of) -> pl.DataFrame:
    """Every student node at every snapshot.

    Returns:
      The axes, `seed`, `epoch`, `layer`, `node`, `best` (correlation with any teacher node),
      `influence` (fan-out norm or sqrt(E beta_kk)).
    """
    parts: list[pl.DataFrame] = []
    for outcome in outcomes:
        setting = outcome.member.setting
        for shot, epoch in enumerate(setting.snapshot_epochs):
            for layer in range(outcome.depth):
                best = outcome.arrays[f"best_student.{layer}"][shot]
                told = {**axes(setting), "seed": outcome.member.seed, "epoch": epoch}
                parts.append(
                    pl.DataFrame(
                        {
                            "node": np.arange(len(best)),
                            "best": best.astype(np.float64),
                            "influence": outcome.arrays[f"influence.{layer}"][shot].astype(
                                np.float64
                            ),
                        }
                    ).select(
                        *(pl.lit(value).alias(name) for name, value in told.items()),
                        pl.lit(layer).alias("layer"),
                        pl.all(),
                    )
                )
    return pl.concat(parts)


def summary_frame(outcomes: Sequence[Outcome], axes: Axes = axes_of) -> pl.DataFrame:
    """One row a setting and hidden layer, at the end of training.

    Returns:
      The axes, `layer`, `teacher_nodes`, `matched`, `matched_se` (above 0.95; mean and standard
      error over seeds), `matched_min`, `matched_max`, `matched_share`, `mean_best`,
      `log10_loss`, `log10_loss_se`, `log10_relative_loss`, `seeds`, `diverged`. Networks that
      diverged count in `diverged` only.
    """
    rows: list[dict[str, Any]] = []
    nodes = node_frame(outcomes, axes)
    for named, group in _grouped(outcomes, axes):
        end = group[0].member.setting.epochs
        chosen = nodes.filter(pl.col("epoch") == end)
        for name, value in named.items():
            chosen = chosen.filter(pl.col(name) == value)
        whole = chosen.filter(pl.col("diverged_step").is_null())
        for layer in range(group[0].depth):
            part = whole.filter(pl.col("layer") == layer)
            matched = part[matched_name(MATCHED)].cast(pl.Float64).to_numpy()
            losses = np.log10(part["evaluation_loss"].cast(pl.Float64).to_numpy())
            relative = np.log10(part["relative_loss"].cast(pl.Float64).to_numpy())
            total = chosen["teacher_nodes"].filter(chosen["layer"] == layer)[0]
            rows.append(
                {
                    **named,
                    "layer": layer,
                    "teacher_nodes": total,
                    "matched": _mean(matched),
                    "matched_se": _error(matched),
                    "matched_min": float(matched.min()) if len(matched) else float("nan"),
                    "matched_max": float(matched.max()) if len(matched) else float("nan"),
                    "matched_share": _mean(matched) / total,
                    "mean_best": _mean(part["mean_best"].cast(pl.Float64).to_numpy()),
                    "log10_loss": _mean(losses),
                    "log10_loss_se": _error(losses),
                    "log10_relative_loss": _mean(relative),
                    "seeds": len(part),
                    "diverged": len(group) - len(part),
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def _grouped(outcomes: Sequence[Outcome], axes: Axes) -> list[tuple[dict[str, Any], list[Outcome]]]:
    groups: dict[str, tuple[dict[str, Any], list[Outcome]]] = {}
    for outcome in outcomes:
        named = dict(axes(outcome.member.setting))
        groups.setdefault(repr(named), (named, []))[1].append(outcome)
    return list(groups.values())


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _error(values: NDArray[np.float64]) -> float:
    if len(values) < 2:
        return float("nan")
    return float(values.std(ddof=1) / np.sqrt(len(values)))
