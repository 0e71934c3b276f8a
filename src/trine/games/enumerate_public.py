"""Tree of a `PublicActionGame`: the public tree in Python, everything per deal in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine.core.errors import DataError
from trine.games.game import TERMINAL, Deals, PublicActionGame
from trine.games.tree import CHANCE_NODE, LEAF, PublicStructure, Tree, check_memory

PROBABILITY_TOLERANCE = 1e-9


def enumerate_public(game: PublicActionGame, memory_limit: int) -> Tree:
    """Build the arrays of a game with one deal and public actions.

    Args:
      game: the rules.
      memory_limit: bytes the tree may take.

    Raises:
      DataError: the game is too large, its deals are not a probability distribution, or its
        payoffs are not finite or of the wrong shape.
    """
    deals = _checked_deals(game)
    public, states = _public_tree(game, deals, memory_limit)
    return _tree(game, public, states)


def _checked_deals(game: PublicActionGame) -> Deals:
    deals = game.deals()
    cards = np.ascontiguousarray(deals.cards, dtype=np.int32)
    probability = np.ascontiguousarray(deals.probability, dtype=np.float64)
    players = game.num_players
    if cards.ndim != 2 or cards.shape != (len(probability), players) or not len(cards):
        raise DataError(
            f"{game.name}: cards have shape {cards.shape} and probabilities {probability.shape}; "
            f"expected [deals, {players}] and [deals]; check deals()"
        )
    if not np.all(probability > 0) or abs(probability.sum() - 1) > PROBABILITY_TOLERANCE:
        raise DataError(
            f"{game.name}: deal probabilities sum to {probability.sum():.12g} with minimum "
            f"{probability.min():.3g}; they must be positive and sum to 1; check deals()"
        )
    for player in range(players):
        types = np.unique(cards[:, player])
        if types[0] != 0 or types[-1] != len(types) - 1:
            raise DataError(
                f"{game.name}: player {player} holds cards {types.tolist()[:8]}; cards must be "
                "numbered 0, 1, 2, ... without gaps; renumber them in deals()"
            )
    return Deals(cards, probability)


def _public_tree(
    game: PublicActionGame, deals: Deals, memory_limit: int
) -> tuple[PublicStructure, list[Any]]:
    """Enumerate public states breadth first."""
    num_deals = len(deals.probability)
    num_types = deals.cards.max(axis=0) + 1
    states: list[Any] = [game.start()]
    taken: list[object] = [None]
    parent, depth, player, first_child, num_actions = [-1], [0], [], [], []
    for s, state in enumerate(states):  # `states` grows while we walk: a queue in level order
        mover = game.player(state)
        if mover == TERMINAL:
            player.append(LEAF)
            first_child.append(-1)
            num_actions.append(0)
            continue
        if not 0 <= mover < game.num_players:
            raise DataError(
                f"{game.name}: player() returned {mover!r} at {state!r}; expected 0 to "
                f"{game.num_players - 1} or TERMINAL"
            )
        legal = list(game.actions(state))
        if not legal:
            raise DataError(
                f"{game.name}: no action at {state!r}; return at least one or make it TERMINAL"
            )
        player.append(mover)
        first_child.append(len(states))
        num_actions.append(len(legal))
        for action in legal:
            states.append(game.apply(state, action))
            taken.append(action)
            parent.append(s)
            depth.append(depth[s] + 1)
        check_memory(game.name, 1 + len(states) * num_deals, memory_limit)
    movers = np.array(player, dtype=np.int32)
    sets_at = np.where(movers == LEAF, 0, num_types[np.maximum(movers, 0)])
    first_info_set = np.cumsum(sets_at) - sets_at
    public = PublicStructure(
        cards=deals.cards,
        probability=deals.probability,
        num_types=num_types.astype(np.int32),
        deal_index=_deal_index(deals.cards, num_types),
        player=movers,
        first_child=np.array(first_child, dtype=np.int32),
        num_actions=np.array(num_actions, dtype=np.int32),
        parent=np.array(parent, dtype=np.int32),
        depth=np.array(depth, dtype=np.int32),
        first_info_set=np.where(movers == LEAF, -1, first_info_set).astype(np.int32),
        actions=taken,
    )
    return public, states


def _deal_index(cards: np.ndarray, num_types: np.ndarray) -> np.ndarray | None:
    if cards.shape[1] != 2:
        return None
    index = np.full(tuple(num_types), -1, dtype=np.int32)
    index[cards[:, 0], cards[:, 1]] = np.arange(len(cards))
    return index if np.count_nonzero(index >= 0) == len(cards) else None


def _payoffs(game: PublicActionGame, public: PublicStructure, states: list[Any]) -> np.ndarray:
    """`[U, S, K]` payoffs, 0 where the public state is not terminal."""
    num_deals = len(public.probability)
    terminal = np.flatnonzero(public.player == LEAF)
    first = np.asarray(game.payoff(states[terminal[0]], public.cards))
    columns = 1 if first.ndim == 1 else game.num_players
    shape = (num_deals,) if columns == 1 else (num_deals, columns)
    payoff = np.zeros((columns, len(states), num_deals))
    for s in terminal:
        at_leaf = np.asarray(game.payoff(states[s], public.cards), dtype=np.float64)
        if at_leaf.shape != shape:
            raise DataError(
                f"{game.name}: payoff() returned shape {at_leaf.shape} after "
                f"{public.history(int(s))}; expected {shape}"
            )
        payoff[:, s] = at_leaf.T
    if not np.isfinite(payoff).all():
        s = int(np.argwhere(~np.isfinite(payoff))[0][1])
        raise DataError(
            f"{game.name}: payoff after {public.history(s)} is not a finite number; check payoff()"
        )
    return payoff.reshape(columns, -1)


def _tree(game: PublicActionGame, public: PublicStructure, states: list[Any]) -> Tree:
    num_deals, num_states = len(public.probability), len(states)
    num_players = game.num_players
    decision = np.flatnonzero(public.player != LEAF)

    def per_node(of_root: int, of_public: np.ndarray, offset: np.ndarray | int = 0) -> np.ndarray:
        """Spread a per-public-state array over the deals, the root's value in front."""
        nodes = np.empty(1 + num_states * num_deals, dtype=np.int32)
        nodes[0] = of_root
        nodes[1:] = (of_public[:, None] + offset).reshape(-1)
        return nodes

    deal = np.arange(num_deals, dtype=np.int32)
    parent = per_node(0, 1 + public.parent * num_deals, deal)
    parent[1 : 1 + num_deals] = 0
    parent[0] = -1
    first_child = per_node(1, 1 + public.first_child * num_deals, deal)
    info_set = per_node(CHANCE_NODE, np.full(num_states, LEAF, dtype=np.int32), 0 * deal)
    terminal_nodes = per_node(0, (public.player == LEAF).astype(np.int32), 0 * deal).astype(bool)
    first_child[terminal_nodes] = -1

    types = public.cards[:, public.player[decision]].T  # [decision public states, K]
    set_of_slot = public.first_info_set[decision][:, None] + types
    info_set[1:].reshape(num_states, num_deals)[decision] = set_of_slot
    set_of_slot = set_of_slot.reshape(-1)
    slot_node = (1 + decision[:, None] * num_deals + deal).reshape(-1)

    sets_at = public.num_types[public.player[decision]]
    num_actions = np.repeat(public.num_actions[decision], sets_at).astype(np.int64)
    entry_start = np.concatenate([[0], np.cumsum(num_actions)])
    set_start = np.concatenate([[0], np.cumsum(np.bincount(set_of_slot))])

    slot_sequence = _sequences(public, entry_start, decision)
    set_slots = np.argsort(set_of_slot, kind="stable").astype(np.int32)
    player = np.repeat(public.player[decision], sets_at).astype(np.int8)
    first_slot = set_slots[set_start[:-1]]

    _, level_sizes = np.unique(public.depth, return_counts=True)
    payoff = _payoffs(game, public, states)
    return Tree(
        game_id=game.name,
        num_players=num_players,
        parent=parent,
        first_child=first_child,
        info_set=info_set,
        payoff=np.concatenate([np.zeros((len(payoff), 1)), payoff], axis=1),
        child_stride=num_deals,
        level_start=np.concatenate([[0, 1], 1 + np.cumsum(level_sizes) * num_deals]),
        chance_node=np.zeros(1, dtype=np.int32),
        chance_start=np.array([0, num_deals]),
        chance_probability=public.probability,
        slot_node=slot_node.astype(np.int32),
        slot_chance=np.tile(public.probability, len(decision)),
        slot_sequence=slot_sequence,
        set_start=set_start.astype(np.int64),
        set_slots=set_slots,
        player=player,
        entry_start=entry_start,
        parent_entry=slot_sequence[first_slot, player].astype(np.int32),
        info_set_name=_InfoSetNames(game, public, decision),
        action_name=_ActionNames(public, decision),
        public=public,
    )


