"""How much two texts of a batch belong together: from labels to a `[B, B]` matrix in 0 to 1.

| kind | labels | weight of a pair |
|---|---|---|
| single, pairs (group) | `[B]` ids | 1 if equal |
| multi | `[B, L]` 0/1 | Jaccard: shared labels over labels of either |
| hierarchical | `[B, depth]` ids, coarse to fine, -1 past the end | shared depth / longer depth |

How labels become pairs is not told by the paper (arXiv 2405.11344); these rules are our own.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from trine.embeddings.config import Kind

__all__ = ["weights_of"]


def weights_of(kind: Kind) -> Callable[[Tensor], Tensor]:
    """The rule of a kind of task: labels to `[B, B]` float32 weights, symmetric.

    The diagonal is a text with itself. `graded` has no rule: its pairs carry scores.
    """
    rules = {
        "single": _equal,
        "pairs": _equal,
        "multi": _jaccard,
        "hierarchical": _shared_depth,
    }
    return rules[kind]


def _equal(labels: Tensor) -> Tensor:
    return (labels[:, None] == labels[None, :]).float()


def _jaccard(labels: Tensor) -> Tensor:
    rows = labels.float()
    shared = rows @ rows.T
    counts = rows.sum(1)
    either = counts[:, None] + counts[None, :] - shared
    return shared / either.clamp(min=1)  # texts without any label share nothing


def _shared_depth(labels: Tensor) -> Tensor:
    present = labels >= 0
    same = (labels[:, None, :] == labels[None, :, :]) & present[:, None, :]
    shared = same.int().cumprod(dim=2).sum(2).float()  # levels count up to the first difference
    depth = present.sum(1).float()
    return shared / torch.maximum(depth[:, None], depth[None, :]).clamp(min=1)
