"""Optima: three independent routes, the paper's values as lower bounds, and refusals."""

from __future__ import annotations

import itertools
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.games.random_games import RandomGame, RandomPublicGame, as_game
from trine.core.errors import DataError, UsageError
from trine.games import exact_subsets
from trine.games.catalog import make_game
from trine.games.catalog.mini_hanabi import MiniHanabi
from trine.games.exact import solve_exact
from trine.games.exact_bounds import clairvoyant_values
from trine.games.exact_kernels import fold_additive, fold_at_full, fold_blocks, transpose
from trine.games.exact_merge import merge_public_states
from trine.games.exact_milp import solve_milp
from trine.games.exact_public import SubsetSolver, splits
from trine.games.exact_subsets import subsets_of
from trine.games.game import TERMINAL, Deals
from trine.games.jps import joint_policy_search
from trine.games.policy import TabularPolicy, pure_policy, random_policy, uniform_policy
from trine.games.traversal import Evaluation
from trine.games.tree import Tree, build_tree

MOST_PURE_POLICIES = 3000
"""Beyond this the enumeration takes too long for a test."""


def value_of(tree: Tree, policy: TabularPolicy | None) -> float:
    assert policy is not None
    return Evaluation(tree).update(policy.probabilities)


def brute_force(tree: Tree) -> float:
    """Best of all pure joint policies, one by one."""
    actions = np.diff(tree.entry_start)
    evaluation = Evaluation(tree)
    return max(
        evaluation.update(pure_policy(tree, np.array(choice, dtype=int)).probabilities)
        for choice in itertools.product(*(range(n) for n in actions))
    )


class RepeatingGame:
    """Many types, a random public tree over equally likely deals, and few different payoffs.

    Equal futures abound, also under an exchange of the players.
    """

    num_players = 2

    def __init__(self, seed: int, types: int) -> None:
        generator = np.random.default_rng(seed)
        self.name = f"repeating:{seed}"
        first, second = (types, types) if generator.random() < 0.5 else (types, 2)
        cards = np.indices((first, second)).reshape(2, -1).T
        if generator.random() < 0.2:
            cards = np.concatenate([cards, cards[:1]])  # two deals with the same cards
        self._cards = cards
        payoffs = generator.integers(-3, 5, (2, types, types)).astype(float)
        turned = np.swapaxes(payoffs, 1, 2)
        self._payoffs = np.concatenate([payoffs, turned])[:, cards[:, 0], cards[:, 1]]
        self._node: dict[tuple[int, ...], tuple[int, int]] = {}
        self._grow((), 5, generator)

    def _grow(self, path: tuple[int, ...], depth: int, generator: np.random.Generator) -> None:
        if depth == 0 or (path and generator.random() < 0.25):
            self._node[path] = (TERMINAL, int(generator.integers(len(self._payoffs))))
            return
        actions = int(generator.choice([1, 2, 2, 2, 3]))
        self._node[path] = (int(generator.integers(2)), actions)
        for action in range(actions):
            self._grow((*path, action), depth - 1, generator)

    def deals(self) -> Deals:
        return Deals(self._cards, np.full(len(self._cards), 1 / len(self._cards)))

    def start(self) -> tuple[int, ...]:
        return ()

    def player(self, public_state: tuple[int, ...]) -> int:
        return self._node[public_state][0]

    def actions(self, public_state: tuple[int, ...]) -> range:
        return range(self._node[public_state][1])

    def apply(self, public_state: tuple[int, ...], action: int) -> tuple[int, ...]:
        return (*public_state, action)

    def payoff(self, public_state: tuple[int, ...], cards: np.ndarray) -> np.ndarray:
        return self._payoffs[self._node[public_state][1]]


# ---- kernels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float64])
@pytest.mark.parametrize("types", [0, 1, 3, 8])
def test_folds_equal_their_definition(dtype: type, types: int) -> None:
    generator = np.random.default_rng(types)
    first, second = generator.integers(-50, 50, (2, 2**types, 4)).astype(dtype)
    out = np.empty_like(first)
    fold_blocks(first, second, out)
    for s in {0, 2**types - 1, int(generator.integers(2**types))}:
        subsets = subsets_of(s)
        assert np.array_equal(out[s], (first[subsets] + second[s ^ subsets]).max(axis=0))
    at_full = np.empty(4, dtype)
    fold_at_full(first, second, at_full)
    assert np.array_equal(at_full, out[-1])
    weight = generator.integers(-50, 50, (types, 4)).astype(dtype)
    additive = np.array(
        [weight[[t for t in range(types) if s >> t & 1]].sum(axis=0) for s in range(2**types)]
    ).astype(dtype)
    fold_blocks(first, additive, out)
    light = first.copy()
    fold_additive(light, weight)
    assert np.array_equal(light, out)
    turned = np.empty((4, 2**types), dtype)
    transpose(np.ascontiguousarray(out), turned)
    assert np.array_equal(turned.T, out)


