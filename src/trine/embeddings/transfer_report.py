"""The page of a transfer study: tables, pictures, and sentences that follow from the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from trine.core.figures import save_figure
from trine.core.report import Section, picture, write_report
from trine.core.tables import Column, Table, save_table
from trine.embeddings.train_report import CHOICES, choices_table
from trine.embeddings.transfer_analysis import (
    ENOUGH_SEEDS,
    Difference,
    curve_frame,
    language_frame,
    language_groups,
    matrix_frame,
    overall_difference,
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

__all__ = [
    "stays_table",
    "summary_of",
    "transfer_sections",
    "transfer_tables",
    "write_transfer_report",
]

_SCORE = ".1f"
_GAIN = "+.1f"
_ERROR = ".2f"


def summary_of(result: TransferResult) -> str:
    """What the numbers bear out: tasks that gain and lose by their intervals, then the mean.

    With fewer than three seeds it says so, and calls nothing a gain or a loss.
    """
    width = result.recipe.dimension
    gains = positive_transfer(result.rows, result.recipe, width)
    others = zero_shot_frame(result.rows, result.recipe, width)
    overall = overall_difference(result.rows, result.recipe, width)
    parts = [
        f"Learned together rather than alone, with equal updates on each task's data, at {width} "
        f"numbers, {_seeds(overall.seeds)}: {_verdicts(gains)}. {_range(gains)}; the mean over "
        f"tasks is {overall.mean:+.1f}{_interval(overall)}."
    ]
    if others.height:
        parts.append(
            "Never trained on, against the untouched base at its full width: "
            f"{_verdicts(others)}. {_range(others)}."
        )
    if overall.seeds < ENOUGH_SEEDS:
        parts.append(_few(overall.seeds))
    return " ".join(parts)


def _verdicts(frame: pl.DataFrame) -> str:
    """Counts, and the names of those that lose."""
    if frame["verdict"].null_count() == frame.height:
        above = int((frame["difference"] > 0).sum())
        return f"{above} of {frame.height} above zero"
    counts = {
        word: frame.filter(pl.col("verdict") == word)["task"].to_list()
        for word in ("gains", "loses", "undecided")
    }
    lost = f" ({', '.join(counts['loses'])})" if counts["loses"] else ""
    return (
        f"of {frame.height} task{_s(frame.height)} {len(counts['gains'])} gain, "
        f"{len(counts['loses'])} lose{lost}, {len(counts['undecided'])} undecided at 95 %"
    )


def _short_verdicts(frame: pl.DataFrame) -> str:
    """For the title of a narrow picture."""
    verdicts = frame["verdict"].to_list()
    if None in verdicts:
        return f"{int((frame['difference'] > 0).sum())} of {frame.height} tasks above zero"
    parts = [f"{verdicts.count(word)} {name}" for word, name in
             (("gains", "gain"), ("loses", "lose"), ("undecided", "undecided"))]  # fmt: skip
    return f"{frame.height} tasks: {', '.join(parts)}"


def _range(frame: pl.DataFrame) -> str:
    ordered = frame.sort("difference")
    names, values = ordered["task"].to_list(), ordered["difference"].to_list()
    return (
        f"Differences go from {values[0]:+.1f} ({names[0]}) to {values[-1]:+.1f} ({names[-1]}) "
        "points"
    )


def _interval(difference: Difference) -> str:
    if difference.seeds < 2:
        return ""
    return f" (95 % from {difference.low:+.1f} to {difference.high:+.1f})"


def _few(seeds: int) -> str:
    """Empty if there are enough seeds."""
    if seeds >= ENOUGH_SEEDS:
        return ""
    what = "no interval" if seeds < 2 else "intervals that say little"
    return f"{_seeds(seeds).capitalize()} give{'s' if seeds == 1 else ''} {what}: no claim."


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
                Column("single_se", "s.e.", _ERROR),
                Column("multi", format=_SCORE, highlight=True),
                Column("multi_se", "s.e.", _ERROR),
                Column("difference", "multi - single", _GAIN),
                Column("difference_se", "s.e.", _ERROR),
                Column("low", "95 % from", _GAIN),
                Column("high", "to", _GAIN),
                Column("verdict"),
                Column("seeds"),
                *_published(gains),
            ],
            _caption(
                "Intervals are Student's over seeds, of the difference paired by seed; s.e.: "
                "standard error over seeds.",
                _published_note(
                    gains, result, "Published scores are of models that had not learned these tasks"
                ),
                gains,
            ),
        )
    ]
    others = zero_shot_frame(result.rows, result.recipe, width)
    if others.height:
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
                    Column("multi_se", "s.e.", _ERROR),
                    Column("full", "multi, full width", _SCORE),
                    Column("difference", "multi - base", _GAIN),
                    Column("difference_se", "s.e.", _ERROR),
                    Column("low", "95 % from", _GAIN),
                    Column("high", "to", _GAIN),
                    Column("verdict"),
                    *_published(others),
                ],
                _caption(
                    "The difference is to the base at its full width; s.e.: standard error over "
                    "seeds.",
                    _published_note(
                        others,
                        result,
                        "Published scores are those that the recipe gives, on the same test rows",
                    ),
                    others,
                ),
            )
        )
    return tables


def _published_note(frame: pl.DataFrame, result: TransferResult, what: str) -> str:
    """What is said of published scores in a table, with their sources; empty if it has none."""
    if not _published(frame):
        return ""
    shown = [result.recipe.task(name) for name in frame["task"]]
    named = [task.published_source for task in shown if task.published]
    sources = sorted({source or "a source that the recipe does not name" for source in named})
    return f"{what}; from {'; '.join(sources)}."


def _published(frame: pl.DataFrame) -> list[Column]:
    names = [name for name in frame.columns if name.startswith("published ")]
    return [Column(name, name.removeprefix("published "), _SCORE) for name in names]


def _caption(first: str, second: str, frame: pl.DataFrame) -> str:
    seeds = int(frame["seeds"].max() or 0)  # pyright: ignore[reportArgumentType] (a number)
    return " ".join(part for part in (first, second, _few(seeds)) if part)


def transfer_sections(result: TransferResult, directory: Path) -> list[Section]:
    """The study's sections; figures are written below `directory`."""
    recipe, rows = result.recipe, result.rows
    width = recipe.dimension
    figures = directory / "figures"
    gains = positive_transfer(rows, recipe, width)
    bars = save_figure(
        difference_bars(gains, _short_verdicts(gains)),
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
    chosen = stays_table(result)
    sections = [
        Section(
            "Together or alone",
            paragraphs=[summary_of(result), *_what_multi_is(result)],
            tables=transfer_tables(result),
            figures=[picture(bars, f"Scores at {width} numbers; {_spread(result, 'bars: 95 %')}.")],
        ),
        *([Section(CHOICES, tables=chosen)] if chosen else []),
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
                    "Mean of the tasks' main measures; "
                    f"{_spread(result, 'band: one standard error')}.",
                )
            ],
        ),
    ]
    languages = language_frame(rows, recipe, width)
    if languages.height:
        save_table(_language_table(result), directory / "tables", "language-groups")
        save_table(Table(languages, "Languages"), directory / "tables", "languages")
        shown = []
        for task in dict.fromkeys(languages["task"].to_list()):
            own = languages.filter(pl.col("task") == task)
            better = int((own["gain"] > 0).sum())
            saved = save_figure(
                language_bars(own, f"{task}: better in {better} of {own.height} languages"),
                own, figures, f"languages-{task}",
            )  # fmt: skip
            shown.append(
                picture(
                    saved,
                    f"{task}, {own['metric'][0]}: multi-task at {width} numbers minus the base at "
                    f"full width. Hatched: languages not trained on. Whiskers: one standard error, "
                    f"{_seeds_of(result)}.",
                )
            )
        sections.append(Section("Languages", tables=[_language_table(result)], figures=shown))
    return sections


