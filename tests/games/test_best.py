"""Trine's own search: local optima, proved optima, and nothing beyond them."""

import itertools
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings

from tests.games.random_games import (
    AsGame,
    common_payoff_games,
    public_games,
    random_or_pure_policy,
    seeds,
)
from tests.games.test_local_search_public import Bench, reached_by_play
from trine.core.errors import UsageError
from trine.games.best import (
    BestSettings,
    _PublicClimber,
    best_search,
)
from trine.games.best_response import best_response
from trine.games.catalog import make_game
from trine.games.exact import solve_exact
from trine.games.jps import ChainSearch, joint_policy_search
from trine.games.methods import value_of
from trine.games.policy import pure_policy
from trine.games.tree import Tree, build_tree

FEW = BestSettings(climbs=20)


@lru_cache
def catalog_tree(name: str, size: int | None = None) -> Tree:
    return build_tree(make_game(name, size))


def optimum_by_force(tree: Tree) -> float:
    """The best of all pure joint policies, for a handful of decisions."""
    actions = np.diff(tree.entry_start)
    assume(np.prod(actions.astype(float)) <= 400)
    return max(
        value_of(tree, pure_policy(tree, np.array(choice, dtype=np.int64)))
        for choice in itertools.product(*(range(n) for n in actions))
    )


# ---- what is found ------------------------------------------------------------------------------

# Proved optima of Tian et al. 2020's games (row "best known" of the paper's table), how many climbs
# a seed may take, and how many seeds are tried.
OPTIMA = [
    ("mini-hanabi", None, 10.0, 50, 20),
    ("simple-bidding", 4, 2.25, 300, 10),
    ("simple-bidding", 8, 324 / 64, 1500, 5),
    ("two-suit-bridge", 3, 1.125, 1500, 5),
    ("comm", 3, 1.0, 300, 10),
]


@pytest.mark.parametrize(("name", "size", "optimum", "climbs", "runs"), OPTIMA)
def test_every_seed_reaches_the_proved_optimum(
    name: str, size: int | None, optimum: float, climbs: int, runs: int
):
    tree = catalog_tree(name, size)
    proof = solve_exact(tree)
    assert proof.proved
    assert proof.value == pytest.approx(optimum, abs=1e-9)
    for seed in range(runs):
        found = best_search(
            tree, generator=np.random.default_rng(seed), settings=BestSettings(climbs=climbs),
            stop_at=optimum,
        )  # fmt: skip
        assert found.value == pytest.approx(optimum, abs=1e-9), f"seed {seed}"


@settings(max_examples=40)
@given(public_games, seeds)
def test_between_joint_policy_search_and_the_optimum(game, seed):
    tree = build_tree(game)
    optimum = solve_exact(tree)
    assert optimum.proved
    found = best_search(tree, generator=np.random.default_rng(seed), settings=FEW)
    start = random_or_pure_policy(tree, seed)
    searched = joint_policy_search(tree, start, generator=np.random.default_rng(seed))
    assert found.value >= searched.value - 1e-9
    assert found.value <= optimum.value + 1e-9


@settings(max_examples=40)
@given(common_payoff_games, seeds)
def test_the_general_route_finds_the_optimum_of_small_games(game, seed):
    tree = build_tree(game)
    optimum = optimum_by_force(tree)
    found = best_search(
        tree, generator=np.random.default_rng(seed), settings=BestSettings(climbs=60, patience=10),
        use_public=False,
    )  # fmt: skip
    assert found.value == pytest.approx(optimum, abs=1e-9)
    assert found.policy.is_pure()


@pytest.mark.parametrize(
    ("name", "size", "optimum"),
    [("mini-hanabi", None, 10.0), ("comm", 1, 1.0), ("comm", 2, 1.0), ("simple-bidding", 4, 2.25)],
)
def test_the_routes_agree_on_the_optimum(name: str, size: int | None, optimum: float):
    game = make_game(name, size)
    compiled = catalog_tree(name, size)
    one_state_at_a_time = build_tree(AsGame(game))  # pyright: ignore[reportArgumentType] (public)
    assert one_state_at_a_time.public is None
    for tree, use_public in ((compiled, True), (compiled, False), (one_state_at_a_time, True)):
        for seed in range(2):
            found = best_search(
                tree, generator=np.random.default_rng(seed), settings=BestSettings(climbs=300),
                use_public=use_public, stop_at=optimum,
            )  # fmt: skip
            assert found.value == pytest.approx(optimum, abs=1e-9)


# ---- what is returned ---------------------------------------------------------------------------


@settings(max_examples=60)
@given(common_payoff_games, seeds)
def test_the_result_is_a_local_optimum_worth_what_it_says(game, seed):
    tree = build_tree(game)
    found = best_search(
        tree, generator=np.random.default_rng(seed), settings=BestSettings(climbs=5)
    )
    assert found.policy.is_pure()
    assert value_of(tree, found.policy) == pytest.approx(found.value, abs=1e-12)
    assert found.value == pytest.approx(found.values[-1], abs=1e-9)
    assert len(found.values) == 5
    assert np.all(np.diff(found.values) >= 0)
    for player in range(tree.num_players):
        assert best_response(tree, found.policy, player).value <= found.value + 1e-9


