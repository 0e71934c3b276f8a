"""`trine embeddings init | train | branch | transfer`: from tables to models."""

from pathlib import Path
from typing import Annotated, Any

import typer

from trine.cli.embeddings_options import DrawsOption, MaxRowsOption, RunOption, SettingsOption
from trine.cli.output import emit, make_progress, say, say_table
from trine.cli.runs import JsonOption, RootOption

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Adds the commands to the room's."""
    app.command()(init)
    app.command()(train)
    app.command()(branch)
    app.command()(transfer)


def init(
    tables: Annotated[
        list[str],
        typer.Argument(
            metavar="TABLE...", help="CSV, TSV, JSONL or Parquet, gzip too; or sample:NAME."
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Guess a recipe from tables, print it, and say what is wrong with the data.

    Example: trine embeddings init data/*.csv > recipe.toml
    """
    from trine.embeddings.guessing import guess_recipe

    guessed = guess_recipe(tables, Path())
    if not as_json:
        for table in guessed.findings.tables():
            say_table(table)
    emit(guessed.document(), as_json=as_json, text=guessed.text.rstrip("\n"))


def train(
    recipe: Annotated[Path, typer.Argument(help="A TOML file: tasks, base, dimension, budget.")],
    settings: SettingsOption = None,
    steps: Annotated[
        int | None, typer.Option(help="Optimiser steps.  [default: the recipe's]")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show tasks, rows and updates; train nothing.")
    ] = False,
    runs: RootOption = None,
    directory: RunOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train one model on all tasks of a recipe and score it; the same command resumes.

    Example: trine embeddings train recipe.toml --set training.steps=300
    """
    from trine.core.extras import require
    from trine.embeddings.config import load_recipe

    resolved, base = load_recipe(recipe, settings or [], training__steps=steps)
    require("embeddings", "trine embeddings train")
    from trine.embeddings.train_run import plan
    from trine.embeddings.train_run import train as run_training

    if dry_run:
        _show_plan(plan(resolved, base), as_json)
        return
    from trine.embeddings.train_report import OWN, choices_table, scores_table

    done = run_training(
        resolved, base, root=runs, directory=directory, progress=make_progress(), say=say
    )
    tables = [scores_table(done.scores)] if done.scores else []
    if done.own_scores:
        tables.append(scores_table(done.own_scores, OWN))
    if done.choices:
        tables.append(choices_table(done.choices))
    lines = [f"model: {done.model}", f"report: {done.run.report}"]
    if done.own_scores:
        place = done.run.directory
        lines.append(f"one task's own: trine embeddings branch {place} TASK --out FOLDER")
    emit(
        done.document,
        as_json=as_json,
        tables=tables,
        text="\n".join(lines),
    )


def branch(
    run: Annotated[Path, typer.Argument(help="Run directory of a finished training.")],
    task: Annotated[str, typer.Argument(help="A task that the recipe trains.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    width: Annotated[
        int | None, typer.Option(min=1, help="Of the vectors.  [default: the recipe's dimension]")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write one task's own model: the joint one with that task's branch, or its own head.

    Example: trine embeddings branch runs/my-run banking77 --out banking77-model
    """
    from trine.core.extras import require

    require("embeddings", "trine embeddings branch")
    from trine.embeddings.task_models import write_task_model

    size = write_task_model(run, task, out, width)
    document = {"model": str(out), "task": task, "width": size}
    emit(document, as_json=as_json, text=f"model of {task}, {size} numbers: {out}")


def _show_plan(facts: dict[str, Any], as_json: bool) -> None:
    import polars as pl

    from trine.core.tables import Table

    splits = ("train", "validation", "test")
    rows = [
        {
            ("/".join(splits) if key == "rows" else key): (
                "/".join(str(value.get(split, 0)) for split in splits) if key == "rows" else value
            )
            for key, value in task.items()
        }
        for task in facts["tasks"]
    ]
    title = (
        f"{facts['base']} to {facts['dimension']} numbers: {facts['steps']} steps, "
        f"{facts['tasks_per_step']} tasks in each"
    )
    if facts["leave_after"]:
        title += f"; tasks may leave after {', '.join(map(str, facts['leave_after']))}"
    for line in facts["remarks"]:
        say(line)
    frame = pl.DataFrame(rows, infer_schema_length=None)
    empty = ["rate"] if frame["rate"].null_count() == frame.height else []
    table = Table(frame.drop(empty), title)
    emit(facts, as_json=as_json, tables=[table])


def transfer(
    recipe: Annotated[Path, typer.Argument(help="A TOML file with two trained tasks or more.")],
    seeds: Annotated[int, typer.Option(min=1, help="How many; three for a claim.")] = 3,
    settings: SettingsOption = None,
    max_rows: MaxRowsOption = None,
    draws: DrawsOption = 10,
    matrix_seeds: Annotated[
        int | None,
        typer.Option(min=0, help="Seeds whose single-task models see every task.  [default: all]"),
    ] = None,
    widths: Annotated[
        list[int] | None,
        typer.Option("--width", help="Of the dimension curve.  [default: 8, 16, ... 256]"),
    ] = None,
    runs: RootOption = None,
    directory: RunOption = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 means one for each core.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Learn tasks together and each alone with equal updates, and say who gains.

    Example: trine embeddings transfer recipe.toml --seeds 3
    """
    from trine.core.extras import require
    from trine.embeddings.config import load_recipe

    resolved, base = load_recipe(recipe, settings or [])
    require("embeddings", "trine embeddings transfer")
    from trine.core.executors import make_executor
    from trine.embeddings.transfer import WIDTHS
    from trine.embeddings.transfer import transfer as run_transfer
    from trine.embeddings.transfer_report import stays_table, summary_of, transfer_tables

    result = run_transfer(
        resolved, base, seeds=seeds, max_rows=max_rows, draws=draws, matrix_seeds=matrix_seeds,
        widths=widths or WIDTHS, root=runs, directory=directory,
        executor=make_executor(workers), progress=make_progress(), say=say,
    )  # fmt: skip
    emit(
        result.rows.to_dicts(),
        as_json=as_json,
        tables=[*transfer_tables(result), *stays_table(result)],
        text=f"{summary_of(result)}\nreport: {result.run.report}",
    )
