"""`trine games`: list, solve, reproduce, show-policy."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trine.cli.output import emit, make_progress, say
from trine.cli.runs import JsonOption, RootOption, RunArgument

if TYPE_CHECKING:
    from trine.core.tables import Table

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

WorkersOption = Annotated[int, typer.Option(min=0, help="Processes; 0 means one for each core.")]


@app.callback()
def games() -> None:
    """Solve tabular games: CFR, joint policy search, proved optima."""


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the games and the methods.

    Example: trine games list
    """
    import polars as pl

    from trine.core.tables import Table
    from trine.games.catalog import GAMES
    from trine.games.methods import METHODS

    games = [
        {
            "game": spec.name,
            "size": spec.size_meaning or "one size",
            "smallest": spec.smallest or None,
            "paper_sizes": " ".join(str(size) for size in spec.paper_sizes),
            "kind": "cooperative" if spec.cooperative else "zero-sum",
            "summary": spec.summary,
        }
        for spec in GAMES.values()
    ]
    methods = [{"method": name, "summary": method.summary} for name, method in METHODS.items()]
    emit(
        {"games": games, "methods": methods},
        as_json=as_json,
        tables=[Table(pl.DataFrame(games), "Games"), Table(pl.DataFrame(methods), "Methods")],
        text="Any finite game of OpenSpiel: openspiel:NAME, e.g. openspiel:tiny_hanabi",
    )


@app.command()
def solve(
    game: Annotated[str, typer.Argument(help="A game of `trine games list`, or openspiel:NAME.")],
    size: Annotated[int | None, typer.Option(help="The game's size, where it has one.")] = None,
    method: Annotated[
        str | None, typer.Option(help="One of `trine games list`.  [default: cfr+jps]")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="How many seeds.  [default: 10]")] = None,
    first_seed: Annotated[int | None, typer.Option(help="The first seed.  [default: 0]")] = None,
    depth: Annotated[
        int | None,
        typer.Option(help="Search depth D, 0 for to the end.  [default: the game's own]"),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(help="Sampled search: states per information set.  [default: exact]"),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(help="A policy file to start `jps` from.  [default: a random policy]"),
    ] = None,
    time_limit: Annotated[
        float | None, typer.Option(help="Seconds for the exact solver.  [default: 600]")
    ] = None,
    memory_limit: Annotated[
        float | None, typer.Option(help="Refuse trees above this many GiB.  [default: 8]")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A TOML file with any of these and more.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="One value by its dotted name, e.g. best.climbs=10000."),
    ] = None,
    runs: RootOption = None,
    directory: Annotated[
        Path | None, typer.Option("--run", help="Run directory.  [default: a named one]")
    ] = None,
    workers: WorkersOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Solve one game by one method over several seeds.

    Example: trine games solve simple-bidding --size 16 --method cfr+jps --seeds 10
    """
    from trine.core.config import load_config
    from trine.core.executors import make_executor
    from trine.games.config import SolveConfig

    given = {
        "game": game, "size": size, "method": method, "seeds": seeds, "first_seed": first_seed,
        "jps.depth": depth, "jps.samples": samples, "exact.time_limit": time_limit,
        "start": None if start is None else str(start.resolve()),
        "memory_limit_gib": memory_limit,
    }  # fmt: skip
    resolved = load_config(SolveConfig, config, settings or [], given)

    from trine.games.solve import solve as run_solve

    run, result = run_solve(
        resolved,
        root=runs,
        directory=directory,
        executor=make_executor(workers),
        progress=make_progress(),
        say=say,
    )
    keys = (
        "game", "size", "method", "seeds", "states", "info_sets", "value_mean", "value_se",
        "value_max", "upper_bound", "proved", "nash_conv", "cpu_seconds_per_seed",
        "search_cpu_seconds_per_seed",
    )  # fmt: skip
    emit(
        result,
        as_json=as_json,
        tables=[_one_row({key: result[key] for key in keys if result.get(key) is not None})],
        text=f"report: {run.report}",
    )


def _one_row(row: dict[str, object]) -> "Table":
    import polars as pl

    from trine.core.tables import Column, Table

    formats = {
        "states": ",", "info_sets": ",", "value_mean": ".4f", "value_se": ".4f",
        "value_max": ".4f", "upper_bound": ".4f", "nash_conv": ".3g",
        "cpu_seconds_per_seed": ".3f", "search_cpu_seconds_per_seed": ".3f",
    }  # fmt: skip
    headers = {
        "cpu_seconds_per_seed": "CPU s/seed", "search_cpu_seconds_per_seed": "search s/seed",
        "value_se": "s.e.",
    }  # fmt: skip
    columns = [Column(key, headers.get(key, ""), formats.get(key, "")) for key in row]
    return Table(pl.DataFrame([row]), columns=columns)


@app.command()
def reproduce(
    table: Annotated[
        str, typer.Option(help="Which table of the paper: exact or sampled.")
    ] = "exact",
    scale: Annotated[
        str, typer.Option(help="quick: minutes; paper: all sizes and seeds, about an hour.")
    ] = "quick",
    runs: RootOption = None,
    workers: WorkersOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Recompute a results table of the paper beside its printed figures.

    Example: trine games reproduce --table exact --scale quick
    """
    from trine.cli.output import show_section
    from trine.core.executors import make_executor
    from trine.games.reproduce import reproduce as run_reproduce

    run, section = run_reproduce(
        table,
        scale,
        root=runs,
        executor=make_executor(workers),
        progress=make_progress(),
        say=say,
    )
    if not as_json:
        show_section(section)
    document = {
        "table": table,
        "scale": scale,
        "run_dir": str(run.directory),
        "report": str(run.report),
        "rows": section.tables[0].frame.to_dicts(),
    }
    emit(document, as_json=as_json, text=f"\nreport: {run.report}")


@app.command("show-policy")
def show_policy(
    run: RunArgument,
    runs: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the best policy of a solve does, call by call.

    Example: trine games show-policy latest
    """
    from trine.games.show import shown_policy

    table, facts = shown_policy(run, runs)
    document = {**facts, "policy": table.frame.to_dicts()}
    emit(document, as_json=as_json, tables=[table], text=f"value {facts['value']:.6g}")
