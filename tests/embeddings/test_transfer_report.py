"""Sentences, tables and pictures of a study, on lifelike frames."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, cast

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tests.embeddings.study_frames import frame, lifelike, row
from trine.core.figures import house_style
from trine.core.tables import to_markdown
from trine.embeddings.config import Recipe, TaskConfig
from trine.embeddings.transfer import TransferResult
from trine.embeddings.transfer_analysis import (
    curve_frame,
    language_frame,
    matrix_frame,
    positive_transfer,
)
from trine.embeddings.transfer_pictures import (
    difference_bars,
    dimension_curve,
    language_bars,
    transfer_matrix,
)
from trine.embeddings.transfer_report import summary_of, transfer_sections, transfer_tables


def result(rows: Any, recipe: Recipe) -> TransferResult:
    """Without a run: nothing here writes into one."""
    return TransferResult(cast("Any", None), rows, recipe)


def two_tasks(a: list[float], b: list[float]) -> TransferResult:
    """Multi minus single by seed; every single-task model has 60."""
    recipe = Recipe(tasks=(TaskConfig(name="a", source="x"), TaskConfig(name="b", source="x")))
    rows = [row(arm, t, 50, width=w) for t in "ab" for arm, w in (("base", 384), ("base+pca", 50))]
    for task, gains in (("a", a), ("b", b)):
        for seed, gain in enumerate(gains):
            rows.append(row("single", task, 60, trained=task, seed=seed))
            rows.append(row("multi", task, 60 + gain, seed=seed))
    return result(frame(rows), recipe)


def test_a_task_that_loses_is_named_whatever_the_mean() -> None:
    text = summary_of(two_tasks([9.0, 9.1, 9.2], [-1.0, -1.1, -1.2]))
    assert "of 2 tasks 1 gain, 1 lose (b), 0 undecided at 95 %" in text
    assert "from -1.1 (b) to +9.1 (a) points" in text
    assert text.index("lose (b)") < text.index("mean over tasks is +4.0")
    assert "no claim" not in text


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        (1, "1 seed gives no interval: no claim."),
        (2, "2 seeds give intervals that say little"),
    ],
)
def test_few_seeds_are_said(seeds: int, words: str) -> None:
    few = two_tasks([9.0, 9.1][:seeds], [1.0, 1.1][:seeds])
    text = summary_of(few)
    assert words in text
    assert "gain" not in text.replace("Learned", "")
    assert "2 of 2 above zero" in text
    for table in transfer_tables(few):
        assert words in table.caption
    rows, recipe = lifelike(3)
    assert all("claim" not in table.caption for table in transfer_tables(result(rows, recipe)))


def test_tables_have_errors_and_published_scores() -> None:
    rows, recipe = lifelike()
    trained, others = transfer_tables(result(rows, recipe))
    for table in (trained, others):
        assert {"multi_se", "difference_se", "low", "high", "verdict"} <= {
            column.name for column in table.shown
        }
    assert "single_se" in {column.name for column in trained.shown}
    text = to_markdown(others)
    assert "text-embedding-ada-002" in text
    assert "70.2" in text


def texts_outside(figure: Figure) -> list[str]:
    """Texts that stick out of the figure."""
    with house_style():
        FigureCanvasAgg(figure).draw()
    width, height = figure.bbox.width, figure.bbox.height
    out: list[str] = []
    for axes in figure.axes:
        labels = [axes.title, axes._left_title, *axes.texts, axes.xaxis.label, axes.yaxis.label]  # pyright: ignore[reportAttributeAccessIssue] (where left titles are)
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())  # ticks outside are not drawn
            labels += [t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
            labels += [t.label2 for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
        for label in labels:
            box = label.get_window_extent()
            inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
            if label.get_text() and label.get_visible() and not inside:
                out.append(label.get_text())
    return out


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Neighbouring tick labels that cover each other; slanted ones are left to the eye."""
    with house_style():
        FigureCanvasAgg(figure).draw()
    out: list[tuple[str, str]] = []
    for axes in figure.axes:
        for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
            shown = [x for x in labels if x.get_text() and x.get_rotation() in (0, 90)]
            boxes = [(x.get_text(), x.get_window_extent()) for x in shown]
            for (one, first), (two, second) in itertools.pairwise(boxes):
                if first.overlaps(second):
                    out.append((one, two))
    return out


@pytest.mark.parametrize("picture", ["matrix", "curve", "languages", "differences"])
def test_pictures_fit_and_do_not_overlap(picture: str) -> None:
    rows, recipe = lifelike()
    figure = {
        "matrix": lambda: transfer_matrix(matrix_frame(rows, recipe, 50), "What one task does"),
        "curve": lambda: dimension_curve(curve_frame(rows, recipe), "The price of 50 numbers"),
        "languages": lambda: language_bars(
            language_frame(rows, recipe, 50), "tweet-sentiment: better in 12 of 12 languages"
        ),
        "differences": lambda: difference_bars(
            positive_transfer(rows, recipe, 50), "8 tasks: 5 gain, 1 lose, 2 undecided"
        ),
    }[picture]()
    assert texts_outside(figure) == []
    assert overlapping(figure) == []


def test_sections_have_all_pictures_with_the_numbers_behind_them(tmp_path: Path) -> None:
    rows, recipe = lifelike()
    sections = transfer_sections(result(rows, recipe), tmp_path)
    assert [s.title for s in sections] == [
        "Together or alone", "Which task helps which", "Width", "Languages",
    ]  # fmt: skip
    names = {p.name for p in (tmp_path / "figures").iterdir()}
    for stem in ("multi-minus-single", "transfer-matrix", "dimension-curve", "languages-topics"):
        assert {f"{stem}.svg", f"{stem}.png", f"{stem}.csv"} <= names
    assert (tmp_path / "tables" / "language-groups.csv").is_file()
    assert "3 seeds" in sections[1].figures[0].caption


def test_a_study_without_zero_shot_tasks_and_languages_has_a_page_too(tmp_path: Path) -> None:
    small = two_tasks([1.0], [2.0])
    assert len(transfer_tables(small)) == 1
    sections = transfer_sections(small, tmp_path)
    assert len(sections) == 3
