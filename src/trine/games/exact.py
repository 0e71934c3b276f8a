"""Proved optima of cooperative games, or the best bound that time and memory allow.

Three routes, tried in this order by `method="auto"`:

* `bound`: an upper bound from games in which the players know more (`exact_bounds`, and for two
  players `SubsetSolver.revealed_bound`); a policy that reaches it is optimal;
* `subsets`: dynamic programming over pairs of card sets (`exact_subsets`), for two players, one
  deal and public actions; exact in integers where the game's numbers are fractions;
* `milp`: a mixed-integer linear program (`exact_milp`), for any tree.

Whatever route found it, the policy is evaluated on the tree: `ExactResult.value` is what it earns.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from trine.core.errors import UsageError
from trine.games.best import BestSettings, best_search
from trine.games.exact_bounds import clairvoyant_values
from trine.games.exact_merge import can_merge
from trine.games.exact_milp import solve_milp
from trine.games.exact_public import UNTHINKABLE, Progress, SubsetSolver, splits
from trine.games.exact_subsets import OutOfTime
from trine.games.policy import TabularPolicy, check_policy, uniform_policy
from trine.games.traversal import Evaluation
from trine.games.tree import DEFAULT_MEMORY_LIMIT, Tree

Method = Literal["auto", "subsets", "milp", "bound"]

ROUNDING = 1e-9
"""A bound this close to a value, relative to the value if that exceeds 1, is reached."""

LARGEST_MILP = 20_000
"""States above which `auto` does not try the linear program: it would not get past the root."""

_logger = logging.getLogger(__name__)

_ADDITIONS_PER_SECOND = {"int16": 4e9, "int32": 2e9, "float64": 8e8}
"""Of the subset program on one slow core; decides what is tried within a time limit."""

_INCUMBENT_CLIMBS = 500
_INCUMBENT_SEEDS = 4


@dataclass(frozen=True, slots=True)
class ExactResult:
    """Outcome of an exact solution.

    Attributes:
      policy: the best joint policy found; `None` if there is none.
      value: its exact expected payoff, game points; minus infinity without a policy.
      upper_bound: no joint policy earns more, game points.
      proved: whether the value is the optimum (bound and value meet).
      method: the route that closed the gap, or that gave the best bound.
      seconds: wall time.
    """

    policy: TabularPolicy | None
    value: float
    upper_bound: float
    proved: bool
    method: str
    seconds: float


def solve_exact(
    tree: Tree,
    *,
    incumbent: TabularPolicy | None = None,
    method: Method = "auto",
    time_limit: float = 600.0,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
    on_progress: Progress | None = None,
    workers: int = 1,
) -> ExactResult:
    """Find the optimum of a cooperative game and prove it, or bound it.

    Args:
      tree: a game whose players share one payoff.
      incumbent: a good policy if there is one; a bound it reaches proves it optimal.
      method: `auto`, or one route alone.
      time_limit: seconds, checked between steps of a second or so.
      memory_limit: bytes for the tables of `subsets`.
      on_progress: called with (what is being done, share done from 0 to 1).
      workers: threads of `subsets`.

    Raises:
      UsageError: the players' payoffs differ, the method is unknown or does not apply, its tables
        do not fit, or the time limit is not positive.
      DataError: the incumbent belongs to another game.
    """
    if not tree.is_common_payoff:
        raise UsageError(
            f"exact optimum of {tree.game_id}: players have different payoffs",
            accepted="games with one shared payoff",
            hint="use --method cfr or cfr+",
        )
    if method not in get_args(Method):
        raise UsageError.unknown("exact method", method, get_args(Method))
    if not time_limit > 0:
        raise UsageError(f"time limit of {time_limit} s", accepted="more than 0")
    search = _Search(tree, time_limit, memory_limit, on_progress, workers)
    if incumbent is not None:
        check_policy(tree, incumbent)
        search.offer(incumbent, "bound")
    search.bound(float(clairvoyant_values(tree)[0]), "bound")
    if not tree.num_info_sets:
        search.offer(uniform_policy(tree), "bound")
    if search.proved:
        pass
    elif method == "subsets":
        search.subsets(required=True)
    elif method == "milp":
        search.milp()
    elif method == "bound":
        search.revealed()
    else:
        search.auto()
    return search.result()


class _Search:
    """The best policy and the best bound so far, and the steps that improve them."""

    def __init__(
        self,
        tree: Tree,
        time_limit: float,
        memory_limit: int,
        on_progress: Progress | None,
        workers: int,
    ) -> None:
        self.tree = tree
        self.memory_limit = memory_limit
        self.on_progress = on_progress
        self.workers = workers
        self.started = time.monotonic()
        self.deadline = self.started + time_limit
        self.policy: TabularPolicy | None = None
        self.value = float("-inf")
        self.upper_bound = float("inf")
        self.method = "bound"
        self._evaluation = Evaluation(tree)
        self._solver: SubsetSolver | None = None

    @property
    def proved(self) -> bool:
        gap = self.upper_bound - self.value
        return self.policy is not None and gap <= ROUNDING * max(1.0, abs(self.value))

    @property
    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()

    def offer(self, policy: TabularPolicy, method: str) -> None:
        """Keep a policy if it is better than what is there."""
        value = self._evaluation.update(policy.probabilities)
        if value > self.value:
            self.policy, self.value = policy, value
            if self.proved:
                self.method = method

    def bound(self, upper_bound: float, method: str) -> None:
        """Keep an upper bound if it is lower than what is there."""
        if upper_bound < self.upper_bound:
            self.upper_bound, self.method = upper_bound, method

    def result(self) -> ExactResult:
        """What is known now."""
        return ExactResult(
            policy=self.policy,
            value=self.value,
            # Rounding must not leave the bound of an optimum below it.
            upper_bound=max(self.upper_bound, self.value),
            proved=self.proved,
            method=self.method,
            seconds=time.monotonic() - self.started,
        )

    def auto(self) -> None:
        """All routes, cheap ones first, until the gap is closed."""
        for step in (self.subsets, self.improve_incumbent, self.revealed, self.milp_if_small):
            if self.proved or self.seconds_left <= 0:
                return
            step()

    # ---- steps ----------------------------------------------------------------------------------

    def solver(self) -> SubsetSolver:
        """The subset program's view of the tree, merged once."""
        if self._solver is None:
            self._solver = SubsetSolver(
                self.tree, deadline=self.deadline, on_progress=self.on_progress,
                workers=self.workers,
            )  # fmt: skip
        return self._solver

    def _refusal(self, groups: tuple[int, int] = (1, 1)) -> str:
        """Why the subset program does not fit; empty if it does."""
        size, additions = self.solver().cost(groups)
        if size > self.memory_limit:
            if size >= UNTHINKABLE:
                types = max(self.solver().merged.num_types)
                return f"has {types} cards for one player, too many for tables over all their sets"
            limit = self.memory_limit / 2**30
            return f"needs {size / 2**30:,.1f} GiB; the limit is {limit:,.1f} GiB"
        seconds = additions / _ADDITIONS_PER_SECOND[self.solver().merged.dtype.name] / self.workers
        if seconds > self.seconds_left:
            return f"needs about {seconds:,.0f} s; {max(self.seconds_left, 0):,.0f} s are left"
        return ""

    def subsets(self, required: bool = False) -> None:
        """Dynamic programming over pairs of card sets."""
        name = self.tree.game_id
        if not can_merge(self.tree):
            if required:
                raise UsageError(
                    f"exact method subsets on {name}",
                    accepted="games of two players with one deal and public actions",
                    hint="use method milp",
                )
            return
        refusal = self._refusal()
        if refusal and required:
            raise UsageError(
                f"exact method subsets: {name} {refusal}",
                hint="raise memory_limit or time_limit, or use method bound",
            )
        if refusal:
            _logger.info("%s: subsets skipped, the game %s", name, refusal)
            return
        try:
            optimum, policy = self.solver().solve()
        except OutOfTime:
            _logger.info("%s: subsets stopped at the time limit", name)
            return
        self.bound(optimum, "subsets")
        self.offer(policy, "subsets")

    def revealed(self) -> None:
        """Bound from the game with the fewest cards revealed that fits."""
        if not can_merge(self.tree):
            return
        for groups in splits(self.solver().merged.num_types):
            if not self._refusal(groups):
                try:
                    self.bound(self.solver().revealed_bound(groups), "bound")
                except OutOfTime:
                    _logger.info("%s: bound stopped at the time limit", self.tree.game_id)
                return

    def milp(self) -> None:
        """Mixed-integer linear program."""
        if self.on_progress is not None:
            self.on_progress("milp", 0.0)
        outcome = solve_milp(self.tree, time_limit=self.seconds_left)
        if outcome.policy is not None:
            self.offer(outcome.policy, "milp")
        # The solver stops at its own gap: then the best value is the optimum up to that gap.
        self.bound(
            max(outcome.value, self.value) if outcome.proved else outcome.upper_bound, "milp"
        )

    def milp_if_small(self) -> None:
        """The linear program where it has a chance."""
        if self.tree.num_states <= LARGEST_MILP:
            self.milp()
        else:
            _logger.info(
                "%s: milp skipped, %d states are more than %d",
                self.tree.game_id, self.tree.num_states, LARGEST_MILP,
            )  # fmt: skip

    def improve_incumbent(self) -> None:
        """A few short runs of `best_search`."""
        settings = BestSettings(climbs=_INCUMBENT_CLIMBS)
        for seed in range(_INCUMBENT_SEEDS):
            if self.proved or self.seconds_left <= 0:
                return
            found = best_search(
                self.tree, generator=np.random.default_rng(seed), settings=settings,
                stop_at=self.upper_bound,
            )  # fmt: skip
            self.offer(found.policy, "bound")
