"""CFR and CFR+ against OpenSpiel, iteration by iteration, and golden values."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from tests.games.random_games import common_payoff_games, seeds
from trine.core.errors import UsageError
from trine.games.best_response import exploitability, nash_conv, player_values
from trine.games.catalog import make_game
from trine.games.cfr import CFR, CFR_PLUS, PAPER_CFR, CfrVariant, cfr
from trine.games.policy import TabularPolicy, purified, random_policy, set_sums, uniform_policy
from trine.games.tree import Tree, build_tree

KUHN_VALUE = -1 / 18
"""Of Kuhn poker to the first player (Kuhn 1950; OpenSpiel, cfr_test.py)."""


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("ours", "theirs", "iterations"),
    [("kuhn", "kuhn_poker", 30), ("leduc", "leduc_poker", 8)],
)
@pytest.mark.parametrize(("variant", "solver"), [(CFR, "CFRSolver"), (CFR_PLUS, "CFRPlusSolver")])
def test_every_iteration_equals_open_spiels(ours, theirs, iterations, variant, solver):
    pyspiel = pytest.importorskip("pyspiel", reason="needs the extra `oracle` (OpenSpiel)")
    from open_spiel.python.algorithms import expected_game_score

    game = pyspiel.load_game(theirs)
    reference = getattr(pyspiel, solver)(game)
    tree = build_tree(make_game(ours))
    for iteration in range(1, iterations + 1):
        reference.evaluate_and_update_policy()
        policies = (reference.average_policy(), reference.current_policy())
        result = cfr(tree, iteration, variant=variant)
        for policy, same in zip((result.average, result.current), policies, strict=True):
            expected = expected_game_score.policy_value(game.new_initial_state(), [same] * 2)
            np.testing.assert_allclose(player_values(tree, policy), expected, rtol=0, atol=1e-9)
        average = policies[0]
        conv = pyspiel.nash_conv(game, average)
        assert nash_conv(tree, result.average) == pytest.approx(conv, abs=1e-9)
        exploited = pyspiel.exploitability(game, average)
        assert exploitability(tree, result.average) == pytest.approx(exploited, abs=1e-9)


@pytest.mark.oracle
@pytest.mark.parametrize(("variant", "solver"), [(CFR, "CFRSolver"), (CFR_PLUS, "CFRPlusSolver")])
def test_every_probability_equals_open_spiels(variant, solver):
    """Entry by entry, on OpenSpiel's own information sets."""
    pyspiel = pytest.importorskip("pyspiel", reason="needs the extra `oracle` (OpenSpiel)")
    from open_spiel.python.algorithms import cfr as spiel_cfr

    from trine.games.openspiel import from_openspiel, load_openspiel

    for name, iterations in (("kuhn_poker", 30), ("leduc_poker", 8)):
        game, tree = pyspiel.load_game(name), load_openspiel(name)
        reference = getattr(spiel_cfr, solver)(game)
        for _ in range(iterations):
            reference.evaluate_and_update_policy()
        result = cfr(tree, iterations, variant=variant)
        for policy, same in (
            (result.average, reference.average_policy()),
            (result.current, reference.current_policy()),
        ):
            expected = from_openspiel(tree, same, game)
            np.testing.assert_allclose(
                policy.probabilities, expected.probabilities, rtol=0, atol=1e-9
            )


@pytest.mark.parametrize(("variant", "iterations"), [(CFR, 3000), (CFR_PLUS, 1000)])
def test_kuhn_converges_to_its_value(variant, iterations):
    tree = build_tree(make_game("kuhn"))
    result = cfr(tree, iterations, variant=variant)
    assert player_values(tree, result.average)[0] == pytest.approx(KUHN_VALUE, abs=1e-3)
    assert exploitability(tree, result.average) < 3e-3


def test_first_iteration_is_the_start_policy():
    tree = build_tree(make_game("kuhn"))
    uniform = uniform_policy(tree)
    result = cfr(tree, 1)
    # Player 1 of the uniform policy of Kuhn poker earns 1/8.
    assert result.values[0] == pytest.approx(player_values(tree, uniform)[0])
    assert result.values[0] == pytest.approx(0.125)
    start = random_policy(tree, np.random.default_rng(0))
    result = cfr(tree, 1, initial=start)
    assert result.values[0] == pytest.approx(player_values(tree, start)[0])


def test_averages_are_weighted_by_own_reach_and_iteration():
    """The definition, with the iterates taken one by one."""
    tree = build_tree(make_game("kuhn"))
    together = CfrVariant(alternating=False, linear_averaging=True)
    iterates = [uniform_policy(tree), *(cfr(tree, t, variant=together).current for t in (1, 2))]
    weights = np.zeros(tree.num_entries)
    for t, iterate in enumerate(iterates, start=1):
        for i in range(tree.num_info_sets):
            above = 1.0
            entry = int(tree.parent_entry[i])
            while entry >= 0:
                above *= iterate.probabilities[entry]
                entry = int(tree.parent_entry[tree.entry_info_set[entry]])
            row = slice(tree.entry_start[i], tree.entry_start[i + 1])
            weights[row] += t * above * iterate.probabilities[row]
    expected = weights / np.repeat(set_sums(tree, weights), np.diff(tree.entry_start))
    average = cfr(tree, 3, variant=together).average
    np.testing.assert_allclose(average.probabilities, expected, atol=1e-12)


def test_paper_variant_is_random_by_generator_only():
    tree = build_tree(make_game("simple-bidding", 4))
    runs = [
        cfr(tree, 50, variant=PAPER_CFR, generator=np.random.default_rng(seed))
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(runs[0].current.probabilities, runs[1].current.probabilities)
    assert np.array_equal(runs[0].values, runs[1].values)
    assert not np.array_equal(runs[0].values, runs[2].values)


def value(tree: Tree, policy: TabularPolicy) -> float:
    return float(player_values(tree, policy)[0])


def test_last_iterate_of_a_cooperative_game_is_practically_pure():
    # Spec, section 3: which is why joint policy search starts from it.
    tree = build_tree(make_game("simple-bidding", 8))
    result = cfr(tree, 500, variant=PAPER_CFR, generator=np.random.default_rng(0))
    pure = purified(tree, result.current)
    assert value(tree, pure) == pytest.approx(value(tree, result.current), abs=0.05)


@given(common_payoff_games, seeds)
def test_players_of_a_cooperative_game_may_move_together_or_be_told_apart(game, seed):
    """One pass for all players equals one pass each."""
    tree = build_tree(game)
    start = random_policy(tree, np.random.default_rng(seed))
    together = CfrVariant(alternating=False)
    fast = cfr(tree, 4, variant=together, initial=start)
    per_player = np.repeat(tree.payoff, tree.num_players, axis=0)
    apart = replace(tree, payoff=per_player)
    slow = cfr(apart, 4, variant=together, initial=start)
    np.testing.assert_allclose(fast.current.probabilities, slow.current.probabilities, atol=1e-9)


def test_wrong_arguments_are_refused_in_one_line():
    tree = build_tree(make_game("kuhn"))
    with pytest.raises(UsageError, match="0 iterations; accepted: at least 1"):
        cfr(tree, 0)
    with pytest.raises(UsageError, match="this CFR variant is random; pass generator="):
        cfr(tree, 1, variant=PAPER_CFR)
