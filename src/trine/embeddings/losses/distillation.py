"""Keeping what the base knows: its similarities between the texts of a batch are the target.

Fine-tuning on a few labelled tasks moves texts of all other kinds too. The term here asks that the
neighbours that the untuned base sees in each batch stay neighbours: the mean, over the texts of the
batch, of KL(base || model) between the two softmax distributions over the other texts.
"""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense
from torch import Tensor
from torch.nn import functional

from trine.embeddings.losses.packing import Packed, embed, piece

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Teacher", "no_contrast", "similarity_divergence"]


def similarity_divergence(embeddings: Tensor, base: Tensor, temperature: float) -> Tensor:
    """KL(base || model) of the in-batch neighbours, a mean over texts; 0 if they agree.

    Args:
      embeddings: `[N, d]` unit vectors of the model.
      base: `[N, e]` unit vectors of the base.
      temperature: both cosines are divided by it. Small for a base that puts all texts into a
        narrow cone (the cosines of e5 are 0.7 and more): it tells near from less near there.
    """
    own = torch.eye(len(embeddings), dtype=torch.bool, device=embeddings.device)
    base = base.to(embeddings)
    model_scores = (embeddings @ embeddings.T / temperature).masked_fill(own, -torch.inf)
    base_scores = (base @ base.T / temperature).masked_fill(own, -torch.inf)
    ours = model_scores.log_softmax(1).masked_fill(own, 0.0)
    theirs = base_scores.log_softmax(1).masked_fill(own, 0.0)
    shares = base_scores.softmax(1)  # 0 on the diagonal
    return (shares * (theirs - ours)).sum(1).mean()


def no_contrast(embeddings: list[Tensor], labels: Tensor) -> Tensor:
    """The criterion of unlabelled text: 0, with a gradient of 0."""
    return embeddings[0].sum() * 0.0


class Teacher:
    """The base as it was before training; embeds every text once and remembers the vector.

    Not a module: it has nothing to train. Weights that are frozen in the model are shared with it,
    not copied. What it remembers (half precision, 2 d bytes a text) belongs into a checkpoint: a
    text embedded in another batch has other rounding errors, and would change a resumed run.

    Args:
      model: the model at its start; a linear head and what follows it is left out.
    """

    def __init__(self, model: SentenceTransformer) -> None:
        shared = {id(p): p for p in model.parameters() if not p.requires_grad}
        modules = copy.deepcopy(list(_without_head(model)), shared)
        self._base = SentenceTransformer(modules=modules, device=str(model.device)).eval()
        self._base.requires_grad_(False)
        # `requires_grad_` on shared weights changes nothing: those are the frozen ones.
        self._known: dict[bytes, Tensor] = {}

    def __len__(self) -> int:
        """How many texts are remembered."""
        return len(self._known)

    @torch.no_grad()
    def embed(self, packed: Packed) -> Tensor:
        """`[N, e]` unit vectors in sorted order."""
        ids = packed.features["input_ids"].cpu().numpy()
        lengths = packed.lengths.tolist()
        keys = [row[:n].tobytes() for row, n in zip(ids, lengths, strict=True)]
        missing = [i for i, key in enumerate(keys) if key not in self._known]
        if missing:
            for i, vector in zip(missing, self._embed_rows(packed, missing), strict=True):
                self._known[keys[i]] = vector
        known = torch.stack([self._known[key] for key in keys])
        return known.to(packed.order.device, torch.float32)

    def state(self) -> dict[str, Tensor]:
        """What it remembers, as tensors."""
        vectors = list(self._known.values())
        return {
            "bytes": torch.frombuffer(bytearray(b"".join(self._known)), dtype=torch.uint8)
            if self._known
            else torch.zeros(0, dtype=torch.uint8),
            "lengths": torch.tensor([len(key) for key in self._known], dtype=torch.int64),
            "vectors": torch.stack(vectors) if vectors else torch.zeros(0, 0, dtype=torch.float16),
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Remembers what `state` gave."""
        whole = state["bytes"].numpy().tobytes()
        ends = state["lengths"].cumsum(0).tolist()
        keys = [whole[a:b] for a, b in itertools.pairwise([0, *ends])]
        self._known = dict(zip(keys, state["vectors"], strict=True))

    def _embed_rows(self, packed: Packed, rows: list[int]) -> Tensor:
        whole = piece(packed, 0, len(packed.order))
        chosen = torch.tensor(rows, device=packed.order.device)
        features = {
            name: value[chosen]
            if isinstance(value, Tensor) and value.ndim >= 2 and len(value) == len(packed.order)
            else value
            for name, value in whole.items()
        }
        part = Packed(features, packed.lengths[chosen], chosen, 1)
        vectors = embed(self._base, part)
        return functional.normalize(vectors, dim=1).to(torch.float16).cpu()


def _without_head(model: SentenceTransformer) -> Iterator[torch.nn.Module]:
    for module in model:
        if isinstance(module, Dense):
            return
        yield module
