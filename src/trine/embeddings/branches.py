"""A branch for each task: upper layers and a head of its own, trained on from the joint encoder.

A step that sums the gradients of many tasks serves none of them fully, and layers that all tasks
share are nobody's own. So training can have two parts: joint steps, in which tasks learn from each
other, and then `training.branch_steps` in which each task goes on alone from the joint encoder.
What it changes stays its own; the joint encoder with the shared head is still the one model for all
else. The paper has task-specific parts that run beside the shared ones; what they are is not told
in any text that we could read. These are ours; what they bring is in docs/embeddings/results.md.

A branch is a small file: the tensors of the encoder that it changed (those of layers that are not
frozen), and its head. `branch_model` puts it on the joint model, which makes a plain
sentence-transformers model again.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trine.core.artifacts import read_arrays, read_json, write_arrays
from trine.core.errors import DataError, UsageError
from trine.core.progress import Progress, SilentProgress
from trine.core.seeding import Seeds
from trine.embeddings.config import Recipe
from trine.embeddings.tasks import ScoreRow, Task

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = [
    "BRANCHES",
    "branch_model",
    "evaluate_branches",
    "fit_branches",
    "single_recipe",
    "task_model",
    "write_task_model",
]

_LOG = logging.getLogger(__name__)

BRANCHES = "branches"

_ENCODER = "encoder."


def single_recipe(recipe: Recipe, task: str, updates: int, branch_steps: int = 0) -> Recipe:
    """The recipe of a model that learns one task alone, with so many updates on it.

    Every other task keeps its rows for scoring and is not trained on. Unlabelled text stays: it
    teaches no task, and what it keeps of the base must not count as transfer.

    Args:
      recipe: of all tasks.
      task: the name of the one.
      updates: steps of the encoder that others would share.
      branch_steps: of the branch that follows.
    """
    tasks = tuple(
        each
        if each.name == task or each.kind == "unlabelled"
        else each.model_copy(update={"role": "zero_shot"})
        for each in recipe.tasks
    )
    training = recipe.training.model_copy(
        update={"steps": updates, "tasks_per_step": 0, "branch_steps": branch_steps}
    )
    return recipe.model_copy(update={"tasks": tasks, "training": training})


def fit_branches(
    model: SentenceTransformer,
    tasks: Sequence[Task],
    recipe: Recipe,
    *,
    folder: Path,
    checkpoints: Path,
    seeds: Seeds,
    progress: Progress | None = None,
    say: Callable[[str], None] = _LOG.info,
) -> list[Path]:
    """Trains a branch for each labelled task; those that are there already are not trained again.

    Args:
      model: the joint one at full width, with its head; not changed.
      tasks: those of the recipe.
      recipe: of the joint training. Losses, rates and batches are the same; distillation keeps the
        joint encoder's similarities, and `training.average` averages with the joint encoder.
      folder: for `TASK.safetensors`, and `TASK.jsonl` with one row a step.
      checkpoints: of branches that are not finished.
      seeds: of batches, dropout and heads.
      progress: where to tell how far it is.
      say: one line of talk.

    Returns:
      The files.
    """
    names = [task.name for task in recipe.trained if task.kind != "unlabelled"]
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.safetensors" for name in names]
    shown = progress or SilentProgress()
    with shown.task("branches", len(names)) as done:
        for name, path in zip(names, paths, strict=True):
            if not path.is_file():
                own = single_recipe(recipe, name, recipe.training.branch_steps)
                write_arrays(path, _branch(model, tasks, own, name, path, checkpoints, seeds, say))
            done.advance(note=name)
    return paths


def _branch(
    model: SentenceTransformer,
    tasks: Sequence[Task],
    recipe: Recipe,
    name: str,
    path: Path,
    checkpoints: Path,
    seeds: Seeds,
    say: Callable[[str], None],
) -> dict[str, np.ndarray]:
    from trine.embeddings.building import prepare
    from trine.embeddings.inference import first_module
    from trine.embeddings.losses.registry import trained_widths
    from trine.embeddings.task_heads import fit_task_heads
    from trine.embeddings.training import fit

    own = [Task(recipe.task(task.name), task.frame) for task in tasks]
    seeds = seeds.child("branch")
    encoder = _without_head(model)
    before = {n: w.detach().clone() for n, w in first_module(model).auto_model.state_dict().items()}
    encoder = prepare(encoder, recipe, own, seeds)
    directory = checkpoints / f"branch-{name}"
    trained = fit(
        encoder, own, recipe, directory=directory, seeds=seeds,
        metrics=path.with_suffix(".jsonl"), say=say,
    ).model  # fmt: skip
    widths = trained_widths(
        recipe.training, recipe.dimension, trained.get_embedding_dimension() or 0
    )
    weight, bias = fit_task_heads(trained, own, recipe.head, seeds.child("head"), widths)[name]
    after = first_module(trained).auto_model.state_dict()
    changed = {
        f"{_ENCODER}{n}": value.detach().cpu().numpy()
        for n, value in after.items()
        if not value.equal(before[n])
    }
    return {**changed, "head.weight": weight, "head.bias": bias}


def branch_model(model: SentenceTransformer, path: Path) -> SentenceTransformer:
    """A copy of the joint model, at full width, with a branch in place of what it replaces.

    Args:
      model: the joint one at full width.
      path: of the branch.

    Raises:
      DataError: a file that cannot be read or belongs to another model.
    """
    import torch

    from trine.embeddings.encoder import head_of
    from trine.embeddings.inference import first_module

    try:
        arrays = read_arrays(path)
    except DataError as error:
        raise DataError(
            f"no branch: {error}", hint="train with training.branch_steps above 0"
        ) from error
    own = copy.deepcopy(model)
    head = head_of(own)
    if head is None:
        raise UsageError("a model without a head", accepted="the model at full width of a training")
    weights = dict(first_module(own).auto_model.state_dict())
    places = {
        **{f"{_ENCODER}{name}": value for name, value in weights.items()},
        "head.weight": head.linear.weight,
        "head.bias": head.linear.bias,
    }
    for name, value in arrays.items():
        if name not in places or tuple(places[name].shape) != value.shape:
            raise DataError(f"{path} belongs to another model: {name}", hint="train again")
    with torch.no_grad():
        for name, value in arrays.items():
            places[name].copy_(torch.from_numpy(value))
    return own


def task_model(run: Path, task: str) -> SentenceTransformer:
    """The model of one task of a finished training, at full width: its branch, or its own head.

    Args:
      run: directory of the run.
      task: its name in the recipe.

    Raises:
      UsageError: a run whose tasks have nothing of their own, or another task.
      DataError: a directory without a finished training, or a file that cannot be read.
    """
    import torch

    from trine.embeddings.encoder import head_of, load_model
    from trine.embeddings.task_heads import HEADS, load_task_heads

    if not (run / "model-full").is_dir():
        raise DataError(
            f"{run} holds no trained model", accepted="the run directory of a finished training"
        )
    branches = {path.stem: path for path in sorted((run / BRANCHES).glob("*.safetensors"))}
    heads = load_task_heads(run / HEADS) if not branches and (run / HEADS).is_file() else {}
    if not branches and not heads:
        raise UsageError(
            f"the tasks of {run} have no part of their own",
            hint="train with head.per_task = true, and training.branch_steps above 0 for branches",
        )
    if task not in branches and task not in heads:
        raise UsageError.unknown("task", task, sorted({*branches, *heads}))
    full = load_model(run / "model-full")
    if task in branches:
        return branch_model(full, branches[task])
    weight, bias = heads[task]
    linear = head_of(full).linear
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(weight))
        linear.bias.copy_(torch.from_numpy(bias))
    return full


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
    from trine.embeddings.config import load_recipe
    from trine.embeddings.encoder import cut
    from trine.embeddings.saving import save_model

    model = task_model(run, task)
    recipe, _ = load_recipe(run / "config.toml")
    size = width or recipe.dimension
    title = f"{recipe.title or 'model'}, task {task}"
    licence = source = ""
    with suppress(UsageError, DataError):  # a base that has gone since is only missed in the card
        base = resolve_base(recipe.model.base)
        licence, source = base.licence, base.source
    save_model(
        cut(model, size), out, recipe.model_copy(update={"title": title}),
        scores=_stored_scores(run, task, size), base_licence=licence, base_source=source,
    )  # fmt: skip
    return size


def _stored_scores(run: Path, task: str, width: int) -> list[ScoreRow]:
    """What the task's own part scored when training ended."""
    path = run / "result.json"
    rows = read_json(path).get("own_scores", []) if path.is_file() else []
    scores = [ScoreRow(**row) for row in rows]
    return [row for row in scores if row.task == task and row.width == width]


