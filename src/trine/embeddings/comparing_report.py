"""Scores of several models side by side: a table and a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from trine.core.errors import UsageError
from trine.core.report import Section, picture, write_report
from trine.core.tables import Column, Table, save_table
from trine.embeddings.evaluation.suite import MAIN_METRIC
from trine.embeddings.tasks import ScoreRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["comparison_table", "main_scores", "write_comparison"]


def comparison_table(rows: Sequence[ScoreRow]) -> Table:
    """One row a task, language and metric; one column a model and width, in the given order."""
    title = "Scores (0 to 100)"
    if not rows:
        return Table(pl.DataFrame({"task": [], "language": [], "metric": []}), title)
    frame = _frame(rows)
    names = list(dict.fromkeys(frame["column"]))
    wide = frame.pivot(
        on="column", index=["task", "language", "metric", "n"], values="score", sort_columns=False
    )
    columns = [Column("task"), Column("language"), Column("metric"), Column("n", "rows", ",")]
    return Table(wide, title, [*columns, *(Column(name, format=".1f") for name in names)])


def _frame(rows: Sequence[ScoreRow]) -> pl.DataFrame:
    frame = pl.DataFrame([asdict(row) for row in rows], infer_schema_length=None)
    return frame.with_columns(
        (pl.col("model") + ", " + pl.col("width").cast(pl.String) + "-d").alias("column")
    )


def main_scores(rows: Sequence[ScoreRow]) -> pl.DataFrame:
    """Columns `task`, `metric`, `column`, `score`, `se`: the main measure over all languages."""
    order = {metric: i for i, metric in enumerate(MAIN_METRIC.values())}
    frame = _frame(rows).filter(pl.col("metric").is_in(list(order)))
    has_all = (pl.col("language") == "all").any().over("task")
    whole = frame.filter(~has_all | (pl.col("language") == "all"))
    rank = pl.col("metric").replace_strict(order, return_dtype=pl.Int64)
    best = whole.filter(rank == rank.min().over("task"))
    return best.select("task", "metric", "column", "score", "se")


def write_comparison(rows: Sequence[ScoreRow], out: Path) -> Path:
    """Writes the page `out`, and beside it `NAME-files/` with the table and the figure's data.

    Args:
      rows: of `trine.embeddings.comparing.compare`.
      out: a name that ends in .html.

    Raises:
      UsageError: another kind of name, or no rows.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"output {out.name}", accepted="a name that ends in .html")
    if not rows:
        raise UsageError("nothing was scored", hint="does the suite have test rows?")
    from trine.core.figures import save_figure

    files = out.with_name(f"{out.stem}-files")
    table = comparison_table(rows)
    save_table(table, files, "scores")
    main = main_scores(rows)
    figures = []
    if main.height:
        models = main["column"].n_unique()
        tasks = main["task"].n_unique()
        saved = save_figure(_bars(main), main, files, "main-scores")
        caption = "Main measure of each task, over all its languages; bars: one standard error."
        figures.append(
            picture(saved, caption, f"{models} model{'s' * (models > 1)} on {tasks} tasks")
        )
    notes = [
        "Rows of the test split. Classification: 8 examples a label, logistic regression, mean "
        "over draws; vectors cut to their first numbers and brought to length 1."
    ]
    section = Section("Scores", tables=[table], figures=figures, notes=notes)
    names = ", ".join(dict.fromkeys(row.model for row in rows))
    return write_report(out, "Embedding models compared", [section], facts={"models": names})


def _bars(main: pl.DataFrame) -> Figure:
    from trine.core.figures import Palette, house_style, new_figure

    tasks = list(dict.fromkeys(main["task"]))
    columns = list(dict.fromkeys(main["column"]))
    palette = Palette(columns)
    height = 0.8 / len(columns)
    figure, axes = new_figure(6.4, 1.2 + (0.22 * len(columns) + 0.15) * len(tasks))
    metric = dict(main.select("task", "metric").iter_rows())
    with house_style():
        for i, column in enumerate(columns):
            own = main.filter(pl.col("column") == column)
            places = np.array([tasks.index(task) for task in own["task"]])
            axes.barh(
                places + (i - (len(columns) - 1) / 2) * height,
                own["score"].to_numpy(),
                height,
                xerr=own["se"].cast(pl.Float64).fill_null(0).to_numpy(),
                color=palette.colour(column),
                label=column,
                error_kw={"lw": 1},
            )
        axes.set_yticks(range(len(tasks)), [f"{task}\n{metric[task]}" for task in tasks])
        axes.tick_params(labelsize=8)
        axes.invert_yaxis()
        axes.set_xlabel("score")
        axes.grid(visible=False, axis="y")
        figure.legend(loc="outside lower center", fontsize=7, ncols=2)
    return figure
