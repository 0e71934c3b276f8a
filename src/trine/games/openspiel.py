"""Games and policies of OpenSpiel (Lanctot et al. 2019), through the extra `oracle`.

    tree = load_openspiel("trade_comm(num_items=3)")
    result = joint_policy_search(tree, uniform_policy(tree))
    theirs = to_openspiel(tree, result.policy, "trade_comm(num_items=3)")

An information set is (player, OpenSpiel's information state string). A game must be a finite
extensive form: players move one after the other and chance says its probabilities. Games whose
strings forget a player's past (those named `..._ir`) are refused by `build_tree`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from trine.core.errors import DataError, UsageError
from trine.core.extras import require
from trine.games.game import CHANCE, TERMINAL
from trine.games.policy import TabularPolicy, check_policy
from trine.games.public_view import PUBLIC_SUFFIX, as_public_tree
from trine.games.tree import DEFAULT_MEMORY_LIMIT, Tree, build_tree

if TYPE_CHECKING:
    import pyspiel

PREFIX = "openspiel:"
"""Begins the `game_id` of trees that come from OpenSpiel."""

MOST_STATES = 10_000_000
"""Largest estimated size that is accepted: states are Python objects while they are enumerated."""

_PROBES = 64
_LONGEST_PROBE = 10_000


class _Action(int):
    """OpenSpiel's action number; prints as OpenSpiel's name for it."""

    label: str

    def __new__(cls, number: int, label: str) -> _Action:
        action = super().__new__(cls, number)
        action.label = label
        return action

    def __str__(self) -> str:
        return self.label


class OpenSpielGame:
    """A `Game` whose rules are OpenSpiel's.

    Args:
      game: an OpenSpiel game or its name, e.g. `"tiny_hanabi"` or `"trade_comm(num_items=3)"`.

    Raises:
      MissingExtra: OpenSpiel is not installed.
      UsageError: there is no such game, or it is not a finite extensive form.
    """

    def __init__(self, game: str | pyspiel.Game) -> None:
        require("oracle", "a game from OpenSpiel")
        self.game = _load(game) if isinstance(game, str) else game
        _check_kind(self.game)
        # tiny_hanabi() and tiny_hanabi are the same game.
        self.name = PREFIX + str(self.game).removesuffix("()")
        self.num_players: int = self.game.num_players()

    @cached_property
    def num_states(self) -> int:
        """Estimated number of histories, so that a hopeless size is refused at once.

        The mean over random playouts of 1 + b1 + b1 b2 + ..., b being the numbers of children
        along the playout (Knuth 1975): unbiased, and beyond any limit for endless games.

        Raises:
          DataError: the estimate is beyond `MOST_STATES`.
        """
        generator = np.random.default_rng(0)
        total = 0
        for _ in range(_PROBES):
            total += self._probe(generator)
            if total > _PROBES * MOST_STATES:
                raise DataError(
                    f"{self.name} has about 10^{len(str(total // _PROBES)) - 1} states or more, "
                    "estimated from random playouts",
                    accepted=f"OpenSpiel games of up to {MOST_STATES:,} states",
                    hint="choose smaller parameters",
                )
        return total // _PROBES

    def _probe(self, generator: np.random.Generator) -> int:
        state, width, total = self.root(), 1, 1
        for _ in range(_LONGEST_PROBE):
            if state.is_terminal():
                break
            legal = (
                [a for a, p in state.chance_outcomes() if p > 0]
                if state.is_chance_node()
                else state.legal_actions()
            )
            width *= len(legal)
            total += width
            if width > _PROBES * MOST_STATES:
                break
            state.apply_action(int(generator.choice(legal)))
        return total

    def root(self) -> pyspiel.State:
        """The initial state."""
        return self.game.new_initial_state()

    def player(self, state: pyspiel.State) -> int:
        """The player who moves."""
        if state.is_terminal():
            return TERMINAL
        return CHANCE if state.is_chance_node() else state.current_player()

    def actions(self, state: pyspiel.State) -> list[_Action]:
        """Legal actions; they print as OpenSpiel names them."""
        player = state.current_player()
        return [_Action(a, state.action_to_string(player, a)) for a in state.legal_actions()]

    def chance(self, state: pyspiel.State) -> list[tuple[int, float]]:
        """Outcomes and probabilities, scaled to sum to 1 exactly (some games round theirs)."""
        outcomes = state.chance_outcomes()
        total = sum(p for _, p in outcomes)
        return [(outcome, p / total) for outcome, p in outcomes]

    def apply(self, state: pyspiel.State, action: int) -> pyspiel.State:
        """The state after an action or a chance outcome."""
        return state.child(action)

    def info_set(self, state: pyspiel.State) -> str:
        """OpenSpiel's information state string."""
        return state.information_state_string(state.current_player())

    def info_set_label(self, key: str) -> str:
        """The string on one line."""
        return "; ".join(line.strip() for line in key.splitlines() if line.strip())

    def payoff(self, state: pyspiel.State) -> list[float]:
        """One payoff per player; the tree shares them where they are equal everywhere."""
        return state.returns()


def _load(name: str) -> pyspiel.Game:
    import pyspiel

    short = name.partition("(")[0].strip()
    # Asked first, because OpenSpiel writes its own list of all games to the terminal.
    if short not in pyspiel.registered_names():
        raise UsageError.unknown("OpenSpiel game", short, pyspiel.registered_names())
    try:
        return pyspiel.load_game(name)
    except pyspiel.SpielError as error:
        raise UsageError(
            f"OpenSpiel refuses {name!r}: {error}",
            accepted="a game with its parameters in brackets, e.g. trade_comm(num_items=3)",
        ) from error


