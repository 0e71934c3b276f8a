"""Joint policy search as a whole: what it reaches, how it samples, when it stops, what it refuses.

That the best chain is the best of all chains, and that gains are exact, is `test_density`'s part.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.games.random_games import (
    common_payoff_games,
    public_games,
    random_or_pure_policy,
    seeds,
)
from trine.core.errors import DataError, UsageError
from trine.games import jps
from trine.games.catalog import make_game
from trine.games.cfr import PAPER_CFR, cfr
from trine.games.jps import ChainSearch, JpsResult, joint_policy_search, sampled_nodes
from trine.games.methods import value_of
from trine.games.policy import (
    TabularPolicy,
    pure_policy,
    random_policy,
    random_pure_policy,
    uniform_policy,
)
from trine.games.tree import Tree, build_tree

SMALL = [("comm", 3), ("mini-hanabi", None), ("simple-bidding", 4), ("two-suit-bridge", 2)]


@lru_cache
def catalog_tree(name: str, size: int | None = None) -> Tree:
    return build_tree(make_game(name, size))


def mixed_policies(tree: Tree, count: int) -> list[TabularPolicy]:
    return [random_or_pure_policy(tree, seed) for seed in range(count)]


# ---- two routes ---------------------------------------------------------------------------------


def check_routes_agree(
    tree: Tree, policy: TabularPolicy, depth: int, samples: int | None, seed: int
) -> None:
    """Gains of the best chains from every level, by the fast and by the obvious route."""
    routes = [ChainSearch(tree, depth, use_public=public) for public in (True, False)]
    for route in routes:
        route.evaluate(policy.probabilities)
    for level in range(tree.num_levels - 1):
        starts = routes[0].start_sets(level)
        weight = None
        if samples is not None:
            weight = sampled_nodes(tree, starts, samples, np.random.default_rng(seed))
        gains = [r.best_chain(starts, np.random.default_rng(seed), weight)[0] for r in routes]
        assert gains[0] == pytest.approx(gains[1], abs=1e-12)


@pytest.mark.parametrize("samples", [None, 1, 3])
@pytest.mark.parametrize("depth", range(6))
@pytest.mark.parametrize(("name", "size"), SMALL)
def test_routes_agree_on_the_catalog(name: str, size: int | None, depth: int, samples: int | None):
    tree = catalog_tree(name, size)
    for seed, policy in enumerate(mixed_policies(tree, 4)):
        check_routes_agree(tree, policy, depth, samples, seed)


@settings(max_examples=80)
@given(public_games, seeds, st.integers(0, 5), st.none() | st.integers(1, 4))
def test_routes_agree_on_random_games(game, seed, depth, samples):
    tree = build_tree(game)
    check_routes_agree(tree, random_or_pure_policy(tree, seed), depth, samples, seed)


# ---- never worse --------------------------------------------------------------------------------


@pytest.mark.parametrize("use_public", [True, False])
@pytest.mark.parametrize("depth", range(6))
@pytest.mark.parametrize(("name", "size"), SMALL)
def test_gains_are_exact_and_never_negative(
    name: str, size: int | None, depth: int, use_public: bool
):
    tree = catalog_tree(name, size)
    for seed, policy in enumerate(mixed_policies(tree, 3)):
        result = joint_policy_search(
            tree, policy, depth=depth, iterations=40, use_public=use_public,
            generator=np.random.default_rng(seed),
        )  # fmt: skip
        assert len(result.values) == len(result.predicted_gains) + 1
        np.testing.assert_allclose(
            np.diff(result.values), result.predicted_gains, rtol=0, atol=1e-9
        )
        assert np.all(np.diff(result.values) >= -1e-12)
        assert value_of(tree, result.policy) == pytest.approx(result.value, abs=1e-12)
        assert result.value >= value_of(tree, policy) - 1e-12


def test_the_policy_that_was_given_stays_as_it_was():
    tree = catalog_tree("simple-bidding", 4)
    policy = uniform_policy(tree)
    before = policy.probabilities.copy()
    joint_policy_search(tree, policy, depth=2)
    assert np.array_equal(policy.probabilities, before)


# ---- golden values ------------------------------------------------------------------------------


def all_ones(tree: Tree) -> TabularPolicy:
    """Mini-Hanabi's local optimum: everybody always plays action 1, worth 8."""
    return pure_policy(tree, np.ones(tree.num_info_sets, dtype=int))


def test_mini_hanabi_local_optimum_holds_exact_search():
    # A chain changes one card of player 1 and one reply. The changed card then earns at most 10
    # with one card of the partner and 4 with the other, whose reply stays: 7 on average, not 8.
    tree = catalog_tree("mini-hanabi")
    for depth in (0, 1, 2):
        result = joint_policy_search(tree, all_ones(tree), depth=depth)
        assert result.value == pytest.approx(8, abs=1e-12)
        assert result.converged
        assert np.all(result.predicted_gains == 0)


