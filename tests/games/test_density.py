"""The value-change decomposition, and joint policy search held to it on random games."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.games.random_games import (
    Behaviour,
    any_games,
    as_game,
    behaviour,
    common_payoff_games,
    label,
    moves,
    public_games,
    random_or_pure_policy,
    recursive_value,
    seeds,
)
from trine.core.errors import DataError, UsageError
from trine.games.best_response import player_values
from trine.games.catalog import GAMES, make_game
from trine.games.density import node_change_density, policy_change_density
from trine.games.game import CHANCE, TERMINAL, Game
from trine.games.jps import ChainSearch, joint_policy_search
from trine.games.policy import TabularPolicy, random_policy, random_pure_policy, uniform_policy
from trine.games.traversal import Evaluation
from trine.games.tree import CHANCE_NODE, Tree, build_tree

depths = st.integers(0, 4)


def recursive_density(game: Game, old: Behaviour, new: Behaviour) -> dict[str, np.ndarray]:
    """The definition: rho(h) = -c(h) + sum of c(ha) with c(h) = (pi'(h) - pi(h)) v(h)."""
    density: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(1))

    def c(state: Any, old_reach: float, new_reach: float) -> np.ndarray:
        here = (new_reach - old_reach) * recursive_value(game, old, state)
        if game.player(state) == TERMINAL:
            return here
        below = [
            c(child, old_reach * p_old, new_reach * p_new)
            for (child, p_old), (_, p_new) in zip(
                moves(game, state, old), moves(game, state, new), strict=True
            )
        ]
        key = "chance" if game.player(state) == CHANCE else label(game, state)
        density[key] = density[key] + np.sum(below, axis=0) - here
        return here

    c(game.root(), 1.0, 1.0)
    return density


@settings(max_examples=60)
@given(any_games, seeds, seeds)
def test_density_equals_its_definition(game, seed, new_seed):
    tree = build_tree(game)
    assume(tree.num_states < 200)
    old, new = random_or_pure_policy(tree, seed), random_or_pure_policy(tree, new_seed)
    expected = recursive_density(as_game(game), behaviour(tree, old), behaviour(tree, new))
    np.testing.assert_allclose(expected.pop("chance", 0), 0, atol=1e-12)
    for column in range(len(tree.payoff)):
        density = policy_change_density(tree, old, new, column=column)
        for i in range(tree.num_info_sets):
            # Sets that chance never reaches are not asked by the recursion: they have no nodes.
            assert density[i] == pytest.approx(expected[tree.info_set_name(i)][column], abs=1e-12)


def check_sum_rule_and_locality(tree: Tree, old: TabularPolicy, new: TabularPolicy) -> None:
    change = player_values(tree, new) - player_values(tree, old)
    same = np.logical_and.reduceat(old.probabilities == new.probabilities, tree.entry_start[:-1])
    for column in range(len(tree.payoff)):
        density = policy_change_density(tree, old, new, column=column)
        assert density.sum() == pytest.approx(change[column], abs=1e-12)
        assert np.all(density[same] == 0.0)
        of_node = node_change_density(tree, old, new, column=column)
        assert of_node.sum() == pytest.approx(change[column], abs=1e-12)


@settings(max_examples=80)
@given(any_games, seeds, seeds)
def test_densities_add_up_to_full_re_evaluation(game, seed, new_seed):
    tree = build_tree(game)
    assume(tree.num_info_sets > 0)
    old = random_or_pure_policy(tree, seed)
    other = random_or_pure_policy(tree, new_seed)
    # Only some sets change, so that locality has something to say.
    changed = np.random.default_rng(new_seed).random(tree.num_info_sets) < 0.5
    mixed = np.where(changed[tree.entry_info_set], other.probabilities, old.probabilities)
    for new in (other, TabularPolicy(tree.game_id, mixed)):
        check_sum_rule_and_locality(tree, old, new)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("comm", 3),
        ("mini-hanabi", None),
        ("simple-bidding", 4),
        ("simple-bidding", 8),
        ("two-suit-bridge", 3),
        ("kuhn", None),
        ("leduc", None),
    ],
)
def test_densities_add_up_on_the_catalog(name, size):
    assert name in GAMES
    tree = build_tree(make_game(name, size))
    generator = np.random.default_rng(0)
    policies = [
        uniform_policy(tree),
        random_policy(tree, generator),
        random_pure_policy(tree, generator),
        random_pure_policy(tree, generator),
    ]
    for old in policies:
        for new in policies:
            check_sum_rule_and_locality(tree, old, new)


def test_wrong_arguments_are_refused_in_one_line():
    tree = build_tree(make_game("kuhn"))
    policy = uniform_policy(tree)
    other = uniform_policy(build_tree(make_game("mini-hanabi")))
    with pytest.raises(DataError, match="the policy is for mini-hanabi"):
        policy_change_density(tree, policy, other)
    with pytest.raises(UsageError, match="payoff column 2; accepted: 0 to 1"):
        policy_change_density(tree, policy, policy, column=2)


