"""From a model at its start and tasks to a trained model; resumable, recorded step by step."""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformerTrainingArguments
from transformers import TrainerCallback

from trine.core.artifacts import write_arrays, write_text
from trine.core.errors import UsageError
from trine.core.progress import Progress, SilentProgress
from trine.core.progress import Task as Shown
from trine.core.records import MetricsWriter, read_metrics
from trine.core.seeding import Seeds
from trine.embeddings.adapters import has_adapters, merge_adapters
from trine.embeddings.batches import task_rates
from trine.embeddings.building import finish
from trine.embeddings.config import Recipe, TaskConfig
from trine.embeddings.encoder import average_with, head_of
from trine.embeddings.inference import first_module
from trine.embeddings.interrupts import StopAfterStep
from trine.embeddings.losses import Teacher, loss_name, make_loss
from trine.embeddings.negatives import confusable_labels
from trine.embeddings.tasks import Task
from trine.embeddings.trainer import MarkWhole, Plan, TaskTrainer, drop_broken, last_checkpoint
from trine.embeddings.training_rows import TrainingRows, training_rows

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["FitResult", "expected_updates", "fit", "make_trainer"]

_LOG = logging.getLogger(__name__)

# Names of data sets become names of modules, and a task may be called `train`.
_KEY = "task_"
_HEAD = ".task_head.weight"


@dataclass(frozen=True)
class FitResult:
    """What training did.

    Attributes:
      model: the trained encoder at full width.
      steps: of the optimiser, all attempts together.
      resumed: steps that an earlier attempt had done.
      seconds: of this attempt's steps.
      tokens: of this attempt, without padding.
      losses: by task the mean of the last tenth of its batches.
      updates: by task how many batches it had.
      heads: by task the `[k, d]` weight of its own head on the model's vectors, with
        `model.task_heads`.
    """

    model: SentenceTransformer
    steps: int
    resumed: int
    seconds: float
    tokens: int
    losses: dict[str, float]
    updates: dict[str, int]
    heads: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])


def expected_updates(recipe: Recipe, sizes: Sequence[int]) -> list[float]:
    """About how many batches each trained task gets.

    Args:
      recipe: of the training.
      sizes: training rows of its trained tasks.

    Exact if every task is in every step, to less than one in rounds; else steps * k * rate, at most
    the steps.
    """
    training = recipe.training
    n = len(sizes)
    per_step = min(training.tasks_per_step or n, n)
    if per_step == n:
        return [float(training.steps)] * n
    rates = task_rates(sizes, training.alpha)
    return [min(1.0, per_step * float(rate)) * training.steps for rate in rates]


def fit(
    model: SentenceTransformer,
    tasks: Sequence[Task],
    recipe: Recipe,
    *,
    directory: Path,
    seeds: Seeds,
    metrics: Path | None = None,
    keep: Mapping[int, Path] | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = _LOG.info,
) -> FitResult:
    """Trains, or goes on where the newest whole checkpoint in the directory ends.

    Args:
      model: of `trine.embeddings.building.build_encoder`; trained and finished in place.
      tasks: those with role `train` are trained on.
      recipe: its `training` and `dimension` count.
      directory: of the checkpoints.
      seeds: of batches and dropout.
      metrics: a file for one row a step and task; None: no record.
      keep: by steps a file for the tensors of the transformer that differ after so many from the
        start, adapters merged.
      progress: where to tell how far it is, with the loss of each task.
      say: one line of talk.

    Raises:
      UsageError: a loss that is not finite; sizes that do not fit.
      DataError: a task that cannot be trained on; a broken checkpoint.
      KeyboardInterrupt: see `trine.embeddings.interrupts`.
    """
    before = None
    if recipe.training.average < 1 or keep:
        before = _plain_state(model)
    drop_broken(directory)
    checkpoint = last_checkpoint(directory)
    resumed = 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])
    if metrics is not None:
        _keep_until(metrics, resumed)
    record = _Record(metrics, resumed, frozenset(t.name for t in tasks if t.kind == "unlabelled"))
    stop = StopAfterStep(say)
    callbacks: list[TrainerCallback] = [record, stop, MarkWhole()]
    if keep and before is not None:
        callbacks.append(_Keep(model, before, keep))
    trainer = make_trainer(
        model, tasks, recipe, directory=directory, seeds=seeds, callbacks=callbacks
    )
    record.trainer = trainer
    steps = recipe.training.steps
    if checkpoint is not None:
        say(f"going on at step {resumed:,} of {steps:,}")
    with (progress or SilentProgress()).task("training", steps) as shown:
        record.shown = shown
        if resumed:
            shown.advance(resumed)
        try:
            with stop:
                trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        finally:
            record.close()
    finish(model)
    if before is not None and recipe.training.average < 1:
        average_with(model, before, recipe.training.average)
    return FitResult(
        model,
        steps=steps,
        resumed=resumed,
        seconds=record.seconds,
        tokens=record.tokens,
        losses={name: _tail_mean(values) for name, values in record.losses.items()},
        updates={name: len(values) for name, values in record.losses.items()},
        heads={
            name.removeprefix(_KEY).removesuffix(_HEAD): weight.detach().cpu().numpy()
            for name, weight in trainer.trained_weights().items()
            if name.endswith(_HEAD)
        },
    )


