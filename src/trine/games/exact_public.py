"""Exact optimum of a two-player game with one deal and public actions.

`SubsetSolver` runs the dynamic program of `exact_subsets` at the start of the game and again, on
the cards that are left, at every public state the optimal policy reaches: that recovers the policy
without keeping any table. `revealed_bound` is what to do when the tables do not fit: tell both
players in which group the cards lie and solve each pair of groups alone. Knowing more never hurts a
team, so the sum is an upper bound.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from trine.games.exact_merge import MergedGame, merge_public_states
from trine.games.exact_plan import SubsetPlan
from trine.games.exact_subsets import SubsetProgram
from trine.games.policy import TabularPolicy, pure_policy
from trine.games.tree import LEAF, Tree

_MOST_TYPES = 24
"""More types of one player than this cannot be meant for subsets: 2^24 sets of one player alone."""

UNTHINKABLE = 2**63
"""Bytes and additions of what is not even planned."""

Progress = Callable[[str, float], None]
"""Called with (what is being done, share done from 0 to 1)."""


class SubsetSolver:
    """Solves one game by the dynamic program over pairs of card sets.

    Args:
      tree: a game for which `exact_merge.can_merge` holds.
      deadline: `time.monotonic()` at which to give up with `OutOfTime`.
      on_progress: see `Progress`.
      workers: threads.
    """

    def __init__(
        self,
        tree: Tree,
        *,
        deadline: float = float("inf"),
        on_progress: Progress | None = None,
        workers: int = 1,
    ) -> None:
        assert tree.public is not None
        self.tree = tree
        self.public = tree.public
        self.merged: MergedGame = merge_public_states(tree)
        self.deadline = deadline
        self.on_progress = on_progress
        self.workers = workers
        self._start = 0
        while self.public.num_actions[self._start] == 1:
            self._start = int(self.public.first_child[self._start])

    def plan(self, sets: tuple[np.ndarray, np.ndarray], state: int) -> SubsetPlan:
        """The plan at a public state for the types of players 1 and 2 still possible."""
        mover = int(self.public.player[state])
        return SubsetPlan(
            self.merged, int(self.merged.node_of_state[state]), sets[mover], sets[1 - mover]
        )

    def cost(self, groups: tuple[int, int] = (1, 1)) -> tuple[int, int]:
        """(bytes, additions) of the largest program, with the types split into groups.

        `groups` as in `revealed_bound`; (1, 1) is the whole game.
        """
        types = self.merged.num_types
        largest = (-(-types[0] // groups[0]), -(-types[1] // groups[1]))
        if self.public.player[self._start] == LEAF:
            return 0, 0
        if max(largest) > _MOST_TYPES:
            return UNTHINKABLE, UNTHINKABLE
        first, second = (np.arange(n) for n in largest)
        plan = self.plan((first, second), self._start)
        return plan.peak_bytes, plan.operations * groups[0] * groups[1]

    def revealed_bound(self, groups: tuple[int, int]) -> float:
        """Optimum if it were public to which group each card belongs; game points.

        Type t of player p is in group `t mod groups[p]`: neighbouring cards, between which it is
        hardest to tell, fall into different groups and the far ones remain together, so that the
        game stays about as hard within a group. (1, 1) gives the optimum itself.
        """
        total = 0
        cells = list(itertools.product(range(groups[0]), range(groups[1])))
        for done, (a, b) in enumerate(cells):
            sets = (
                np.arange(a, self.merged.num_types[0], groups[0]),
                np.arange(b, self.merged.num_types[1], groups[1]),
            )
            total += self._value(sets, done, len(cells))
        return self.merged.in_points(total)

    def _value(self, sets: tuple[np.ndarray, np.ndarray], done: int, cells: int) -> float:
        leaf = self.merged.weight[self.merged.node_of_state[self._start]]
        if leaf is not None:
            own, other = sets if not self.merged.own_of_state[self._start] else sets[::-1]
            return leaf[np.ix_(own, other)].sum()
        return self._run(
            self.plan(sets, self._start),
            lambda share: self._tell("bound", (done + share) / cells),
        )[0]

    def _run(
        self, plan: SubsetPlan, tell: Callable[[float], None] | None
    ) -> tuple[float, np.ndarray]:
        return SubsetProgram(plan).run(
            deadline=self.deadline, on_progress=tell, workers=self.workers
        )

    def _tell(self, what: str, share: float) -> None:
        if self.on_progress is not None:
            self.on_progress(what, share)

    def solve(self) -> tuple[float, TabularPolicy]:
        """The optimum in game points and a pure policy that earns it.

        Raises:
          OutOfTime: the deadline passed.
        """
        public = self.public
        actions = np.zeros(self.tree.num_info_sets, dtype=np.int64)
        everything = (np.arange(self.merged.num_types[0]), np.arange(self.merged.num_types[1]))
        value = self._value_of_leaf_game(everything)
        # Equal futures with equal sets are solved once.
        known: dict[tuple[int, bytes, bytes], np.ndarray] = {}
        waiting = [(0, everything)]
        while waiting:
            state, sets = waiting.pop()
            if public.player[state] == LEAF:
                continue
            first = int(public.first_child[state])
            mover = int(public.player[state])
            if public.num_actions[state] == 1:
                waiting.append((first, sets))
                continue
            own, other = sets[mover], sets[1 - mover]
            name = (int(self.merged.node_of_state[state]), own.tobytes(), other.tobytes())
            if name not in known:
                at_start = state == self._start
                total, known[name] = self._run(
                    self.plan(sets, state),
                    (lambda share: self._tell("optimum", share)) if at_start else None,
                )
                if at_start:
                    value = self.merged.in_points(total)
            chosen = known[name]
            actions[public.first_info_set[state] + own] = chosen
            for action in np.unique(chosen):
                kept = own[chosen == action]
                waiting.append(
                    (first + int(action), (kept, other) if mover == 0 else (other, kept))
                )
        assert value is not None
        return value, pure_policy(self.tree, actions)

    def _value_of_leaf_game(self, sets: tuple[np.ndarray, np.ndarray]) -> float | None:
        """Value of a game in which nobody ever has a choice, else `None`."""
        if self.merged.weight[self.merged.node_of_state[self._start]] is None:
            return None
        return self.merged.in_points(self._value(sets, 0, 1))


def splits(num_types: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Numbers of groups per player, from nothing revealed to all cards open, powers of two."""
    powers = [
        sorted({1, n} | {2**k for k in range(1, n.bit_length()) if 2**k < n}) for n in num_types
    ]
    pairs = [(a, b) for a in powers[0] for b in powers[1]]
    yield from sorted(pairs, key=lambda pair: (pair[0] * pair[1], abs(pair[0] - pair[1])))
