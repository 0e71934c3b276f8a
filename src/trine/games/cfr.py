"""Counterfactual regret minimisation on a full tree (Zinkevich et al. 2007; CFR+: Tammelin 2014).

One iteration: evaluate the current policy, add to every entry its regret

    r(I, a) += q(I, a) - sum over b of sigma(I, b) q(I, b)

(q: counterfactual value, weighted by chance and the *other* players), then play each information
set in proportion to its positive regrets. In two-player zero-sum games the average policy converges
to a Nash equilibrium. In cooperative games there is no such promise: the *current* policy becomes
practically pure within some hundred iterations, at a local optimum from which joint policy search
starts (Tian et al. 2020, section 5).

In two-player games with public actions an iteration leaves out the information sets that neither
player reaches (`card_values`): their regrets do not change. A policy drawn there with noise is not
drawn afresh until somebody comes by, which nobody can tell.

`PAPER_CFR` is the variant of the paper's table: both players updated together, start from a random
policy, and where no regret is positive uniform probabilities with a little noise.
`CFR` and `CFR_PLUS` are the textbook ones, equal to OpenSpiel's solvers iteration by iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numba
import numpy as np

from trine.core.errors import UsageError
from trine.games.card_values import CardValues
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
def _update_policy(
    set_ranges, entry_start, player, who, action_values, reach, weight, regrets, cumulative,
    probabilities, noise, clip_negative, generator,
):  # fmt: skip
    """Add regrets and average policy, then match regrets: of one player, or of all (`who` < 0).

    Indices are unsigned, which spares a check at each access (see `card_values`).
    """
    for n in range(len(set_ranges)):
        for i in range(set_ranges[n, 0], set_ranges[n, 1]):
            if who >= 0 and player[i] != who:
                continue
            start, end = entry_start[i], entry_start[i + np.uint64(1)]
            value = 0.0
            for e in range(start, end):
                value += probabilities[e] * action_values[e]
            total = 0.0
            for e in range(start, end):
                regret = regrets[e] + action_values[e] - value
                if clip_negative:
                    regret = max(regret, 0.0)
                regrets[e] = regret
                total += max(regret, 0.0)
                cumulative[e] += weight * reach[e]
            if total > 0.0:
                scale = 1.0 / total
                for e in range(start, end):
                    probabilities[e] = max(regrets[e], 0.0) * scale
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
    passes = _passes(tree)
    players = list(range(tree.num_players))
    if variant.alternating:
        turns = [[who] for who in players]
    else:
        # One pass that knows the payoffs of all serves all at once.
        turns = [[-1] if len(passes) == 1 else players]
    entry_start = tree.entry_start.astype(np.uint64)
    for iteration in range(iterations):
        weight = iteration + 1.0 if variant.linear_averaging else 1.0
        for turn in turns:
            evaluations = [passes[min(max(who, 0), len(passes) - 1)] for who in turn]
            for who, evaluation in zip(turn, evaluations, strict=True):
                if iteration > 0 and isinstance(evaluation, CardValues):
                    value = evaluation.update_reached(probabilities)
                else:
                    # Once everywhere: a given policy need not be what regrets of 0 are matched by.
                    value = evaluation.update(probabilities)
                if who <= 0:
                    values[iteration] = value
            for who, evaluation in zip(turn, evaluations, strict=True):
                _update_policy(
                    evaluation.visited, entry_start, tree.player, who, evaluation.action_values,
                    evaluation.reach, weight, regrets, cumulative, probabilities, variant.noise,
                    variant.plus, generator,
                )  # fmt: skip
        if on_iteration is not None:
            on_iteration(iteration, float(values[iteration]))
    return CfrResult(
        current=TabularPolicy(tree.game_id, probabilities),
        average=TabularPolicy(tree.game_id, normalised_by_set(tree, cumulative)),
        values=values,
    )


def _passes(tree: Tree) -> Sequence[Evaluation | CardValues]:
    """One pass for all players where one can serve them, else one per payoff column."""
    if CardValues.applies(tree):
        return [CardValues(tree, (0, len(tree.payoff) - 1))]
    return [Evaluation(tree, column) for column in range(len(tree.payoff))]
