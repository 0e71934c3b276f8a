"""Frozen lower layers are computed once for each text, not at every step.

What frozen layers make of a text never changes while the rest is trained, and training sees the
same texts again and again. So their output is kept by token ids, and a batch runs them only for
texts that are new. With f of L layers frozen, and a backward pass at twice the forward's cost, a
step costs (3L - 3f) / (3L - 2f) of one that freezes without keeping.

What is kept is not part of a checkpoint (it may be as large as memory allows). A resumed run
computes it again, in other batches, so it differs from one that was never stopped in the last bits.

The model keeps its modules, names and weights: only `forward` of the encoder is another while the
cache is on, so saving, checkpoints and optimisers see no difference.
"""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from trine.embeddings.inference import first_module

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["FrozenLayers", "cache_frozen_layers", "can_cache", "forget_frozen_layers", "hush"]

_LOG = logging.getLogger(__name__)

MEMORY = 2 * 2**30
"""Bytes of the cache of one model; about 100,000 texts of 14 tokens at width 384."""


@dataclass
class _Store:
    limit: int
    rows: dict[bytes, Tensor] = field(default_factory=dict[bytes, Tensor])
    size: int = 0
    hits: int = 0
    misses: int = 0
    is_full: bool = False

    def put(self, key: bytes, value: Tensor) -> None:
        size = value.nelement() * value.element_size()
        if self.size + size > self.limit:
            if not self.is_full:
                _LOG.info("the cache of frozen layers is full at %d texts", len(self.rows))
            self.is_full = True
            return
        self.rows[key] = value
        self.size += size


class FrozenLayers:
    """The forward of an encoder whose lower layers are looked up where they were computed before.

    In evaluation it is the encoder's own: what is embedded once is not worth keeping. A copy of the
    model shares what is kept, because its frozen weights are the same.

    Args:
      model: of transformers, with `embeddings` and `encoder.layer`, as BERT has.
      count: of lower layers that are frozen; so are the embeddings.
      memory: bytes that may be kept; what comes later is computed every time.
    """

    def __init__(self, model: Any, count: int, memory: int = MEMORY) -> None:
        self._model = model
        self.count = count
        self._store = _Store(memory)

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenLayers:
        """For the copy of the model, with the same memory."""
        new = FrozenLayers(copy.deepcopy(self._model, memo), self.count)
        new._store = self._store
        return new

    @property
    def hits(self) -> int:
        """Texts that were looked up."""
        return self._store.hits

    @property
    def misses(self) -> int:
        """Texts that were computed."""
        return self._store.misses

    @property
    def bytes(self) -> int:
        """Memory in use."""
        return self._store.size

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **others: Any,
    ) -> Any:
        """As the encoder's own, `[B, L]` ids and mask."""
        ids, mask = input_ids, attention_mask
        if ids is None or mask is None or not self._can_use(mask, token_type_ids, others):
            return type(self._model).forward(
                self._model, input_ids=ids, attention_mask=mask, token_type_ids=token_type_ids,
                **others,
            )  # fmt: skip
        hidden = self._lower(ids, mask)
        upper = _part(self._model, slice(self.count, None))
        upper._modules["embeddings"] = _PassOn()
        return type(upper).forward(upper, inputs_embeds=hidden, attention_mask=mask, **others)

    def _can_use(self, mask: Tensor, types: Tensor | None, others: dict[str, Any]) -> bool:
        if not self._model.training or mask.ndim != 2:
            return False
        if set(others) - {"return_dict"}:  # all hidden states, positions: not for us
            return False
        if types is not None and bool(types.any()):
            return False
        lengths = mask.sum(dim=1, keepdim=True)
        places = torch.arange(mask.shape[1], device=mask.device)[None, :]
        return bool((mask.bool() == (places < lengths)).all())  # padded on the right

    @torch.no_grad()
    def _lower(self, ids: Tensor, mask: Tensor) -> Tensor:
        store = self._store
        lengths: list[int] = mask.sum(dim=1).tolist()
        numbers = ids.cpu().numpy()
        keys = [row[:n].tobytes() for row, n in zip(numbers, lengths, strict=True)]
        found: dict[bytes, Tensor] = {k: store.rows[k] for k in keys if k in store.rows}
        new = {key: i for i, key in enumerate(keys) if key not in found}
        store.misses += len(new)
        store.hits += len(keys) - len(new)
        if new:
            rows = list(new.values())
            longest = max(lengths[i] for i in rows)
            lower = _part(self._model, slice(0, self.count))
            for layer in (*lower.encoder.layer, lower.embeddings):
                layer.eval()
            chosen = torch.tensor(rows, device=ids.device)
            own_mask = mask[chosen, :longest]
            output = (
                type(lower)
                .forward(lower, input_ids=ids[chosen, :longest], attention_mask=own_mask)
                .last_hidden_state
            )
            for i, vectors in zip(rows, output.cpu(), strict=True):
                found[keys[i]] = kept = vectors[: lengths[i]].clone()
                store.put(keys[i], kept)
        width = next(iter(found.values())).shape[1]
        whole = torch.zeros(len(keys), ids.shape[1], width, dtype=next(iter(found.values())).dtype)
        for i, (key, n) in enumerate(zip(keys, lengths, strict=True)):
            whole[i, :n] = found[key]
        return whole.to(ids.device)


class _PassOn(nn.Module):
    """In place of the embeddings: what comes in has been embedded."""

    def forward(self, *, inputs_embeds: Tensor, **others: Any) -> Tensor:
        return inputs_embeds


def _part(model: Any, layers: slice) -> Any:
    """The model with some of its layers: other containers, the same layers and weights."""
    part, encoder = copy.copy(model), copy.copy(model.encoder)
    part._modules, encoder._modules = dict(model._modules), dict(model.encoder._modules)
    encoder._modules["layer"] = nn.ModuleList(list(model.encoder.layer)[layers])
    part._modules["encoder"] = encoder
    if "pooler" in part._modules:
        part._modules["pooler"] = None
    return part


def can_cache(model: SentenceTransformer) -> bool:
    """Whether the encoder is built as BERT is."""
    inner = first_module(model).auto_model
    layers = getattr(getattr(inner, "encoder", None), "layer", None)
    return isinstance(layers, nn.ModuleList) and isinstance(
        getattr(inner, "embeddings", None), nn.Module
    )


def cache_frozen_layers(
    model: SentenceTransformer, count: int, *, memory: int = MEMORY
) -> FrozenLayers | None:
    """Turns the cache on; None (and a line in the log) if the encoder is not built for it.

    Args:
      model: whose embeddings and `count` lower layers are frozen and stay as they are for as long
        as the cache is on.
      count: of layers.
      memory: bytes that may be kept.
    """
    if not can_cache(model):
        _LOG.info("frozen layers of this encoder are computed at every step")
        return None
    inner = first_module(model).auto_model
    hush([inner.embeddings, *list(inner.encoder.layer)[:count]])
    cache = FrozenLayers(inner, count, memory)
    inner.forward = cache.forward
    return cache


def forget_frozen_layers(model: SentenceTransformer) -> None:
    """Turns the cache off."""
    vars(first_module(model).auto_model).pop("forward", None)


def hush(modules: list[nn.Module]) -> None:
    """Sets dropout to nothing, for good, in modules that are not trained: only noise there."""
    for module in modules:
        for part in module.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0
