"""Whether winners were near at the start: initial ranks and a permutation test (spec 8).

The *winner* of a teacher node is the student node that correlates most with it at the end; its
*initial rank* is its place when student nodes are sorted by correlation at the start, 0 the
nearest. Luck, as Tian et al. 2019 mean it, is a rank near 0; chance gives (n - 1) / 2 of n nodes.

The test: if the start did not matter, student nodes could be renumbered before training without
changing who wins. All teacher nodes of a layer are renumbered together, which keeps two that share
a winner together. p is the share of renumberings, the real one counted, whose mean rank is as low.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trine.core.errors import UsageError

__all__ = ["Luck", "initial_ranks", "luck"]

PERMUTATIONS = 10_000


@dataclass(frozen=True, slots=True)
class Luck:
    """Initial ranks of the winners of a layer.

    Attributes:
      ranks: `[k]`, of the winners of teacher nodes that are alive, all networks.
      rank_mean: their mean.
      rank_chance: what chance gives, (n - 1) / 2.
      p_value: of a mean rank as low; one-sided.
      students: n.
    """

    ranks: NDArray[np.int64]
    rank_mean: float
    rank_chance: float
    p_value: float
    students: int

    @property
    def share(self) -> float:
        """Mean rank over n: 0 is luck, 1/2 is chance."""
        return self.rank_mean / self.students


def initial_ranks(initial: ArrayLike, final: ArrayLike) -> NDArray[np.int64]:
    """Rank at the start of the winner at the end.

    Args:
      initial: correlations at the start, `[..., m, n]`, teacher node by student node.
      final: correlations at the end, likewise.

    Returns:
      `[..., m]`, 0 the nearest; ties at the start count half of the others as nearer, rounded down.

    Raises:
      UsageError: different shapes.
    """
    start, end = np.asarray(initial), np.asarray(final)
    if start.shape != end.shape or start.ndim < 2:
        raise UsageError(f"correlations of shapes {start.shape} and {end.shape}", accepted="equal")
    winners = end.argmax(-1)[..., None]
    own = np.take_along_axis(start, winners, -1)
    nearer = (start > own).sum(-1)
    tied = (start == own).sum(-1) - 1
    return nearer + tied // 2


def luck(
    initial: ArrayLike,
    final: ArrayLike,
    generator: np.random.Generator,
    *,
    alive: ArrayLike | None = None,
    permutations: int = PERMUTATIONS,
) -> Luck:
    """Initial ranks of the winners of one layer, tested.

    Args:
      initial: correlations at the start, `[R, m, n]` or `[m, n]`.
      final: at the end, likewise.
      generator: draws the renumberings.
      alive: which teacher nodes count, `[R, m]` or `[m]`; all by default.
      permutations: how many renumberings.

    Raises:
      UsageError: different shapes, or no teacher node left.
    """
    start, end = np.asarray(initial, dtype=np.float64), np.asarray(final, dtype=np.float64)
    if start.ndim == 2:
        start, end = start[None], end[None]
    ranks = initial_ranks(start, end)  # [R, m]
    count, teachers, students = start.shape
    use = (
        np.ones((count, teachers), dtype=bool)
        if alive is None
        else np.asarray(alive, dtype=bool).reshape(count, teachers)
    )
    if not use.any():
        raise UsageError("luck of a layer whose teacher nodes are all dead")
    winners = end.argmax(-1)
    # Rank of every student node for every teacher node: a renumbering picks from this table.
    table = np.argsort(np.argsort(-start, axis=-1, kind="stable"), axis=-1, kind="stable")
    total = np.zeros(permutations)
    for network in range(count):
        nodes = np.flatnonzero(use[network])
        # Only distinct winners need new numbers, without repetition.
        distinct, place = np.unique(winners[network, nodes], return_inverse=True)
        drawn = generator.random((permutations, students)).argsort(1)[:, : len(distinct)]
        total += table[network, nodes, drawn[:, place]].sum(1)
    observed = ranks[use]
    as_low = int((total <= observed.sum() + 1e-9).sum())
    return Luck(
        ranks=observed,
        rank_mean=float(observed.mean()),
        rank_chance=(students - 1) / 2,
        p_value=(as_low + 1) / (permutations + 1),
        students=students,
    )
