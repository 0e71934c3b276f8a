"""Best chain of a joint policy search, for two players with public actions: the fast route.

In a public tree a chain is a path of public states with one card of the mover at each. Two facts
make one visit cost as much as a handful of additions, however many deals there are:

* All nodes of an information set share the mover's own reach, so
  gain(I, a) = x'_own(I) * sum over h of x'_other(h) chance(h) (v(ha) - v(h)).
* The new x'_other differs from the old one only for *touched* cards: cards of the other player that
  an earlier link of the chain switched to a pure action. There are at most as many as links.

So with the advantages under the old policy, `advantage(I, a)`, computed once per iteration for all
information sets, a visit adds only the corrections of the touched cards. Most visits are those of
the last link of a chain, and most of these end before they begin: no action gains more than the
best one under the old policy, with every touched card paid its best payoff of all.
`jps_chain_general` is the obvious version for any tree; tests hold the two to each other.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from trine.core.errors import DataError
from trine.games.tree import LEAF, Tree


class ChainGame(NamedTuple):
    """What the search reads of a tree; most fields as in `PublicStructure` and `Tree`.

    Attributes:
      player: `[S]`.
      first_child: `[S]`.
      num_actions: `[S]`.
      first_info_set: `[S]`.
      entry_start: `[I + 1]`.
      parent_entry: `[I]`.
      num_types: `[2]`.
      deal_index: `[types of player 0, types of player 1]`.
      chance: `[K]` probability of each deal.
      ends: `[S]` whether all children are leaves.
      payoff_column: `[S]` column of `payoffs` of a leaf.
      payoffs: `[K, M]` different payoffs of leaves; the actions of one deal lie side by side.
      highest: `[K]` highest payoff of each deal.
      lowest: `[K]` lowest.
    """

    player: np.ndarray
    first_child: np.ndarray
    num_actions: np.ndarray
    first_info_set: np.ndarray
    entry_start: np.ndarray
    parent_entry: np.ndarray
    num_types: np.ndarray
    deal_index: np.ndarray
    chance: np.ndarray
    ends: np.ndarray
    payoff_column: np.ndarray
    payoffs: np.ndarray
    highest: np.ndarray
    lowest: np.ndarray


def chain_game(tree: Tree, payoff_column: np.ndarray) -> ChainGame:
    """The arrays of a common-payoff tree.

    Args:
      tree: a two-player game with public actions.
      payoff_column: `[S]` number of each leaf's payoffs among the different ones, -1 elsewhere.

    Raises:
      DataError: the tree has no such structure.
    """
    public = tree.public
    if public is None or public.deal_index is None:
        raise DataError(f"{tree.game_id} is not a two-player game with public actions")
    num_deals = len(public.probability)
    leaf = public.player == LEAF
    inner = np.flatnonzero(~leaf)
    ends = leaf.copy()
    ends[inner] = np.logical_and.reduceat(leaf[1:], public.first_child[inner] - 1)
    _, example = np.unique(payoff_column[leaf], return_index=True)
    example = np.flatnonzero(leaf)[example]
    payoffs = tree.payoff[0, 1:].reshape(-1, num_deals)[example].T.copy()
    return ChainGame(
        public.player, public.first_child, public.num_actions, public.first_info_set,
        tree.entry_start, tree.parent_entry, public.num_types, public.deal_index,
        public.probability, ends, payoff_column, payoffs, payoffs.max(axis=1), payoffs.min(axis=1),
    )  # fmt: skip


class _Touched(NamedTuple):
    """Cards whose play a chain has changed above a link, per link and player.

    Attributes:
      length: `[links + 1, 2]`.
      card: `[links + 1, 2, links]`.
      reach: `[links + 1, 2, links]` new own reach.
      old_reach: `[links + 1, 2, links]`.
    """

    length: np.ndarray
    card: np.ndarray
    reach: np.ndarray
    old_reach: np.ndarray


class _Corrections(NamedTuple):
    """What touched cards add to the gains at a link: weight * (value of the child - value).

    Attributes:
      length: `[links]`.
      deal: `[links, links]`.
      weight: `[links, links]`.
      value: `[links, links]` value of the node under the old policy, game points.
    """

    length: np.ndarray
    deal: np.ndarray
    weight: np.ndarray
    value: np.ndarray


@numba.njit(cache=True, inline="always")
def _deal(game, mover, own_card, other_card):
    if mover == 0:
        return game.deal_index[own_card, other_card]
    return game.deal_index[other_card, own_card]


@numba.njit(cache=True, inline="always")
def _correct(game, values, node_weight, touched, corrections, m, s, c):
    """Note the corrections of link m at (s, c); returns the most they can add to a gain."""
    other = 1 - game.player[s]
    count = 0
    most = 0.0
    for x in range(touched.length[m, other]):
        change = touched.reach[m, other, x] - touched.old_reach[m, other, x]
        k = _deal(game, 1 - other, c, touched.card[m, other, x])
        if k < 0 or change == 0.0:
            continue
        here = 1 + s * len(game.chance) + k
        weight = game.chance[k] * change
        if len(node_weight) > 0:
            weight *= node_weight[here]
        corrections.deal[m, count] = k
        corrections.weight[m, count] = weight
        corrections.value[m, count] = values[here]
        count += 1
        extreme = game.highest[k] if weight > 0.0 else game.lowest[k]
        most += weight * (extreme - values[here])
    corrections.length[m] = count
    return most


@numba.njit(cache=True, inline="always")
def _link_gain(game, values, advantage, corrections, m, entry, child):
    """Gain of link m by one action, before the mover's own reach."""
    total = advantage[entry]
    for x in range(corrections.length[m]):
        k = corrections.deal[m, x]
        if game.player[child] == LEAF:
            value = game.payoffs[k, game.payoff_column[child]]
        else:
            value = values[1 + child * len(game.chance) + k]
        total += corrections.weight[m, x] * (value - corrections.value[m, x])
    return total