def test_mini_hanabi_local_optimum_does_not_hold_sampled_search():
    # Paper, table of sampled search, Mini-Hanabi, k = 1: 10.00.
    tree = catalog_tree("mini-hanabi")
    for seed in range(5):
        result = joint_policy_search(
            tree, all_ones(tree), samples=1, generator=np.random.default_rng(seed)
        )
        assert result.value == pytest.approx(10, abs=1e-12)


def test_a_prepared_reply_lets_a_chain_leave_the_local_optimum():
    # Player 2 already answers action 2 of card 0 rightly; then one chain changes player 1's card 0
    # and the other reply: (8 + 10) / 2. Then card 1 to action 0, likewise: 10.
    tree = catalog_tree("mini-hanabi")
    actions = np.ones(tree.num_info_sets, dtype=int)
    for label, action in (("P2 [0] 2", 0), ("P2 [0] 0", 2)):
        (i,) = [i for i in range(tree.num_info_sets) if tree.info_set_name(i) == label]
        actions[i] = action
    start = pure_policy(tree, actions)
    assert value_of(tree, start) == pytest.approx(8, abs=1e-12)
    result = joint_policy_search(tree, start, depth=0)
    np.testing.assert_allclose(result.values[:3], [8, 9, 10], atol=1e-12)
    # Alone, nobody leaves it.
    assert joint_policy_search(tree, start, depth=1).value == pytest.approx(8, abs=1e-12)


def test_comm_recodes_whole_messages():
    # Paper, row CFR1k+JPS: Comm 1.00 in every run; no single player improves a bad code.
    tree = catalog_tree("comm", 3)
    starts: list[float] = []
    for seed in range(8):
        generator = np.random.default_rng(seed)
        start = cfr(tree, 1000, variant=PAPER_CFR, generator=generator).current
        starts.append(value_of(tree, start))
        result = joint_policy_search(tree, start, depth=0, generator=generator)
        assert result.value == pytest.approx(1.0, abs=1e-12)
        assert result.converged
    assert min(starts) < 0.95  # else the search had nothing to do


def test_deeper_chains_find_what_shallow_ones_miss():
    # Comm needs D of at least L + 1, the bits and the answer (spec, section 5).
    tree = catalog_tree("comm", 3)
    start = random_pure_policy(tree, np.random.default_rng(1))
    values = [joint_policy_search(tree, start, depth=d, iterations=300).value for d in (1, 4)]
    assert values[0] < 1
    assert values[1] == pytest.approx(1.0, abs=1e-12)


# ---- sampling -----------------------------------------------------------------------------------


def marked_by_definition(tree: Tree, drawn: np.ndarray) -> np.ndarray:
    """A node counts if it, or a node above it, was drawn."""
    weight = np.zeros(tree.num_states)
    weight[drawn] = 1
    for h in range(1, tree.num_states):
        weight[h] = max(weight[h], weight[tree.parent[h]])
    return weight


def check_marks(tree: Tree, starts: np.ndarray, samples: int, seed: int) -> None:
    weight = sampled_nodes(tree, starts, samples, np.random.default_rng(seed))
    drawn: list[int] = []
    for i in starts:
        nodes = tree.slot_node[tree.set_slots[tree.set_start[i] : tree.set_start[i + 1]]]
        above = (tree.parent[nodes] >= 0) & (weight[tree.parent[nodes]] > 0)
        chosen = nodes[(weight[nodes] > 0) & ~above]
        if not above.any():
            assert 1 <= len(chosen) <= min(samples, len(nodes))
        drawn += chosen.tolist()
    np.testing.assert_array_equal(weight, marked_by_definition(tree, np.array(drawn)))


@settings(max_examples=80)
@given(common_payoff_games, seeds, st.integers(0, 4), st.integers(1, 4))
def test_sampling_marks_the_drawn_nodes_and_all_below(game, seed, level, samples):
    tree = build_tree(game)
    if tree.num_info_sets == 0:
        return
    starts = ChainSearch(tree).start_sets(level)
    if len(starts):
        check_marks(tree, starts, samples, seed)


@pytest.mark.parametrize(("name", "size"), SMALL)
def test_sampling_marks_the_drawn_nodes_on_the_catalog(name: str, size: int | None):
    tree = catalog_tree(name, size)
    search = ChainSearch(tree)
    for level in range(1, tree.num_levels - 1):
        for samples in (1, 2):
            check_marks(tree, search.start_sets(level), samples, level)


