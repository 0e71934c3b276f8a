"""The methods by name: one seed in, one outcome out.

A method is a function `(tree, config, seeds) -> Outcome`; adding one is a function, a line in
`METHODS`, a test and a docs row. Times are CPU seconds of this process, without building the tree
and without compiling (`warm_up` has done that before).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.games.best import BestSettings, best_search
from trine.games.best_response import nash_conv
from trine.games.cfr import CFR, CFR_PLUS, PAPER_CFR, CfrResult, CfrVariant, cfr
from trine.games.config import SolveConfig, start_path
from trine.games.exact import solve_exact
from trine.games.exact_bounds import clairvoyant_values
from trine.games.jps import joint_policy_search
from trine.games.policy import TabularPolicy, load_policy, random_policy
from trine.games.traversal import Evaluation
from trine.games.tree import Tree


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one seed of a method gives.

    Attributes:
      value: the method's score: exact payoff of `policy` to player 1, game points (row CFR1k of the
        paper: mean over iterations).
      policy: the policy found.
      curve: `[n]` value along the way, one number per iteration of the last stage.
      cpu_seconds: all stages.
      search_cpu_seconds: the stages after CFR.
      more: further numbers for the table, by name.
    """

    value: float
    policy: TabularPolicy
    curve: np.ndarray
    cpu_seconds: float
    search_cpu_seconds: float = 0.0
    more: dict[str, float | bool] = field(default_factory=dict)


def value_of(tree: Tree, policy: TabularPolicy) -> float:
    """Exact expected payoff to player 1, game points."""
    return Evaluation(tree).update(policy.probabilities)


def _cfr(tree: Tree, config: SolveConfig, seeds: Seeds) -> Outcome:
    """The paper's variant on cooperative games, the textbook one on others."""
    return _cfr_outcome(tree, config, seeds, PAPER_CFR if tree.is_common_payoff else CFR)


def _cfr_plus(tree: Tree, config: SolveConfig, seeds: Seeds) -> Outcome:
    return _cfr_outcome(tree, config, seeds, CFR_PLUS)


def _cfr_outcome(tree: Tree, config: SolveConfig, seeds: Seeds, variant: CfrVariant) -> Outcome:
    result, seconds = _run_cfr(tree, config, seeds, variant)
    if tree.is_common_payoff:
        last = value_of(tree, result.current)
        return Outcome(
            result.mean_value, result.current, result.values, seconds, more={"last_value": last}
        )
    more: dict[str, float | bool] = {"nash_conv": nash_conv(tree, result.average)}
    return Outcome(
        value_of(tree, result.average), result.average, result.values, seconds, more=more
    )


def _run_cfr(
    tree: Tree, config: SolveConfig, seeds: Seeds, variant: CfrVariant
) -> tuple[CfrResult, float]:
    began = time.process_time()
    result = cfr(tree, config.cfr.iterations, variant=variant, generator=seeds.generator("cfr"))
    return result, time.process_time() - began


def _jps(tree: Tree, config: SolveConfig, seeds: Seeds) -> Outcome:
    path = start_path(config)
    start = (
        random_policy(tree, seeds.generator("start")) if path is None else load_policy(path, tree)
    )
    return _search_from(tree, config, seeds, start, 0.0, {})


def _cfr_jps(tree: Tree, config: SolveConfig, seeds: Seeds) -> Outcome:
    result, seconds = _run_cfr(tree, config, seeds, PAPER_CFR)
    return _search_from(
        tree, config, seeds, result.current, seconds, {"cfr_value": result.mean_value}
    )


def _search_from(
    tree: Tree,
    config: SolveConfig,
    seeds: Seeds,
    start: TabularPolicy,
    seconds: float,
    more: dict[str, float | bool],
) -> Outcome:
    began = time.process_time()
    found = joint_policy_search(
        tree,
        start,
        depth=config.depth,
        iterations=config.jps.iterations,
        samples=config.jps.samples,
        generator=seeds.generator("jps"),
    )
    search = time.process_time() - began
    more = {
        **more,
        "start_value": float(found.values[0]),
        "last_value": float(found.values[-1]),
        "steps": len(found.predicted_gains),
        "converged": found.converged,
    }
    return Outcome(found.value, found.policy, found.values, seconds + search, search, more)


