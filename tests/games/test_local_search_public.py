"""The compiled local search: a climb ends where neither move gains, and the moves are exact."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings

from tests.games.random_games import RandomPublicGame, public_games, seeds
from trine.core.errors import DataError
from trine.games.best_response import best_response
from trine.games.catalog import make_game
from trine.games.local_search_public import (
    apply_deviation,
    best_deviation,
    best_response_in_place,
    climb,
    public_arrays,
    pure_values,
    reached_states,
)
from trine.games.methods import value_of
from trine.games.policy import pure_policy
from trine.games.traversal import Evaluation
from trine.games.tree import LEAF, Tree, build_tree

SMALL = [
    ("comm", 2),
    ("mini-hanabi", None),
    ("simple-bidding", 3),
    ("simple-bidding", 4),
    ("two-suit-bridge", 1),
    ("two-suit-bridge", 2),
]


@dataclass
class Bench:
    """A tree with the scratch memory of the kernels."""

    tree: Tree

    def __post_init__(self) -> None:
        public = self.tree.public
        assert public is not None
        self.public = public
        self.game = public_arrays(self.tree)
        most_types, levels = int(public.num_types.max()), int(public.depth.max()) + 2
        self.values = self.tree.payoff[0].copy()
        self.queue = np.empty(len(public.player), dtype=np.int64)
        self.alive = np.zeros((2, len(public.player), most_types), dtype=np.bool_)
        self.companion = np.zeros((levels, most_types), dtype=np.int64)
        self.path = np.empty(levels, dtype=np.int64)
        self.best_path = np.empty(levels, dtype=np.int64)

    def random_actions(self, seed: int) -> np.ndarray:
        generator = np.random.default_rng(seed)
        return generator.integers(np.diff(self.tree.entry_start))

    def value(self, actions: np.ndarray) -> float:
        return value_of(self.tree, pure_policy(self.tree, actions))

    def climb(self, actions: np.ndarray, seed: int, use_fan: bool = True) -> float:
        return climb(
            self.game, self.public.cards, actions, self.values, self.queue, self.alive,
            self.companion, self.path, self.best_path, use_fan, np.random.default_rng(seed),
        )  # fmt: skip

    def deviation(self, actions: np.ndarray, seed: int) -> tuple[float, int, int, int]:
        pure_values(self.game, self.public.cards, actions, self.values)
        reached = reached_states(self.game, actions, self.queue, self.alive)
        return best_deviation(
            self.game, actions, self.values, self.queue, reached, self.alive, self.companion,
            self.path, self.best_path, np.random.default_rng(seed),
        )  # fmt: skip


def reached_by_play(bench: Bench, actions: np.ndarray) -> dict[tuple[int, int], set[int]]:
    """Cards of each player that come to each public state, found by playing every deal.

    A card comes to a state if its own earlier actions lead there, against some card of the partner
    whose actions lead there too; whether the two are ever dealt together does not matter.
    """
    public = bench.public
    found: dict[tuple[int, int], set[int]] = {}
    for s in range(len(public.player)):
        cards = [set(range(int(public.num_types[p]))) for p in range(2)]
        at = s
        while public.parent[at] >= 0:
            above = int(public.parent[at])
            p, taken = int(public.player[above]), at - int(public.first_child[above])
            cards[p] &= {
                c for c in cards[p] if actions[int(public.first_info_set[above]) + c] == taken
            }
            at = above
        if cards[0] and cards[1]:
            found |= {(p, s): cards[p] for p in range(2)}
    return found


def deviations(bench: Bench, actions: np.ndarray) -> list[np.ndarray]:
    """Every deviation of one card with every combination of replies of the partner's cards."""
    public, found = bench.public, []
    reach = reached_by_play(bench, actions)
    for (p, s), cards in reach.items():
        if public.player[s] != p:
            continue
        for card in cards:
            # Own actions until the partner speaks or the game is over.
            paths = [(s, actions)]
            for at, so_far in paths:
                if public.player[at] != p:
                    ends = [so_far]
                    if public.player[at] != LEAF:
                        first = int(public.first_info_set[at])
                        partners = sorted(reach[1 - p, s])
                        choices = range(int(public.num_actions[at]))
                        ends = []
                        for replies in itertools.product(choices, repeat=len(partners)):
                            end = so_far.copy()
                            end[first + np.array(partners)] = replies
                            ends.append(end)
                    found += ends
                    continue
                for a in range(int(public.num_actions[at])):
                    changed = so_far.copy()
                    changed[int(public.first_info_set[at]) + card] = a
                    paths.append((int(public.first_child[at]) + a, changed))
    return found


def check_best_deviation(bench: Bench, seed: int) -> None:
    """The best deviation is the best of all, and applied it gains what it says."""
    actions = bench.random_actions(seed)
    before = bench.value(actions)
    evaluation = Evaluation(bench.tree)
    gains = [
        evaluation.update(pure_policy(bench.tree, changed).probabilities) - before
        for changed in deviations(bench, actions)
    ]
    gain, state, card, length = bench.deviation(actions, seed)
    assert gain == pytest.approx(max([0.0, *gains]), abs=1e-11)
    if gain > 0:
        path = bench.best_path
        apply_deviation(
            bench.game, actions, bench.values, bench.alive, bench.companion, state, card, path,
            length,
        )  # fmt: skip
        assert bench.value(actions) - before == pytest.approx(gain, abs=1e-11)
    else:
        assert state == -1