def make_trainer(
    model: SentenceTransformer,
    tasks: Sequence[Task],
    recipe: Recipe,
    *,
    directory: Path,
    seeds: Seeds,
    callbacks: list[TrainerCallback] | None = None,
) -> TaskTrainer:
    """The trainer of a recipe, ready to train; see `fit` for the arguments."""
    trained = [task for task in tasks if task.config.role == "train"]
    if not trained:
        raise UsageError("no task to train on", accepted='a task with role = "train"')
    training = recipe.training
    rows = [training_rows(task) for task in trained]
    kept = any(training.distillation_of(task.config) > 0 for task in trained)
    teacher = Teacher(model) if kept else None
    losses = {
        f"{_KEY}{task.name}": make_loss(
            loss_name(task.config, training),
            model,
            task.config,
            training,
            dimension=recipe.dimension,
            teacher=teacher,
            task_head=recipe.model.task_heads,
        )
        for task in trained
    }
    per_step = min(training.tasks_per_step or len(rows), len(rows))
    limit = model.max_seq_length
    cut = training.max_tokens
    plan = Plan(
        rows=rows,
        sizes=[task.config.batch_size or training.batch_size for task in trained],
        rates=task_rates([len(own) for own in rows], training.alpha),
        in_rounds=training.in_rounds,
        per_step=per_step,
        steps=training.steps,
        seeds=seeds.child("batches"),
        hard=training.hard_negatives,
        neighbours=_neighbours(model, rows, trained, seeds) if training.hard_negatives else {},
        max_tokens=cut if limit is None or cut is None else min(cut, limit),
    )
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(directory),
        max_steps=training.steps,
        gradient_accumulation_steps=per_step,
        learning_rate=training.rate,
        learning_rate_mapping=_head_rates(model, losses, training.head_rate),
        lr_scheduler_type=training.decay,
        warmup_steps=math.ceil(training.warmup * training.steps),
        weight_decay=training.weight_decay,
        max_grad_norm=training.clip,
        prompts=_prompts(model, trained),
        save_strategy="steps",
        save_steps=training.save_every,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
        seed=seeds.integer("trainer") % 2**31,
    )
    return TaskTrainer(model, arguments, plan, losses, list(callbacks or []))


