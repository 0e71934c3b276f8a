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

__all__ = ["OWN", "scores_table", "write_train_report"]

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


def write_train_report(
    run: Run,
    recipe: Recipe,
    scores: Sequence[ScoreRow],
    trained: dict[str, Any],
    own: Sequence[ScoreRow] = (),
) -> Path:
    """Writes `tables/scores.csv`, the figure of the losses and `report.html`.

    Args:
      run: of the training.
      recipe: that was trained.
      scores: of the one model.
      trained: what training was like.
      own: of the tasks that have a head or a branch of their own, with it.
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
    metrics = read_metrics(run.metrics_path)
    if metrics.height:
        sections.append(Section("Training", figures=[_losses(metrics, run.figures)]))
    updates = trained.get("updates", {})
    names = ", ".join(f"{name} ({count} batches)" for name, count in updates.items())
    facts = {
        "base": recipe.model.base,
        "dimension": recipe.dimension,
        "steps": trained.get("steps"),
        **({"steps of each branch": branch} if (branch := recipe.training.branch_steps) else {}),
        "tasks": names,
        "seed": recipe.seed,
    }
    title = recipe.title or f"Embeddings of {recipe.dimension} numbers from {recipe.model.base}"
    return write_report(run.report, title, sections, facts=facts)


def _losses(metrics: pl.DataFrame, directory: Path) -> Picture:
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
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        axes.legend(fontsize=7)
    saved = save_figure(figure, smooth, directory, "losses")
    caption = f"Loss of each task's batches without its weight, mean of the last {_WINDOW} batches."
    return picture(saved, caption)
