"""F5: with training, L* and H* aligned by winners become diagonal (Tian et al. 2019).

Two runs: a deep one from a random start (spec 7.1) and the two-layer matrix experiment (spec 7.2,
exact gradient). At marked steps L* and H* are measured, student rows in the order of their teacher
nodes, and `diagonality` (mean |diagonal| over mean |off-diagonal|) of both, dead teacher nodes left
out.

Which student node belongs to a teacher node is read off correlations, and picking the best of many
makes a diagonal by itself. The verdict therefore compares end and start each with the winners *of
that moment*: the choice is equally free at both. Heat maps use the final winners throughout.

Verdict, over all layers of both runs, L* and H* apart: the 95 % bootstrap interval over seeds of
log(diagonality at the end / at the start) lies above 0
  holds          in all of them;
  holds in part  in more than half of them;
  does not hold  otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from trine.core.figures import save_figure
from trine.core.report import picture
from trine.core.sweep import Cell, CellResult, read_cell, sweep
from trine.core.tables import Column, Table, save_table
from trine.dynamics.architecture import Architecture
from trine.dynamics.batches import Batches, gaussian_inputs
from trine.dynamics.experiments.alignment_pictures import curve_figure, heat_figure
from trine.dynamics.experiments.base import ExperimentContext, Finding, Verdict
from trine.dynamics.experiments.matrix_cells import (
    GaussianStream,
    blocks,
    interval_of,
    seeds_of,
    starts,
)
from trine.dynamics.flow import matrix_flow
from trine.dynamics.initialise import make_student, make_teacher
from trine.dynamics.measures.alignment import aligned, diagonality, overlaps
from trine.dynamics.measures.base import measure_stacks
from trine.dynamics.measures.matching import Matching, NodeMatching
from trine.dynamics.stack import Stack
from trine.dynamics.training import Descent, train

__all__ = ["SCALES", "AlignmentScale", "alignment_cell", "experiment", "judge"]

Array = NDArray[np.float64]

CLAIM = (
    "As lower layers converge, the overlaps L* and H* of student and teacher, aligned by winners, "
    "come closer to diagonal at every layer (Tian et al. 2019; the argument for deep networks is "
    "recalled from the paper, the measure is that of the authors' program)."
)
DEEP = Architecture(20, (10, 15, 20, 25), 100)
DEEP_STD, DEEP_RATE, BATCH = 10.0, 0.05, 64
TWO_LAYER_RATE, NOISE = 0.05, 0.1
EVALUATION = 10_240
"""Samples for correlations, and so for winners."""
OVERLAP = 1_024
"""Samples for L* and H*."""
RUNS = {"deep": "deep, random start", "two-layer": "two-layer, 20 nodes start near"}
MEASURES = {"activation": "L*", "path": "H*"}


@dataclass(frozen=True, slots=True)
class AlignmentScale:
    """How much to compute.

    Attributes:
      over: of the deep student.
      seeds: of both runs.
      block: deep seeds in one process.
      samples: of the deep data set.
      steps: of the deep run.
      two_layer_steps: of the other.
    """

    over: int
    seeds: int
    block: int
    samples: int
    steps: int
    two_layer_steps: int


SCALES: dict[str, AlignmentScale] = {
    "demo": AlignmentScale(2, 4, 4, 4_096, 1_000, 1_000),
    "quick": AlignmentScale(5, 8, 4, 25_600, 8_000, 10_000),
    "paper": AlignmentScale(10, 16, 4, 100_000, 62_480, 20_000),
}


def marks_of(steps: int) -> list[int]:
    """0 and six steps up to the end, each three times the one before."""
    return [0, *sorted({max(1, round(steps / 3**k)) for k in range(6)})]


def alignment_cell(cell: Cell) -> CellResult:
    """One run for one block of seeds."""
    deep = cell.parameters["run"] == "deep"
    seeds, steps = seeds_of(cell), cell.parameters["steps"]
    teacher, moments = _deep_run(cell) if deep else _two_layer_run(cell)
    std = DEEP_STD if deep else 1.0
    drawn = [
        s.generator("evaluation").standard_normal((EVALUATION, teacher.architecture.inputs))
        for s in seeds
    ]
    inputs = torch.as_tensor(std * np.stack(drawn), dtype=teacher.dtype)
    marks, snapshots, matchings = marks_of(steps), [], []
    for step, student in moments:
        if step in marks:
            matching = NodeMatching()
            measure_stacks([matching], teacher, student, inputs)
            matchings.append(matching.result())
            snapshots.append(overlaps(teacher, student, inputs[:, :OVERLAP]))
    arrays: dict[str, NDArray[Any]] = {"steps": np.array(marks)}
    last: Matching = matchings[-1]
    for layer in range(teacher.architecture.depth):
        alive = last.alive(layer)
        arrays[f"alive.{layer}"] = alive.numpy()
        for name in MEASURES:
            of_layer = [getattr(found[layer], name) for found in snapshots]
            final = [aligned(overlap, last.winners(layer)) for overlap in of_layer]
            own = [
                aligned(overlap, matching.winners(layer))
                for overlap, matching in zip(of_layer, matchings, strict=True)
            ]
            arrays[f"{name}.{layer}"] = torch.stack(final).float().numpy()  # [K, R, m, m]
            for kind, squares in (("final", final), ("own", own)):
                ratios = torch.stack([diagonality(square, alive) for square in squares])
                arrays[f"{name}.{kind}.{layer}"] = ratios.double().numpy()  # [K, R]
    return CellResult({"layers": teacher.architecture.depth}, arrays)


def _deep_run(cell: Cell) -> tuple[Stack, Iterator[tuple[int, Stack]]]:
    p, seeds = cell.parameters, seeds_of(cell)
    wide = DEEP.wider(p["over"])
    teacher = Stack.concatenate([make_teacher(DEEP, s, dtype=torch.float32) for s in seeds])
    student = Stack.concatenate([make_student(wide, s, dtype=torch.float32) for s in seeds])
    draw = gaussian_inputs(DEEP.inputs, DEEP_STD, np.float32)
    batches = Batches(draw, teacher, seeds, samples=p["samples"], batch_size=BATCH)
    epochs = -(-p["steps"] // batches.steps_per_epoch)

    def moments() -> Iterator[tuple[int, Stack]]:
        yield 0, student
        descent = Descent(rate=DEEP_RATE)
        for point in train(student, batches, descent, epochs=epochs, marks=marks_of(p["steps"])):
            yield point.step, student
            if point.step == p["steps"]:
                return

    return teacher, moments()


def _two_layer_run(cell: Cell) -> tuple[Stack, Iterator[tuple[int, Stack]]]:
    p, seeds = cell.parameters, seeds_of(cell)
    teacher, student = starts(seeds, p["over"], NOISE)
    flow = matrix_flow(
        teacher,
        student,
        GaussianStream(seeds, BATCH, 10),
        steps=p["steps"],
        rate=TWO_LAYER_RATE,
        variant="exact",
        marks=marks_of(p["steps"]),
    )
    return teacher, ((point.step, point.student) for point in flow)


def experiment(context: ExperimentContext) -> Finding:
    """F5."""
    scale = SCALES[context.scale]
    deep = {"run": "deep", "over": scale.over, "steps": scale.steps, "samples": scale.samples}
    flat = {"run": "two-layer", "over": 2, "steps": scale.two_layer_steps, "samples": 0}
    cells = {
        "deep": blocks(context.seed, scale.seeds, [deep], scale.block),
        "two-layer": blocks(context.seed, scale.seeds, [flat]),
    }
    where = context.directory / "cells"
    sweep(
        alignment_cell,
        [*cells["deep"], *cells["two-layer"]],
        where,
        executor=context.executor,
        progress=context.progress,
        description="alignment",
    )
    arrays = {run: [read_cell(cell, where).arrays for cell in cells[run]] for run in RUNS}
    curves = pl.concat([_curves(run, parts) for run, parts in arrays.items()])
    frame = pl.concat([_ends(run, parts) for run, parts in arrays.items()])
    verdict, because = judge(frame)
    table = _table(frame, scale)
    save_table(table, context.directory / "tables", "diagonality")
    figures = context.directory / "figures"
    maps = _heat_frame(arrays["deep"][0])
    shown = [
        picture(
            save_figure(heat_figure(maps), maps, figures, "heat-maps"),
            f"|L*| and |H*| of the deep run, seed {context.seed}, rows: winners at the end, "
            "columns: their teacher nodes. Entries are divided by the root of the mean squares of "
            "their row and column, or strong nodes would be all that is seen; dead teacher nodes "
            "left out. Above: the step.",
            "The overlaps of a deep student, from start to end",
        ),
        picture(
            save_figure(curve_figure(curves, RUNS), curves, figures, "diagonality"),
            f"Mean |diagonal| over mean |off-diagonal|, rows by the final winners; mean over "
            f"{scale.seeds} seeds (of the logarithm) with its 95 % bootstrap interval. Step 0 is "
            "drawn at 1.",
            "How diagonal: 1 is not at all",
        ),
    ]
    return Finding(
        claim=CLAIM,
        verdict=verdict,
        because=because,
        settings={
            "deep": f"{DEEP.inputs}, {DEEP.label}, {DEEP.outputs} outputs; over {scale.over}; "
            f"{scale.samples:,} samples of std {DEEP_STD:g}, batch {BATCH}, rate {DEEP_RATE:g}, "
            f"{scale.steps:,} steps",
            "two-layer": f"10, 20, 30 outputs; over 2; fresh N(0, I), batch {BATCH}, rate "
            f"{TWO_LAYER_RATE:g}, {scale.two_layer_steps:,} steps, columns of length 1",
            "evaluation": f"{EVALUATION:,} samples for winners, {OVERLAP:,} for overlaps",
        },
        seeds=scale.seeds,
        tables=[table],
        figures=shown,
        notes=[
            "L* is not centred: activations are positive, and their means alone overlap.",
            "In the two-layer run 20 nodes start near their teacher nodes: its ratios start high.",
        ],
    )


def _joined(parts: Sequence[Mapping[str, NDArray[Any]]], name: str) -> Array:
    return np.concatenate([part[name] for part in parts], 1)


def _depth(parts: Sequence[Mapping[str, NDArray[Any]]]) -> int:
    return sum(name.startswith("alive.") for name in parts[0])


def _curves(run: str, parts: Sequence[Mapping[str, NDArray[Any]]]) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for layer in range(_depth(parts)):
        for name, word in MEASURES.items():
            ratios = np.log(_joined(parts, f"{name}.final.{layer}"))
            for step, over_seeds in zip(parts[0]["steps"], ratios, strict=True):
                mean, low, high = (float(np.exp(v)) for v in interval_of(over_seeds))
                rows.append(
                    {
                        "run": run,
                        "layer": layer,
                        "overlap": word,
                        "step": int(step),
                        "ratio": mean,
                        "low": low,
                        "high": high,
                    }
                )
    return pl.DataFrame(rows)


def _ends(run: str, parts: Sequence[Mapping[str, NDArray[Any]]]) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for layer in range(_depth(parts)):
        for name, word in MEASURES.items():
            ratios = np.log(_joined(parts, f"{name}.own.{layer}"))
            gain, low, high = interval_of(ratios[-1] - ratios[0])
            rows.append(
                {
                    "run": run,
                    "layer": layer,
                    "overlap": word,
                    "start": float(np.exp(ratios[0].mean())),
                    "end": float(np.exp(ratios[-1].mean())),
                    "factor": float(np.exp(gain)),
                    "low": float(np.exp(low)),
                    "high": float(np.exp(high)),
                    "seeds": ratios.shape[1],
                }
            )
    return pl.DataFrame(rows)


def judge(frame: pl.DataFrame) -> tuple[Verdict, str]:
    """The verdict by the rule of the module; `frame` has `low` of the factor end over start."""
    clear = frame["low"] > 1
    told = "; ".join(
        f"{RUNS[run]}, {overlap}: "
        + ", ".join(
            f"layer {r['layer']} {r['start']:.2f} to {r['end']:.2f} (factor {r['factor']:.2f}, 95 %"
            f" {r['low']:.2f} to {r['high']:.2f})"
            for r in group.iter_rows(named=True)
        )
        for (run, overlap), group in frame.group_by(["run", "overlap"], maintain_order=True)
    )
    verdict: Verdict = "does not hold"
    if clear.all():
        verdict = "holds"
    elif float(clear.mean() or 0) > 0.5:  # pyright: ignore[reportArgumentType] (polars' wide type)
        verdict = "holds in part"
    return verdict, f"clearly more diagonal in {clear.sum()} of {len(clear)} overlaps; {told}"


def _table(frame: pl.DataFrame, scale: AlignmentScale) -> Table:
    return Table(
        frame,
        "Diagonality at the start and at the end",
        (
            Column("run"),
            Column("layer"),
            Column("overlap"),
            Column("start", "start", ".2f"),
            Column("end", "end", ".2f"),
            Column("factor", "end over start", ".2f", highlight=True),
            Column("low", "95 % from", ".2f"),
            Column("high", "to", ".2f"),
            Column("seeds"),
        ),
        "Mean |diagonal| over mean |off-diagonal|, rows by the winners of the moment; geometric "
        f"means over {scale.seeds} seeds, bootstrap over seeds.",
    )


def _heat_frame(arrays: Mapping[str, NDArray[Any]]) -> pl.DataFrame:
    """The maps of the first network at the start, a tenth of the way and the end."""
    steps = arrays["steps"]
    chosen = [0, int(np.abs(steps - steps[-1] / 9).argmin()), len(steps) - 1]
    rows: list[pl.DataFrame] = []
    for layer in range(sum(name.startswith("alive.") for name in arrays)):
        alive = np.flatnonzero(arrays[f"alive.{layer}"][0])
        for name, word in MEASURES.items():
            for k in chosen:
                square = np.abs(arrays[f"{name}.{layer}"][k, 0][np.ix_(alive, alive)])
                square = _balanced(square)
                i, j = np.indices(square.shape)
                rows.append(
                    pl.DataFrame(
                        {
                            "layer": np.full(square.size, layer),
                            "overlap": [word] * square.size,
                            "step": np.full(square.size, steps[k]),
                            "student": i.ravel(),
                            "teacher": j.ravel(),
                            "value": square.ravel().astype(np.float64),
                        }
                    )
                )
    return pl.concat(rows)


def _balanced(square: Array) -> Array:
    rows = np.sqrt(np.square(square).mean(1, keepdims=True))
    columns = np.sqrt(np.square(square).mean(0, keepdims=True))
    even = square / np.maximum(np.sqrt(rows * columns), 1e-30)
    return even / max(float(even.max()), 1e-30)