class _Record(TrainerCallback):
    """One row a step and task to the metrics; the losses beside the progress bar.

    What is told of unlabelled text, which has no loss of its own, is its distillation.
    """

    def __init__(self, path: Path | None, resumed: int, unlabelled: Collection[str]) -> None:
        self.trainer: TaskTrainer | None = None
        self.shown: Shown | None = None
        self.losses: dict[str, list[float]] = {}
        self.seconds = 0.0
        self.tokens = 0
        self._began = 0.0
        self._rate: float | None = None
        self._unlabelled = unlabelled
        if path is not None and resumed:
            rows = read_metrics(path)
            for row in rows.iter_rows(named=True):
                self.losses.setdefault(row["task"], []).append(self._told(row["task"], row))
        self._writer = None if path is None else MetricsWriter(path)

    def _told(self, task: str, parts: Mapping[str, Any]) -> float:
        kept = parts.get("distillation") if task in self._unlabelled else None
        return float(parts["loss"] if kept is None else kept)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began = time.perf_counter()
        optimizer: Any = None if self.trainer is None else self.trainer.optimizer
        # The first group is the encoder's.
        self._rate = None if optimizer is None else optimizer.param_groups[0]["lr"]

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        trainer = self.trainer
        if trainer is None:
            return
        spent = time.perf_counter() - self._began
        self.seconds += spent
        notes: list[str] = []
        for key, parts in trainer.parts.items():
            name = key.removeprefix(_KEY)
            tokens = trainer.tokens[key][0]
            self.tokens += tokens
            told = self._told(name, parts)
            self.losses.setdefault(name, []).append(told)
            notes.append(f"{name} {told:.2f}")
            if self._writer is not None:
                self._writer.write(
                    step=state.global_step, task=name, **parts, tokens=tokens, rate=self._rate,
                    step_seconds=spent,
                )  # fmt: skip
        trainer.parts.clear()
        if self.shown is not None:
            self.shown.advance(note=", ".join(notes))


class _Keep(TrainerCallback):
    """Writes what has changed after given steps; before the checkpoint of the same step."""

    def __init__(
        self, model: SentenceTransformer, before: dict[str, torch.Tensor], keep: Mapping[int, Path]
    ) -> None:
        self._model = model
        self._before = before
        self._keep = keep

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        path = self._keep.get(state.global_step)
        if path is None:
            return
        model = self._model
        if has_adapters(model):
            model = copy.deepcopy(model)
            merge_adapters(model)
        changed = {
            name: value.cpu().numpy()
            for name, value in _plain_state(model).items()
            if not value.equal(self._before[name])
        }
        write_arrays(path, changed)


def _plain_state(model: SentenceTransformer) -> dict[str, torch.Tensor]:
    """A copy of the transformer's tensors, by the names that they have without adapters."""
    return {
        name.replace(".base_layer", ""): value.detach().clone()
        for name, value in first_module(model).auto_model.state_dict().items()
        if "lora_" not in name
    }


def _keep_until(path: Path, step: int) -> None:
    """Cuts off the rows of steps that are about to be done again."""
    if not path.is_file():
        return
    data = path.read_text(encoding="utf-8")
    lines = data[: data.rfind("\n") + 1].splitlines(keepends=True)
    write_text(path, "".join(line for line in lines if json.loads(line)["step"] <= step))


def _tail_mean(values: list[float]) -> float:
    return float(np.mean(values[-max(1, len(values) // 10) :]))


def _neighbours(
    model: SentenceTransformer, rows: Sequence[TrainingRows], tasks: Sequence[Task], seeds: Seeds
) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for own, task in zip(rows, tasks, strict=True):
        if own.kind in ("graded", "unlabelled"):
            continue
        prompt = _prefix(model, task.config)

        def encode(texts: list[str], prompt: str = prompt) -> np.ndarray:
            return np.asarray(model.encode(texts, prompt=prompt, show_progress_bar=False))

        rng = seeds.generator("centroids", own.name)
        nested = own.kind == "hierarchical"
        found[own.name] = confusable_labels(own.texts, own.keys, encode, rng, nested=nested)
    return found


def _head_rates(
    model: SentenceTransformer, losses: dict[str, Any], rate: float
) -> dict[str, float]:
    """The pattern of the head's weights among those of all losses, and its rate."""
    head = head_of(model)
    patterns = [
        rf"^{_KEY}[^.]+\.model\.{name}\."
        for name, module in model.named_children()
        if module is head
    ]
    if any(loss.task_head is not None for loss in losses.values()):
        patterns.append(rf"^{_KEY}[^.]+\.task_head\.")
    return {"|".join(patterns): rate} if patterns else {}


def _prompts(model: SentenceTransformer, tasks: Sequence[Task]) -> dict[str, str] | None:
    found = {f"{_KEY}{task.name}": _prefix(model, task.config) for task in tasks}
    return found if any(found.values()) else None


def _prefix(model: SentenceTransformer, task: TaskConfig) -> str:
    """What stands before every text of a task: its own, else the model's."""
    if task.prefix is not None:
        return task.prefix
    name = model.default_prompt_name
    return (model.prompts[name] or "") if name else ""
