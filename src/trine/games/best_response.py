"""Best responses to a fixed joint policy, and the distance from equilibrium they measure.

In a game with perfect recall a player's own past fixes the player's own last entry, so a best
response is found on the player's own sequences instead of on the tree (von Stengel 1996):

1. one pass down: every leaf gives its payoff, weighted by chance and the *other* players, to the
   player's last own entry above it;
2. the player's information sets in reverse order: the best action is the one whose leaves and
   whose best continuations are worth most; that worth goes to the own entry above the set.

No node is visited twice, and nodes of one information set may lie on different levels.

`nash_conv` and `exploitability` are those of OpenSpiel (Lanctot et al. 2019, section 3.2): the sum
of all players' gains from deviating alone, and in constant-sum games its mean over players.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from trine.core.errors import UsageError
from trine.games.policy import TabularPolicy, check_policy
from trine.games.traversal import Evaluation
from trine.games.tree import CHANCE_NODE, LEAF, Tree

_CONSTANT_SUM_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class BestResponse:
    """What one player can do best while all others keep to their policy.

    Attributes:
      policy: the others' policy with this player's information sets replaced by a best response,
        pure; where several actions are best, the first of them. Where the others never come, any
        action is best.
      value: the player's expected payoff under `policy`, game points.
    """

    policy: TabularPolicy
    value: float


@numba.njit(cache=True)
def _leaf_worth(
    worth, others, last_entry, who, probabilities, payoff, parent, first_child, info_set, player,
    entry_start, chance_node, chance_start, chance_probability, stride,
):  # fmt: skip
    """Add every leaf's worth to `worth[last own entry + 1]`; overwrites `others`, `last_entry`."""
    others[0] = 1.0
    last_entry[0] = -1
    chance = -1  # position of the parent in chance_node; parents come in level order
    for h in range(len(parent)):
        if h > 0:
            above = parent[h]
            i = info_set[above]
            others[h] = others[above]
            last_entry[h] = last_entry[above]
            if i == CHANCE_NODE:
                while chance < 0 or chance_node[chance] != above:
                    chance += 1
                others[h] *= chance_probability[chance_start[chance] + h - first_child[above]]
            else:
                e = entry_start[i] + (h - first_child[above]) // stride
                if player[i] == who:
                    last_entry[h] = e
                else:
                    others[h] *= probabilities[e]
        if info_set[h] == LEAF:
            worth[last_entry[h] + 1] += others[h] * payoff[h]


@numba.njit(cache=True)
def _choose(worth, who, player, entry_start, parent_entry, action, precedence):
    """Best action of every set of `who`, last sets first; `worth[0]` becomes the total value.

    Of equal actions the one with the highest `precedence [E]` is taken, then the first.
    """
    for i in range(len(player) - 1, -1, -1):
        if player[i] != who:
            continue
        best = entry_start[i]
        for e in range(entry_start[i] + 1, entry_start[i + 1]):
            equal = worth[e + 1] == worth[best + 1]
            if worth[e + 1] > worth[best + 1] or (equal and precedence[e] > precedence[best]):
                best = e
        action[i] = best - entry_start[i]
        worth[parent_entry[i] + 1] += worth[best + 1]


def best_response(
    tree: Tree,
    policy: TabularPolicy,
    player: int,
    *,
    generator: np.random.Generator | None = None,
) -> BestResponse:
    """The best response of one player.

    Args:
      tree: any game, with any payoffs.
      policy: the joint policy; the player's own part of it is ignored.
      player: who responds, from 0.
      generator: picks one of several best actions; without it the first is taken.

    Raises:
      DataError: the policy belongs to another game.
      UsageError: there is no such player.
    """
    check_policy(tree, policy)
    if not 0 <= player < tree.num_players:
        raise UsageError(f"player {player}", accepted=f"0 to {tree.num_players - 1}")
    payoff = tree.payoff[0 if tree.is_common_payoff else player]
    worth = np.zeros(tree.num_entries + 1)
    _leaf_worth(
        worth, np.empty(tree.num_states), np.empty(tree.num_states, dtype=np.int32), player,
        policy.probabilities, payoff, tree.parent, tree.first_child, tree.info_set, tree.player,
        tree.entry_start, tree.chance_node, tree.chance_start, tree.chance_probability,
        tree.child_stride,
    )  # fmt: skip
    action = np.zeros(tree.num_info_sets, dtype=np.int64)
    precedence = (
        np.zeros(tree.num_entries) if generator is None else generator.random(tree.num_entries)
    )
    _choose(worth, player, tree.player, tree.entry_start, tree.parent_entry, action, precedence)
    probabilities = policy.probabilities.copy()
    own = tree.player == player
    probabilities[own[tree.entry_info_set]] = 0.0
    probabilities[(tree.entry_start[:-1] + action)[own]] = 1.0
    return BestResponse(TabularPolicy(tree.game_id, probabilities), float(worth[0]))


def player_values(tree: Tree, policy: TabularPolicy) -> np.ndarray:
    """`[P]` expected payoff of each player, game points (equal numbers if they share it)."""
    check_policy(tree, policy)
    columns = [Evaluation(tree, u).update(policy.probabilities) for u in range(len(tree.payoff))]
    return np.broadcast_to(np.array(columns), tree.num_players).copy()


def nash_conv(tree: Tree, policy: TabularPolicy) -> float:
    """Sum over players of what each would gain by a best response, game points; 0 in equilibrium.

    In a common-payoff game 0 says that no single player can improve alone; a joint change still
    may, which is the reason for joint policy search.

    Raises:
      DataError: the policy belongs to another game.
    """
    best = [best_response(tree, policy, player).value for player in range(tree.num_players)]
    return float(np.sum(best) - player_values(tree, policy).sum())


def exploitability(tree: Tree, policy: TabularPolicy) -> float:
    """`nash_conv` divided by the number of players, of a constant-sum game, game points.

    Raises:
      DataError: the policy belongs to another game.
      UsageError: the players' payoffs do not add up to the same number at every leaf.
    """
    total = tree.payoff.sum(axis=0)[tree.info_set == LEAF]
    if tree.is_common_payoff or np.ptp(total) > _CONSTANT_SUM_TOLERANCE:
        raise UsageError(
            f"exploitability of {tree.game_id}, whose players' payoffs do not add up to a constant",
            accepted="constant-sum games",
            hint="use nash_conv, which any game has",
        )
    return nash_conv(tree, policy) / tree.num_players
