"""`trine embeddings`: one embedding model from many labelling tasks."""

from pathlib import Path
from typing import Annotated, Any

import typer

from trine.cli.output import emit, make_progress, say, say_table
from trine.cli.runs import JsonOption, RootOption

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

RunOption = Annotated[
    Path | None, typer.Option("--run", help="Run directory.  [default: a named one]")
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="One value by its dotted name, e.g. training.steps=50."),
]


@app.callback()
def embeddings() -> None:
    """Text embeddings: one small-vector model from many semantic labelling tasks."""


@app.command()
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


@app.command()
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
    from trine.embeddings.train_report import scores_table

    done = run_training(
        resolved, base, root=runs, directory=directory, progress=make_progress(), say=say
    )
    emit(
        done.document,
        as_json=as_json,
        tables=[scores_table(done.scores)] if done.scores else [],
        text=f"model: {done.model}\nreport: {done.run.report}",
    )


def _show_plan(facts: dict[str, Any], as_json: bool) -> None:
    import polars as pl

    from trine.core.tables import Table

    rows = [
        {**task, "rows": "/".join(str(n) for n in task["rows"].values())} for task in facts["tasks"]
    ]
    title = (
        f"{facts['base']} to {facts['dimension']} numbers: {facts['steps']} steps, "
        f"{facts['tasks_per_step']} tasks in each"
    )
    table = Table(pl.DataFrame(rows, infer_schema_length=None), title)
    emit(facts, as_json=as_json, tables=[table])