def _best(tree: Tree, config: SolveConfig, seeds: Seeds) -> Outcome:
    began = time.process_time()
    settings = BestSettings(
        climbs=config.best.climbs,
        moved_sets=config.best.moved_sets,
        patience=config.best.patience,
    )
    # Players who saw all cards could not earn more, so a policy that does needs no more search.
    ceiling = float(clairvoyant_values(tree)[0]) if tree.is_common_payoff else np.inf
    found = best_search(tree, generator=seeds.generator("best"), settings=settings, stop_at=ceiling)
    seconds = time.process_time() - began
    first = int(np.argmax(found.values >= found.values[-1] - 1e-9))
    more: dict[str, float | bool] = {
        "climbs": len(found.values),
        "climbs_to_best": first + 1,
        "cpu_seconds_to_best": seconds * (first + 1) / len(found.values),
    }
    return Outcome(found.value, found.policy, found.values, seconds, seconds, more)


def _exact(tree: Tree, config: SolveConfig, seeds: Seeds) -> Outcome:
    began = time.process_time()
    found = solve_exact(
        tree,
        time_limit=config.exact.time_limit,
        memory_limit=int(config.memory_limit_gib * 2**30),
    )
    seconds = time.process_time() - began
    if found.policy is None:
        raise UsageError(f"no policy found for {tree.game_id}", hint="raise --time-limit")
    more: dict[str, float | bool] = {"upper_bound": found.upper_bound, "proved": found.proved}
    return Outcome(found.value, found.policy, np.array([found.value]), seconds, seconds, more)


def _bad(tree: Tree, config: SolveConfig, seeds: Seeds) -> Outcome:
    from trine.games.bad import bad

    began = time.process_time()
    found = bad(tree, generator=seeds.generator("bad"))
    seconds = time.process_time() - began
    return Outcome(found.value, found.policy, found.values, seconds, seconds)


def _a2c(tree: Tree, config: SolveConfig, seeds: Seeds) -> Outcome:
    from trine.games.a2c import a2c

    began = time.process_time()
    found = a2c(tree, generator=seeds.generator("a2c"))
    seconds = time.process_time() - began
    return Outcome(found.value, found.policy, found.values, seconds, seconds)


@dataclass(frozen=True, slots=True)
class Method:
    """A method of the table.

    Attributes:
      run: computes one seed.
      summary: one line for `trine games list`.
      cooperative: whether it needs a game with one shared payoff.
      random: whether its outcome depends on the seed.
    """

    run: Callable[[Tree, SolveConfig, Seeds], Outcome]
    summary: str
    cooperative: bool = True
    random: bool = True


METHODS: dict[str, Method] = {
    "cfr": Method(_cfr, "counterfactual regret minimisation (the paper's if cooperative)", False),
    "cfr+": Method(_cfr_plus, "CFR+ with linear averaging", False, random=False),
    "jps": Method(_jps, "joint policy search from a random policy or from --start"),
    "cfr+jps": Method(_cfr_jps, "CFR, then joint policy search: the paper's own"),
    "best": Method(_best, "restarted search with joint deviations: Trine's own"),
    "bad": Method(_bad, "Bayesian Action Decoder, tabular (baseline)"),
    "a2c": Method(_a2c, "independent advantage actor-critic, tabular (baseline)"),
    "exact": Method(_exact, "the optimum with proof, or the best bound", random=False),
}  # fmt: skip


def find_method(name: str) -> Method:
    """Look a method up.

    Raises:
      UsageError: no method has this name.
    """
    if name not in METHODS:
        raise UsageError.unknown("method", name, list(METHODS))
    return METHODS[name]
