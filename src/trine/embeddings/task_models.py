"""The model of one task of a training: the joint one with that task's branch, or its own head.

A plain sentence-transformers model with a card of its own (see `trine.embeddings.choices`).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from trine.core.artifacts import read_json
from trine.core.errors import DataError, UsageError
from trine.core.records import read_metrics
from trine.core.runs import load_run
from trine.embeddings.branches import BRANCHES, branch_file, learned_tasks, single_recipe
from trine.embeddings.choices import chosen_way, own_part
from trine.embeddings.config import Recipe, load_recipe
from trine.embeddings.tasks import ScoreRow

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["task_model", "write_task_model"]


def task_model(run: Path, task: str) -> SentenceTransformer:
    """The model of one task of a finished training, at full width: its branch, or its own head.

    Args:
      run: directory of the run.
      task: its name in the recipe.

    Raises:
      UsageError: a run whose tasks have nothing of their own, or another task.
      DataError: a directory without a finished training, or a file that cannot be read.
    """
    from trine.embeddings.encoder import load_model

    recipe = _finished(run)
    if not recipe.head.per_task:
        raise UsageError(
            f"the tasks of {run} have no part of their own",
            hint="train with head.per_task = true, and training.leave_after for branches",
        )
    if task not in learned_tasks(recipe):
        raise UsageError.unknown("task", task, learned_tasks(recipe))
    return own_part(load_model(run / "model-full"), run, recipe, task)


def _finished(run: Path) -> Recipe:
    """The recipe of a training that is finished."""
    found = load_run(run)
    if found.info.system != "embeddings" or found.info.verb != "train":
        raise DataError(f"{run} is no training", accepted="the run directory of a training")
    if not found.is_finished:
        raise DataError(
            f"the training in {run} is not finished", hint="run its command again to go on with it"
        )
    return load_recipe(run / "config.toml")[0]


def write_task_model(run: Path, task: str, out: Path, width: int | None = None) -> int:
    """Writes `task_model` as a plain sentence-transformers folder; returns the width.

    Args:
      run: directory of the run.
      task: its name in the recipe.
      out: the folder to write, whole or not at all.
      width: of the vectors; None: the recipe's dimension.

    Raises:
      UsageError, DataError: see `task_model`; a width that the model does not have; a folder that
        holds something else.
    """
    from trine.embeddings.bases import resolve_base
    from trine.embeddings.encoder import cut
    from trine.embeddings.saving import save_model

    if run.resolve() in out.resolve().parents or run.resolve() == out.resolve():
        raise UsageError(f"--out {out} is inside the run", accepted="a folder elsewhere")
    model = task_model(run, task)
    recipe = _finished(run)
    size = width or recipe.dimension
    part = f"after the training a head computed from the texts of {task}"
    if recipe.training.leave_after:
        after = chosen_way(run, task)
        if after == 0:
            # What made it is the recipe of a single-task model.
            record = branch_file(run / BRANCHES, task, 0).with_suffix(".jsonl")
            updates = read_metrics(record).filter(pl.col("task") == task).height
            recipe = single_recipe(recipe, task, updates)
            part = "the joint training of its run had no part in it"
        elif after is not None:
            part = (
                f"this model left the joint training after step {after} and learned {task} alone "
                "with the updates that were left, from the encoder of then (which takes the base's "
                "place in them)"
            )
    title = f"{recipe.title or 'model'}, task {task}"
    licence = source = ""
    with suppress(UsageError, DataError):  # a base that has gone since is only missed in the card
        base = resolve_base(recipe.model.base)
        licence, source = base.licence, base.source
    save_model(
        cut(model, size), out, recipe.model_copy(update={"title": title}),
        scores=_stored_scores(run, task, size), base_licence=licence, base_source=source,
        part=part,
    )  # fmt: skip
    return size


def _stored_scores(run: Path, task: str, width: int) -> list[ScoreRow]:
    """What the task's own part scored when training ended."""
    path = run / "result.json"
    rows = read_json(path).get("own_scores", []) if path.is_file() else []
    scores = [ScoreRow(**row) for row in rows]
    return [row for row in scores if row.task == task and row.width == width]
