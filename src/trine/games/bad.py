"""Bayesian Action Decoder (Foerster et al. 2019) in a small tabular form.

A *public agent* that sees only what everybody sees plays for whoever is to move. At a public state
it draws a deterministic *prescription*: one action for every private card the mover may hold. The
mover executes the entry of the own card, and because everybody knows the prescription, everybody
can tell which cards are still possible: the *public belief*, here exact by Bayes' rule over the
deals. Later prescriptions depend on that belief, so that a code can be agreed on while it is being
sent.

Per update, a batch of games; at every decision taken

    prescription:  gamma(t) ~ softmax( theta[s] x )_t  for every possible card t, independently
    step up:       advantage * sum over t of log pi(gamma(t)) + entropy weight * sum of H(pi_t)
    advantage:     payoff of the game - v[s] x

where s is the public state and x the features of the public belief: the constant 1, and for every
card of every player its probability under the belief minus that in the deal. (Bayes' rule is
applied to whole deals, so a card may also be ruled out by what the other player did.)

What differs from the original: a linear table per public state in place of one network for all (so
nothing is shared between public states); the belief is exact, no factorised approximation being
needed at this size; cards already ruled out get no prescription, as it could not matter; Adam with
a falling entropy weight, one machine, no importance weighting and no population. What is reported
is the greedy public agent (every prescription the most likely one), which is an ordinary pure
policy, evaluated exactly on the tree. Payoffs are divided by their range inside the learner.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np

from trine.core.errors import UsageError
from trine.games.a2c import check_learner, payoff_range
from trine.games.policy import TabularPolicy, pure_policy
from trine.games.policy_gradient import (
    adam_ascent,
    add_policy_gradient,
    draw,
    draw_from_cumulative,
    softmax,
)
from trine.games.traversal import Evaluation
from trine.games.tree import LEAF, Tree


@dataclass(frozen=True, slots=True)
class BadOptions:
    """Settings of a run; the defaults are the ones of our tables.

    Attributes:
      updates: number of batches.
      batch: games per batch.
      policy_rate: Adam's step of the prescriptions' weights.
      value_rate: Adam's step of the baseline's weights (in payoff ranges).
      entropy: weight of the entropy at the start (in payoff ranges); falls to 0 in a straight line.
      evaluations: how often the greedy policy is evaluated along the way, at the end included.
    """

    updates: int = 2000
    batch: int = 256
    policy_rate: float = 0.05
    value_rate: float = 0.05
    entropy: float = 0.02
    evaluations: int = 20


@dataclass(frozen=True, slots=True)
class BadResult:
    """Outcome of a run.

    Attributes:
      policy: the greedy policy at the end, pure.
      value: its exact expected payoff, game points.
      values: `[evaluations]` exact values of the greedy policy along the way.
    """

    policy: TabularPolicy
    value: float
    values: np.ndarray


@numba.njit(cache=True)
def _read_belief(belief, cards, first_feature, prior, features, possible, mover):
    """Features of a public belief.

    Args:
      belief: `[K]` weights of the deals, not normalised; all 0 where play never comes.
      cards: `[K, P]`.
      first_feature: `[P + 1]` feature of each player's card 0.
      prior: `[F]` probability of each card in the deal.
      features: `[F]` output.
      possible: `[types]` output, cards the mover may hold.
      mover: who moves.

    Returns:
      The number of possible cards.
    """
    num_deals, num_players = cards.shape
    features[:] = 0.0
    total = 0.0
    for k in range(num_deals):
        if belief[k] > 0.0:
            total += belief[k]
            for p in range(num_players):
                features[first_feature[p] + cards[k, p]] += belief[k]
    num_possible = 0
    for x in range(first_feature[mover], first_feature[mover + 1]):
        if features[x] > 0.0:
            possible[num_possible] = x - first_feature[mover]
            num_possible += 1
    features[0] = 1.0
    for x in range(1, len(features)):
        features[x] = (features[x] / total if total > 0.0 else 0.0) - prior[x]
    return num_possible


# Adding in any order lets the processor add several products at once.
@numba.njit(cache=True, fastmath={"reassoc"})
def _product(weights, start, features):
    """Product of `weights[start : start + F]` and the features."""
    total = 0.0
    for x in range(len(features)):
        total += weights[start + x] * features[x]
    return total


@numba.njit(cache=True)
def _add_multiple(gradient, start, features, factor):
    """Add a multiple of the features to `gradient[start : start + F]`."""
    for x in range(len(features)):
        gradient[start + x] += factor * features[x]


@numba.njit(cache=True)
def _restrict(belief, cards, mover, prescription, action):
    """Bayes' rule after an action: deals in which the prescription says otherwise are out."""
    for k in range(len(belief)):
        if prescription[cards[k, mover]] != action:
            belief[k] = 0.0


