"""Tables of a study on hand-made frames whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.embeddings.study_frames import frame, lifelike, row
from trine.embeddings.config import Recipe, TaskConfig
from trine.embeddings.transfer_analysis import (
    Difference,
    curve_frame,
    language_frame,
    language_groups,
    main_rows,
    matrix_frame,
    overall_difference,
    positive_transfer,
    zero_shot_frame,
)

RECIPE = Recipe(
    tasks=(
        TaskConfig(name="a", source="x", published={"other": 77.0}),
        TaskConfig(name="b", source="x"),
        TaskConfig(name="z", source="x", role="zero_shot"),
    )
)


def study(single: dict[str, list[float]], multi: dict[str, list[float]]) -> pl.DataFrame:
    """Scores by seed; the base has 50 at full width and 40 by PCA."""
    rows = []
    for task in ("a", "b", "z"):
        rows.append(row("base", task, 50, width=384))
        rows += [row("base+pca", task, 40), row("base+pca", task, 45, width=384)]
        for seed, score in enumerate(multi.get(task, [])):
            rows.append(row("multi", task, score, seed=seed))
            rows.append(row("multi", task, score + 5, seed=seed, width=384))
        for learned in ("a", "b"):
            for seed, score in enumerate(single.get(f"{learned}:{task}", [])):
                rows.append(row("single", task, score, trained=learned, seed=seed))
    return frame(rows)


def test_students_interval_of_three() -> None:
    # Mean 2, standard deviation 1; t of two degrees at 97.5 % is 4.30265 (any table).
    found = Difference.of(np.array([1.0, 2.0, 3.0]))
    assert (found.mean, found.seeds) == (2, 3)
    assert found.se == pytest.approx(1 / math.sqrt(3))
    assert (found.low, found.high) == pytest.approx(
        (2 - 4.30265 / math.sqrt(3), 2 + 4.30265 / math.sqrt(3)), abs=1e-4
    )
    assert found.verdict == "undecided"
    assert Difference.of(np.array([5.0, 5.1, 5.2])).verdict == "gains"
    assert Difference.of(np.array([-5.0, -5.1, -5.2])).verdict == "loses"


def test_too_few_seeds_have_no_verdict() -> None:
    one, two, none = (Difference.of(np.array(v)) for v in ([5.0], [5.0, 5.1], []))
    assert (one.verdict, two.verdict, none.verdict) == (None, None, None)
    assert one.mean == 5
    assert math.isnan(one.low)
    assert math.isnan(one.se)
    assert two.low < two.mean < two.high
    assert math.isnan(none.mean)


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=6), st.floats(-50, 50))
def test_a_verdict_moves_with_the_values(values: list[float], shift: float) -> None:
    found = Difference.of(np.array(values))
    moved = Difference.of(np.array(values) + shift)
    assert moved.low == pytest.approx(found.low + shift, abs=1e-6)
    other = Difference.of(-np.array(values))
    opposite = {"gains": "loses", "loses": "gains", "undecided": "undecided"}
    assert found.verdict is not None
    assert other.verdict == opposite[found.verdict]


def test_differences_are_paired_by_seed() -> None:
    # Both arms swing by 10 between seeds, together: the paired difference is 1, 2, 3.
    rows = study(
        {"a:a": [60, 70, 50], "b:b": [60, 60, 60], "a:b": [0, 0, 0], "b:a": [99, 99, 99]},
        {"a": [61, 72, 53], "b": [57, 57.1, 57.2]},
    )
    shuffled = rows.sample(fraction=1, shuffle=True, seed=1)
    found = positive_transfer(shuffled, RECIPE, 50)
    a, b = found.rows(named=True)
    assert (a["task"], a["metric"], a["base"], a["base_pca"]) == ("a", "accuracy", 50, 40)
    assert (a["single"], a["multi"], a["difference"]) == pytest.approx((60, 62, 2))
    assert a["single_se"] == pytest.approx(10 / math.sqrt(3))
    assert a["difference_se"] == pytest.approx(1 / math.sqrt(3))
    assert (a["verdict"], a["seeds"], a["published other"]) == ("undecided", 3, 77)
    assert b["difference"] == pytest.approx(-2.9)
    assert (b["verdict"], b["published other"]) == ("loses", None)
    # The mean over both tasks, by seed: (1 - 3) / 2, (2 - 2.9) / 2, (3 - 2.8) / 2.
    overall = overall_difference(shuffled, RECIPE, 50)
    assert overall.mean == pytest.approx((-1 - 0.45 + 0.1) / 3)
    assert overall.se == pytest.approx(np.std([-1, -0.45, 0.1], ddof=1) / math.sqrt(3))


def test_a_seed_that_only_one_arm_has_is_not_compared() -> None:
    rows = study({"a:a": [60, 60], "b:b": [60, 60]}, {"a": [61, 62, 90], "b": [60, 60, 60]})
    a, _ = positive_transfer(rows, RECIPE, 50).rows(named=True)
    assert (a["difference"], a["seeds"], a["verdict"]) == (1.5, 2, None)


def test_zero_shot_is_held_against_the_base_at_full_width() -> None:
    rows = study(
        {"a:a": [60], "b:b": [60], "a:z": [30, 34], "b:z": [40, 44]},
        {"a": [61], "b": [60], "z": [52, 53, 54]},
    )
    (z,) = zero_shot_frame(rows, RECIPE, 50).rows(named=True)
    assert (z["base"], z["base_pca"], z["single"], z["multi"], z["full"]) == (50, 40, 37, 53, 58)
    assert (z["difference"], z["seeds"], z["verdict"]) == (3, 3, "gains")


def test_the_main_measure_over_all_languages_is_compared() -> None:
    rows = frame(
        [
            row("multi", "a", 10, metric="triplet_hard", seed=0),
            row("multi", "a", 20, seed=0, language="en"),
            row("multi", "a", 30, seed=0, language="fr"),
            row("multi", "a", 25, seed=0, language="all"),
            row("multi", "b", 1, metric="ndcg@10", seed=0),
            row("multi", "b", 2, metric="recall@1", seed=0),
            row("multi", "z", 3, metric="triplet_random", seed=0),
        ]
    )
    found = main_rows(rows).select("task", "metric", "language", "score").rows()
    assert found == [("a", "accuracy", "all", 25.0), ("b", "recall@1", "en", 2.0)]


def test_matrix_of_gains_over_pca() -> None:
    rows = study(
        {"a:a": [60, 62], "a:b": [35, 37], "b:b": [70, 70], "b:a": [40, 44]},
        {"a": [61, 63], "b": [71, 71]},
    )
    found = {
        (r["trained"], r["task"]): r["gain"]
        for r in matrix_frame(rows, RECIPE, 50).rows(named=True)
    }
    assert found == {
        ("a", "a"): 21, ("a", "b"): -4, ("b", "b"): 30, ("b", "a"): 2,
        ("all together", "a"): 22, ("all together", "b"): 31,
    }  # fmt: skip


def test_curve_is_a_mean_over_tasks_with_errors_over_seeds() -> None:
    rows = study({}, {"a": [60, 64], "b": [70, 70], "z": [50, 52]})
    found = {
        (r["role"], r["arm"], r["width"]): r for r in curve_frame(rows, RECIPE).rows(named=True)
    }
    assert len(found) == 8
    here = found["train", "multi", 50]
    assert here["score"] == 66  # seeds 65 and 67
    assert here["se"] == pytest.approx(1)
    assert found["zero_shot", "multi", 384]["score"] == 56
    assert found["train", "base+pca", 384]["score"] == 45
    assert found["train", "base+pca", 384]["se"] is None


def test_languages_trained_on_and_left_out() -> None:
    task = TaskConfig(name="a", source="x", held_out_languages=("fr", "it"))
    recipe = Recipe(tasks=(task, TaskConfig(name="b", source="x")))
    rows = []
    for language, base, scores in (
        ("en", 50.0, [60.0, 61.0, 62.0]),
        ("fr", 40.0, [41.0, 42.0, 43.0]),
        ("it", 30.0, [33.0, 34.0, 35.0]),
    ):
        rows.append(row("base", "a", base, width=384, language=language))
        rows += [
            row("multi", "a", score, seed=seed, language=language)
            for seed, score in enumerate(scores)
        ]
    # As an evaluation has it: the mean over languages is a row too.
    rows.append(row("base", "a", 40, width=384, language="all"))
    rows.append(row("base", "b", 1, width=384))
    found = language_frame(frame(rows), recipe, 50)
    assert found.select("language", "seen", "gain").rows() == [
        ("en", True, 11.0), ("fr", False, 2.0), ("it", False, 4.0),
    ]  # fmt: skip
    assert found["multi_se"].to_list() == pytest.approx([1 / math.sqrt(3)] * 3)
    groups = {r["trained_on"]: r for r in language_groups(frame(rows), recipe, 50).rows(named=True)}
    assert (groups[True]["languages"], groups[True]["difference"]) == (1, 11)
    # Left out: by seed (1 + 3) / 2, (2 + 4) / 2, (3 + 5) / 2.
    assert groups[False]["difference"] == 3
    assert groups[False]["difference_se"] == pytest.approx(1 / math.sqrt(3))
    assert groups[False]["languages"] == 2
    assert language_groups(frame(rows[-1:]), recipe, 50).height == 0


def test_lifelike_frames_are_whole() -> None:
    rows, recipe = lifelike()
    trained = positive_transfer(rows, recipe, 50)
    assert trained.height == 8
    assert trained.null_count().select(pl.exclude(r"^published.*$")).sum_horizontal().item() == 0
    assert zero_shot_frame(rows, recipe, 50).height == 4
    assert matrix_frame(rows, recipe, 50).height == 9 * 12
    assert language_frame(rows, recipe, 50).height == 12
