"""The paper's study as a command: does learning tasks together beat learning each alone?

Arms, each scored on every task of the recipe:

    base       the untouched encoder at full width
    base+pca   the same, cut by principal directions fitted on the training mixture
    single     for each trained task and seed, a model that learned that task alone
    multi      for each seed, one model that learned them all

A single-task model gets as many updates on its task's data as the multi-task model spends on it,
from the same base, with the same losses, rates and batch sizes. Differences are paired by seed.
A cell (one model) is one run directory below the study's; what is finished is not done again.

Source of the question: LinkedIn Post Embeddings, arXiv 2405.11344, abstract. Terms of the
comparison: our own.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from trine.core.artifacts import read_json, write_json
from trine.core.config import Config
from trine.core.errors import UsageError
from trine.core.executors import Executor, SerialExecutor
from trine.core.progress import Progress, SilentProgress
from trine.core.runs import Run, open_run
from trine.core.seeding import Seeds
from trine.embeddings.config import Recipe
from trine.embeddings.loading import load_tasks
from trine.embeddings.tasks import ScoreRow, Task

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["WIDTHS", "TransferResult", "single_recipe", "transfer"]

_LOG = logging.getLogger(__name__)

# Of the dimension curve, besides the recipe's own dimension and the full width.
WIDTHS = (8, 16, 32, 64, 128, 256)


class StudyConfig(Config):
    """What determines a study; see `transfer` for the fields."""

    recipe: Recipe
    seeds: int
    max_rows: int | None = None
    draws: int = 10
    matrix_seeds: int | None = None
    widths: tuple[int, ...] = WIDTHS


@dataclass(frozen=True)
class Cell:
    """One model of the study.

    Attributes:
      arm: base, base+pca, single or multi.
      task: that a single-task model learned; empty otherwise.
      seed: None for the base.
      recipe: that makes it.
      source: directory that relative sources start from.
      directory: of its run.
      widths: it is scored at.
      max_rows: scored rows for each task and language.
      draws: of classifications.
      scored: names of the tasks it is scored on; empty: all.
    """

    arm: str
    task: str
    seed: int | None
    recipe: Recipe
    source: Path
    directory: Path
    widths: tuple[int, ...]
    max_rows: int | None
    draws: int
    scored: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        """For the rows: the arm, and the task if it is one task's model."""
        return f"{self.arm}:{self.task}" if self.task else self.arm


@dataclass(frozen=True)
class TransferResult:
    """A finished study.

    Attributes:
      run: its directory.
      rows: one for each model, task, language, measure, width; with `arm`, `trained` and `seed`.
      recipe: of the multi-task arm.
    """

    run: Run
    rows: pl.DataFrame
    recipe: Recipe


def single_recipe(recipe: Recipe, task: str, updates: int) -> Recipe:
    """The recipe of a model that learns one task alone, with so many updates on it.

    Every other task keeps its rows for scoring and is not trained on. Unlabelled text stays in both
    arms: it teaches no task, and what it keeps of the base must not count as transfer.
    """
    tasks = tuple(
        each
        if each.name == task or each.kind == "unlabelled"
        else each.model_copy(update={"role": "zero_shot"})
        for each in recipe.tasks
    )
    training = recipe.training.model_copy(update={"steps": updates, "tasks_per_step": 0})
    return recipe.model_copy(update={"tasks": tasks, "training": training})


def transfer(
    recipe: Recipe,
    base: Path,
    *,
    seeds: int = 3,
    max_rows: int | None = None,
    draws: int = 10,
    matrix_seeds: int | None = None,
    widths: Sequence[int] = WIDTHS,
    root: Path | None = None,
    directory: Path | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = _LOG.info,
) -> TransferResult:
    """Runs the study, or goes on with it.

    Args:
      recipe: of the multi-task arm; two or more trained tasks.
      base: directory that relative sources start from.
      seeds: how many, from the recipe's seed upward.
      max_rows: scored rows for each task and language; None: all.
      draws: of classifications.
      matrix_seeds: seeds whose single-task models are scored on every task, for the matrix; those
        of the other seeds are scored on their own task only. None: all.
      widths: of the dimension curve.
      root: where runs live.
      directory: this very run directory.
      executor: where the models are trained.
      progress: where to tell how far it is.
      say: one line of talk.

    Raises:
      UsageError: fewer than two trained tasks, or no seed.
      ConfigError, DataError: as training would.
    """
    learned = [task for task in recipe.trained if task.kind != "unlabelled"]
    if len(learned) < 2:
        raise UsageError(f"{len(learned)} trained task(s) in the recipe", accepted="two or more")
    if seeds < 1:
        raise UsageError(f"{seeds} seeds", accepted="one or more; three for a claim")
    from trine.embeddings.transfer_report import write_transfer_report

    identity = StudyConfig(
        recipe=recipe, seeds=seeds, max_rows=max_rows, draws=draws, matrix_seeds=matrix_seeds,
        widths=tuple(widths),
    )  # fmt: skip
    name = recipe.title or Path(recipe.model.base).name
    run = open_run(
        identity, system="embeddings", verb="transfer", name=name, seed=recipe.seed, root=root,
        directory=directory,
    )  # fmt: skip
    cells = _cells(run, recipe, base, identity)
    with run:
        left = [cell for cell in cells if not (cell.directory / "scores.json").is_file()]
        say(f"{len(cells)} models, {len(cells) - len(left)} of them there already")
        with (progress or SilentProgress()).task("models", len(cells)) as shown:
            shown.advance(len(cells) - len(left))
            for index, _ in (executor or SerialExecutor()).run(_run_cell, left):
                cell = left[index]
                seed = "" if cell.seed is None else f", seed {cell.seed}"
                shown.advance(note=f"{cell.model}{seed}")
                say(f"done: {cell.model}{seed}")
        rows = pl.concat([_cell_rows(cell) for cell in cells])
        result = TransferResult(run, rows, recipe)
        write_transfer_report(result)
    return result


