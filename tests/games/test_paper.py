"""Published figures and the paper's way of counting, against the specification's tables."""

import pytest

from tests.games.random_games import AsGame, RandomPublicGame
from trine.games.catalog import GAMES, make_game
from trine.games.exact import solve_exact
from trine.games.paper import (
    AUTHORS_CODE,
    PAPER,
    PAPER_SAMPLED,
    PROVED,
    PaperRow,
    count_info_sets,
    label,
)
from trine.games.tree import build_tree

# Spec, section 4, last table: states and information sets as printed in the paper.
COUNTS = [
    ("comm", 3, 633, 129),
    ("comm", 5, 34785, 2049),
    ("comm", 6, 270273, 8193),
    ("mini-hanabi", None, 53, 45),
    ("simple-bidding", 4, 241, 61),
    ("simple-bidding", 8, 1985, 249),
    ("simple-bidding", 16, 16129, 1009),
    ("two-suit-bridge", 3, 4081, 1021),
    ("two-suit-bridge", 4, 25576, 5116),
    ("two-suit-bridge", 5, 147421, 24571),
]


@pytest.mark.parametrize(("name", "size", "states", "info_sets"), COUNTS)
def test_counts_equal_the_papers_table(name: str, size: int | None, states: int, info_sets: int):
    tree = build_tree(make_game(name, size))
    assert tree.num_states == states
    assert count_info_sets(tree) == info_sets


@pytest.mark.parametrize("size", range(1, 6))
def test_counts_equal_the_formulas_at_other_sizes(size: int):
    # Spec, sections 4.1, 4.3, 4.4: 2 4^L + 1; N 2^m + N (2^m - 1) + 1;
    # 2 2^(2N) (N + 1) + (2 2^(2N) - 1)(N + 1) + 1.
    if size <= 4:
        assert count_info_sets(build_tree(make_game("comm", size))) == 2 * 4**size + 1
        public = 2 * 4**size
        assert count_info_sets(build_tree(make_game("two-suit-bridge", size))) == (
            public * (size + 1) + (public - 1) * (size + 1) + 1
        )
    if size >= 2:
        bids = {2: 2, 3: 3, 4: 3, 5: 4}[size]
        assert count_info_sets(build_tree(make_game("simple-bidding", size))) == (
            size * 2**bids + size * (2**bids - 1) + 1
        )


def test_games_that_the_paper_does_not_list_are_not_counted_its_way():
    for tree in (
        build_tree(make_game("kuhn")),
        build_tree(make_game("leduc")),
        build_tree(RandomPublicGame(0)),
        build_tree(AsGame(make_game("mini-hanabi"))),  # pyright: ignore[reportArgumentType]
    ):
        assert count_info_sets(tree) is None


def test_the_exact_table_is_the_printed_one():
    # Spec, section 5, "Exact search", column by column.
    printed = {
        "cfr": (0.89, 0.85, 0.85, 0.85, 9.11, 2.18, 4.96, 10.47, 1.01, 1.62, 2.60),
        "cfr+jps": (1.00, 1.00, 1.00, 1.00, 9.50, 2.20, 5.00, 10.56, 1.07, 1.71, 2.74),
        "a2c": (0.60, 0.57, 0.51, 0.02, 8.20, 2.19, 4.79, 9.97, 0.66, 1.03, 1.71),
        "bad": (1.00, 0.88, 0.50, 0.29, 9.47, 2.23, 4.99, 9.81, 0.53, 0.98, 1.31),
    }
    columns = [
        ("comm", 3), ("comm", 5), ("comm", 6), ("comm", 7), ("mini-hanabi", None),
        ("simple-bidding", 4), ("simple-bidding", 8), ("simple-bidding", 16),
        ("two-suit-bridge", 3), ("two-suit-bridge", 4), ("two-suit-bridge", 5),
    ]  # fmt: skip
    assert list(PAPER) == columns
    for method, numbers in printed.items():
        assert tuple(PAPER[key].of(method) for key in columns) == numbers
    assert [PAPER[key].best_known for key in columns] == [
        1, 1, 1, 1, 10, 2.25, 5.06, 10.75, 1.13, 1.84, 2.89,
    ]  # fmt: skip
    for method in ("jps", "best", "exact", "cfr+"):
        assert PaperRow(1, 2, 3, 4, 5).of(method) is None


def test_the_sampled_table_is_the_printed_one():
    # Spec, section 5, "Sampled search", rows from CFR1k; columns all, 1, 2, 5, 8, 15, 20, 25, 30.
    k = (None, 1, 2, 5, 8, 15, 20, 25, 30)
    hanabi = (9.50, 10.00, 9.99, 9.95, 9.75, 9.51, 9.51, 9.51, 9.51)
    bidding = (10.56, 10.47, 10.47, 10.49, 10.52, 10.58, 10.60, 10.61, 10.61)
    assert PAPER_SAMPLED == {
        ("mini-hanabi", None): dict(zip(k, hanabi, strict=True)),
        ("simple-bidding", 16): dict(zip(k, bidding, strict=True)),
    }


def test_exact_and_sampled_tables_agree_where_they_meet():
    for key, row in PAPER_SAMPLED.items():
        assert row[None] == PAPER[key].cfr_jps


def test_keys_are_games_of_the_catalog():
    for key in [*PAPER, *PAPER_SAMPLED, *AUTHORS_CODE, *PROVED]:
        name, size = key
        assert (size is None) == (GAMES[name].size_meaning is None)
        if size is not None:
            assert size in GAMES[name].paper_sizes
    for name, spec in GAMES.items():
        for size in spec.paper_sizes:
            assert (name, size) in PAPER


@pytest.mark.parametrize(
    "key",
    [("comm", 3), ("mini-hanabi", None), ("simple-bidding", 4), ("simple-bidding", 8),
     ("two-suit-bridge", 3), ("two-suit-bridge", 4)],
)  # fmt: skip
def test_best_known_is_the_rounded_optimum(key: tuple[str, int | None]):
    result = solve_exact(build_tree(make_game(*key)))
    assert result.proved
    assert abs(result.value - PAPER[key].best_known) <= 0.005 + 1e-9  # printed with two digits


def test_the_recorded_optimum_is_the_papers_best_known():
    assert PROVED[("simple-bidding", 16)] == PAPER[("simple-bidding", 16)].best_known == 10.75


def test_labels():
    assert label(("mini-hanabi", None)) == "Mini-Hanabi"
    assert label(("two-suit-bridge", 5)) == "2-Suit Bridge 5"
    assert label(("openspiel:tiny_hanabi", None)) == "openspiel:tiny_hanabi"
