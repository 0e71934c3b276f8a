"""Mean, standard error, bootstrap and paired comparison of results over seeds.

NaN policy: a NaN among the values makes every statistic NaN. A failed seed must be seen, never
silently dropped. With a single value the standard error and the interval are NaN, because one seed
says nothing about spread.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from trine.core.errors import UsageError

__all__ = [
    "Interval",
    "Summary",
    "bootstrap_interval",
    "clustered_difference",
    "clustered_interval",
    "paired_difference",
    "summarise",
    "summarise_by",
    "summarise_clustered",
]


@dataclass(frozen=True, slots=True)
class Summary:
    """Values over seeds in five numbers; units are those of the values.

    Attributes:
      count: number of values.
      mean: arithmetic mean.
      standard_error: sample standard deviation (divisor n - 1) over the square root of n.
      minimum: smallest value.
      maximum: largest value.
    """

    count: int
    mean: float
    standard_error: float
    minimum: float
    maximum: float

    def text(self, digits: int = 2) -> str:
        """`1.07 ± 0.01`; without the second part if there is one value only."""
        if math.isnan(self.standard_error):
            return f"{self.mean:.{digits}f}"
        return f"{self.mean:.{digits}f} ± {self.standard_error:.{digits}f}"


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with an interval around it.

    Attributes:
      estimate: the statistic of all values.
      low: lower end.
      high: upper end.
      level: of confidence, e.g. 0.95.
    """

    estimate: float
    low: float
    high: float
    level: float


def _values(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise UsageError(
            f"values of shape {array.shape}", accepted="one dimension with at least one value"
        )
    return array


def summarise(values: ArrayLike) -> Summary:
    """Count, mean, standard error, minimum and maximum of `[n]` values."""
    array = _values(values)
    error = float(array.std(ddof=1) / math.sqrt(array.size)) if array.size > 1 else math.nan
    return Summary(array.size, float(array.mean()), error, float(array.min()), float(array.max()))


def summarise_clustered(values: ArrayLike, clusters: ArrayLike) -> Summary:
    """As `summarise`, with a standard error for values that are not independent within a cluster.

    The sums of residuals of whole clusters take the place of the residuals; with one value in each
    cluster it is the ordinary standard error. With one cluster it is NaN.

    Args:
      values: `[n]`.
      clusters: `[n]` integers, the cluster of each.

    Raises:
      UsageError: nothing to count, or not a cluster for each value.

    Source: Liang and Zeger 1986, Biometrika 73, section 2, for the mean.
    """
    array, names = _values(values), np.asarray(clusters)
    if names.shape != array.shape:
        raise UsageError(f"{len(array)} values in {len(names)} clusters", accepted="one for each")
    _, place = np.unique(names, return_inverse=True)
    residuals = np.bincount(place, array - array.mean())
    count, error = len(residuals), math.nan
    if count > 1:
        error = math.sqrt(float(residuals @ residuals) * count / (count - 1)) / array.size
    return Summary(array.size, float(array.mean()), error, float(array.min()), float(array.max()))


def bootstrap_interval(
    values: ArrayLike,
    generator: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    statistic: Callable[..., Any] = np.mean,
) -> Interval:
    """Percentile bootstrap interval of a statistic of `[n]` values.

    Args:
      values: `[n]`.
      generator: draws the resamples.
      level: of confidence, between 0 and 1.
      resamples: how many.
      statistic: reduces an array along `axis`, e.g. `np.mean`, `np.median`.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 13.3.
    """
    if not 0 < level < 1:
        raise UsageError(f"confidence level {level}", accepted="a number between 0 and 1")
    array = _values(values)
    estimate = float(statistic(array, axis=0))
    if array.size == 1 or bool(np.isnan(array).any()):
        return Interval(estimate, math.nan, math.nan, level)
    chosen = generator.integers(array.size, size=(resamples, array.size))  # [resamples, n]
    spread = np.asarray(statistic(array[chosen], axis=1), dtype=np.float64)
    low, high = np.quantile(spread, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high), level)


