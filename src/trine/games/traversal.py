"""Passes over the tree: reach probabilities down, values up. The hot loops of every method.

A pass up visits each decision node once and adds up two things: the node's value, and for the
mover's information set the counterfactual value of each action,

    q(I, a) = sum over h in I of  chance(h) * prod over others p of x_p(h) * v(ha),

where x_p(h) is player p's own part of the reach probability. With perfect recall x_p(h) belongs to
p's last own entry above h, so the pass down runs over the entries of the policy, not over nodes.

There are kernels for any tree, and for two-player games with public actions a pass over values of
nodes, whose deals are neighbours in memory, and one over cards for the rest (`card_values`). Tests
hold the two routes to each other.
"""

from __future__ import annotations

import numba
import numpy as np

from trine.games.card_values import CardValues
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
    values, probabilities, decision, player, first_child, num_actions, first_entry, cards, run_end,
    chance,
):  # fmt: skip
    """Values of all nodes of a public tree."""
    num_deals = len(chance)
    for d in range(len(decision) - 1, -1, -1):
        s = decision[d]
        i = player[s]
        actions = num_actions[s]
        here = 1 + s * num_deals
        for k in range(num_deals):
            values[here + k] = 0.0
        # Action by action, so that the children's values are read in the order they lie in; most
        # policies of interest are almost pure, and then most children are not read at all.
        for a in range(actions):
            child = 1 + (first_child[s] + a) * num_deals
            k = 0
            while k < num_deals:
                probability = probabilities[first_entry[s] + cards[i, k] * actions + a]
                end = run_end[i, k]
                if probability != 0.0:
                    for j in range(k, end):
                        values[here + j] += probability * values[child + j]
                k = end
    value = 0.0
    for k in range(num_deals):
        value += chance[k] * values[1 + k]
    values[0] = value


def _run_ends(cards: np.ndarray) -> np.ndarray:
    """`[P, K]` end of the run of deals with the same card of a player that begins at a deal."""
    num_deals = cards.shape[1]
    deal = np.arange(1, num_deals + 1)
    is_last = np.ones(cards.shape, dtype=bool)
    is_last[:, :-1] = np.diff(cards) != 0
    ends = np.where(is_last, deal, num_deals)
    return np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1].copy()


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
      leaf_payoff: see `CardValues`; two-player games with public actions only.
      visited: `[1, 2]` range of the information sets that an update visits: all of them.
    """

    def __init__(self, tree: Tree, column: int = 0) -> None:
        self.tree = tree
        self.values = tree.payoff[column].copy()
        public = tree.public
        self._by_card: CardValues | None = None
        if public is not None and CardValues.applies(tree):
            self._by_card = CardValues(tree, (column, column))
            self._decision = np.flatnonzero(public.player != LEAF).astype(np.int32)
            first_set = np.where(public.first_info_set < 0, 0, public.first_info_set)
            self._first_entry = tree.entry_start[first_set]
            self._cards = public.cards.T.copy()
            self._run_end = _run_ends(self._cards)
            self.leaf_payoff = self._by_card.leaf_payoff
            self.reach = self._by_card.reach
            self.action_values = self._by_card.action_values
        else:
            self.reach = np.empty(tree.num_entries)
            self.action_values = np.empty(tree.num_entries)
        self.visited = np.array([[0, tree.num_info_sets]], dtype=np.uint64)

    def update(self, probabilities: np.ndarray) -> float:
        """Evaluate a policy.

        Args:
          probabilities: `[E]` action probabilities.

        Returns:
          The expected payoff at the root, game points.
        """
        public = self.tree.public
        if self._by_card is None or public is None:
            return self.update_general(probabilities)
        _pass_up_public(
            self.values, probabilities, self._decision, public.player, public.first_child,
            public.num_actions, self._first_entry, self._cards, self._run_end, public.probability,
        )  # fmt: skip
        self._by_card.update(probabilities)
        return float(self.values[0])

    def update_general(self, probabilities: np.ndarray) -> float:
        """The same by the kernels for any tree."""
        tree = self.tree
        fill_sequence_reach(tree.entry_start, tree.parent_entry, probabilities, self.reach)
        self.action_values[:] = 0.0
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
