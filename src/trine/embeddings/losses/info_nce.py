"""Label-aware InfoNCE: in-batch contrast that knows which other texts are no negatives.

`MultipleNegativesRankingLoss` takes every other text of the batch as a negative; with 7 labels and
64 texts, one in seven of them has the anchor's own label. Here such texts are either positives too
(`all`: the supervised contrastive loss of Khosla et al. 2020, arXiv 2004.11362, eq. 2, with
weights) or left out of the softmax (`mask`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

__all__ = ["LabelInfoNCE", "PairInfoNCE", "contrast"]

Positives = Literal["all", "mask"]


def contrast(
    similarities: Tensor,
    weights: Tensor,
    *,
    temperature: float,
    positives: Positives,
    own: Tensor | None = None,
    valid: Tensor | None = None,
) -> Tensor:
    """The contrastive loss, a mean over the anchors that have a positive.

    `all`: minus the weighted mean, over the positives p of an anchor, of log softmax at p, with
    every valid candidate in the softmax. `mask`: minus log softmax at one positive, with it and the
    candidates of weight 0 in the softmax.

    Args:
      similarities: `[A, C]` cosine of anchors and candidates.
      weights: `[A, C]` in 0 to 1; 0 is a negative.
      temperature: the cosine is divided by it.
      positives: what is done with several positives.
      own: `[A]` the candidate that is the positive under `mask`; None: the heaviest, of several
        the first to the right of the anchor's own place, cyclically.
      valid: `[A, C]` False where a candidate is no candidate (the anchor itself); None: all are.

    Returns:
      A scalar; 0 with a gradient of 0 if no anchor has a positive.
    """
    weights = weights.to(similarities.dtype)
    if valid is not None:
        weights = weights * valid
    has_positive = weights.amax(1) > 0
    scores = similarities / temperature
    if positives == "mask":
        chosen = _next_heaviest(weights) if own is None else own
        one = torch.zeros_like(weights).scatter_(1, chosen[:, None], 1.0)
        in_softmax = (weights == 0) | (one > 0)
        weights = one * has_positive[:, None]
    else:
        in_softmax = torch.ones_like(weights, dtype=torch.bool)
    if valid is not None:
        in_softmax = in_softmax & valid
    scores = scores.masked_fill(~in_softmax, -torch.inf)
    log_share = scores - torch.logsumexp(scores, dim=1, keepdim=True)
    # Where the weight is 0 the score may be -inf, and 0 * -inf is not 0.
    terms = torch.where(weights > 0, weights * log_share, torch.zeros_like(scores)).sum(1)
    per_anchor = -terms / weights.sum(1).clamp(min=torch.finfo(weights.dtype).tiny)
    return per_anchor[has_positive].sum() / has_positive.sum().clamp(min=1)


def _next_heaviest(weights: Tensor) -> Tensor:
    """`[A]` the heaviest column of each row, ties broken cyclically from the diagonal."""
    n = weights.shape[1]
    places = torch.arange(n, device=weights.device)
    distance = (places[None, :] - places[: len(weights), None] - 1) % n
    heaviest = weights == weights.amax(1, keepdim=True)
    return torch.where(heaviest, distance, n).argmin(1)


class LabelInfoNCE:
    """For one column of texts with labels: every text is an anchor, all others its candidates.

    Args:
      weights: from labels to `[B, B]` (see `trine.embeddings.losses.weights`).
      temperature: of the softmax.
      positives: see `contrast`.
    """

    def __init__(
        self, weights: Callable[[Tensor], Tensor], temperature: float, positives: Positives
    ) -> None:
        self.weights = weights
        self.temperature = temperature
        self.positives: Positives = positives

    def __call__(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """The loss of `[B, d]` unit vectors."""
        (texts,) = embeddings
        others = ~torch.eye(len(texts), dtype=torch.bool, device=texts.device)
        return contrast(
            texts @ texts.T,
            self.weights(labels),
            temperature=self.temperature,
            positives=self.positives,
            valid=others,
        )


class PairInfoNCE:
    """For two columns: the mean of text to pair and pair to text; rows of one group are positives.

    With groups all different this is `MultipleNegativesRankingLoss` with the directions query to
    document and document to query, partition mode per direction.

    Args:
      weights: from groups to `[B, B]`.
      temperature: of the softmax.
      positives: see `contrast`; a row's own pair is the positive under `mask`.
    """

    def __init__(
        self, weights: Callable[[Tensor], Tensor], temperature: float, positives: Positives
    ) -> None:
        self.weights = weights
        self.temperature = temperature
        self.positives: Positives = positives

    def __call__(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """The loss of two `[B, d]` columns of unit vectors."""
        first, second = embeddings
        similarities = first @ second.T
        weights = self.weights(labels)
        own = torch.arange(len(first), device=first.device)
        both = [
            contrast(
                matrix,
                weights,
                temperature=self.temperature,
                positives=self.positives,
                own=own,
            )
            for matrix in (similarities, similarities.T)
        ]
        return (both[0] + both[1]) / 2
