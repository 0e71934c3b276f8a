"""The page of a transfer study: tables, pictures, and sentences that follow from the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from trine.core.figures import save_figure
from trine.core.report import Section, picture, write_report
from trine.core.tables import Column, Table, save_table
from trine.embeddings.transfer_analysis import (
    curve_frame,
    language_frame,
    matrix_frame,
    positive_transfer,
    zero_shot_frame,
)
from trine.embeddings.transfer_pictures import (
    difference_bars,
    dimension_curve,
    language_bars,
    transfer_matrix,
)

if TYPE_CHECKING:
    from trine.embeddings.transfer import TransferResult

__all__ = ["summary_of", "transfer_sections", "transfer_tables", "write_transfer_report"]

_SCORE = ".1f"
_GAIN = "+.1f"


def summary_of(result: TransferResult) -> str:
    """Two sentences: how many tasks gain and lose, and what happened to the others."""
    width = result.recipe.dimension
    gains = positive_transfer(result.rows, result.recipe, width)
    losses = int(gains["loses"].sum())
    clear = int(gains["clear_loss"].sum())
    mean = float(gains["difference"].mean() or 0)  # pyright: ignore[reportArgumentType] (a number)
    seeds = int(gains["seeds"].max() or 0)  # pyright: ignore[reportArgumentType] (a number)
    text = (
        f"Learned together rather than alone, with equal updates on each task's data, at {width} "
        f"numbers: {gains.height - losses} of {gains.height} tasks are better, {losses} worse "
        f"({clear} clearly), {mean:+.1f} points on average ({_seeds(seeds)})."
    )
    others = zero_shot_frame(result.rows, result.recipe, width)
    if others.height:
        better = int((others["difference"] > 0).sum())
        text += (
            f" Of {others.height} tasks that were never trained on, {better} are above the "
            "untouched base at its full width."
        )
    return text


def transfer_tables(result: TransferResult) -> list[Table]:
    """Trained tasks, zero-shot tasks."""
    width = result.recipe.dimension
    gains = positive_transfer(result.rows, result.recipe, width)
    tables = [
        Table(
            gains,
            f"Trained tasks at {width} numbers",
            [
                Column("task"),
                Column("metric"),
                Column("base", "base, full width", _SCORE),
                Column("base_pca", "base, PCA", _SCORE),
                Column("single", format=_SCORE),
                Column("multi", format=_SCORE, highlight=True),
                Column("difference", "multi - single", _GAIN),
                Column("low", "95 % from", _GAIN),
                Column("high", "to", _GAIN),
                Column("seeds"),
            ],
            "Intervals are Student's over seeds, of the difference paired by seed.",
        )
    ]
    others = zero_shot_frame(result.rows, result.recipe, width)
    if others.height:
        published = [name for name in others.columns if name.startswith("published ")]
        tables.append(
            Table(
                others,
                f"Zero-shot tasks at {width} numbers",
                [
                    Column("task"),
                    Column("metric"),
                    Column("base", "base, full width", _SCORE),
                    Column("base_pca", "base, PCA", _SCORE),
                    Column("single", "single, mean", _SCORE),
                    Column("multi", format=_SCORE, highlight=True),
                    Column("full", "multi, full width", _SCORE),
                    Column("difference", "multi - base", _GAIN),
                    Column("low", "95 % from", _GAIN),
                    Column("high", "to", _GAIN),
                    *(Column(name, name.removeprefix("published "), _SCORE) for name in published),
                ],
                "Published scores are those that the recipe gives, on the same test rows.",
            )
        )
    return tables


def transfer_sections(result: TransferResult, directory: Path) -> list[Section]:
    """The study's sections; figures are written below `directory`."""
    recipe, rows = result.recipe, result.rows
    width = recipe.dimension
    figures = directory / "figures"
    gains = positive_transfer(rows, recipe, width)
    better = int((~gains["loses"]).sum())
    bars = save_figure(
        difference_bars(gains, f"{better} of {gains.height} tasks gain from the others"),
        gains, figures, "multi-minus-single",
    )  # fmt: skip
    matrix = matrix_frame(rows, recipe, width)
    saved_matrix = save_figure(
        transfer_matrix(matrix, "What learning one task does to the others"),
        matrix, figures, "transfer-matrix",
    )  # fmt: skip
    curve = curve_frame(rows, recipe)
    saved_curve = save_figure(
        dimension_curve(curve, f"The price of {width} numbers"), curve, figures, "dimension-curve"
    )
    sections = [
        Section(
            "Together or alone",
            paragraphs=[summary_of(result)],
            tables=transfer_tables(result),
            figures=[
                picture(bars, f"Scores at {width} numbers; bars: 95 % over {_seeds_of(result)}.")
            ],
        ),
        Section(
            "Which task helps which",
            figures=[
                picture(
                    saved_matrix,
                    f"Points over the base's PCA at {width} numbers, mean over "
                    f"{_seeds_of(result)}; each task by its main measure.",
                )
            ],
        ),
        Section(
            "Width",
            figures=[
                picture(
                    saved_curve,
                    "Mean of the tasks' main measures; band: one standard error over "
                    f"{_seeds_of(result)}.",
                )
            ],
        ),
    ]
    languages = language_frame(rows, recipe, width)
    if languages.height:
        save_table(Table(languages, "Languages"), directory / "tables", "languages")
        shown = []
        for task in dict.fromkeys(languages["task"].to_list()):
            own = languages.filter(pl.col("task") == task)
            mean = float(own["gain"].mean() or 0)  # pyright: ignore[reportArgumentType] (a number)
            saved = save_figure(
                language_bars(own, f"{task}: {mean:+.1f} points on average"),
                own, figures, f"languages-{task}",
            )  # fmt: skip
            shown.append(
                picture(
                    saved,
                    f"{task}, {own['metric'][0]}: multi-task at {width} numbers minus the base at "
                    f"full width. Hatched: languages not trained on. {_seeds_of(result)}.",
                )
            )
        sections.append(Section("Languages", figures=shown))
    return sections


def write_transfer_report(result: TransferResult) -> Path:
    """Writes `tables/*.csv`, the figures and `report.html` of a study."""
    run = result.run
    save_table(Table(result.rows, "All scores"), run.tables, "scores")
    for table, name in zip(transfer_tables(result), ("trained", "zero-shot"), strict=False):
        save_table(table, run.tables, name)
    facts: dict[str, Any] = {
        "base": result.recipe.model.base,
        "steps": result.recipe.training.steps,
        "seeds": _seeds_of(result),
        "command": run.info.command,
        **run.info.libraries,
        "revision": run.info.revision or "unknown",
    }
    return write_report(
        run.report,
        "Learning tasks together: a transfer study",
        transfer_sections(result, run.directory),
        summary=summary_of(result),
        facts=facts,
    )


def _seeds_of(result: TransferResult) -> str:
    return _seeds(result.rows.filter(pl.col("arm") == "multi")["seed"].n_unique())


def _seeds(count: int) -> str:
    return f"{count} seed{'' if count == 1 else 's'}"
