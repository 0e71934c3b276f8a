"""`trine bridge train`: a bidding network from a recipe."""

from pathlib import Path
from typing import Annotated, Any

import typer

from trine.cli.output import emit, make_progress, say
from trine.cli.runs import JsonOption, RootOption

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Adds the command to the room's."""
    app.command()(train)


def train(
    recipe: Annotated[Path, typer.Argument(help="A TOML file: network, data, budget.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="One value by its dotted name, e.g. budget.updates=20."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check files, show sizes; train nothing.")
    ] = False,
    runs: RootOption = None,
    directory: Annotated[
        Path | None, typer.Option("--run", help="Run directory.  [default: a named one]")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train a bidding network by imitation and self-play; the same command resumes.

    Example: trine bridge train configs/bridge/small.toml
    """
    from trine.bridge.config import load_recipe
    from trine.core.extras import require

    resolved = load_recipe(recipe, settings or [])
    require("bridge", "trine bridge train")
    from trine.bridge.training import plan
    from trine.bridge.training import train as run_training

    if dry_run:
        facts = plan(resolved, recipe.parent)
        emit(facts, as_json=as_json, text=_lines(facts))
        return
    done = run_training(
        resolved, recipe.parent, root=runs, directory=directory, progress=make_progress(), say=say
    )
    emit(done.document, as_json=as_json, text=_summary(done.document, done.run.report))


def _summary(document: dict[str, Any], report: Path) -> str:
    lines: list[str] = []
    if "imitation" in document:
        share = 100 * document["imitation"]["agreement"]
        lines.append(f"agreement with recorded calls on held-out deals: {share:.1f} %")
    if "match" in document:
        match = document["match"]
        lines.append(
            f"against the start of self-play: {match['imps_per_board']:+.2f} ± {match['se']:.2f} "
            f"IMPs a board over {match['boards']:,} boards"
        )
    return "\n".join([*lines, f"network: {document['network']}", f"report: {report}"])


def _lines(facts: dict[str, Any]) -> str:
    return "\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in facts.items())