@numba.njit(cache=True)
def _train(
    generator, first_update, last_update, updates, batch, policy_rate, value_rate, entropy, scale,
    longest, widest, policy_table, weight_start, value_table, count, payoff, player, first_child,
    num_actions, cards, chance, cumulative, num_types, first_feature, prior,
):  # fmt: skip
    # Rows of the tables: the weights themselves, their gradient, Adam's two moments.
    weights, gradient = policy_table[0], policy_table[1]
    baseline, baseline_gradient = value_table[0], value_table[1]
    num_deals, num_features, num_cards = len(chance), len(prior), num_types.max()
    belief = np.empty(num_deals)
    # One row per decision of a game.
    logits = np.empty((longest, widest))
    path = np.empty(longest, dtype=np.int64)
    features = np.empty((longest, num_features))
    possible = np.empty((longest, num_cards), dtype=np.int64)
    num_possible = np.empty(longest, dtype=np.int64)
    probabilities = np.empty((longest, widest))
    prescription = np.full((longest, num_cards), -1, dtype=np.int64)
    direction = np.empty(widest)
    touched = np.empty(len(count), dtype=np.int64)
    is_touched = np.zeros(len(count), dtype=np.bool_)
    for update in range(first_update, last_update):
        bonus = entropy * (1.0 - update / updates)
        num_touched = 0
        for _ in range(batch):
            # -- a game: deal, then prescription after prescription
            k = draw_from_cumulative(cumulative, 0, num_deals, generator)
            belief[:] = chance
            s = 0
            steps = 0
            while player[s] != LEAF:
                i, actions = player[s], num_actions[s]
                num_possible[steps] = _read_belief(
                    belief, cards, first_feature, prior, features[steps], possible[steps], i
                )
                for t in possible[steps, : num_possible[steps]]:
                    start, end = t * actions, (t + 1) * actions
                    for y in range(start, end):
                        logits[steps, y] = _product(
                            weights, weight_start[s] + y * num_features, features[steps]
                        )
                    softmax(logits[steps], probabilities[steps], start, end)
                    prescription[steps, t] = (
                        draw(probabilities[steps], start, end, generator) - start
                    )
                path[steps] = s
                a = prescription[steps, cards[k, i]]
                _restrict(belief, cards, i, prescription[steps], a)
                s = first_child[s] + a
                steps += 1
            # -- credit for whole prescriptions
            outcome = payoff[1 + s * num_deals + k] * scale
            for step in range(steps):
                s = path[step]
                actions = num_actions[s]
                x = features[step]
                advantage = outcome - _product(baseline, s * num_features, x)
                _add_multiple(baseline_gradient, s * num_features, x, advantage)
                for t in possible[step, : num_possible[step]]:
                    start, end = t * actions, (t + 1) * actions
                    direction[start:end] = 0.0
                    add_policy_gradient(
                        direction, logits[step], probabilities[step],
                        start + prescription[step, t], start, end, advantage, bonus,
                    )  # fmt: skip
                    for y in range(start, end):
                        _add_multiple(gradient, weight_start[s] + y * num_features, x, direction[y])
                if not is_touched[s]:
                    is_touched[s] = True
                    touched[num_touched] = s
                    num_touched += 1
        for s in touched[:num_touched]:
            is_touched[s] = False
            count[s] += 1
            adam_ascent(policy_table, weight_start[s], weight_start[s + 1], count[s], policy_rate)
            adam_ascent(value_table, s * num_features, (s + 1) * num_features, count[s], value_rate)


