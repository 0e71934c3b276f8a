"""The game tree as arrays: built once, read by every method, changed by none.

Nodes stand in level order (the root first, each level contiguous), so that a loop over increasing
indices meets parents before children and a loop over decreasing indices children before parents.
No Python object belongs to a node; a `Tree` costs about `BYTES_PER_STATE` per state while it is
searched (`docs/games/tree.md` has the account).

Letters used for shapes: `H` nodes, `J` decision nodes, `I` information sets, `E` entries (pairs of
information set and action: the length of a policy), `P` players, `U` payoff columns (1 when all
players share one payoff, else `P`), `S` public states, `K` deals.

Two layouts share the same arrays. In a tree of a `Game` the children of a node are neighbours; in a
tree of a `PublicActionGame` node `1 + s*K + k` is public state `s` under deal `k`, and the children
of a node are `K` apart. `first_child[h] + a * child_stride` is the child under the a-th action in
both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from trine.core.errors import DataError
from trine.games.game import Game, PublicActionGame

CHANCE_NODE = -1
"""Mark in `Tree.info_set` of a chance node."""

LEAF = -2
"""Mark in `Tree.info_set` of a leaf."""

BYTES_PER_STATE = 48
"""Upper estimate of memory per state of a two-player tree, working arrays of a search included:
20 fixed (parent, first child, information set, payoff), 24 per decision node (chance reach, two
sequences, slot, grouping), 8 for the values of the policy under search; few states of a large
game are decision nodes and few information sets have more than a handful of states."""

DEFAULT_MEMORY_LIMIT = 8 * 2**30
"""Bytes a tree may take before `build_tree` refuses."""


@dataclass(frozen=True, eq=False)
class PublicStructure:
    """The public tree of a game with one private deal and public actions.

    Attributes:
      cards: `[K, P]` type (card index from 0) of each player in each deal.
      probability: `[K]` chance of each deal.
      num_types: `[P]` number of types of each player.
      deal_index: for two players `[types of player 0, types of player 1]`, the deal with these
        cards or -1; `None` when two deals give the same cards or there are not two players.
      player: `[S]` who moves, `LEAF` at terminal public states.
      first_child: `[S]` first child, -1 at terminal public states; children are neighbours.
      num_actions: `[S]`.
      parent: `[S]`, -1 at the start.
      depth: `[S]` number of actions taken, 0 at the start.
      first_info_set: `[S]` information set of the mover's type 0 (type t is t later), -1 at
        terminal states.
      actions: per public state the action that led to it (`None` at the start).
    """

    cards: np.ndarray
    probability: np.ndarray
    num_types: np.ndarray
    deal_index: np.ndarray | None
    player: np.ndarray
    first_child: np.ndarray
    num_actions: np.ndarray
    parent: np.ndarray
    depth: np.ndarray
    first_info_set: np.ndarray
    actions: list[object]

    def history(self, public_state: int) -> list[object]:
        """Actions from the start to a public state."""
        path: list[object] = []
        while self.parent[public_state] >= 0:
            path.append(self.actions[public_state])
            public_state = int(self.parent[public_state])
        return path[::-1]


@dataclass(frozen=True, eq=False)
class Tree:
    """A finite extensive-form game as arrays. Read-only.

    Attributes:
      game_id: name and size, e.g. `simple-bidding:16`; policies carry it.
      num_players: `P`.
      parent: `[H]` int32, -1 at the root.
      first_child: `[H]` int32, -1 at leaves.
      info_set: `[H]` int32, `CHANCE_NODE` or `LEAF` where nobody decides.
      payoff: `[U, H]` float64 payoffs at leaves, 0 elsewhere, game points.
      child_stride: distance between two children of a decision node (of a chance node: 1).
      level_start: `[levels + 1]` first node of each level.
      chance_node: `[C]` chance nodes in level order.
      chance_start: `[C + 1]` their outcomes' range in `chance_probability`.
      chance_probability: probabilities of the outcomes of all chance nodes.
      slot_node: `[J]` decision nodes in level order; a *slot* is a position in this list.
      slot_chance: `[J]` product of the chance probabilities above the node.
      slot_sequence: `[J, P]` int32, entry of each player's last own action above the node, or -1.
      set_start: `[I + 1]` range of an information set in `set_slots`.
      set_slots: `[J]` slots grouped by information set.
      player: `[I]` int8 who decides.
      entry_start: `[I + 1]` int64, range of an information set's actions in a policy.
      parent_entry: `[I]` int32, the decider's last own entry above the set, or -1.
      info_set_name: information set -> readable label.
      action_name: (information set, action index) -> readable label.
      public: the public structure, where the game has one.
    """

    game_id: str
    num_players: int
    parent: np.ndarray
    first_child: np.ndarray
    info_set: np.ndarray
    payoff: np.ndarray
    child_stride: int
    level_start: np.ndarray
    chance_node: np.ndarray
    chance_start: np.ndarray
    chance_probability: np.ndarray
    slot_node: np.ndarray
    slot_chance: np.ndarray
    slot_sequence: np.ndarray
    set_start: np.ndarray
    set_slots: np.ndarray
    player: np.ndarray
    entry_start: np.ndarray
    parent_entry: np.ndarray
    info_set_name: Callable[[int], str]
    action_name: Callable[[int, int], str]
    public: PublicStructure | None = None

    @property
    def num_states(self) -> int:
        """`H`: histories, chance root and leaves included (column #states of the paper)."""
        return len(self.parent)

    @property
    def num_info_sets(self) -> int:
        """`I`: information sets that carry a decision."""
        return len(self.player)

    @property
    def num_entries(self) -> int:
        """`E`: length of a policy."""
        return int(self.entry_start[-1])

    @property
    def is_common_payoff(self) -> bool:
        """Whether all players share one payoff (a fully cooperative game)."""
        return len(self.payoff) == 1

    @property
    def num_levels(self) -> int:
        """Levels of the tree; the root is level 0, the deepest leaf is at `num_levels - 1`."""
        return len(self.level_start) - 1

    @property
    def nbytes(self) -> int:
        """Bytes held by the arrays."""
        arrays = [v for v in vars(self).values() if isinstance(v, np.ndarray)]
        if self.public is not None:
            arrays += [v for v in vars(self.public).values() if isinstance(v, np.ndarray)]
        return sum(a.nbytes for a in arrays)

    @cached_property
    def entry_info_set(self) -> np.ndarray:
        """`[E]` int32 information set of each entry."""
        return np.repeat(np.arange(self.num_info_sets, dtype=np.int32), np.diff(self.entry_start))

    @cached_property
    def info_set_level(self) -> np.ndarray:
        """`[I]` level of each information set (the highest of its nodes)."""
        first_node = self.slot_node[np.minimum.reduceat(self.set_slots, self.set_start[:-1])]
        return np.searchsorted(self.level_start, first_node, side="right") - 1

    @cached_property
    def is_layered(self) -> bool:
        """Whether all nodes of every information set lie on one level."""
        level = np.searchsorted(self.level_start, self.slot_node, side="right") - 1
        return bool(np.all(level == self.info_set_level[self.info_set[self.slot_node]]))

    @cached_property
    def slot_of_node(self) -> np.ndarray:
        """`[H]` int32 slot of each decision node, -1 elsewhere."""
        slots = np.full(self.num_states, -1, dtype=np.int32)
        slots[self.slot_node] = np.arange(len(self.slot_node), dtype=np.int32)
        return slots

    def num_actions(self, info_set: int) -> int:
        """Number of legal actions at an information set."""
        return int(self.entry_start[info_set + 1] - self.entry_start[info_set])


def check_memory(game_name: str, num_states: int, limit: int) -> None:
    """Refuse a tree that would not fit.

    Raises:
      DataError: `num_states * BYTES_PER_STATE` exceeds `limit` bytes.
    """
    need = num_states * BYTES_PER_STATE
    if need > limit:
        raise DataError(
            f"{game_name} has at least {_readable(num_states)} states, about "
            f"{_readable(-(-need // 2**20))} MiB; the limit is {_readable(limit // 2**20)} MiB; "
            "choose a smaller size or raise the limit "
            "(memory_limit= in Python, --memory-limit on the command line)"
        )


def _readable(number: int) -> str:
    """A whole number of any size; the largest ones fit neither a float nor a line."""
    return f"{number:,}" if number < 10**15 else f"10^{int(math.log10(number))}"


def build_tree(game: Game | PublicActionGame, *, memory_limit: int = DEFAULT_MEMORY_LIMIT) -> Tree:
    """Enumerate a game into arrays.

    Args:
      game: a `PublicActionGame` or a `Game`.
      memory_limit: bytes; a larger tree is refused, before it is built where the game states its
        size, else as soon as the enumeration passes the limit.

    Returns:
      The tree. Its `public` field is set for every `PublicActionGame`; where all players earn the
      same at every leaf it has one payoff column, however the game says it.

    Raises:
      DataError: the game is too large, its chance probabilities do not sum to 1, a payoff is not
        finite, or a player does not have perfect recall.
    """
    estimate = getattr(game, "num_states", None)
    if isinstance(estimate, int):
        check_memory(game.name, estimate, memory_limit)
    # Imported here because both builders need the Tree of this module.
    from trine.games.enumerate_public import enumerate_public
    from trine.games.enumerate_sequential import enumerate_sequential

    if isinstance(game, PublicActionGame):
        tree = enumerate_public(game, memory_limit)
    elif isinstance(game, Game):
        tree = enumerate_sequential(game, memory_limit)
    else:
        raise DataError(
            f"{type(game).__name__} is not a game: it needs the methods of trine.games.Game or "
            "trine.games.PublicActionGame (see docs/games/add-a-game.md)"
        )
    if len(tree.payoff) > 1 and np.all(tree.payoff == tree.payoff[0]):
        return replace(tree, payoff=tree.payoff[:1].copy())
    return tree
