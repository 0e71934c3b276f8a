"""Deals of other programs, with or without tables, into a deals file.

    layout   known by             content
    text     none of the below    PBN, LIN, viewer URL: `trine.bridge.records`
    JPS      SQLite               table `records`, JSON with `pbn` and `ddt`, 20 numbers as ours
    pgx      npy, int [2, n, 4]   [0]: suits S H D C, base-4 owners of A 2 3 ... K;
                                  [1]: declarers N E S W, hexadecimal tricks in C D H S NT
    ours     deals file, or npz   `trine.bridge.deals`

In the two packed numbers of pgx the digit named first is the most significant.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trine.bridge.cards import parse_deal
from trine.bridge.deal_generation import Generated, fill_blocks
from trine.bridge.deals import (
    check_owner,
    check_tricks,
    pack_deals,
    read_solved_deals,
    unpack_deals,
)
from trine.bridge.deals_file import DealsFile, Header, is_deals_file, write_deals
from trine.bridge.double_dummy import BATCH, solve_tables
from trine.bridge.records import read_records
from trine.core.errors import CheckFailed, DataError, UsageError, UserError
from trine.core.executors import Executor
from trine.core.progress import Progress

__all__ = ["ForeignDeals", "check_tables", "import_deals", "read_foreign_deals"]

_PGX_PART = 500_000

UNSOLVED = 15
"""In place of a number of tricks: the table of this deal is not known."""


@dataclass(frozen=True, slots=True)
class ForeignDeals:
    """Deals of another program.

    Attributes:
      owner: seat of each card, uint8 `[n, 52]`.
      tricks: uint8 `[n, 20]`, `UNSOLVED` throughout where there is no table.
      problems: one line for each board that could not be read.
    """

    owner: np.ndarray[Any, Any]
    tricks: np.ndarray[Any, Any]
    problems: tuple[str, ...] = ()

    @property
    def solved(self) -> np.ndarray[Any, Any]:
        """Which deals have a table, bool `[n]`."""
        return self.tricks[:, 0] != UNSOLVED

    def without_tables(self) -> ForeignDeals:
        """The same deals, none of them solved."""
        return replace(self, tricks=np.full_like(self.tricks, UNSOLVED))


def read_foreign_deals(source: Path | str) -> ForeignDeals:
    """The deals of a file in any of the layouts, or of a viewer URL; doubled ones once.

    Raises:
      DataError: missing, of no layout known here, or a deal that is none (which one).
    """
    path = Path(source)
    head = b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(16)
    if head.startswith(b"SQLite format 3\0"):
        found = _read_jps(path)
    elif head.startswith(b"\x93NUMPY"):
        found = _read_pgx(path)
    elif str(source).startswith("sample:") or is_deals_file(path) or head.startswith(b"PK"):
        deals = read_solved_deals(source)
        found = ForeignDeals(deals.owner, deals.tricks)
    else:
        found = _read_text(source)
    check_owner(found.owner, str(source))
    check_tricks(found.tricks[found.solved], str(source))
    return _without_doubles(found)


def _without_doubles(found: ForeignDeals) -> ForeignDeals:
    """Open and closed room play the same deal; the one with a table is kept, else the first."""
    order = np.argsort(~found.solved, kind="stable")
    _, first = np.unique(found.owner[order], axis=0, return_index=True)
    rows = np.sort(order[first])
    return ForeignDeals(found.owner[rows], found.tricks[rows], found.problems)


def _read_text(source: Path | str) -> ForeignDeals:
    records = read_records(source, auctions=False)
    boards = records.require(str(source))
    return ForeignDeals(
        np.stack([np.asarray(board.deal.owner, dtype=np.uint8) for board in boards]),
        np.array([board.tricks or (UNSOLVED,) * 20 for board in boards], dtype=np.uint8),
        records.problems,
    )


def _read_jps(path: Path) -> ForeignDeals:
    owners: list[np.ndarray[Any, Any]] = []
    tables: list[list[int]] = []
    for number, text in enumerate(_jps_rows(path), 1):
        try:
            row = json.loads(text)
            deal = row["pbn"].split('"')[1] if '"' in row["pbn"] else row["pbn"]
            owners.append(np.asarray(parse_deal(deal.strip()).owner, dtype=np.uint8))
            tables.append([int(number) for number in row["ddt"]])
            if len(tables[-1]) != 20 or not all(0 <= t <= 13 for t in tables[-1]):
                raise DataError("ddt is not 20 numbers of 0 to 13")
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, UserError) as error:
            raise DataError(
                f"{path}, record {number}: not a solved deal ({error})",
                accepted='JSON with "pbn" and "ddt"',
            ) from None
    if not owners:
        raise DataError(f"{path} has no records")
    return ForeignDeals(np.stack(owners), np.array(tables, dtype=np.uint8))


def _jps_rows(path: Path) -> Iterator[str]:
    try:
        # Read-only, so that a wrong path makes no database and a right one stays as it is.
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            for (content,) in database.execute("SELECT content FROM records ORDER BY idx"):
                yield content
    except sqlite3.Error as error:
        raise DataError(
            f"{path} is not a database of deals ({error})",
            accepted="SQLite with a table records (idx, content)",
        ) from error


def _read_pgx(path: Path) -> ForeignDeals:
    try:
        both = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path} is not a whole npy file ({error})") from error
    if both.ndim != 3 or both.shape[0] != 2 or both.shape[2] != 4 or both.dtype.kind not in "iu":
        raise DataError(
            f"{path} holds {both.dtype} {list(both.shape)}", accepted="integers [2, n, 4]"
        )
    if not both.shape[1]:
        raise DataError(f"{path} holds no deals")
    # Millions of deals as 64-bit numbers would take gigabytes at once.
    starts = range(0, both.shape[1], _PGX_PART)
    parts = [_pgx_part(both[:, start : start + _PGX_PART], path) for start in starts]
    return ForeignDeals(
        np.concatenate([owner for owner, _ in parts]),
        np.concatenate([tricks for _, tricks in parts]),
    )


def _pgx_part(
    both: np.ndarray[Any, Any], path: Path
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    keys, values = both.astype(np.int64)
    if (both < 0).any() or (keys >= 4**13).any() or (values >= 16**5).any():
        raise DataError(f"{path} holds numbers that are no deals")
    holders = (keys[:, :, None] >> (2 * np.arange(12, -1, -1))) & 3  # A 2 3 ... K
    suits = np.roll(holders, -1, axis=2)[:, ::-1]  # to 2 ... K A, and suits to C D H S
    tricks = (values[:, :, None] >> (4 * np.arange(4, -1, -1))) & 15  # [n, declarer, strain]
    return (
        suits.reshape(-1, 52).astype(np.uint8),
        tricks.transpose(0, 2, 1).reshape(-1, 20).astype(np.uint8),
    )


def check_tables(
    deals: ForeignDeals, count: int, *, instead: str = "have them solved: --ignore-tables"
) -> None:
    """Solves `count` of the solved deals again: a wrong order of strains would go unnoticed.

    Args:
      deals: at least some of them solved, else nothing is done.
      count: how many.
      instead: what the user may do if they are wrong.

    Raises:
      CheckFailed: a table is not what the solver says.
    """
    rows = np.flatnonzero(deals.solved)
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int))]
    wrong = (solve_tables(deals.owner[chosen]) != deals.tricks[chosen]).any(1)
    if wrong.any():
        raise CheckFailed(
            f"{int(wrong.sum())} of {len(chosen)} tables are not what the solver says, "
            f"the first that of deal {int(chosen[wrong.argmax()]) + 1}",
            hint=f"the file orders strains or declarers otherwise; {instead}",
        )


def import_deals(
    deals: ForeignDeals,
    path: Path,
    *,
    executor: Executor,
    progress: Progress,
    say: Callable[[str], object] = lambda _: None,
    say_every: float = 60.0,
) -> Generated:
    """Writes a deals file; tables that are missing are solved, and that can be gone on with.

    Raises:
      UsageError: the file is there and holds other deals.
      DataError: it cannot be written.
      Interrupted: by Ctrl-C; what was solved is kept.
    """
    count = len(deals.owner)
    if deals.solved.all() and not path.exists():
        write_deals(path, pack_deals(deals.owner, deals.tricks))
        return Generated(path, count, 0, 0.0)
    with _opened(path, deals) as file:
        missing = np.flatnonzero(~file.state().whole)
        parts = {int(block): slice(block * BATCH, (block + 1) * BATCH) for block in missing}
        items = {block: (deals.owner[part], deals.tricks[part]) for block, part in parts.items()}
        return fill_blocks(
            file,
            _with_tables,
            items,
            executor=executor,
            progress=progress,
            say=say,
            say_every=say_every,
        )


def _with_tables(
    deals: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]],
) -> np.ndarray[Any, Any]:
    owner, tricks = deals
    unsolved = tricks[:, 0] == UNSOLVED
    if unsolved.any():
        tricks = tricks.copy()
        tricks[unsolved] = solve_tables(owner[unsolved])
    return pack_deals(owner, tricks)


def _opened(path: Path, deals: ForeignDeals) -> DealsFile:
    wanted = Header(len(deals.owner), BATCH)
    if not path.exists():
        return DealsFile.create(path, wanted)
    file = DealsFile.open(path, writable=True)
    # By index: a file that is cut has fewer records than its head says.
    whole = np.flatnonzero(np.repeat(file.state().whole, file.header.block)[: file.header.count])
    same = file.header == wanted
    if same and len(whole):
        there, solved = unpack_deals(file.records()[whole]), deals.solved[whole]
        same = np.array_equal(there.owner, deals.owner[whole]) and np.array_equal(
            there.tricks[solved], deals.tricks[whole][solved]
        )
    if not same:
        file.close()
        raise _other_deals(path)
    return file


def _other_deals(path: Path) -> UsageError:
    return UsageError(f"{path} is there and holds other deals", hint="choose another file")
