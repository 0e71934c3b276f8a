"""Counterfactual values card by card, and CFR on them, against the route for any tree."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from tests.games.random_games import (
    general_sum_public_games,
    public_games,
    random_or_pure_policy,
    seeds,
)
from trine.games.card_values import CardValues
from trine.games.catalog import make_game
from trine.games.cfr import CFR, CFR_PLUS, CfrVariant, cfr
from trine.games.policy import pure_policy, random_policy
from trine.games.traversal import Evaluation
from trine.games.tree import LEAF, Tree, build_tree


def without_ties(tree: Tree, seed: int) -> Tree:
    """The same game with payoffs moved a little: routes that round otherwise choose alike."""
    noise = np.random.default_rng(seed).normal(0, 0.1, size=tree.payoff.shape)
    return replace(tree, payoff=tree.payoff + np.where(tree.info_set == LEAF, noise, 0.0))


@settings(max_examples=60)
@given(public_games | general_sum_public_games, seeds)
def test_each_player_counts_the_own_payoff(game, seed):
    tree = build_tree(game)
    policy = random_or_pure_policy(tree, seed).probabilities
    columns = (0, len(tree.payoff) - 1)
    by_card = CardValues(tree, columns)
    value = by_card.update(policy)
    for player, column in enumerate(columns):
        general = Evaluation(tree, column)
        general.update_general(policy)
        own = tree.player[tree.entry_info_set] == player
        np.testing.assert_allclose(
            by_card.action_values[own], general.action_values[own], rtol=0, atol=1e-12
        )
        np.testing.assert_array_equal(by_card.reach[own], general.reach[own])
        if player == 0:
            assert value == pytest.approx(general.values[0], abs=1e-12)


@settings(max_examples=60)
@given(public_games | general_sum_public_games, seeds)
@pytest.mark.parametrize(
    "variant", [CFR, CFR_PLUS, CfrVariant(alternating=False)], ids=["cfr", "cfr+", "together"]
)
def test_cfr_by_card_equals_cfr_by_node(variant, game, seed):
    tree = without_ties(build_tree(game), seed)
    start = random_or_pure_policy(tree, seed)
    fast = cfr(tree, 6, variant=variant, initial=start)
    slow = cfr(replace(tree, public=None), 6, variant=variant, initial=start)
    np.testing.assert_allclose(fast.values, slow.values, atol=1e-9)
    for ours, theirs in ((fast.current, slow.current), (fast.average, slow.average)):
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-9)


def test_states_that_nobody_reaches_are_left_out():
    tree = build_tree(make_game("two-suit-bridge", 2))
    assert tree.public is not None
    by_card = CardValues(tree, (0, 0))
    by_card.update_reached(random_policy(tree, np.random.default_rng(0)).probabilities)
    states = np.count_nonzero(tree.public.player != LEAF)
    assert len(by_card.visited) == states
    assert by_card.visited[-1, 1] == tree.num_info_sets
    # Everybody always takes the first action, which is to pass.
    by_card.update_reached(pure_policy(tree, np.zeros(tree.num_info_sets, dtype=int)).probabilities)
    # The opening; the replies to all five calls; and as player 1 opens with a pass and player 2
    # passes after a bid, only what follows a bid of player 2 over the opening pass.
    assert len(by_card.visited) == 1 + 5 + 4
