"""A joint policy as people read it: who calls what with which cards, and where deals end up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from trine.games.policy import TabularPolicy, most_likely_actions
from trine.games.traversal import fill_sequence_reach
from trine.games.tree import LEAF, PublicStructure, Tree

SMALLEST_PROBABILITY = 0.005
"""Actions and states less likely than this are left out of the tables."""


def convention_table(tree: Tree, policy: TabularPolicy) -> pl.DataFrame:
    """What a policy does wherever it gets to, in the order of play.

    Returns:
      One row per (situation, action): `depth`, `player`, `history` (or the information set's own
      label on trees without public structure), `cards`, `action`, `probability` with which the
      game passes here.
    """
    reach = _set_reach(tree, policy)
    public = tree.public
    rows: list[dict[str, object]] = []
    if public is None:
        for i in np.flatnonzero(reach > SMALLEST_PROBABILITY):
            for a in range(tree.num_actions(int(i))):
                p = policy.probabilities[tree.entry_start[i] + a]
                if p > SMALLEST_PROBABILITY:
                    rows.append(
                        {
                            "depth": int(tree.info_set_level[i]),
                            "player": int(tree.player[i]) + 1,
                            "history": tree.info_set_name(int(i)),
                            "cards": "",
                            "action": tree.action_name(int(i), a),
                            "probability": float(reach[i] * p),
                        }
                    )
        return _frame(rows)
    for s in np.flatnonzero(public.player != LEAF):
        player = int(public.player[s])
        first = int(public.first_info_set[s])
        sets = np.arange(first, first + public.num_types[player])
        for a in range(int(public.num_actions[s])):
            p = policy.probabilities[tree.entry_start[sets] + a]
            with_cards = reach[sets] * p
            if with_cards.sum() > SMALLEST_PROBABILITY:
                rows.append(
                    {
                        "depth": int(public.depth[s]),
                        "player": player + 1,
                        "history": " ".join(str(x) for x in public.history(int(s))),
                        "cards": _cards(tree, sets, with_cards, p),
                        "action": tree.action_name(first, a),
                        "probability": float(with_cards.sum()),
                    }
                )
    return _frame(rows)


def _frame(rows: Sequence[dict[str, object]]) -> pl.DataFrame:
    schema = {
        "depth": pl.Int64, "player": pl.Int64, "history": pl.String, "cards": pl.String,
        "action": pl.String, "probability": pl.Float64,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema)


def _cards(tree: Tree, sets: np.ndarray, reach: np.ndarray, probability: np.ndarray) -> str:
    """`0-3 7 9(50%)`: runs of cards that do this for sure, others with their probability."""
    names = [tree.info_set_name(int(i)).partition("[")[2].partition("]")[0] for i in sets]
    words: list[str] = []
    n = 0
    while n < len(sets):
        if reach[n] <= 0 or probability[n] <= SMALLEST_PROBABILITY:
            n += 1
            continue
        end = n
        sure = probability[n] > 1 - SMALLEST_PROBABILITY
        while (
            sure
            and end + 1 < len(sets)
            and reach[end + 1] > 0
            and probability[end + 1] > 1 - SMALLEST_PROBABILITY
        ):
            end += 1
        if not sure:
            words.append(f"{names[n]}({probability[n]:.0%})")
        elif end == n:
            words.append(names[n])
        else:
            words.append(f"{names[n]}-{names[end]}" if end > n + 1 else f"{names[n]} {names[end]}")
        n = end + 1
    return " ".join(words)


def _set_reach(tree: Tree, policy: TabularPolicy) -> np.ndarray:
    """`[I]` probability that play comes to each information set."""
    own = np.empty(tree.num_entries + 1)
    fill_sequence_reach(tree.entry_start, tree.parent_entry, policy.probabilities, own[:-1])
    own[-1] = 1.0  # index -1: no own action yet
    node_reach = tree.slot_chance * own[tree.slot_sequence].prod(axis=1)
    return np.bincount(
        tree.info_set[tree.slot_node], weights=node_reach, minlength=tree.num_info_sets
    )


def final_states(public: PublicStructure, tree: Tree, policy: TabularPolicy) -> np.ndarray:
    """`[K]` terminal public state of each deal, playing the most likely actions."""
    actions = most_likely_actions(tree, policy)
    end = np.zeros(len(public.probability), dtype=np.int64)
    for _ in range(int(public.depth.max())):
        going = public.player[end] != LEAF
        player = public.player[end[going]]
        card = public.cards[going, player]
        end[going] = (
            public.first_child[end[going]] + actions[public.first_info_set[end[going]] + card]
        )
    return end
