"""Random small games and obvious, slow evaluators that ask the game itself, never the tree.

Both kinds are drawn from one seed, so that a failing example is one number.
"""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from trine.games.game import CHANCE, TERMINAL, Deals, Game, PublicActionGame
from trine.games.policy import TabularPolicy, random_policy, random_pure_policy
from trine.games.tree import Tree

History = tuple[int, ...]


class RandomPublicGame:
    """Two players, a random non-product deal, then a random tree of public actions.

    The same player may move several times in a row, some turns offer one action only, and
    payoffs are normal numbers, integers with many ties, or a lottery with a few prizes.

    Args:
      seed: draws everything.
      common: one shared payoff, or one per player.
      num_players: two, or more for routes that allow it.
    """

    def __init__(self, seed: int, *, common: bool = True, num_players: int = 2) -> None:
        generator = np.random.default_rng(seed)
        self.name = f"random-public-game:{seed}"
        self.num_players = num_players
        self._deals = _random_deals(generator, num_players)
        self._player: dict[History, int] = {}
        self._actions: dict[History, int] = {}
        self._payoff: dict[History, np.ndarray] = {}
        columns = () if common else (num_players,)
        kind = int(generator.integers(3))
        depth = int(generator.integers(1, 6))
        levels: list[History] = [()]
        for history in levels:
            if history and (len(history) >= depth or generator.random() < 0.15):
                shape = (len(self._deals.probability), *columns)
                self._payoff[history] = _random_payoffs(generator, kind, shape)
                continue
            self._player[history] = int(generator.integers(num_players))
            self._actions[history] = int(generator.integers(1, 4))
            levels += [(*history, a) for a in range(self._actions[history])]

    def deals(self) -> Deals:
        return self._deals

    def start(self) -> History:
        return ()

    def player(self, public_state: History) -> int:
        return self._player.get(public_state, TERMINAL)

    def actions(self, public_state: History) -> range:
        return range(self._actions[public_state])

    def apply(self, public_state: History, action: int) -> History:
        return (*public_state, action)

    def payoff(self, public_state: History, cards: np.ndarray) -> np.ndarray:
        return self._payoff[public_state]


def _random_deals(generator: np.random.Generator, num_players: int) -> Deals:
    """Some of all combinations of cards, each card in at least one, unequal probabilities."""
    types = generator.integers(1, 4, size=num_players)
    deals = np.indices(tuple(types)).reshape(num_players, -1).T
    while True:
        kept = deals[generator.random(len(deals)) < 0.7]
        if all(len(np.unique(kept[:, p])) == types[p] for p in range(num_players)):
            break
    generator.shuffle(kept)
    weights = generator.random(len(kept)) + 0.05
    return Deals(kept, weights / weights.sum())


def _random_payoffs(
    generator: np.random.Generator, kind: int, shape: tuple[int, ...]
) -> np.ndarray:
    if kind == 0:
        return generator.normal(size=shape)
    if kind == 1:
        return generator.integers(-2, 3, size=shape).astype(float)
    return np.where(generator.random(shape) < 0.3, generator.integers(-5, 10, size=shape), 0.0)


class RandomGame:
    """Any finite extensive form: chance anywhere, hidden actions, one to three players.

    Every player sees the own actions and a random part of the others' and of chance; a move that
    is not seen leaves no trace, so nodes of one information set may lie on different levels.

    Args:
      seed: draws everything.
      common: one shared payoff, or one per player.
    """

    def __init__(self, seed: int, *, common: bool = True) -> None:
        self.name = f"random-game:{seed}"
        generator = np.random.default_rng(seed)
        self.num_players = int(generator.integers(1, 4))
        self._player: dict[History, int] = {}
        self._actions: dict[History, int] = {}
        self._chance: dict[History, list[tuple[int, float]]] = {}
        self._payoff: dict[History, float | list[float]] = {}
        self._seen: dict[History, tuple[tuple[object, ...], ...]] = {(): ((),) * self.num_players}
        # What a player can do is fixed by what the player knows.
        offered: dict[Hashable, int] = {}
        kind = int(generator.integers(3))
        depth = int(generator.integers(2, 8))
        histories: list[History] = [()]
        for history in histories:
            if history and (len(history) >= depth or generator.random() < 0.15):
                numbers = _random_payoffs(generator, kind, (self.num_players,)).tolist()
                self._payoff[history] = numbers[0] if common else numbers
                continue
            player = int(generator.integers(-1, self.num_players))
            self._player[history] = CHANCE if player < 0 else player
            if player < 0:
                weights = generator.random(int(generator.integers(1, 4))) + 0.05
                weights /= weights.sum()
                # One outcome of probability zero: it must vanish from the tree.
                self._chance[history] = [*enumerate(weights.tolist()), (len(weights), 0.0)]
                moves = len(weights)
            else:
                knowledge = (player, self._seen[history][player])
                moves = offered.setdefault(knowledge, int(generator.integers(1, 4)))
                self._actions[history] = moves
            witnesses = [p == player or generator.random() < 0.5 for p in range(self.num_players)]
            for move in range(moves):
                child = (*history, move)
                self._seen[child] = tuple(
                    (*seen, (player, move)) if witnesses[p] else seen
                    for p, seen in enumerate(self._seen[history])
                )
                histories.append(child)

    def root(self) -> History:
        return ()

    def player(self, state: History) -> int:
        return self._player.get(state, TERMINAL)

    def actions(self, state: History) -> range:
        return range(self._actions[state])

    def chance(self, state: History) -> list[tuple[int, float]]:
        return self._chance[state]

    def apply(self, state: History, action: int) -> History:
        return (*state, action)

    def info_set(self, state: History) -> Hashable:
        return self._seen[state][self._player[state]]

    def payoff(self, state: History) -> float | list[float]:
        return self._payoff[state]


