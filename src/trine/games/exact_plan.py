"""Which tables the subset dynamic program stores, in which order, and what that costs.

A *heavy* action leads to a state whose value is not a sum over the mover's types. Only folds of
several heavy actions are stored (`exact_subsets` says why), and one heavy action alone where its
own heavy action would be another one, so that values are never recomputed from values that are
recomputed. Walking down from the first decision finds the tables that are read and whether all sets
of the other player are asked for, or the full set alone.
"""

from __future__ import annotations

import numpy as np

from trine.games.exact_merge import Edge, MergedGame

BLOCK_BYTES = 256
"""Bytes of one row of a block; see `exact_kernels`."""

_READING = 8
"""Additions, per type and set, to recompute a value from the folds it is made of (about)."""

Key = tuple[int, tuple[Edge, ...]]
"""A stored table: (side, actions), the fold of these actions. The side, 0 or 1, says which of the
two axes of the program the mover's types are on; axis 0 is the first mover's."""


class SubsetPlan:
    """The tables for one decision node and the types still possible there.

    Args:
      merged: the game.
      node: where to start, a decision.
      own_types: the mover's possible types.
      other_types: the other player's.

    Attributes:
      order: the tables, each after those it is made of.
      unused_after: per position in the order the tables nobody reads afterwards.
      all_lanes: per table, whether it covers all sets of the other player or the full set alone.
      heavy_root: heavy actions of the start.
      root_ready: position in the order after which each of them can be read; -1: before all.
      peak_bytes: memory of all tables alive at the worst moment.
      operations: additions to be done.
    """

    def __init__(
        self, merged: MergedGame, node: int, own_types: np.ndarray, other_types: np.ndarray
    ) -> None:
        self.merged = merged
        self.node = node
        self.types = (own_types, other_types)
        # With equal axes a node has one table whichever player owns it.
        self._one_side = np.array_equal(own_types, other_types)
        self.all_lanes: dict[Key, bool] = {}
        self._needs: dict[Key, list[Key]] = {}
        self.heavy_root = self.heavy(node)
        root_needs = [self._ask_child(0, edge, False) for edge in self.heavy_root]
        self.order = self._schedule([key for needs in root_needs for key in needs])
        position = {key: i for i, key in enumerate(self.order)}
        # Position in the order after which each root action can be read; -1: before all.
        self.root_ready = [
            max((position[need] for need in needs), default=-1) for needs in root_needs
        ]
        last_use = position.copy()
        for i, needs in [
            *((position[key], self._needs[key]) for key in self.order),
            *zip(self.root_ready, root_needs, strict=True),
        ]:
            for need in needs:
                last_use[need] = max(last_use[need], i)
        self.unused_after: list[list[Key]] = [[] for _ in self.order]
        for key, i in last_use.items():
            self.unused_after[i].append(key)
        sets = 2 ** (len(own_types) + len(other_types))
        self.operations = sum(self.operations_of(key) for key in self.order)
        self.operations += _READING * len(own_types) * sets * len(self.heavy_root) + 1
        self.peak_bytes = self._peak()

    def heavy(self, node: int) -> tuple[Edge, ...]:
        """Actions whose value is not a sum over the mover's types."""
        merged = self.merged
        return tuple(
            (c, crossed)
            for c, crossed in merged.children[node]
            if merged.weight[c] is None and (crossed or not merged.additive[c])
        )

    def side_of(self, side: int, edge: Edge) -> int:
        """Own axis of a child whose parent's own axis is `side`."""
        return 0 if self._one_side else side ^ edge[1]

    def _ask_child(self, side: int, edge: Edge, lanes: bool) -> list[Key]:
        """Tables that are read to know a child for all own sets of its parent.

        Args:
          side: own axis of the parent.
          edge: a heavy action.
          lanes: for all sets of the parent's other player, or the full set only.
        """
        child, crossed = edge
        if self.merged.additive[child]:
            return []
        heavy, child_side = self.heavy(child), self.side_of(side, edge)
        if crossed and not lanes:
            return [
                *self._ask_child(child_side, heavy[0], True),
                *self._ask_suffix(child_side, heavy[1:], True),
            ]
        return self._ask_suffix(child_side, heavy, lanes or crossed)

    def _ask_suffix(self, side: int, edges: tuple[Edge, ...], lanes: bool) -> list[Key]:
        if not edges or (len(edges) == 1 and self.merged.additive[edges[0][0]]):
            return []
        key = (side, edges)
        known = self.all_lanes.get(key)
        if known is None or lanes > known:
            self.all_lanes[key] = lanes
            self._needs[key] = [
                *self._ask_child(side, edges[0], lanes),
                *self._ask_suffix(side, edges[1:], lanes),
            ]
        return [key]

    def _schedule(self, asked: list[Key]) -> list[Key]:
        """Every table after those it needs, depth first so that few are alive at once."""
        order: list[Key] = []
        seen: set[Key] = set()
        stack = [(key, False) for key in asked]
        while stack:
            key, ready = stack.pop()
            if ready:
                order.append(key)
            elif key not in seen:
                seen.add(key)
                stack.append((key, True))
                stack += [(need, False) for need in self._needs[key]]
        return order

    def shape(self, key: Key) -> tuple[int, int]:
        """(own sets, other sets) of a table."""
        own, other = len(self.types[key[0]]), len(self.types[1 - key[0]])
        return 2**own, 2**other if self.all_lanes[key] else 1

    def operations_of(self, key: Key) -> int:
        """Additions to fill a table."""
        types, lanes = len(self.types[key[0]]), self.shape(key)[1]
        return lanes * (_READING * types * 2**types + (3**types if len(key[1]) > 1 else 0))

    def _peak(self) -> int:
        size = self.merged.dtype.itemsize
        live = peak = 0
        for key, unused in zip(self.order, self.unused_after, strict=True):
            live += self.shape(key)[0] * self.shape(key)[1] * size
            peak = max(peak, live)
            for old in unused:
                live -= self.shape(old)[0] * self.shape(old)[1] * size
        return peak + 6 * BLOCK_BYTES * 2 ** max(len(t) for t in self.types)
