"""Options that several commands of `trine embeddings` have, and the tasks that they name."""

from pathlib import Path
from typing import Annotated, Any

import typer

from trine.cli.output import say

__all__ = [
    "DrawsOption",
    "MaxRowsOption",
    "MixtureOption",
    "RunOption",
    "SettingsOption",
    "SuiteOption",
    "WidthOption",
    "mixture_tasks",
    "suite_tasks",
]

RunOption = Annotated[
    Path | None, typer.Option("--run", help="Run directory.  [default: a named one]")
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="One value by its dotted name, e.g. training.steps=50."),
]
SuiteOption = Annotated[
    Path, typer.Option("--suite", help="A recipe: its tasks are scored, whatever their role.")
]
WidthOption = Annotated[
    list[int] | None,
    typer.Option("--width", help="Leading numbers to use; may be repeated.  [default: all]"),
]
MaxRowsOption = Annotated[
    int | None,
    typer.Option("--max-rows", min=10, help="Scored rows a task and language.  [default: all]"),
]
DrawsOption = Annotated[
    int, typer.Option(min=1, help="Draws of a classification; 10 is MTEB's number.")
]
MixtureOption = Annotated[
    Path | None,
    typer.Option("--mixture", help="Recipe whose training texts fit +pcaN.  [default: the suite]"),
]


def mixture_tasks(recipe: Path | None) -> list[Any] | None:
    """The tasks of the recipe, if one is given."""
    return None if recipe is None else suite_tasks(recipe, "--mixture", tell=False)


def suite_tasks(suite: Path, what: str, *, tell: bool = True) -> list[Any]:
    """The tasks of a recipe, loaded for a command; what is odd in their rows is told."""
    from trine.core.extras import require
    from trine.embeddings.config import load_recipe
    from trine.embeddings.loading import load_tasks

    resolved, base = load_recipe(suite)
    require("embeddings", what)
    tasks, facts = load_tasks(resolved, base)
    for line in (each.remarks for each in facts if tell and each.remarks):
        say(line)
    return tasks
