"""Dynamic programming over pairs of card sets: the optimum of a merged game.

Both players agree on a plan before the deal, so after public actions everybody knows which cards
each of them can still hold: a set A of the mover's types and a set B of the other's. By the
common-information argument (Nayyar, Mahajan, Teneketzis 2013) the best joint payoff from there is

    V(A, B) = sum over deals in A x B of chance * payoff                at a leaf,
    V(A, B) = max over ways to share out A among the actions of
              sum over actions a of V_a(A_a, B)                         at a decision.

Pure plans suffice (a mixed plan is an average of pure ones). The maximum over partitions is folded
action by action, `F(A) = max over C in A of V_a(C) + F_rest(A - C)`, `3^n` additions for n types.
Four savings, all exact:

* merged futures, and *suffixes*: states that share their last actions share the fold of them;
* an action whose value is a sum over the mover's types (a leaf, as after a pass) is *light*: it
  folds in `n 2^n`. A node with light actions only is n numbers per set of the other player. Only
  folds of two or more *heavy* actions are stored; values are recomputed from them when read;
* only the pairs asked for: the first mover's choice needs `V_a(., all)`, not every pair;
* integers of 16 or 32 bits where probabilities and payoffs are fractions.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from trine.games.exact_kernels import (
    additive_columns,
    additive_lanes,
    additive_rows,
    fold_additive,
    fold_at_full,
    fold_blocks,
    raise_to,
    subset_sums,
    transpose,
)
from trine.games.exact_merge import Edge
from trine.games.exact_plan import BLOCK_BYTES, Key, SubsetPlan

_CHUNK = 4096
"""Columns read at a time in `SubsetProgram._turned`, so that the rows being raised stay cached."""

Lanes = tuple[int, int] | None
"""(first set of the other player's types, how many sets), or `None` for the full set alone."""


class OutOfTime(Exception):
    """The deadline passed."""


class SubsetProgram:
    """Fills the tables of a plan, block by block.

    Args:
      plan: what to compute.
    """

    def __init__(self, plan: SubsetPlan) -> None:
        self.plan = plan
        self.merged = plan.merged
        self.types = plan.types
        self._tables: dict[Key, np.ndarray] = {}
        self._weights: dict[tuple[int, int, bool], np.ndarray | None] = {}

    def run(
        self,
        *,
        deadline: float = float("inf"),
        on_progress: Callable[[float], None] | None = None,
        workers: int = 1,
    ) -> tuple[float, np.ndarray]:
        """Solve.

        Args:
          deadline: `time.monotonic()` at which to give up.
          on_progress: called with the share of the work done, 0 to 1.
          workers: threads.

        Returns:
          the optimum as a sum of weights, and `[own types]` the action index of each type.

        Raises:
          OutOfTime: the deadline passed.
        """
        vectors: dict[Edge, np.ndarray] = {}
        work_done = 0
        with ThreadPoolExecutor(workers) as pool:
            self._read_root(-1, vectors)
            for i, key in enumerate(self.plan.order):
                table = self._tables[key] = np.empty(self.plan.shape(key), self.merged.dtype)
                blocks = self._blocks(table, self.plan.all_lanes[key])
                work = self.plan.operations_of(key) / len(blocks)
                for _ in pool.map(partial(self._fill, key, table), blocks):
                    if time.monotonic() > deadline:
                        pool.shutdown(cancel_futures=True)
                        raise OutOfTime
                    work_done += work
                    if on_progress is not None:
                        on_progress(min(work_done / self.plan.operations, 1.0))
                self._read_root(i, vectors)
                for old in self.plan.unused_after[i]:
                    del self._tables[old]
        return self._best_partition(vectors)

    def _read_root(self, position: int, vectors: dict[Edge, np.ndarray]) -> None:
        """Read the values of those first actions whose last table has just been filled."""
        for edge, ready in zip(self.plan.heavy_root, self.plan.root_ready, strict=True):
            if ready == position and edge not in vectors:
                vectors[edge] = self._child(0, edge, None)

    def _blocks(self, table: np.ndarray, all_lanes: bool) -> list[Lanes]:
        if not all_lanes:
            return [None]
        lanes = table.shape[1]
        step = min(lanes, BLOCK_BYTES // self.merged.dtype.itemsize)
        return [(start, step) for start in range(0, lanes, step)]

    def _fill(self, key: Key, table: np.ndarray, lanes: Lanes) -> None:
        side, edges = key
        out = self._child(side, edges[0], lanes)
        if len(edges) > 1:
            first, out = out, np.empty_like(out)
            fold_blocks(first, self._suffix(side, edges[1:], lanes), out)
        table[:, _columns(lanes)] = out

    # ---- blocks: `[2^own, lanes]` ---------------------------------------------------------------

    def _suffix(self, side: int, edges: tuple[Edge, ...], lanes: Lanes) -> np.ndarray:
        """Fold of the last heavy actions of a node."""
        if (side, edges) in self._tables:
            return self._tables[side, edges][:, _columns(lanes)].copy()
        return self._child(side, edges[0], lanes)

    def _child(self, side: int, edge: Edge, lanes: Lanes) -> np.ndarray:
        """Value of a child, in the sets of its parent on `side`."""
        child, crossed = edge
        child_side = self.plan.side_of(side, edge)
        if not crossed:
            block = self._suffix(child_side, self.plan.heavy(child), lanes)
            light = self._light(child_side, child, lanes is not None)
            if light is not None:
                fold_additive(block, np.ascontiguousarray(light[:, _columns(lanes)]))
            return block
        out = np.empty((2 ** len(self.types[side]), lanes[1] if lanes else 1), self.merged.dtype)
        if self.merged.additive[child]:
            # The parent's lanes are the child's own sets.
            light = self._light(child_side, child, True)
            first = 2 ** len(self.types[child_side]) - 1 if lanes is None else lanes[0]
            additive_lanes(light, first, out)
        elif lanes is None:
            self._at_full(child_side, child, out[:, 0])
        else:
            self._turned(child_side, child, lanes, out)
        return out

    def _at_full(self, side: int, node: int, out: np.ndarray) -> None:
        """`[2^other]` value of a node for its full own set."""
        edge, *others = self.plan.heavy(node)
        light = self._light(side, node, True)
        step = min(len(out), BLOCK_BYTES // self.merged.dtype.itemsize)
        for start in range(0, len(out), step):
            lanes = (start, step)
            first = self._child(side, edge, lanes)
            weight = None if light is None else np.ascontiguousarray(light[:, _columns(lanes)])
            if others:
                rest = self._suffix(side, tuple(others), lanes)
                if weight is not None:
                    fold_additive(rest, weight)
            elif weight is not None:
                rest = np.empty_like(first)
                additive_rows(weight, rest)
            else:
                out[_columns(lanes)] = first[-1]
                continue
            best = np.empty(step, self.merged.dtype)
            fold_at_full(first, rest, best)
            out[_columns(lanes)] = best

    def _turned(self, side: int, node: int, own: tuple[int, int], out: np.ndarray) -> None:
        """A block of own sets for all sets of the other player, turned: out `[2^other, own sets]`.

        The own sets of a block share their high types H. Light actions may take any of them:
        maximum over C in H of fold(C + low) + light weights of H - C, then low type by low type.
        """
        start, count = own
        low = count.bit_length() - 1
        high = start >> low
        light = self._light(side, node, True)
        for column in range(0, len(out), _CHUNK):
            columns = slice(column, min(column + _CHUNK, len(out)))
            width = columns.stop - columns.start
            best = np.empty((count, width), self.merged.dtype)
            base = np.zeros(width, self.merged.dtype)
            for kept in subsets_of(high)[::-1] if light is not None else [high]:
                if light is not None:
                    taken = [t + low for t in range(high.bit_length()) if (high ^ kept) >> t & 1]
                    base = light[taken, columns].sum(axis=0, dtype=self.merged.dtype)
                rows, of_row = self._rows(
                    side, self.plan.heavy(node), int(kept) << low, count, columns
                )
                raise_to(rows, of_row, base, best, kept == high)
            if light is not None:
                fold_additive(best, np.ascontiguousarray(light[:low, columns]))
            transpose(best, out[columns])

    def _rows(
        self, side: int, edges: tuple[Edge, ...], start: int, count: int, columns: slice
    ) -> tuple[np.ndarray, np.ndarray]:
        """Own sets `start ... start + count` of a suffix for a range of sets of the other.

        Returns:
          `[count, columns]` and `[count]`, whose sum is the value.
        """
        if (side, edges) in self._tables:
            rows = self._tables[side, edges][start : start + count, columns]
            return rows, np.zeros(count, self.merged.dtype)
        # One crossed child, additive over its own types: those of the other player here.
        light = self._light(self.plan.side_of(side, edges[0]), edges[0][0], True)
        weight = np.ascontiguousarray(light[:, start : start + count])
        low = (columns.stop - columns.start).bit_length() - 1
        out = np.empty((count, 1 << low), self.merged.dtype)
        additive_columns(weight[:low], out)
        fixed = [t for t in range(low, len(weight)) if columns.start >> t & 1]
        return out, weight[fixed].sum(axis=0, dtype=self.merged.dtype)

    # ---- light actions --------------------------------------------------------------------------

    def _light(self, side: int, node: int, lanes: bool) -> np.ndarray:
        """`[own types, other sets]` value of the best light action; `None` if there is none.

        Args:
          side: own axis of the node.
          node: a decision; if it is additive itself, this is its value per own type.
          lanes: all sets of the other player, or the full set only.
        """
        name = (side, node, lanes)
        if name not in self._weights:
            each = [weight for weight in self._lights(side, node, lanes) if weight is not None]
            self._weights[name] = np.maximum.reduce(each) if each else None
        return self._weights[name]  # pyright: ignore[reportReturnType] callers know or ask

    def _lights(self, side: int, node: int, lanes: bool) -> list[np.ndarray | None]:
        """The same per action; `None` for heavy actions."""
        merged = self.merged
        own, other = self.types[side], self.types[1 - side]
        found: list[np.ndarray | None] = []
        for child, crossed in merged.children[node]:
            leaf = merged.weight[child]
            if leaf is not None:
                part = (leaf.T if crossed else leaf)[np.ix_(own, other)].astype(merged.dtype)
                sums = part.sum(axis=1, keepdims=True, dtype=merged.dtype)
                found.append(subset_sums(part) if lanes else sums)
            elif merged.additive[child] and not crossed:
                found.append(self._light(side, child, lanes))
            else:
                found.append(None)
        return found

    # ---- the first move -------------------------------------------------------------------------

    def _best_partition(self, vectors: dict[Edge, np.ndarray]) -> tuple[float, np.ndarray]:
        """Share out all own types among the actions, the other player holding any type.

        Args:
          vectors: `[2^own, 1]` value of each heavy action.
        """
        types = len(self.types[0])
        lights = self._lights(0, self.plan.node, False)
        best_light = self._light(0, self.plan.node, False)
        chosen = np.zeros(types, dtype=np.int64)
        for action in range(len(lights) - 1, -1, -1):
            weight = lights[action]
            if weight is not None:
                chosen[weight[:, 0] == best_light[:, 0]] = action
        heavy_actions = [action for action, weight in enumerate(lights) if weight is None]
        if not heavy_actions:
            return best_light.sum(), chosen
        values = [vectors[edge] for edge in self.plan.heavy_root]
        # folds[i](A): the best way to share A out among the heavy actions from the i-th on.
        folds = values[-1:]
        for value in values[-2::-1]:
            folds.insert(0, np.empty_like(value))
            fold_blocks(value, folds[1], folds[0])
        left = 2**types - 1
        total = folds[0][left, 0]
        if best_light is not None:
            rest = np.empty_like(folds[0])
            additive_rows(best_light, rest)
            totals = folds[0][:, 0] + rest[::-1, 0]  # the row of full - A is the A-th from behind
            left = int(totals.argmax())
            total = totals[left]
        for i, action in enumerate(heavy_actions):
            taken = left
            if i + 1 < len(values):
                subsets = subsets_of(left)
                here = values[i][subsets, 0] + folds[i + 1][left ^ subsets, 0]
                taken = int(subsets[here.argmax()])
            chosen[[t for t in range(types) if taken >> t & 1]] = action
            left ^= taken
        return total, chosen


def _columns(lanes: Lanes) -> slice:
    """Columns of a table; its last column is the full set whether it has all columns or one."""
    return slice(-1, None) if lanes is None else slice(lanes[0], lanes[0] + lanes[1])


def subsets_of(full: int) -> np.ndarray:
    """All subsets of a set of bits, the empty one first, the full one last."""
    subsets = np.zeros(1, dtype=np.int64)
    for t in range(full.bit_length()):
        if full >> t & 1:
            subsets = np.concatenate([subsets, subsets | 1 << t])
    return subsets