def _what_multi_is(result: TransferResult) -> list[str]:
    if not result.recipe.head.per_task:
        return []
    shared = "Its scores with the shared head are arm multi+shared in tables/scores.csv."
    if not result.choices:
        return [
            "On trained tasks multi is the joint encoder with a head of the task's own, as single "
            f"is. {shared}"
        ]
    ways = [choice.left_after for own in result.choices.values() for choice in own]
    stay, alone = ways.count(None), ways.count(0)
    return [
        "On trained tasks multi is what the task's validation rows chose: the joint encoder with "
        f"a head of the task's own ({stay} of {len(ways)}, tasks times seeds), a branch that left "
        f"the joint training ({len(ways) - stay - alone}), or the task alone ({alone}), which is "
        "the single-task model, so that its difference is zero. The best of several has an "
        "advantage "
        f"where they differ by chance only. {shared}"
    ]


def stays_table(result: TransferResult) -> list[Table]:
    """How long each task of each seed stayed with the others, if any could leave."""
    found = [(seed, choice) for seed, own in result.choices.items() for choice in own]
    if not found:
        return []
    return [choices_table([choice for _, choice in found], [seed for seed, _ in found])]


def _language_table(result: TransferResult) -> Table:
    width = result.recipe.dimension
    groups = language_groups(result.rows, result.recipe, width)
    return Table(
        groups,
        f"Languages, multi-task at {width} numbers against the base at full width",
        [
            Column("task"),
            Column("trained_on", "trained on"),
            Column("languages"),
            Column("metric"),
            Column("base", format=_SCORE),
            Column("multi", format=_SCORE, highlight=True),
            Column("difference", "multi - base", _GAIN),
            Column("difference_se", "s.e.", _ERROR),
            Column("low", "95 % from", _GAIN),
            Column("high", "to", _GAIN),
            Column("verdict"),
        ],
        _caption("Means over the languages of a task.", "", groups),
    )


def write_transfer_report(result: TransferResult) -> Path:
    """Writes `tables/*.csv`, the figures and `report.html` of a study."""
    run = result.run
    save_table(Table(result.rows, "All scores"), run.tables, "scores")
    for table, name in zip(transfer_tables(result), ("trained", "zero-shot"), strict=False):
        save_table(table, run.tables, name)
    for table in stays_table(result):
        save_table(table, run.tables, "choices")
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


def _spread(result: TransferResult, shown: str) -> str:
    seeds = _seeds_of(result)
    return "1 seed has no spread" if seeds == _seeds(1) else f"{shown} over {seeds}"


def _seeds(count: int) -> str:
    return f"{count} seed{_s(count)}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"
