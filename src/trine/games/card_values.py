"""Counterfactual values of two-player games with public actions, card by card, not node by node.

At a public state s let x_p(s, c) be the own reach of player p with card c. What counterfactual
regret needs of player p is not the value of each deal but, for each card,

    u_p(s, c) = sum over cards c' of the other player q:  chance(c, c') x_q(s, c') v(s, c, c').

At a terminal state this is a product of the payoff matrix with a vector. Everywhere else it comes
from below by additions: where p moves, u_p(s, c) = sum over a of sigma(c, a) u_p(sa, c), and
u_p(sa, c) is the action value q(I, a) itself; where the other moves, u_p(s, c) = sum of u_p(sa, c),
as their probabilities are already in x_q. (The vector form of Johanson et al. 2011, "Accelerating
best response calculation in large extensive games", section 3.1.)

Three savings make a pass cost a small part of one over all nodes:

* terminal states with the same payoffs share one matrix (many auctions end in the same contract),
  so that all matrices fit into the cache, and only their non-zero stretches are kept;
* cards that do not reach a terminal state are skipped: a policy near the end of CFR is almost pure;
* public states that neither player reaches with any card are not visited at all.

Indices are unsigned: numba then need not ask at each access whether one counts from the end, which
halves the time of a pass.

`traversal` has the obvious version for any tree; tests hold the two to each other.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from trine.games.tree import LEAF, PublicStructure, Tree

_PAYOFFS_AT_ONCE = 256
"""Matrices cut into stretches in one go: bounds the memory for intermediate results."""

_ZERO, _ONE = np.uint64(0), np.uint64(1)  # a plain 1 would make signed or real numbers of indices


class _Game(NamedTuple):
    """What the kernels read of a tree.

    Both players' cards stand in one row: those of player 1 first.

    Attributes:
      is_leaf: `[S]`.
      first_child: `[S]`.
      num_actions: `[S]`.
      first_entry: `[S]` entry of the mover's card 0 and action 0; card c, action a is
        `c * num_actions + a` later.
      first_card: `[S]` position of the mover's card 0 in a row of cards.
      last_card: `[S]` position after the mover's last card.
      row: `[S]` start of the row of a decision state in arrays of rows of cards.
      cards: `[1]` length of a row.
      set_range: `[S, 2]` range of the mover's information sets.
    """

    is_leaf: np.ndarray
    first_child: np.ndarray
    num_actions: np.ndarray
    first_entry: np.ndarray
    first_card: np.ndarray
    last_card: np.ndarray
    row: np.ndarray
    cards: np.ndarray
    set_range: np.ndarray


class _Stretches(NamedTuple):
    """Chance times payoff at terminal states, non-zero stretches only; indices unsigned.

    A stretch belongs to one card and to neighbouring cards of the other player. Each matrix is cut
    in both directions: per card of player 1, and per card of player 2.

    Attributes:
      matrix: `[S]` payoff matrix of a terminal state.
      start: `[matrices + 1]` range of stretches.
      card: `[N]` position of the card in a row of cards.
      first: `[N]` position of the first of the other player's cards.
      weight_start: `[N + 1]` range in `weight`: one number per card of the other player.
      weight: chance times the *other* player's payoff, game points.
    """

    matrix: np.ndarray
    start: np.ndarray
    card: np.ndarray
    first: np.ndarray
    weight_start: np.ndarray
    weight: np.ndarray


class CardValues:
    """Counterfactual action values of one tree, for policy after policy.

    Args:
      tree: a two-player game with public actions (see `applies`).
      columns: payoff column of each player.

    Attributes:
      reach: `[E]` own reach of each entry.
      action_values: `[E]` q(I, a) of each entry, game points.
      visited: `[N, 2]` ranges of the information sets that the last pass visited, ancestors first.
        At all others own reach and action values are 0, and after `update_reached` not up to date.
      leaf_payoff: `[S]` number of each terminal state's payoffs among the different ones, -1 where
        somebody moves.
    """

    def __init__(self, tree: Tree, columns: tuple[int, int]) -> None:
        public = tree.public
        assert public is not None
        is_leaf = public.player == LEAF
        mover = np.maximum(public.player, 0)
        num_rows = int(np.count_nonzero(~is_leaf))
        cards = int(public.num_types.sum())
        self._cards_of_first = int(public.num_types[0])
        first_card = np.array([0, public.num_types[0]])[mover]
        types = public.num_types[mover]
        self._game = _Game(
            is_leaf, _unsigned(public.first_child), _unsigned(public.num_actions),
            _unsigned(tree.entry_start[np.where(is_leaf, 0, public.first_info_set)]),
            _unsigned(first_card), _unsigned(first_card + types),
            _unsigned((np.cumsum(~is_leaf) - 1) * cards), _unsigned(np.array([cards])),
            _unsigned(np.stack([public.first_info_set, public.first_info_set + types], axis=1)),
        )  # fmt: skip
        self.leaf_payoff, examples = _different_payoffs(public, tree.payoff)
        self._stretches = _stretches(public, tree.payoff, columns, self.leaf_payoff, examples)
        self._card_reach = np.empty(num_rows * cards)
        self._card_value = np.empty(num_rows * cards)
        self._queue = np.empty(num_rows, dtype=np.uint64)
        self._is_live = np.zeros(len(is_leaf), dtype=np.bool_)
        self._visited = np.empty((num_rows, 2), dtype=np.uint64)
        self._everywhere = np.array([[0, tree.num_info_sets]], dtype=np.uint64)
        self.visited = self._everywhere
        self.reach = np.empty(tree.num_entries)
        self.action_values = np.empty(tree.num_entries)

    @staticmethod
    def applies(tree: Tree) -> bool:
        """Whether a tree has the structure."""
        return tree.public is not None and tree.num_players == 2

    def update(self, probabilities: np.ndarray) -> float:
        """Evaluate a policy at all information sets.

        Args:
          probabilities: `[E]` action probabilities.

        Returns:
          The expected payoff of player 1, game points.
        """
        self.reach[:] = 0.0
        self.action_values[:] = 0.0
        value = self.update_reached(probabilities)
        self.visited = self._everywhere
        return value

    def update_reached(self, probabilities: np.ndarray) -> float:
        """The same at the information sets of public states that somebody reaches."""
        length = _pass_down(
            self._game, probabilities, self.reach, self._card_reach, self._queue, self._is_live,
            self._visited,
        )  # fmt: skip
        _pass_up(
            self._game, self._stretches, probabilities, self.reach, self.action_values,
            self._card_reach, self._card_value, self._queue, self._is_live, length,
        )  # fmt: skip
        self.visited = self._visited[:length]
        return float(self._card_value[: self._cards_of_first].sum())


@numba.njit(cache=True)
def _pass_down(game, probabilities, reach, card_reach, queue, is_live, visited):
    """Own reach of entries and cards; returns the number of states in the queue."""
    cards = game.cards[_ZERO]
    for c in range(cards):
        card_reach[c] = 1.0
    queue[_ZERO] = _ZERO
    length = _ONE
    at = _ZERO
    while at < length:
        s = queue[at]
        visited[at, _ZERO] = game.set_range[s, _ZERO]
        visited[at, _ONE] = game.set_range[s, _ONE]
        at += _ONE
        first, last, actions = game.first_card[s], game.last_card[s], game.num_actions[s]
        here = game.row[s]
        for a in range(actions):
            child = game.first_child[s] + a
            e = game.first_entry[s] + a
            if game.is_leaf[child]:
                for c in range(first, last):
                    reach[e] = card_reach[here + c] * probabilities[e]
                    e += actions
                continue
            below = game.row[child]
            for c in range(cards):
                card_reach[below + c] = card_reach[here + c]
            for c in range(first, last):
                own = card_reach[here + c] * probabilities[e]
                reach[e] = own
                card_reach[below + c] = own
                e += actions
            most = 0.0
            for c in range(cards):
                most = max(most, card_reach[below + c])
            is_live[child] = most > 0.0
            if most > 0.0:
                queue[length] = child
                length += _ONE
    return length


@numba.njit(cache=True)
def _pass_up(
    game, stretches, probabilities, reach, action_values, card_reach, card_value, queue, is_live,
    length,
):  # fmt: skip
    """Values of cards and entries at the states in the queue."""
    cards = game.cards[_ZERO]
    leaf_reach = np.empty(cards)
    for back in range(length):
        s = queue[length - _ONE - back]
        first, last, actions = game.first_card[s], game.last_card[s], game.num_actions[s]
        here = game.row[s]
        # The part of the mover serves as scratch until the end, the other adds up from action to
        # action.
        for c in range(cards):
            leaf_reach[c] = card_reach[here + c]
            card_value[here + c] = 0.0
        for a in range(actions):
            child = game.first_child[s] + a
            e = game.first_entry[s] + a
            if game.is_leaf[child]:
                entry = e
                for c in range(first, last):
                    leaf_reach[c] = reach[entry]
                    card_value[here + c] = 0.0
                    entry += actions
                matrix = stretches.matrix[child]
                for n in range(stretches.start[matrix], stretches.start[matrix + _ONE]):
                    own = leaf_reach[stretches.card[n]]
                    if own == 0.0:
                        continue
                    others = here + stretches.first[n]
                    weights = stretches.weight_start[n]
                    for c in range(stretches.weight_start[n + _ONE] - weights):
                        card_value[others + c] += own * stretches.weight[weights + c]
                for c in range(first, last):
                    action_values[e] = card_value[here + c]
                    e += actions
            elif is_live[child]:
                below = game.row[child]
                for c in range(first):
                    card_value[here + c] += card_value[below + c]
                for c in range(last, cards):
                    card_value[here + c] += card_value[below + c]
                for c in range(first, last):
                    action_values[e] = card_value[below + c]
                    e += actions
            else:
                for _ in range(first, last):
                    action_values[e] = 0.0
                    e += actions
        e = game.first_entry[s]
        for c in range(first, last):
            value = 0.0
            for _ in range(actions):
                value += probabilities[e] * action_values[e]
                e += _ONE
            card_value[here + c] = value


def _unsigned(indices: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(indices).astype(np.uint64)


def _different_payoffs(
    public: PublicStructure, payoff: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`[S]` number of each terminal state's payoffs, -1 elsewhere; one state for each number."""
    at_state = payoff[:, 1:].reshape(len(payoff), len(public.player), -1)
    numbers: dict[bytes, int] = {}
    number = np.full(len(public.player), -1, dtype=np.int64)
    for s in np.flatnonzero(public.player == LEAF):
        number[s] = numbers.setdefault(at_state[:, s].tobytes(), len(numbers))
    examples = np.unique(number, return_index=True)[1]
    return number, examples[-len(numbers) :]