# ---- two independent routes ---------------------------------------------------------------------

SMALL = [
    ("mini-hanabi", None, 10.0),
    ("comm", 1, 1.0),
    ("comm", 2, 1.0),
    ("simple-bidding", 2, 0.75),
    ("simple-bidding", 3, 5 / 3),
    ("simple-bidding", 4, 2.25),
    ("two-suit-bridge", 1, 0.25),
    ("two-suit-bridge", 2, 2 / 3),
]


@pytest.mark.parametrize(("name", "size", "optimum"), SMALL)
def test_subsets_and_linear_program_agree(name: str, size: int | None, optimum: float) -> None:
    tree = build_tree(make_game(name, size))
    for method in ("subsets", "milp"):
        result = solve_exact(tree, method=method)
        assert result.proved
        assert result.value == pytest.approx(optimum, abs=1e-12)
        assert result.upper_bound == pytest.approx(optimum, abs=1e-12)
        assert value_of(tree, result.policy) == result.value


@pytest.mark.parametrize(
    ("name", "size"), [("mini-hanabi", None), ("comm", 1), ("simple-bidding", 2)]
)
def test_optimum_is_the_best_of_all_pure_policies(name: str, size: int | None) -> None:
    tree = build_tree(make_game(name, size))
    assert solve_exact(tree, method="subsets").value == pytest.approx(brute_force(tree), abs=1e-12)


def count_pure_policies(tree: Tree) -> float:
    return float(np.prod(np.diff(tree.entry_start).astype(float)))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_games_with_public_actions(seed: int) -> None:
    tree = build_tree(RandomPublicGame(seed))
    value, policy = SubsetSolver(tree).solve()
    assert value_of(tree, policy) == pytest.approx(value, abs=1e-9)
    assert value <= clairvoyant_values(tree)[0] + 1e-9
    if count_pure_policies(tree) <= MOST_PURE_POLICIES:
        assert value == pytest.approx(brute_force(tree), abs=1e-9)
    elif tree.num_states < 300:
        assert value == pytest.approx(solve_milp(tree).value, abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), types=st.integers(2, 8))
def test_no_search_beats_a_proved_optimum(seed: int, types: int) -> None:
    tree = build_tree(RepeatingGame(seed, types))
    solver = SubsetSolver(tree)
    value, policy = solver.solve()
    assert value_of(tree, policy) == pytest.approx(value, abs=1e-9)
    assert solver.revealed_bound((2, 1)) >= value
    generator = np.random.default_rng(seed)
    start = random_policy(tree, generator)
    assert joint_policy_search(tree, start, depth=2, generator=generator).value <= value + 1e-9


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_games_of_any_kind(seed: int) -> None:
    tree = build_tree(RandomGame(seed))
    if tree.num_states > 300 or count_pure_policies(tree) > MOST_PURE_POLICIES:
        return
    result = solve_exact(tree)
    assert result.proved
    assert result.value == pytest.approx(brute_force(tree), abs=1e-5)


def test_equal_futures_are_merged() -> None:
    # Only the last bid matters, and both players' turns are alike: one node a bid, and leaves.
    merged = merge_public_states(build_tree(make_game("simple-bidding", 8)))
    assert sum(weight is None for weight in merged.weight) == 4
    assert (merged.scale, merged.dtype) == (64, np.int16)


