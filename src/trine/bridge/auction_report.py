"""Boards bid to the end, with what the double-dummy table and par say of the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trine.bridge.board_record import BoardRecord, Records, board_number
from trine.bridge.bots.base import Bot
from trine.bridge.calls import format_call
from trine.bridge.cards import SEATS, Deal, board_dealer, board_vulnerability, format_deal
from trine.bridge.deals import SolvedDeals, random_owner
from trine.bridge.importers import UNSOLVED
from trine.bridge.match import Boards, bid_out, boards_of
from trine.bridge.match_deals import solve_missing
from trine.bridge.meanings import told_meanings
from trine.bridge.par import Par, find_par
from trine.bridge.records import read_records, viewer_url
from trine.bridge.scoring import imps, score
from trine.core.errors import DataError, UsageError
from trine.core.executors import Executor
from trine.core.progress import Progress
from trine.core.seeding import Seeds

__all__ = [
    "JudgedBoard",
    "bid_boards",
    "choose_boards",
    "finished_boards",
    "judge",
    "read_boards",
    "solve_boards",
]

_KEPT_TAGS = ("Event", "Site", "Date")
"""What stays true of a board when it is bid anew."""


@dataclass(frozen=True, slots=True)
class JudgedBoard:
    """A board whose auction is over.

    Attributes:
      board: with its table and its par; the tricks that were taken are those of the double-dummy
        table if no others are recorded.
      par: with its contracts.
      tricks: of declarer, double-dummy; None if the board is passed out.
      points: of North-South, at the double-dummy tricks.
    """

    board: BoardRecord
    par: Par
    tricks: int | None
    points: int

    @property
    def imps(self) -> int:
        """Of North-South, against par."""
        return imps(self.points - self.par.score)

    def document(self) -> dict[str, Any]:
        """For JSON; points and IMPs are those of North-South."""
        board, contract = self.board, self.board.contract
        return {
            "board": board.board,
            "dealer": SEATS[board.dealer],
            "vulnerability": board.vulnerability.text,
            "deal": format_deal(board.deal),
            "calls": [format_call(call) for call in board.calls],
            "explanations": {str(place): text for place, text in board.explanations.items()},
            "contract": None if contract is None else str(contract).split()[0],
            "declarer": None if contract is None else SEATS[contract.declarer],
            "tricks": self.tricks,
            "points": self.points,
            "par": self.par.score,
            "par_contracts": str(self.par),
            "imps_against_par": self.imps,
            "double_dummy": board.tricks,
            "url": viewer_url(board),
        }


def solve_boards(
    boards: Sequence[BoardRecord],
    *,
    executor: Executor,
    progress: Progress,
    say: Callable[[str], object] = lambda _: None,
) -> list[BoardRecord]:
    """The boards with their double-dummy tables; those that are missing are solved.

    Args:
      boards: any.
      executor: where they are solved.
      progress: told how far the solver is.
      say: told the same in words from time to time.
    """
    tables = [board.tricks or (UNSOLVED,) * 20 for board in boards]
    owner = np.stack([board.deal.owner for board in boards])
    solved = solve_missing(
        owner, np.array(tables, dtype=np.uint8), executor=executor, progress=progress, say=say
    )
    return [
        replace(board, tricks=tuple(int(number) for number in row))
        for board, row in zip(boards, solved, strict=True)
    ]


def read_boards(source: str) -> Records:
    """The boards of a PBN or LIN file or a viewer URL, or one random board.

    Args:
      source: a path, a URL, or `random:SEED`; the seed chooses cards and board number.

    Raises:
      UsageError: `random` without a proper seed.
      DataError: no such file, or no board in it that can be read.
    """
    kind, _, seed = source.partition(":")
    if kind != "random":
        records = read_records(source)
        records.require(source if "://" not in source else "the viewer URL")
        return records
    if not (seed.isascii() and seed.isdigit()):
        raise UsageError(f"source {source!r}", accepted="random:SEED, e.g. random:7")
    draw = Seeds(int(seed)).generator("auction")
    number = int(draw.integers(1, 17))
    board = BoardRecord(
        deal=Deal(random_owner(1, draw)[0]),
        dealer=board_dealer(number),
        vulnerability=board_vulnerability(number),
        board=str(number),
    )
    return Records((board,))


def choose_boards(records: Records, wanted: str | None, source: str) -> tuple[BoardRecord, ...]:
    """All boards, or those of a number or name (the two rooms of a match hold the same one).

    Raises:
      UsageError: there is no such board.
      DataError: it is there and could not be read.
    """
    if wanted is None:
        return records.boards
    name = wanted.strip().lower()
    found = [
        board for board in records.boards
        if board.board.lower() == name or str(board_number(board.board)) == name
    ]  # fmt: skip
    if found:
        return tuple(found)
    for problem in records.problems:
        if problem.lower().startswith((f"board {name} ", f"board {name}:")):
            raise DataError(f"{source}: {problem}")
    names = list(dict.fromkeys(board.board or "(without a number)" for board in records.boards))
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    raise UsageError(f"no board {wanted!r} in {source}", accepted=", ".join(names[:20]) + more)


def bid_boards(boards: Sequence[BoardRecord], sides: tuple[Bot, Bot]) -> list[BoardRecord]:
    """The boards as two bots bid them, all in lock-step; a call that is explained is alerted.

    Args:
      boards: with their tables; what they tell of an auction is left aside.
      sides: North-South and East-West.

    Raises:
      CheckFailed: a bot made a call that is not legal.
    """
    table = bid_out(_lockstep(boards), sides)
    names = (sides[0].name, sides[1].name) * 2
    made = [
        replace(
            board,
            calls=tuple(int(call) for call in row[row >= 0]),
            taken=None,
            tags={name: board.tags[name] for name in _KEPT_TAGS if name in board.tags},
            names=names,
        )
        for board, row in zip(boards, table.calls, strict=True)
    ]
    return [told_meanings(board, sides) for board in made]


def finished_boards(
    boards: Sequence[BoardRecord],
) -> tuple[list[BoardRecord], list[str]]:
    """Those whose auction is told to its end, and a line for each of the others.

    Raises:
      DataError: there are none.
    """
    whole: list[BoardRecord] = []
    problems: list[str] = []
    for board in boards:
        if board.auction.over:
            whole.append(board)
            continue
        name = f"board {board.board}" if board.board else "the board"
        state = f"stops after {len(board.calls)} calls" if board.calls else "is not told"
        problems.append(f"the auction of {name} {state}")
    if not whole:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise DataError(problems[0] + more, hint="let a bot bid it: --bot NAME")
    return whole, problems


def judge(board: BoardRecord) -> JudgedBoard:
    """A finished auction beside its double-dummy table, which it must have."""
    assert board.tricks is not None and board.auction.over
    contract = board.contract
    tricks, points = None, 0
    if contract is not None:
        tricks = int(board.tricks[contract.strain * 4 + contract.declarer])
        points = score(contract, tricks, board.vulnerability)
    par = find_par(board.tricks, board.dealer, int(board.vulnerability))
    taken = tricks if board.taken is None else board.taken
    return JudgedBoard(replace(board, taken=taken, par=par.score), par, tricks, points)


def _lockstep(boards: Sequence[BoardRecord]) -> Boards:
    owner = np.stack([board.deal.owner for board in boards])
    tricks = np.array([board.tricks for board in boards], dtype=np.uint8)
    return replace(
        boards_of(SolvedDeals(owner, tricks), len(boards), seed=0),
        dealer=np.array([board.dealer for board in boards]),
        vulnerability=np.array([int(board.vulnerability) for board in boards]),
    )
