"""`trine bridge match`: two bots on the same boards."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from trine.cli.output import emit, make_progress, say
from trine.cli.runs import JsonOption

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Adds the command to the room's."""
    app.command()(match)


def match(
    first: Annotated[
        str,
        typer.Argument(help="trine, rules, pass, random, search:BOT, jps2020:WEIGHTS, a network."),
    ],
    second: Annotated[str, typer.Argument(help="The same; its opponents.")],
    boards: Annotated[
        int | None,
        typer.Option(min=1, help="How many.  [default: 1000, or as many as there are deals]"),
    ] = None,
    deals: Annotated[
        str,
        typer.Option(help="A deals file, npz, sample, evaluation set, PBN, LIN; solved if needed."),
    ] = "sample:random-10k",
    seed: Annotated[int, typer.Option(min=0, help="Of dealers and vulnerabilities.")] = 0,
    permute: Annotated[
        bool,
        typer.Option(
            "--permute-suits", help="Up to 24 boards from a deal; the error knows their deal."
        ),
    ] = False,
    swings: Annotated[
        Path | None, typer.Option(help="Write the ten largest results here, as .pbn or .lin.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write a page here (.html), and its boards beside it (.csv)."),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes of the solver; 0 means one for each core.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Play a duplicate match of two bots, with double-dummy play.

    Example: trine bridge match random pass --boards 500
    """
    from trine.core.extras import require

    require("bridge", "trine bridge match")
    from trine.bridge.bots.registry import make_bot
    from trine.bridge.match import play_match
    from trine.bridge.match_deals import match_boards, read_match_deals, trained_on_text
    from trine.bridge.records import check_target, write_records
    from trine.core.artifacts import check_writable
    from trine.core.errors import UsageError
    from trine.core.executors import make_executor

    if swings is not None:
        check_target(swings)
    if report is not None and report.suffix.lower() != ".html":
        raise UsageError(f"a report at {report}", accepted="a name that ends with .html")
    if report is not None:
        check_writable(report)
    bots = make_bot(first), make_bot(second)
    source = read_match_deals(deals)
    for problem in source.problems:
        say(f"left out: {problem}")
    played = match_boards(
        source,
        boards,
        seed,
        permute=permute,
        executor=make_executor(workers),
        progress=make_progress(),
        say=say,
        say_every=float("inf") if sys.stderr.isatty() else 60.0,
    )
    if warning := trained_on_text(played.owner):
        say(warning)
    result = play_match(*bots, played)
    # The result first: a file that cannot be written after all must not take it along.
    document = result.document() | {"deals_from": source.name, "never_trained_on": not warning}
    emit(document, as_json=as_json, text=_text(document))
    if swings is not None:
        write_records(swings, result.swings(10))
        say(f"largest results: {swings}")
    if report is not None:
        from trine.bridge.match_report import write_match_report

        write_match_report(report, result, facts={"deals": source.name, "seed": seed})
        say(f"report: {report}")


def _text(found: dict[str, Any]) -> str:
    from trine.bridge.match import imps_text

    lines = [
        f"{found['first']} against {found['second']}: {imps_text(found)} "
        f"IMPs a board over {found['boards']:,} boards "
        f"({found['wins']:,} won, {found['ties']:,} tied, {found['losses']:,} lost)"
    ]
    for name, made in zip(("first", "second"), found["contracts"], strict=True):
        lines.append(
            f"{found[name]}: declared {made['declared']:,}, made {made['made']:,}, "
            f"doubled {made['doubled']:,}"
        )
    return "\n".join(lines)
