"""How long each task stays in the joint training: its own part, chosen by its validation rows.

With `training.leave_after` there are several candidates for a task: the joint encoder of the whole
training with a head of the task's own (it stays), and a branch for each step after which it may
leave (`trine.embeddings.branches`) with an update left. All had as many updates on the task. The
one with the best main measure on the task's validation rows, at the recipe's dimension, is the
task's own part; of equals the one that stays longer. Test rows are not looked at, nor any row of a
language that is held out: what was never trained on must not choose the model either.

Training to share, and how much, is an old question (Standley et al. 2020, "Which Tasks Should Be
Learned Together in Multi-task Learning?"); an answer for each task after one training is ours.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from trine.core.artifacts import read_json, write_json
from trine.core.errors import DataError, UsageError
from trine.embeddings.branches import (
    BRANCHES,
    branch_file,
    branch_model,
    learned_tasks,
    ways_to_leave,
)
from trine.embeddings.config import Recipe
from trine.embeddings.evaluation.suite import evaluate_model, evaluate_vectors
from trine.embeddings.evaluation.vectors import TextVectors
from trine.embeddings.tasks import ScoreRow, Task
from trine.embeddings.transfer_analysis import main_rows

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = [
    "Candidate",
    "Choice",
    "check_validation",
    "choose_parts",
    "chosen_way",
    "evaluate_parts",
    "load_choices",
    "own_part",
]

_LOG = logging.getLogger(__name__)

CHOICES = "choices.json"

_FEW = 30


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way for a task.

    Attributes:
      left_after: joint steps after which it went on alone; None: it stayed to the end.
      score: the main measure on the task's validation rows, 0 to 100.
      se: its standard error, over draws or rows as the measure has it; None: not known.
    """

    left_after: int | None
    score: float
    se: float | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What was decided for a task.

    Attributes:
      task: of the recipe.
      metric: the main measure of the task.
      candidates: those that there were, from the one that stays to the one that leaves first.
      left_after: of the one that was chosen; None: it stays.
    """

    task: str
    metric: str
    candidates: tuple[Candidate, ...]
    left_after: int | None

    @property
    def told(self) -> str:
        """In words, with the scores."""
        best = "stays" if self.left_after is None else f"leaves after {self.left_after:,}"
        scores = ", ".join(
            f"{'stays' if each.left_after is None else f'after {each.left_after:,}'} "
            f"{each.score:.1f}{'' if each.se is None else f' ± {each.se:.1f}'}"
            for each in self.candidates
        )
        return f"{best} (validation {self.metric}: {scores})"


def check_validation(recipe: Recipe, tasks: Sequence[Task]) -> None:
    """Whether every task has rows to choose by, with `training.leave_after`; before any training.

    Raises:
      DataError: a task without validation rows, or with rows that its measures cannot score.
    """
    if not recipe.training.leave_after:
        return
    for task in tasks:
        if task.name not in learned_tasks(recipe):
            continue
        task = _without_held_out(task)
        count = task.rows("validation").height
        if not count:
            raise DataError(
                f"task {task.name!r} has no validation rows to choose by (training.leave_after)",
                hint="give it validation_rows, or rows of that split",
            )
        if count < _FEW:
            _LOG.warning("task %s has %d validation row(s): its choice is chance", task.name, count)
        # With vectors that mean nothing: whether there is a score does not depend on them.
        store = TextVectors(_noise, width=2)
        _main_row(evaluate_vectors(lambda _, s=store: s, [task], split="validation", draws=1), task)


def _noise(texts: list[str]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((len(texts), 2)).astype(np.float32)


def choose_parts(
    model: SentenceTransformer, run: Path, recipe: Recipe, tasks: Sequence[Task]
) -> list[Choice]:
    """Scores the candidates of every task on validation rows and writes what is best for each.

    Args:
      model: the joint one of a training, at full width.
      run: its directory, with heads and branches; gets `choices.json`.
      recipe: of the training.
      tasks: those of the recipe.

    Returns:
      The choices, in the order of the recipe; read if they are there already.

    Raises:
      DataError: a branch or head that is missing; a task that its validation rows cannot score.
    """
    if (run / CHOICES).is_file():
        return load_choices(run)
    ways = ways_to_leave(recipe, tasks)
    choices = [
        _choose(model, run, recipe.dimension, task, ways[task.name])
        for task in tasks
        if task.name in ways
    ]
    write_json(run / CHOICES, [asdict(choice) for choice in choices])
    return choices


def load_choices(run: Path) -> list[Choice]:
    """What `choose_parts` wrote.

    Raises:
      DataError: if it cannot be read.
    """
    try:
        return [
            Choice(
                each["task"],
                each["metric"],
                tuple(Candidate(**candidate) for candidate in each["candidates"]),
                each["left_after"],
            )
            for each in read_json(run / CHOICES)
        ]
    except (KeyError, TypeError) as error:
        raise DataError(f"{run / CHOICES} holds no choices", hint="train again") from error


def chosen_way(run: Path, task: str) -> int | None:
    """Joint steps after which a task left; None: it stayed.

    Raises:
      DataError: no choices in the run, or none for the task.
    """
    for choice in load_choices(run):
        if choice.task == task:
            return choice.left_after
    raise DataError(f"{run / CHOICES} has no choice for {task}", hint="train again")


def _choose(
    model: SentenceTransformer, run: Path, width: int, task: Task, ways: Sequence[int]
) -> Choice:
    metric, candidates = "", list[Candidate]()
    task = _without_held_out(task)
    for way in (None, *sorted(ways, reverse=True)):
        part = _part(model, run, task.name, way)
        row = _main_row(evaluate_model(part, [task], widths=[width], split="validation"), task)
        metric = row.metric
        candidates.append(Candidate(way, row.score, row.se))
    # Of equals the first. A mean of the same draws may differ in its last bit.
    best = max(candidates, key=lambda candidate: round(candidate.score, 6))
    return Choice(task.name, metric, tuple(candidates), best.left_after)


def _without_held_out(task: Task) -> Task:
    held_out = list(task.config.held_out_languages)
    config = task.config.model_copy(update={"held_out_languages": ()})
    return Task(config, task.frame.filter(~pl.col("language").is_in(held_out)))


def _main_row(rows: Sequence[ScoreRow], task: Task) -> ScoreRow:
    frame = pl.DataFrame([asdict(row) for row in rows], infer_schema_length=None)
    main = main_rows(frame) if frame.height else frame
    if not main.height:
        raise DataError(
            f"task {task.name!r}: its validation rows cannot be scored (training.leave_after)",
            hint="give it more of them, or another measure",
        )
    return ScoreRow(**main.row(0, named=True))


def own_part(
    model: SentenceTransformer, run: Path, recipe: Recipe, task: str
) -> SentenceTransformer:
    """A task's own part on the joint encoder, at full width: the chosen branch, or a head.

    Args:
      model: the joint one of a training, at full width; not changed.
      run: its directory.
      recipe: of the training, with `head.per_task`.
      task: one of `learned_tasks`.

    Raises:
      UsageError: another task.
      DataError: a file that is missing, cannot be read or belongs to another model.
    """
    if task not in learned_tasks(recipe):
        raise UsageError.unknown("task", task, learned_tasks(recipe))
    way = None
    if recipe.training.leave_after:
        way = chosen_way(run, task)
    return _part(model, run, task, way)


def _part(
    model: SentenceTransformer, run: Path, task: str, left_after: int | None
) -> SentenceTransformer:
    from trine.embeddings.task_heads import HEADS, head_model, load_task_heads

    if left_after is not None:
        return branch_model(model, branch_file(run / BRANCHES, task, left_after))
    return head_model(model, load_task_heads(run / HEADS)[task])


def evaluate_parts(
    model: SentenceTransformer,
    run: Path,
    recipe: Recipe,
    tasks: Sequence[Task],
    *,
    model_name: str = "model",
    widths: Sequence[int] | None = None,
    max_rows: int | None = None,
    draws: int = 10,
) -> list[ScoreRow]:
    """Scores of every labelled task that was trained on, with its own part.

    See `own_part` for the model and the run, and for what is raised;
    `trine.embeddings.evaluation.suite.evaluate_model` for the other arguments.
    """
    rows: list[ScoreRow] = []
    names = learned_tasks(recipe)
    for task in tasks:
        if task.name in names:
            rows += evaluate_model(
                own_part(model, run, recipe, task.name), [task], model_name=model_name,
                widths=None if widths is None else list(widths), max_rows=max_rows, draws=draws,
            )  # fmt: skip
    return rows
