"""The boards of a match from whatever somebody has: solved deals, a named set, a text of boards.

Deals of a text are played with the dealer and the vulnerability that it tells; those of other files
get them by the seed. Tables that are missing are solved, those of the boards that are played only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from trine.bridge.deals import SolvedDeals
from trine.bridge.deals_file import DealsFile, is_deals_file
from trine.bridge.double_dummy import solve_tables
from trine.bridge.evaluation_sets import EVALUATION_SETS, set_name
from trine.bridge.importers import UNSOLVED, ForeignDeals, check_tables, read_foreign_deals
from trine.bridge.match import Boards, boards_of
from trine.bridge.records import BoardRecord, read_records
from trine.bridge.symmetry import is_evaluation
from trine.core.errors import DataError
from trine.core.executors import Executor
from trine.core.progress import Progress

__all__ = ["MatchDeals", "match_boards", "read_match_deals", "solve_missing", "trained_on_text"]

USUAL_BOARDS = 1000
"""How many boards are played if nobody says."""

_CHECKED = 2
"""Tables of other programs that are solved again before they are believed."""

_INSTEAD = "have it solved: trine bridge deals import FILE --ignore-tables --out NEW.deals"

_BATCH = 8  # small enough that progress is seen and that two processes have something to do


@dataclass(frozen=True, slots=True)
class MatchDeals:
    """Deals to play, perhaps without tables.

    Attributes:
      owner: `[n, 52]` seats.
      tricks: `[n, 20]`, `UNSOLVED` throughout where there is no table.
      name: what they are called in a report.
      dealer: `[n]` seats, None: not told.
      vulnerability: `[n]` bits, None: not told.
      problems: one line for each board of a text that could not be read.
    """

    owner: NDArray[np.uint8]
    tricks: NDArray[np.uint8]
    name: str
    dealer: NDArray[np.int64] | None = None
    vulnerability: NDArray[np.int64] | None = None
    problems: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.owner)


def read_match_deals(source: str) -> MatchDeals:
    """The deals of a source; those that occur twice once.

    Args:
      source: a deals file, an npz, a sample, a JPS database, a pgx array; PBN, LIN or a viewer URL;
        or the name of an evaluation set whose file lies here.

    Raises:
      DataError: missing, or nothing that can be read.
    """
    if source in EVALUATION_SETS and not Path(source).exists():
        path = Path(f"{source}.deals")
        if not path.exists():
            raise DataError(
                f"no file {path} here for the set {source!r}",
                hint=f"make it with: trine bridge deals generate --set {source}",
            )
        source = str(path)
    path = Path(source)
    if _is_text(source, path):
        return _of_text(source)
    deals = read_foreign_deals(source)
    if not (is_deals_file(path) or source.startswith("sample:")):
        check_tables(deals, _CHECKED, instead=_INSTEAD)
    return MatchDeals(deals.owner, deals.tricks, _name(source, path, len(deals.owner)))


def trained_on_text(owner: NDArray[np.uint8]) -> str:
    """A line for people if some of the deals may have been trained on; else empty.

    Args:
      owner: `[n, 52]` deals that are played.
    """
    may = int((~is_evaluation(owner)).sum())
    if not may:
        return ""
    return (
        f"{may:,} of {len(owner):,} boards are of deals that a training may use; for figures to "
        "report make a set that none does: trine bridge deals generate --set evaluation-10k"
    )


def match_boards(
    deals: MatchDeals,
    count: int | None,
    seed: int,
    *,
    permute: bool = False,
    executor: Executor,
    progress: Progress,
    say: Callable[[str], object] = lambda _: None,
    say_every: float = 60.0,
) -> Boards:
    """Boards ready to play.

    Args:
      deals: to take them from.
      count: how many; None: `USUAL_BOARDS`, or as many as there are deals.
      seed: of what the deals do not tell.
      permute: see `trine.bridge.match.boards_of`.
      executor: where missing tables are solved.
      progress: told how far the solver is.
      say: told the same in words where there is no bar.
      say_every: seconds between two such words.

    Raises:
      UsageError: more boards than there are deals.
    """
    if count is None:
        count = min(USUAL_BOARDS, len(deals))
    # Refused before the solver starts, if there are too few.
    boards_of(SolvedDeals(deals.owner, deals.tricks), count, seed, permute=permute)
    tricks = solve_missing(
        deals.owner[:count], deals.tricks[:count],
        executor=executor, progress=progress, say=say, say_every=say_every,
    )  # fmt: skip
    made = boards_of(SolvedDeals(deals.owner[:count], tricks), count, seed, permute=permute)
    if deals.dealer is None or deals.vulnerability is None:
        return made
    # A deal that comes again with other suits is another board: the text tells of the first only.
    told = np.arange(count) < len(deals)
    dealer = np.where(told, deals.dealer[made.deal], made.dealer)
    vulnerability = np.where(told, deals.vulnerability[made.deal], made.vulnerability)
    return Boards(made.owner, made.tricks, dealer, vulnerability, made.deal)


def solve_missing(
    owner: NDArray[np.uint8],
    tricks: NDArray[np.uint8],
    *,
    executor: Executor,
    progress: Progress,
    say: Callable[[str], object] = lambda _: None,
    say_every: float = 60.0,
) -> NDArray[np.uint8]:
    """`[n, 20]` the tables, those that are `UNSOLVED` made by the solver."""
    missing = np.flatnonzero(tricks[:, 0] == UNSOLVED)
    if not len(missing):
        return tricks
    tricks = tricks.copy()
    batches = [missing[i : i + _BATCH] for i in range(0, len(missing), _BATCH)]
    say(f"{len(missing):,} of {len(tricks):,} deals have no double-dummy table; solving them")
    done, told = 0, monotonic()
    with progress.task("solving", len(missing)) as task:
        for index, table in executor.run(solve_tables, [owner[rows] for rows in batches]):
            tricks[batches[index]] = table
            done += len(table)
            task.advance(len(table))
            if monotonic() - told > say_every:
                say(f"{done:,} of {len(missing):,} deals solved")
                told = monotonic()
    return tricks


def _is_text(source: str, path: Path) -> bool:
    if source.startswith("sample:") or not path.is_file():
        return "://" in source
    with path.open("rb") as file:
        head = file.read(16)
    return not head.startswith((b"SQLite format 3\0", b"\x93NUMPY", b"PK")) and not is_deals_file(
        path
    )


def _of_text(source: str) -> MatchDeals:
    records = read_records(source, auctions=False)
    boards = records.require(source)
    first: dict[bytes, BoardRecord] = {}
    solved: dict[bytes, tuple[int, ...]] = {}
    for board in boards:  # the two rooms of a match hold the same board
        key = board.deal.owner.tobytes()
        first.setdefault(key, board)
        if board.tricks is not None:
            solved.setdefault(key, board.tricks)
    kept = list(first.values())
    owner = np.stack([board.deal.owner for board in kept]).astype(np.uint8)
    tricks = np.array([solved.get(key, (UNSOLVED,) * 20) for key in first], dtype=np.uint8)
    check_tables(ForeignDeals(owner, tricks), _CHECKED, instead=_INSTEAD)
    return MatchDeals(
        owner=owner,
        tricks=tricks,
        name="a viewer URL" if "://" in source else Path(source).name,
        dealer=np.array([board.dealer for board in kept], dtype=np.int64),
        vulnerability=np.array([int(board.vulnerability) for board in kept], dtype=np.int64),
        problems=records.problems,
    )


def _name(source: str, path: Path, count: int) -> str:
    if not is_deals_file(path):
        return source if source.startswith("sample:") else path.name
    with DealsFile.open(path) as file:
        named, wanted = set_name(file.header), file.header.count
    if named is None:
        return path.name
    return named if count == wanted else f"{count:,} of the {wanted:,} deals of {named}"
