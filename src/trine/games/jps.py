"""Joint Policy Search on a full tree (Tian, Gong, Jiang 2020, section 4 and Algorithm 1).

One iteration:

1. evaluate the policy sigma: values v(h) of all nodes, own reach of all entries (one pass);
2. choose where chains may start: with D = 0 the first decisions of the game; with D > 0 all
   information sets of one tree level, levels being drawn without replacement;
3. search chains I1 -> I2 -> ... where I(k+1) holds successors of I(k) under the action given to
   I(k). Each link switches one information set to one action for sure. By the decomposition
   of the value change (section 3, `density`), a chain gains
   sum over links I, nodes h in I of  pi'(h) * ( v(ha) - v(h) ),
   with old values v and new reaches pi'(h): no re-evaluation is needed to compare chains;
4. apply the best chain. With all nodes counted a step never lowers the value.

`samples = k` counts, for each starting information set, only k of its nodes, drawn with
replacement, and what lies below them; such a step may lower the value, and the best policy seen is
kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np

from trine.core.errors import UsageError
from trine.games.jps_chain_general import best_chain_general, successors
from trine.games.jps_chain_public import best_chain_public, chain_game
from trine.games.policy import TabularPolicy, check_policy
from trine.games.traversal import Evaluation
from trine.games.tree import Tree

REFILL_GAIN = 1e-4
"""An improvement larger than this refills the list of levels (game points) [authors' code]."""

TIE_TOLERANCE = 1e-12
"""Gains that differ by less are equal (game points): they differ by rounding only."""


@dataclass(frozen=True, slots=True)
class JpsResult:
    """Outcome of a joint policy search.

    Attributes:
      policy: the best policy seen (the last one, unless `samples` is set).
      value: its exact expected payoff, game points.
      values: `[steps + 1]` exact value before the first step and after each.
      predicted_gains: `[steps]` gain of each step as the search saw it (exact without sampling).
      converged: whether the search stopped by itself rather than by `iterations`.
    """

    policy: TabularPolicy
    value: float
    values: np.ndarray
    predicted_gains: np.ndarray
    converged: bool


class ChainSearch:
    """Finds the best chain from given starting information sets, under the policy last evaluated.

    Args:
      tree: the game; all players must share one payoff.
      depth: `D`, longest chain; 0 for "to the end of the game".
      use_public: whether to use the fast route where the tree allows it.

    Raises:
      UsageError: the players' payoffs differ, or a depth below 0.
    """

    def __init__(self, tree: Tree, depth: int = 0, *, use_public: bool = True) -> None:
        if not tree.is_common_payoff:
            raise UsageError(
                f"joint policy search on {tree.game_id}: players have different payoffs",
                accepted="games with one shared payoff",
                hint="use --method cfr or cfr+",
            )
        if depth < 0:
            raise UsageError(f"search depth {depth}", accepted="0 (to the end) or more")
        self.tree = tree
        self.depth = depth
        self.links = min(depth, tree.num_levels - 1) if depth else tree.num_levels - 1
        self.evaluation = Evaluation(tree)
        public = tree.public
        self._public = use_public and public is not None and public.deal_index is not None
        if self._public:
            self._game = chain_game(tree, self.evaluation.leaf_payoff)
        else:
            self._successor_start, self._successor_sets = successors(tree)
        self._advantage = np.empty(tree.num_entries)
        self._set = np.empty(self.links, dtype=np.int64)
        self._action = np.empty(self.links, dtype=np.int64)

    def evaluate(self, probabilities: np.ndarray) -> float:
        """Make `[E]` the policy under search; returns its value, game points."""
        value = self.evaluation.update(probabilities)
        self._probabilities = probabilities
        return value

    def best_chain(
        self,
        start_sets: np.ndarray,
        generator: np.random.Generator,
        node_weight: np.ndarray | None = None,
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """The best chain.

        Args:
          start_sets: information sets where a chain may start.
          generator: picks one of several chains that gain the same.
          node_weight: `[H]` 0 or 1, which nodes count; all of them by default.

        Returns:
          gain in game points (0 or more), information sets and actions of the chain. A chain that
          gains nothing may come back, empty or not: it moves along a plateau.
        """
        tree, evaluation = self.tree, self.evaluation
        start_sets = start_sets.astype(np.int64)  # one type only is compiled
        weights = np.empty(0) if node_weight is None else node_weight
        if self._public and tree.public is not None:
            public = tree.public
            if node_weight is None:
                _fill_advantage(
                    self._advantage, tree.entry_start, evaluation.action_values,
                    self._probabilities,
                )  # fmt: skip
            else:
                self._fill_weighted_advantage(start_sets, weights)
            start_states = (tree.slot_node[tree.set_slots[tree.set_start[start_sets]]] - 1) // len(
                public.probability
            )
            gain, links = best_chain_public(
                start_states, start_sets - public.first_info_set[start_states], self.links,
                TIE_TOLERANCE, generator, self._game, evaluation.values, evaluation.reach,
                self._advantage, self._probabilities, weights, self._set, self._action,
            )  # fmt: skip
        else:
            gain, links = best_chain_general(
                start_sets, self.links, tree.is_layered, TIE_TOLERANCE, generator,
                evaluation.values, self._probabilities, weights, tree.parent, tree.first_child,
                tree.info_set, tree.entry_start, tree.child_stride, tree.set_start, tree.set_slots,
                tree.slot_node, tree.slot_chance, self._successor_start, self._successor_sets,
                self._set, self._action,
            )  # fmt: skip
        return float(gain), self._set[:links].copy(), self._action[:links].copy()

    def _fill_weighted_advantage(self, start_sets: np.ndarray, node_weight: np.ndarray) -> None:
        """Advantages on the levels that chains from these sets can visit."""
        tree, evaluation = self.tree, self.evaluation
        levels = tree.info_set_level[start_sets]
        bottom = min(int(levels.max()) + self.links, tree.num_levels - 1)
        nodes = tree.level_start[[int(levels.min()), bottom]]
        first_slot, last_slot = np.searchsorted(tree.slot_node, nodes)
        _fill_weighted_advantage(
            self._advantage, evaluation.values, evaluation.reach, node_weight, first_slot,
            last_slot, tree.slot_node, tree.slot_chance, tree.slot_sequence, tree.info_set,
            tree.first_child, tree.entry_start, tree.player, tree.child_stride,
        )  # fmt: skip

    def start_sets(self, level: int) -> np.ndarray:
        """Information sets at a tree level; level 0 means the first decisions of the game."""
        if level > 0:
            return np.flatnonzero(self.tree.info_set_level == level)
        tree = self.tree
        first = tree.slot_node[np.all(tree.slot_sequence < 0, axis=1)]
        return np.unique(tree.info_set[first])


@numba.njit(cache=True)
def _fill_advantage(advantage, entry_start, action_values, probabilities):
    """Counterfactual advantage of every entry: q(I, a) less the mean of q(I, .) under sigma."""
    for i in range(len(entry_start) - 1):
        mean = 0.0
        for e in range(entry_start[i], entry_start[i + 1]):
            mean += probabilities[e] * action_values[e]
        for e in range(entry_start[i], entry_start[i + 1]):
            advantage[e] = action_values[e] - mean


@numba.njit(cache=True)
def _fill_weighted_advantage(
    advantage, values, reach, node_weight, first_slot, last_slot, slot_node, slot_chance,
    slot_sequence, info_set, first_child, entry_start, player, stride,
):  # fmt: skip
    """The same node by node, counting only weighted ones, from one slot to another."""
    advantage[:] = 0.0
    for j in range(first_slot, last_slot):
        h = slot_node[j]
        weight = slot_chance[j] * node_weight[h]
        if weight == 0.0:
            continue
        i = info_set[h]
        for p in range(slot_sequence.shape[1]):
            if p != player[i] and slot_sequence[j, p] >= 0:
                weight *= reach[slot_sequence[j, p]]
        if weight == 0.0:
            continue
        child = first_child[h]
        value = values[h]
        for e in range(entry_start[i], entry_start[i + 1]):
            advantage[e] += weight * (values[child] - value)
            child += stride


@numba.njit(cache=True)
def _mark_below(weight, parent, first_node):
    """Mark all nodes from `first_node` on whose parent is marked."""
    for h in range(first_node, len(parent)):
        if weight[parent[h]] != 0.0:
            weight[h] = 1.0


def sampled_nodes(
    tree: Tree, start_sets: np.ndarray, samples: int, generator: np.random.Generator
) -> np.ndarray:
    """Draw nodes of each starting information set, with replacement.

    Args:
      tree: the game.
      start_sets: information sets.
      samples: nodes to draw at each.
      generator: randomness.

    Returns:
      `[H]` 1 at the drawn nodes and everything below them, else 0.
    """
    size = tree.set_start[start_sets + 1] - tree.set_start[start_sets]
    drawn = generator.integers(size[:, None], size=(len(start_sets), samples))
    nodes = tree.slot_node[tree.set_slots[tree.set_start[start_sets][:, None] + drawn]].reshape(-1)
    weight = np.zeros(tree.num_states)
    weight[nodes] = 1.0
    # The drawn nodes may lie on several levels (hidden actions), and a level of chance nodes only
    # has none to draw.
    _mark_below(weight, tree.parent, int(nodes.min(initial=tree.num_states)) + 1)
    return weight


def joint_policy_search(
    tree: Tree,
    policy: TabularPolicy,
    *,
    depth: int = 0,
    iterations: int = 100,
    samples: int | None = None,
    generator: np.random.Generator | None = None,
    on_iteration: Callable[[int, float], None] | None = None,
    use_public: bool = True,
) -> JpsResult:
    """Improve a joint policy by repeated search for the best chain of changes.

    Args:
      tree: a game whose players share one payoff.
      policy: where to start.
      depth: `D`, longest chain; 0 lets chains run to the end of the game.
      iterations: most steps to take.
      samples: nodes drawn per starting information set; `None` counts all (exact search).
      generator: randomness of the order of levels (depth > 0) and of sampling.
      on_iteration: called with (iteration from 0, exact value after it).
      use_public: whether to use the fast route where the tree allows it.

    Returns:
      The best policy seen and the exact values along the way.

    Raises:
      DataError: the policy belongs to another game.
      UsageError: payoffs differ between players, or an option is out of range.
    """
    check_policy(tree, policy)
    if samples is not None and samples < 1:
        raise UsageError(f"{samples} samples", accepted="at least 1", hint="or leave it out")
    if iterations < 1:
        raise UsageError(f"{iterations} iterations", accepted="at least 1")
    if generator is None:
        generator = np.random.default_rng(0)
    search = ChainSearch(tree, depth, use_public=use_public)
    # The root is level 0; a chain of D links must fit above the deepest leaf.
    levels = range(1, max(1, tree.num_levels - 1 - search.links) + 1) if depth else range(1)
    waiting = list(generator.permutation(levels))

    probabilities = policy.probabilities.copy()
    value = search.evaluate(probabilities)
    best_value, best = value, probabilities.copy()
    values, gains = [value], []
    converged = False
    for iteration in range(iterations):
        if not waiting:
            converged = True
            break
        start_sets = search.start_sets(int(waiting.pop()))
        weight = None
        if samples is not None:
            weight = sampled_nodes(tree, start_sets, samples, generator)
        gain, sets, actions = search.best_chain(start_sets, generator, weight)
        for info_set, action in zip(sets, actions, strict=True):
            probabilities[tree.entry_start[info_set] : tree.entry_start[info_set + 1]] = 0.0
            probabilities[tree.entry_start[info_set] + action] = 1.0
        if len(sets):
            value = search.evaluate(probabilities)
        values.append(value)
        gains.append(gain)
        if value > best_value:
            best_value, best = value, probabilities.copy()
        improved = gain > (REFILL_GAIN if depth else TIE_TOLERANCE)
        # Sampled gains are estimates: a level without one may have one in the next draw.
        if improved or (samples is not None and not waiting):
            waiting = list(generator.permutation(levels))
        if on_iteration is not None:
            on_iteration(iteration, value)
    return JpsResult(
        policy=TabularPolicy(tree.game_id, best),
        value=best_value,
        values=np.array(values),
        predicted_gains=np.array(gains),
        converged=converged or not waiting,
    )