class AsGame:
    """A `PublicActionGame` spelled as a `Game`: chance deals, then the same public tree."""

    def __init__(self, game: PublicActionGame) -> None:
        self.game = game
        self.name = game.name
        self.num_players = game.num_players
        self.dealt = game.deals()

    def root(self) -> Any:
        return None

    def player(self, state: Any) -> int:
        return CHANCE if state is None else self.game.player(state[1])

    def actions(self, state: Any) -> Sequence[Hashable]:
        return self.game.actions(state[1])

    def chance(self, state: Any) -> list[tuple[int, float]]:
        return list(enumerate(self.dealt.probability.tolist()))

    def apply(self, state: Any, action: Any) -> Any:
        if state is None:
            return (action, self.game.start(), ())
        deal, public_state, history = state
        return (deal, self.game.apply(public_state, action), (*history, action))

    def info_set(self, state: Any) -> Hashable:
        deal, public_state, history = state
        player = self.game.player(public_state)
        return (player, int(self.dealt.cards[deal, player]), history)

    def info_set_label(self, key: Any) -> str:
        """The label that the public tree gives to the same information set."""
        player, card, history = key
        name = getattr(self.game, "card_label", lambda player, card: str(card))
        return f"[{name(player, card)}] {' '.join(str(a) for a in history)}".rstrip()

    def payoff(self, state: Any) -> float | list[float]:
        deal, public_state, _ = state
        at_leaf = np.asarray(self.game.payoff(public_state, self.dealt.cards))[deal]
        return at_leaf.tolist()


def as_game(game: Game | PublicActionGame) -> Game:
    """The game one state at a time."""
    return AsGame(game) if isinstance(game, PublicActionGame) else game


Behaviour = dict[str, np.ndarray]
"""Label of an information set -> action probabilities."""


def behaviour(tree: Tree, policy: TabularPolicy) -> Behaviour:
    """A policy by the labels of the information sets, as the evaluators below want it."""
    start = tree.entry_start
    rows = {
        tree.info_set_name(i): policy.probabilities[start[i] : start[i + 1]]
        for i in range(tree.num_info_sets)
    }
    assert len(rows) == tree.num_info_sets, "two information sets have the same label"
    return rows


def label(game: Game, state: Any) -> str:
    """The label of the mover's information set, as the tree gives it."""
    key = game.info_set(state)
    text = getattr(game, "info_set_label", str)(key)
    return f"P{game.player(state) + 1} {text}"


def moves(game: Game, state: Any, rows: Behaviour) -> Iterator[tuple[Any, float]]:
    """Children of a state and their probabilities, impossible outcomes of chance left out."""
    if game.player(state) == CHANCE:
        for outcome, probability in game.chance(state):
            if probability > 0:
                yield game.apply(state, outcome), probability
    else:
        row = rows[label(game, state)]
        for action, probability in zip(game.actions(state), row, strict=True):
            yield game.apply(state, action), float(probability)


def recursive_value(game: Game, rows: Behaviour, state: Any = ...) -> np.ndarray:
    """`[U]` expected payoff from a state on (the root by default)."""
    state = game.root() if state is ... else state
    if game.player(state) == TERMINAL:
        return np.atleast_1d(np.asarray(game.payoff(state), dtype=float))
    children = moves(game, state, rows)
    return sum((p * recursive_value(game, rows, child) for child, p in children), start=np.zeros(1))


def random_or_pure_policy(tree: Tree, seed: int) -> TabularPolicy:
    """A random policy: mixed everywhere, pure everywhere, or some of both."""
    generator = np.random.default_rng(seed)
    mixed, pure = random_policy(tree, generator), random_pure_policy(tree, generator)
    share = generator.choice([0.0, 0.5, 1.0])
    is_pure = (generator.random(tree.num_info_sets) < share)[tree.entry_info_set]
    return TabularPolicy(tree.game_id, np.where(is_pure, pure.probabilities, mixed.probabilities))


seeds = st.integers(0, 2**32 - 1)
public_games = st.builds(RandomPublicGame, seeds)
general_sum_public_games = st.builds(RandomPublicGame, seeds, common=st.just(False))
general_games = st.builds(RandomGame, seeds)
general_sum_games = st.builds(RandomGame, seeds, common=st.just(False))
common_payoff_games = st.one_of(public_games, general_games)
any_games = st.one_of(public_games, general_games, general_sum_public_games, general_sum_games)
