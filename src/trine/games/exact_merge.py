"""Equal futures merged: the public tree of a two-player game as a small acyclic graph.

What can still happen after a public state depends on its subtree alone. Two public states whose
subtrees are equal (same mover, same actions in the same order, same payoffs in every deal) have the
same value for every pair of sets of possible cards; so do two that become equal when the players
are exchanged, with the two sets exchanged as well. In Simple Bidding only the last bid matters: the
2^m public states collapse to about m nodes.

A node of the graph names its axes *own* and *other* instead of player 1 and player 2: own is the
mover at a decision. An edge is *crossed* when the child's own player is the parent's other player.
Public states with a single action stand for the state after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm

import numpy as np

from trine.games.tree import LEAF, PublicStructure, Tree

Edge = tuple[int, bool]
"""(child node, crossed)."""

_LARGEST_DENOMINATOR = 10**6
_LARGEST_EXACT = 2**53


@dataclass(frozen=True, eq=False)
class MergedGame:
    """The merged public tree; children have smaller numbers than their parents.

    Letters: `N` nodes, `S` public states, `n0`, `n1` types of the two players.

    Attributes:
      children: `[N]` edges, one an action; empty at leaves.
      weight: `[N]` at leaves `[own types, other types]` chance times payoff times `scale`, else
        `None`.
      additive: `[N]` whether the value of the node is a sum over the own types: true at leaves and
        where the mover's actions lead to nothing but such sums.
      node_of_state: `[S]`.
      own_of_state: `[S]` which player is the node's own.
      num_types: `(n0, n1)`.
      scale: weights are integers when this is set: the optimum is exactly integer / scale. 0:
        weights are floats in game points.
      largest: bound on the magnitude of any sum of weights.
    """

    children: list[tuple[Edge, ...]]
    weight: list[np.ndarray | None]
    additive: list[bool]
    node_of_state: np.ndarray
    own_of_state: np.ndarray
    num_types: tuple[int, int]
    scale: int
    largest: float

    @property
    def dtype(self) -> np.dtype:
        """Smallest number type in which no sum overflows."""
        if self.scale:
            for kind in (np.int16, np.int32):
                if self.largest <= np.iinfo(kind).max:
                    return np.dtype(kind)
        return np.dtype(np.float64)

    def in_points(self, total: float) -> float:
        """A sum of weights as game points."""
        return float(Fraction(int(total), self.scale)) if self.scale else float(total)


def can_merge(tree: Tree) -> bool:
    """Whether the tree is of the kind this route solves: two players, one deal, public actions."""
    return tree.public is not None and tree.num_players == 2 and tree.is_common_payoff


def merge_public_states(tree: Tree) -> MergedGame:
    """Merge the public states of a game for which `can_merge` holds."""
    public = tree.public
    assert public is not None and can_merge(tree)
    num_types = (int(public.num_types[0]), int(public.num_types[1]))
    square = num_types[0] == num_types[1]
    scale, weights = _leaf_weights(tree, public)
    children: list[tuple[Edge, ...]] = []
    weight: list[np.ndarray | None] = []
    additive: list[bool] = []
    symmetric: list[bool] = []
    index: dict[object, int] = {}
    node_of_state = np.empty(len(public.player), dtype=np.int32)
    own_of_state = np.zeros(len(public.player), dtype=np.int8)

    def node(key: object, edges: tuple[Edge, ...], leaf: np.ndarray | None) -> int:
        if key not in index:
            index[key] = len(children)
            children.append(edges)
            weight.append(leaf)
            symmetric.append(leaf is not None and square and np.array_equal(leaf, leaf.T))
            additive.append(
                all(weight[c] is not None or (additive[c] and not crossed) for c, crossed in edges)
            )
        return index[key]

    def leaf_node(s: int) -> tuple[int, int]:
        leaf = np.zeros(num_types, dtype=weights.dtype)
        np.add.at(leaf, (public.cards[:, 0], public.cards[:, 1]), weights[s])
        own, name = 0, leaf.tobytes()
        if square and (turned := np.ascontiguousarray(leaf.T).tobytes()) < name:
            own, name, leaf = 1, turned, np.ascontiguousarray(leaf.T)
        return node(name, (), leaf), own

    for s in range(len(public.player) - 1, -1, -1):
        first, actions, mover = public.first_child[s], public.num_actions[s], public.player[s]
        if mover == LEAF:
            node_of_state[s], own_of_state[s] = leaf_node(s)
            continue
        if actions == 1:
            node_of_state[s], own_of_state[s] = node_of_state[first], own_of_state[first]
            continue
        edges = tuple(
            (int(c), bool(own_of_state[first + a] != mover and not symmetric[c]))
            for a, c in enumerate(node_of_state[first : first + actions])
        )
        key = edges if square else (edges, int(mover))
        node_of_state[s], own_of_state[s] = node(key, edges, None), mover
    return MergedGame(
        children=children,
        weight=weight,
        additive=additive,
        node_of_state=node_of_state,
        own_of_state=own_of_state,
        num_types=num_types,
        scale=scale,
        largest=float(np.abs(weights).max(axis=0).sum()),
    )


def _leaf_weights(tree: Tree, public: PublicStructure) -> tuple[int, np.ndarray]:
    """Scale and `[S, K]` chance times payoff, integers where the game's numbers are fractions."""
    payoff = tree.payoff[0, 1:].reshape(len(public.player), -1)
    chance_scale = _common_denominator(public.probability)
    distinct, position = np.unique(payoff, return_inverse=True)
    payoff_scale = _common_denominator(distinct) if chance_scale else 0
    if payoff_scale:
        numerators = np.rint(distinct * payoff_scale)
        chances = np.rint(public.probability * chance_scale)
        if np.abs(numerators).max() * chances.sum() < _LARGEST_EXACT:
            weights = numerators[position].reshape(payoff.shape) * chances
            return chance_scale * payoff_scale, weights.astype(np.int64)
    return 0, payoff * public.probability


def _common_denominator(numbers: np.ndarray) -> int:
    """Smallest integer that makes all numbers integers; 0 if they are no small fractions.

    A float counts as the fraction that rounds to it, e.g. 0.1 as 1/10.
    """
    common = 1
    for number in np.unique(numbers):
        fraction = Fraction(float(number)).limit_denominator(_LARGEST_DENOMINATOR)
        common = lcm(common, fraction.denominator)
        if float(fraction) != number or common > _LARGEST_DENOMINATOR:
            return 0
    return common
