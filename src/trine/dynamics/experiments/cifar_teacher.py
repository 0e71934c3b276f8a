"""F3: correlation and luck with a teacher trained on CIFAR-10 (Tian et al. 2019; spec 7.3).

A convolutional teacher is trained on labels, pruned by nodes and fine-tuned; students of one and
more times its channels learn its outputs. Sizes are in `PRESETS`: `paper` (64-64-64-64 on whole
images, ten times over-parameterised) is written for a GPU; without one, the scale `paper` computes
`small`, and the finding says so. The small presets use 16 x 16 windows and fewer images: their
teachers know less, which the table of accuracies shows.

Verdict, over all student seeds, at the largest over-parameterisation computed:
  luck    the winners of layer 0 were nearer at the start than chance: p < 0.01, seeds pooled;
  order   layer 0 is matched best at the end: its mean best correlation is above every other
          layer's by more than two standard errors of the paired difference;
  rise    training raises the mean best correlation in every layer by more than two standard errors;
  over    the larger student matches better than the smallest, mean over layers, by more than two
          standard errors.
All four: holds. Only some of them: holds in part. None: does not hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from matplotlib.figure import Figure

from trine.core.errors import DataError
from trine.core.figures import Palette, house_style, save_figure
from trine.core.report import picture
from trine.core.seeding import Seeds
from trine.core.stats import paired_difference, summarise
from trine.core.sweep import Cell, CellResult, cells_of, read_cell, sweep
from trine.core.tables import Column, Table, save_table
from trine.dynamics.cifar import Cifar10, load_cifar10
from trine.dynamics.conv_teacher import (
    PRUNED,
    ConvTeacher,
    train_conv_student,
    train_conv_teacher,
)
from trine.dynamics.conv_training import ConvRecipe, Images
from trine.dynamics.experiments.base import ExperimentContext, Finding, Verdict
from trine.dynamics.experiments.ranks import (
    fading,
    pooled_rows,
    rank_figure,
    rank_rows,
    rank_table,
)
from trine.dynamics.networks import ConvArchitecture, ConvReluNetwork

__all__ = ["PRESETS", "Preset", "experiment"]

CLAIM = (
    "A student of a CIFAR-10 teacher behaves as with random teachers: lower layers are matched "
    "better and winners were near at the start, with lower correlations (Tian et al. 2019; setting "
    "and claim are recalled: a target to test)."
)


@dataclass(frozen=True, slots=True)
class Preset:
    """Sizes of the experiment.

    Attributes:
      channels: of the teacher before pruning.
      side: of the windows, in pixels.
      images: training images, from the first (classes are balanced in the packed files).
      test_images: images for accuracies and correlations; each position of a map is a sample.
      teachers: number of teachers; student seed s has teacher s modulo this.
      students: student seeds.
      overs: over-parameterisation factors.
      recipe: of the teacher.
      fine_tuning: of the pruned teacher.
      student: of the students.
    """

    channels: tuple[int, ...]
    side: int
    images: int
    test_images: int
    teachers: int
    students: int
    overs: tuple[int, ...]
    recipe: ConvRecipe
    fine_tuning: ConvRecipe
    student: ConvRecipe
    ratios: tuple[float, ...] = field(default=PRUNED)


def _labels(epochs: int, rate: float = 0.05) -> ConvRecipe:
    return ConvRecipe(epochs, rate=rate, decay=5e-4)


def _outputs(epochs: int) -> ConvRecipe:
    # Rates of 0.02 and more made students of a pilot teacher (seed 100) die or diverge.
    return ConvRecipe(epochs, rate=0.005, schedule="constant")


PRESETS: Mapping[str, Preset] = {
    "demo": Preset(
        (16,) * 4, 16, 2_000, 250, 1, 2, (1, 2), _labels(4), _labels(1, 0.02), _outputs(4)
    ),
    "quick": Preset(
        (32,) * 4, 16, 5_000, 500, 1, 3, (1, 2), _labels(6), _labels(2, 0.02), _outputs(8)
    ),
    "small": Preset(
        (64,) * 4, 16, 25_000, 2_000, 1, 3, (1, 2), _labels(8), _labels(4, 0.02), _outputs(8)
    ),
    "paper": Preset(
        (64,) * 4, 32, 50_000, 10_000, 2, 8, (1, 2, 5, 10),
        _labels(60), _labels(20, 0.02), _outputs(60),
    ),
}  # fmt: skip
"""By name; `demo`, `quick` and `small` are made for one CPU core: 10 s, 2 and 20 minutes."""


def experiment(context: ExperimentContext) -> Finding:
    """F3, or a finding that says it was not tested because CIFAR-10 is not at hand."""
    on_gpu = torch.cuda.is_available()
    name = context.scale if context.scale != "paper" or on_gpu else "small"
    preset = PRESETS[name]
    try:
        # Decodes once, here, so that worker processes find the cache.
        load_cifar10(context.data / "cifar10" if context.data else None)
    except DataError as error:
        return Finding(
            claim=CLAIM, verdict="not tested", because=str(error), settings={"preset": name},
            seeds=0,
        )  # fmt: skip
    frames = compute(context, name, preset)
    return _finding(context, name, preset, frames)


@dataclass(frozen=True, slots=True)
class Frames:
    """What was measured; `over` and `seed` name a student.

    Attributes:
      teachers: `seed`, `trained`, `pruned`, `fine_tuned` (test accuracies), `channels`.
      curves: `over`, `seed`, `epoch`, `layer`, `best_mean`, `best_min`, `dead`, `loss`.
      pooled: from `pooled_rows`, with `over`.
      single: from `rank_rows`, with `over`.
      fading: by over-parameterisation, from `fading`.
    """

    teachers: pl.DataFrame
    curves: pl.DataFrame
    pooled: pl.DataFrame
    single: pl.DataFrame
    fading: dict[int, dict[str, float]]


def compute(context: ExperimentContext, name: str, preset: Preset) -> Frames:
    """Trains what is not there yet and reads all of it."""
    cells = context.directory / "cells"
    seeds = range(context.seed, context.seed + preset.teachers)
    teacher_cells = cells_of(seeds, part=["teacher"], preset=[name])
    root = context.data / "cifar10" if context.data else None
    places = (preset, root, context.directory / "checkpoints")
    teachers = sweep(
        partial(_teacher_cell, *places), teacher_cells, cells, executor=context.executor,
        progress=context.progress, description="CIFAR-10 teachers",
    )  # fmt: skip
    seeds = range(context.seed, context.seed + preset.students)
    student_cells = cells_of(seeds, part=["student"], preset=[name], over=preset.overs)
    # The widest first: two workers then end at about the same time.
    student_cells.sort(key=lambda cell: -cell.parameters["over"])
    sweep(
        partial(_student_cell, *places, cells, context.seed), student_cells, cells,
        executor=context.executor, progress=context.progress, description="students",
        note=lambda values: f"over {values['over_parameterisation']}",
    )  # fmt: skip
    return _read(context, preset, teachers, student_cells, cells)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _images(preset: Preset, data: Cifar10) -> tuple[Images, Images]:
    train, test = slice(preset.images), slice(preset.test_images)
    return (
        Images(data.train_images[train], data.train_labels[train], preset.side),
        Images(data.test_images[test], data.test_labels[test], preset.side),
    )


def _teacher_cell(preset: Preset, root: Path | None, checkpoints: Path, cell: Cell) -> CellResult:
    train, test = _images(preset, load_cifar10(root))
    teacher = train_conv_teacher(
        ConvArchitecture(preset.channels, image=preset.side), train, test,
        cell.seeds.child("conv-teacher"), recipe=preset.recipe, fine_tuning=preset.fine_tuning,
        ratios=preset.ratios, directory=checkpoints / cell.file_name, device=_device(),
    )  # fmt: skip
    channels = teacher.network.architecture.channels
    values = {**teacher.accuracy, "channels": "-".join(str(n) for n in channels)}
    return CellResult(values, _arrays(teacher))


def _arrays(teacher: ConvTeacher) -> dict[str, np.ndarray[Any, Any]]:
    arrays = {k: v.cpu().numpy() for k, v in teacher.network.state_dict().items()}
    kept = {f"kept.{n}": rows.cpu().numpy() for n, rows in enumerate(teacher.kept)}
    return {**arrays, **kept}


def _student_cell(
    preset: Preset, root: Path | None, checkpoints: Path, cells: Path, first: int, cell: Cell
) -> CellResult:
    train, test = _images(preset, load_cifar10(root))
    number = first + (cell.seed - first) % preset.teachers
    stored = read_cell(
        Cell({"part": "teacher", "preset": cell.parameters["preset"]}, number), cells
    )
    channels = tuple(int(n) for n in str(stored.values["channels"]).split("-"))
    teacher = ConvReluNetwork(ConvArchitecture(channels, image=preset.side))
    teacher.load_state_dict(
        {k: torch.from_numpy(v) for k, v in stored.arrays.items() if not k.startswith("kept.")}
    )
    over = int(cell.parameters["over"])
    run = train_conv_student(
        teacher.to(_device()).eval(), over, train, test,
        cell.seeds.child("conv-student", over), recipe=preset.student,
        checkpoint=checkpoints / f"{cell.file_name}.safetensors", device=_device(),
    )  # fmt: skip
    keys = [key for key in run.history[0] if key not in ("epoch", "loss")]
    arrays = {
        "history": np.array([[row["loss"], *(row[k] for k in keys)] for row in run.history]),
        **{f"initial.{n}": t[0].numpy() for n, t in enumerate(run.initial)},
        **{f"final.{n}": t[0].numpy() for n, t in enumerate(run.final)},
        **{f"alive.{n}": t[0].numpy().astype(np.uint8) for n, t in enumerate(run.alive)},
    }
    values = {"teacher": number, "over_parameterisation": over, "keys": " ".join(["loss", *keys])}
    return CellResult(values, arrays)


def _read(
    context: ExperimentContext,
    preset: Preset,
    teachers: pl.DataFrame,
    cells: list[Cell],
    directory: Path,
) -> Frames:
    depth = len(preset.channels)
    curves: list[dict[str, Any]] = []
    pooled: list[pl.DataFrame] = []
    single: list[pl.DataFrame] = []
    trend: dict[int, dict[str, float]] = {}
    for over in preset.overs:
        mine = sorted((c for c in cells if c.parameters["over"] == over), key=lambda c: c.seed)
        results = [read_cell(cell, directory) for cell in mine]
        for cell, result in zip(mine, results, strict=True):
            keys = str(result.values["keys"]).split()
            for epoch, row in enumerate(result.arrays["history"]):
                named = dict(zip(keys, row.tolist(), strict=True))
                for layer in range(depth):
                    curves.append(
                        {
                            "over": over, "seed": cell.seed, "epoch": epoch, "layer": layer,
                            "best_mean": named[f"best_mean.{layer}"],
                            "best_min": named[f"best_min.{layer}"],
                            "dead": int(named[f"dead.{layer}"]), "loss": named["loss"],
                        }
                    )  # fmt: skip

        def stacked(kind: str, results: list[CellResult] = results) -> list[np.ndarray[Any, Any]]:
            return [np.stack([r.arrays[f"{kind}.{n}"] for r in results]) for n in range(depth)]

        numbers = [cell.seed for cell in mine]
        seeds = Seeds(context.seed).child("cifar-ranks", over)
        start, end = stacked("initial"), stacked("final")
        living = [a.astype(bool) for a in stacked("alive")]
        over_column = pl.lit(over).alias("over")
        rows = rank_rows(start, end, living, numbers, seeds)
        single.append(rows.with_columns(over_column))
        pooled.append(pooled_rows(start, end, living, numbers, seeds).with_columns(over_column))
        trend[over] = fading(rows, seeds)
    return Frames(teachers, pl.DataFrame(curves), pl.concat(pooled), pl.concat(single), trend)


def _finding(context: ExperimentContext, name: str, preset: Preset, frames: Frames) -> Finding:
    ends = _ends(frames.curves)
    layers = _layer_table(ends)
    ranks = rank_table(frames.pooled, "Initial rank of the winners, by layer", [Column("over")])
    accuracies = Table(
        frames.teachers.select("seed", "channels", "trained", "pruned", "fine_tuned"),
        "Teachers: share of test images in the right class",
        caption=f"{preset.test_images:,} test images, windows of {preset.side} x {preset.side}.",
    )
    tables = context.directory / "tables"
    for table, file in ((layers, "correlation"), (ranks, "ranks"), (accuracies, "teachers")):
        save_table(table, tables, file)
    folder = context.directory / "figures"
    correlation = save_figure(correlation_figure(frames.curves), frames.curves, folder, "curves")
    shares = save_figure(
        rank_figure(frames.pooled, frames.single, "over"), frames.single, folder, "ranks"
    )
    verdict, because = _judge(frames, ends, max(preset.overs), min(preset.overs))
    seeds = f"{preset.students} students a factor, {preset.teachers} teacher(s)"
    notes = [
        "The papers' exact CIFAR-10 settings are not at hand: pruning ratios are recalled, recipes "
        "are ours. A channel is a node; samples are images times positions.",
        "Pruned channels are taken out instead of masked, which computes the same.",
    ]
    if name != "paper":
        notes.append(
            f"Preset `{name}`: {preset.images:,} training images, windows of {preset.side} pixels, "
            f"{'-'.join(map(str, preset.channels))} channels, over-parameterisation up to "
            f"{max(preset.overs)}. The full preset (whole images, ten times) wants a GPU."
        )
    return Finding(
        claim=CLAIM, verdict=verdict, because=because,
        settings={
            "preset": name, "channels": "-".join(map(str, preset.channels)),
            "pruned": "-".join(map(str, preset.ratios)), "window": preset.side,
            "training images": preset.images, "test images": preset.test_images,
            "teacher epochs": f"{preset.recipe.epochs} + {preset.fine_tuning.epochs}",
            "student epochs": preset.student.epochs, "student rate": preset.student.rate,
            "student momentum": preset.student.momentum, "batch": preset.student.batch,
            "loss": "mean", "over": " ".join(map(str, preset.overs)),
        },
        seeds=preset.students, tables=[layers, ranks, accuracies],
        figures=[
            picture(
                correlation,
                f"Best correlation of each teacher channel, mean over those alive; {seeds}; band: "
                f"± one standard error over seeds; {preset.test_images:,} test images.",
                "Correlation with a CIFAR-10 teacher, by layer",
            ),
            picture(
                shares,
                f"Initial rank of final winners over the student's width; {seeds}; small dots: "
                "seeds; bars: 95 % interval, seeds resampled.",
                "Winners were near at the start",
            ),
        ],
        notes=notes,
    )  # fmt: skip


def _ends(curves: pl.DataFrame) -> pl.DataFrame:
    """Start and end of every student's curves: `over`, `seed`, `layer`, `start`, `end`, `dead`."""
    last = curves["epoch"].max()
    keys = ["over", "seed", "layer"]
    start = curves.filter(pl.col("epoch") == 0).select(*keys, start="best_mean")
    end = curves.filter(pl.col("epoch") == last).select(
        *keys, "dead", end="best_mean", lowest="best_min"
    )
    return start.join(end, on=keys)


