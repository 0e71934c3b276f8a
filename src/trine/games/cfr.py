"""Counterfactual regret minimisation on a full tree (Zinkevich et al. 2007; CFR+: Tammelin 2014).

One iteration: evaluate the current policy, add to every entry its regret

    r(I, a) += q(I, a) - sum over b of sigma(I, b) q(I, b)

(q: counterfactual value, weighted by chance and the *other* players), then play each information
set in proportion to its positive regrets. In two-player zero-sum games the average policy converges
to a Nash equilibrium. In cooperative games there is no such promise: the *current* policy becomes
practically pure within some hundred iterations, at a local optimum from which joint policy search
starts (Tian et al. 2020, section 5).

`PAPER_CFR` is the variant of the paper's table: both players updated together, start from a random
policy, and where no regret is positive uniform probabilities with a little noise.
`CFR` and `CFR_PLUS` are the textbook ones, equal to OpenSpiel's solvers iteration by iteration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np

from trine.core.errors import UsageError
from trine.games.policy import TabularPolicy, random_policy, uniform_policy
from trine.games.traversal import Evaluation
from trine.games.tree import Tree


@dataclass(frozen=True, slots=True)
class CfrVariant:
    """What distinguishes the members of the family.

    Attributes:
      alternating: update one player after the other instead of all together.
      plus: keep cumulative regrets non-negative (regret matching plus).
      linear_averaging: weight iteration t by t in the average policy.
      random_start: start from a random policy instead of the uniform one.
      noise: standard deviation of the normal noise added to the uniform probabilities of an
        information set without positive regret (clipped at 0, normalised).
    """

    alternating: bool = True
    plus: bool = False
    linear_averaging: bool = False
    random_start: bool = False
    noise: float = 0.0


CFR = CfrVariant()
CFR_PLUS = CfrVariant(plus=True, linear_averaging=True)
PAPER_CFR = CfrVariant(alternating=False, random_start=True, noise=0.01)


@dataclass(frozen=True, slots=True)
class CfrResult:
    """Outcome of a CFR run.

    Attributes:
      current: the last iterate.
      average: the average policy, weighted by own reach.
      values: `[T]` payoff of player 1 under the policy each iteration started from, game points.
    """

    current: TabularPolicy
    average: TabularPolicy
    values: np.ndarray

    @property
    def mean_value(self) -> float:
        """Mean over iterations: the score of row "CFR1k" in the paper's table."""
        return float(self.values.mean())


@numba.njit(cache=True)
def _add_regrets(entry_start, player, who, action_values, probabilities, regrets, clip_negative):
    """Regrets of one player (`who`), or of all (`who` < 0)."""
    for i in range(len(player)):
        if who >= 0 and player[i] != who:
            continue
        start, end = entry_start[i], entry_start[i + 1]
        value = 0.0
        for e in range(start, end):
            value += probabilities[e] * action_values[e]
        for e in range(start, end):
            regrets[e] += action_values[e] - value
            if clip_negative and regrets[e] < 0.0:
                regrets[e] = 0.0


@numba.njit(cache=True)
def _match_regrets(entry_start, player, who, regrets, probabilities, noise, generator):
    """Regret matching, in place."""
    for i in range(len(player)):
        if who >= 0 and player[i] != who:
            continue
        start, end = entry_start[i], entry_start[i + 1]
        total = 0.0
        for e in range(start, end):
            total += max(regrets[e], 0.0)
        if total > 0.0:
            for e in range(start, end):
                probabilities[e] = max(regrets[e], 0.0) / total
            continue
        uniform = 1.0 / (end - start)
        for e in range(start, end):
            shake = generator.normal(0.0, noise) if noise > 0.0 else 0.0
            probabilities[e] = max(uniform + shake, 0.0)
            total += probabilities[e]
        for e in range(start, end):
            # With many actions the noise can clip every one of them to zero.
            probabilities[e] = probabilities[e] / total if total > 0.0 else uniform


def normalised_by_set(tree: Tree, weights: np.ndarray) -> np.ndarray:
    """`[E]` weights scaled to sum to 1 at each set; uniform where all are 0."""
    actions = np.diff(tree.entry_start)
    totals = np.repeat(np.add.reduceat(weights, tree.entry_start[:-1]), actions)
    uniform = np.repeat(1 / actions, actions)
    return np.where(totals > 0, weights / np.where(totals > 0, totals, 1.0), uniform)


def cfr(
    tree: Tree,
    iterations: int,
    *,
    variant: CfrVariant = CFR,
    generator: np.random.Generator | None = None,
    initial: TabularPolicy | None = None,
    on_iteration: Callable[[int, float], None] | None = None,
) -> CfrResult:
    """Run CFR.

    Args:
      tree: the game.
      iterations: number of full-tree iterations, at least 1.
      variant: which member of the family.
      generator: randomness, needed by variants with a random start or noise.
      initial: policy of the first iteration instead of the variant's own start.
      on_iteration: called with (iteration from 0, value of the current policy).

    Raises:
      UsageError: no iterations, or a random variant without a generator.
    """
    if iterations < 1:
        raise UsageError(f"{iterations} iterations", accepted="at least 1")
    if generator is None:
        if variant.noise > 0 or (variant.random_start and initial is None):
            raise UsageError("this CFR variant is random", hint="pass generator=")
        generator = np.random.default_rng(0)
    if initial is None:
        start = random_policy(tree, generator) if variant.random_start else uniform_policy(tree)
    else:
        start = initial
    probabilities = start.probabilities.copy()
    regrets = np.zeros(tree.num_entries)
    cumulative = np.zeros(tree.num_entries)
    values = np.empty(iterations)
    evaluations = [Evaluation(tree, column) for column in range(len(tree.payoff))]
    # One pass serves all players when they share the payoff and move together.
    together = tree.is_common_payoff and not variant.alternating
    for iteration in range(iterations):
        weight = iteration + 1.0 if variant.linear_averaging else 1.0
        for who in [-1] if together else range(tree.num_players):
            evaluation = evaluations[min(max(who, 0), len(evaluations) - 1)]
            value = evaluation.update(probabilities)
            if who <= 0:
                values[iteration] = value
            own = evaluation.reach if who < 0 else _of_player(tree, evaluation.reach, who)
            cumulative += weight * own
            _add_regrets(
                tree.entry_start, tree.player, who, evaluation.action_values, probabilities,
                regrets, variant.plus,
            )  # fmt: skip
            if variant.alternating:
                _match_regrets(
                    tree.entry_start, tree.player, who, regrets, probabilities, variant.noise,
                    generator,
                )  # fmt: skip
        if not variant.alternating:
            _match_regrets(
                tree.entry_start, tree.player, -1, regrets, probabilities, variant.noise, generator
            )
        if on_iteration is not None:
            on_iteration(iteration, float(values[iteration]))
    return CfrResult(
        current=TabularPolicy(tree.game_id, probabilities),
        average=TabularPolicy(tree.game_id, normalised_by_set(tree, cumulative)),
        values=values,
    )


def _of_player(tree: Tree, entries: np.ndarray, player: int) -> np.ndarray:
    return np.where(tree.player[tree.entry_info_set] == player, entries, 0.0)
