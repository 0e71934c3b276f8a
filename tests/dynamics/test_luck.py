"""Initial ranks, their permutation test, and luck over layers."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.dynamics.experiments.ranks import (
    fading,
    pooled_rows,
    rank_figure,
    rank_rows,
    rank_table,
)
from trine.dynamics.measures.luck import initial_ranks, luck

sizes = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(2, 9), st.integers(0, 2**31))


def drawn(size: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    count, teachers, students, seed = size
    generator = np.random.default_rng(seed)
    start, end = generator.uniform(-1, 1, (2, count, teachers, students))
    return start, end


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_rank_of_the_winner_by_hand() -> None:
    start = [[0.1, 0.9, 0.3, 0.2], [0.5, 0.4, 0.3, 0.2]]
    end = [[0.0, 0.2, 1.0, 0.1], [0.0, 0.1, 0.2, 0.9]]
    assert initial_ranks(start, end).tolist() == [1, 3]


def test_tied_starts_count_half_of_the_others_as_nearer() -> None:
    assert initial_ranks([[0.0] * 5], [[0, 0, 1, 0, 0]]).tolist() == [2]
    assert initial_ranks([[0.0] * 4], [[0, 0, 1, 0]]).tolist() == [1]  # rounded down


def test_different_shapes_are_refused() -> None:
    with pytest.raises(UsageError, match="correlations of shapes"):
        initial_ranks(np.zeros((2, 3)), np.zeros((2, 4)))


@given(sizes)
def test_ranks_do_not_depend_on_how_student_nodes_are_numbered(
    size: tuple[int, int, int, int],
) -> None:
    start, end = drawn(size)
    order = np.random.default_rng(size[3]).permutation(start.shape[-1])
    np.testing.assert_array_equal(
        initial_ranks(start, end), initial_ranks(start[..., order], end[..., order])
    )


@given(sizes)
def test_ranks_do_not_change_under_increasing_functions(size: tuple[int, int, int, int]) -> None:
    start, end = drawn(size)
    np.testing.assert_array_equal(
        initial_ranks(start, end), initial_ranks(np.arctanh(start * 0.999), end**3)
    )


@given(sizes)
def test_a_student_that_keeps_its_start_is_always_lucky(size: tuple[int, int, int, int]) -> None:
    start, _ = drawn(size)
    found = luck(start, start, generator(), permutations=50)
    assert found.rank_mean == 0 == found.share
    assert not found.ranks.any()


@given(sizes)
def test_numbers_of_a_result_fit_together(size: tuple[int, int, int, int]) -> None:
    start, end = drawn(size)
    found = luck(start, end, generator(), permutations=99)
    assert 0 < found.p_value <= 1
    assert 0 <= found.rank_mean <= found.students - 1
    assert found.rank_chance == (found.students - 1) / 2
    assert found.share == found.rank_mean / found.students
    assert len(found.ranks) == start.shape[0] * start.shape[1]


def test_p_of_one_teacher_node_is_the_share_of_ranks_as_low() -> None:
    """Of n renumberings each rank is equally likely: p of rank r is (r + 1) / n."""
    start, end = np.array([[0.9, 0.5, 0.4, 0.3, 0.2]]), np.array([[0, 0, 1, 0, 0]])
    found = luck(start, end, generator(), permutations=20_000)
    assert found.p_value == pytest.approx(3 / 5, abs=0.015)


def test_p_of_a_shared_winner_counts_it_once() -> None:
    """Two teacher nodes that agree at the start and share a winner: as unlikely as one alone."""
    row = [0.9, 0.5, 0.4, 0.3]
    shared = luck([row, row], [[1, 0, 0, 0]] * 2, generator(), permutations=20_000)
    assert shared.p_value == pytest.approx(1 / 4, abs=0.015)
    # Two different winners, each nearest to its own teacher node: 1 of 4 * 3 renumberings.
    other = [0.5, 0.9, 0.4, 0.3]
    apart = luck([row, other], [[1, 0, 0, 0], [0, 1, 0, 0]], generator(), permutations=20_000)
    assert apart.p_value == pytest.approx(1 / 12, abs=0.01)


def test_p_values_are_uniform_if_the_start_says_nothing() -> None:
    draws = np.random.default_rng(7)
    found = [
        luck(
            draws.normal(size=(5, 30)), draws.normal(size=(5, 30)), draws, permutations=400
        ).p_value
        for _ in range(400)
    ]
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=0.035)


def test_a_start_that_decides_is_found() -> None:
    draws = np.random.default_rng(1)
    start = draws.normal(size=(3, 8, 40))
    found = luck(start, start + 0.3 * draws.normal(size=start.shape), draws)
    assert found.p_value < 0.001
    assert found.share < 0.1


def test_dead_teacher_nodes_do_not_count() -> None:
    start = np.array([[0.9, 0.1, 0.2], [0.9, 0.1, 0.2]])
    end = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    found = luck(start, end, generator(), alive=[True, False], permutations=100)
    assert found.ranks.tolist() == [0]
    with pytest.raises(UsageError, match="all dead"):
        luck(start, end, generator(), alive=[False, False])


def layers(noise: tuple[float, ...], seeds: int = 4) -> tuple[list, list, list]:
    """Starts that say less and less about the end, layer by layer."""
    draws = np.random.default_rng(3)
    start = [draws.normal(size=(seeds, 6, 30)) for _ in noise]
    end = [s + n * draws.normal(size=s.shape) for s, n in zip(start, noise, strict=True)]
    return start, end, [np.ones((seeds, 6), dtype=bool) for _ in noise]


def test_rows_of_ranks_per_seed_and_pooled() -> None:
    start, end, alive = layers((0.1, 1.0, 5.0))
    alive[1][2] = False  # a seed whose teacher nodes of layer 1 are all dead
    single = rank_rows(start, end, alive, [5, 6, 7, 8], Seeds(0))
    assert len(single) == 3 * 4 - 1
    pooled = pooled_rows(start, end, alive, [5, 6, 7, 8], Seeds(0))
    assert pooled["layer"].to_list() == [0, 1, 2]
    assert pooled["nodes"].to_list() == [24, 18, 24]
    bottom = pooled.row(0, named=True)
    mine = single.filter(pl.col("layer") == 0)
    assert bottom["rank_mean"] == pytest.approx(mine["rank_mean"].mean())
    assert bottom["low"] <= bottom["share"] <= bottom["high"]
    assert bottom["p_value"] < 0.001 < pooled.row(2, named=True)["p_value"]
    assert rank_table(pooled, "ranks").cells[0][0] == "0"
    assert len(rank_figure(pooled, single).axes) == 1


def test_luck_that_fades_is_told_from_luck_that_does_not() -> None:
    fades = rank_rows(*layers((0.1, 0.5, 1.0, 4.0)), [0, 1, 2, 3], Seeds(0))
    same = rank_rows(*layers((1.0, 1.0, 1.0, 1.0)), [0, 1, 2, 3], Seeds(0))
    assert fading(fades, Seeds(0))["p_value"] < 0.01
    assert fading(fades, Seeds(0))["slope"] > 0.05
    assert fading(same, Seeds(0))["p_value"] > 0.05


def test_slope_of_luck_by_hand() -> None:
    single = pl.DataFrame(
        {"layer": [0, 1, 2, 0, 1], "seed": [0, 0, 0, 1, 1], "share": [0.0, 0.1, 0.4, 0.3, 0.0]}
    )
    found = fading(single, Seeds(0), orderings=6_000)
    assert found["seeds"] == 1  # seed 1 lacks a layer
    assert found["slope"] == pytest.approx(0.2)
    assert found["p_value"] == pytest.approx(1 / 6, abs=0.02)  # one of six orders is as steep
    one = fading(single.filter(pl.col("layer") == 0), Seeds(0))
    assert math.isnan(one["p_value"])