@numba.njit(cache=True, inline="always")
def _touch(game, probabilities, reach, touched, m, s, c, a, own):
    """Touched cards below link m, which switches card c at s to action a."""
    i = game.player[s]
    count = 0
    for x in range(touched.length[m, 1 - i]):
        touched.card[m + 1, 1 - i, x] = touched.card[m, 1 - i, x]
        touched.reach[m + 1, 1 - i, x] = touched.reach[m, 1 - i, x]
        touched.old_reach[m + 1, 1 - i, x] = touched.old_reach[m, 1 - i, x]
    touched.length[m + 1, 1 - i] = touched.length[m, 1 - i]
    # Other touched cards of the mover play a with their old probability.
    for x in range(touched.length[m, i]):
        t = touched.card[m, i, x]
        if t != c:
            e = game.entry_start[game.first_info_set[s] + t] + a
            touched.card[m + 1, i, count] = t
            touched.reach[m + 1, i, count] = touched.reach[m, i, x] * probabilities[e]
            touched.old_reach[m + 1, i, count] = reach[e]
            count += 1
    touched.card[m + 1, i, count] = c
    touched.reach[m + 1, i, count] = own
    touched.old_reach[m + 1, i, count] = reach[game.entry_start[game.first_info_set[s] + c] + a]
    touched.length[m + 1, i] = count + 1


@numba.njit(cache=True, inline="always")
def _next_card(game, mover, own_card, other_card):
    """The next card of the other player that the mover's card can meet, -1 if none."""
    for following in range(other_card + 1, game.num_types[1 - mover]):
        if _deal(game, mover, own_card, following) >= 0:
            return following
    return -1


