"""Every method by its name on a tiny game: a policy worth what it says, from the seed alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from trine.core.config import make_config
from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.games.best_response import nash_conv, player_values
from trine.games.config import SolveConfig, load_tree
from trine.games.methods import METHODS, Outcome, find_method, value_of
from trine.games.policy import check_policy, random_policy, save_policy
from trine.games.tree import Tree

SMALL: dict[str, Any] = {"cfr": {"iterations": 50}, "best": {"climbs": 30}}
COOPERATIVE = [("comm", 1), ("mini-hanabi", None), ("simple-bidding", 2)]
OPTIMUM = {"comm": 1.0, "mini-hanabi": 10.0, "simple-bidding": 0.75}


def run(
    game: str, size: int | None, method: str, seed: int = 0, more: Mapping[str, Any] | None = None
) -> tuple[Tree, Outcome]:
    values = {"game": game, "size": size, "method": method, **SMALL, **(more or {})}
    config = make_config(SolveConfig, values)
    tree = load_tree(config)
    return tree, METHODS[method].run(tree, config, Seeds(seed))


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize(("game", "size"), COOPERATIVE)
def test_every_method_gives_a_policy_and_its_value(game: str, size: int | None, method: str):
    tree, outcome = run(game, size, method)
    check_policy(tree, outcome.policy)
    assert 0 < outcome.value <= OPTIMUM[game] + 1e-9
    if method.startswith("cfr") and method != "cfr+jps":
        # Row CFR1k of the paper: mean over the iterations, not the value of the policy.
        assert outcome.value == pytest.approx(outcome.curve.mean(), abs=1e-12)
        assert outcome.more["last_value"] == pytest.approx(value_of(tree, outcome.policy))
    else:
        assert value_of(tree, outcome.policy) == pytest.approx(outcome.value, abs=1e-9)
    assert outcome.curve.ndim == 1
    assert len(outcome.curve) >= 1
    assert np.all(np.isfinite(outcome.curve))
    assert 0 <= outcome.search_cpu_seconds <= outcome.cpu_seconds
    assert (outcome.search_cpu_seconds == 0) == (method in ("cfr", "cfr+"))


@pytest.mark.parametrize("method", list(METHODS))
def test_the_seed_decides_everything(method: str):
    def fingerprint(seed: int) -> tuple[object, ...]:
        _, outcome = run("mini-hanabi", None, method, seed=seed)
        return outcome.value, outcome.curve.tolist(), outcome.policy.probabilities.tolist()

    one = fingerprint(1)
    assert fingerprint(1) == one
    if method in ("bad", "a2c"):
        return  # so small a game they may solve from every seed alike
    others = [fingerprint(seed) for seed in range(2, 6)]
    assert any(other != one for other in others) == METHODS[method].random


@pytest.mark.parametrize("method", ["cfr+", "exact"])
def test_methods_without_chance_say_so(method: str):
    assert not METHODS[method].random


@pytest.mark.parametrize("method", [n for n, m in METHODS.items() if m.cooperative])
def test_cooperative_methods_refuse_kuhn(method: str):
    with pytest.raises(UsageError, match="kuhn: players have different payoffs") as caught:
        run("kuhn", None, method)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", [n for n, m in METHODS.items() if not m.cooperative])
def test_the_others_solve_kuhn(method: str):
    tree, outcome = run("kuhn", None, method, more={"cfr": {"iterations": 2000}})
    # Kuhn 1950: worth -1/18 to player 1 in equilibrium; the average policy is close to one.
    assert outcome.value == pytest.approx(-1 / 18, abs=5e-3)
    assert outcome.value == player_values(tree, outcome.policy)[0]
    assert outcome.more["nash_conv"] == pytest.approx(nash_conv(tree, outcome.policy), abs=1e-15)
    assert 0 <= outcome.more["nash_conv"] < 5e-3


def test_exact_proves():
    _, outcome = run("simple-bidding", 4, "exact")
    assert outcome.value == outcome.more["upper_bound"] == 2.25
    assert outcome.more["proved"] is True


def test_jps_starts_where_it_is_told(tmp_path):
    tree, _ = run("simple-bidding", 4, "exact")
    policy = random_policy(tree, np.random.default_rng(9))
    save_policy(policy, tmp_path / "start.safetensors")
    _, outcome = run(
        "simple-bidding", 4, "jps", more={"start": str(tmp_path / "start.safetensors")}
    )
    assert outcome.more["start_value"] == pytest.approx(value_of(tree, policy), abs=1e-12)
    assert outcome.curve[0] == outcome.more["start_value"]
    assert outcome.value >= outcome.curve[0]


def test_cfr_jps_starts_from_the_last_iterate_of_cfr():
    for seed in range(3):
        _, first = run("simple-bidding", 4, "cfr", seed=seed)
        _, both = run("simple-bidding", 4, "cfr+jps", seed=seed)
        assert both.more["start_value"] == pytest.approx(first.more["last_value"], abs=1e-12)
        assert both.more["cfr_value"] == first.value
        assert both.more["steps"] == len(both.curve) - 1
        assert both.more["last_value"] == both.curve[-1]
        assert both.value >= both.more["start_value"] - 1e-12


def test_samples_and_depth_reach_the_search():
    _, outcome = run("mini-hanabi", None, "jps", more={"jps": {"samples": 1, "iterations": 40}})
    assert len(outcome.curve) == 41  # a sampled search goes on to the cap
    _, outcome = run("mini-hanabi", None, "jps", more={"jps": {"depth": 1, "iterations": 1}})
    assert outcome.more == {
        "start_value": outcome.curve[0], "last_value": outcome.curve[1], "steps": 1,
        "converged": False,
    }  # fmt: skip


def test_best_stops_where_players_who_see_all_cards_earn_no_more():
    # Mini-Hanabi pays at most 10, so the first climb that earns 10 ends the search.
    _, outcome = run("mini-hanabi", None, "best", more={"best": {"climbs": 4000}})
    assert outcome.value == pytest.approx(10)
    assert outcome.more["climbs"] == outcome.more["climbs_to_best"] == len(outcome.curve) < 4000
    # Simple Bidding 4 cannot be that good (2.5), so all climbs are made.
    _, outcome = run("simple-bidding", 4, "best")
    assert outcome.more["climbs"] == 30
    assert outcome.more["climbs_to_best"] == 1 + int(np.argmax(outcome.curve))


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(UsageError, match=r"unknown method 'jsp'; accepted: cfr, .*mean 'jps'\?"):
        find_method("jsp")
    assert find_method("cfr+jps") is METHODS["cfr+jps"]