def _sequences(
    public: PublicStructure, entry_start: np.ndarray, decision: np.ndarray
) -> np.ndarray:
    """`[decision public states * K, P]` entry of each player's last own action, or -1.

    At one public state all types of a player have as many actions, so the entry of type t is
    `base + t * step`; only (base, step) is carried down the public tree.
    """
    num_states, num_players = len(public.player), len(public.num_types)
    base = np.full((num_states, num_players), -1, dtype=np.int64)
    step = np.zeros((num_states, num_players), dtype=np.int64)
    for s in range(1, num_states):
        above = public.parent[s]
        mover = public.player[above]
        base[s], step[s] = base[above], step[above]
        base[s, mover] = entry_start[public.first_info_set[above]] + s - public.first_child[above]
        step[s, mover] = public.num_actions[above]
    sequence = base[decision, None] + step[decision, None] * public.cards[None]
    return sequence.reshape(-1, num_players).astype(np.int32)


class _Names:
    """Readable labels, made when asked for: nothing is stored per information set."""

    def __init__(self, public: PublicStructure, decision: np.ndarray) -> None:
        self.public = public
        self.decision = decision
        self.first = public.first_info_set[decision]

    def public_state(self, info_set: int) -> int:
        return int(self.decision[np.searchsorted(self.first, info_set, side="right") - 1])


class _InfoSetNames(_Names):
    def __init__(
        self, game: PublicActionGame, public: PublicStructure, decision: np.ndarray
    ) -> None:
        super().__init__(public, decision)
        self.card_label = getattr(game, "card_label", lambda player, card: str(card))

    def __call__(self, info_set: int) -> str:
        s = self.public_state(info_set)
        player = int(self.public.player[s])
        card = self.card_label(player, info_set - int(self.public.first_info_set[s]))
        history = " ".join(str(action) for action in self.public.history(s))
        return f"P{player + 1} [{card}] {history}".rstrip()


class _ActionNames(_Names):
    def __call__(self, info_set: int, action: int) -> str:
        s = self.public_state(info_set)
        return str(self.public.actions[int(self.public.first_child[s]) + action])
