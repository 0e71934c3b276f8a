"""The paper's study as a command: does learning tasks together beat learning each alone?

Arms, each scored on every task of the recipe:

    base       the untouched encoder at full width
    base+pca   the same, cut by principal directions fitted on the training mixture
    single     for each trained task and seed, a model that learned that task alone
    multi      for each seed, one model that learned them all; with `head.per_task` each trained
               task is scored with its own head (with `training.leave_after`, with the branch or
               the head that its validation rows chose), as the single-task model's is, and the
               rows of `multi+shared` have its scores with the shared one

A single-task model gets exactly as many updates on its task's data as the multi-task model of the
same seed spends on it (with a branch: the joint steps before it and those of the branch), from the
same base, with the same losses, rates and batch sizes. Differences are paired by seed. Splits and
choices of rows are those of the recipe's seed in every cell.

A cell (one model) is one run directory below the study's; what is finished is not done again. Of a
single-task model only the scores and the record stay, not its weights.

Source of the question: LinkedIn Post Embeddings, arXiv 2405.11344, abstract. Terms of the
comparison: our own.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import polars as pl

from trine.core.artifacts import read_json, write_json
from trine.core.config import Config
from trine.core.errors import ConfigError, UsageError
from trine.core.executors import Executor, SerialExecutor
from trine.core.progress import Progress, SilentProgress
from trine.core.runs import Run, open_run
from trine.core.seeding import Seeds
from trine.embeddings.branches import single_recipe, task_updates
from trine.embeddings.choices import Choice, load_choices
from trine.embeddings.config import Recipe
from trine.embeddings.loading import load_tasks
from trine.embeddings.tasks import ScoreRow, Task

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["WIDTHS", "TransferResult", "transfer"]

_LOG = logging.getLogger(__name__)

# Of the dimension curve, besides the recipe's own dimension and the full width.
WIDTHS = (8, 16, 32, 64, 128, 256)

# Beside the scores of a multi-task model: those of its trained tasks with the shared head.
_SHARED = "scores-shared-head.json"


class _How(TypedDict):
    model_name: str
    widths: list[int]
    max_rows: int | None
    draws: int


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
      study: recipe of the study, whose tasks say which rows there are.
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
    study: Recipe
    source: Path
    directory: Path
    widths: tuple[int, ...]
    max_rows: int | None
    draws: int
    scored: tuple[str, ...] = ()

    @property
    def is_trained(self) -> bool:
        """Whether it is a model that learned something."""
        return self.arm in ("single", "multi")

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
      choices: by seed how long each task stayed with the others, with `training.leave_after`.
    """

    run: Run
    rows: pl.DataFrame
    recipe: Recipe
    choices: dict[int, list[Choice]] = field(default_factory=dict[int, "list[Choice]"])


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
      UsageError: fewer than two trained tasks, no seed, or a width below 1.
      ConfigError, DataError: as training would; also tables that changed since the study began.
    """
    learned = [task for task in recipe.trained if task.kind != "unlabelled"]
    if len(learned) < 2:
        raise UsageError(f"{len(learned)} trained task(s) in the recipe", accepted="two or more")
    if seeds < 1:
        raise UsageError(f"{seeds} seeds", accepted="one or more; three for a claim")
    from trine.embeddings.train_run import check_recipe
    from trine.embeddings.transfer_report import write_transfer_report

    if any(width < 1 for width in widths):
        raise UsageError(f"width {min(widths)}", accepted="1 or more")
    tasks, facts = load_tasks(recipe, base)
    check_recipe(recipe, tasks)
    for line in (each.remarks for each in facts if each.remarks):
        say(line)
    identity = StudyConfig(
        recipe=recipe, seeds=seeds, max_rows=max_rows, draws=draws, matrix_seeds=matrix_seeds,
        widths=tuple(widths),
    )  # fmt: skip
    name = recipe.title or Path(recipe.model.base).name
    run = open_run(
        identity, system="embeddings", verb="transfer", name=name, seed=recipe.seed, root=root,
        directory=directory,
    )  # fmt: skip
    _same_rows(run, tasks)
    cells = _cells(run, identity, base, tasks)
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
        choices = {
            cell.seed: load_choices(cell.directory / "run")
            for cell in cells
            if cell.arm == "multi" and cell.seed is not None and recipe.training.leave_after
        }
        result = TransferResult(run, rows, recipe, choices)
        write_transfer_report(result)
    return result


def _same_rows(run: Run, tasks: Sequence[Task]) -> None:
    from trine.embeddings.train_run import data_digest

    path, digest = run.directory / "data.json", data_digest(tasks)
    if path.is_file() and read_json(path)["digest"] != digest:
        raise ConfigError(
            f"{run.directory} was begun on other rows than the recipe's tables hold now",
            hint="choose another directory, or restore the tables",
        )
    if not path.is_file():
        write_json(path, {"digest": digest})


def _cells(run: Run, study: StudyConfig, source: Path, tasks: Sequence[Task]) -> list[Cell]:
    recipe = study.recipe
    curve = tuple(sorted({*study.widths, recipe.dimension}))
    # The rows are the same for all (`data_seed`): no seed trains on another's test rows.
    recipes = [recipe.model_copy(update={"seed": recipe.seed + i}) for i in range(study.seeds)]
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
        return Cell(
            arm, task, seed, own, recipe, source, folder, at, study.max_rows, study.draws, scored
        )

    found = [cell("base", "", None, recipe, ()), cell("base+pca", "", None, recipe, curve)]
    found += [cell("multi", "", own.seed, own, curve) for own in recipes]
    for own in recipes:
        for name, count in task_updates(own, tasks).items():
            if recipe.task(name).kind == "unlabelled":
                continue
            # A task that no step drew is still shown one batch: there must be a model to score.
            alone = single_recipe(own, name, max(1, count))
            scored = () if own.seed - recipe.seed < full_rows else (name,)
            found.append(cell("single", name, own.seed, alone, (recipe.dimension,), scored))
    return found


def _run_cell(cell: Cell) -> None:
    """Trains and scores one model; in a process of its own, so everything is made here."""
    import torch

    threads = os.environ.get("OMP_NUM_THREADS")
    if threads:
        torch.set_num_threads(int(threads))
    # By the study's roles: a task that a single-task model does not train on would keep the rows
    # that others are scored on, and its classifiers would be drawn from more rows than elsewhere.
    loaded, _ = load_tasks(cell.study, cell.source)
    tasks = [Task(cell.recipe.task(task.name), task.frame) for task in loaded]
    model = _model(cell, tasks)
    scored = [task for task in tasks if not cell.scored or task.name in cell.scored]
    rows = _scores(cell, model, scored)
    write_json(cell.directory / "scores.json", [asdict(row) for row in rows])
    if cell.arm == "single":  # dozens of them, each as large as the base
        for name in ("checkpoints", "model", "model-full"):
            shutil.rmtree(cell.directory / "run" / name, ignore_errors=True)


def _scores(cell: Cell, model: SentenceTransformer, tasks: Sequence[Task]) -> list[ScoreRow]:
    from trine.embeddings.choices import evaluate_parts
    from trine.embeddings.evaluation.suite import evaluate_model
    from trine.embeddings.task_heads import HEADS, evaluate_heads, load_task_heads

    # Scored rows and drawn examples are the same for every model: the seed is the training's.
    full = int(model.get_embedding_dimension() or 0)
    widths = sorted({*(width for width in cell.widths if width <= full), full})
    how: _How = {
        "model_name": cell.model, "widths": widths, "max_rows": cell.max_rows, "draws": cell.draws,
    }  # fmt: skip
    # The head of a single-task model is that task's own already.
    if cell.arm != "multi" or not cell.recipe.head.per_task:
        return evaluate_model(model, tasks, **how)
    run = cell.directory / "run"
    if cell.recipe.training.leave_after:
        shared = evaluate_model(model, tasks, **how)
        own = evaluate_parts(model, run, cell.recipe, tasks, **how)
    else:
        shared, own = evaluate_heads(model, load_task_heads(run / HEADS), tasks, **how)
    with_own = {row.task for row in own}
    write_json(cell.directory / _SHARED, [asdict(r) for r in shared if r.task in with_own])
    return [row for row in shared if row.task not in with_own] + own


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
    frame = _frame(cell, cell.arm, cell.directory / "scores.json")
    if cell.arm != "multi" or not cell.recipe.head.per_task:
        return frame
    return pl.concat([frame, _frame(cell, "multi+shared", cell.directory / _SHARED)])


def _frame(cell: Cell, arm: str, path: Path) -> pl.DataFrame:
    rows = [asdict(ScoreRow(**row)) for row in read_json(path)]
    schema = {
        "model": pl.String, "task": pl.String, "language": pl.String, "metric": pl.String,
        "score": pl.Float64, "se": pl.Float64, "n": pl.Int64, "width": pl.Int64,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema).with_columns(
        pl.lit(arm).alias("arm"),
        pl.lit(cell.task).alias("trained"),
        pl.lit(cell.seed, dtype=pl.Int64).alias("seed"),
    )