@numba.njit(cache=True)
def _greedy_actions(
    actions_of_set, weights, weight_start, player, first_child, num_actions, first_info_set, cards,
    chance, num_types, first_feature, prior, widest,
):  # fmt: skip
    """The most likely prescriptions, under the beliefs that these prescriptions lead to.

    Cards that are ruled out get the first action; they never come to play it.
    """
    belief = np.zeros((len(player), len(chance)))
    belief[0] = chance
    features = np.empty(len(prior))
    possible = np.empty(num_types.max(), dtype=np.int64)
    prescription = np.empty(num_types.max(), dtype=np.int64)
    logits = np.empty(widest)
    for s in range(len(player)):
        i, actions = player[s], num_actions[s]
        if i == LEAF:
            continue
        num_possible = _read_belief(belief[s], cards, first_feature, prior, features, possible, i)
        prescription[:] = 0
        for t in possible[:num_possible]:
            for y in range(t * actions, (t + 1) * actions):
                logits[y] = _product(weights, weight_start[s] + y * len(prior), features)
            prescription[t] = np.argmax(logits[t * actions : (t + 1) * actions])
        for t in range(num_types[i]):
            actions_of_set[first_info_set[s] + t] = prescription[t]
        for a in range(actions):
            below = belief[first_child[s] + a]
            below[:] = belief[s]
            _restrict(below, cards, i, prescription, a)


def bad(
    tree: Tree,
    *,
    generator: np.random.Generator,
    options: BadOptions | None = None,
    on_iteration: Callable[[int, float], None] | None = None,
) -> BadResult:
    """Train a public agent by policy gradient on prescriptions.

    Args:
      tree: a game with one private deal, public actions, and one payoff shared by all players.
      generator: randomness of deals and prescriptions.
      options: settings.
      on_iteration: called with (evaluation from 0, exact value of the greedy policy).

    Raises:
      UsageError: the game is of another kind, or an option is out of range.
    """
    options = options or BadOptions()
    check_learner(tree, "bad", options.updates, options.batch, options.evaluations)
    public = tree.public
    if public is None:
        raise UsageError(
            f"bad on {tree.game_id}, which has no public structure",
            accepted="games with one private deal followed by public actions",
            hint="use --method a2c or jps",
        )
    mover = np.maximum(public.player, 0)
    first_feature = np.concatenate([[1], 1 + np.cumsum(public.num_types)]).astype(np.int64)
    prior = np.zeros(first_feature[-1])
    np.add.at(prior, first_feature[:-1] + public.cards, public.probability[:, None])
    rows = public.num_types[mover].astype(np.int64) * public.num_actions
    weight_start = np.concatenate([[0], np.cumsum(len(prior) * rows)])
    num_states, widest = len(rows), int(rows.max())
    policy_table = np.zeros((4, weight_start[-1]))
    value_table = np.zeros((4, num_states * len(prior)))
    count = np.zeros(num_states, dtype=np.int64)
    cumulative = np.cumsum(public.probability)
    actions = np.zeros(tree.num_info_sets, dtype=np.int64)
    evaluation = Evaluation(tree)
    values = np.empty(options.evaluations)
    policy = pure_policy(tree, actions)
    ends = np.linspace(0, options.updates, options.evaluations + 1).astype(int)
    for index in range(options.evaluations):
        _train(
            generator, ends[index], ends[index + 1], options.updates, options.batch,
            options.policy_rate, options.value_rate, options.entropy, 1 / payoff_range(tree),
            tree.num_levels, widest, policy_table, weight_start, value_table, count,
            tree.payoff[0],
            public.player, public.first_child, public.num_actions, public.cards,
            public.probability, cumulative, public.num_types, first_feature, prior,
        )  # fmt: skip
        _greedy_actions(
            actions, policy_table[0], weight_start, public.player, public.first_child,
            public.num_actions, public.first_info_set, public.cards, public.probability,
            public.num_types, first_feature, prior, widest,
        )  # fmt: skip
        policy = pure_policy(tree, actions)
        values[index] = evaluation.update(policy.probabilities)
        if on_iteration is not None:
            on_iteration(index, float(values[index]))
    return BadResult(policy, float(values[-1]), values)
