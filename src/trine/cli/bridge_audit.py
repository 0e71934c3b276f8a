"""`trine bridge audit`: what a bidder does badly, counted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trine.cli.output import emit, make_progress, say
from trine.cli.runs import JsonOption

if TYPE_CHECKING:
    from trine.core.tables import Table

__all__ = ["register"]

_BOARDS = 2000


def register(app: typer.Typer) -> None:
    """Adds the command to the room's."""
    app.command()(audit)


def audit(
    bot: Annotated[str, typer.Argument(help="A name, jps2020:WEIGHTS, or a network.")],
    boards: Annotated[
        int | None,
        typer.Option(min=1, help="How many.  [default: 2000, or as many as there are deals]"),
    ] = None,
    deals: Annotated[
        str,
        typer.Option(help="A deals file, npz, sample, evaluation set, PBN, LIN; solved if needed."),
    ] = "sample:random-10k",
    opponents: Annotated[
        str | None, typer.Option(help="Who sits against it.  [default: itself]")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Another bot on the same boards, in columns beside.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of dealers and vulnerabilities.")] = 0,
    examples: Annotated[
        Path | None, typer.Option(help="Write the worst boards here, as .pbn or .lin.")
    ] = None,
    worst: Annotated[int, typer.Option(min=1, help="How many of each measure.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Count what a bidder does badly: rates per 1,000 boards and the worst examples.

    Example: trine bridge audit random --boards 500 --against pass
    """
    from trine.core.extras import require

    require("bridge", "trine bridge audit")
    from trine.bridge.audit.report import audit_bot, difference
    from trine.bridge.bots.registry import make_bot
    from trine.bridge.match_deals import match_boards, read_match_deals, trained_on_text
    from trine.bridge.records import check_target, write_records
    from trine.core.executors import make_executor

    if examples is not None:
        check_target(examples)
    bots = [make_bot(name) for name in (bot, *([against] if against else []))]
    others = make_bot(opponents) if opponents else None
    source = read_match_deals(deals)
    for problem in source.problems:
        say(f"left out: {problem}")
    drawn = match_boards(
        source,
        min(_BOARDS, len(source)) if boards is None else boards,
        seed,
        executor=make_executor(0),
        progress=make_progress(),
        say=say,
        say_every=float("inf") if sys.stderr.isatty() else 60.0,
    )
    if warning := trained_on_text(drawn.owner):
        say(warning)
    found = [audit_bot(each, drawn, others) for each in bots]
    document = found[0].document() | {
        "deals_from": source.name, "never_trained_on": not warning, "seed": seed,
    }  # fmt: skip
    if against:
        document["against"] = found[1].document()
        document["difference"] = difference(found[0], found[1])
    emit(document, as_json=as_json, tables=() if as_json else [_table(document)])
    if examples is not None:
        write_records(examples, found[0].worst(worst))
        say(f"worst boards: {examples}")


def _table(document: dict[str, Any]) -> Table:
    import polars as pl

    from trine.core.tables import Column, Table

    measures, name = document["measures"], _short(document["bot"])
    columns = [Column("measure"), Column("count", format=","), Column("lost", "IMPs lost", ".1f")]
    columns.append(Column("rate", name))
    rows = {
        "measure": list(measures),
        "count": [figures["count"] for figures in measures.values()],
        "lost": [figures["imps_lost"] for figures in measures.values()],
        "rate": _rates(measures),
    }
    title = f"{name} over {document['boards']:,} boards"
    if document["tables"] == 2:
        title += f" against {_short(document['opponents'])}, both ways"
    if "against" in document:
        other = document["against"]
        rows |= {
            "other": _rates(other["measures"]),
            "difference": _rates(document["difference"], "+"),
        }
        columns += [Column("other", _short(other["bot"])), Column("difference")]
    caption = "per 1,000 boards ± standard error; IMPs lost against par by the side that did it"
    frame = pl.DataFrame(rows, schema_overrides={"lost": pl.Float64})
    return Table(frame, title, columns, caption)


def _rates(measures: dict[str, dict[str, Any]], sign: str = "") -> list[str]:
    """Right-aligned, so that the points stand below each other."""
    return [f"{each['per_thousand']:{sign}6.1f} ± {each['se']:.1f}" for each in measures.values()]


def _short(name: str) -> str:
    """The name of a bot without its kind: what stands at the head of a column is short."""
    return name.partition(":")[2] or name
