"""Trine's own search for the best joint policy: restarted local search from perturbed policies.

Where joint policy search stops at a policy that no chain improves, this method goes on:

1. climb from a random pure policy to a local optimum;
2. move a few reached information sets to random actions and climb again; keep the result if it is
   not worse;
3. after `patience` climbs without progress start afresh; the best policy of all is returned.

One default setting for all games. In two-player games with public actions a climb uses best
responses and deviations with a fan of replies (`local_search_public`); on any other tree best
responses and exact chains of joint policy search. `docs/methods/best.md` has the ablation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from trine.core.errors import UsageError
from trine.games.best_response import best_response
from trine.games.jps import ChainSearch
from trine.games.local_search_public import climb, public_arrays, reached_states
from trine.games.policy import TabularPolicy, most_likely_actions, pure_policy
from trine.games.traversal import Evaluation
from trine.games.tree import LEAF, Tree

PROGRESS = 1e-9
"""Values that differ by less are equal, game points."""


@dataclass(frozen=True, slots=True)
class BestSettings:
    """Settings of the search.

    Attributes:
      climbs: number of climbs in all.
      moved_sets: mean number of reached information sets that a perturbation moves, at least 1.
      patience: climbs without progress before a fresh start; 0 never starts afresh.
      fan: climb with joint deviations, not with best responses alone (off for ablation).
    """

    climbs: int = 4000
    moved_sets: float = 2.0
    patience: int = 100
    fan: bool = True


@dataclass(frozen=True, slots=True)
class BestResult:
    """Outcome of the search.

    Attributes:
      policy: the best pure joint policy found.
      value: its exact expected payoff, game points.
      values: `[climbs]` best value so far after each climb.
    """

    policy: TabularPolicy
    value: float
    values: np.ndarray


class _Climber(Protocol):
    """Local search over pure policies, `actions [I]`."""

    def climb(self, actions: np.ndarray, generator: np.random.Generator) -> float:
        """Improve in place to a local optimum; returns its value."""
        ...

    def reached_sets(self, actions: np.ndarray) -> np.ndarray:
        """Information sets with a choice that the policy reaches."""
        ...


class _PublicClimber:
    """The compiled route for two players with public actions."""

    def __init__(self, tree: Tree, fan: bool) -> None:
        public = tree.public
        assert public is not None
        self.fan = fan
        self.game = public_arrays(tree)
        self.cards = public.cards
        most_types, levels = int(public.num_types.max()), int(public.depth.max()) + 2
        self.values = tree.payoff[0].copy()
        self.queue = np.empty(len(public.player), dtype=np.int64)
        self.alive = np.zeros((2, len(public.player), most_types), dtype=np.bool_)
        self.companion = np.zeros((levels, most_types), dtype=np.int64)
        self.path_action = np.empty(levels, dtype=np.int64)
        self.best_path = np.empty(levels, dtype=np.int64)

    def climb(self, actions: np.ndarray, generator: np.random.Generator) -> float:
        return climb(
            self.game, self.cards, actions, self.values, self.queue, self.alive, self.companion,
            self.path_action, self.best_path, self.fan, generator,
        )  # fmt: skip

    def reached_sets(self, actions: np.ndarray) -> np.ndarray:
        game = self.game
        states = self.queue[: reached_states(game, actions, self.queue, self.alive)]
        states = states[(game.player[states] != LEAF) & (game.num_actions[states] > 1)]
        mover = game.player[states]
        # The mover may have fewer cards than the partner: what lies beyond them is left over.
        is_card = np.arange(self.alive.shape[2]) < game.num_types[mover][:, None]
        where, card = np.nonzero(self.alive[mover, states] & is_card)
        return game.first_info_set[states[where]] + card


class _GeneralClimber:
    """Best responses and chains on any tree."""

    depth = 2

    def __init__(self, tree: Tree, fan: bool) -> None:
        self.tree = tree
        self.fan = fan
        self.search = ChainSearch(tree, self.depth)
        self.chances = np.diff(tree.entry_start) > 1

    def climb(self, actions: np.ndarray, generator: np.random.Generator) -> float:
        tree = self.tree
        policy = pure_policy(tree, actions)
        value = -np.inf
        while True:
            player = int(generator.integers(tree.num_players))
            stale = 0
            while stale < tree.num_players:
                # Ties at random: where the partner never comes, any reply may be the one that a
                # later deviation needs.
                response = best_response(tree, policy, player, generator=generator)
                stale = 0 if response.value > value + PROGRESS else stale + 1
                value, policy = max(value, response.value), response.policy
                player = (player + 1) % tree.num_players
            probabilities = policy.probabilities.copy()
            self.search.evaluate(probabilities)
            actions[:] = most_likely_actions(tree, policy)
            if not self.fan:
                return value
            gain, sets, chosen = self.search.best_chain(self.reached_sets(actions), generator)
            if gain <= PROGRESS:
                return value
            actions[sets] = chosen
            policy = pure_policy(tree, actions)

    def reached_sets(self, actions: np.ndarray) -> np.ndarray:
        tree = self.tree
        reach = np.zeros(tree.num_states)
        reach[0] = 1.0
        reach = _reach_of_nodes(tree, pure_policy(tree, actions).probabilities, reach)
        sets = np.unique(tree.info_set[tree.slot_node[reach[tree.slot_node] > 0]])
        return sets[self.chances[sets]]


def _reach_of_nodes(tree: Tree, probabilities: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """`[H]` probability that each decision node is reached, by the last own entries above it."""
    own = np.ones(tree.num_entries + 1)  # the last one stands for "no entry", index -1
    for i in range(tree.num_info_sets):
        entries = slice(tree.entry_start[i], tree.entry_start[i + 1])
        own[entries] = own[tree.parent_entry[i]] * probabilities[entries]
    reach[tree.slot_node] = tree.slot_chance * own[tree.slot_sequence].prod(axis=1)
    return reach


def best_search(
    tree: Tree,
    *,
    generator: np.random.Generator,
    settings: BestSettings | None = None,
    stop_at: float = np.inf,
    use_public: bool = True,
    on_climb: Callable[[int, float], None] | None = None,
) -> BestResult:
    """Search for the best joint policy of a cooperative game.

    Args:
      tree: a game whose players share one payoff.
      generator: all randomness.
      settings: the defaults suit all games.
      stop_at: stop as soon as this value is reached, e.g. a proved bound, game points.
      use_public: whether to use the compiled route where the tree allows it.
      on_climb: called with (climb from 0, best value so far).

    Raises:
      UsageError: payoffs differ between players, or a setting is out of range.
    """
    settings = settings or BestSettings()
    if settings.climbs < 1 or settings.moved_sets < 1 or settings.patience < 0:
        raise UsageError(
            f"climbs={settings.climbs}, moved_sets={settings.moved_sets}, "
            f"patience={settings.patience}",
            accepted="at least 1, 1 and 0",
        )
    if not tree.is_common_payoff:
        raise UsageError(
            f"best search on {tree.game_id}: players have different payoffs",
            accepted="games with one shared payoff",
            hint="use --method cfr or cfr+",
        )
    public = tree.public
    compiled = use_public and public is not None and public.deal_index is not None
    climber: _Climber = (
        _PublicClimber(tree, settings.fan) if compiled else _GeneralClimber(tree, settings.fan)
    )
    num_actions = np.diff(tree.entry_start)

    best, best_actions = -np.inf, np.zeros(0, dtype=np.int64)
    value, current, stale = -np.inf, best_actions, 0
    history: list[float] = []
    for n in range(settings.climbs):
        fresh = n == 0 or (settings.patience > 0 and stale >= settings.patience)
        if fresh:
            candidate, value = generator.integers(num_actions), -np.inf
        else:
            candidate = current.copy()
            sets = climber.reached_sets(current)
            count = min(len(sets), 1 + int(generator.poisson(settings.moved_sets - 1)))
            moved = generator.choice(sets, size=count, replace=False)
            candidate[moved] = generator.integers(num_actions[moved])
        reached = climber.climb(candidate, generator)
        stale = 0 if reached > value + PROGRESS else stale + 1
        if reached >= value - PROGRESS:
            current, value = candidate, reached
        if value > best + PROGRESS:
            best, best_actions = value, current.copy()
        history.append(best)
        if on_climb is not None:
            on_climb(n, best)
        if best >= stop_at - PROGRESS:
            break
    policy = pure_policy(tree, best_actions)
    exact = Evaluation(tree).update(policy.probabilities)
    return BestResult(policy, exact, np.array(history))
