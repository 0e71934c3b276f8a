"""Tree of a `Game`: breadth-first enumeration, one state at a time."""

from __future__ import annotations

import math
from array import array
from collections.abc import Hashable
from typing import Any

import numpy as np

from trine.core.errors import DataError
from trine.games.game import CHANCE, TERMINAL, Game
from trine.games.tree import CHANCE_NODE, LEAF, Tree, check_memory

PROBABILITY_TOLERANCE = 1e-9
_CHECK_EVERY = 2**14


def enumerate_sequential(game: Game, memory_limit: int) -> Tree:
    """Build the arrays of any finite extensive-form game.

    Args:
      game: the rules.
      memory_limit: bytes the tree may take.

    Raises:
      DataError: the game is too large, chance probabilities do not sum to 1, a payoff is not
        finite, players or actions differ within an information set, or a player does not have
        perfect recall.
    """
    return _Enumeration(game, memory_limit).run()


class _Enumeration:
    """The growing arrays of one enumeration."""

    def __init__(self, game: Game, memory_limit: int) -> None:
        self.game = game
        self.memory_limit = memory_limit
        self.num_players = game.num_players
        # per node
        self.parent = array("i", [-1])
        self.first_child = array("i")
        self.info_set = array("i")
        self.leaves = array("i")
        self.leaf_payoffs = array("d")
        self.payoff_columns = 0
        # per chance node
        self.chance_node = array("i")
        self.chance_start = array("q", [0])
        self.chance_probability = array("d")
        # per decision node
        self.slot_node = array("i")
        self.slot_chance = array("d")
        self.slot_sequence = array("i")
        # per information set
        self.index_of_key: dict[Hashable, int] = {}
        self.keys: list[Hashable] = []
        self.actions: list[tuple[Hashable, ...]] = []
        self.player = array("b")
        self.entry_start = array("q", [0])
        self.parent_entry = array("i")
        self.level_start = [0]

    def run(self) -> Tree:
        # A level holds (state, chance reach, last own entry of each player) of its nodes.
        level: list[tuple[Any, float, tuple[int, ...]]] = [
            (self.game.root(), 1.0, (-1,) * self.num_players)
        ]
        node = 0
        while level:
            below: list[tuple[Any, float, tuple[int, ...]]] = []
            end = node + len(level)
            for state, chance, sequence in level:
                self.first_child.append(end + len(below))
                below += self._expand(node, state, chance, sequence)
                if not node % _CHECK_EVERY:
                    check_memory(self.game.name, end + len(below), self.memory_limit)
                node += 1
            self.level_start.append(end)
            level = below
        check_memory(self.game.name, node, self.memory_limit)
        return self._tree()

    def _expand(
        self, node: int, state: Any, chance: float, sequence: tuple[int, ...]
    ) -> list[tuple[Any, float, tuple[int, ...]]]:
        """Record one node; return its children."""
        player = self.game.player(state)
        if player == TERMINAL:
            self._add_leaf(node, state)
            return []
        if player == CHANCE:
            outcomes = self._add_chance(node, state)
            self.parent.extend([node] * len(outcomes))
            return [
                (self.game.apply(state, outcome), chance * probability, sequence)
                for outcome, probability in outcomes
            ]
        legal = tuple(self.game.actions(state))
        first_entry = self._add_decision(node, state, player, legal, chance, sequence)
        self.parent.extend([node] * len(legal))
        return [
            (
                self.game.apply(state, action),
                chance,
                (*sequence[:player], first_entry + a, *sequence[player + 1 :]),
            )
            for a, action in enumerate(legal)
        ]

    def _add_leaf(self, node: int, state: Any) -> None:
        self.first_child[-1] = -1
        self.info_set.append(LEAF)
        payoff = self.game.payoff(state)
        values = [float(payoff)] if isinstance(payoff, int | float) else [float(x) for x in payoff]
        self.payoff_columns = self.payoff_columns or len(values)
        if len(values) != self.payoff_columns or len(values) not in (1, self.num_players):
            raise DataError(
                f"{self.game.name}: payoff() returned {len(values)} numbers at {state!r}; expected "
                f"one shared payoff everywhere or {self.num_players}, one per player, everywhere"
            )
        if not all(math.isfinite(value) for value in values):
            raise DataError(
                f"{self.game.name}: payoff at {state!r} is {payoff!r}, not a finite number; "
                "check payoff()"
            )
        self.leaves.append(node)
        self.leaf_payoffs.extend(values)

    def _add_chance(self, node: int, state: Any) -> list[tuple[Any, float]]:
        self.info_set.append(CHANCE_NODE)
        outcomes = [(outcome, float(p)) for outcome, p in self.game.chance(state)]
        total = math.fsum(p for _, p in outcomes)
        if abs(total - 1) > PROBABILITY_TOLERANCE or any(p < 0 for _, p in outcomes):
            raise DataError(
                f"{self.game.name}: chance probabilities at {state!r} sum to {total:.12g}; they "
                "must be non-negative and sum to 1; check chance()"
            )
        # Impossible outcomes would only add unreachable nodes to every pass.
        outcomes = [(outcome, p) for outcome, p in outcomes if p > 0]
        self.chance_node.append(node)
        self.chance_probability.extend(p for _, p in outcomes)
        self.chance_start.append(len(self.chance_probability))
        return outcomes

    def _add_decision(
        self,
        node: int,
        state: Any,
        player: int,
        legal: tuple[Hashable, ...],
        chance: float,
        sequence: tuple[int, ...],
    ) -> int:
        name = self.game.name
        if not 0 <= player < self.num_players or not legal:
            raise DataError(
                f"{name}: state {state!r} has player {player!r} and {len(legal)} actions; expected "
                f"a player from 0 to {self.num_players - 1} with at least one action, CHANCE, or "
                "TERMINAL"
            )
        key = (player, self.game.info_set(state))
        index = self.index_of_key.setdefault(key, len(self.keys))
        if index == len(self.keys):
            self.keys.append(key[1])
            self.actions.append(legal)
            self.player.append(player)
            self.parent_entry.append(sequence[player])
            self.entry_start.append(self.entry_start[-1] + len(legal))
        elif self.actions[index] != legal:
            raise DataError(
                f"{name}: information set {key[1]!r} has actions {self.actions[index]} at one "
                f"state and {legal} at another; states a player cannot tell apart must offer the "
                "same actions; put what differs into info_set()"
            )
        elif self.parent_entry[index] != sequence[player]:
            raise DataError(
                f"{name}: imperfect recall: player {player + 1} reaches information set "
                f"{key[1]!r} along different own histories; Trine needs perfect recall; put the "
                "player's own past actions and observations into info_set()"
            )
        self.info_set.append(index)
        self.slot_node.append(node)
        self.slot_chance.append(chance)
        self.slot_sequence.extend(sequence)
        return self.entry_start[index]

    def _tree(self) -> Tree:
        info_set = np.array(self.info_set, dtype=np.int32)
        slot_node = np.array(self.slot_node, dtype=np.int32)
        set_of_slot = info_set[slot_node]
        num_sets = len(self.keys)
        columns = self.payoff_columns
        payoff = np.zeros((columns, len(info_set)))
        payoff[:, np.array(self.leaves)] = np.array(self.leaf_payoffs).reshape(-1, columns).T
        set_start = np.concatenate([[0], np.cumsum(np.bincount(set_of_slot, minlength=num_sets))])
        keys, actions = self.keys, self.actions
        label = getattr(self.game, "info_set_label", str)
        players = np.array(self.player, dtype=np.int8)
        return Tree(
            game_id=self.game.name,
            num_players=self.num_players,
            parent=np.array(self.parent, dtype=np.int32),
            first_child=np.array(self.first_child, dtype=np.int32),
            info_set=info_set,
            payoff=payoff,
            child_stride=1,
            level_start=np.array(self.level_start, dtype=np.int64),
            chance_node=np.array(self.chance_node, dtype=np.int32),
            chance_start=np.array(self.chance_start, dtype=np.int64),
            chance_probability=np.array(self.chance_probability, dtype=np.float64),
            slot_node=slot_node,
            slot_chance=np.array(self.slot_chance, dtype=np.float64),
            slot_sequence=np.array(self.slot_sequence, dtype=np.int32).reshape(
                -1, self.num_players
            ),
            set_start=set_start.astype(np.int64),
            set_slots=np.argsort(set_of_slot, kind="stable").astype(np.int32),
            player=players,
            entry_start=np.array(self.entry_start, dtype=np.int64),
            parent_entry=np.array(self.parent_entry, dtype=np.int32),
            info_set_name=lambda i: f"P{players[i] + 1} {label(keys[i])}",
            action_name=lambda i, a: str(actions[i][a]),
        )
