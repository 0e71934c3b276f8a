"""`trine dynamics`: run, reproduce, sweep, audit-bn."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from trine.cli.output import emit, make_progress, say
from trine.cli.runs import JsonOption, RootOption

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

WorkersOption = Annotated[int, typer.Option(min=0, help="Processes; 0 means one for each core.")]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Directory with cifar10/ and vgg_bn/.  [default: $TRINE_DATA]"),
]
RunOption = Annotated[
    Path | None, typer.Option("--run", help="Run directory.  [default: a named one]")
]


@app.callback()
def dynamics() -> None:
    """Training dynamics: students learn teachers, node by node; BatchNorm audit."""


def data_directory(given: Path | None) -> Path | None:
    """The given path, else `$TRINE_DATA`, else nothing."""
    named = os.environ.get("TRINE_DATA")
    return given or (Path(named) if named else None)


def _needs_torch(what: str) -> None:
    from trine.core.extras import require

    require("dynamics", f"trine dynamics {what}")


@app.command()
def reproduce(
    experiments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[F1 ... F12 T1 T2 | all]", help="Figures and tables of the papers."
        ),
    ] = None,
    scale: Annotated[
        str, typer.Option(help="demo: seconds each; quick: minutes in all; paper: full sizes.")
    ] = "quick",
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    data: DataOption = None,
    runs: RootOption = None,
    directory: RunOption = None,
    workers: WorkersOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Recompute figures and tables of the papers, each with its claim and a verdict.

    Example: trine dynamics reproduce F1 F2 T2 --scale quick
    """
    _needs_torch("reproduce")
    from trine.core.executors import make_executor
    from trine.dynamics.reproduce import outcome_document, summary_table
    from trine.dynamics.reproduce import reproduce as run_reproduce

    wanted: Any = scale  # checked inside, with the list of scales
    run, outcomes = run_reproduce(
        experiments or [],
        wanted,
        seed=seed,
        root=runs,
        directory=directory,
        data=data_directory(data),
        executor=make_executor(workers),
        progress=make_progress(),
        say=say,
    )
    total = sum(outcome.seconds for outcome in outcomes)
    document = {
        "scale": scale,
        "seed": seed,
        "seconds": total,
        "run_dir": str(run.directory),
        "report": str(run.report),
        "findings": [outcome_document(outcome) for outcome in outcomes],
    }
    emit(
        document,
        as_json=as_json,
        tables=[summary_table(outcomes)],
        text=f"{total:.0f} s in all; report: {run.report}",
    )
