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
import hashlib
import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trine.core.artifacts import read_arrays, write_arrays
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
    "learned_tasks",
    "single_recipe",
]

_LOG = logging.getLogger(__name__)

BRANCHES = "branches"

_ENCODER = "encoder."
_JOINT = "joint.digest"


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
    names = learned_tasks(recipe)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.safetensors" for name in names]
    with (progress or SilentProgress()).task("branches", len(names)) as done:
        for name, path in zip(names, paths, strict=True):
            directory = checkpoints / f"branch-{name}"
            if not path.is_file():
                say(f"branch of {name}, {recipe.training.branch_steps:,} steps")
                own = single_recipe(recipe, name, recipe.training.branch_steps)
                mine = [Task(own.task(task.name), task.frame) for task in tasks]
                arrays = _branch(model, mine, own, name, path, directory, seeds, progress, say)
                write_arrays(path, arrays)
            shutil.rmtree(directory, ignore_errors=True)
            done.advance(note=name)
    return paths


def learned_tasks(recipe: Recipe) -> list[str]:
    """Names of the tasks that get a part of their own."""
    return [task.name for task in recipe.trained if task.kind != "unlabelled"]


def _branch(
    model: SentenceTransformer,
    tasks: Sequence[Task],
    recipe: Recipe,
    name: str,
    path: Path,
    directory: Path,
    seeds: Seeds,
    progress: Progress | None,
    say: Callable[[str], None],
) -> dict[str, np.ndarray]:
    from trine.embeddings.building import prepare
    from trine.embeddings.inference import first_module
    from trine.embeddings.losses.registry import trained_widths
    from trine.embeddings.task_heads import fit_task_heads
    from trine.embeddings.training import fit

    seeds = seeds.child("branch")
    encoder = prepare(_without_head(model), recipe, tasks, seeds)
    trained = fit(
        encoder, tasks, recipe, directory=directory, seeds=seeds,
        metrics=path.with_suffix(".jsonl"), progress=progress, say=say,
    ).model  # fmt: skip
    widths = trained_widths(
        recipe.training, recipe.dimension, trained.get_embedding_dimension() or 0
    )
    weight, bias = fit_task_heads(trained, tasks, recipe.head, seeds.child("head"), widths)[name]
    before = first_module(model).auto_model.state_dict()
    changed: dict[str, np.ndarray] = {}
    for key, value in first_module(trained).auto_model.state_dict().items():
        after = value.detach().cpu()
        if not after.equal(before[key].detach().cpu()):
            changed[f"{_ENCODER}{key}"] = after.numpy()
    return {**changed, "head.weight": weight, "head.bias": bias, _JOINT: _digest(model)}


def _digest(model: SentenceTransformer) -> np.ndarray:
    """`[32]` bytes that tell the joint encoder from others."""
    from trine.embeddings.inference import first_module

    digest = hashlib.sha256()
    for name, value in sorted(first_module(model).auto_model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().numpy().tobytes())
    return np.frombuffer(digest.digest(), dtype=np.uint8)


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
    digest = arrays.pop(_JOINT, np.empty(0))
    shapes = {name: tuple(value.shape) for name, value in places.items()}
    fits = all(shapes.get(name) == value.shape for name, value in arrays.items())
    if not (fits and "head.weight" in arrays and "head.bias" in arrays):
        raise DataError(f"{path} is no branch of this model", hint="train again")
    if not np.array_equal(digest, _digest(model)):
        raise DataError(
            f"{path} is a branch of another joint model", hint="take that of the same run"
        )
    with torch.no_grad():
        for name, value in arrays.items():
            places[name].copy_(torch.from_numpy(value))
    return own


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
    """Scores of every labelled task that was trained on, with its branch.

    See `trine.embeddings.evaluation.suite.evaluate_model` for the arguments.

    Raises:
      DataError: a branch that is missing, cannot be read or belongs to another model.
    """
    from trine.embeddings.evaluation.suite import evaluate_model

    rows: list[ScoreRow] = []
    for task in tasks:
        if task.config.role == "train" and task.kind != "unlabelled":
            rows += evaluate_model(
                branch_model(model, folder / f"{task.name}.safetensors"), [task],
                model_name=model_name, widths=None if widths is None else list(widths),
                max_rows=max_rows, draws=draws,
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