def evaluate_branches(
    model: SentenceTransformer,
    folder: Path,
    tasks: Sequence[Task],
    *,
    model_name: str = "model",
    widths: Sequence[int] | None = None,
    max_rows: int | None = None,
    draws: int = 10,
) -> list[ScoreRow]:
    """Scores of every task that has a branch, with that branch.

    See `trine.embeddings.evaluation.suite.evaluate_model` for the arguments.

    Raises:
      DataError: a branch that cannot be read.
    """
    from trine.embeddings.evaluation.suite import evaluate_model

    rows: list[ScoreRow] = []
    for task in tasks:
        path = folder / f"{task.name}.safetensors"
        if path.is_file():
            rows += evaluate_model(
                branch_model(model, path), [task], model_name=model_name,
                widths=None if widths is None else list(widths), max_rows=max_rows, draws=draws,
            )  # fmt: skip
    return rows


def _without_head(model: SentenceTransformer) -> SentenceTransformer:
    from trine.embeddings.encoder import head_of
    from trine.embeddings.frozen_layers import forget_frozen_layers

    modules = list(model)
    head = head_of(model)
    if head is None:
        raise UsageError("a model without a head", accepted="the model at full width of a training")
    place = next(i for i, module in enumerate(modules) if module is head)
    bare = copy.deepcopy(model)
    forget_frozen_layers(bare)
    for name in list(bare._modules)[place:]:
        del bare._modules[name]
    return bare
