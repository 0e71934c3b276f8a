"""A small head for each trained task beside the shared one.

The shared head has to spend its few numbers on every task; a head of a task's own spends them on
that task, on the same encoder. The paper has task-specific parts beside the shared encoder; what
they are is not told in any text that we could read. Ours are linear and computed after training as
the shared head is (`trine.embeddings.refit`), from the task's own training texts and the unlabelled
ones: the very head that a model of this task alone would have.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trine.core.artifacts import read_arrays, write_arrays
from trine.core.errors import DataError, UsageError
from trine.core.seeding import Seeds
from trine.embeddings.config import HeadConfig
from trine.embeddings.encoder import head_of
from trine.embeddings.evaluation.suite import evaluate_vectors
from trine.embeddings.evaluation.vectors import TextVectors
from trine.embeddings.head import start_head
from trine.embeddings.head_texts import head_texts
from trine.embeddings.inference import Encoder
from trine.embeddings.tasks import ScoreRow, Task

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = [
    "HEADS",
    "Head",
    "evaluate_heads",
    "fit_task_heads",
    "head_model",
    "load_task_heads",
    "save_task_heads",
]

HEADS = "task-heads.safetensors"

Head = tuple[np.ndarray, np.ndarray]
"""Weight `[d, d]` and bias `[d]`; the first k rows are the head of k numbers."""


def fit_task_heads(
    model: SentenceTransformer,
    tasks: Sequence[Task],
    config: HeadConfig,
    seeds: Seeds,
    widths: Sequence[int] = (),
) -> dict[str, Head]:
    """A head for each task that is trained on.

    Args:
      model: at full width, with a head.
      tasks: no row that is scored is used.
      config: how a head is computed.
      seeds: as for the shared head; each task draws the texts that it would draw alone.
      widths: leading numbers that `fitted` fits.
    """
    below = _below_head(model)
    stores: dict[str | None, TextVectors] = {}

    def encode(prefix: str | None, texts: list[str]) -> np.ndarray:
        if prefix not in stores:
            stores[prefix] = TextVectors(below.with_prefix(prefix).encode)
        return stores[prefix].get(texts)

    trained = [task for task in tasks if task.config.role == "train"]
    plain = [task for task in trained if task.kind == "unlabelled"]
    heads: dict[str, Head] = {}
    for task in trained:
        if task.kind == "unlabelled":
            continue
        own = [each for each in trained if each is task or each in plain]
        given = head_texts(own, config, seeds.generator("mixture"))
        vectors = given.vectors(encode)
        heads[task.name] = start_head(
            vectors, given.labels, config, seeds.generator("head"), widths,
            groups=given.groups, pair_tasks=given.pair_tasks,
        )  # fmt: skip
    return heads


def head_model(model: SentenceTransformer, head: Head) -> SentenceTransformer:
    """A copy of a model at full width with another head.

    Raises:
      UsageError: if the model has no head.
    """
    import torch

    own = copy.deepcopy(model)
    shared = head_of(own)
    if shared is None:
        raise UsageError("a model without a head", accepted="the model at full width of a training")
    with torch.no_grad():
        for place, value in zip((shared.linear.weight, shared.linear.bias), head, strict=True):
            place.copy_(torch.from_numpy(value))
    return own


def save_task_heads(heads: dict[str, Head], path: Path) -> None:
    """Writes `TASK.weight` and `TASK.bias` of every task into one safetensors file, atomically."""
    named = {f"{task}.weight": weight for task, (weight, _) in heads.items()}
    named |= {f"{task}.bias": bias for task, (_, bias) in heads.items()}
    write_arrays(path, named)


def load_task_heads(path: Path) -> dict[str, Head]:
    """What `save_task_heads` wrote.

    Raises:
      DataError: if it cannot be read.
    """
    try:
        stored = read_arrays(path)
    except DataError as error:
        raise DataError(
            f"no heads of tasks: {error}", hint="train with head.per_task = true"
        ) from error
    tasks = [name.removesuffix(".weight") for name in stored if name.endswith(".weight")]
    return {task: (stored[f"{task}.weight"], stored[f"{task}.bias"]) for task in tasks}


def evaluate_heads(
    model: SentenceTransformer,
    heads: dict[str, Head],
    tasks: Sequence[Task],
    *,
    model_name: str = "model",
    widths: Sequence[int] | None = None,
    max_rows: int | None = None,
    draws: int = 10,
) -> tuple[list[ScoreRow], list[ScoreRow]]:
    """Scores of every task with the shared head, and of the tasks that have one with their own.

    Each text goes through the encoder once; see `evaluate_model` for the arguments.

    Raises:
      UsageError: if the model has no head.
    """
    shared = head_of(model)
    if shared is None:
        raise UsageError("a model without a head", accepted="the model at full width of a training")
    linear = shared.linear
    weight, bias = linear.weight.detach().cpu().numpy(), linear.bias.detach().cpu().numpy()
    below = _below_head(model)
    encoders: dict[str | None, TextVectors] = {}
    stores: dict[tuple[str | None, str], TextVectors] = {}

    def store(task: Task, name: str, head: Head) -> TextVectors:
        prefix = task.config.prefix
        if prefix not in encoders:
            encoders[prefix] = TextVectors(below.with_prefix(prefix).encode)
        if (prefix, name) not in stores:
            stores[prefix, name] = TextVectors(_through(encoders[prefix], head))
        return stores[prefix, name]

    def scores(
        scored: Sequence[Task], vectors_for: Callable[[Task], TextVectors]
    ) -> list[ScoreRow]:
        return evaluate_vectors(
            vectors_for, scored, model_name=model_name, widths=widths, max_rows=max_rows,
            draws=draws,
        )  # fmt: skip

    together = scores(tasks, lambda task: store(task, "", (weight, bias)))
    with_own = [task for task in tasks if task.name in heads]
    apart = scores(with_own, lambda task: store(task, task.name, heads[task.name]))
    return together, apart


def _below_head(model: SentenceTransformer) -> Encoder:
    import torch

    head = head_of(model)
    modules = list(model)
    place = next(i for i, module in enumerate(modules) if module is head)
    return Encoder.of(model, modules=torch.nn.Sequential(*modules[:place]))


def _through(known: TextVectors, head: Head) -> Callable[[list[str]], np.ndarray]:
    weight, bias = head
    return lambda texts: known.get(texts) @ weight.T + bias