# -- joint policy search ---------------------------------------------------------------------------


@settings(max_examples=150)
@given(common_payoff_games, seeds, depths, st.booleans())
def test_search_gains_what_it_predicts_and_never_lowers_the_value(game, seed, depth, use_public):
    tree = build_tree(game)
    policy = random_or_pure_policy(tree, seed)
    generator = np.random.default_rng(seed)
    result = joint_policy_search(
        tree, policy, depth=depth, iterations=30, generator=generator, use_public=use_public
    )
    np.testing.assert_allclose(np.diff(result.values), result.predicted_gains, rtol=0, atol=1e-9)
    # A step that gains nothing may lose a rounding error.
    assert np.all(np.diff(result.values) >= -1e-12)
    rows = behaviour(tree, result.policy)
    assert recursive_value(as_game(game), rows)[0] == pytest.approx(result.value, abs=1e-12)


def next_sets(tree: Tree, node: int) -> Iterator[int]:
    """Information sets of the next decisions at or below a node."""
    if tree.info_set[node] == CHANCE_NODE:
        for child in np.flatnonzero(tree.parent == node):
            yield from next_sets(tree, int(child))
    elif tree.info_set[node] >= 0:
        yield int(tree.info_set[node])


def successor_sets(tree: Tree, info_set: int, action: int) -> set[int]:
    nodes = tree.slot_node[tree.set_slots[tree.set_start[info_set] : tree.set_start[info_set + 1]]]
    children = tree.first_child[nodes] + action * tree.child_stride
    return {i for child in children for i in next_sets(tree, int(child))}


Chain = tuple[tuple[int, int], ...]


class TooMany(Exception):
    """More chains than a test wants to look at."""


def all_chains(tree: Tree, start_sets: np.ndarray, links: int) -> list[Chain]:
    """Every chain I1 a1, I2 a2, ... with I(k+1) a successor of I(k) under a(k)."""
    chains: list[Chain] = []

    def extend(chain: Chain, sets: set[int]) -> None:
        for i in sets - {i for i, _ in chain}:
            for a in range(tree.num_actions(i)):
                chains.append((*chain, (i, a)))
                if len(chains) > 2000:
                    raise TooMany
                if len(chain) + 1 < links:
                    extend(chains[-1], successor_sets(tree, i, a))

    extend((), {int(i) for i in start_sets})
    return chains


def changed(tree: Tree, probabilities: np.ndarray, chain: Chain) -> np.ndarray:
    new = probabilities.copy()
    for i, a in chain:
        new[tree.entry_start[i] : tree.entry_start[i + 1]] = 0
        new[tree.entry_start[i] + a] = 1
    return new


def check_best_chain(tree: Tree, policy: TabularPolicy, depth: int, level: int) -> None:
    """Best chain = best of all chains, each fully re-evaluated."""
    routes = [ChainSearch(tree, depth, use_public=public) for public in (True, False)]
    starts = routes[0].start_sets(level)
    try:
        chains = all_chains(tree, starts, routes[0].links)
    except TooMany:
        assume(False)
        return
    evaluation = Evaluation(tree)
    before = evaluation.update(policy.probabilities)
    gains = [
        evaluation.update(changed(tree, policy.probabilities, chain)) - before for chain in chains
    ]
    for search in routes:
        search.evaluate(policy.probabilities)
        gain, sets, actions = search.best_chain(starts, np.random.default_rng(0))
        assert gain == pytest.approx(max([0.0, *gains]), abs=1e-11)
        found = tuple(zip(sets.tolist(), actions.tolist(), strict=True))
        assert found in {(), *chains}
        after = evaluation.update(changed(tree, policy.probabilities, found))
        assert after - before == pytest.approx(gain, abs=1e-11)


@settings(max_examples=150)
@given(common_payoff_games, seeds, depths, st.integers(0, 4))
def test_best_chain_equals_re_evaluating_every_chain(game, seed, depth, level):
    tree = build_tree(game)
    check_best_chain(tree, random_or_pure_policy(tree, seed), depth, level)


def test_best_chain_of_mini_hanabi_equals_re_evaluating_every_chain():
    tree = build_tree(make_game("mini-hanabi"))
    for seed in range(20):
        check_best_chain(tree, random_or_pure_policy(tree, seed), 0, 0)


@settings(max_examples=60)
@given(public_games, seeds, depths)
def test_both_routes_find_the_same_gain_from_every_level(game, seed, depth):
    tree = build_tree(game)
    policy = random_or_pure_policy(tree, seed)
    fast, slow = (ChainSearch(tree, depth, use_public=public) for public in (True, False))
    fast.evaluate(policy.probabilities)
    slow.evaluate(policy.probabilities)
    for level in range(tree.num_levels - 1):
        starts = fast.start_sets(level)
        gains = [s.best_chain(starts, np.random.default_rng(0))[0] for s in (fast, slow)]
        assert gains[0] == pytest.approx(gains[1], abs=1e-11)
