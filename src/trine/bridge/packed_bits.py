"""Observations as bits: eight to a byte while they wait, floats when a network reads them.

Every codec of ours is made of zeros and ones, and a batch of self-play waits in memory for several
passes: 60 bytes a decision instead of 1,920.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["pack_bits", "unpack_bits"]

_PLACES = 2 ** torch.arange(8)


def pack_bits(x: Tensor) -> Tensor:
    """`[n, F]` zeros and ones of any type to `[n, ⌈F/8⌉]` uint8, the first number lowest."""
    short = -x.shape[1] % 8
    padded = functional.pad(x.to(torch.uint8), (0, short))
    bits = padded.view(len(x), padded.shape[1] // 8, 8)
    packed = bits[..., 0].clone()
    for place in range(1, 8):
        packed |= bits[..., place] << place
    return packed


def unpack_bits(packed: Tensor, length: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """`[n, ⌈F/8⌉]` uint8 back to `[n, F]` numbers of type `dtype`, `F` being `length`."""
    table = _table(packed.device, dtype)
    return functional.embedding(packed.int(), table).flatten(1)[:, :length]


_TABLES: dict[tuple[torch.device, torch.dtype], Tensor] = {}


def _table(device: torch.device, dtype: torch.dtype) -> Tensor:
    """The eight bits of each byte, `[256, 8]`: constants, made once for each device and type."""
    key = (device, dtype)
    if key not in _TABLES:
        bits = (torch.arange(256)[:, None] // _PLACES) % 2
        _TABLES[key] = bits.to(device=device, dtype=dtype)
    return _TABLES[key]
