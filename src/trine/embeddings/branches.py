"""Branches: upper layers and a head of a task's own, trained on alone after some joint steps.

A step that sums the gradients of many tasks serves none of them fully, and layers that all tasks
share are nobody's own. So a task may leave the joint training after some of its steps
(`training.leave_after`) and go on alone, with as many updates as the joint training would still
have had on it. After 0 steps it learns alone from the first, as a single-task model does. What a
branch changes stays its own; the joint training goes on to its end, and its encoder with the shared
head is the one model for all else. Whether a task is better off with one of its branches or with
the joint encoder is decided in `trine.embeddings.choices`.

The paper has task-specific parts that run beside the shared ones; what they are is not told in any
text that we could read. These are ours; what they bring is in docs/embeddings/results.md.

A branch is a file with the tensors of the encoder that it changed (those of layers that are not
frozen: freeze some, and it is small), and its head. `branch_model` puts it on the joint model,
which makes a plain sentence-transformers model again. All branches stay in the run directory.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trine.core.artifacts import read_arrays, write_arrays
from trine.core.errors import DataError, UsageError
from trine.core.progress import Progress, SilentProgress
from trine.core.seeding import Seeds
from trine.embeddings.config import Recipe
from trine.embeddings.tasks import Task

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = [
    "BRANCHES",
    "branch_file",
    "branch_model",
    "fit_branches",
    "joint_states",
    "learned_tasks",
    "single_recipe",
    "task_updates",
    "ways_to_leave",
]

_LOG = logging.getLogger(__name__)

BRANCHES = "branches"

_ENCODER = "encoder."
_JOINT = "joint.digest"


def single_recipe(recipe: Recipe, task: str, updates: int) -> Recipe:
    """The recipe of a model that learns one task alone, with so many updates on it.

    Every other task keeps its rows for scoring and is not trained on. Unlabelled text stays: it
    teaches no task, and what it keeps of the base must not count as transfer.

    Args:
      recipe: of all tasks.
      task: the name of the one.
      updates: steps.
    """
    tasks = tuple(
        each
        if each.name == task or each.kind == "unlabelled"
        else each.model_copy(update={"role": "zero_shot"})
        for each in recipe.tasks
    )
    training = recipe.training.model_copy(
        update={"steps": updates, "tasks_per_step": 0, "leave_after": ()}
    )
    return recipe.model_copy(update={"tasks": tasks, "training": training})


def task_updates(recipe: Recipe, tasks: Sequence[Task], after: int = 0) -> dict[str, int]:
    """Batches that each trained task has in the joint training after so many of its steps.

    Known before training, since the tasks of a step are drawn from a named generator.
    """
    from trine.embeddings.batches import drawn_tasks, task_rates
    from trine.embeddings.training_rows import training_rows

    trained = [task for task in tasks if task.config.role == "train"]
    training = recipe.training
    rates = task_rates([len(training_rows(task)) for task in trained], training.alpha)
    drawn = drawn_tasks(
        rates,
        training.tasks_per_step or len(trained),
        training.steps,
        Seeds(recipe.seed).child("batches"),
        in_rounds=training.in_rounds,
    )
    counts = Counter(number for step in islice(drawn, after, None) for number in step)
    return {task.name: counts[i] for i, task in enumerate(trained)}


def learned_tasks(recipe: Recipe) -> list[str]:
    """Names of the tasks that get a part of their own."""
    return [task.name for task in recipe.trained if task.kind != "unlabelled"]


def joint_states(recipe: Recipe, folder: Path) -> dict[int, Path]:
    """By joint steps the file with what they changed of the encoder; what `fit` has to keep."""
    steps = sorted(step for step in recipe.training.leave_after if step)
    return {step: folder / f"after-{step}" / "joint" / "encoder.safetensors" for step in steps}


def branch_file(folder: Path, task: str, after: int) -> Path:
    """Where the branch of a task that leaves after so many joint steps is."""
    return folder / f"after-{after}" / f"{task}.safetensors"


def ways_to_leave(recipe: Recipe, tasks: Sequence[Task]) -> dict[str, list[int]]:
    """By labelled task the steps of `training.leave_after` that leave it an update, rising.

    Where a step holds only some of the tasks, none of the last ones may be this task's.
    """
    left = {
        after: task_updates(recipe, tasks, after) for after in sorted(recipe.training.leave_after)
    }
    return {
        name: [after for after, updates in left.items() if updates[name]]
        for name in learned_tasks(recipe)
    }


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
) -> None:
    """Trains every branch of each labelled task; those that are there already are kept.

    Losses, rates and batches are those of the joint training, with a schedule of its own for each
    branch. Distillation keeps the similarities of the encoder that a branch starts from, and
    `training.average` averages with it.

    Args:
      model: the joint one at the end of its training, at full width, with its head; not changed.
      tasks: those of the recipe.
      recipe: of the joint training.
      folder: has the files of `joint_states`; for the branches (`branch_file`), and beside each a
        `.jsonl` with one row a step.
      checkpoints: of branches that are not finished.
      seeds: of the training. A branch after 0 steps draws as a single-task training of these does.
      progress: where to tell how far it is.
      say: one line of talk.

    Raises:
      DataError: a state of the joint training that is missing.
    """
    ways = ways_to_leave(recipe, tasks)
    places = [(after, name) for after in sorted(recipe.training.leave_after)
              for name, own in ways.items() if after in own]  # fmt: skip
    if not places:
        return
    with (progress or SilentProgress()).task("branches", len(places)) as done:
        for after, name in places:
            path = branch_file(folder, name, after)
            directory = checkpoints / f"branch-{after}-{name}"
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                own = single_recipe(recipe, name, task_updates(recipe, tasks, after)[name])
                say(f"branch of {name} after {after:,}, {own.training.steps:,} steps")
                encoder = _encoder_after(after, model, tasks, recipe, folder)
                mine = [Task(own.task(task.name), task.frame) for task in tasks]
                arrays = _branch(
                    encoder, model, mine, own, name, path, directory,
                    seeds.child("branch", str(after)) if after else seeds, progress, say,
                )  # fmt: skip
                write_arrays(path, arrays)
            shutil.rmtree(directory, ignore_errors=True)
            done.advance(note=f"{name} after {after}")


def _encoder_after(
    after: int, model: SentenceTransformer, tasks: Sequence[Task], recipe: Recipe, folder: Path
) -> SentenceTransformer:
    """The encoder after so many joint steps, without a head."""
    import torch

    from trine.embeddings.building import bare_encoder
    from trine.embeddings.inference import first_module

    encoder, _ = bare_encoder(recipe, tasks, device=model.device.type)
    if after:
        state = first_module(encoder).auto_model.state_dict()
        with torch.no_grad():
            for name, value in read_arrays(joint_states(recipe, folder)[after]).items():
                state[name].copy_(torch.from_numpy(value))
    return encoder


def _branch(
    encoder: SentenceTransformer,
    joint: SentenceTransformer,
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

    trained = fit(
        prepare(encoder, recipe, tasks, seeds), tasks, recipe, directory=directory, seeds=seeds,
        metrics=path.with_suffix(".jsonl"), progress=progress, say=say,
    ).model  # fmt: skip
    widths = trained_widths(
        recipe.training, recipe.dimension, trained.get_embedding_dimension() or 0
    )
    weight, bias = fit_task_heads(trained, tasks, recipe.head, seeds.child("head"), widths)[name]
    before = first_module(joint).auto_model.state_dict()
    changed: dict[str, np.ndarray] = {}
    for key, value in first_module(trained).auto_model.state_dict().items():
        after = value.detach().cpu()
        if not after.equal(before[key].detach().cpu()):
            changed[f"{_ENCODER}{key}"] = after.numpy()
    return {**changed, "head.weight": weight, "head.bias": bias, _JOINT: _digest(joint)}


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
            f"no branch: {error}", hint="run the training again, or train with training.leave_after"
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