@pytest.mark.parametrize(("name", "size", "optimum"), [*SMALL[3:], ("two-suit-bridge", 4, 1.84)])
def test_small_blocks_change_nothing(
    name: str, size: int, optimum: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With blocks of 4 lanes and chunks of 4 columns small games take the paths of large ones.
    monkeypatch.setattr(exact_subsets, "BLOCK_BYTES", 8)
    monkeypatch.setattr(exact_subsets, "_CHUNK", 4)
    result = solve_exact(build_tree(make_game(name, size)), method="subsets")
    assert result.value == pytest.approx(optimum, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_small_blocks_on_random_games(seed: int) -> None:
    tree = build_tree(RepeatingGame(seed, 5))
    expected, _ = SubsetSolver(tree).solve()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact_subsets, "BLOCK_BYTES", 8)
        patch.setattr(exact_subsets, "_CHUNK", 4)
        value, policy = SubsetSolver(tree).solve()
    assert value == expected
    assert value_of(tree, policy) == pytest.approx(value, abs=1e-9)


def test_threads_change_nothing() -> None:
    tree = build_tree(make_game("two-suit-bridge", 4))
    assert solve_exact(tree, method="subsets", workers=2).value == 1.84


# ---- published values ---------------------------------------------------------------------------

# Tian et al. 2020, Table 1, row "Best known": 2.25, 5.06, 1.13, 1.84, 2.89 (rounded). Ours are
# exact: 36/16, 324/64, 18/16, 46/25, 104/36, and are proved to be the optima.
BEST_KNOWN = [
    ("simple-bidding", 4, 2.25, 2.25),
    ("simple-bidding", 8, 5.06, 324 / 64),
    ("two-suit-bridge", 3, 1.125, 1.125),
    ("two-suit-bridge", 4, 1.84, 1.84),
    ("two-suit-bridge", 5, 2.885, 104 / 36),
    ("comm", 3, 1.0, 1.0),
]


@pytest.mark.parametrize(("name", "size", "best_known", "optimum"), BEST_KNOWN)
def test_optima_of_the_papers_games(
    name: str, size: int, best_known: float, optimum: float
) -> None:
    result = solve_exact(build_tree(make_game(name, size)))
    assert result.proved
    assert result.value >= best_known
    assert result.value == pytest.approx(optimum, abs=1e-9)


# ---- bounds -------------------------------------------------------------------------------------


def test_perfect_incumbent_proves_itself() -> None:
    # No pass over subsets could do this: one player has 64 types.
    tree = build_tree(make_game("comm", 6))
    result = solve_exact(tree)
    assert result.proved
    assert result.value == 1.0
    again = solve_exact(tree, incumbent=result.policy, method="bound")
    assert (again.proved, again.value, again.method) == (True, 1.0, "bound")


def test_more_revealed_is_worth_more() -> None:
    tree = build_tree(make_game("simple-bidding", 8))
    solver = SubsetSolver(tree)
    bounds = {groups: solver.revealed_bound(groups) for groups in splits((8, 8))}
    assert bounds[1, 1] == 324 / 64
    assert bounds[8, 8] == pytest.approx(clairvoyant_values(tree)[0], abs=1e-12)
    for (a, b), bound in bounds.items():
        finer = [v for (c, d), v in bounds.items() if c % a == 0 and d % b == 0]
        assert bound <= min(finer) + 1e-12


def test_bound_alone_leaves_the_gap_open() -> None:
    tree = build_tree(make_game("simple-bidding", 8))
    result = solve_exact(tree, incumbent=uniform_policy(tree), method="bound", memory_limit=2**16)
    assert not result.proved
    assert result.value < 324 / 64 < result.upper_bound < clairvoyant_values(tree)[0]


def test_auto_says_what_it_skips(caplog: pytest.LogCaptureFixture) -> None:
    tree = build_tree(make_game("simple-bidding", 8))
    with caplog.at_level(logging.INFO, logger="trine.games.exact"):
        result = solve_exact(tree, memory_limit=2**16, time_limit=2.0)
    assert "subsets skipped" in caplog.text
    assert result.policy is not None
    assert result.value <= 324 / 64 + 1e-9 <= result.upper_bound + 1e-6


# ---- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size", "options", "message"),
    [
        ("kuhn", None, {}, "players have different payoffs"),
        ("comm", 1, {"method": "guess"}, "unknown exact method 'guess'"),
        ("comm", 1, {"time_limit": 0.0}, "time limit of 0.0 s"),
        ("simple-bidding", 16, {"method": "subsets"}, "8.1 GiB; the limit is 8.0 GiB"),
        ("comm", 6, {"method": "subsets"}, "comm:6 has 64 cards for one player"),
    ],
)
def test_refusals_are_one_line(
    name: str, size: int | None, options: dict[str, object], message: str
) -> None:
    tree = build_tree(make_game(name, size))
    with pytest.raises(UsageError, match=message) as caught:
        solve_exact(tree, **options)  # pyright: ignore[reportArgumentType] wrong on purpose
    assert "\n" not in str(caught.value)


def test_subsets_refuse_hidden_actions() -> None:
    with pytest.raises(UsageError, match="use method milp"):
        solve_exact(build_tree(as_game(MiniHanabi())), method="subsets")


def test_incumbent_of_another_game_is_refused() -> None:
    other = uniform_policy(build_tree(make_game("comm", 1)))
    with pytest.raises(DataError, match="policy is for comm:1"):
        solve_exact(build_tree(make_game("comm", 2)), incumbent=other)
