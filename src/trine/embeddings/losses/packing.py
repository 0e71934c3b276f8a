"""Forward passes with little padding: texts of like length go through the encoder together.

A batch of mixed lengths padded to its longest text is mostly padding. Sorted by length and cut into
a few pieces, each padded to its own longest, the same texts cost less; the vectors and the
gradients are the same up to rounding (and dropout masks, which fall differently).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sentence_transformers.base.losses.merged_forward import merge_feature_batches
from torch import Tensor

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Packed", "embed", "length_pieces", "pack", "piece"]

_PIECE_COST = {"cpu": 32}
"""What one more forward pass costs, in tokens. On a CPU it is the weight gradients that are added
up once more; an accelerator is idle with small pieces, hence the large default below."""
_DEFAULT_COST = 4096


@dataclass(frozen=True)
class Packed:
    """All columns of a batch as one, sorted by length.

    Attributes:
      features: what the model takes; row tensors are `[N, T]` with N texts of all columns.
      lengths: `[N]` tokens of each, ascending.
      order: `[N]` the place of each sorted row in the columns one after the other.
      columns: how many columns there were, of equal rows.
    """

    features: dict[str, Any]
    lengths: Tensor
    order: Tensor
    columns: int

    def restore(self, rows: Tensor) -> list[Tensor]:
        """Sorted `[N, d]` rows as one `[N / columns, d]` tensor a column, in the given order."""
        back = torch.empty_like(self.order)
        back[self.order] = torch.arange(len(self.order), device=self.order.device)
        return list(rows[back].chunk(self.columns))


def pack(features: Sequence[Mapping[str, Any]]) -> Packed | None:
    """Merges and sorts the columns of a batch; None if their form does not allow it.

    Args:
      features: for each column what the tokenizer gave: `input_ids`, `attention_mask`...
    """
    columns = [dict(column) for column in features]
    merged = merge_feature_batches(columns) if len(columns) > 1 else columns[0]
    if merged is None or "cu_seq_lens_q" in merged:
        return None
    mask = merged.get("attention_mask")
    if not isinstance(mask, Tensor) or mask.ndim != 2:
        return None
    places = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    lengths, order = (mask.bool() * places).amax(1).sort(stable=True)
    rows = {
        name: value[order] if _is_rows(name, value, len(order)) else value
        for name, value in merged.items()
    }
    return Packed(rows, lengths, order, len(columns))


def piece(packed: Packed, begin: int, end: int) -> dict[str, Any]:
    """Rows `begin` to `end` with the padding beyond their longest cut off."""
    width = int(packed.lengths[end - 1])
    whole = packed.features["attention_mask"].shape[1]
    found: dict[str, Any] = {}
    for name, value in packed.features.items():
        if not _is_rows(name, value, len(packed.order)):
            found[name] = value
        elif value.ndim >= 2 and value.shape[1] == whole:
            found[name] = value[begin:end, :width]
        else:
            found[name] = value[begin:end]
    return found


def length_pieces(lengths: np.ndarray, cost: int) -> list[tuple[int, int]]:
    """The cut of sorted texts into pieces that needs the fewest padded tokens.

    Exact, by dynamic programming over the places where the length changes (no other cut helps).

    Args:
      lengths: `[N]` ascending.
      cost: of one piece more, in tokens.

    Returns:
      (begin, end) of each piece, in order; they cover all rows.
    """
    n = len(lengths)
    if n == 0:
        return []
    ends = np.append(np.flatnonzero(np.diff(lengths)) + 1, n)  # a piece may end here
    widths = lengths[ends - 1]
    starts = np.append(0, ends[:-1])
    best = np.zeros(len(ends) + 1)
    came = np.zeros(len(ends) + 1, dtype=np.int64)
    for last in range(1, len(ends) + 1):
        rows = ends[last - 1] - starts[:last]
        totals = best[:last] + rows * widths[last - 1] + cost
        came[last] = int(np.argmin(totals))
        best[last] = totals[came[last]]
    pieces: list[tuple[int, int]] = []
    last = len(ends)
    while last > 0:
        first = int(came[last])
        pieces.append((int(starts[first]), int(ends[last - 1])))
        last = first
    return pieces[::-1]


def embed(model: nn.Module, packed: Packed, *, cost: int | None = None) -> Tensor:
    """`[N, d]` sentence embeddings in sorted order, piece by piece.

    Args:
      model: takes features, gives a dictionary with `sentence_embedding`.
      packed: the batch.
      cost: see `length_pieces`; None: what fits the device.
    """
    device = packed.lengths.device.type
    price = _PIECE_COST.get(device, _DEFAULT_COST) if cost is None else cost
    pieces = length_pieces(packed.lengths.cpu().numpy(), price)
    parts = [model(piece(packed, begin, end))["sentence_embedding"] for begin, end in pieces]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _is_rows(name: str, value: Any, n: int) -> bool:
    # `prompt_length` is one number for the batch in whatever form it comes.
    return (
        isinstance(value, Tensor)
        and name != "prompt_length"
        and value.ndim >= 1
        and value.shape[0] == n
    )