def _layer_table(ends: pl.DataFrame) -> Table:
    rows: list[dict[str, Any]] = []
    for key, group in ends.group_by(["over", "layer"], maintain_order=True):
        start, end = summarise(group["start"]), summarise(group["end"])
        rise = paired_difference(group["start"], group["end"])
        rows.append(
            {
                "over": key[0], "layer": key[1], "start": start.text(3), "end": end.text(3),
                "rise": rise.text(3), "lowest": _mean_of_known(group["lowest"].to_numpy()),
                "dead": float(group["dead"].cast(pl.Float64).to_numpy().mean()),
                "seeds": end.count,
            }
        )  # fmt: skip
    return Table(
        pl.DataFrame(rows),
        "Best correlation of teacher channels, by layer",
        (
            Column("over"),
            Column("layer"),
            Column("start", "untrained student"),
            Column("end", "trained student", highlight=True),
            Column("rise", "difference"),
            Column("lowest", "lowest channel", ".3f"),
            Column("dead", "dead teacher channels", ".1f"),
            Column("seeds"),
        ),
        "Mean over teacher channels that are alive; ± one standard error over student seeds.",
    )


def _mean_of_known(values: np.ndarray[Any, Any]) -> float:
    """Mean without NaN, which stands for a layer whose teacher channels are all dead."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _judge(frames: Frames, ends: pl.DataFrame, over: int, smallest: int) -> tuple[Verdict, str]:
    layers = sorted(ends["layer"].unique().to_list())

    def at(factor: int, layer: int, column: str) -> np.ndarray[Any, Any]:
        mine = ends.filter((pl.col("over") == factor) & (pl.col("layer") == layer))
        return mine.sort("seed")[column].to_numpy()

    def clear(first: Any, second: Any) -> bool:
        """Whether the second is larger by more than two standard errors, seed by seed."""
        change = paired_difference(first, second)
        return bool(change.mean > 2 * change.standard_error)

    bottom = frames.pooled.filter((pl.col("over") == over) & (pl.col("layer") == layers[0]))
    found = bottom.row(0, named=True) if len(bottom) else {"p_value": math.nan, "share": math.nan}
    held = {
        "luck at the bottom": found["p_value"] < 0.01,
        "layer 0 best": all(clear(at(over, k, "end"), at(over, 0, "end")) for k in layers[1:]),
        "correlations rise": all(clear(at(over, k, "start"), at(over, k, "end")) for k in layers),
        f"over {over} better than {smallest}": over != smallest
        and clear(
            np.mean([at(smallest, k, "end") for k in layers], axis=0),
            np.mean([at(over, k, "end") for k in layers], axis=0),
        ),
    }
    number = sum(held.values())
    verdict: Verdict = (
        "holds" if number == len(held) else "holds in part" if number else "does not hold"
    )
    ladder = " / ".join(summarise(at(over, k, "end")).text(3) for k in layers)
    parts = ", ".join(f"{key}: {'yes' if value else 'no'}" for key, value in held.items())
    trend = frames.fading[over]
    because = (
        f"over {over}: mean best correlation by layer {ladder} (random teachers: .999 at layer 0); "
        f"initial rank of layer 0 winners {found['share']:.2f} of the width (chance .5), "
        f"p = {found['p_value']:.4f}; slope of that share {trend['slope']:+.3f} a layer, "
        f"p = {trend['p_value']:.3f}; {parts}."
    )
    return verdict, because


def correlation_figure(curves: pl.DataFrame) -> Figure:
    """Mean best correlation over epochs, a line a layer, a panel an over-parameterisation."""
    overs = curves["over"].unique(maintain_order=True).to_list()
    layers = sorted(curves["layer"].unique().to_list())
    palette = Palette([f"layer {layer}" for layer in layers])
    with house_style():
        figure = Figure(figsize=(3.2 * len(overs) + 0.6, 3.6), layout="constrained")
        panels = figure.subplots(1, len(overs), sharey=True, squeeze=False)[0]
        for axes, over in zip(panels, overs, strict=True):
            for layer in layers:
                mine = curves.filter((pl.col("over") == over) & (pl.col("layer") == layer))
                table = mine.pivot(on="seed", index="epoch", values="best_mean").sort("epoch")
                epochs = table["epoch"].to_numpy()
                values = table.drop("epoch").to_numpy()
                mean = values.mean(1)
                axes.plot(epochs, mean, **palette.line(f"layer {layer}"))
                if values.shape[1] > 1:
                    error = values.std(1, ddof=1) / math.sqrt(values.shape[1])
                    colour = palette.colour(f"layer {layer}")
                    axes.fill_between(epochs, mean - error, mean + error, color=colour, alpha=0.2)
            axes.set_title(f"over {over}")
            axes.set_xlabel("epoch")
            axes.set_ylim(0, 1)
        panels[0].set_ylabel("best correlation (mean over teacher channels)")
        panels[-1].legend(loc="lower right", fontsize=9)
    return figure
