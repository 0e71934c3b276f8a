"""sentence-transformers' trainer with one optimiser step over k tasks.

The library's trainer takes one batch a step. Here `gradient_accumulation_steps` is k, the sampler
yields k batches of k tasks in a row, and the loss of each is declared as scaled already, so that
the trainer does not divide it by k: the gradient of a step is the sum over its tasks, as in the
paper's "whole model is updated once per iteration".

A checkpoint holds the trained weights and the base's vectors (safetensors), the trainer's state
(JSON) and the optimiser's (written by torch, read with `weights_only`), and last of all a mark that
it is whole. Frozen weights are not in it: they are the base's.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformerTrainer
from torch import Tensor, nn
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback

from trine.core.artifacts import write_json
from trine.core.errors import DataError, UsageError
from trine.core.seeding import Seeds
from trine.embeddings.batches import StepSampler, TaskBatchSampler

if TYPE_CHECKING:
    import numpy as np
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments

    from trine.embeddings.losses import TaskLoss, Teacher
    from trine.embeddings.training_rows import TrainingRows

__all__ = ["Plan", "TaskTrainer", "drop_broken", "last_checkpoint"]

WEIGHTS = "trained.safetensors"
TEACHER = "teacher.safetensors"
WHOLE = "whole.json"


@dataclass(frozen=True)
class Plan:
    """What the sampler needs.

    Attributes:
      rows: of each task, in the order of the losses.
      sizes: of the batches.
      rates: with which the tasks are drawn.
      in_rounds: whether they come in shuffled rounds instead.
      per_step: tasks in a step.
      steps: of the optimiser.
      seeds: of the batches.
      hard: share of confusable labels.
      neighbours: confusable labels by task; absent: none.
      max_tokens: texts are cut here; None: the model's limit.
    """

    rows: Sequence[TrainingRows]
    sizes: Sequence[int]
    rates: np.ndarray
    in_rounds: bool
    per_step: int
    steps: int
    seeds: Seeds
    hard: float
    neighbours: Mapping[str, np.ndarray]
    max_tokens: int | None


class TaskTrainer(SentenceTransformerTrainer):
    """See the module.

    Args:
      model: the encoder at full width.
      args: with `gradient_accumulation_steps` of k.
      plan: see `Plan`.
      losses: by the keys of the data sets.
      callbacks: of the trainer.
    """

    # Not a mean over the batches of a step: the sum is what is asked for.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: SentenceTransformer,
        args: SentenceTransformerTrainingArguments,
        plan: Plan,
        losses: Mapping[str, TaskLoss],
        callbacks: list[TrainerCallback],
    ) -> None:
        self.plan = plan
        self.parts: dict[str, dict[str, float]] = {}
        """Terms of the losses of the current step, by data set."""
        self.tokens: dict[str, tuple[int, int]] = {}
        """Tokens of the batches of the current step, by data set."""
        datasets = {key: rows.dataset() for key, rows in zip(losses, plan.rows, strict=True)}
        modules: dict[str, nn.Module] = dict(losses)
        super().__init__(
            model=model,
            args=args,
            train_dataset=datasets,
            loss=modules,
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)  # stdout is for results
        self._losses = dict(losses)

    def get_data_collator(self, *args: Any, **kwargs: Any) -> Any:
        """The library's, cutting texts at the recipe's length."""
        collator = super().get_data_collator(*args, **kwargs)
        collator.max_length = self.plan.max_tokens
        return collator

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """None: the library's card asks the hub about data sets; ours is written at the end."""

    def get_batch_sampler(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        """Batches of one task."""
        datasets = list(cast("dict[str, Any]", self.train_dataset).values())
        place = next(i for i, own in enumerate(datasets) if own is dataset)
        rows = self.plan.rows[place]
        return TaskBatchSampler(
            dataset,
            rows,
            self.plan.sizes[place],
            self.plan.seeds.child(rows.name),
            hard=self.plan.hard,
            neighbours=self.plan.neighbours.get(rows.name),
        )

    def get_multi_dataset_batch_sampler(
        self, dataset: Any, batch_samplers: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Steps of k tasks."""
        return StepSampler(
            dataset,
            batch_samplers,
            steps=self.plan.steps,
            tasks_per_step=self.plan.per_step,
            rates=self.plan.rates,
            seeds=self.plan.seeds,
            in_rounds=self.plan.in_rounds,
        )

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The loss of one batch; what it is made of is kept for the record.

        Raises:
          UsageError: if it is not finite.
        """
        key = str(inputs["dataset_name"])
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        own = self._losses[key]
        if not math.isfinite(sum(own.parts.values())):
            raise UsageError(
                f"the loss of task {key} is not finite at step {self.state.global_step + 1}",
                hint="lower training.rate and training.head_rate, or raise training.temperature",
            )
        self.parts[key] = dict(own.parts)
        self.tokens[key] = own.tokens
        return loss

    def trained_weights(self) -> dict[str, Tensor]:
        """What training changes, by name: of the model, and of the tasks' own heads."""
        found: dict[str, Tensor] = {
            f"model.{name}": weight
            for name, weight in self.model.named_parameters()
            if weight.requires_grad
        }
        for key, loss in self._losses.items():
            if isinstance(loss.task_head, nn.Linear):
                found[f"{key}.task_head.weight"] = loss.task_head.weight
        return found

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        weights = {n: w.detach().cpu().contiguous() for n, w in self.trained_weights().items()}
        save_file(weights, folder / WEIGHTS)
        if (teacher := self._teacher) is not None:
            save_file(teacher.state(), folder / TEACHER)

    @property
    def _teacher(self) -> Teacher | None:
        return next(
            (loss.teacher for loss in self._losses.values() if loss.teacher is not None), None
        )

    def _load_from_checkpoint(self, checkpoint_path: str, *args: Any, **kwargs: Any) -> None:
        path = Path(checkpoint_path) / WEIGHTS
        weights = self.trained_weights()
        try:
            stored = load_file(path)
            if (teacher := self._teacher) is not None:
                teacher.load(load_file(path.with_name(TEACHER)))
        except (OSError, SafetensorError) as error:
            raise DataError(f"cannot read {path} ({error})", hint="delete its directory") from error
        if {n: w.shape for n, w in stored.items()} != {n: w.shape for n, w in weights.items()}:
            raise DataError(
                f"{path} belongs to another model", hint="delete the directory of checkpoints"
            )
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(stored[name])


class MarkWhole(TrainerCallback):
    """Marks a checkpoint after everything in it was written; then the older ones may go."""

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Writes the mark and removes all checkpoints but this one."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        write_json(folder / WHOLE, {"step": state.global_step})
        for other in folder.parent.glob("checkpoint-*"):
            if other != folder:
                shutil.rmtree(other)


def last_checkpoint(directory: Path) -> Path | None:
    """The newest whole checkpoint, if there is one."""
    whole = [path.parent for path in directory.glob(f"checkpoint-*/{WHOLE}")]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def drop_broken(directory: Path) -> None:
    """Removes checkpoints of a process that was killed while it wrote them."""
    for path in directory.glob("checkpoint-*"):
        if not (path / WHOLE).is_file():
            shutil.rmtree(path)
