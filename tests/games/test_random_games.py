"""Evaluation and CFR on random games: every route agrees with asking the game recursively."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.games.random_games import (
    AsGame,
    RandomPublicGame,
    any_games,
    as_game,
    behaviour,
    common_payoff_games,
    general_sum_public_games,
    public_games,
    random_or_pure_policy,
    recursive_value,
    seeds,
)
from trine.games.catalog import GAMES, make_game
from trine.games.cfr import CFR, CFR_PLUS, PAPER_CFR, cfr
from trine.games.policy import random_policy, set_sums
from trine.games.traversal import Evaluation
from trine.games.tree import Tree, build_tree


def exact_values(tree: Tree, probabilities: np.ndarray) -> np.ndarray:
    return np.array(
        [Evaluation(tree, column).update(probabilities) for column in range(len(tree.payoff))]
    )


@settings(max_examples=80)
@given(any_games, seeds)
def test_evaluation_equals_asking_the_game_recursively(game, seed):
    tree = build_tree(game)
    policy = random_or_pure_policy(tree, seed)
    expected = recursive_value(as_game(game), behaviour(tree, policy))
    np.testing.assert_allclose(exact_values(tree, policy.probabilities), expected, atol=1e-12)


@pytest.mark.parametrize("name", list(GAMES))
def test_evaluation_of_catalog_games_equals_asking_them_recursively(name):
    size = 2 if GAMES[name].size_meaning else None
    game = make_game(name, size)
    tree = build_tree(game)
    policy = random_policy(tree, np.random.default_rng(0))
    expected = recursive_value(as_game(game), behaviour(tree, policy))
    np.testing.assert_allclose(exact_values(tree, policy.probabilities), expected, atol=1e-12)


@settings(max_examples=60)
@given(public_games | general_sum_public_games, seeds)
def test_public_pass_equals_general_pass(game, seed):
    tree = build_tree(game)
    policy = random_or_pure_policy(tree, seed)
    for column in range(len(tree.payoff)):
        fast, slow = Evaluation(tree, column), Evaluation(tree, column)
        fast.update(policy.probabilities)
        slow.update(policy.probabilities)
        slow.action_values[:] = 0
        slow.update_general(policy.probabilities)
        np.testing.assert_allclose(fast.values, slow.values, rtol=0, atol=1e-12)
        np.testing.assert_allclose(fast.action_values, slow.action_values, rtol=0, atol=1e-12)


@settings(max_examples=40)
@given(seeds, seeds)
def test_a_public_game_and_the_same_game_one_state_at_a_time_agree(seed, policy_seed):
    for players in (2, 3):
        game = RandomPublicGame(seed, num_players=players)
        fast, slow = build_tree(game), build_tree(AsGame(game))
        assert fast.num_states == slow.num_states
        policy = random_or_pure_policy(fast, policy_seed)
        rows = behaviour(fast, policy)
        names = [slow.info_set_name(i) for i in range(slow.num_info_sets)]
        assert sorted(names) == sorted(rows)
        same = np.concatenate([rows[name] for name in names])
        np.testing.assert_allclose(
            exact_values(slow, same), exact_values(fast, policy.probabilities), atol=1e-12
        )


@settings(max_examples=40)
@given(common_payoff_games, seeds)
def test_counterfactual_action_values_are_derivatives_of_the_value(game, seed):
    """q(I, a) times the own reach of I is d value / d sigma(I, a): a check by differences."""
    tree = build_tree(game)
    probabilities = random_policy(tree, np.random.default_rng(seed)).probabilities
    evaluation = Evaluation(tree)
    evaluation.update(probabilities)
    own = np.where(tree.parent_entry < 0, 1.0, evaluation.reach[tree.parent_entry])
    derivative = own[tree.entry_info_set] * evaluation.action_values
    for entry in np.random.default_rng(seed).permutation(tree.num_entries)[:5]:
        step = np.zeros(tree.num_entries)
        step[entry] = 0.25
        # The value is linear in one information set's row, so the difference has no error term.
        up, down = (
            exact_values(tree, probabilities + step)[0],
            exact_values(tree, probabilities - step)[0],
        )
        np.testing.assert_allclose((up - down) / 0.5, derivative[entry], atol=1e-11)


@settings(max_examples=30)
@given(any_games, seeds)
@pytest.mark.parametrize("variant", [CFR, CFR_PLUS, PAPER_CFR])
def test_cfr_returns_policies_and_values(variant, game, seed):
    tree = build_tree(game)
    calls: list[tuple[int, float]] = []
    result = cfr(
        tree, 5, variant=variant, generator=np.random.default_rng(seed),
        on_iteration=lambda t, value: calls.append((t, value)),
    )  # fmt: skip
    assert calls == list(enumerate(result.values))
    assert result.mean_value == pytest.approx(result.values.mean())
    for policy in (result.current, result.average):
        assert np.all(policy.probabilities >= 0)
        np.testing.assert_allclose(set_sums(tree, policy.probabilities), 1, atol=1e-12)