def _cells(
    run: Run,
    recipe: Recipe,
    source: Path,
    study: StudyConfig,
) -> list[Cell]:
    from trine.embeddings.training import expected_updates
    from trine.embeddings.training_rows import training_rows

    tasks, _ = load_tasks(recipe, source)
    trained = [task for task in tasks if task.config.role == "train"]
    sizes = [len(training_rows(task)) for task in trained]
    updates = [max(1, round(n)) for n in expected_updates(recipe, sizes)]
    curve = tuple(sorted({*study.widths, recipe.dimension}))

    seeds = range(recipe.seed, recipe.seed + study.seeds)
    full_rows = study.seeds if study.matrix_seeds is None else study.matrix_seeds

    def cell(
        arm: str,
        task: str,
        seed: int | None,
        own: Recipe,
        at: tuple[int, ...],
        scored: tuple[str, ...] = (),
    ) -> Cell:
        parts = [arm.replace("+", "-"), task, "" if seed is None else f"seed-{seed}"]
        folder = run.directory / "cells" / "_".join(part for part in parts if part)
        return Cell(arm, task, seed, own, source, folder, at, study.max_rows, study.draws, scored)

    found = [cell("base", "", None, recipe, ()), cell("base+pca", "", None, recipe, curve)]
    for seed in seeds:
        own = recipe.model_copy(update={"seed": seed})
        found.append(cell("multi", "", seed, own, curve))
    for seed in seeds:
        own = recipe.model_copy(update={"seed": seed})
        for task, count in zip(trained, updates, strict=True):
            if task.kind == "unlabelled":
                continue
            alone = single_recipe(own, task.name, count)
            every = seed - recipe.seed < full_rows
            scored = () if every else (task.name,)
            found.append(cell("single", task.name, seed, alone, (recipe.dimension,), scored))
    return found


def _run_cell(cell: Cell) -> None:
    """Trains and scores one model; in a process of its own, so everything is made here."""
    import torch

    threads = os.environ.get("OMP_NUM_THREADS")
    if threads:
        torch.set_num_threads(int(threads))
    # Scored rows and drawn examples are the same for every seed: the seed is the training's.
    tasks, _ = load_tasks(cell.recipe.model_copy(update={"seed": 0}), cell.source)
    model = _model(cell, tasks)
    from trine.embeddings.evaluation.suite import evaluate_model

    full = int(model.get_embedding_dimension() or 0)
    widths = sorted({*(width for width in cell.widths if width <= full), full})
    rows = evaluate_model(
        model,
        [task for task in tasks if not cell.scored or task.name in cell.scored],
        model_name=cell.model,
        widths=widths,
        max_rows=cell.max_rows,
        draws=cell.draws,
    )
    write_json(cell.directory / "scores.json", [asdict(row) for row in rows])


def _model(cell: Cell, tasks: Sequence[Task]) -> SentenceTransformer:
    from trine.embeddings.encoder import add_head, load_base, load_model
    from trine.embeddings.train_run import train

    if cell.arm == "base":
        return load_base(cell.recipe.model)[0]
    if cell.arm == "base+pca":
        model, _ = load_base(cell.recipe.model)
        head = cell.recipe.head.model_copy(update={"start": "pca"})
        return add_head(model, tasks, head, Seeds(cell.recipe.seed).child("head"))
    done = train(cell.recipe, cell.source, directory=cell.directory / "run", evaluate=False)
    return load_model(done.full)


def _cell_rows(cell: Cell) -> pl.DataFrame:
    rows = [asdict(ScoreRow(**row)) for row in read_json(cell.directory / "scores.json")]
    schema = {
        "model": pl.String, "task": pl.String, "language": pl.String, "metric": pl.String,
        "score": pl.Float64, "se": pl.Float64, "n": pl.Int64, "width": pl.Int64,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema).with_columns(
        pl.lit(cell.arm).alias("arm"),
        pl.lit(cell.task).alias("trained"),
        pl.lit(cell.seed, dtype=pl.Int64).alias("seed"),
    )
