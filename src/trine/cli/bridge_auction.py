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

_FEW = 16
"""Missing double-dummy tables that are solved in seconds."""


def register(app: typer.Typer) -> None:
    """Adds the command to the room's."""
    app.command()(auction)


def auction(
    source: Annotated[str, typer.Argument(help="A PBN or LIN file, a viewer URL, or random:SEED.")],
    bot: Annotated[
        str | None,
        typer.Option(help="Who bids: a name, jps2020:WEIGHTS, or a network.  [default: trine]"),
    ] = None,
    opponents: Annotated[
        str | None, typer.Option(help="Who bids East-West.  [default: the same]")
    ] = None,
    board: Annotated[str | None, typer.Option(help="Only the board of this number.")] = None,
    as_bid: Annotated[
        bool, typer.Option("--as-bid", help="The auctions that the file tells, instead of a bot's.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what the calls show, from sampled hands.")
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
    from trine.bridge.records import check_target, write_records

    if as_bid and (bot or opponents or explain):
        other = "--explain" if explain else "a bot"
        raise UsageError(f"both --as-bid and {other}", accepted="one of them")
    if out is not None:
        check_target(out)
    sides = None if as_bid else _sides(bot, opponents)
    records = read_boards(source)
    chosen = choose_boards(records, board, source)
    problems = list(records.problems) if board is None else []
    for problem in problems:
        say(f"left out: {problem}")
    judged = _as_bid(chosen, problems) if sides is None else _bid(chosen, sides, explain)
    _show(judged, problems, as_json)
    if out is not None:
        write_records(out, [each.board for each in judged])
        say(f"boards: {out}")


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
    from trine.bridge.bots.registry import make_bot

    first = _usual_bot() if bot is None else make_bot(bot)
    return first, first if opponents is None else make_bot(opponents)


def _usual_bot() -> Bot:
    from trine.bridge.bots.registry import make_bot
    from trine.core.errors import DataError

    try:
        return make_bot("trine")
    except DataError:  # a copy of the package without its network
        say("there is no network in this installation: the bot `rules` bids")
        return make_bot("rules")


def _bid(
    boards: tuple[BoardRecord, ...], sides: tuple[Bot, Bot], explain: bool
) -> list[JudgedBoard]:
    from trine.bridge.auction_report import bid_boards, judge
    from trine.bridge.meanings import explain_by_sampling

    # The two rooms of a match hold the same board: it is bid once.
    once = {(each.deal, each.dealer, each.vulnerability, each.board): each for each in boards}
    made = bid_boards(_solved(list(once.values())), sides)
    if explain:
        with make_progress().task("explaining", len(made)) as task:
            for row, each in enumerate(made):
                made[row] = explain_by_sampling(each, sides)
                task.advance()
    return [judge(each) for each in made]


def _as_bid(boards: tuple[BoardRecord, ...], problems: list[str]) -> list[JudgedBoard]:
    from trine.bridge.auction_report import finished_boards, judge

    whole, unfinished = finished_boards(boards)
    for problem in unfinished:
        say(f"left out: {problem}")
    problems += unfinished
    return [judge(each) for each in _solved(whole)]


def _solved(boards: list[BoardRecord]) -> list[BoardRecord]:
    """With their double-dummy tables; a few are not worth the start of processes."""
    from trine.bridge.auction_report import solve_boards
    from trine.core.executors import SerialExecutor, make_executor

    missing = sum(each.tricks is None for each in boards)
    executor = SerialExecutor() if missing <= _FEW else make_executor(0)
    told = say if missing > _FEW else lambda _: None
    return solve_boards(boards, executor=executor, progress=make_progress(), say=told)
