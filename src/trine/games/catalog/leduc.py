"""Leduc hold'em (Southey et al. 2005): six cards, two betting rounds, one public card."""

from __future__ import annotations

from typing import NamedTuple

from trine.games.game import CHANCE, TERMINAL

FOLD, CALL, RAISE = "fold", "call", "raise"
RAISE_SIZE = (2, 4)
MAX_RAISES = 2
DECK = 6


class State(NamedTuple):
    """Private cards, public card, actions of both rounds, chips in the pot per player."""

    private: tuple[int, ...] = ()
    public: int | None = None
    rounds: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    stakes: tuple[int, int] = (1, 1)
    folded: int | None = None


class Leduc:
    """Two suits of jack, queen, king; a card's rank is its number divided by 2.

    Ante 1; raises of 2 in the first round and 4 in the second, two per round. A pair with the
    public card wins, else the higher card. Same rules as OpenSpiel's `leduc_poker`: suits are
    told apart in the information sets.
    """

    name = "leduc"
    num_players = 2

    def root(self) -> State:
        """Before the deal."""
        return State()

    def _round(self, state: State) -> int:
        return 0 if state.public is None else 1

    def _round_over(self, state: State) -> bool:
        actions = state.rounds[self._round(state)]
        return len(actions) >= 2 and actions[-1] == CALL

    def player(self, state: State) -> int:
        """Deal, first round, public card, second round."""
        if state.folded is not None:
            return TERMINAL
        if len(state.private) < 2:
            return CHANCE
        if self._round_over(state):
            return CHANCE if state.public is None else TERMINAL
        return len(state.rounds[self._round(state)]) % 2

    def actions(self, state: State) -> list[str]:
        """Fold only when there is something to pay; raise only twice a round."""
        actions = state.rounds[self._round(state)]
        fold = [FOLD] if state.stakes[0] != state.stakes[1] else []
        return [*fold, CALL, *([RAISE] if actions.count(RAISE) < MAX_RAISES else [])]

    def chance(self, state: State) -> list[tuple[int, float]]:
        """The next card, all that are left equally likely."""
        left = [card for card in range(DECK) if card not in state.private]
        return [(card, 1 / len(left)) for card in left]

    def apply(self, state: State, action: str | int) -> State:
        """Deal a card or make a move."""
        if isinstance(action, int):
            if len(state.private) < 2:
                return state._replace(private=(*state.private, action))
            return state._replace(public=action)
        mover, current = self.player(state), self._round(state)
        rounds = list(state.rounds)
        rounds[current] = (*rounds[current], action)
        stakes = list(state.stakes)
        if action == FOLD:
            return state._replace(rounds=(rounds[0], rounds[1]), folded=mover)
        stakes[mover] = max(stakes) + (RAISE_SIZE[current] if action == RAISE else 0)
        return state._replace(rounds=(rounds[0], rounds[1]), stakes=(stakes[0], stakes[1]))

    def info_set(self, state: State) -> tuple[object, ...]:
        """Own card, public card, all actions."""
        return (state.private[self.player(state)], state.public, state.rounds)

    def info_set_label(self, key: tuple[int, int | None, tuple[tuple[str, ...], ...]]) -> str:
        """Card in hand and on the table, then the betting."""
        private, public, rounds = key
        board = "" if public is None else f"/{'JQK'[public // 2]}{public % 2}"
        betting = " | ".join(" ".join(r) for r in rounds if r)
        return f"[{'JQK'[private // 2]}{private % 2}{board}] {betting}".rstrip()

    def payoff(self, state: State) -> tuple[float, float]:
        """Chips won by each player."""
        if state.folded is not None:
            won = state.stakes[state.folded] * (-1.0 if state.folded == 0 else 1.0)
            return won, -won
        first, second = (self._strength(card, state.public) for card in state.private)
        won = float(state.stakes[0]) * ((first > second) - (first < second))
        return won, -won

    def _strength(self, card: int, public: int | None) -> int:
        rank = card // 2
        return 10 + rank if public is not None and rank == public // 2 else rank
