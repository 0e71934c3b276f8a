"""The page of a training: scores by task and width, and the loss of each task over the steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from trine.core.records import read_metrics
from trine.core.report import Section, picture, write_report
from trine.core.tables import Column, Table, save_table
from trine.embeddings.config import Recipe
from trine.embeddings.tasks import ScoreRow

if TYPE_CHECKING:
    from trine.core.report import Picture
    from trine.core.runs import Run
    from trine.embeddings.choices import Choice

__all__ = ["CHOICES", "OWN", "choices_table", "scores_table", "write_train_report"]

CHOICES = "How long each task stays with the others"
OWN = "Scores of each task with its own head or branch (0 to 100)"

_WINDOW = 20


def scores_table(scores: Sequence[ScoreRow], title: str = "Scores (0 to 100)") -> Table:
    """One row a task, language and metric; one column a width."""
    if not scores:
        return Table(pl.DataFrame({"task": [], "language": [], "metric": []}), title)
    frame = pl.DataFrame([asdict(row) for row in scores], infer_schema_length=None)
    widths = sorted(frame["width"].unique())
    wide = frame.pivot(
        on="width", index=["task", "language", "metric", "n"], values="score", sort_columns=False
    )
    columns = [
        Column("task"),
        Column("language"),
        Column("metric"),
        Column("n", "rows", ","),
        *(Column(str(w), f"{w}-d", ".1f", highlight=w == widths[0]) for w in widths),
    ]
    return Table(wide, title, columns)


def choices_table(choices: Sequence[Choice], seeds: Sequence[int] = ()) -> Table:
    """One row a task: the validation score of each candidate, and the one that was chosen.

    Args:
      choices: of one training, or of several.
      seeds: of the training of each, if there are several.
    """
    rows = [
        {
            **({"seed": seeds[i]} if seeds else {}),
            "task": choice.task,
            "metric": choice.metric,
            **{_way(each.left_after): each.score for each in choice.candidates},
            "chosen": _way(choice.left_after),
            "se": max((each.se for each in choice.candidates if each.se is not None), default=None),
        }
        for i, choice in enumerate(choices)
    ]
    every = {each.left_after for choice in choices for each in choice.candidates} - {None}
    ways = [_way(way) for way in (None, *sorted(way for way in every if way is not None)[::-1])]
    columns = [
        *([Column("seed")] if seeds else []),
        Column("task"),
        Column("metric"),
        *(Column(way, way, ".1f") for way in ways),
        Column("se", "largest ±", ".1f"),
        Column("chosen"),
    ]
    title = (
        "Scores of the candidates on validation rows (0 to 100), the largest standard error among "
        "them, and the best of each task (of equals the one that stays longer)"
    )
    schema = {"seed": pl.Int64} if seeds else {}
    schema |= {"task": pl.String, "metric": pl.String, **dict.fromkeys(ways, pl.Float64)}
    frame = pl.DataFrame(rows, schema=schema | {"chosen": pl.String, "se": pl.Float64})
    return Table(frame, title, columns)


def _way(left_after: int | None) -> str:
    if left_after is None:
        return "stays"
    return f"leaves after {left_after}" if left_after else "alone"


def write_train_report(
    run: Run,
    recipe: Recipe,
    scores: Sequence[ScoreRow],
    trained: dict[str, Any],
    own: Sequence[ScoreRow] = (),
    choices: Sequence[Choice] = (),
    remarks: Sequence[str] = (),
) -> Path:
    """Writes `tables/scores.csv`, the figure of the losses and `report.html`.

    Args:
      run: of the training.
      recipe: that was trained.
      scores: of the one model.
      trained: what training was like.
      own: of the tasks that have a head or a branch of their own, with it.
      choices: how long each task stayed with the others.
      remarks: what loading found in the tables, a line a task.
    """
    sections: list[Section] = []
    if scores:
        table = scores_table(scores)
        save_table(table, run.tables, "scores")
        tables = [table]
        if own:
            tables.append(scores_table(own, OWN))
            save_table(tables[1], run.tables, "own-scores")
        note = "Rows of the test split; vectors cut to their first numbers and brought to length 1."
        sections.append(Section("Evaluation", tables=tables, notes=[note]))
    if choices:
        table = choices_table(choices)
        save_table(table, run.tables, "choices")
        sections.append(Section(CHOICES, tables=[table], figures=_branch_losses(run, choices)))
    metrics = read_metrics(run.metrics_path)
    plain = [task.name for task in recipe.trained if task.kind == "unlabelled"]
    note = ""
    if plain and "distillation" in metrics.columns:  # it has no other loss
        note = f" Of {', '.join(plain)}, without labels: the divergence from the base."
        of_base = pl.col("task").is_in(plain)
        loss = pl.when(of_base).then(pl.col("distillation")).otherwise(pl.col("loss"))
        metrics = metrics.with_columns(loss.alias("loss"))
    if metrics.height:
        sections.append(
            Section("Training", figures=[_losses(metrics, run.figures, "losses", note=note)])
        )
    if remarks:
        sections.append(Section("Data", notes=list(remarks)))
    updates = trained.get("updates", {})
    names = ", ".join(f"{name} ({count} batches)" for name, count in updates.items())
    facts = {
        "base": recipe.model.base,
        "dimension": recipe.dimension,
        "steps": trained.get("steps"),
        "tasks": names,
        "seed": recipe.seed,
    }
    title = recipe.title or f"Embeddings of {recipe.dimension} numbers from {recipe.model.base}"
    return write_report(run.report, title, sections, facts=facts)


def _branch_losses(run: Run, choices: Sequence[Choice]) -> list[Picture]:
    """One picture for each step after which tasks could leave."""
    from trine.embeddings.branches import BRANCHES, branch_file

    pictures: list[Picture] = []
    every = {each.left_after for choice in choices for each in choice.candidates}
    for after in sorted(way for way in every if way is not None):
        records = [
            read_metrics(
                branch_file(run.directory / BRANCHES, choice.task, after).with_suffix(".jsonl")
            ).filter(pl.col("task") == choice.task)
            for choice in choices
            if after in {each.left_after for each in choice.candidates}
        ]
        name = f"losses-after-{after}"
        what = f" of those that left after step {after}" if after else " of those that learn alone"
        steps = f"step after the {after:,} joint ones" if after else "step"
        metrics = pl.concat(records, how="diagonal")
        pictures.append(_losses(metrics, run.figures, name, what, steps))
    return pictures


def _losses(
    metrics: pl.DataFrame,
    directory: Path,
    name: str,
    whose: str = "",
    steps: str = "step",
    note: str = "",
) -> Picture:
    from matplotlib.ticker import MaxNLocator

    from trine.core.figures import Palette, house_style, new_figure, save_figure

    smooth = metrics.select("step", "task", "loss").with_columns(
        pl.col("loss").rolling_mean(_WINDOW, min_samples=1).over("task").alias("mean")
    )
    figure, axes = new_figure()
    with house_style():
        tasks = [str(task) for task in smooth["task"].unique(maintain_order=True)]
        palette = Palette(tasks)
        for task in tasks:
            own = smooth.filter(pl.col("task") == task)
            axes.plot(own["step"].to_list(), own["mean"].to_list(), **palette.line(task))
        axes.set_xlabel(steps)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel("loss")
        axes.legend(fontsize=7)
    saved = save_figure(figure, smooth, directory, name)
    smoothing = f"without its weight, mean of the last {_WINDOW} batches"
    caption = f"Loss of each task's batches{whose}, {smoothing}.{note}"
    return picture(saved, caption)
