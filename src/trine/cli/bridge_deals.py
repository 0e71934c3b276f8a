"""`trine bridge deals`: make deals with their double-dummy tables."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from trine.cli.output import emit, make_progress, say
from trine.cli.runs import JsonOption

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def deals() -> None:
    """Deals with double-dummy tables: generate, import, look into."""


@app.command()
def generate(
    count: Annotated[int | None, typer.Option("-n", "--count", help="How many deals.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The deals file; one that is there is gone on with.  [default: deals.trine]"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the deals.")] = 0,
    part: Annotated[
        str, typer.Option(help="Draw from all deals, or one side of the split: train, evaluation.")
    ] = "all",
    named: Annotated[
        str | None,
        typer.Option(
            "--set", help="A named set instead: evaluation-500, evaluation-2k, evaluation-10k."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 means one for each core.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Make random deals and solve them double-dummy; the same command resumes.

    Example: trine bridge deals generate -n 100000 --out train.deals --seed 1
    """
    from trine.bridge.deal_generation import generate_deals
    from trine.bridge.evaluation_sets import evaluation_set
    from trine.core.errors import UsageError
    from trine.core.executors import make_executor

    if (count is None) == (named is None):
        raise UsageError(
            "neither -n nor --set" if count is None else "both -n and --set",
            accepted="one of them",
            hint="e.g. -n 100000",
        )
    if named is not None:
        chosen = evaluation_set(named)
        count, seed, part = chosen.count, chosen.seed, chosen.part
        out = out or Path(f"{named}.deals")
    assert count is not None
    made = generate_deals(
        out or Path("deals.trine"),
        count,
        seed=seed,
        part=part,
        executor=make_executor(workers),
        progress=make_progress(),
        say=say,
        # On a terminal the bar shows the same.
        say_every=float("inf") if sys.stderr.isatty() else 60.0,
    )
    document = {
        "file": str(made.path),
        "deals": made.deals,
        "solved": made.solved,
        "seconds": round(made.seconds, 3),
        "deals_per_second": made.solved / made.seconds if made.solved else None,
    }
    emit(document, as_json=as_json, text=f"{made.deals:,} deals in {made.path}")


@app.command("import")
def import_(
    source: Annotated[
        str, typer.Argument(help="PBN, LIN, a viewer URL, a JPS database, a pgx npy, an npz.")
    ],
    out: Annotated[Path, typer.Option(help="The deals file.")] = Path("deals.trine"),
    check: Annotated[
        int, typer.Option(min=0, help="How many of the tables to solve again, as a check.")
    ] = 2,
    ignore_tables: Annotated[
        bool, typer.Option("--ignore-tables", help="Solve all deals, whatever tables there are.")
    ] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 means one for each core.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Take deals of other programs; tables that are missing are solved.

    Example: trine bridge deals import club.pbn --out club.deals
    """
    from trine.bridge.importers import check_tables, import_deals, read_foreign_deals
    from trine.core.executors import make_executor

    deals = read_foreign_deals(source)
    for problem in deals.problems:
        say(f"left out: {problem}")
    if ignore_tables:
        deals = deals.without_tables()
    check_tables(deals, check)
    made = import_deals(
        deals,
        out,
        executor=make_executor(workers),
        progress=make_progress(),
        say=say,
        say_every=float("inf") if sys.stderr.isatty() else 60.0,
    )
    document = {
        "file": str(made.path),
        "deals": made.deals,
        "solved": made.solved,
        "left_out": list(deals.problems),
    }
    emit(document, as_json=as_json, text=f"{made.deals:,} deals in {made.path}")


@app.command()
def info(
    source: Annotated[str, typer.Argument(help="A deals file, an npz, or sample:random-10k.")],
    as_json: JsonOption = False,
) -> None:
    """Say what a file of solved deals holds, and whether it is whole.

    Example: trine bridge deals info sample:random-10k
    """
    from trine.bridge.deals_summary import summary

    document = summary(source)
    broken = document["broken_blocks"]
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in document.items()]
    emit(document, as_json=as_json, text="\n".join(lines))
    if broken:
        say(
            f"{broken} blocks are cut off or damaged; the command that made the file, `generate` "
            "or `import`, makes them anew"
        )
