"""Finds the public structure in a general tree, where there is one.

A game that comes one state at a time (from OpenSpiel, say) may be of the kind that
`PublicActionGame` describes without saying so: chance deals first, and afterwards an information
set tells its player nothing but the own card and the public actions. Rebuilt as a public tree it
gets the fast route of joint policy search and the exact solver.

What is checked, on indices alone:

* every chance node lies above every decision; the nodes right below are the *deals*;
* all deals have the same public tree: after the same actions the same player moves, with the same
  number of actions, or the game is over;
* two deals are in one information set at one public state of a player if and only if they are at
  all public states of this player (they show the same card), and never across public states.

If deals differ in what actions mean or in what is seen of them, some information set splits
differently after that action, and the third condition fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from trine.games.game import TERMINAL, Deals
from trine.games.tree import CHANCE_NODE, LEAF, Tree, build_tree

PUBLIC_SUFFIX = "+public"
"""Ends the `game_id` of a rebuilt tree: its information sets come in another order."""

History = tuple[int, ...]


def as_public_tree(tree: Tree, *, memory_limit: int | None = None) -> Tree | None:
    """Rebuild a general tree as a public one.

    Args:
      tree: any tree.
      memory_limit: bytes the new tree may take; no limit by default, as it is no larger than the
        old one.

    Returns:
      An equivalent tree with `public` set and the labels of the old one, or `None` if the game is
      not of the kind. `public.probability[k]` belongs to the k-th deal of `deal_nodes`.
    """
    if tree.public is not None:
        return tree
    game = _public_game(tree)
    if game is None:
        return None
    rebuilt = build_tree(game, memory_limit=memory_limit or 2**62)
    return replace(rebuilt, **_labels(tree, rebuilt, game))


def deal_nodes(tree: Tree) -> np.ndarray:
    """`[K]` nodes right below the leading chance nodes, in level order."""
    chance = tree.info_set == CHANCE_NODE
    below = np.flatnonzero(~chance)
    below = below[(below == 0) | chance[tree.parent[below]]]
    return below


class _PublicView:
    """A `PublicActionGame` that reads a general tree: a public state is its history of indices."""

    def __init__(
        self,
        tree: Tree,
        nodes: dict[History, np.ndarray],
        movers: dict[History, int],
        deals: Deals,
    ) -> None:
        self.name = tree.game_id + PUBLIC_SUFFIX
        self.num_players = tree.num_players
        self.tree = tree
        self.nodes = nodes
        self.movers = movers
        self._deals = deals

    def deals(self) -> Deals:
        return self._deals

    def start(self) -> History:
        return ()

    def player(self, public_state: History) -> int:
        return self.movers[public_state]

    def actions(self, public_state: History) -> range:
        return range(self.tree.num_actions(int(self.tree.info_set[self.nodes[public_state][0]])))

    def apply(self, public_state: History, action: int) -> History:
        return (*public_state, action)

    def payoff(self, public_state: History, cards: np.ndarray) -> np.ndarray:
        payoff = self.tree.payoff[:, self.nodes[public_state]]
        return payoff[0] if self.tree.is_common_payoff else payoff.T


def _public_game(tree: Tree) -> _PublicView | None:
    deals = deal_nodes(tree)
    chance = tree.chance_node[tree.chance_node > 0]
    if np.any(tree.info_set[tree.parent[chance]] != CHANCE_NODE):
        return None
    if np.any(tree.info_set[deals] == LEAF):
        return None
    nodes: dict[History, np.ndarray] = {}
    movers: dict[History, int] = {}
    card_of: dict[int, np.ndarray] = {}  # player -> card in each deal
    seen = np.zeros(tree.num_info_sets, dtype=bool)
    queue: list[tuple[History, np.ndarray]] = [((), deals)]
    for history, here in queue:  # grows while we walk
        nodes[history] = here
        sets = tree.info_set[here]
        if np.all(sets == LEAF):
            movers[history] = TERMINAL
            continue
        if np.any(sets == LEAF):
            return None
        players = tree.player[sets]
        actions = tree.entry_start[sets + 1] - tree.entry_start[sets]
        mover, distinct = int(players[0]), np.unique(sets)
        if np.any(players != mover) or np.any(actions != actions[0]) or np.any(seen[distinct]):
            return None
        seen[distinct] = True
        # Cards are numbered in the order in which the first public state of the player meets them.
        card = _renumbered(sets)
        if not np.array_equal(card_of.setdefault(mover, card), card):
            return None
        movers[history] = mover
        for a in range(int(actions[0])):
            queue.append(((*history, a), tree.first_child[here] + a * tree.child_stride))
    cards = np.zeros((len(deals), tree.num_players), dtype=np.int32)
    for player, card in card_of.items():
        cards[:, player] = card
    # All nodes right below chance are decision nodes, and these know their chance.
    return _PublicView(
        tree, nodes, movers, Deals(cards, tree.slot_chance[tree.slot_of_node[deals]])
    )


def _renumbered(values: np.ndarray) -> np.ndarray:
    """The same partition with parts numbered 0, 1, ... in order of appearance."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return rank[inverse]


def _labels(tree: Tree, rebuilt: Tree, game: _PublicView) -> dict[str, Callable[..., str]]:
    """The old labels by the new numbers of information sets."""
    public = rebuilt.public
    assert public is not None
    old = np.empty(rebuilt.num_info_sets, dtype=np.int32)
    for s in np.flatnonzero(public.player != LEAF):
        here = game.nodes[tuple(public.history(int(s)))]  # pyright: ignore[reportArgumentType]  # our own actions are indices
        old[public.first_info_set[s] + public.cards[:, public.player[s]]] = tree.info_set[here]
    return {
        "info_set_name": lambda i: tree.info_set_name(int(old[i])),
        "action_name": lambda i, a: tree.action_name(int(old[i]), a),
    }
