"""Passes over the tree: reach probabilities down, values up. The hot loops of every method.

A pass up visits each decision node once and adds up two things: the node's value, and for the
mover's information set the counterfactual value of each action,

    q(I, a) = sum over h in I of  chance(h) * prod over others p of x_p(h) * v(ha),

where x_p(h) is player p's own part of the reach probability. With perfect recall x_p(h) belongs to
p's last own entry above h, so the pass down runs over the entries of the policy, not over nodes.

There is one kernel for any tree and one for public trees, whose children lie `K` apart and whose
deals are neighbours in memory. Tests hold the two to each other.
"""

from __future__ import annotations

import numba
import numpy as np

from trine.games.tree import CHANCE_NODE, LEAF, Tree


@numba.njit(cache=True)
def fill_sequence_reach(entry_start, parent_entry, probabilities, reach):
    """Own reach of every entry: `reach[e]` = product of the own probabilities down to e."""
    for i in range(len(parent_entry)):
        above = 1.0 if parent_entry[i] < 0 else reach[parent_entry[i]]
        for e in range(entry_start[i], entry_start[i + 1]):
            reach[e] = above * probabilities[e]


@numba.njit(cache=True)
def _pass_up_general(
    values, probabilities, first_child, info_set, entry_start, chance_start, chance_probability,
    stride,
):  # fmt: skip
    chance = len(chance_start) - 2
    for h in range(len(values) - 1, -1, -1):
        i = info_set[h]
        if i == LEAF:
            continue
        value = 0.0
        child = first_child[h]
        if i == CHANCE_NODE:
            for outcome in range(chance_start[chance], chance_start[chance + 1]):
                value += chance_probability[outcome] * values[child]
                child += 1
            chance -= 1
        else:
            for e in range(entry_start[i], entry_start[i + 1]):
                value += probabilities[e] * values[child]
                child += stride
        values[h] = value


@numba.njit(cache=True)
def _action_values_general(
    values, reach, action_values, first_child, info_set, entry_start, player, stride, slot_node,
    slot_chance, slot_sequence,
):  # fmt: skip
    for j in range(len(slot_node)):
        h = slot_node[j]
        i = info_set[h]
        weight = slot_chance[j]
        for p in range(slot_sequence.shape[1]):
            if p != player[i] and slot_sequence[j, p] >= 0:
                weight *= reach[slot_sequence[j, p]]
        if weight == 0.0:
            continue
        child = first_child[h]
        for e in range(entry_start[i], entry_start[i + 1]):
            action_values[e] += weight * values[child]
            child += stride


@numba.njit(cache=True)
def _pass_up_public(
    values, action_values, probabilities, reach, decision, player, first_child, num_actions,
    first_entry, cards, chance, slot_sequence, weight, row,
):  # fmt: skip
    """Values and counterfactual action values in one pass over a public tree."""
    num_deals, num_players = cards.shape
    for d in range(len(decision) - 1, -1, -1):
        s = decision[d]
        i = player[s]
        actions = num_actions[s]
        here = 1 + s * num_deals
        for k in range(num_deals):
            others = chance[k]
            for p in range(num_players):
                e = slot_sequence[d * num_deals + k, p]
                if p != i and e >= 0:
                    others *= reach[e]
            weight[k] = others
            row[k] = first_entry[s] + cards[k, i] * actions
            values[here + k] = 0.0
        # Action by action, so that the children's values are read in the order they lie in.
        for a in range(actions):
            child = 1 + (first_child[s] + a) * num_deals
            k = 0
            while k < num_deals:
                e = row[k] + a
                # A run of deals with the same card of the mover shares its entry.
                end = k + 1
                while end < num_deals and row[end] == row[k]:
                    end += 1
                probability = probabilities[e]
                total = 0.0
                for j in range(k, end):
                    value = values[child + j]
                    values[here + j] += probability * value
                    total += weight[j] * value
                action_values[e] += total
                k = end
    value = 0.0
    for k in range(num_deals):
        value += chance[k] * values[1 + k]
    values[0] = value


class Evaluation:
    """Buffers for the repeated evaluation of policies on one tree.

    The leaves of `values` are filled once; every call to `update` overwrites the rest in place.

    Args:
      tree: the game.
      column: which payoff column to evaluate (0 in common-payoff games).

    Attributes:
      values: `[H]` expected payoff from each node on, game points.
      reach: `[E]` own reach probability of each entry.
      action_values: `[E]` counterfactual value q(I, a) of each entry, game points.
    """

    def __init__(self, tree: Tree, column: int = 0) -> None:
        self.tree = tree
        self.values = tree.payoff[column].copy()
        self.reach = np.empty(tree.num_entries)
        self.action_values = np.empty(tree.num_entries)
        public = tree.public
        if public is not None:
            self._decision = np.flatnonzero(public.player != LEAF).astype(np.int32)
            first_set = np.where(public.first_info_set < 0, 0, public.first_info_set)
            self._first_entry = tree.entry_start[first_set]
            self._weight = np.empty(len(public.probability))
            self._row = np.empty(len(public.probability), dtype=np.int64)

    def update(self, probabilities: np.ndarray) -> float:
        """Evaluate a policy.

        Args:
          probabilities: `[E]` action probabilities.

        Returns:
          The expected payoff at the root, game points.
        """
        tree = self.tree
        fill_sequence_reach(tree.entry_start, tree.parent_entry, probabilities, self.reach)
        self.action_values[:] = 0.0
        public = tree.public
        if public is not None:
            _pass_up_public(
                self.values, self.action_values, probabilities, self.reach, self._decision,
                public.player, public.first_child, public.num_actions, self._first_entry,
                public.cards, public.probability, tree.slot_sequence, self._weight, self._row,
            )  # fmt: skip
        else:
            self.update_general(probabilities)
        return float(self.values[0])

    def update_general(self, probabilities: np.ndarray) -> float:
        """The same by the kernel for any tree (`reach` must be up to date)."""
        tree = self.tree
        _pass_up_general(
            self.values, probabilities, tree.first_child, tree.info_set, tree.entry_start,
            tree.chance_start, tree.chance_probability, tree.child_stride,
        )  # fmt: skip
        _action_values_general(
            self.values, self.reach, self.action_values, tree.first_child, tree.info_set,
            tree.entry_start, tree.player, tree.child_stride, tree.slot_node, tree.slot_chance,
            tree.slot_sequence,
        )  # fmt: skip
        return float(self.values[0])