@settings(max_examples=60)
@given(common_payoff_games, seeds)
def test_no_chain_of_two_improves_a_local_optimum(game, seed):
    """The fan holds every chain of two; the general route searches these very chains."""
    tree = build_tree(game)
    assume(tree.num_info_sets > 0)
    for use_public in (True, False):
        found = best_search(
            tree, generator=np.random.default_rng(seed), settings=BestSettings(climbs=1),
            use_public=use_public,
        )  # fmt: skip
        search = ChainSearch(tree, 2)
        search.evaluate(found.policy.probabilities)
        starts = np.flatnonzero(reach_of_sets(tree, found.policy.probabilities) > 0)
        gain, _, _ = search.best_chain(starts, np.random.default_rng(0))
        assert gain <= 1e-9


def reach_of_sets(tree: Tree, probabilities: np.ndarray) -> np.ndarray:
    """`[I]` probability that play comes to each information set, from the root down."""
    reach = np.zeros(tree.num_states)
    reach[0] = 1
    chance = dict(zip(tree.chance_node.tolist(), range(len(tree.chance_node)), strict=True))
    sets = np.zeros(tree.num_info_sets)
    for h in range(tree.num_states):
        i = int(tree.info_set[h])
        if h in chance:
            row = slice(tree.chance_start[chance[h]], tree.chance_start[chance[h] + 1])
            p, stride = tree.chance_probability[row], 1
        elif i >= 0:
            p, stride = (
                probabilities[tree.entry_start[i] : tree.entry_start[i + 1]],
                tree.child_stride,
            )
            sets[i] += reach[h]
        else:
            continue
        reach[tree.first_child[h] + stride * np.arange(len(p))] = reach[h] * p
    return sets


@settings(max_examples=100)
@given(public_games, seeds)
def test_perturbations_move_what_play_comes_to(game, seed):
    """Also where one player has fewer cards than the other: their scratch memory is shared."""
    tree = build_tree(game)
    climber = _PublicClimber(tree, fan=True)
    bench = Bench(tree)
    actions = bench.random_actions(seed)
    climber.climb(actions, np.random.default_rng(seed))
    expected = {
        int(bench.public.first_info_set[s]) + card
        for (p, s), cards in reached_by_play(bench, actions).items()
        if bench.public.player[s] == p and bench.public.num_actions[s] > 1
        for card in cards
    }
    assert sorted(climber.reached_sets(actions)) == sorted(expected)


@pytest.mark.parametrize("use_public", [True, False])
def test_the_generator_decides_everything(use_public: bool):
    tree = catalog_tree("simple-bidding", 8)
    one, same, other = (
        best_search(tree, generator=np.random.default_rng(s), settings=FEW, use_public=use_public)
        for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.values, same.values)
    np.testing.assert_array_equal(one.policy.probabilities, same.policy.probabilities)
    assert np.any(one.values != other.values)


def test_stop_at_ends_the_search():
    tree = catalog_tree("mini-hanabi")
    seen: list[tuple[int, float]] = []
    found = best_search(
        tree, generator=np.random.default_rng(0), stop_at=10.0,
        on_climb=lambda n, v: seen.append((n, v)),
    )  # fmt: skip
    assert len(found.values) < 100
    assert found.values[-1] == pytest.approx(10)
    assert seen == list(enumerate(found.values.tolist()))
    # What cannot be reached does not end it.
    whole = best_search(tree, generator=np.random.default_rng(0), settings=FEW, stop_at=10.1)
    assert len(whole.values) == FEW.climbs


def test_without_the_fan_a_climb_is_best_responses_alone():
    # Mini-Hanabi has equilibria worth 8 and 9 (spec, section 7), where such climbs get stuck.
    tree = catalog_tree("mini-hanabi")
    for use_public in (True, False):
        values = [
            best_search(
                tree, generator=np.random.default_rng(seed), use_public=use_public,
                settings=BestSettings(climbs=1, fan=False),
            ).value
            for seed in range(30)
        ]  # fmt: skip
        assert min(values) < 9.5
        found = best_search(
            tree, generator=np.random.default_rng(0), settings=FEW,
            use_public=use_public,
        )  # fmt: skip
        assert found.value == pytest.approx(10)


# ---- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", [{"climbs": 0}, {"moved_sets": 0.5}, {"patience": -1}, {"moved_sets": 0.0}]
)
def test_wrong_settings_are_refused_in_one_line(wrong: dict[str, Any]):
    ((name, value),) = wrong.items()
    with pytest.raises(UsageError, match=f"{name}={value}") as caught:
        best_search(
            catalog_tree("mini-hanabi"), generator=np.random.default_rng(0),
            settings=BestSettings(**wrong),
        )  # fmt: skip
    assert "accepted: at least 1, 1 and 0" in str(caught.value)


def test_a_zero_sum_game_is_refused():
    with pytest.raises(UsageError, match="best search on kuhn: players have different payoffs"):
        best_search(catalog_tree("kuhn"), generator=np.random.default_rng(0))