@numba.njit(cache=True)
def best_chain_public(
    start_states, start_cards, max_links, tolerance, generator, game, values, reach, advantage,
    probabilities, node_weight, chain_set, chain_action,
):  # fmt: skip
    """Find the best chain of policy changes over all starting information sets.

    Args:
      start_states: `[N]` public states of the starting information sets.
      start_cards: `[N]` cards of the mover.
      max_links: longest chain.
      tolerance: gains that differ by less are equal, game points.
      generator: picks one of several equal chains, all equally likely.
      game: the tree.
      values: `[H]` node values under the old policy.
      reach: `[E]` own reach of each entry.
      advantage: `[E]` counterfactual advantage of each entry under the old policy.
      probabilities: `[E]` the old policy.
      node_weight: `[H]` 0 or 1 per node, or length 0 when all nodes count (sampling).
      chain_set: `[max_links]` output, information sets of the best chain.
      chain_action: `[max_links]` output, its actions.

    Returns:
      (gain, number of links); (0, 0) stands for the empty chain.
    """
    most_advantage = np.empty(len(game.parent_entry))
    for i in range(len(most_advantage)):
        most_advantage[i] = advantage[game.entry_start[i] : game.entry_start[i + 1]].max()
    # One frame per link: an explicit stack instead of recursion.
    state = np.empty(max_links, dtype=np.int64)
    card = np.empty(max_links, dtype=np.int64)
    action = np.empty(max_links, dtype=np.int64)
    own_reach = np.empty(max_links)
    gain_so_far = np.zeros(max_links + 1)
    next_card = np.empty(max_links, dtype=np.int64)  # which successor to try, at the link below
    touched = _Touched(
        np.zeros((max_links + 1, 2), dtype=np.int64),
        np.empty((max_links + 1, 2, max_links), dtype=np.int64),
        np.empty((max_links + 1, 2, max_links)),
        np.empty((max_links + 1, 2, max_links)),
    )
    corrections = _Corrections(
        np.zeros(max_links, dtype=np.int64),
        np.empty((max_links, max_links), dtype=np.int64),
        np.empty((max_links, max_links)),
        np.empty((max_links, max_links)),
    )
    best_gain = 0.0
    best_links = 0
    ties = 1  # the empty chain

    for n in range(len(start_states)):
        state[0] = start_states[n]
        card[0] = start_cards[n]
        action[0] = -1
        next_card[0] = -1
        above = game.parent_entry[game.first_info_set[state[0]] + card[0]]
        own_reach[0] = 1.0 if above < 0 else reach[above]
        m = 0
        while m >= 0:
            s = state[m]
            i = game.player[s]
            c = card[m]
            # -- 1. the next successor of this link under its present action
            if next_card[m] >= 0:
                child = game.first_child[s] + action[m]
                j = game.player[child]
                c2 = next_card[m]
                next_card[m] = -1 if j == i else _next_card(game, i, c, c2)
                info_set = game.first_info_set[child] + c2
                own = -1.0
                for x in range(touched.length[m + 1, j]):
                    if touched.card[m + 1, j, x] == c2:
                        own = touched.reach[m + 1, j, x]
                if own < 0.0:
                    above = game.parent_entry[info_set]
                    own = 1.0 if above < 0 else reach[above]
                is_last = m + 2 == max_links or game.ends[child]
                # Twice the tolerance leaves room for rounding: what is passed over is no tie.
                if (
                    is_last
                    and own == 0.0
                    and gain_so_far[m + 1] < best_gain - 2.0 * tolerance
                ):  # fmt: skip
                    continue
                most = _correct(game, values, node_weight, touched, corrections, m + 1, child, c2)
                most = gain_so_far[m + 1] + own * (most_advantage[info_set] + most)
                if is_last and most < best_gain - 2.0 * tolerance:
                    continue
                m += 1
                state[m] = child
                card[m] = c2
                action[m] = -1
                next_card[m] = -1
                own_reach[m] = own
                continue
            # -- 2. the next action of this link
            action[m] += 1
            a = action[m]
            if a >= game.num_actions[s]:
                m -= 1
                continue
            child = game.first_child[s] + a
            gain = gain_so_far[m] + own_reach[m] * _link_gain(
                game, values, advantage, corrections, m,
                game.entry_start[game.first_info_set[s] + c] + a, child,
            )  # fmt: skip
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
                    chain_set[link] = game.first_info_set[state[link]] + card[link]
                    chain_action[link] = action[link]
            if m + 1 < max_links and game.player[child] != LEAF:
                gain_so_far[m + 1] = gain
                _touch(game, probabilities, reach, touched, m, s, c, a, own_reach[m])
                next_card[m] = c if game.player[child] == i else _next_card(game, i, c, -1)
    return best_gain, best_links
