"""The public structure, found in general trees."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.games.random_games import (
    AsGame,
    RandomGame,
    RandomPublicGame,
    behaviour,
    general_sum_games,
    public_games,
    random_or_pure_policy,
    seeds,
)
from trine.core import extras
from trine.core.errors import MissingExtra
from trine.games.best_response import nash_conv, player_values
from trine.games.catalog import make_game
from trine.games.jps import ChainSearch
from trine.games.openspiel import OpenSpielGame
from trine.games.policy import TabularPolicy
from trine.games.public_view import as_public_tree
from trine.games.tree import Tree, build_tree


def same_policy(policy: TabularPolicy, tree: Tree, other: Tree) -> TabularPolicy:
    """A policy on another tree of the same game, by the labels of the information sets."""
    rows = behaviour(tree, policy)
    names = [other.info_set_name(i) for i in range(other.num_info_sets)]
    return TabularPolicy(other.game_id, np.concatenate([rows[name] for name in names]))


@settings(max_examples=60)
@given(public_games, seeds)
def test_public_structure_is_found_again(game, seed):
    general = build_tree(AsGame(game))
    public = as_public_tree(general)
    assert public is not None
    assert public.public is not None
    assert public.game_id == f"{game.name}+public"
    assert public.num_states == general.num_states
    policy = random_or_pure_policy(public, seed)
    values = player_values(public, policy)
    same = same_policy(policy, public, general)
    np.testing.assert_allclose(player_values(general, same), values, atol=1e-12)
    # Both routes of the search see the same gains.
    gains = []
    for tree, start in ((public, policy), (general, same)):
        search = ChainSearch(tree, 0)
        search.evaluate(start.probabilities)
        starts = search.start_sets(0)
        gains.append(search.best_chain(starts, np.random.default_rng(0))[0])
    assert gains[0] == pytest.approx(gains[1], abs=1e-11)


@settings(max_examples=60)
@given(general_sum_games, seeds)
def test_a_public_structure_that_is_found_is_equivalent(game, seed):
    general = build_tree(game)
    public = as_public_tree(general)
    if public is not None:
        policy = random_or_pure_policy(public, seed)
        same = same_policy(policy, public, general)
        np.testing.assert_allclose(
            player_values(general, same), player_values(public, policy), atol=1e-12
        )
        assert nash_conv(general, same) == pytest.approx(nash_conv(public, policy), abs=1e-12)


def test_hidden_structure_is_not_taken_for_public():
    found = [as_public_tree(build_tree(RandomGame(seed))) is not None for seed in range(100)]
    assert 0 < sum(found) < 60
    assert as_public_tree(build_tree(make_game("leduc"))) is None  # chance in the middle
    tree = build_tree(RandomPublicGame(1))
    assert as_public_tree(tree) is tree


def test_without_open_spiel_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(extras, "available", lambda extra: False)
    with pytest.raises(MissingExtra, match=r"pip install 'trine\[oracle\]'"):
        OpenSpielGame("tiny_hanabi")
