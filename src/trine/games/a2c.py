"""Independent advantage actor-critic: the plain reinforcement-learning baseline of the paper.

Both players learn at the same time and each takes the other for a part of the world. Per update:

1. play a batch of games with the current softmax policies (one row of logits per information set);
2. at every decision taken, advantage = payoff of the game - V(I), V being a table of its own;
3. step up the gradient of  advantage * log sigma(I, a) + entropy weight * H(sigma(I)),  and move
   V(I) towards the payoff, both with Adam.

What is reported is the greedy policy, evaluated exactly on the tree. The paper (Tian et al. 2020,
section 5) trains networks on the same games; its settings are not published, ours are in
`A2cOptions`. Payoffs are divided by their range inside the learner, so that one setting fits all
games.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np

from trine.core.errors import UsageError
from trine.games.policy import TabularPolicy, purified
from trine.games.policy_gradient import (
    adam_ascent,
    add_policy_gradient,
    draw,
    draw_from_cumulative,
    softmax,
)
from trine.games.traversal import Evaluation
from trine.games.tree import CHANCE_NODE, LEAF, Tree


@dataclass(frozen=True, slots=True)
class A2cOptions:
    """Settings of a run; the defaults are the ones of our tables.

    Attributes:
      updates: number of batches.
      batch: games per batch.
      policy_rate: Adam's step of the logits.
      value_rate: Adam's step of the value table (in payoff ranges).
      entropy: weight of the entropy at the start (in payoff ranges); falls to 0 in a straight line.
      evaluations: how often the greedy policy is evaluated along the way, at the end included.
    """

    updates: int = 8000
    batch: int = 64
    policy_rate: float = 0.1
    value_rate: float = 0.05
    entropy: float = 0.1
    evaluations: int = 20


@dataclass(frozen=True, slots=True)
class A2cResult:
    """Outcome of a run.

    Attributes:
      policy: the greedy policy at the end, pure.
      value: its exact expected payoff, game points.
      values: `[evaluations]` exact values of the greedy policy along the way.
    """

    policy: TabularPolicy
    value: float
    values: np.ndarray


@numba.njit(cache=True)
def _train(
    generator, first_update, last_update, updates, batch, policy_rate, value_rate, entropy, scale,
    longest, policy_table, value_table, count, payoff, first_child, info_set, entry_start, stride,
    chance_of_node, chance_start, chance_cumulative,
):  # fmt: skip
    # Rows of the tables: the numbers themselves, their gradient, Adam's two moments.
    logits, logit_gradient = policy_table[0], policy_table[1]
    baseline, baseline_gradient = value_table[0], value_table[1]
    probabilities = np.empty(len(logits))
    path_set = np.empty(longest, dtype=np.int64)
    path_entry = np.empty(longest, dtype=np.int64)
    touched = np.empty(len(count), dtype=np.int64)
    is_touched = np.zeros(len(count), dtype=np.bool_)
    for update in range(first_update, last_update):
        weight = entropy * (1.0 - update / updates)
        num_touched = 0
        for _ in range(batch):
            h = 0
            steps = 0
            while info_set[h] != LEAF:
                i = info_set[h]
                if i == CHANCE_NODE:
                    c = chance_of_node[h]
                    start = chance_start[c]
                    drawn = draw_from_cumulative(
                        chance_cumulative, start, chance_start[c + 1], generator
                    )
                    h = first_child[h] + drawn - start
                    continue
                start, end = entry_start[i], entry_start[i + 1]
                if not is_touched[i]:
                    is_touched[i] = True
                    touched[num_touched] = i
                    num_touched += 1
                    softmax(logits, probabilities, start, end)
                e = draw(probabilities, start, end, generator)
                path_set[steps] = i
                path_entry[steps] = e
                steps += 1
                h = first_child[h] + (e - start) * stride
            outcome = payoff[h] * scale
            for step in range(steps):
                i = path_set[step]
                advantage = outcome - baseline[i]
                baseline_gradient[i] += advantage
                add_policy_gradient(
                    logit_gradient, logits, probabilities, path_entry[step], entry_start[i],
                    entry_start[i + 1], advantage, weight,
                )  # fmt: skip
        for x in range(num_touched):
            i = touched[x]
            is_touched[i] = False
            count[i] += 1
            adam_ascent(policy_table, entry_start[i], entry_start[i + 1], count[i], policy_rate)
            adam_ascent(value_table, i, i + 1, count[i], value_rate)


def a2c(
    tree: Tree,
    *,
    generator: np.random.Generator,
    options: A2cOptions | None = None,
    on_iteration: Callable[[int, float], None] | None = None,
) -> A2cResult:
    """Train two independent learners by policy gradient.

    Args:
      tree: a game whose players share one payoff.
      generator: randomness of play.
      options: settings.
      on_iteration: called with (evaluation from 0, exact value of the greedy policy).

    Raises:
      UsageError: the players' payoffs differ, or an option is out of range.
    """
    options = options or A2cOptions()
    check_learner(tree, "a2c", options.updates, options.batch, options.evaluations)
    policy_table = np.zeros((4, tree.num_entries))
    value_table = np.zeros((4, tree.num_info_sets))
    count = np.zeros(tree.num_info_sets, dtype=np.int64)
    chance_of_node = np.full(tree.num_states, -1, dtype=np.int32)
    chance_of_node[tree.chance_node] = np.arange(len(tree.chance_node))
    cumulative = cumulative_chance(tree)
    evaluation = Evaluation(tree)
    values = np.empty(options.evaluations)
    # The most likely action has the highest logit, so logits serve as well as probabilities.
    logits = TabularPolicy(tree.game_id, policy_table[0])
    policy = logits
    ends = np.linspace(0, options.updates, options.evaluations + 1).astype(int)
    for index in range(options.evaluations):
        _train(
            generator, ends[index], ends[index + 1], options.updates, options.batch,
            options.policy_rate, options.value_rate, options.entropy, 1 / payoff_range(tree),
            tree.num_levels, policy_table, value_table, count, tree.payoff[0], tree.first_child,
            tree.info_set, tree.entry_start, tree.child_stride, chance_of_node, tree.chance_start,
            cumulative,
        )  # fmt: skip
        policy = purified(tree, logits)
        values[index] = evaluation.update(policy.probabilities)
        if on_iteration is not None:
            on_iteration(index, float(values[index]))
    return A2cResult(policy, float(values[-1]), values)


def check_learner(tree: Tree, method: str, updates: int, batch: int, evaluations: int) -> None:
    """Refuse games and options that a sampling learner cannot use.

    Raises:
      UsageError: payoffs differ between players, or an option is out of range.
    """
    if not tree.is_common_payoff:
        raise UsageError(
            f"{method} on {tree.game_id}: players have different payoffs",
            accepted="games with one shared payoff",
            hint="use --method cfr or cfr+",
        )
    if updates < 1 or batch < 1 or not 1 <= evaluations <= updates:
        raise UsageError(
            f"{method} with {updates} updates of {batch} games and {evaluations} evaluations",
            accepted="at least one of each, and no more evaluations than updates",
        )


def payoff_range(tree: Tree) -> float:
    """Highest minus lowest payoff of a leaf, game points; 1 where all are equal."""
    leaves = tree.payoff[0][tree.info_set == LEAF]
    return float(np.ptp(leaves)) or 1.0


def cumulative_chance(tree: Tree) -> np.ndarray:
    """`chance_probability`, summed up within each chance node."""
    total = np.concatenate([[0.0], np.cumsum(tree.chance_probability)])
    sizes = np.diff(tree.chance_start)
    return total[1:] - np.repeat(total[tree.chance_start[:-1]], sizes)
