"""How long each task stays in the joint training: its own part, chosen by its validation rows.

With `training.leave_after` there are several candidates for a task: the joint encoder of the whole
training with a head of the task's own (it stays), and a branch for each step after which it may
leave (`trine.embeddings.branches`). All had as many updates on the task. The one with the best main
measure on the task's validation rows, at the recipe's dimension, is the task's own part; of equals
the one that stays longer. Test rows are not looked at.

Training to share, and how much, is an old question (Standley et al. 2020, "Which Tasks Should Be
Learned Together in Multi-task Learning?"); an answer for each task after one training is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trine.core.artifacts import read_json, write_json
from trine.core.errors import DataError, UsageError
from trine.embeddings.branches import BRANCHES, branch_file, branch_model, learned_tasks
from trine.embeddings.config import Recipe
from trine.embeddings.tasks import ScoreRow, Task

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = [
    "Candidate",
    "Choice",
    "check_validation",
    "choose_parts",
    "evaluate_parts",
    "load_choices",
    "own_part",
]

CHOICES = "choices.json"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way for a task.

    Attributes:
      left_after: joint steps after which it went on alone; None: it stayed to the end.
      score: the main measure on the task's validation rows, 0 to 100.
    """

    left_after: int | None
    score: float


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
            f"{each.score:.1f}"
            for each in self.candidates
        )
        return f"{best} (validation {self.metric}: {scores})"


def check_validation(recipe: Recipe, tasks: Sequence[Task]) -> None:
    """Whether every task has rows to choose by.

    Raises:
      DataError: a task without validation rows in a recipe with `training.leave_after`.
    """
    if not recipe.training.leave_after:
        return
    names = learned_tasks(recipe)
    bare = [t.name for t in tasks if t.name in names and not t.rows("validation").height]
    if bare:
        raise DataError(
            f"task {bare[0]!r} has no validation rows to choose by (training.leave_after)",
            hint="give it validation_rows, or rows of that split",
        )


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
    names = learned_tasks(recipe)
    choices = [
        _choose(model, run, recipe, task) for task in tasks if task.name in names
    ]  # fmt: skip
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


def _choose(model: SentenceTransformer, run: Path, recipe: Recipe, task: Task) -> Choice:
    ways: list[int | None] = [None, *sorted(recipe.training.leave_after, reverse=True)]
    metric, candidates = "", list[Candidate]()
    for way in ways:
        row = _validation_row(_part(model, run, task.name, way), task, recipe.dimension)
        metric = row.metric
        candidates.append(Candidate(way, row.score))
    best = max(candidates, key=lambda candidate: candidate.score)  # of equals the first
    return Choice(task.name, metric, tuple(candidates), best.left_after)


def _validation_row(model: SentenceTransformer, task: Task, width: int) -> ScoreRow:
    import polars as pl

    from trine.embeddings.evaluation.suite import evaluate_model
    from trine.embeddings.transfer_analysis import main_rows

    rows = evaluate_model(model, [task], widths=[width], split="validation")
    if not rows:
        raise DataError(
            f"task {task.name!r}: its validation rows cannot be scored",
            hint="give it more of them, or another measure",
        )
    frame = pl.DataFrame([asdict(row) for row in rows], infer_schema_length=None)
    return ScoreRow(**main_rows(frame).row(0, named=True))


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
        way = next(c.left_after for c in load_choices(run) if c.task == task)
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
    from trine.embeddings.evaluation.suite import evaluate_model

    rows: list[ScoreRow] = []
    names = learned_tasks(recipe)
    for task in tasks:
        if task.name in names:
            rows += evaluate_model(
                own_part(model, run, recipe, task.name), [task], model_name=model_name,
                widths=None if widths is None else list(widths), max_rows=max_rows, draws=draws,
            )  # fmt: skip
    return rows
