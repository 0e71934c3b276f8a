"""Best responses against enumeration of all pure policies, and golden values of Kuhn poker."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings

from tests.games.random_games import any_games, random_or_pure_policy, seeds
from trine.core.errors import DataError, UsageError
from trine.games.best_response import best_response, exploitability, nash_conv, player_values
from trine.games.catalog import make_game
from trine.games.cfr import CFR_PLUS, cfr
from trine.games.policy import TabularPolicy, pure_policy, random_policy, uniform_policy
from trine.games.tree import Tree, build_tree


def all_deviations(tree: Tree, policy: TabularPolicy, player: int) -> list[np.ndarray]:
    """Every pure policy of one player, the others as they were."""
    own = np.flatnonzero(tree.player == player)
    deviations = []
    for actions in itertools.product(*(range(tree.num_actions(int(i))) for i in own)):
        probabilities = policy.probabilities.copy()
        for i, action in zip(own, actions, strict=True):
            probabilities[tree.entry_start[i] : tree.entry_start[i + 1]] = 0
            probabilities[tree.entry_start[i] + action] = 1
        deviations.append(probabilities)
    return deviations


def num_deviations(tree: Tree) -> float:
    actions = np.diff(tree.entry_start).astype(float)  # as integers the product may overflow
    return max(float(np.prod(actions[tree.player == p])) for p in range(tree.num_players))


@settings(max_examples=80)
@given(any_games, seeds)
def test_best_response_equals_trying_every_pure_policy(game, seed):
    tree = build_tree(game)
    assume(num_deviations(tree) <= 500)
    policy = random_or_pure_policy(tree, seed)
    for player in range(tree.num_players):
        response = best_response(tree, policy, player)
        values = [
            player_values(tree, TabularPolicy(tree.game_id, deviation))[player]
            for deviation in all_deviations(tree, policy, player)
        ]
        assert response.value == pytest.approx(max(values), abs=1e-12)


@settings(max_examples=80)
@given(any_games, seeds)
def test_best_response_is_a_policy_worth_what_it_says(game, seed):
    tree = build_tree(game)
    policy = random_or_pure_policy(tree, seed)
    before = player_values(tree, policy)
    for player in range(tree.num_players):
        response = best_response(tree, policy, player)
        after = player_values(tree, response.policy)[player]
        assert response.value == pytest.approx(after, abs=1e-12)
        assert after >= before[player] - 1e-12
        own = (tree.player == player)[tree.entry_info_set]
        assert set(response.policy.probabilities[own]) <= {0.0, 1.0}
        assert np.array_equal(response.policy.probabilities[~own], policy.probabilities[~own])
    assert nash_conv(tree, policy) >= -1e-12


def test_kuhn_uniform_nash_conv():
    # OpenSpiel, exploitability_test.py: NashConv of the uniform policy of Kuhn poker is 11/12.
    tree = build_tree(make_game("kuhn"))
    policy = uniform_policy(tree)
    assert nash_conv(tree, policy) == pytest.approx(11 / 12, abs=1e-12)
    assert exploitability(tree, policy) == pytest.approx(11 / 24, abs=1e-12)


def test_leduc_uniform_nash_conv():
    # OpenSpiel, exploitability_test.py: 4.747222222222222.
    tree = build_tree(make_game("leduc"))
    assert nash_conv(tree, uniform_policy(tree)) == pytest.approx(4.747222222222222, abs=1e-12)


def test_kuhn_equilibrium_cannot_be_exploited():
    tree = build_tree(make_game("kuhn"))
    average = cfr(tree, 3000, variant=CFR_PLUS).average
    assert exploitability(tree, average) < 1e-3
    # Kuhn 1950: the game is worth -1/18 to the first player.
    assert player_values(tree, average)[0] == pytest.approx(-1 / 18, abs=1e-3)


def test_mini_hanabi_local_optimum_is_an_equilibrium():
    # Always play action 1: worth 8, nobody gains alone, though 10 is there (spec, section 4.2).
    tree = build_tree(make_game("mini-hanabi"))
    policy = pure_policy(tree, np.ones(tree.num_info_sets, dtype=int))
    assert player_values(tree, policy) == pytest.approx([8, 8])
    assert nash_conv(tree, policy) == pytest.approx(0, abs=1e-12)
    with pytest.raises(UsageError, match="use nash_conv"):
        exploitability(tree, policy)


def test_wrong_arguments_are_refused_in_one_line():
    tree, other = build_tree(make_game("kuhn")), build_tree(make_game("mini-hanabi"))
    policy = random_policy(other, np.random.default_rng(0))
    with pytest.raises(DataError, match="the policy is for mini-hanabi, the tree for kuhn"):
        best_response(tree, policy, 0)
    with pytest.raises(UsageError, match="player 2; accepted: 0 to 1"):
        best_response(tree, uniform_policy(tree), 2)
