"""Auctions that were recorded: files to arrays.

Two layouts are read: JSON lines with `deal` (`N:hand hand hand hand`), `dealer`, `vul` and `calls`
(`1C P X ...`), gzip too; and `npz` archives with `owner_packed`, `dealer_vul` and `calls`, whose
cards count suits from spades (format in the data's README).
"""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trine.bridge.calls import DOUBLE, NUM_BIDS, PASS, REDOUBLE
from trine.bridge.symmetry import canonical_hash
from trine.core.errors import DataError

__all__ = ["RecordedAuctions", "held_out_mask", "join", "read_auctions"]

_SEATS = "NESW"
_VULNERABILITY = {"None": 0, "NS": 1, "EW": 2, "Both": 3}
_RANKS = {rank: place for place, rank in enumerate("23456789TJQKA")}
_CALLS = {
    **{f"{bid // 5 + 1}{'CDHSN'[bid % 5]}": bid for bid in range(NUM_BIDS)},
    "P": PASS,
    "X": DOUBLE,
    "XX": REDOUBLE,
}
_MAX_CALLS = 64
"""Longer auctions are left out: none of the recorded ones is."""


@dataclass(frozen=True, slots=True)
class RecordedAuctions:
    """Finished auctions.

    Attributes:
      owner: seat of each card, uint8 `[n, 52]`.
      dealer: seat, uint8 `[n]`.
      vulnerability: bits, uint8 `[n]`.
      calls: int8 `[n, t]`, -1 after the end.
    """

    owner: np.ndarray[Any, Any]
    dealer: np.ndarray[Any, Any]
    vulnerability: np.ndarray[Any, Any]
    calls: np.ndarray[Any, Any]

    def __len__(self) -> int:
        return len(self.owner)

    def take(self, rows: np.ndarray[Any, Any]) -> RecordedAuctions:
        """Some of them, by index or mask."""
        return RecordedAuctions(
            self.owner[rows], self.dealer[rows], self.vulnerability[rows], self.calls[rows]
        )


def read_auctions(path: Path) -> RecordedAuctions:
    """The auctions of a file.

    Raises:
      DataError: missing, of another layout, or a line that is not an auction (which one, and why).
    """
    if not path.is_file():
        raise DataError(f"no file {path}", hint="check imitation.auctions")
    return _read_archive(path) if path.suffix == ".npz" else _read_lines(path)


def join(parts: Sequence[RecordedAuctions]) -> RecordedAuctions:
    """Several as one."""
    width = max(part.calls.shape[1] for part in parts)
    padded = [
        np.pad(p.calls, ((0, 0), (0, width - p.calls.shape[1])), constant_values=-1) for p in parts
    ]
    return RecordedAuctions(
        np.concatenate([part.owner for part in parts]),
        np.concatenate([part.dealer for part in parts]),
        np.concatenate([part.vulnerability for part in parts]),
        np.concatenate(padded),
    )


def held_out_mask(owner: np.ndarray[Any, Any], share: float) -> np.ndarray[Any, Any]:
    """`[n]` whether a deal is held out: by its canonical form, so all its auctions are.

    The hash is the one of the split into training and evaluation (`trine.bridge.symmetry`), from
    its other end: none of these deals is of the evaluation part.

    Args:
      owner: uint8 `[n, 52]`.
      share: of the deals, below `1 - EVALUATION_SHARE`.
    """
    return canonical_hash(owner) >= np.uint64(int((1 - share) * 2**64))


def _read_archive(path: Path) -> RecordedAuctions:
    try:
        with np.load(path, allow_pickle=False) as archive:
            packed, dealer_vul = archive["owner_packed"], archive["dealer_vul"]
            recorded = archive["calls"]
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} is not an archive of auctions ({error})",
            accepted="npz with owner_packed, dealer_vul and calls",
        ) from error
    owner = ((packed[:, :, None] >> (2 * np.arange(4))) & 3).reshape(len(packed), 52)
    # Their suits run from spades to clubs, ours from clubs to spades; ranks are the same.
    owner = owner.reshape(-1, 4, 13)[:, ::-1].reshape(-1, 52).astype(np.uint8)
    table = np.full(256, -1, dtype=np.int8)
    table[0], table[1], table[2] = PASS, DOUBLE, REDOUBLE
    table[5:40] = np.arange(35)
    calls = table[recorded]
    longest = int((calls >= 0).sum(1).max(initial=1))
    return RecordedAuctions(owner, dealer_vul[:, 0], dealer_vul[:, 1], calls[:, :longest])


def _read_lines(path: Path) -> RecordedAuctions:
    owners: list[np.ndarray[Any, Any]] = []
    dealers: list[int] = []
    vulnerabilities: list[int] = []
    auctions: list[list[int]] = []
    for number, line in enumerate(_lines(path), 1):
        try:
            row = json.loads(line)
            calls = [_CALLS[word] for word in row["calls"].split()]
            owner = _owner(row["deal"])
            dealer = _SEATS.index(row["dealer"])
            vulnerability = _VULNERABILITY[row["vul"]]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path}, line {number}: not an auction ({error})",
                accepted="JSON with deal, dealer, vul and calls",
            ) from None
        if len(calls) > _MAX_CALLS:
            continue
        owners.append(owner)
        dealers.append(dealer)
        vulnerabilities.append(vulnerability)
        auctions.append(calls)
    if not auctions:
        raise DataError(f"{path} holds no auction")
    longest = max(len(calls) for calls in auctions)
    padded = np.full((len(auctions), longest), -1, dtype=np.int8)
    for row, calls in zip(padded, auctions, strict=True):
        row[: len(calls)] = calls
    return RecordedAuctions(
        np.stack(owners).astype(np.uint8),
        np.array(dealers, dtype=np.uint8),
        np.array(vulnerabilities, dtype=np.uint8),
        padded,
    )


def _owner(text: str) -> np.ndarray[Any, Any]:
    """Seat of each card, `[52]`, of `N:spades.hearts.diamonds.clubs hand hand hand`."""
    first, _, hands = text.partition(":")
    owner = np.full(52, 255, dtype=np.uint8)
    for place, hand in enumerate(hands.split()):
        for suit, ranks in zip((3, 2, 1, 0), hand.split("."), strict=True):
            for rank in ranks:
                owner[suit * 13 + _RANKS[rank]] = (_SEATS.index(first) + place) % 4
    if np.bincount(owner, minlength=256)[:4].tolist() != [13] * 4:
        raise ValueError("not 13 different cards for each of four seats")
    return owner


def _lines(path: Path) -> Iterable[str]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            yield from (line for line in file if line.strip())
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path} ({error})", hint="get the file again") from error
