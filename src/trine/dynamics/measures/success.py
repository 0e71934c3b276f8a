"""How many teacher nodes are found, by how many students, and how often (spec 8).

A teacher node is *matched* at a threshold t if some student node correlates with it above t. Tian
2020 (arXiv 1909.13458) counts matched nodes at several thresholds and, over seeds, the *success
rate* of each teacher node by its index, which under a decay p orders nodes by strength.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

from trine.core.errors import UsageError

__all__ = ["THRESHOLDS", "SuccessRate", "matched_counts", "students_per_teacher", "success_rate"]

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""The paper's thresholds of the correlation."""


@dataclass(frozen=True, slots=True)
class SuccessRate:
    """Success of every teacher node over R networks.

    Attributes:
      rate: `[m]`, share of networks in which the node is matched.
      low: `[m]`, lower end of Wilson's 95 % interval of the rate.
      high: `[m]`, upper end.
      networks: R.
    """

    rate: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    networks: int


def matched_counts(
    best: ArrayLike, thresholds: tuple[float, ...] = THRESHOLDS
) -> NDArray[np.int64]:
    """Matched teacher nodes at each threshold.

    Args:
      best: `[..., m]`, best correlation of each teacher node; NaN counts as not matched.
      thresholds: T of them.

    Returns:
      `[..., T]`.
    """
    values = np.asarray(best, dtype=np.float64)
    return np.stack([(values > t).sum(-1) for t in _checked(thresholds)], axis=-1)


def students_per_teacher(
    correlation: ArrayLike, thresholds: tuple[float, ...] = THRESHOLDS
) -> NDArray[np.int64]:
    """How many student nodes each teacher node has above each threshold.

    Args:
      correlation: `[..., m, n]`, teacher node by student node.
      thresholds: T of them.

    Returns:
      `[..., T, m]`.
    """
    values = np.asarray(correlation)
    return np.stack([(values > t).sum(-1) for t in _checked(thresholds)], axis=-2)


def success_rate(best: ArrayLike, threshold: float = 0.95) -> SuccessRate:
    """Share of networks in which each teacher node is matched, by teacher index.

    Args:
      best: `[R, m]`, best correlation of each teacher node; NaN counts as not matched.
      threshold: of the correlation.

    Raises:
      UsageError: another shape, no network, or a threshold outside (0, 1).

    Source: interval of Wilson 1927, which stays inside [0, 1] at rates of 0 and 1.
    """
    values = np.asarray(best, dtype=np.float64)
    if values.ndim != 2 or not len(values):
        raise UsageError(f"best correlations of shape {values.shape}", accepted="[R, m], R > 0")
    (level,) = _checked((threshold,))
    count = len(values)
    hits = (values > level).sum(0)
    intervals: list[Any] = [
        binomtest(int(k), count).proportion_ci(0.95, method="wilson") for k in hits
    ]
    low, high = (np.array([getattr(i, end) for i in intervals]) for end in ("low", "high"))
    return SuccessRate(hits / count, low, high, count)


def _checked(thresholds: tuple[float, ...]) -> tuple[float, ...]:
    for threshold in thresholds:
        if not (math.isfinite(threshold) and 0 < threshold < 1):
            raise UsageError(f"threshold {threshold}", accepted="a number between 0 and 1")
    return thresholds
