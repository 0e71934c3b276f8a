"""What a game must say about itself before Trine can build its tree.

Two small protocols, by need:

* `PublicActionGame`: chance deals private cards once, afterwards every action is seen by
  everybody. All games of Tian et al. 2020 are of this kind. Rules are asked once per *public*
  state and answered for all deals at once, so trees of millions of states build in a second.
* `Game`: any finite extensive form (chance anywhere, hidden actions, any number of players), one
  state at a time.

Both describe states as plain hashable Python values; a game class holds rules and no state.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

CHANCE = -1
"""Returned by `Game.player` where nature moves."""

TERMINAL = -2
"""Returned by `Game.player` and `PublicActionGame.player` where the game is over."""


@dataclass(frozen=True, slots=True)
class Deals:
    """All deals of a `PublicActionGame`.

    Attributes:
      cards: `[K, P]` integers from 0, the private card of each player in each deal.
      probability: `[K]` chance of each deal, sums to 1.
    """

    cards: np.ndarray
    probability: np.ndarray


@runtime_checkable
class PublicActionGame(Protocol):
    """A game with one private deal followed by public actions only.

    A public state is any value; `None` cannot be one. An optional method `card_label(player, card)`
    names cards in tables, and an optional attribute `num_states` (an upper estimate of the number
    of tree nodes) lets `build_tree` refuse a size that does not fit before any work is done.
    """

    name: str
    num_players: int

    def deals(self) -> Deals:
        """All deals and their probabilities."""
        ...

    def start(self) -> Any:
        """The public state right after the deal."""
        ...

    def player(self, public_state: Any) -> int:
        """Who moves, 0-based, or `TERMINAL`."""
        ...

    def actions(self, public_state: Any) -> Sequence[Hashable]:
        """Legal actions (they may not depend on the hidden cards)."""
        ...

    def apply(self, public_state: Any, action: Any) -> Any:
        """The public state after an action."""
        ...

    def payoff(self, public_state: Any, cards: np.ndarray) -> np.ndarray:
        """Payoffs at a terminal public state.

        Args:
          public_state: a terminal public state.
          cards: `[K, P]`, the cards of every deal.

        Returns:
          `[K]` the payoff shared by all players, or `[K, P]` one per player, in game points.
        """
        ...


@runtime_checkable
class Game(Protocol):
    """Any finite extensive-form game, one state at a time.

    An optional method `info_set_label(key)` names information sets in tables.
    """

    name: str
    num_players: int

    def root(self) -> Any:
        """The initial state."""
        ...

    def player(self, state: Any) -> int:
        """Who moves: 0-based player, `CHANCE` or `TERMINAL`."""
        ...

    def actions(self, state: Any) -> Sequence[Hashable]:
        """Legal actions of the player who moves."""
        ...

    def chance(self, state: Any) -> Sequence[tuple[Any, float]]:
        """Outcomes and probabilities at a chance state; probabilities sum to 1."""
        ...

    def apply(self, state: Any, action: Any) -> Any:
        """The state after an action or a chance outcome."""
        ...

    def info_set(self, state: Any) -> Hashable:
        """All that the player who moves knows, own past actions included (perfect recall)."""
        ...

    def payoff(self, state: Any) -> float | Sequence[float]:
        """At a terminal state: the shared payoff, or one per player, in game points."""
        ...
