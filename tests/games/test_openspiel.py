"""OpenSpiel's games and policies on our trees."""

import numpy as np
import pytest

from trine.core.errors import DataError, UsageError
from trine.games.best_response import nash_conv, player_values
from trine.games.catalog import make_game
from trine.games.cfr import PAPER_CFR, cfr
from trine.games.jps import joint_policy_search
from trine.games.openspiel import OpenSpielGame, from_openspiel, load_openspiel, to_openspiel
from trine.games.policy import random_policy, uniform_policy
from trine.games.tree import build_tree

pyspiel = pytest.importorskip("pyspiel", reason="needs the extra `oracle` (OpenSpiel)")
spiel_policy = pytest.importorskip("open_spiel.python.policy")
algorithms = "open_spiel.python.algorithms"
spiel_exploitability = pytest.importorskip(f"{algorithms}.exploitability")
expected_game_score = pytest.importorskip(f"{algorithms}.expected_game_score")

pytestmark = pytest.mark.oracle

# Histories as OpenSpiel's own walk counts them; whether all players always earn the same; whether
# one deal is followed by public actions only.
LOADED = [
    ("tiny_hanabi", 55, 8, True, True),
    ("trade_comm(num_items=2)", 349, 22, True, False),
    ("trade_comm(num_items=3)", 7408, 66, True, False),
    ("kuhn_poker", 58, 12, False, True),
    ("kuhn_poker(players=3)", 617, 48, False, True),
    ("leduc_poker", 9457, 936, False, False),
]


def count_states(state) -> int:
    if state.is_terminal():
        return 1
    actions = (
        [a for a, _ in state.chance_outcomes()] if state.is_chance_node() else state.legal_actions()
    )
    return 1 + sum(count_states(state.child(a)) for a in actions)


@pytest.mark.parametrize(("name", "states", "info_sets", "shared", "public"), LOADED)
def test_a_game_loads_as_it_is(name, states, info_sets, shared, public):
    tree = build_tree(OpenSpielGame(name))
    assert tree.game_id == f"openspiel:{name}"
    assert tree.num_states == states == count_states(pyspiel.load_game(name).new_initial_state())
    assert tree.num_info_sets == info_sets
    assert tree.is_common_payoff == shared
    assert (load_openspiel(name).public is not None) == public


@pytest.mark.parametrize("name", [name for name, *_ in LOADED])
def test_values_equal_open_spiels(name):
    game = pyspiel.load_game(name)
    theirs = spiel_policy.TabularPolicy(game).copy_with_noise(
        beta=2.0, random_state=np.random.RandomState(0)
    )  # fmt: skip
    expected = expected_game_score.policy_value(
        game.new_initial_state(), [theirs] * game.num_players()
    )
    conv = spiel_exploitability.nash_conv(game, theirs)
    for tree in (build_tree(OpenSpielGame(game)), load_openspiel(game)):
        ours = from_openspiel(tree, theirs, game)
        np.testing.assert_allclose(player_values(tree, ours), expected, atol=1e-12)
        assert nash_conv(tree, ours) == pytest.approx(conv, abs=1e-12)


@pytest.mark.parametrize("name", ["tiny_hanabi", "trade_comm(num_items=2)", "leduc_poker"])
def test_policies_go_there_and_back(name):
    game = pyspiel.load_game(name)
    for tree in (build_tree(OpenSpielGame(game)), load_openspiel(name)):
        ours = random_policy(tree, np.random.default_rng(0))
        theirs = to_openspiel(tree, ours, name)
        back = from_openspiel(tree, theirs, name)
        np.testing.assert_allclose(back.probabilities, ours.probabilities, atol=1e-15)
        expected = expected_game_score.policy_value(
            game.new_initial_state(), [theirs] * game.num_players()
        )
        np.testing.assert_allclose(player_values(tree, ours), expected, atol=1e-12)