def test_sampling_draws_every_node_in_the_end():
    tree = catalog_tree("mini-hanabi")
    starts = ChainSearch(tree).start_sets(1)
    generator = np.random.default_rng(0)
    counts = sum(sampled_nodes(tree, starts, 1, generator)[1:5] for _ in range(2000))
    # Four deals, two a card: each is drawn half the time.
    np.testing.assert_allclose(counts, 1000, atol=100)


@pytest.mark.parametrize("use_public", [True, False])
@pytest.mark.parametrize(("name", "size"), SMALL)
def test_counting_all_nodes_is_exact_search(name: str, size: int | None, use_public: bool):
    tree = catalog_tree(name, size)
    policy = random_policy(tree, np.random.default_rng(3))
    search = ChainSearch(tree, 3, use_public=use_public)
    search.evaluate(policy.probabilities)
    for level in range(1, tree.num_levels - 1):
        starts = search.start_sets(level)
        # Enough draws of a handful of nodes to have missed none.
        weight = sampled_nodes(tree, starts, 400, np.random.default_rng(level))
        all_marked = [
            weight[tree.slot_node[tree.set_slots[tree.set_start[i] : tree.set_start[i + 1]]]]
            for i in starts
        ]
        assert np.concatenate(all_marked).all()
        found = [search.best_chain(starts, np.random.default_rng(0), w) for w in (weight, None)]
        assert found[0][0] == pytest.approx(found[1][0], abs=1e-12)
        assert np.array_equal(found[0][1], found[1][1])
        assert np.array_equal(found[0][2], found[1][2])


def test_unmarked_nodes_contribute_nothing():
    # With the deals of one partner card alone, a chain sees only what is earned against it.
    tree = catalog_tree("mini-hanabi")
    search = ChainSearch(tree, 2)
    search.evaluate(all_ones(tree).probabilities)
    starts = search.start_sets(1)
    weight = marked_by_definition(tree, np.array([1, 3]))  # deals (0, 0) and (1, 0)
    gain, sets, actions = search.best_chain(starts, np.random.default_rng(0), weight)
    # One deal of probability 1/4 goes from 8 to 10, unweighted for the sampled share.
    assert gain == pytest.approx(0.25 * (10 - 8), abs=1e-12)
    assert len(sets) == len(actions) == 2


@pytest.mark.parametrize("depth", [0, 3])
def test_a_sampled_run_scores_the_best_value_seen(depth: int):
    tree = catalog_tree("simple-bidding", 8)
    lowered = 0
    for seed in range(6):
        generator = np.random.default_rng(seed)
        start = random_policy(tree, generator)
        result = joint_policy_search(tree, start, depth=depth, samples=1, generator=generator)
        assert len(result.values) == 101
        assert not result.converged
        assert result.value == result.values.max()
        assert value_of(tree, result.policy) == pytest.approx(result.value, abs=1e-12)
        lowered += bool(np.any(np.diff(result.values) < -1e-6))
    assert lowered == 6  # a sampled step can lower the value (spec, section 3)


@settings(max_examples=60)
@given(common_payoff_games, seeds, st.integers(0, 3), st.integers(1, 3))
def test_a_sampled_run_on_any_game_never_ends_below_its_start(game, seed, depth, samples):
    # Levels without a decision among them: chance anywhere leaves such levels.
    tree = build_tree(game)
    start = random_or_pure_policy(tree, seed)
    result = joint_policy_search(
        tree, start, depth=depth, samples=samples, iterations=15,
        generator=np.random.default_rng(seed),
    )  # fmt: skip
    assert result.value == result.values.max() >= value_of(tree, start) - 1e-12
    assert value_of(tree, result.policy) == pytest.approx(result.value, abs=1e-12)


# ---- levels and stopping ------------------------------------------------------------------------


class Recorder(ChainSearch):
    """Writes down from which level each step started."""

    levels: list[int]

    def start_sets(self, level: int) -> np.ndarray:
        self.levels.append(level)
        return super().start_sets(level)


def recorded(
    monkeypatch: pytest.MonkeyPatch, tree: Tree, start: TabularPolicy, depth: int
) -> tuple[list[int], JpsResult]:
    monkeypatch.setattr(jps, "ChainSearch", Recorder)
    monkeypatch.setattr(Recorder, "levels", [], raising=False)
    result = joint_policy_search(
        tree, start, depth=depth, iterations=1000, generator=np.random.default_rng(5)
    )
    return Recorder.levels, result