def _check_kind(game: pyspiel.Game) -> None:
    kind, name = game.get_type(), str(game)
    types = type(kind)
    if kind.dynamics != types.Dynamics.SEQUENTIAL:
        hint = f"wrap it: turn_based_simultaneous_game(game={name})"
        raise UsageError(
            f"players of {name} move at the same time",
            accepted="games where they move one after the other",
            hint=hint if kind.dynamics == types.Dynamics.SIMULTANEOUS else "",
        )
    if kind.chance_mode == types.ChanceMode.SAMPLED_STOCHASTIC:
        raise UsageError(
            f"chance of {name} is sampled, without probabilities",
            accepted="games that list the outcomes of chance",
        )
    if not kind.provides_information_state_string:
        raise UsageError(
            f"{name} does not say what its players know (no information state strings)",
            accepted="games with information state strings",
        )


def load_openspiel(game: str | pyspiel.Game, *, memory_limit: int = DEFAULT_MEMORY_LIMIT) -> Tree:
    """The tree of an OpenSpiel game, in its fastest form.

    Args:
      game: an OpenSpiel game or its name, e.g. `"tiny_bridge_2p"`.
      memory_limit: bytes the tree may take.

    Returns:
      A tree with one payoff column if all players always earn the same, and with its public
      structure if there is one deal followed by public actions (see `public_view`).

    Raises:
      MissingExtra: OpenSpiel is not installed.
      UsageError: there is no such game, or it is not a finite extensive form.
      DataError: the game is too large, or its players do not have perfect recall.
    """
    tree = build_tree(OpenSpielGame(game), memory_limit=memory_limit)
    return as_public_tree(tree) or tree


def to_openspiel(
    tree: Tree, policy: TabularPolicy, game: str | pyspiel.Game
) -> pyspiel.TabularPolicy:
    """A policy as OpenSpiel's table of information state strings.

    Args:
      tree: from `load_openspiel(game)` or `build_tree(OpenSpielGame(game))`.
      policy: a policy of the tree.
      game: the game.

    Raises:
      DataError: the policy is for another tree, the tree for another game, or two players read
        the same string, which such a table cannot tell apart.
    """
    check_policy(tree, policy)
    import pyspiel

    table: dict[str, list[tuple[int, float]]] = {}
    for i, state in _one_state_each(tree, game):
        row = policy.probabilities[tree.entry_start[i] : tree.entry_start[i + 1]].tolist()
        key = state.information_state_string()
        if key in table:
            raise DataError(
                f"two players of {tree.game_id} read {key!r}; a pyspiel.TabularPolicy has one row "
                "for both; play from the tree instead"
            )
        table[key] = list(zip(state.legal_actions(), row, strict=True))
    return pyspiel.TabularPolicy(table)


def from_openspiel(tree: Tree, policy: Any, game: str | pyspiel.Game) -> TabularPolicy:
    """A policy of OpenSpiel on our tree.

    Args:
      tree: from `load_openspiel(game)` or `build_tree(OpenSpielGame(game))`.
      policy: anything with `action_probabilities(state) -> {action: probability}`: a
        `pyspiel.Policy` or a policy of `open_spiel.python.policy`.
      game: the game.

    Raises:
      DataError: the tree is for another game, or the policy says nothing about some state.
    """
    probabilities = np.zeros(tree.num_entries)
    for i, state in _one_state_each(tree, game):
        row = dict(policy.action_probabilities(state))
        numbers = [row.get(action, 0.0) for action in state.legal_actions()]
        total = sum(numbers)
        if abs(total - 1) > 1e-6:  # policies trained elsewhere may be in single precision
            raise DataError(
                f"the probabilities of the OpenSpiel policy at {tree.info_set_name(i)} sum to "
                f"{total:.9g}; they must sum to 1 over the legal actions"
            )
        probabilities[tree.entry_start[i] : tree.entry_start[i + 1]] = np.array(numbers) / total
    return TabularPolicy(tree.game_id, probabilities)


def _one_state_each(tree: Tree, game: str | pyspiel.Game) -> Iterator[tuple[int, pyspiel.State]]:
    """For every information set of the tree one of OpenSpiel's states in it."""
    adapter = OpenSpielGame(game)
    if tree.game_id.removesuffix(PUBLIC_SUFFIX) != adapter.name:
        raise DataError(
            f"the tree is of {tree.game_id}, the game is {adapter.name}; pass the game that the "
            "tree was loaded from"
        )
    starts = [adapter.root()] if tree.public is None else _deal_states(adapter)
    for i in range(tree.num_info_sets):
        node = int(tree.slot_node[tree.set_slots[tree.set_start[i]]])
        yield i, _state_at(adapter, tree, node, starts)


def _deal_states(adapter: OpenSpielGame) -> list[pyspiel.State]:
    """States right below the leading chance states, in level order, as `deal_nodes`."""
    found, queue = [], [adapter.root()]
    for state in queue:
        if adapter.player(state) == CHANCE:
            queue += [adapter.apply(state, a) for a, p in adapter.chance(state) if p > 0]
        else:
            found.append(state)
    return found


def _state_at(
    adapter: OpenSpielGame, tree: Tree, node: int, starts: list[pyspiel.State]
) -> pyspiel.State:
    """Replay the path from the root to a node."""
    path = []
    while node > 0:
        above = int(tree.parent[node])
        stride = tree.child_stride if tree.info_set[above] >= 0 else 1
        path.append((node - int(tree.first_child[above])) // stride)
        node = above
    path.reverse()
    state = starts[path.pop(0)] if tree.public is not None else starts[0]
    for position in path:
        if adapter.player(state) == CHANCE:
            possible = [a for a, p in adapter.chance(state) if p > 0]
            state = adapter.apply(state, possible[position])
        else:
            state = adapter.apply(state, state.legal_actions()[position])
    return state
