"""Best chain of a joint policy search on any tree, any number of players: the obvious route.

For every candidate the new reach of a node is found by climbing to the root, multiplying the old
probabilities and replacing those of *active* information sets (spec of the method, section 2:
"new reach of h when some information sets are switched to a fixed action").
"""

from __future__ import annotations

import numba
import numpy as np

from trine.games.tree import CHANCE_NODE, Tree


def successors(tree: Tree) -> tuple[np.ndarray, np.ndarray]:
    """Next information sets below every entry, chance nodes in between skipped.

    Returns:
      `start [E + 1]` and `sets`: entry e leads to `sets[start[e]:start[e + 1]]`, each once.
    """
    # Nearest decision node or leaf at or below each node would be a list at chance nodes; instead
    # every decision node names the entry above it: the nearest decision ancestor and its action.
    entry_above = np.full(tree.num_states, -1, dtype=np.int64)
    _fill_entry_above(
        tree.parent, tree.first_child, tree.info_set, tree.entry_start, tree.child_stride,
        entry_above,
    )  # fmt: skip
    decision = tree.slot_node[entry_above[tree.slot_node] >= 0]
    pairs = np.unique(
        np.stack([entry_above[decision], tree.info_set[decision].astype(np.int64)], axis=1), axis=0
    )
    counts = np.bincount(pairs[:, 0], minlength=tree.num_entries)
    return np.concatenate([[0], np.cumsum(counts)]), pairs[:, 1].astype(np.int32)


@numba.njit(cache=True)
def _fill_entry_above(parent, first_child, info_set, entry_start, stride, entry_above):
    for h in range(1, len(parent)):
        above = parent[h]
        i = info_set[above]
        if i == CHANCE_NODE:
            entry_above[h] = entry_above[above]
        else:
            entry_above[h] = entry_start[i] + (h - first_child[above]) // stride


@numba.njit(cache=True)
def new_reach(h, chance, active, parent, first_child, info_set, entry_start, probabilities, stride):
    """Reach probability of node h when active information sets play their action for sure."""
    reach = chance
    while parent[h] >= 0:
        above = parent[h]
        i = info_set[above]
        if i != CHANCE_NODE:
            a = (h - first_child[above]) // stride
            if active[i] < 0:
                reach *= probabilities[entry_start[i] + a]
            elif active[i] != a:
                return 0.0
        h = above
    return reach


@numba.njit(cache=True)
def best_chain_general(
    start_sets, max_links, layered, tolerance, generator, values, probabilities, node_weight,
    parent, first_child, info_set, entry_start, stride, set_start, set_slots, slot_node,
    slot_chance, successor_start, successor_sets, chain_set, chain_action,
):  # fmt: skip
    """Find the best chain of policy changes over all starting information sets.

    Args and result as in `jps_chain_public.best_chain_public`; `start_sets` are information sets,
    `layered` says that all nodes of every information set lie on one level: then the links of a
    chain lie ever deeper, and a new one leaves the gains of the earlier ones as they were.
    """
    active = np.full(len(set_start) - 1, -1, dtype=np.int64)
    current = np.empty(max_links, dtype=np.int64)
    action = np.empty(max_links, dtype=np.int64)
    successor = np.empty(max_links, dtype=np.int64)
    gain_so_far = np.zeros(max_links + 1)
    most_nodes = 0
    for i in range(len(set_start) - 1):
        most_nodes = max(most_nodes, set_start[i + 1] - set_start[i])
    reach = np.empty((max_links, most_nodes))
    best_gain = 0.0
    best_links = 0
    ties = 1  # the empty chain
    for n in range(len(start_sets)):
        m = 0
        current[0] = start_sets[n]
        action[0] = -2  # reach not yet computed
        while m >= 0:
            i = current[m]
            first = set_start[i]
            nodes = set_start[i + 1] - first
            if action[m] == -2:
                for x in range(nodes):
                    slot = set_slots[first + x]
                    h = slot_node[slot]
                    r = new_reach(
                        h, slot_chance[slot], active, parent, first_child, info_set, entry_start,
                        probabilities, stride,
                    )  # fmt: skip
                    if len(node_weight) > 0:
                        r *= node_weight[h]
                    reach[m, x] = r
                action[m] = -1
            if action[m] >= 0:
                e = entry_start[i] + action[m]
                if m + 1 < max_links and successor[m] < successor_start[e + 1]:
                    following = successor_sets[successor[m]]
                    successor[m] += 1
                    # Only where sets spread over levels can a chain come back to one of its own.
                    if active[following] < 0:
                        current[m + 1] = following
                        action[m + 1] = -2
                        m += 1
                    continue
            action[m] += 1
            a = action[m]
            if a >= entry_start[i + 1] - entry_start[i]:
                active[i] = -1
                m -= 1
                continue
            active[i] = a
            if layered:
                gain = gain_so_far[m]
                for x in range(nodes):
                    h = slot_node[set_slots[first + x]]
                    gain += reach[m, x] * (values[first_child[h] + a * stride] - values[h])
            else:
                # This link may lie above nodes of earlier ones: their reaches change with it.
                gain = 0.0
                for link in range(m + 1):
                    for x in range(set_start[current[link]], set_start[current[link] + 1]):
                        slot = set_slots[x]
                        h = slot_node[slot]
                        change = values[first_child[h] + action[link] * stride] - values[h]
                        if len(node_weight) > 0:
                            change *= node_weight[h]
                        if change != 0.0:
                            gain += change * new_reach(
                                h, slot_chance[slot], active, parent, first_child, info_set,
                                entry_start, probabilities, stride,
                            )  # fmt: skip
            successor[m] = successor_start[entry_start[i] + a]
            gain_so_far[m + 1] = gain
            take = gain > best_gain + tolerance
            if take:
                ties = 1
            elif gain >= best_gain - tolerance:
                ties += 1
                take = generator.random() * ties < 1.0
            if take:
                best_gain = gain
                best_links = m + 1
                for link in range(m + 1):
                    chain_set[link] = current[link]
                    chain_action[link] = action[link]
    return best_gain, best_links
