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
    # Before numpy and torch are imported. Seeds share the cores; more threads for the small
    # products of one seed only wait for each other.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")


@app.command()
def run(
    setup: Annotated[
        str, typer.Argument(help="deep, deep-large or two-layer: whose defaults hold.")
    ] = "deep",
    teacher: Annotated[
        str | None,
        typer.Option(help="Hidden widths of the teacher.  [default: 10-15-20-25 for deep]"),
    ] = None,
    over: Annotated[
        float | None, typer.Option(help="Student width over teacher width.  [default: 10]")
    ] = None,
    student: Annotated[
        str | None, typer.Option(help="Hidden widths of the student, instead of --over.")
    ] = None,
    inputs: Annotated[
        int | None, typer.Option(help="Input dimension d.  [default: 20 for deep]")
    ] = None,
    outputs: Annotated[
        int | None, typer.Option(help="Output dimension c.  [default: 100 for deep]")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="How many seeds.  [default: 8 for deep]")
    ] = None,
    first_seed: Annotated[
        int | None, typer.Option(help="The first seed.  [default: 0 for deep]")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Of training.  [default: 40 for deep]")] = None,
    samples: Annotated[
        int | None, typer.Option(help="Training samples.  [default: 100000 for deep]")
    ] = None,
    std: Annotated[
        float | None,
        typer.Option(help="Standard deviation of the inputs.  [default: 10 for deep]"),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Learning rate.  [default: 0.05 for deep]")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Batch size.  [default: 64 for deep]")] = None,
    loss: Annotated[
        str | None,
        typer.Option(help="mean, half_sum or cross_entropy.  [default: mean for deep]"),
    ] = None,
    batch_norm: Annotated[
        str | None, typer.Option(help="none, before_relu or after_relu.  [default: none]")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto (the GPU if there is one), cpu, cuda.  [default: auto]")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A TOML file with any of these and more.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="One value by its dotted name, e.g. data.fresh=true."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the configuration and sizes; compute nothing.")
    ] = False,
    runs: RootOption = None,
    directory: RunOption = None,
    workers: WorkersOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Train students on a random teacher and say which nodes became which, and how lucky they were.

    Example: trine dynamics run deep --teacher 10-15-20-25 --over 10 --seeds 8
    """
    given = {
        "teacher": teacher, "over": over, "student": student, "inputs": inputs, "outputs": outputs,
        "seeds": seeds, "first_seed": first_seed, "epochs": epochs, "data.samples": samples,
        "data.std": std, "descent.rate": rate, "descent.batch": batch, "descent.loss": loss,
        "network.batch_norm": batch_norm, "device": device,
    }  # fmt: skip
    from trine.dynamics.config import load_run_config

    resolved = load_run_config(setup, config, settings or [], given)
    _needs_torch("run")
    from trine.dynamics.deep import plan
    from trine.dynamics.deep import run as train

    if dry_run:
        _show(plan(resolved, root=runs, directory=directory), as_json)
        return
    from trine.core.executors import make_executor
    from trine.dynamics.run_report import count_of, short_table

    done, result = train(
        resolved,
        root=runs,
        directory=directory,
        executor=make_executor(workers),
        progress=make_progress(),
        say=say,
    )
    seeded = count_of(result["seeds"], "seed")
    title = f"Teacher {result['teacher']}, student {result['student']}, {seeded}"
    emit(
        result,
        as_json=as_json,
        tables=[short_table(result["layers"], title)],
        text=f"report: {done.report}\nanimation: {result['animation']}",
    )


def _show(facts: dict[str, Any], as_json: bool) -> None:
    import polars as pl

    from trine.core.tables import Column, Table

    rows = [{"name": name, "value": str(value)} for name, value in facts.items()]
    columns = [Column("name"), Column("value", highlight=True)]
    emit(facts, as_json=as_json, tables=[Table(pl.DataFrame(rows), columns=columns)])


@app.command()
def reproduce(
    experiments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[F1 ... F12 T1 T2 | all]",
            help="Figures and tables of the papers.  [default: all]",
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
        tables=[summary_table(outcomes, short=True)],
        text=f"{total:.0f} s in all; report: {run.report}",
    )


@app.command()
def sweep(
    config: Annotated[Path, typer.Argument(help="A TOML file: base, axes, seeds.")],
    seeds: Annotated[
        int | None, typer.Option(help="How many seeds.  [default: the file's, else 32]")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="One value by its dotted name, e.g. base.epochs=20."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show sizes and stacks; compute nothing.")
    ] = False,
    runs: RootOption = None,
    directory: RunOption = None,
    workers: WorkersOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Train a grid of settings times seeds, networks of equal shape together; resumable.

    Example: trine dynamics sweep configs/dynamics/two-layer-small.toml
    """
    _needs_torch("sweep")
    from trine.core.config import load_config
    from trine.dynamics.sweep_runs import SweepConfig, describe
    from trine.dynamics.sweep_runs import sweep as run_sweep

    resolved = load_config(SweepConfig, config, settings or [], {"seeds": seeds})
    if dry_run:
        _show(describe(resolved), as_json)
        return
    import polars as pl

    from trine.core.executors import make_executor
    from trine.core.tables import Table

    done, document = run_sweep(
        resolved,
        root=runs,
        directory=directory,
        executor=make_executor(workers),
        progress=make_progress(),
        say=say,
    )
    rows = Table(pl.DataFrame(document["rows"], infer_schema_length=None))
    emit(document, as_json=as_json, tables=[rows], text=f"report: {done.report}")


@app.command("audit-bn")
def audit_bn(
    checkpoints: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CHECKPOINT...",
            help="PyTorch state dict, safetensors or .npz files; or the word: shipped.",
        ),
    ] = None,
    torchvision: Annotated[
        list[str] | None,
        typer.Option(help="A torchvision model whose weights are here, e.g. vgg16_bn."),
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(help="PATTERN=ROLE where names do not tell, e.g. '*.bn3=before_addition'."),
    ] = None,
    runs: RootOption = None,
    directory: RunOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count negative biases of the BatchNorm layers in checkpoints, by what follows each layer.

    Example: trine dynamics audit-bn shipped
    """
    from trine.dynamics.bn_report import run_audit

    run, document, tables = run_audit(
        checkpoints or [],
        torchvision=torchvision or [],
        roles=role or [],
        root=runs,
        directory=directory,
        say=say,
    )
    emit(document, as_json=as_json, tables=tables, text=f"report: {run.report}")
