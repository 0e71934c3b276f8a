"""Upper bounds that cost one pass: games in which the players know more than they should.

Knowing more never lowers the optimum of a team, since it may ignore what it knows.
"""

from __future__ import annotations

import numba
import numpy as np

from trine.games.tree import CHANCE_NODE, LEAF, Tree


@numba.njit(cache=True)
def _best_below(
    values, first_child, info_set, entry_start, chance_start, chance_probability, stride
):
    chance = len(chance_start) - 2
    for h in range(len(values) - 1, -1, -1):
        i = info_set[h]
        if i == LEAF:
            continue
        child = first_child[h]
        if i == CHANCE_NODE:
            total = 0.0
            for outcome in range(chance_start[chance], chance_start[chance + 1]):
                total += chance_probability[outcome] * values[child]
                child += 1
            chance -= 1
            values[h] = total
        else:
            best = values[child]
            for _ in range(entry_start[i + 1] - entry_start[i]):
                best = max(best, values[child])
                child += stride
            values[h] = best


def clairvoyant_values(tree: Tree) -> np.ndarray:
    """`[H]` best payoff from each node on if all players saw all cards and actions, game points.

    Chance is still not foreseen. The root's value bounds the optimum from above.
    """
    values = tree.payoff[0].copy()
    _best_below(
        values, tree.first_child, tree.info_set, tree.entry_start, tree.chance_start,
        tree.chance_probability, tree.child_stride,
    )  # fmt: skip
    return values
