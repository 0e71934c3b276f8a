"""The Bayesian Action Decoder: exact beliefs, honest values."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.games.random_games import RandomGame, public_games, seeds
from trine.core.errors import UsageError
from trine.games.bad import BadOptions, _greedy_actions, _read_belief, _restrict, bad
from trine.games.best_response import player_values
from trine.games.catalog import make_game
from trine.games.tree import LEAF, PublicStructure, build_tree

FAST = BadOptions(updates=100, batch=16, evaluations=2)


def features_of(public: PublicStructure) -> tuple[np.ndarray, np.ndarray]:
    first = np.concatenate([[1], 1 + np.cumsum(public.num_types)]).astype(np.int64)
    prior = np.zeros(first[-1])
    for deal, probability in zip(public.cards, public.probability, strict=True):
        prior[first[:-1] + deal] += probability
    return first, prior


@given(public_games, seeds)
def test_belief_is_bayes_rule_over_deals(game, seed):
    """Along random play of random prescriptions: posterior = deals that would have played alike."""
    public = build_tree(game).public
    assert public is not None
    first, prior = features_of(public)
    generator = np.random.default_rng(seed)
    deal = int(generator.choice(len(public.probability), p=public.probability))
    belief = public.probability.copy()
    features = np.empty(len(prior))
    possible = np.empty(int(public.num_types.max()), dtype=np.int64)
    alike = np.ones(len(belief), dtype=bool)
    s = 0
    while public.player[s] != LEAF:
        mover = int(public.player[s])
        count = _read_belief(belief, public.cards, first, prior, features, possible, mover)
        posterior = np.where(alike, public.probability, 0)
        posterior /= posterior.sum()
        for player in range(2):
            marginal = np.bincount(
                public.cards[:, player], weights=posterior, minlength=public.num_types[player]
            )
            own = slice(first[player], first[player + 1])
            np.testing.assert_allclose(features[own], marginal - prior[own], atol=1e-12)
            if player == mover:
                assert possible[:count].tolist() == np.flatnonzero(marginal).tolist()
        assert features[0] == 1
        prescription = generator.integers(public.num_actions[s], size=public.num_types[mover])
        action = int(prescription[public.cards[deal, mover]])
        alike &= prescription[public.cards[:, mover]] == action
        _restrict(belief, public.cards, mover, prescription, action)
        s = int(public.first_child[s]) + action


@settings(max_examples=30)
@given(public_games, seeds)
def test_result_is_a_pure_policy_and_its_exact_value(game, seed):
    tree = build_tree(game)
    calls: list[tuple[int, float]] = []
    result = bad(
        tree, generator=np.random.default_rng(seed), options=FAST,
        on_iteration=lambda index, value: calls.append((index, value)),
    )  # fmt: skip
    assert result.policy.is_pure()
    assert result.value == pytest.approx(player_values(tree, result.policy)[0], abs=1e-12)
    assert calls == list(enumerate(result.values))
    assert len(calls) == FAST.evaluations


def test_same_generator_same_result():
    tree = build_tree(make_game("simple-bidding", 4))
    first, same, other = (
        bad(tree, generator=np.random.default_rng(seed), options=FAST) for seed in (0, 0, 1)
    )
    assert np.array_equal(first.policy.probabilities, same.policy.probabilities)
    assert not np.array_equal(first.policy.probabilities, other.policy.probabilities)


def test_greedy_prescriptions_follow_their_own_beliefs():
    """Weights that say: card c opens with action c mod 2; then do 1 if card 0 is ruled out."""
    tree = build_tree(make_game("comm", 1))
    public = tree.public
    assert public is not None
    first, prior = features_of(public)
    rows = public.num_types[np.maximum(public.player, 0)].astype(np.int64) * public.num_actions
    start = np.concatenate([[0], np.cumsum(len(prior) * rows)])
    weights = np.zeros(start[-1])
    # Public state 0: player 1, cards 0 and 1, actions 0 and 1; logits lie (card, action, feature).
    table = weights[start[0] : start[1]].reshape(2, 2, len(prior))
    table[1, 1, 0] = 1.0
    for s in (1, 2):
        # Player 2 has one card; action 1 is worth more, the less likely card 0 of player 1 is.
        table = weights[start[s] : start[s + 1]].reshape(1, 2, len(prior))
        table[0, 1, first[0]] = -1.0
    actions = np.zeros(tree.num_info_sets, dtype=np.int64)
    _greedy_actions(
        actions, weights, start, public.player, public.first_child, public.num_actions,
        public.first_info_set, public.cards, public.probability, public.num_types, first, prior, 4,
    )  # fmt: skip
    names = [tree.info_set_name(i) for i in range(tree.num_info_sets)]
    assert dict(zip(names, actions.tolist(), strict=True)) == {
        "P1 [0]": 0, "P1 [1]": 1, "P2 [0] 0": 0, "P2 [0] 1": 1
    }  # fmt: skip


@pytest.mark.parametrize(
    # Tian et al. 2020, table of exact search, row BAD.
    ("name", "size", "updates", "published"),
    [("comm", 3, 400, 1.00), ("mini-hanabi", None, 400, 9.47), ("simple-bidding", 4, 2000, 2.23)],
)
def test_no_weaker_than_the_published_baseline(name, size, updates, published):
    tree = build_tree(make_game(name, size))
    options = BadOptions(updates=updates)
    values = [
        bad(tree, generator=np.random.default_rng(seed), options=options).value for seed in range(3)
    ]
    assert np.mean(values) >= published


@pytest.mark.parametrize(
    ("game", "options", "message"),
    [
        (make_game("kuhn"), BadOptions(), "bad on kuhn: players have different payoffs"),
        (RandomGame(3), BadOptions(), "which has no public structure"),
        (make_game("mini-hanabi"), BadOptions(evaluations=0), "and 0 evaluations"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(game, options, message):
    with pytest.raises(UsageError, match=message):
        bad(build_tree(game), generator=np.random.default_rng(0), options=options)
