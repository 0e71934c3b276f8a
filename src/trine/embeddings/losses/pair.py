"""Loss A: labelled pairs, 1 for related and 0 for unrelated, made from all pairs of a batch.

This is nearest to what is known of the paper: a siamese encoder and a binary label for each pair.
The form of its loss, the margin and the share of negatives are not known, so these are our own
choices: related and unrelated pairs count one half each, however many there are.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["PairCrossEntropy", "PairMargin", "batch_pairs"]


def batch_pairs(embeddings: list[Tensor], weights: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and labels of all pairs of a batch.

    Args:
      embeddings: one column (pairs i < j of its texts) or two (every text with every pair).
      weights: `[B, B]` label of each pair, 0 to 1.

    Returns:
      `[P]` cosines and `[P]` labels.
    """
    if len(embeddings) == 1:
        (texts,) = embeddings
        i, j = torch.triu_indices(len(texts), len(texts), offset=1, device=texts.device)
        return (texts @ texts.T)[i, j], weights[i, j].to(texts.dtype)
    first, second = embeddings
    return (first @ second.T).flatten(), weights.flatten().to(first.dtype)


def _halves(related: Tensor, unrelated: Tensor, labels: Tensor) -> Tensor:
    """Half the mean of `related` over label 1, plus half that of `unrelated` over label 0."""
    tiny = torch.finfo(labels.dtype).tiny
    ones = (labels * related).sum() / labels.sum().clamp(min=tiny)
    zeros = ((1 - labels) * unrelated).sum() / (1 - labels).sum().clamp(min=tiny)
    return (ones + zeros) / 2


class PairCrossEntropy:
    """Binary cross-entropy with probability sigmoid((cosine - margin) / temperature).

    A label between 0 and 1 (multi-label, hierarchical) is a target between 0 and 1.

    Args:
      weights: from labels to `[B, B]`.
      temperature: the scale of the logit.
      margin: cosine of probability one half.
    """

    def __init__(
        self, weights: Callable[[Tensor], Tensor], temperature: float, margin: float
    ) -> None:
        self.weights = weights
        self.temperature = temperature
        self.margin = margin

    def __call__(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """The loss of one or two columns of unit vectors."""
        cosines, targets = batch_pairs(embeddings, self.weights(labels))
        logits = (cosines - self.margin) / self.temperature
        return _halves(functional.softplus(-logits), functional.softplus(logits), targets)


class PairMargin:
    """Contrastive margin loss on cosine distance (Hadsell, Chopra and LeCun 2006).

    Related: half the squared distance 1 - cosine. Unrelated: half the squared part by which the
    distance falls short of the margin.

    Args:
      weights: from labels to `[B, B]`.
      margin: distance beyond which unrelated pairs cost nothing.
    """

    def __init__(self, weights: Callable[[Tensor], Tensor], margin: float) -> None:
        self.weights = weights
        self.margin = margin

    def __call__(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """The loss of one or two columns of unit vectors."""
        cosines, targets = batch_pairs(embeddings, self.weights(labels))
        distances = 1 - cosines
        short = functional.relu(self.margin - distances)
        return _halves(distances.square() / 2, short.square() / 2, targets)
