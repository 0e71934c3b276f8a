"""From the words of a recipe to the loss of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trine.core.errors import UsageError
from trine.embeddings.config import LossName, TaskConfig, TrainingConfig
from trine.embeddings.losses.distillation import no_contrast
from trine.embeddings.losses.graded import GradedOrder
from trine.embeddings.losses.info_nce import LabelInfoNCE, PairInfoNCE
from trine.embeddings.losses.pair import PairCrossEntropy, PairMargin
from trine.embeddings.losses.task_loss import Criterion, TaskLoss
from trine.embeddings.losses.weights import weights_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from trine.embeddings.losses.distillation import Teacher

__all__ = ["LOSSES", "check_loss", "loss_name", "make_criterion", "make_loss", "trained_widths"]

LOSSES: dict[LossName, str] = {
    "info_nce": "contrast within the batch, texts of the anchor's label are no negatives",
    "pair_bce": "binary cross-entropy on the cosine of labelled pairs",
    "pair_margin": "margin on the cosine of labelled pairs",
    "cosent": "order of graded pairs",
    "distillation": "none of its own: only the base's similarities are kept",
}


def loss_name(task: TaskConfig, training: TrainingConfig) -> LossName:
    """The task's own loss, else `cosent` for graded pairs, else the recipe's."""
    if task.loss is not None:
        return task.loss
    if task.kind == "unlabelled":
        return "distillation"
    return "cosent" if task.kind == "graded" else training.loss


def trained_widths(training: TrainingConfig, dimension: int | None, full: int) -> tuple[int, ...]:
    """Descending: the full width, the recipe's dimension, and the Matryoshka widths.

    Raises:
      UsageError: if one is larger than the encoder's.
    """
    wanted = {full, *training.widths, *(() if dimension is None else (dimension,))}
    if max(wanted) > full or min(wanted) < 1:
        wrong = max(wanted) if max(wanted) > full else min(wanted)
        raise UsageError(
            f"width {wrong}",
            accepted=f"1 to {full}, the width of the encoder",
            hint="change dimension or training.widths",
        )
    return tuple(sorted(wanted, reverse=True))


def check_loss(name: LossName, task: TaskConfig) -> None:
    """Whether a loss is for the kind of a task.

    Raises:
      UsageError: if it is unknown or does not fit.
    """
    if name not in LOSSES:
        raise UsageError.unknown("loss", name, list(LOSSES))
    if (name == "cosent") != (task.kind == "graded"):
        raise UsageError(
            f"loss {name} for task {task.name!r} of kind {task.kind}",
            accepted="cosent for graded, the others for all other kinds",
        )
    if (name == "distillation") != (task.kind == "unlabelled"):
        raise UsageError(
            f"loss {name} for task {task.name!r} of kind {task.kind}",
            accepted="distillation for unlabelled texts only",
        )


def make_criterion(
    name: LossName, model: SentenceTransformer, task: TaskConfig, training: TrainingConfig
) -> Criterion:
    """The loss of vectors of a task.

    Raises:
      UsageError: if the loss is unknown or does not fit the kind of the task.
    """
    check_loss(name, task)
    if name == "distillation":
        return no_contrast
    if name == "cosent":
        return GradedOrder(model, training.temperature)
    weights = weights_of(task.kind)
    if name == "info_nce":
        kind = PairInfoNCE if task.kind == "pairs" else LabelInfoNCE
        return kind(weights, training.temperature, training.positives)
    if name == "pair_bce":
        return PairCrossEntropy(weights, training.temperature, training.margin)
    return PairMargin(weights, training.margin)


def make_loss(
    name: LossName,
    model: SentenceTransformer,
    task: TaskConfig,
    training: TrainingConfig,
    *,
    dimension: int | None = None,
    teacher: Teacher | None = None,
    task_head: bool = False,
) -> TaskLoss:
    """The loss of a task in the protocol of sentence-transformers.

    Args:
      name: see `LOSSES`; `loss_name` tells what a recipe means.
      model: the encoder, at full width.
      task: of the recipe.
      training: of the recipe.
      dimension: of the recipe; trained besides the full width.
      teacher: the base, for distillation.
      task_head: whether the task has a linear head of its own.

    Raises:
      UsageError: if the loss does not fit, or a width is too large.
    """
    full = model.get_embedding_dimension()
    if full is None:
        raise UsageError("a base that does not tell the width of its vectors")
    return TaskLoss(
        model,
        make_criterion(name, model, task, training),
        widths=trained_widths(training, dimension, full),
        weight=task.weight,
        teacher=teacher,
        distillation=training.distillation_of(task),
        temperature=training.distillation_temperature or training.temperature,
        cache_rows=training.cache_rows,
        head_width=(dimension or full) if task_head else 0,
        shared=training.shared_loss,
    )
