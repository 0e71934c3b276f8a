"""The loss of one task: one pass through the encoder, then everything that is asked of the vectors.

    columns of a batch -> packed forward -> [N, d] vectors
      for each width w: criterion(vectors[:, :w], normalised) + distillation * divergence
      mean over widths, plus the task's own head if there is one, times the task's weight

The class follows the loss protocol of sentence-transformers, so that its trainer takes it. Gradient
caching (Gao et al. 2021, arXiv 2101.06983) is the library's `CachedLossMixin`. Its `MatryoshkaLoss`
is not used: it cuts any label matrix whose width happens to be that of the vectors, which a
multi-label task may have, and it would run the base's similarities once for each width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from sentence_transformers.base.losses import CachedLossMixin
from torch import Tensor, nn
from torch.nn import functional

from trine.embeddings.losses.distillation import Teacher, similarity_divergence
from trine.embeddings.losses.packing import Packed, embed, pack

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["Criterion", "TaskLoss"]


class Criterion(Protocol):
    """A loss of vectors."""

    def __call__(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """A scalar from one or two `[B, d]` columns of unit vectors and their labels."""
        ...


@dataclass
class _Batch:
    """What the second half of the loss needs besides the vectors."""

    packed: Packed
    labels: Tensor
    base: Tensor | None


class TaskLoss(CachedLossMixin, nn.Module):
    """A criterion at several widths, with distillation, a task head, a weight and caching.

    Args:
      model: the encoder that is trained.
      criterion: see `Criterion`.
      widths: of the vectors; every width counts the same. Empty: the full width alone.
      weight: of this task in a step.
      teacher: the base; None: no distillation.
      distillation: its weight.
      temperature: of the distillation.
      cache_rows: gradient caching in pieces of so many texts; 0: off.
      head_width: rows of a linear head for this task alone; 0: none.
      shared: weight of the criterion on the shared vectors where the task has a head.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        criterion: Criterion,
        *,
        widths: Sequence[int] = (),
        weight: float = 1.0,
        teacher: Teacher | None = None,
        distillation: float = 0.0,
        temperature: float = 0.05,
        cache_rows: int = 0,
        head_width: int = 0,
        shared: float = 1.0,
    ) -> None:
        super().__init__()
        self.model = model
        self.criterion = criterion
        self.widths = tuple(widths)
        self.weight = weight
        self.teacher = teacher if distillation > 0 else None
        self.distillation = distillation
        self.temperature = temperature
        self.mini_batch_size = cache_rows
        self.uses_gradient_cache = cache_rows > 0
        self.shared = shared if head_width else 1.0
        self.task_head: nn.Linear | None = _first_rows(model, head_width) if head_width else None
        self.parts: dict[str, float] = {}
        """Unweighted terms of the last batch: `loss`, and `distillation` and `head` if on."""
        self.tokens = (0, 0)
        """Tokens of the last batch, without padding and as the library would have padded it."""

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """The weighted loss of a batch."""
        columns = list(sentence_features)
        packed = pack(columns)
        if packed is None:
            vectors = [self.model(column)["sentence_embedding"] for column in columns]
            return self._total(vectors, labels, None)
        self.tokens = _count(columns, packed)
        base = None if self.teacher is None else self.teacher.embed(packed)
        batch = _Batch(packed, labels, base)
        if 0 < self.mini_batch_size < len(packed.order):
            return self.forward_cached([packed.features], cast("Any", batch))
        return self._finish(embed(self.model, packed), batch)

    def calculate_loss(
        self,
        reps: list[list[Tensor]],
        labels: Tensor | None = None,
        *,
        with_backward: bool = False,
    ) -> Tensor:
        """Second step of gradient caching: the loss of the vectors of all pieces."""
        loss = self._finish(torch.cat(reps[0]), cast("Any", labels))
        if with_backward:
            loss.backward()
            loss = loss.detach()
        return loss

    def _finish(self, rows: Tensor, batch: _Batch) -> Tensor:
        base = None if batch.base is None else torch.cat(batch.packed.restore(batch.base))
        return self._total(batch.packed.restore(rows), batch.labels, base)

    def _total(self, columns: list[Tensor], labels: Tensor, base: Tensor | None) -> Tensor:
        widths = self.widths or (columns[0].shape[1],)
        losses: list[Tensor] = []
        divergences: list[Tensor] = []
        for width in widths:
            cut = [functional.normalize(column[:, :width], dim=1) for column in columns]
            losses.append(self.criterion(cut, labels))
            if base is not None:
                divergences.append(similarity_divergence(torch.cat(cut), base, self.temperature))
        total = torch.stack(losses).mean()
        head = cast("nn.Linear | None", self.task_head)
        self.parts = {"loss": float(total.detach())}
        total = self.shared * total
        if base is not None:
            divergence = torch.stack(divergences).mean()
            self.parts["distillation"] = float(divergence.detach())
            total = total + self.distillation * divergence
        if head is not None:
            own = [functional.normalize(head(column), dim=1) for column in columns]
            extra = self.criterion(own, labels)
            self.parts["head"] = float(extra.detach())
            total = total + extra
        return self.weight * total


def _first_rows(model: SentenceTransformer, width: int) -> nn.Linear:
    """A head that starts as the cut of the shared vector, so that it starts as good as that."""
    full = model.get_embedding_dimension()
    if full is None:
        raise ValueError("the model does not tell its width")
    with torch.random.fork_rng(devices=[]):  # what Linear draws is overwritten: leave no trace
        head = nn.Linear(full, min(width, full), bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.eye(full)[: min(width, full)])
    return head


def _count(columns: list[dict[str, Tensor]], packed: Packed) -> tuple[int, int]:
    padded = sum(column["attention_mask"].numel() for column in columns)
    return int(packed.features["attention_mask"].sum()), padded
