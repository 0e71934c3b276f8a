"""Behaviour policies: one probability per (information set, legal action)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trine.core.artifacts import read_arrays, read_metadata, write_arrays
from trine.core.errors import DataError
from trine.games.tree import Tree

_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class TabularPolicy:
    """The joint policy of all players.

    Attributes:
      game_id: the game it belongs to.
      probabilities: `[E]` float64; entries `tree.entry_start[i]:tree.entry_start[i+1]` are the
        action probabilities at information set i and sum to 1.
    """

    game_id: str
    probabilities: np.ndarray

    def is_pure(self) -> bool:
        """Whether every information set plays one action with certainty."""
        return bool(np.all((self.probabilities == 0) | (self.probabilities == 1)))


def set_sums(tree: Tree, entries: np.ndarray) -> np.ndarray:
    """`[I]` sum of `[E]` values over the actions of each information set."""
    return np.add.reduceat(entries, tree.entry_start[:-1])


def uniform_policy(tree: Tree) -> TabularPolicy:
    """All legal actions equally likely."""
    actions = np.diff(tree.entry_start)
    return TabularPolicy(tree.game_id, np.repeat(1 / actions, actions))


def random_policy(tree: Tree, generator: np.random.Generator) -> TabularPolicy:
    """Uniform random numbers, normalised at each information set."""
    # 1 - [0, 1) is never 0, so no information set can sum to nothing.
    numbers = 1 - generator.random(tree.num_entries)
    return TabularPolicy(
        tree.game_id, numbers / np.repeat(set_sums(tree, numbers), np.diff(tree.entry_start))
    )


def random_pure_policy(tree: Tree, generator: np.random.Generator) -> TabularPolicy:
    """One uniformly drawn action at each information set."""
    return pure_policy(tree, generator.integers(np.diff(tree.entry_start)))


def pure_policy(tree: Tree, actions: np.ndarray) -> TabularPolicy:
    """The policy that plays action `actions[i]` at information set i.

    Args:
      tree: the game.
      actions: `[I]` action indices.
    """
    probabilities = np.zeros(tree.num_entries)
    probabilities[tree.entry_start[:-1] + actions] = 1.0
    return TabularPolicy(tree.game_id, probabilities)


def most_likely_actions(tree: Tree, policy: TabularPolicy) -> np.ndarray:
    """`[I]` index of the most likely action (the first of several) at each information set."""
    best = np.maximum.reduceat(policy.probabilities, tree.entry_start[:-1])
    is_best = policy.probabilities == np.repeat(best, np.diff(tree.entry_start))
    position = np.where(is_best, np.arange(tree.num_entries), tree.num_entries)
    return np.minimum.reduceat(position, tree.entry_start[:-1]) - tree.entry_start[:-1]


def purified(tree: Tree, policy: TabularPolicy) -> TabularPolicy:
    """The most likely action of each information set, played with certainty."""
    return pure_policy(tree, most_likely_actions(tree, policy))


def check_policy(tree: Tree, policy: TabularPolicy) -> None:
    """Refuse a policy that does not belong to the tree.

    Raises:
      DataError: wrong game, wrong length, or rows that are not probability distributions.
    """
    if policy.game_id != tree.game_id:
        raise DataError(
            f"the policy is for {policy.game_id}, the tree for {tree.game_id}; "
            "solve that game or load the policy of this one"
        )
    probabilities = policy.probabilities
    if probabilities.shape != (tree.num_entries,) or probabilities.dtype != np.float64:
        raise DataError(
            f"the policy of {policy.game_id} has {probabilities.shape} {probabilities.dtype} "
            f"entries; expected ({tree.num_entries},) float64; it comes from another version of "
            "the game: solve again"
        )
    if not np.all(probabilities >= 0) or not np.allclose(
        set_sums(tree, probabilities), 1, rtol=0, atol=_TOLERANCE
    ):
        raise DataError(
            f"the policy of {policy.game_id} has negative probabilities or rows that do not sum to "
            "1; normalise it first"
        )


def save_policy(policy: TabularPolicy, path: Path) -> None:
    """Write a policy as safetensors, atomically."""
    write_arrays(path, {"probabilities": policy.probabilities}, {"game_id": policy.game_id})


def load_policy(path: Path, tree: Tree) -> TabularPolicy:
    """Read a policy and check that it belongs to the tree.

    Raises:
      DataError: no such file, not a policy file, or a policy for another game.
    """
    arrays, metadata = read_arrays(path), read_metadata(path)
    if "probabilities" not in arrays or "game_id" not in metadata:
        raise DataError(
            f"{path} is not a policy file: it holds {sorted(arrays)}; expected `probabilities` and "
            "a game_id, as written by `trine games solve`"
        )
    policy = TabularPolicy(metadata["game_id"], arrays["probabilities"])
    check_policy(tree, policy)
    return policy