def check_local_optimum(bench: Bench, actions: np.ndarray) -> None:
    value = bench.value(actions)
    policy = pure_policy(bench.tree, actions)
    for player in range(2):
        assert best_response(bench.tree, policy, player).value <= value + 1e-10
    evaluation = Evaluation(bench.tree)
    for changed in deviations(bench, actions):
        assert evaluation.update(pure_policy(bench.tree, changed).probabilities) <= value + 1e-10


# ---- the moves ----------------------------------------------------------------------------------


@settings(max_examples=60)
@given(public_games, seeds)
def test_values_of_pure_policies(game, seed):
    bench = Bench(build_tree(game))
    actions = bench.random_actions(seed)
    value = pure_values(bench.game, bench.public.cards, actions, bench.values)
    evaluation = Evaluation(bench.tree)
    expected = evaluation.update(pure_policy(bench.tree, actions).probabilities)
    assert value == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(bench.values, evaluation.values, rtol=0, atol=1e-12)


@settings(max_examples=60)
@given(public_games, seeds)
def test_reached_states_are_those_that_play_comes_to(game, seed):
    bench = Bench(build_tree(game))
    actions = bench.random_actions(seed)
    expected = reached_by_play(bench, actions)
    count = reached_states(bench.game, actions, bench.queue, bench.alive)
    states = bench.queue[:count].tolist()
    assert sorted(states) == sorted({s for _, s in expected})
    for s in states:
        for p in range(2):
            assert set(np.flatnonzero(bench.alive[p, s])) == expected[p, s]


@settings(max_examples=80)
@given(public_games, seeds)
def test_best_response_equals_the_general_one(game, seed):
    bench = Bench(build_tree(game))
    for player in range(2):
        actions = bench.random_actions(seed)
        before = actions.copy()
        expected = best_response(bench.tree, pure_policy(bench.tree, actions), player).value
        value = best_response_in_place(
            bench.game, player, actions, bench.values, bench.queue, bench.alive[0],
            np.random.default_rng(seed),
        )  # fmt: skip
        assert value == pytest.approx(expected, abs=1e-12)
        assert bench.value(actions) == pytest.approx(expected, abs=1e-12)
        partner = bench.tree.player != player
        assert np.array_equal(actions[partner], before[partner])


@settings(max_examples=60)
@given(public_games, seeds)
def test_best_deviation_equals_trying_all(game, seed):
    check_best_deviation(Bench(build_tree(game)), seed)


@pytest.mark.parametrize(("name", "size"), SMALL)
def test_best_deviation_equals_trying_all_on_the_catalog(name: str, size: int | None):
    bench = Bench(build_tree(make_game(name, size)))
    for seed in range(3):
        check_best_deviation(bench, seed)


# ---- the climb ----------------------------------------------------------------------------------


@settings(max_examples=80)
@given(public_games, seeds)
def test_a_climb_ends_at_a_local_optimum(game, seed):
    bench = Bench(build_tree(game))
    actions = bench.random_actions(seed)
    before = bench.value(actions)
    value = bench.climb(actions, seed)
    assert value == pytest.approx(bench.value(actions), abs=1e-11)
    assert value >= before - 1e-12
    check_local_optimum(bench, actions)


@pytest.mark.parametrize(("name", "size"), SMALL)
def test_a_climb_ends_at_a_local_optimum_on_the_catalog(name: str, size: int | None):
    bench = Bench(build_tree(make_game(name, size)))
    for seed in range(3):
        actions = bench.random_actions(seed)
        value = bench.climb(actions, seed)
        assert value == pytest.approx(bench.value(actions), abs=1e-11)
        check_local_optimum(bench, actions)


def test_the_fan_leaves_what_best_responses_cannot():
    # Mini-Hanabi: everybody always plays 1, worth 8; a card with both replies earns 9, then 10.
    bench = Bench(build_tree(make_game("mini-hanabi")))
    ones = np.ones(bench.tree.num_info_sets, dtype=np.int64)
    gain, *_ = bench.deviation(ones, 0)
    assert gain == pytest.approx(1, abs=1e-12)
    assert bench.climb(ones.copy(), 0, use_fan=False) == pytest.approx(8, abs=1e-12)
    assert bench.climb(ones.copy(), 0) == pytest.approx(10, abs=1e-12)


def test_the_generator_decides_everything():
    bench = Bench(build_tree(make_game("simple-bidding", 8)))
    ends = []
    for seed in (1, 1, 2):
        actions = bench.random_actions(0)
        ends.append((bench.climb(actions, seed), actions.tolist()))
    assert ends[0] == ends[1]
    assert ends[0] != ends[2]


def test_only_two_players_with_public_actions():
    with pytest.raises(DataError, match="leduc is not a two-player game with public actions"):
        public_arrays(build_tree(make_game("leduc")))
    with pytest.raises(DataError, match="is not a two-player game with public actions"):
        public_arrays(build_tree(RandomPublicGame(0, num_players=3)))
