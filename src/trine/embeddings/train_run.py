"""`trine embeddings train`: from a recipe to a model in a run directory, resumable after a kill.

A run leaves, beside what every run leaves (`trine.core.runs`):

    model/                 the model at the recipe's dimension, opens in sentence-transformers
    model-full/            the same with all rows of the head
    result.json            what `--json` prints
    metrics.jsonl          one row a step and task
    tables/scores.csv      the evaluation
    checkpoints/           the newest state of the training
    task-heads.safetensors heads of the tasks' own, if the recipe has `head.per_task`
    branches/              what tasks learned that left the others, with `training.leave_after`
    choices.json           which task is better off with which of them, by its validation rows

The name of the directory holds a digest of the rows too: other data of the same recipe is another
run.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trine.core.artifacts import read_json, write_json
from trine.core.errors import ConfigError, UsageError
from trine.core.progress import Progress
from trine.core.runs import Run, open_run
from trine.embeddings.batches import check_batch_size, task_rates
from trine.embeddings.branches import BRANCHES, fit_branches, joint_states
from trine.embeddings.config import Recipe
from trine.embeddings.loading import TaskFacts, load_tasks
from trine.embeddings.losses import loss_name
from trine.embeddings.losses.registry import check_loss, trained_widths
from trine.embeddings.refit import refit_head
from trine.embeddings.tasks import ScoreRow, Task
from trine.embeddings.training import expected_updates, fit
from trine.embeddings.training_rows import TrainingRows, training_rows

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from trine.embeddings.choices import Choice

__all__ = ["TrainResult", "check_recipe", "data_digest", "plan", "train"]

_LOG = logging.getLogger(__name__)

RESULT = "result.json"


@dataclass(frozen=True)
class TrainResult:
    """A finished training.

    Attributes:
      run: its directory.
      model: folder of the model at the recipe's dimension.
      full: folder of the model at full width.
      scores: of both widths.
      own_scores: of the tasks that have a head or a branch of their own, with it.
      choices: how long each task stays with the others, with `training.leave_after`.
      document: what `--json` prints.
    """

    run: Run
    model: Path
    full: Path
    scores: list[ScoreRow]
    own_scores: list[ScoreRow]
    choices: list[Choice]
    document: dict[str, Any]


def train(
    recipe: Recipe,
    base: Path,
    *,
    root: Path | None = None,
    directory: Path | None = None,
    evaluate: bool = True,
    progress: Progress | None = None,
    say: Callable[[str], None] = _LOG.info,
) -> TrainResult:
    """Trains, goes on with, or recognises the run of a recipe.

    Args:
      recipe: what is done.
      base: directory that relative sources start from.
      root: where runs live.
      directory: this very run directory.
      evaluate: whether the model is scored on every task at the end.
      progress: where to tell how far it is.
      say: one line of talk.

    Raises:
      ConfigError, DataError, UsageError: in a recipe, a table or a base.
    """
    tasks, facts = load_tasks(recipe, base)
    if directory is None or not (directory / "run.json").is_file():
        check_recipe(recipe, tasks)  # before a directory bears the name of a recipe that is none
    remarks = [each.remarks for each in facts if each.remarks]
    for line in remarks:
        say(line)
    digest = data_digest(tasks)
    title = recipe.title or f"{Path(recipe.model.base).name}-{recipe.dimension}"
    run = open_run(
        recipe,
        system="embeddings",
        verb="train",
        name=f"{title}-{digest}",
        seed=recipe.seed,
        root=root,
        directory=directory,
    )
    _same_data(run.directory / "data.json", digest, facts)
    if run.is_finished:
        say(f"already trained: {run.directory}")
        return _stored(run)
    with run:
        full, trained = _trained(run, recipe, tasks, progress, say)
        choices = _choices(run, recipe, tasks, full, progress, say)
        scores: list[ScoreRow] = []
        own: list[ScoreRow] = []
        if evaluate:
            scores = _scores(run, recipe, tasks, full, progress)
            own = _own_scores(run, recipe, tasks, full)
        document = {
            "run_dir": str(run.directory),
            "model": str(run.directory / "model"),
            "dimension": recipe.dimension,
            "width": full.get_embedding_dimension(),
            **trained,
            "scores": [asdict(row) for row in scores],
            "own_scores": [asdict(row) for row in own],
            "choices": [asdict(choice) for choice in choices],
        }
        _report(run, recipe, scores, own, choices, trained, remarks)
        write_json(run.directory / RESULT, document)
    return _stored(run)


def _trained(
    run: Run,
    recipe: Recipe,
    tasks: Sequence[Task],
    progress: Progress | None,
    say: Callable[[str], None],
) -> tuple[SentenceTransformer, dict[str, Any]]:
    """The model at full width and what training it was like; read if it is there already."""
    from trine.embeddings.building import build_encoder
    from trine.embeddings.encoder import best_device, cut, load_model
    from trine.embeddings.saving import save_model
    from trine.embeddings.task_heads import HEADS, fit_task_heads, save_task_heads

    summary = run.directory / "training.json"
    if (run.directory / "model" / "modules.json").is_file() and summary.is_file():
        return load_model(run.directory / "model-full"), read_json(summary)
    say(f"training in {run.directory}")
    model, base = build_encoder(recipe, tasks, run.seeds, device=best_device())
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    say(
        f"base {base.name}: {_millions(sum(p.numel() for p in model.parameters()))} parameters, "
        f"{_millions(trainable)} of them trained"
    )
    result = fit(
        model,
        tasks,
        recipe,
        directory=run.checkpoints,
        seeds=run.seeds,
        metrics=run.metrics_path,
        keep=joint_states(recipe, run.directory / BRANCHES),
        progress=progress,
        say=say,
    )
    model = result.model
    if recipe.head.refit:
        width = model.get_embedding_dimension() or 0
        widths = trained_widths(recipe.training, recipe.dimension, width)
        refit_head(model, tasks, recipe.head, run.seeds.child("head"), widths)
        if recipe.head.per_task:
            heads = fit_task_heads(model, tasks, recipe.head, run.seeds.child("head"), widths)
            save_task_heads(heads, run.directory / HEADS)
    facts = {
        "steps": result.steps,
        "seconds": result.seconds,
        "tokens_per_second": result.tokens / result.seconds if result.seconds else None,
        "losses": result.losses,
        "updates": result.updates,
    }
    write_json(summary, facts)
    for folder, saved in (("model-full", model), ("model", cut(model, recipe.dimension))):
        save_model(
            saved,
            run.directory / folder,
            recipe,
            base_licence=base.licence,
            base_source=base.source,
        )
    return model, facts


def _choices(
    run: Run,
    recipe: Recipe,
    tasks: Sequence[Task],
    full: SentenceTransformer,
    progress: Progress | None,
    say: Callable[[str], None],
) -> list[Choice]:
    from trine.embeddings.choices import choose_parts

    if not recipe.training.leave_after:
        return []
    fit_branches(
        full, tasks, recipe, folder=run.directory / BRANCHES, checkpoints=run.checkpoints,
        seeds=run.seeds, progress=progress, say=say,
    )  # fmt: skip
    choices = choose_parts(full, run.directory, recipe, tasks)
    for choice in choices:
        say(f"{choice.task}: {choice.told}")
    return choices


def _scores(
    run: Run,
    recipe: Recipe,
    tasks: Sequence[Task],
    full: SentenceTransformer,
    progress: Progress | None,
) -> list[ScoreRow]:
    from trine.embeddings.bases import resolve_base
    from trine.embeddings.evaluation.suite import evaluate_model
    from trine.embeddings.saving import save_scores

    width = full.get_embedding_dimension() or recipe.dimension
    scores = evaluate_model(
        full,
        tasks,
        model_name=run.directory.name,
        widths=sorted({recipe.dimension, width}),
        # Not the recipe's seed: rows and triplets are those of `evaluate`, for every model.
        progress=progress,
    )
    base = resolve_base(recipe.model.base)
    own = [row for row in scores if row.width == recipe.dimension]
    for folder, rows in (("model", own), ("model-full", scores)):
        save_scores(
            run.directory / folder,
            recipe,
            rows,
            base_licence=base.licence,
            base_source=base.source,
        )
    return scores


def _own_scores(
    run: Run, recipe: Recipe, tasks: Sequence[Task], full: SentenceTransformer
) -> list[ScoreRow]:
    from trine.embeddings.choices import evaluate_parts
    from trine.embeddings.task_heads import HEADS, evaluate_heads, load_task_heads

    if not recipe.head.per_task:
        return []
    widths = sorted({recipe.dimension, full.get_embedding_dimension() or recipe.dimension})
    name = run.directory.name
    if recipe.training.leave_after:
        return evaluate_parts(
            full, run.directory, recipe, tasks, model_name=name, widths=widths
        )  # fmt: skip
    heads = load_task_heads(run.directory / HEADS)
    learned = [task for task in tasks if task.name in heads]
    return evaluate_heads(full, heads, learned, model_name=name, widths=widths)[1]


def _report(
    run: Run,
    recipe: Recipe,
    scores: Sequence[ScoreRow],
    own: Sequence[ScoreRow],
    choices: Sequence[Choice],
    trained: dict[str, Any],
    remarks: Sequence[str],
) -> None:
    from trine.embeddings.train_report import write_train_report

    write_train_report(run, recipe, scores, trained, own, choices, remarks)


def _stored(run: Run) -> TrainResult:
    from trine.embeddings.choices import load_choices

    document = read_json(run.directory / RESULT)
    scores = [ScoreRow(**row) for row in document["scores"]]
    own = [ScoreRow(**row) for row in document.get("own_scores", [])]
    place = run.directory
    choices = load_choices(place) if document.get("choices") else []
    return TrainResult(run, place / "model", place / "model-full", scores, own, choices, document)


def check_recipe(recipe: Recipe, tasks: Sequence[Task]) -> None:
    """What can be told of a recipe before its base is read.

    Raises:
      UsageError, DataError: no task to train on; a loss that does not fit a task, or a batch too
        small for it; a base that is none; more numbers or layers than it has; branches and no
        validation rows to choose by.
    """
    from trine.embeddings.bases import BASES, base_size, resolve_base
    from trine.embeddings.choices import check_validation
    from trine.embeddings.encoder import check_name

    check_validation(recipe, tasks)
    if not recipe.trained:
        raise UsageError("no task to train on", accepted='a task with role = "train"')
    for task in recipe.trained:
        check_loss(loss_name(task, recipe.training), task)
        size = task.batch_size or recipe.training.batch_size
        check_batch_size(task.name, task.kind, size)
    base = resolve_base(recipe.model.base) if recipe.model.base not in BASES else None
    if base is not None and not base.is_local:
        check_name(base.place)
    width, layers = base_size(recipe.model.base)
    limits = (
        ("dimension", recipe.dimension, 2, width),
        ("model.freeze_layers", recipe.model.freeze_layers, 0, layers),
    )
    for name, given, least, most in limits:
        if most is not None and given > most:
            raise UsageError(
                f"{name} {given}", accepted=f"{least} to {most}, what {recipe.model.base} has"
            )


def data_digest(tasks: Sequence[Task]) -> str:
    """Six hexadecimal digits of all rows of all tasks."""
    digest = hashlib.sha256()
    for task in tasks:
        digest.update(task.name.encode())
        for name in sorted(task.frame.columns):
            digest.update(json.dumps([name, task.frame[name].to_list()]).encode())
    return digest.hexdigest()[:6]


def _same_data(path: Path, digest: str, facts: Sequence[TaskFacts]) -> None:
    if path.is_file() and read_json(path)["digest"] != digest:
        raise ConfigError(
            f"{path.parent} was trained on other rows than the recipe's tables hold now",
            hint="choose another directory, or restore the tables",
        )
    if not path.is_file():
        write_json(path, {"digest": digest, "tasks": [asdict(each) for each in facts]})


def plan(recipe: Recipe, base: Path) -> dict[str, Any]:
    """What `--dry-run` shows: the tasks with their rows, batches and about how many updates.

    Raises:
      ConfigError, DataError: as training would.
    """
    tasks, facts = load_tasks(recipe, base)
    check_recipe(recipe, tasks)
    trained = [task for task in tasks if task.config.role == "train"]
    rows = {task.name: training_rows(task) for task in trained}
    sizes = [len(own) for own in rows.values()]
    updates = dict(zip(rows, expected_updates(recipe, sizes), strict=True))
    training = recipe.training
    per_step = min(training.tasks_per_step or len(rows), len(rows))
    # Where every task is in every step, none is drawn.
    drawn = task_rates(sizes, training.alpha) if per_step < len(rows) else [None] * len(rows)
    rates = dict(zip(rows, drawn, strict=True))
    return {
        "base": recipe.model.base,
        "dimension": recipe.dimension,
        "steps": training.steps,
        "tasks_per_step": per_step,
        "leave_after": list(training.leave_after),
        "remarks": [each.remarks for each in facts if each.remarks],
        "tasks": [
            {
                "task": task.name,
                "kind": task.kind,
                "role": task.config.role,
                "rows": dict(fact.splits),
                "languages": len(task.languages),
                "labels": _labels(task, rows[task.name]) if task.name in rows else None,
                "loss": loss_name(task.config, training) if task.name in rows else None,
                "batch_size": task.config.batch_size or training.batch_size,
                "rate": None if (r := rates.get(task.name)) is None else round(float(r), 4),
                "updates": round(updates[task.name]) if task.name in updates else None,
                "dropped": fact.incomplete + fact.repeats + fact.leaks + fact.foreign_leaks,
            }
            for task, fact in zip(tasks, facts, strict=True)
        ],
    }


def _labels(task: Task, rows: TrainingRows) -> int:
    """Distinct labels of the training rows, of several levels all; of pairs their groups."""
    if task.kind == "pairs":
        return task.train["labels"].explode().drop_nulls().n_unique()
    return len(rows.names)


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 100_000 else f"{count:,}"
