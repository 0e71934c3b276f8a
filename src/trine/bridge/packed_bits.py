"""Observations as bits: eight to a byte while they wait, floats when a network reads them.

Every codec of ours is made of zeros and ones, and a batch of self-play waits in memory for several
passes: 60 bytes a decision instead of 1,920.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["by_arithmetic", "pack_bits", "unpack_bits"]

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
    # Looking bytes up is many small reads on a GPU, and arithmetic is free there.
    bits = by_arithmetic(packed, dtype) if packed.is_cuda else _looked_up(packed, dtype)
    return bits.flatten(1)[:, :length]


def by_arithmetic(packed: Tensor, dtype: torch.dtype) -> Tensor:
    """The bits of each byte, `[..., 8]`, by shifting."""
    places = torch.arange(8, dtype=torch.uint8, device=packed.device)
    return (packed[..., None] >> places & 1).to(dtype)


def _looked_up(packed: Tensor, dtype: torch.dtype) -> Tensor:
    return functional.embedding(packed.int(), _table(packed.device, dtype))


_TABLES: dict[tuple[torch.device, torch.dtype], Tensor] = {}


def _table(device: torch.device, dtype: torch.dtype) -> Tensor:
    """The eight bits of each byte, `[256, 8]`: constants, made once for each device and type."""
    key = (device, dtype)
    if key not in _TABLES:
        bits = (torch.arange(256)[:, None] // _PLACES) % 2
        _TABLES[key] = bits.to(device=device, dtype=dtype)
    return _TABLES[key]
