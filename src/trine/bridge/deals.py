"""Solved deals: who holds each card, and the double-dummy table.

A deal is `owner`, the seat (N E S W = 0..3) of each of 52 cards, card = suit x 13 + rank with suits
C D H S and ranks 2..A; its table is 20 trick counts, strain C D H S NT (major) then declarer
N E S W. Packed, a record is 23 bytes: 13 of cards, two bits each, and 10 of tricks, four bits each,
lowest bits first.
"""

from __future__ import annotations

import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trine.bridge.deals_file import RECORD_BYTES, DealsFile, is_deals_file
from trine.core.errors import DataError, UsageError

__all__ = [
    "SAMPLES",
    "SolvedDeals",
    "check_owner",
    "check_tricks",
    "pack_deals",
    "random_owner",
    "read_solved_deals",
    "unpack_deals",
]

_logger = logging.getLogger(__name__)

_CARD_BYTES = 13
_DATA = Path(__file__).parent / "data"

SAMPLES = {"sample:random-10k": _DATA / "dd_tables_random.npz"}
"""Solved deals that come with the package."""


@dataclass(frozen=True, slots=True)
class SolvedDeals:
    """Deals with their double-dummy tables.

    Attributes:
      owner: seat of each card, uint8 `[n, 52]`.
      tricks: double-dummy tricks, strain major, uint8 `[n, 20]`.
    """

    owner: np.ndarray[Any, Any]
    tricks: np.ndarray[Any, Any]

    def __len__(self) -> int:
        return len(self.owner)

    def take(self, rows: np.ndarray[Any, Any]) -> SolvedDeals:
        """Some of them, by index or mask."""
        return SolvedDeals(self.owner[rows], self.tricks[rows])


def random_owner(count: int, generator: np.random.Generator) -> np.ndarray[Any, Any]:
    """Uniformly random deals, uint8 `[count, 52]`."""
    ordered = np.repeat(np.arange(4, dtype=np.uint8), 13)
    return generator.permuted(np.tile(ordered, (count, 1)), axis=1)


def pack_deals(owner: np.ndarray[Any, Any], tricks: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Records of 23 bytes.

    Args:
      owner: `[n, 52]`, 0..3.
      tricks: `[n, 20]`, 0..13.

    Returns:
      uint8 `[n, 23]`.
    """
    cards = owner.astype(np.uint8).reshape(len(owner), 13, 4)
    packed_cards = (cards << np.array([0, 2, 4, 6], dtype=np.uint8)).sum(2, dtype=np.uint8)
    pairs = tricks.astype(np.uint8).reshape(len(tricks), 10, 2)
    return np.concatenate([packed_cards, pairs[:, :, 0] | pairs[:, :, 1] << 4], axis=1)


def unpack_deals(records: np.ndarray[Any, Any]) -> SolvedDeals:
    """The deals of uint8 records `[n, 23]`."""
    count = len(records)
    cards, tables = records[:, :_CARD_BYTES, None], records[:, _CARD_BYTES:, None]
    owner = (cards >> np.array([0, 2, 4, 6], dtype=np.uint8)) & 3
    tricks = (tables >> np.array([0, 4], dtype=np.uint8)) & 15
    return SolvedDeals(owner.reshape(count, 52), tricks.reshape(count, 20))


def read_solved_deals(source: Path | str) -> SolvedDeals:
    """All whole deals of a file.

    What of a deals file is not whole is left out with a warning; blocks that a generation has not
    reached yet are left out in silence.

    Args:
      source: a deals file, an npz with `owner_packed` and `tricks_packed`, or a name of `SAMPLES`.

    Raises:
      DataError: missing, of another kind, or without a single whole deal.
      UsageError: a sample that there is not.
    """
    if str(source).startswith("sample:"):
        if str(source) not in SAMPLES:
            raise UsageError.unknown("sample", str(source), list(SAMPLES))
        source = SAMPLES[str(source)]
    path = Path(source)
    if path.is_file() and not is_deals_file(path) and zipfile.is_zipfile(path):
        return _read_npz(path)
    with DealsFile.open(path) as file:
        state = file.state()
        records = file.records()
        header = file.header
    if state.broken.any():
        _logger.warning(
            "%s: %d of %d blocks are cut off or damaged; the other deals are used",
            path, state.broken.sum(), header.blocks,
        )  # fmt: skip
    if not state.whole.any():
        raise DataError(
            f"{path} holds no whole deal yet" if not state.broken.any() else
            f"{path} is damaged: none of its {header.blocks} blocks is whole",
            hint="run the command that makes it again: trine bridge deals generate, or import",
        )  # fmt: skip
    kept = np.repeat(state.whole, header.block)[: len(records)]
    return unpack_deals(np.asarray(records) if kept.all() else records[kept])


def _read_npz(path: Path) -> SolvedDeals:
    try:
        with np.load(path, allow_pickle=False) as archive:
            cards, tricks = archive["owner_packed"], archive["tricks_packed"]
            records = np.concatenate([cards, tricks], axis=1)
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} holds no solved deals ({error})",
            accepted="a deals file, or npz with owner_packed [n, 13] and tricks_packed [n, 10]",
        ) from error
    if records.dtype != np.uint8 or records.shape[1] != RECORD_BYTES or not len(records):
        raise DataError(
            f"{path} holds {records.dtype} {list(records.shape)}",
            accepted=f"uint8 [n, {RECORD_BYTES}], cards and tricks together",
        )
    deals = unpack_deals(records)
    check_owner(deals.owner, str(path))
    check_tricks(deals.tricks, str(path))
    return deals


def check_owner(owner: np.ndarray[Any, Any], where: str) -> None:
    """Checks that every seat has 13 cards in every deal.

    Raises:
      DataError: naming the first deal where it has not.
    """
    held = np.stack([(owner == seat).sum(1) for seat in range(4)], axis=1)
    wrong = np.flatnonzero((held != 13).any(1))
    if len(wrong):
        first = int(wrong[0])
        raise DataError(
            f"{where}: deal {first + 1} gives the seats N E S W {held[first].tolist()} cards",
            accepted="13 each",
        )


def check_tricks(tricks: np.ndarray[Any, Any], where: str) -> None:
    """Checks that no declarer takes more than 13 tricks.

    Raises:
      DataError: naming the first deal where one does.
    """
    wrong = np.flatnonzero((tricks > 13).any(1))
    if len(wrong):
        raise DataError(
            f"{where}: the table of deal {int(wrong[0]) + 1} has {tricks[wrong[0]].max()} tricks",
            accepted="0 to 13",
        )
