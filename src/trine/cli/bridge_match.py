"""`trine bridge match`: two bots on the same boards."""

from pathlib import Path
from typing import Annotated, Any

import typer

from trine.cli.output import emit, say
from trine.cli.runs import JsonOption

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Adds the command to the room's."""
    app.command()(match)


def match(
    first: Annotated[str, typer.Argument(help="pass, random, jps2020:WEIGHTS, or a network.")],
    second: Annotated[str, typer.Argument(help="The same; its opponents.")],
    boards: Annotated[int, typer.Option(min=1, help="How many.")] = 1000,
    deals: Annotated[
        str, typer.Option(help="Solved deals: a deals file or a sample.")
    ] = "sample:random-10k",
    seed: Annotated[int, typer.Option(min=0, help="Of dealers and vulnerabilities.")] = 0,
    swings: Annotated[
        Path | None, typer.Option(help="Write the ten largest results here, as .pbn or .lin.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Play a duplicate match of two bots, with double-dummy play.

    Example: trine bridge match random pass --boards 500
    """
    from trine.core.extras import require

    require("bridge", "trine bridge match")
    from trine.bridge.bots.registry import make_bot
    from trine.bridge.deals import read_solved_deals
    from trine.bridge.match import boards_of, play_match
    from trine.bridge.records import check_suffix, write_records

    if swings is not None:
        check_suffix(swings)
    bots = make_bot(first), make_bot(second)
    result = play_match(*bots, boards_of(read_solved_deals(deals), boards, seed))
    if swings is not None:
        write_records(swings, result.swings(10))
        say(f"largest results: {swings}")
    document = result.document()
    emit(document, as_json=as_json, text=_text(document))


def _text(found: dict[str, Any]) -> str:
    lines = [
        f"{found['first']} against {found['second']}: {found['imps_per_board']:+.2f} "
        f"± {found['se']:.2f} IMPs a board over {found['boards']:,} boards "
        f"({found['wins']:,} won, {found['ties']:,} tied, {found['losses']:,} lost)"
    ]
    for name, made in zip(("first", "second"), found["contracts"], strict=True):
        lines.append(
            f"{found[name]}: declared {made['declared']:,}, made {made['made']:,}, "
            f"doubled {made['doubled']:,}"
        )
    return "\n".join(lines)