def test_our_mini_hanabi_is_tiny_hanabi():
    # Same payoffs (spec, section 4.2); OpenSpiel deals in two steps, hence two nodes more.
    ours, theirs = build_tree(make_game("mini-hanabi")), load_openspiel("tiny_hanabi")
    assert theirs.num_states == ours.num_states
    assert np.array_equal(theirs.payoff, ours.payoff)
    assert np.array_equal(theirs.info_set, ours.info_set)


def test_search_runs_on_tiny_hanabi_and_reaches_the_optimum():
    tree = load_openspiel("tiny_hanabi")
    best = 0.0
    for seed in range(10):
        generator = np.random.default_rng(seed)
        start = cfr(tree, 300, variant=PAPER_CFR, generator=generator).current
        result = joint_policy_search(tree, start, generator=generator)
        assert np.all(np.diff(result.values) >= -1e-12)
        best = max(best, result.value)
    assert best == pytest.approx(10, abs=1e-9)


@pytest.mark.parametrize(("items", "depth"), [(2, 0), (2, 3), (3, 0)])
def test_search_runs_on_trade_comm_and_reaches_the_optimum(items, depth):
    name = f"trade_comm(num_items={items})"
    tree = load_openspiel(name)
    best = 0.0
    for seed in range(3):
        generator = np.random.default_rng(seed)
        start = random_policy(tree, generator)
        result = joint_policy_search(tree, start, depth=depth, generator=generator)
        assert np.all(np.diff(result.values) >= -1e-12)
        theirs = to_openspiel(tree, result.policy, name)
        game = pyspiel.load_game(name)
        score = expected_game_score.policy_value(game.new_initial_state(), [theirs] * 2)
        np.testing.assert_allclose(score, result.value, atol=1e-12)
        best = max(best, result.value)
    assert best == pytest.approx(1.0, abs=1e-9)


def test_search_runs_on_tiny_bridge():
    # 28 hands for one partner, 15 left for the other, 255 auctions.
    tree = load_openspiel("tiny_bridge_2p")
    assert tree.num_states == 1 + 28 * 15 * 255
    assert tree.num_info_sets == 28 * 128
    assert tree.is_common_payoff
    generator = np.random.default_rng(0)
    start = cfr(tree, 100, variant=PAPER_CFR, generator=generator).current
    result = joint_policy_search(tree, start, depth=2, iterations=20, generator=generator)
    assert np.all(np.diff(result.values) >= -1e-12)
    np.testing.assert_allclose(np.diff(result.values), result.predicted_gains, atol=1e-9)
    assert tree.info_set_name(0) == "P1 HQHJ"


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("tiny_hanaby", UsageError, "did you mean 'tiny_hanabi'"),
        ("kuhn_poker(players=99)", UsageError, "OpenSpiel refuses"),
        ("kuhn_poker(playrs=3)", UsageError, "Unknown parameter 'playrs'"),
        ("matrix_pd", UsageError, r"turn_based_simultaneous_game\(game=matrix_pd\(\)\)"),
        ("mfg_crowd_modelling", UsageError, "move at the same time"),
        ("2048", UsageError, "information state strings|sampled"),
        ("chess", DataError, r"about 10\^\d+ states or more"),
        ("backgammon", UsageError, "information state strings"),
        ("hanabi", UsageError, "information state strings"),
        ("hex", DataError, r"about 10\^\d+ states or more"),
        ("liars_dice_ir(dice_sides=3)", DataError, "imperfect recall"),
    ],
)
def test_what_is_no_finite_extensive_form_is_refused_in_one_line(name, error, message):
    with pytest.raises(error, match=message) as caught:
        load_openspiel(name)
    assert "\n" not in str(caught.value)


def test_policies_for_another_game_are_refused_in_one_line():
    tree = load_openspiel("tiny_hanabi")
    with pytest.raises(DataError, match="the tree is of openspiel:tiny_hanabi"):
        to_openspiel(tree, uniform_policy(tree), "kuhn_poker")
    incomplete = pyspiel.TabularPolicy({"nothing": [(0, 1.0)]})
    with pytest.raises(DataError, match="sum to 0"):
        from_openspiel(tree, incomplete, "tiny_hanabi")
