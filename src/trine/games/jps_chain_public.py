"""Best chain of a joint policy search, for two players with public actions: the fast route.

In a public tree a chain is a path of public states with one card of the mover at each. Two facts
make one visit cost as much as a handful of additions, however many deals there are:

* All nodes of an information set share the mover's own reach, so
  gain(I, a) = x'_own(I) * sum over h of x'_other(h) chance(h) (v(ha) - v(h)).
* The new x'_other differs from the old one only for *touched* cards: cards of the other player that
  an earlier link of the chain switched to a pure action. There are at most as many as links.

So with the advantages under the old policy, `advantage(I, a)`, computed once per iteration for all
information sets, a visit adds only the corrections of the touched cards. `jps_chain_general` is
the obvious version for any tree; tests hold the two to each other.
"""

from __future__ import annotations

import numba
import numpy as np

from trine.games.tree import LEAF


@numba.njit(cache=True)
def best_chain_public(
    start_states, start_cards, max_links, tolerance, generator, values, reach, advantage,
    probabilities, node_weight, player, first_child, num_actions, first_info_set, entry_start,
    parent_entry, num_types, deal_index, chance, slot_of_state, slot_sequence, chain_set,
    chain_action,
):  # fmt: skip
    """Find the best chain of policy changes over all starting information sets.

    Args:
      start_states: `[N]` public states of the starting information sets.
      start_cards: `[N]` cards of the mover.
      max_links: longest chain.
      tolerance: gains that differ by less are equal, game points.
      generator: picks one of several equal chains, all equally likely.
      values: `[H]` node values under the old policy.
      reach: `[E]` own reach of each entry.
      advantage: `[E]` counterfactual advantage of each entry under the old policy.
      probabilities: `[E]` the old policy.
      node_weight: `[H]` 0 or 1 per node, or length 0 when all nodes count (sampling).
      player: `[S]`, as the next four in `PublicStructure` and `Tree`.
      first_child: `[S]`.
      num_actions: `[S]`.
      first_info_set: `[S]`.
      entry_start: `[I + 1]`.
      parent_entry: `[I]`.
      num_types: `[2]`.
      deal_index: `[types of player 0, types of player 1]`.
      chance: `[K]` probability of each deal.
      slot_of_state: `[S]` first slot of each public state.
      slot_sequence: `[J, 2]` see `Tree`.
      chain_set: `[max_links]` output, information sets of the best chain.
      chain_action: `[max_links]` output, its actions.

    Returns:
      (gain, number of links); (0, 0) stands for the empty chain.
    """
    num_deals = len(chance)
    # One frame per link: an explicit stack instead of recursion.
    state = np.empty(max_links, dtype=np.int64)
    card = np.empty(max_links, dtype=np.int64)
    action = np.empty(max_links, dtype=np.int64)
    own_reach = np.empty(max_links)
    gain_so_far = np.zeros(max_links + 1)
    next_card = np.empty(max_links, dtype=np.int64)  # which successor to try, at the link below
    # Touched cards of both players when a link is chosen: card and its new own reach.
    touched = np.zeros((max_links + 1, 2), dtype=np.int64)
    touched_card = np.empty((max_links + 1, 2, max_links), dtype=np.int64)
    touched_reach = np.empty((max_links + 1, 2, max_links))
    best_gain = 0.0
    best_links = 0
    ties = 1  # the empty chain

    for n in range(len(start_states)):
        state[0] = start_states[n]
        card[0] = start_cards[n]
        action[0] = -1
        above = parent_entry[first_info_set[state[0]] + card[0]]
        own_reach[0] = 1.0 if above < 0 else reach[above]
        m = 0
        while m >= 0:
            s = state[m]
            i = player[s]
            other = 1 - i
            c = card[m]
            # -- 1. if we came back from below with successors left, try the next of them
            if action[m] >= 0 and next_card[m] >= 0:
                child = first_child[s] + action[m]
                c2 = next_card[m]
                if player[child] == i:
                    next_card[m] = -1
                    c2 = c
                else:
                    # the next card of the other player that c can meet
                    following = c2 + 1
                    while following < num_types[other]:
                        k = deal_index[c, following] if i == 0 else deal_index[following, c]
                        if k >= 0:
                            break
                        following += 1
                    next_card[m] = following if following < num_types[other] else -1
                j = player[child]
                state[m + 1] = child
                card[m + 1] = c2
                action[m + 1] = -1
                own = -1.0
                for x in range(touched[m + 1, j]):
                    if touched_card[m + 1, j, x] == c2:
                        own = touched_reach[m + 1, j, x]
                if own < 0.0:
                    above = parent_entry[first_info_set[child] + c2]
                    own = 1.0 if above < 0 else reach[above]
                own_reach[m + 1] = own
                m += 1
                continue
            # -- 2. next action of this link
            action[m] += 1
            a = action[m]
            if a >= num_actions[s]:
                m -= 1
                continue
            info_set = first_info_set[s] + c
            child = first_child[s] + a
            total = advantage[entry_start[info_set] + a]
            for x in range(touched[m, other]):
                c2 = touched_card[m, other, x]
                k = deal_index[c, c2] if i == 0 else deal_index[c2, c]
                if k < 0:
                    continue
                here = 1 + s * num_deals + k
                weight = chance[k]
                if len(node_weight) > 0:
                    weight *= node_weight[here]
                e = slot_sequence[slot_of_state[s] + k, other]
                old = 1.0 if e < 0 else reach[e]
                total += (
                    weight
                    * (touched_reach[m, other, x] - old)
                    * (values[1 + child * num_deals + k] - values[here])
                )
            gain = gain_so_far[m] + own_reach[m] * total
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
                    chain_set[link] = first_info_set[state[link]] + card[link]
                    chain_action[link] = action[link]
            next_card[m] = -1
            if m + 1 < max_links and player[child] != LEAF:
                gain_so_far[m + 1] = gain
                # Touched cards as seen below: this card now plays a for sure, other touched cards
                # of the mover play a with their old probability.
                touched[m + 1, other] = touched[m, other]
                for x in range(touched[m, other]):
                    touched_card[m + 1, other, x] = touched_card[m, other, x]
                    touched_reach[m + 1, other, x] = touched_reach[m, other, x]
                count = 0
                for x in range(touched[m, i]):
                    t = touched_card[m, i, x]
                    if t != c:
                        e = entry_start[first_info_set[s] + t] + a
                        touched_card[m + 1, i, count] = t
                        touched_reach[m + 1, i, count] = touched_reach[m, i, x] * probabilities[e]
                        count += 1
                touched_card[m + 1, i, count] = c
                touched_reach[m + 1, i, count] = own_reach[m]
                touched[m + 1, i] = count + 1
                if player[child] == i:
                    next_card[m] = c
                else:
                    c2 = 0
                    while (deal_index[c, c2] if i == 0 else deal_index[c2, c]) < 0:
                        c2 += 1
                    next_card[m] = c2
    return best_gain, best_links
