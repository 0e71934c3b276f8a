"""A deals file: records of 23 bytes that can be written in any order, cut short and mapped.

Layout, little-endian:

    bytes      content
    0..7       b"TRINEDDS"
    8..11      version (1)
    12..15     records in a block, B
    16..23     records N that the file is for
    24..31     seed of random deals, -1 for deals from elsewhere
    32..47     part of all deals that it was drawn from, ASCII, padded with zeros
    60..63     CRC-32 of bytes 0..59
    64..       ⌈N/B⌉ entries of 8 bytes: records written in this block, CRC-32 of those
    then       N records

A block counts from the moment when its entry and its records agree, so whatever kills a writer
costs no more than the blocks that were under way, and a file that is cut short or damaged keeps
every block that is whole. Entries stand before the records for that reason.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trine.core.artifacts import atomic_path
from trine.core.errors import DataError

__all__ = ["RECORD_BYTES", "BlockState", "DealsFile", "Header", "is_deals_file", "write_deals"]

MAGIC = b"TRINEDDS"
VERSION = 1
RECORD_BYTES = 23
_HEAD = struct.Struct("<8sIIQq16s12x")
_HEAD_BYTES = 64
_ENTRY = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class Header:
    """What a deals file says of itself.

    Attributes:
      count: records that the file is for.
      block: records in a block.
      seed: of random deals, -1 for deals from elsewhere.
      part: what they were drawn from; see `trine.bridge.symmetry.PARTS`.
    """

    count: int
    block: int
    seed: int = -1
    part: str = "all"

    @property
    def blocks(self) -> int:
        """How many blocks there are, the last one perhaps shorter."""
        return -(-self.count // self.block)

    @property
    def records_at(self) -> int:
        """Offset of the first record, bytes."""
        return _HEAD_BYTES + _ENTRY.size * self.blocks

    @property
    def file_bytes(self) -> int:
        """Size of a file with every record."""
        return self.records_at + RECORD_BYTES * self.count

    def length(self, index: int) -> int:
        """Records that belong to block `index`."""
        return min(self.block, self.count - index * self.block)

    def encode(self) -> bytes:
        """The first 64 bytes."""
        part = self.part.encode("ascii")
        head = _HEAD.pack(MAGIC, VERSION, self.block, self.count, self.seed, part)
        return head + struct.pack("<I", zlib.crc32(head))


@dataclass(frozen=True, slots=True)
class BlockState:
    """Which blocks of a file can be read.

    Attributes:
      whole: bool `[blocks]`, entry and records agree and the block is full.
      broken: bool `[blocks]`, an entry is there and its records are not what it says.
    """

    whole: np.ndarray[Any, Any]
    broken: np.ndarray[Any, Any]


def is_deals_file(path: Path) -> bool:
    """Whether a file begins like one."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


