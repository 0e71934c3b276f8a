"""Optimum of any common-payoff tree as a mixed-integer linear program, solved by HiGHS.

The program works on the sequence form (von Stengel 1996). Binary x(e) says whether entry e, an
action at an information set, and all own actions before it are played; z(h) is the probability of
node h apart from chance.

    maximise    sum over leaves h of chance(h) payoff(h) z(h)
    subject to  sum over actions a of x(I, a) = x(own entry above I), or 1 at the top
                z(root) = 1,    z(child) = z(chance node)
                sum over actions a of z(ha) = z(h)        at every decision node h
                0 <= z(ha) <= x(I(h), a)

With binary x the flow z is forced: where z(h) = 1 every mover on the way plays towards h, exactly
one x(I(h), a) is 1, and conservation sends the whole unit there. So z is the product of the plans
whatever the sign of the payoffs, and the optimum over pure joint plans (which is the optimum over
all joint policies) is found. Any number of players, hidden actions, chance anywhere.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from trine.games.policy import TabularPolicy, pure_policy
from trine.games.traversal import Evaluation
from trine.games.tree import CHANCE_NODE, Tree

_logger = logging.getLogger(__name__)

SOLVER_GAP = 1e-6
"""Gap, relative to the value if that exceeds 1, at which HiGHS calls a solution optimal."""


@dataclass(frozen=True, slots=True)
class MilpResult:
    """Outcome of the program.

    Attributes:
      policy: pure policy of the best plan found, `None` if none was found in time.
      value: its exact expected payoff, game points; minus infinity without a policy.
      upper_bound: no joint policy earns more, game points.
      proved: the solver closed the gap.
    """

    policy: TabularPolicy | None
    value: float
    upper_bound: float
    proved: bool


def leaf_chances(tree: Tree) -> np.ndarray:
    """`[H]` product of the chance probabilities from the root to each node."""
    chance = np.ones(tree.num_states)
    outcome = np.full(tree.num_states, 1.0)
    for c, node in enumerate(tree.chance_node):
        first = tree.first_child[node]
        here = tree.chance_probability[tree.chance_start[c] : tree.chance_start[c + 1]]
        outcome[first : first + len(here)] = here
    for level in range(1, tree.num_levels):
        nodes = slice(tree.level_start[level], tree.level_start[level + 1])
        chance[nodes] = chance[tree.parent[nodes]] * outcome[nodes]
    return chance


def solve_milp(tree: Tree, *, time_limit: float = float("inf")) -> MilpResult:
    """Solve a common-payoff tree.

    Args:
      tree: the game.
      time_limit: seconds for the solver.
    """
    entries, nodes = tree.num_entries, tree.num_states
    rows, lower, upper = _constraints(tree)
    objective = np.concatenate([np.zeros(entries), -leaf_chances(tree) * tree.payoff[0]])
    fixed = np.zeros(entries + nodes)
    fixed[entries] = 1.0  # z(root) is 1
    options: dict[str, object] = {"mip_rel_gap": 0.0, "disp": False}
    if np.isfinite(time_limit):
        options["time_limit"] = max(float(time_limit), 0.01)
    # SciPy's stubs know scalar bounds only.
    outcome = milp(
        objective,
        integrality=np.concatenate([np.ones(entries), np.zeros(nodes)]),
        bounds=Bounds(fixed, np.ones(entries + nodes)),  # pyright: ignore[reportArgumentType]
        constraints=LinearConstraint(rows, lower, upper),  # pyright: ignore[reportArgumentType]
        options=options,
    )
    _logger.debug("HiGHS: %s", outcome.message)
    dual_bound = outcome.mip_dual_bound
    upper_bound = float("inf") if dual_bound is None else -float(dual_bound)
    if outcome.x is None:
        return MilpResult(None, float("-inf"), upper_bound, False)
    policy = pure_policy(tree, _played_actions(tree, outcome.x[:entries]))
    value = Evaluation(tree).update(policy.probabilities)
    scale = max(1.0, abs(value))
    proved = outcome.status == 0 and upper_bound - value <= SOLVER_GAP * scale
    # The solver's bound has its own rounding; a closed gap means the value itself.
    return MilpResult(policy, value, value if proved else upper_bound, proved)


def _constraints(tree: Tree) -> tuple[coo_array, np.ndarray, np.ndarray]:
    """Rows over the columns (x of every entry, z of every node) with their two bounds."""
    entries, sets = tree.num_entries, tree.num_info_sets
    row, column, coefficient = [], [], []
    lower, upper = [], []
    count = 0

    def add(rows: np.ndarray, columns: np.ndarray, value: float) -> None:
        row.append(count + rows)
        column.append(columns)
        coefficient.append(np.full(len(rows), value))

    # One plan per player: sum of x(I, a) = x(above I).
    add(tree.entry_info_set, np.arange(entries), 1.0)
    below = np.flatnonzero(tree.parent_entry >= 0)
    add(below, tree.parent_entry[below], -1.0)
    right = (tree.parent_entry < 0).astype(np.float64)
    lower.append(right)
    upper.append(right)
    count += sets

    # Nodes other than the root, by what their parent is.
    node = np.arange(1, tree.num_states)
    parent = tree.parent[1:]
    after_chance = tree.info_set[parent] == CHANCE_NODE
    child = node[after_chance]
    add(np.arange(len(child)), entries + child, 1.0)
    add(np.arange(len(child)), entries + parent[after_chance], -1.0)
    lower.append(np.zeros(len(child)))
    upper.append(np.zeros(len(child)))
    count += len(child)

    # Conservation at decision nodes.
    child, above = node[~after_chance], parent[~after_chance]
    add(tree.slot_of_node[above], entries + child, 1.0)
    add(np.arange(len(tree.slot_node)), entries + tree.slot_node, -1.0)
    lower.append(np.zeros(len(tree.slot_node)))
    upper.append(np.zeros(len(tree.slot_node)))
    count += len(tree.slot_node)

    # z(ha) <= x(I(h), a).
    action = (child - tree.first_child[above]) // tree.child_stride
    add(np.arange(len(child)), entries + child, 1.0)
    add(np.arange(len(child)), tree.entry_start[tree.info_set[above]] + action, -1.0)
    lower.append(np.full(len(child), -np.inf))
    upper.append(np.zeros(len(child)))
    count += len(child)

    matrix = coo_array(
        (np.concatenate(coefficient), (np.concatenate(row), np.concatenate(column))),
        shape=(count, entries + tree.num_states),
    )
    return matrix, np.concatenate(lower), np.concatenate(upper)


def _played_actions(tree: Tree, plan: np.ndarray) -> np.ndarray:
    """`[I]` the action with the largest x at each information set."""
    best = np.maximum.reduceat(plan, tree.entry_start[:-1])
    is_best = plan == np.repeat(best, np.diff(tree.entry_start))
    position = np.where(is_best, np.arange(tree.num_entries), tree.num_entries)
    return np.minimum.reduceat(position, tree.entry_start[:-1]) - tree.entry_start[:-1]
