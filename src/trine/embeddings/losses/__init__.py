"""Losses that know labels, on sentence-transformers' loss protocol."""

from trine.embeddings.losses.distillation import Teacher, similarity_divergence
from trine.embeddings.losses.registry import (
    LOSSES,
    loss_name,
    make_criterion,
    make_loss,
    trained_widths,
)
from trine.embeddings.losses.task_loss import TaskLoss

__all__ = [
    "LOSSES",
    "TaskLoss",
    "Teacher",
    "loss_name",
    "make_criterion",
    "make_loss",
    "similarity_divergence",
    "trained_widths",
]
