"""`trine bridge auction`: whole auctions of a file's boards, with what they are worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trine.cli.output import emit, make_progress, say
from trine.cli.runs import JsonOption

if TYPE_CHECKING:
    from trine.bridge.auction_report import JudgedBoard
    from trine.bridge.board_record import BoardRecord
    from trine.bridge.bots.base import Bot

__all__ = ["register"]

_USUAL = ("trine", "rules")
"""Who bids if nobody is named: the first of these that there is."""


def register(app: typer.Typer) -> None:
    """Adds the command to the room's."""
    app.command()(auction)


def auction(
    source: Annotated[str, typer.Argument(help="A PBN or LIN file, a viewer URL, or random:SEED.")],
    bot: Annotated[
        str | None, typer.Option(help="Who bids: a name, jps2020:WEIGHTS, or a network.")
    ] = None,
    opponents: Annotated[
        str | None, typer.Option(help="Who bids East-West.  [default: the same]")
    ] = None,
    board: Annotated[str | None, typer.Option(help="Only the board of this number.")] = None,
    as_bid: Annotated[
        bool, typer.Option("--as-bid", help="The auctions that the file tells, instead of a bot's.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write the boards here, as .pbn or .lin.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Bid boards to the end and hold the result to double-dummy play and par.

    Example: trine bridge auction random:7 --bot random
    """
    from trine.core.errors import UsageError
    from trine.core.extras import require

    require("bridge", "trine bridge auction")
    from trine.bridge.auction_report import choose_boards, read_boards
    from trine.bridge.records import check_suffix, write_records

    if as_bid and (bot or opponents):
        raise UsageError("both --as-bid and a bot", accepted="one of them")
    if out is not None:
        check_suffix(out)
    sides = None if as_bid else _sides(bot, opponents)
    records = read_boards(source)
    chosen = choose_boards(records, board, source)
    problems = list(records.problems) if board is None else []
    for problem in problems:
        say(f"left out: {problem}")
    judged = _as_bid(chosen, problems) if sides is None else _bid(chosen, sides)
    if out is not None:
        write_records(out, [each.board for each in judged])
        say(f"boards: {out}")
    _show(judged, problems, as_json)


def _show(judged: list[JudgedBoard], problems: list[str], as_json: bool) -> None:
    from trine.bridge.board_text import board_text, summary_text

    document = {
        "boards": [each.document() for each in judged],
        "imps_against_par": sum(each.imps for each in judged),
        "left_out": problems,
    }
    parts = [board_text(each) for each in judged]
    if len(judged) > 1:
        parts.append(summary_text(judged))
    emit(document, as_json=as_json, text="\n\n\n".join(parts))


def _sides(bot: str | None, opponents: str | None) -> tuple[Bot, Bot]:
    from trine.bridge.bots.registry import BOTS, make_bot
    from trine.core.errors import UsageError

    name = bot or next((usual for usual in _USUAL if usual in BOTS), None)
    if name is None:
        raise UsageError("no bot", accepted=", ".join(BOTS), hint="name one: --bot NAME")
    first = make_bot(name)
    return first, first if opponents is None else make_bot(opponents)


def _bid(boards: tuple[BoardRecord, ...], sides: tuple[Bot, Bot]) -> list[JudgedBoard]:
    from trine.bridge.auction_report import bid_boards, judge

    # The two rooms of a match hold the same board: it is bid once.
    once = {(each.deal, each.dealer, each.vulnerability, each.board): each for each in boards}
    return [judge(each) for each in bid_boards(_solved(list(once.values())), sides)]


def _as_bid(boards: tuple[BoardRecord, ...], problems: list[str]) -> list[JudgedBoard]:
    from trine.bridge.auction_report import finished_boards, judge

    whole, unfinished = finished_boards(boards)
    for problem in unfinished:
        say(f"left out: {problem}")
    problems += unfinished
    return [judge(each) for each in _solved(whole)]


def _solved(boards: list[BoardRecord]) -> list[BoardRecord]:
    """The boards with their double-dummy tables."""
    from dataclasses import replace

    from trine.bridge.double_dummy import solve_tables

    missing = [row for row, each in enumerate(boards) if each.tricks is None]
    with make_progress().task("solving", len(missing)) as task:
        for row in missing:
            (table,) = solve_tables(boards[row].deal.owner[None])
            boards[row] = replace(boards[row], tricks=tuple(int(number) for number in table))
            task.advance()
    return boards