def clustered_interval(
    values: ArrayLike,
    clusters: ArrayLike,
    generator: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
) -> Interval:
    """Mean of all values, with a percentile interval by resampling whole clusters (e.g. seeds).

    For values that share something within a cluster and are not independent there; clusters may
    differ in size. With one cluster the interval is NaN.

    Args:
      values: `[k]`, e.g. hits, 0 or 1.
      clusters: `[k]`, the cluster of each.
      generator: draws the resamples.
      level: of confidence.
      resamples: how many.

    Raises:
      UsageError: nothing to count.

    Source: Davison and Hinkley 1997, Bootstrap Methods and their Application, section 3.8.
    """
    table = _sums(values, clusters)
    chosen = generator.integers(len(table), size=(resamples, len(table)))
    return _percentiles(_ratio(table.sum(0)), _ratio(table[chosen].sum(1)), len(table), level)


def clustered_difference(
    first: ArrayLike,
    first_clusters: ArrayLike,
    second: ArrayLike,
    second_clusters: ArrayLike,
    generator: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
) -> Interval:
    """Mean of the first minus that of the second, the same clusters resampled in both.

    Args as in `clustered_interval`.

    Raises:
      UsageError: different clusters, or nothing to count.
    """
    a, b = _sums(first, first_clusters), _sums(second, second_clusters)
    names = [sorted(set(np.asarray(c).tolist())) for c in (first_clusters, second_clusters)]
    if names[0] != names[1]:
        raise UsageError(f"clusters {names[0]} and {names[1]}", accepted="the same in both")
    chosen = generator.integers(len(a), size=(resamples, len(a)))
    spread = _ratio(a[chosen].sum(1)) - _ratio(b[chosen].sum(1))
    return _percentiles(_ratio(a.sum(0)) - _ratio(b.sum(0)), spread, len(a), level)


def _sums(values: ArrayLike, clusters: ArrayLike) -> NDArray[np.float64]:
    """Sum and number of the values of each cluster, `[clusters, 2]`, in order of their names."""
    array, names = np.asarray(values, dtype=np.float64), np.asarray(clusters)
    if not len(array) or len(array) != len(names):
        raise UsageError(f"{len(array)} values in {len(names)} clusters", accepted="at least one")
    return np.array(
        [[array[names == name].sum(), (names == name).sum()] for name in np.unique(names)]
    )


def _ratio(sums: NDArray[np.float64]) -> Any:
    return sums[..., 0] / sums[..., 1]


def _percentiles(estimate: Any, spread: Any, clusters: int, level: float) -> Interval:
    if clusters < 2:  # one says nothing about spread
        return Interval(float(estimate), math.nan, math.nan, level)
    low, high = np.quantile(spread, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(estimate), float(low), float(high), level)


def paired_difference(first: ArrayLike, second: ArrayLike) -> Summary:
    """Summary of `second - first`, seed by seed; both `[n]` in the same order of seeds."""
    before, after = _values(first), _values(second)
    if before.size != after.size:
        raise UsageError(
            f"{before.size} and {after.size} values", accepted="the same seeds in both"
        )
    return summarise(after - before)


def summarise_by(frame: pl.DataFrame, by: Sequence[str], value: str) -> pl.DataFrame:
    """One row a group, in order of first appearance.

    Args:
      frame: one row a seed.
      by: columns that make a group.
      value: numeric column.

    Returns:
      The columns of `by`, then `count`, `mean`, `standard_error`, `minimum`, `maximum`.
    """
    rows: list[dict[str, Any]] = []
    for key, group in frame.group_by(list(by), maintain_order=True):
        summary = summarise(group[value].cast(pl.Float64).fill_null(math.nan).to_numpy())
        rows.append(
            {
                **dict(zip(by, key, strict=True)),
                "count": summary.count,
                "mean": summary.mean,
                "standard_error": summary.standard_error,
                "minimum": summary.minimum,
                "maximum": summary.maximum,
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)
