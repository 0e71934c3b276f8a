"""Local search over pure joint policies of a two-player game with public actions.

Two moves, repeated until neither gains anything:

* *best response*: all decisions of one player at once, against the partner's present policy;
* *deviation with a fan of replies*: one player changes, with one card at one public state, the
  action (and the player's own actions right after it, if the partner does not speak in between);
  then **every** card of the partner replies as suits it best.

The second move is a chain of joint policy search with its last link opened into a fan. Replies of
different cards lie in information sets none of which is above another, so by the decomposition
of the value change (`density`) their gains add up, and the best fan is found card by card.

Only public states that the policy reaches matter to a deviation, and only those that the
partner's policy lets through matter to a best response, so both passes skip most of the tree.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from trine.core.errors import DataError
from trine.games.tree import LEAF, Tree

TIE_TOLERANCE = 1e-12
"""Values that differ by less are equal, game points."""


class PublicArrays(NamedTuple):
    """What the kernels read of a tree; fields as in `PublicStructure` and `Tree`.

    Attributes:
      highest: `[K]` highest payoff of each deal, game points.
    """

    player: np.ndarray
    first_child: np.ndarray
    num_actions: np.ndarray
    first_info_set: np.ndarray
    num_types: np.ndarray
    deal_index: np.ndarray
    chance: np.ndarray
    highest: np.ndarray


def public_arrays(tree: Tree) -> PublicArrays:
    """The arrays of a two-player tree with public actions.

    Raises:
      DataError: the tree has no such structure.
    """
    public = tree.public
    if public is None or public.deal_index is None:
        raise DataError(f"{tree.game_id} is not a two-player game with public actions")
    # Where somebody moves the payoffs are 0, which can only make the bound looser.
    highest = tree.payoff[0, 1:].reshape(-1, len(public.probability)).max(axis=0)
    return PublicArrays(
        public.player, public.first_child, public.num_actions, public.first_info_set,
        public.num_types, public.deal_index, public.probability, highest,
    )  # fmt: skip


@numba.njit(cache=True, inline="always")
def _deal(game, mover, own_card, other_card):
    if mover == 0:
        return game.deal_index[own_card, other_card]
    return game.deal_index[other_card, own_card]


@numba.njit(cache=True)
def pure_values(game, cards, actions, values):
    """Fill `[H]` values under a pure policy, `actions [I]`; returns the value of the root."""
    num_deals = len(game.chance)
    for s in range(len(game.player) - 1, -1, -1):
        i = game.player[s]
        if i == LEAF:
            continue
        here = 1 + s * num_deals
        first, child = game.first_info_set[s], game.first_child[s]
        for k in range(num_deals):
            values[here + k] = values[1 + (child + actions[first + cards[k, i]]) * num_deals + k]
    total = 0.0
    for k in range(num_deals):
        total += game.chance[k] * values[1 + k]
    values[0] = total
    return total


@numba.njit(cache=True)
def best_response_in_place(game, me, actions, values, queue, alive, generator):
    """Give player `me` a best response to the partner's pure policy.

    Args:
      game: the arrays.
      me: the player.
      actions: `[I]` pure policy; changed at the information sets the partner lets through.
      values: `[H]` overwritten where the pass goes; leaves are read.
      queue: `[S]` scratch.
      alive: `[S, most types]` scratch, which partner cards reach a public state.
      generator: picks one of several best actions.

    Returns:
      The value of the new joint policy.
    """
    num_deals = len(game.chance)
    partner = 1 - me
    cards, partner_cards = game.num_types[me], game.num_types[partner]
    queue[0] = 0
    alive[0, :partner_cards] = True
    length = 1
    at = 0
    while at < length:
        s = queue[at]
        at += 1
        if game.player[s] == LEAF:
            continue
        child = game.first_child[s]
        for a in range(game.num_actions[s]):
            if game.player[s] == me:
                for c in range(partner_cards):
                    alive[child + a, c] = alive[s, c]
                queue[length] = child + a
                length += 1
            else:
                some = False
                for c in range(partner_cards):
                    through = alive[s, c] and actions[game.first_info_set[s] + c] == a
                    alive[child + a, c] = through
                    some = some or through
                if some:
                    queue[length] = child + a
                    length += 1
    for at in range(length - 1, -1, -1):
        s = queue[at]
        if game.player[s] == LEAF:
            continue
        here = 1 + s * num_deals
        first, child = game.first_info_set[s], game.first_child[s]
        if game.player[s] == partner:
            for c in range(partner_cards):
                if alive[s, c]:
                    there = 1 + (child + actions[first + c]) * num_deals
                    for t in range(cards):
                        k = _deal(game, me, t, c)
                        if k >= 0:
                            values[here + k] = values[there + k]
            continue
        for t in range(cards):
            best, best_action, ties = -np.inf, 0, 0
            for a in range(game.num_actions[s]):
                there = 1 + (child + a) * num_deals
                total = 0.0
                for c in range(partner_cards):
                    if alive[s, c]:
                        k = _deal(game, me, t, c)
                        if k >= 0:
                            total += game.chance[k] * values[there + k]
                if total > best + TIE_TOLERANCE:
                    best, best_action, ties = total, a, 1
                elif total >= best - TIE_TOLERANCE:
                    ties += 1
                    if generator.random() * ties < 1.0:
                        best_action = a
            actions[first + t] = best_action
            there = 1 + (child + best_action) * num_deals
            for c in range(partner_cards):
                if alive[s, c]:
                    k = _deal(game, me, t, c)
                    if k >= 0:
                        values[here + k] = values[there + k]
    total = 0.0
    for k in range(num_deals):
        total += game.chance[k] * values[1 + k]
    return total


@numba.njit(cache=True)
def reached_states(game, actions, queue, alive):
    """Public states that a pure policy reaches, and with which cards.

    Args:
      game: the arrays.
      actions: `[I]` pure policy.
      queue: `[S]` output, reached public states in level order.
      alive: `[2, S, most types]` output, which cards of each player reach them.

    Returns:
      How many states are reached.
    """
    queue[0] = 0
    for p in range(2):
        alive[p, 0, : game.num_types[p]] = True
    length = 1
    at = 0
    while at < length:
        s = queue[at]
        at += 1
        i = game.player[s]
        if i == LEAF:
            continue
        for a in range(game.num_actions[s]):
            u = game.first_child[s] + a
            some = False
            for t in range(game.num_types[i]):
                plays = alive[i, s, t] and actions[game.first_info_set[s] + t] == a
                alive[i, u, t] = plays
                some = some or plays
            if some:
                for t in range(game.num_types[1 - i]):
                    alive[1 - i, u, t] = alive[1 - i, s, t]
                queue[length] = u
                length += 1
    return length


@numba.njit(cache=True)
def _reply(game, i, arriving, partner_card, u, actions, values):
    """Best action of one partner card at u, where these cards of player i now arrive.

    Returns:
      (gain over the present action, action).
    """
    num_deals = len(game.chance)
    here = 1 + u * num_deals
    best, best_action = 0.0, actions[game.first_info_set[u] + partner_card]
    for b in range(game.num_actions[u]):
        there = 1 + (game.first_child[u] + b) * num_deals
        total = 0.0
        for x in arriving:
            k = _deal(game, i, x, partner_card)
            if k >= 0:
                total += game.chance[k] * (values[there + k] - values[here + k])
        if total > best + TIE_TOLERANCE:
            best, best_action = total, b
    return best, best_action


@numba.njit(cache=True, inline="always")
def _highest_gain(game, i, arriving, partner_alive, u, values):
    """The most that replies of all partner cards at u can gain together."""
    here = 1 + u * len(game.chance)
    total = 0.0
    for c in range(game.num_types[1 - i]):
        if partner_alive[c]:
            for x in arriving:
                k = _deal(game, i, x, c)
                if k >= 0:
                    total += game.chance[k] * (game.highest[k] - values[here + k])
    return total


@numba.njit(cache=True)
def _who_follow(before, count, actions, first_info_set, action, after):
    """Cards that go on with the first one by an action of their own; returns how many.

    The first card of `before` is the one that deviates: it follows whatever it played so far.
    """
    after[0] = before[0]
    following = 1
    for n in range(1, count):
        if actions[first_info_set + before[n]] == action:
            after[following] = before[n]
            following += 1
    return following


@numba.njit(cache=True)
def best_deviation(
    game, actions, values, queue, reached, alive, companion, path_action, best_path, generator
):
    """The deviation of one card that gains most, all partner cards replying.

    Args:
      game: the arrays.
      actions: `[I]` pure policy.
      values: `[H]` its values, of all nodes.
      queue: `[S]` public states it reaches, `reached` of them.
      reached: see `queue`.
      alive: `[2, S, most types]` cards that reach them.
      companion: `[levels, most types]` int64 scratch.
      path_action: `[levels]` scratch.
      best_path: `[levels]` output, actions of the deviating card from its public state on.
      generator: picks one of several equal deviations.

    Returns:
      (gain, public state, card, length of `best_path`); gain 0 if there is none.
    """
    num_deals = len(game.chance)
    best, best_state, best_card, best_length, ties = TIE_TOLERANCE, -1, -1, 0, 0
    path_state = np.empty(len(path_action) + 1, dtype=np.int64)
    count = np.empty(len(companion), dtype=np.int64)
    for at in range(reached):
        s = queue[at]
        i = game.player[s]
        if i == LEAF:
            continue
        partner = 1 - i
        here = 1 + s * num_deals
        for t in range(game.num_types[i]):
            if not alive[i, s, t]:
                continue
            # Row d of `companion`: cards that come along to `path_state[d]`, t in front.
            companion[0, 0] = t
            count[0] = 1
            for x in range(game.num_types[i]):
                if x != t and alive[i, s, x]:
                    companion[0, count[0]] = x
                    count[0] += 1
            depth = 0
            path_state[0] = s
            path_action[0] = -1
            while depth >= 0:
                v = path_state[depth]
                path_action[depth] += 1
                a = path_action[depth]
                if a >= game.num_actions[v]:
                    depth -= 1
                    continue
                u = game.first_child[v] + a
                if game.player[u] != LEAF:
                    count[depth + 1] = _who_follow(
                        companion[depth], count[depth], actions, game.first_info_set[v], a,
                        companion[depth + 1],
                    )  # fmt: skip
                if game.player[u] == i:
                    depth += 1
                    path_state[depth] = u
                    path_action[depth] = -1
                    continue
                there = 1 + u * num_deals
                gain = 0.0
                for c in range(game.num_types[partner]):
                    if alive[partner, s, c]:
                        k = _deal(game, i, t, c)
                        if k >= 0:
                            gain += game.chance[k] * (values[there + k] - values[here + k])
                if game.player[u] == partner:
                    arriving = companion[depth + 1, : count[depth + 1]]
                    # Replies earn each deal its best payoff at most. What cannot reach `best` even
                    # so is neither taken nor a tie; the margin is for rounding.
                    most = gain + _highest_gain(game, i, arriving, alive[partner, s], u, values)
                    if most < best - 2 * TIE_TOLERANCE or (ties == 0 and most <= best):
                        continue
                    for c in range(game.num_types[partner]):
                        if alive[partner, s, c]:
                            gain += _reply(game, i, arriving, c, u, actions, values)[0]
                if gain > best + TIE_TOLERANCE:
                    take, ties = True, 1
                elif gain >= best - TIE_TOLERANCE and ties > 0:
                    ties += 1
                    take = generator.random() * ties < 1.0
                else:
                    take = False
                if take:
                    best, best_state, best_card, best_length = gain, s, t, depth + 1
                    best_path[: depth + 1] = path_action[: depth + 1]
    if best_state < 0:
        return 0.0, -1, -1, 0
    return best, best_state, best_card, best_length


@numba.njit(cache=True)
def apply_deviation(game, actions, values, alive, companion, state, card, path, length):
    """Change `actions` by a deviation found by `best_deviation` and by the partner's replies."""
    i = game.player[state]
    partner = 1 - i
    companion[0, 0] = card
    count = 1
    for x in range(game.num_types[i]):
        if x != card and alive[i, state, x]:
            companion[0, count] = x
            count += 1
    u = state
    for link in range(length):
        first = game.first_info_set[u]
        count = _who_follow(companion[0], count, actions, first, path[link], companion[0])
        actions[first + card] = path[link]
        u = game.first_child[u] + path[link]
    if game.player[u] == partner:
        for c in range(game.num_types[partner]):
            if alive[partner, state, c]:
                actions[game.first_info_set[u] + c] = _reply(
                    game, i, companion[0, :count], c, u, actions, values
                )[1]