class DealsFile:
    """An open deals file; a context manager.

    Args:
      path: the file.
      header: what it says of itself, read by `open` or written by `create`.
      writable: whether blocks may be written; then nobody else may write meanwhile.
    """

    def __init__(self, path: Path, header: Header, *, writable: bool = False) -> None:
        self.path = path
        self.header = header
        self._file = path.open("r+b" if writable else "rb")
        if writable:
            self._lock()

    @classmethod
    def open(cls, path: Path, *, writable: bool = False) -> DealsFile:
        """Opens a file that is there.

        Raises:
          DataError: missing, not a deals file, its first 64 bytes damaged, or not writable.
        """
        try:
            return cls(path, _read_header(path), writable=writable)
        except FileNotFoundError as error:
            raise DataError(
                f"no file {path}", hint="make one: trine bridge deals generate"
            ) from error
        except OSError as error:
            raise DataError(f"cannot open {path}: {error.strerror or error}") from error

    @classmethod
    def create(cls, path: Path, header: Header) -> DealsFile:
        """Makes a file without any record and opens it for writing."""
        _write_whole(path, header, b"", b"")
        return cls.open(path, writable=True)

    def __enter__(self) -> DealsFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends reading or writing."""
        self._file.close()

    def state(self) -> BlockState:
        """Checks every block against its entry."""
        header = self.header
        self._file.seek(_HEAD_BYTES)
        table = self._file.read(_ENTRY.size * header.blocks)
        table = table.ljust(_ENTRY.size * header.blocks, b"\0")
        entries = np.frombuffer(table, dtype="<u4").reshape(-1, 2)
        whole = np.zeros(header.blocks, dtype=bool)
        broken = np.zeros(header.blocks, dtype=bool)
        for index in np.flatnonzero(entries[:, 0]):
            written, checksum = int(entries[index, 0]), int(entries[index, 1])
            size = RECORD_BYTES * written
            fits = written <= header.length(int(index))
            data = self._read_block(int(index), size) if fits else b""
            good = len(data) == size > 0 and zlib.crc32(data) == checksum
            # A block that was the short last one before the file grew is neither: it is redone.
            whole[index] = good and written == header.length(int(index))
            broken[index] = not good
        return BlockState(whole, broken)

    def _read_block(self, index: int, size: int) -> bytes:
        self._file.seek(self.header.records_at + RECORD_BYTES * self.header.block * index)
        return self._file.read(size)

    def write_block(self, index: int, records: np.ndarray[Any, Any]) -> None:
        """Writes a block: records first, then the entry that makes them count.

        Args:
          index: which block.
          records: uint8 `[header.length(index), 23]`.

        Raises:
          DataError: the disk is full.
        """
        data = np.ascontiguousarray(records, dtype=np.uint8).tobytes()
        assert len(data) == RECORD_BYTES * self.header.length(index)
        entry = _ENTRY.pack(len(records), zlib.crc32(data))
        try:
            self._file.seek(self.header.records_at + RECORD_BYTES * self.header.block * index)
            self._file.write(data)
            self._file.flush()
            self._file.seek(_HEAD_BYTES + _ENTRY.size * index)
            self._file.write(entry)
            self._file.flush()
        except OSError as error:
            raise DataError(
                f"cannot write {self.path}: {error.strerror or error}",
                hint="free some space, then run the same command again",
            ) from error

    def records(self) -> np.ndarray[Any, Any]:
        """All that is there, mapped: read-only uint8 `[n, 23]`, n ≤ `header.count`."""
        size = self.path.stat().st_size
        there = max(0, min(self.header.count, (size - self.header.records_at) // RECORD_BYTES))
        if there == 0:
            return np.zeros((0, RECORD_BYTES), dtype=np.uint8)
        return np.memmap(
            self.path, np.uint8, "r", self.header.records_at, shape=(there, RECORD_BYTES)
        )

    def grown(self, count: int) -> DealsFile:
        """The same file for more records, opened for writing; closes this one."""
        header = replace(self.header, count=count)
        self._file.seek(_HEAD_BYTES)
        entries = self._file.read(_ENTRY.size * self.header.blocks)
        self._file.seek(self.header.records_at)
        _write_whole(self.path, header, entries, self._file.read())
        self.close()
        return DealsFile.open(self.path, writable=True)

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows: nobody watches there
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise DataError(
                f"{self.path} is being written by another process",
                hint="wait for it, or choose another file",
            ) from error


def write_deals(path: Path, records: np.ndarray[Any, Any], block: int = 40) -> None:
    """Writes a whole deals file at once, atomically.

    Args:
      path: where.
      records: uint8 `[n, 23]`.
      block: records in a block, what a cut or damage costs at least.
    """
    header = Header(len(records), block)
    records = np.ascontiguousarray(records, dtype=np.uint8)
    entries: list[bytes] = []
    for start in range(0, len(records), block):
        part = records[start : start + block]
        entries.append(_ENTRY.pack(len(part), zlib.crc32(part.tobytes())))
    _write_whole(path, header, b"".join(entries), records.tobytes())


def _write_whole(path: Path, header: Header, entries: bytes, records: bytes) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(header.encode())
        file.write(entries)
        file.seek(header.records_at)
        file.write(records)
        file.truncate(header.file_bytes)


def _read_header(path: Path) -> Header:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head[: len(MAGIC)] != MAGIC:
        raise DataError(
            f"{path} is not a deals file", accepted="what `trine bridge deals` writes, or npz"
        )
    if len(head) < _HEAD_BYTES or head[-4:] != struct.pack("<I", zlib.crc32(head[:-4])):
        raise DataError(
            f"the head of {path} is damaged", hint="get the file again, or generate it anew"
        )
    _, version, block, count, seed, part = _HEAD.unpack(head[: _HEAD.size])
    if version != VERSION:
        raise DataError(
            f"{path} is a deals file of version {version}",
            accepted=f"version {VERSION}",
            hint="use the trine that wrote it",
        )
    return Header(count, block, seed, part.rstrip(b"\0").decode("ascii"))