def _stretches(
    public: PublicStructure,
    payoff: np.ndarray,
    columns: tuple[int, int],
    matrix: np.ndarray,
    examples: np.ndarray,
) -> _Stretches:
    at_state = payoff[:, 1:].reshape(len(payoff), len(public.player), -1)
    cards = public.cards + np.array([0, public.num_types[0]])
    parts: list[tuple[np.ndarray, ...]] = []
    for begin in range(0, len(examples), _PAYOFFS_AT_ONCE):
        states = examples[begin : begin + _PAYOFFS_AT_ONCE]
        for i in range(2):
            weights = public.probability * at_state[columns[1 - i], states]
            owner, *rest = _cut(weights, cards[:, i], cards[:, 1 - i])
            parts.append((owner + begin, *rest))
    owner, card, first, length, weight = map(np.concatenate, zip(*parts, strict=True))
    # Both directions of one matrix follow each other.
    weight_start = np.cumsum(length) - length
    order = np.argsort(owner, kind="stable")
    length = length[order]
    new_start = np.concatenate([[0], np.cumsum(length)])
    moved = np.repeat(weight_start[order] - new_start[:-1], length) + np.arange(len(weight))
    counts = np.bincount(owner, minlength=len(examples))
    return _Stretches(
        _unsigned(matrix), _unsigned(np.concatenate([[0], np.cumsum(counts)])),
        _unsigned(card[order]), _unsigned(first[order]), _unsigned(new_start), weight[moved],
    )  # fmt: skip


def _cut(weights: np.ndarray, card: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, ...]:
    """Cut `[F, K]` weights into non-zero stretches of one card and neighbouring other cards.

    Returns:
      Of each stretch its row in `weights`, its card, its first other card and its length, then the
      weights one after the other.
    """
    order = np.lexsort((other, card))
    weights = weights[:, order]
    owner, k = np.nonzero(weights)
    card, other = card[order][k], other[order][k]
    begins = np.ones(len(owner), dtype=bool)
    begins[1:] = (
        (np.diff(owner) != 0) | (np.diff(card) != 0) | (other[1:] != other[:-1] + 1)
    )  # fmt: skip
    start = np.flatnonzero(begins)
    length = np.diff(np.append(start, len(owner)))
    return owner[start], card[start], other[start], length, weights[owner, k]