@numba.njit(cache=True)
def climb(
    game, cards, actions, values, queue, alive, companion, path_action, best_path, use_fan,
    generator,
):  # fmt: skip
    """Best responses and deviations until neither gains anything, in place.

    Args:
      game: the arrays.
      cards: `[K, 2]` card of each player in each deal.
      actions: `[I]` pure policy, changed in place.
      values: `[H]` scratch with the leaves filled in.
      queue: `[S]` scratch.
      alive: `[2, S, most types]` scratch.
      companion: `[levels, most types]` int64 scratch.
      path_action: `[levels]` scratch.
      best_path: `[levels]` scratch.
      use_fan: whether to use deviations (else best responses only: for ablation).
      generator: breaks ties.

    Returns:
      The value reached, game points.
    """
    value = -np.inf
    while True:
        me = 0 if generator.random() < 0.5 else 1
        stale = 0
        while stale < 2:
            response = best_response_in_place(game, me, actions, values, queue, alive[0], generator)
            stale = 0 if response > value + TIE_TOLERANCE else stale + 1
            value = response
            me = 1 - me
        if not use_fan:
            return value
        pure_values(game, cards, actions, values)
        reached = reached_states(game, actions, queue, alive)
        _, state, card, length = best_deviation(
            game, actions, values, queue, reached, alive, companion, path_action, best_path,
            generator,
        )  # fmt: skip
        if state < 0:
            return value
        apply_deviation(game, actions, values, alive, companion, state, card, best_path, length)
