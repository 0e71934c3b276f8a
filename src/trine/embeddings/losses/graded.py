"""Graded pairs: only the order of the scores counts (CoSENT), as sentence-transformers has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentence_transformers.sentence_transformer.losses import CoSENTLoss
from torch import Tensor

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["GradedOrder"]


class GradedOrder:
    """log(1 + sum of exp((cos_kl - cos_ij) / temperature) over score_ij > score_kl).

    Args:
      model: of the library's loss; its forward is not used.
      temperature: the inverse of the library's `scale`.
    """

    def __init__(self, model: SentenceTransformer, temperature: float) -> None:
        self._loss = CoSENTLoss(model, scale=1 / temperature)

    def __call__(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """The loss of two `[B, d]` columns and `[B]` scores."""
        return self._loss.compute_loss_from_embeddings(embeddings, labels)