def check_level_lists(
    levels: list[int], gains: np.ndarray, range_of_levels: set[int], refill: float
) -> None:
    """Between two refills no level comes twice; the search ends when a list has run out."""
    waiting = set(range_of_levels)
    for level, gain in zip(levels, gains, strict=True):
        assert level in waiting
        waiting.remove(level)
        if gain > refill:
            waiting = set(range_of_levels)
    assert not waiting


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_levels_are_drawn_without_replacement_until_none_improves(
    depth: int, monkeypatch: pytest.MonkeyPatch
):
    tree = catalog_tree("simple-bidding", 8)
    start = random_policy(tree, np.random.default_rng(5))
    levels, result = recorded(monkeypatch, tree, start, depth)
    assert result.converged
    # Leaves lie at most 6 deep (4 bids, a pass, and chance on top): starts are 1 .. 6 - D.
    assert tree.num_levels == 7
    check_level_lists(levels, result.predicted_gains, set(range(1, 7 - depth)), jps.REFILL_GAIN)
    assert len(levels) > 7 - depth  # refilled at least once


def test_a_small_improvement_does_not_refill(monkeypatch: pytest.MonkeyPatch):
    tree = catalog_tree("simple-bidding", 8)
    start = random_policy(tree, np.random.default_rng(5))
    monkeypatch.setattr(jps, "REFILL_GAIN", 1e9)
    levels, result = recorded(monkeypatch, tree, start, 2)
    assert result.converged
    assert sorted(levels) == [1, 2, 3, 4]  # each level once, whatever it gained
    assert result.predicted_gains.max() > 0.01


def test_search_to_the_end_stops_without_gain(monkeypatch: pytest.MonkeyPatch):
    tree = catalog_tree("simple-bidding", 4)
    start = random_policy(tree, np.random.default_rng(5))
    levels, result = recorded(monkeypatch, tree, start, 0)
    assert result.converged
    assert set(levels) == {0}
    assert np.all(result.predicted_gains[:-1] > 0)
    assert result.predicted_gains[-1] <= jps.TIE_TOLERANCE


def test_start_sets_of_level_0_are_the_first_decisions():
    tree = catalog_tree("simple-bidding", 4)
    search = ChainSearch(tree)
    assert [tree.info_set_name(i) for i in search.start_sets(0)] == [
        f"P1 [{card}]" for card in range(4)
    ]
    assert np.array_equal(search.start_sets(0), search.start_sets(1))
    every = np.concatenate([search.start_sets(level) for level in range(1, tree.num_levels)])
    assert np.array_equal(np.sort(every), np.arange(tree.num_info_sets))


def test_the_cap_ends_a_search_that_has_not_converged():
    tree = catalog_tree("simple-bidding", 8)
    start = random_policy(tree, np.random.default_rng(0))
    seen: list[tuple[int, float]] = []
    result = joint_policy_search(
        tree, start, depth=3, iterations=2, on_iteration=lambda n, v: seen.append((n, v))
    )
    assert not result.converged
    assert seen == [(0, result.values[1]), (1, result.values[2])]


def test_a_chain_longer_than_the_game_is_one_to_the_end():
    tree = catalog_tree("mini-hanabi")
    start = random_policy(tree, np.random.default_rng(2))
    values = [
        joint_policy_search(tree, start, depth=d, generator=np.random.default_rng(0)).values
        for d in (2, 50)
    ]
    np.testing.assert_array_equal(values[0], values[1])


@pytest.mark.parametrize("options", [{"depth": 3}, {"depth": 0, "samples": 2}])
def test_the_generator_decides_everything(options: dict[str, Any]):
    tree = catalog_tree("simple-bidding", 8)
    start = random_policy(tree, np.random.default_rng(0))
    one, same, other = (
        joint_policy_search(tree, start, generator=np.random.default_rng(seed), **options)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.values, same.values)
    np.testing.assert_array_equal(one.policy.probabilities, same.policy.probabilities)
    assert len(one.values) != len(other.values) or np.any(one.values != other.values)


# ---- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": -1}, "search depth -1; accepted: 0"),
        ({"samples": 0}, "0 samples; accepted: at least 1"),
        ({"iterations": 0}, "0 iterations; accepted: at least 1"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options: dict[str, Any], message: str):
    tree = catalog_tree("mini-hanabi")
    with pytest.raises(UsageError, match=message) as caught:
        joint_policy_search(tree, uniform_policy(tree), **options)
    assert "\n" not in str(caught.value)


def test_a_policy_of_another_game_is_refused():
    policy = uniform_policy(catalog_tree("comm", 2))
    with pytest.raises(DataError, match="the policy is for comm:2, the tree for comm:3"):
        joint_policy_search(catalog_tree("comm", 3), policy)


def test_a_zero_sum_game_is_refused():
    tree = catalog_tree("kuhn")
    with pytest.raises(UsageError, match=r"on kuhn: players have different payoffs; .* cfr"):
        joint_policy_search(tree, uniform_policy(tree))
