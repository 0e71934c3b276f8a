"""Independent actor-critic, and the pieces it shares with the Bayesian Action Decoder."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.games.random_games import RandomGame, common_payoff_games, seeds
from trine.core.errors import UsageError
from trine.games.a2c import A2cOptions, a2c, cumulative_chance, payoff_range
from trine.games.best_response import nash_conv, player_values
from trine.games.catalog import make_game
from trine.games.policy_gradient import (
    adam_ascent,
    add_policy_gradient,
    draw,
    draw_from_cumulative,
    softmax,
)
from trine.games.tree import build_tree

FAST = A2cOptions(updates=300, batch=16, evaluations=3)


def row(logits: np.ndarray) -> np.ndarray:
    probabilities = np.empty(len(logits))
    softmax(logits, probabilities, 0, len(logits))
    return probabilities


@given(seeds)
def test_policy_gradient_equals_differences(seed):
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=int(generator.integers(1, 6)))
    chosen, advantage = int(generator.integers(len(logits))), generator.normal()
    entropy = generator.random()

    def objective(at: np.ndarray) -> float:
        p = row(at)
        return float(advantage * np.log(p[chosen]) - entropy * np.sum(p * np.log(p)))

    gradient = np.zeros(len(logits))
    add_policy_gradient(gradient, logits, row(logits), chosen, 0, len(logits), advantage, entropy)
    step = 1e-6 * np.eye(len(logits))
    differences = [(objective(logits + h) - objective(logits - h)) / 2e-6 for h in step]
    np.testing.assert_allclose(gradient, differences, atol=1e-7)


def test_softmax_survives_large_logits():
    np.testing.assert_allclose(row(np.array([1000.0, 1000.0, -1000.0])), [0.5, 0.5, 0])


def test_draws_follow_the_probabilities():
    generator = np.random.default_rng(0)
    p = np.array([9.0, 0.2, 0.0, 0.5, 0.3, 9.0])  # the outer ones lie outside the row
    cumulative = np.array([9.0, 0.2, 0.2, 0.7, 1.0, 9.0])
    for drawn in (
        [draw(p, 1, 5, generator) for _ in range(20_000)],
        [draw_from_cumulative(cumulative, 1, 5, generator) for _ in range(20_000)],
    ):
        shares = np.bincount(drawn, minlength=6) / 20_000
        np.testing.assert_allclose(shares, [0, 0.2, 0, 0.5, 0.3, 0], atol=0.015)
        assert shares[2] == 0


def test_adam_takes_the_published_steps():
    # Kingma and Ba 2015, Algorithm 1, on the middle column only.
    table = np.zeros((4, 3))
    parameter = first = second = 0.0
    for t, gradient in enumerate([0.5, -2.0, 1.0], start=1):
        table[1] = gradient
        adam_ascent(table, 1, 2, t, 0.1)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        corrected = first / (1 - 0.9**t), second / (1 - 0.999**t)
        parameter += 0.1 * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
        assert table[0, 1] == pytest.approx(parameter, rel=1e-12)
        assert table[1, 1] == 0
    assert np.all(table[0, [0, 2]] == 0)


@given(common_payoff_games)
def test_cumulative_chance_ends_at_one(game):
    tree = build_tree(game)
    cumulative = cumulative_chance(tree)
    if len(tree.chance_node):
        np.testing.assert_allclose(cumulative[tree.chance_start[1:] - 1], 1, atol=1e-12)
    assert payoff_range(tree) > 0


@settings(max_examples=30)
@given(common_payoff_games, seeds)
def test_result_is_a_pure_policy_and_its_exact_value(game, seed):
    tree = build_tree(game)
    calls: list[tuple[int, float]] = []
    result = a2c(
        tree, generator=np.random.default_rng(seed), options=FAST,
        on_iteration=lambda index, value: calls.append((index, value)),
    )  # fmt: skip
    assert result.policy.is_pure()
    assert result.value == pytest.approx(player_values(tree, result.policy)[0], abs=1e-12)
    assert calls == list(enumerate(result.values))
    assert len(calls) == FAST.evaluations
    assert result.values[-1] == result.value


def test_same_generator_same_result():
    tree = build_tree(make_game("simple-bidding", 4))
    first, same, other = (
        a2c(tree, generator=np.random.default_rng(seed), options=FAST) for seed in (0, 0, 1)
    )
    assert np.array_equal(first.values, same.values)
    assert np.array_equal(first.policy.probabilities, same.policy.probabilities)
    assert not np.array_equal(first.policy.probabilities, other.policy.probabilities)


def test_it_ends_where_no_player_gains_much_alone():
    tree = build_tree(make_game("simple-bidding", 8))
    result = a2c(tree, generator=np.random.default_rng(0))
    assert nash_conv(tree, result.policy) < 0.1


@pytest.mark.parametrize(
    # Tian et al. 2020, table of exact search, row A2C.
    ("name", "size", "published"),
    [
        ("comm", 3, 0.60),
        ("mini-hanabi", None, 8.20),
        ("simple-bidding", 8, 4.79),
        ("simple-bidding", 16, 9.97),
        ("two-suit-bridge", 3, 0.66),
    ],
)
def test_no_weaker_than_the_published_baseline(name, size, published):
    tree = build_tree(make_game(name, size))
    values = [
        a2c(tree, generator=np.random.default_rng(seed), options=A2cOptions(updates=2000)).value
        for seed in range(5)
    ]
    assert np.mean(values) >= published


@pytest.mark.parametrize(
    ("game", "options", "message"),
    [
        (make_game("kuhn"), A2cOptions(), "a2c on kuhn: players have different payoffs"),
        (make_game("mini-hanabi"), A2cOptions(updates=0), "a2c with 0 updates"),
        (make_game("mini-hanabi"), A2cOptions(batch=0), "of 0 games"),
        (RandomGame(3), A2cOptions(updates=5), "20 evaluations; accepted: at least one of each"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(game, options, message):
    with pytest.raises(UsageError, match=message):
        a2c(build_tree(game), generator=np.random.default_rng(0), options=options)
