"""Value-change decomposition: what each information set adds to a joint policy change.

Let sigma be a policy with node values v and sigma' another one with reach pi'. With

    c(h)   = ( pi'(h) - pi(h) ) v(h)
    rho(h) = -c(h) + sum over a of c(ha)                     (policy-change density, Def.)
           = pi'(h) ( sum over a of sigma'(a) v(ha)  -  v(h) )

three facts hold (Tian et al. 2020, section 3, Lemma 1 and Theorems 1-2):

* sum rule: the value of sigma' minus that of sigma is the sum of rho over all nodes that are not
  leaves, exactly, however far the policies are apart;
* locality: rho(h) = 0 wherever sigma and sigma' play alike, whatever changed above or below;
* so only the information sets that changed count, each with its own sum over its nodes.

Old values are computed once; a candidate change then costs the new reaches of the changed sets.
`jps` builds on this; here is the decomposition itself, for measuring and for tests.
"""

from __future__ import annotations

import numba
import numpy as np

from trine.core.errors import UsageError
from trine.games.policy import TabularPolicy, check_policy
from trine.games.traversal import Evaluation, fill_sequence_reach
from trine.games.tree import Tree


@numba.njit(cache=True)
def _fill_density(
    density, values, old, new, new_reach, slot_node, slot_chance, slot_sequence, info_set,
    first_child, entry_start, stride,
):  # fmt: skip
    for j in range(len(slot_node)):
        h = slot_node[j]
        reach = slot_chance[j]
        for p in range(slot_sequence.shape[1]):
            if slot_sequence[j, p] >= 0:
                reach *= new_reach[slot_sequence[j, p]]
        i = info_set[h]
        child = first_child[h]
        # v(h) = sum over a of sigma(a) v(ha): written as one sum over sigma' - sigma, which is
        # exactly 0, not nearly, where the policies agree.
        change = 0.0
        for e in range(entry_start[i], entry_start[i + 1]):
            change += (new[e] - old[e]) * values[child]
            child += stride
        density[j] = reach * change


def node_change_density(
    tree: Tree, policy: TabularPolicy, new_policy: TabularPolicy, *, column: int = 0
) -> np.ndarray:
    """Policy-change density rho of every decision node.

    Args:
      tree: any game.
      policy: sigma.
      new_policy: sigma'.
      column: payoff column; 0 in common-payoff games, else the player.

    Returns:
      `[J]` density in slot order (`tree.slot_node`), game points. Chance nodes have none.

    Raises:
      DataError: a policy belongs to another game.
      UsageError: there is no such payoff column.
    """
    check_policy(tree, policy)
    check_policy(tree, new_policy)
    if not 0 <= column < len(tree.payoff):
        raise UsageError(f"payoff column {column}", accepted=f"0 to {len(tree.payoff) - 1}")
    evaluation = Evaluation(tree, column)
    evaluation.update(policy.probabilities)
    new_reach = np.empty(tree.num_entries)
    fill_sequence_reach(tree.entry_start, tree.parent_entry, new_policy.probabilities, new_reach)
    density = np.empty(len(tree.slot_node))
    _fill_density(
        density, evaluation.values, policy.probabilities, new_policy.probabilities, new_reach,
        tree.slot_node, tree.slot_chance, tree.slot_sequence, tree.info_set, tree.first_child,
        tree.entry_start, tree.child_stride,
    )  # fmt: skip
    return density


def policy_change_density(
    tree: Tree, policy: TabularPolicy, new_policy: TabularPolicy, *, column: int = 0
) -> np.ndarray:
    """Contribution of every information set to a joint policy change.

    Args:
      tree: any game.
      policy: sigma.
      new_policy: sigma'.
      column: payoff column; 0 in common-payoff games, else the player.

    Returns:
      `[I]` density, game points; exactly 0 at every set where the policies agree. It sums to the
      expected payoff of `new_policy` minus that of `policy`.

    Raises:
      DataError: a policy belongs to another game.
      UsageError: there is no such payoff column.

    Source: Tian et al. 2020, section 3 (policy-change density).
    """
    of_node = node_change_density(tree, policy, new_policy, column=column)
    set_of_slot = tree.info_set[tree.slot_node]
    return np.bincount(set_of_slot, weights=of_node, minlength=tree.num_info_sets)
