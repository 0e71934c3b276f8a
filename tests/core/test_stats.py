import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from trine.core.errors import UsageError
from trine.core.stats import (
    bootstrap_interval,
    clustered_difference,
    clustered_interval,
    paired_difference,
    summarise,
    summarise_by,
    summarise_clustered,
)

numbers = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30)


@given(numbers)
def test_the_standard_error_is_scipys(values: list[float]):
    summary = summarise(values)
    assert summary.standard_error == pytest.approx(scipy_stats.sem(values), abs=1e-9)
    assert summary.mean == pytest.approx(math.fsum(values) / len(values), abs=1e-6)
    assert (summary.count, summary.minimum, summary.maximum) == (
        len(values),
        min(values),
        max(values),
    )


def test_one_value_has_no_spread_and_nan_is_seen():
    assert math.isnan(summarise([1.0]).standard_error)
    assert summarise([1.0]).text() == "1.00"
    assert summarise([1.0, 1.1]).text() == "1.05 ± 0.05"
    assert math.isnan(summarise([1.0, math.nan]).mean)
    assert math.isnan(bootstrap_interval([1.0, math.nan], np.random.default_rng(0)).low)
    assert math.isnan(bootstrap_interval([1.0], np.random.default_rng(0)).high)


@pytest.mark.parametrize("values", [[], [[1.0]], 3.0])
def test_no_values_are_refused(values: object):
    with pytest.raises(UsageError, match="one dimension"):
        summarise(values)  # pyright: ignore[reportArgumentType] (the point of the test)


def test_the_bootstrap_agrees_with_the_normal_interval():
    generator = np.random.default_rng(1)
    values = generator.normal(3, 2, size=400)
    interval = bootstrap_interval(values, generator, level=0.9)
    half = 1.645 * summarise(values).standard_error  # 0.95 quantile of the normal distribution
    assert interval.low == pytest.approx(values.mean() - half, abs=0.03)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.03)
    median = bootstrap_interval(values, generator, statistic=np.median)
    assert median.low < np.median(values) < median.high
    with pytest.raises(UsageError, match="confidence level 95"):
        bootstrap_interval(values, generator, level=95)


def test_pairing_removes_what_seeds_share():
    generator = np.random.default_rng(2)
    luck = generator.normal(0, 10, size=50)
    difference = paired_difference(luck, luck + 1)
    assert difference.mean == pytest.approx(1)
    assert difference.standard_error == pytest.approx(0, abs=1e-9)
    with pytest.raises(UsageError, match="2 and 1 values"):
        paired_difference([1, 2], [1])


def test_groups_keep_their_order():
    frame = pl.DataFrame({"method": ["jps", "cfr", "jps"], "value": [1.0, 2.0, 3.0]})
    table = summarise_by(frame, ["method"], "value")
    assert table["method"].to_list() == ["jps", "cfr"]
    assert table["mean"].to_list() == [2.0, 2.0]
    assert table["standard_error"].to_list() == pytest.approx([1.0, math.nan], nan_ok=True)
    assert table["count"].to_list() == [2, 1]


def test_share_and_interval_of_clusters():
    hits = [1] * 8 + [0] * 2
    whole = clustered_interval(hits, [0] * 5 + [1] * 5, np.random.default_rng(0))
    assert whole.estimate == 0.8
    assert (whole.low, whole.high) == (0.6, 1.0)  # the two seeds have shares 1 and .6
    each = clustered_interval(hits, list(range(10)), np.random.default_rng(0))
    assert 0.4 < each.low < 0.8 < each.high <= 1
    one = clustered_interval([1, 0], [3, 3], np.random.default_rng(0))
    assert one.estimate == 0.5
    assert math.isnan(one.low)
    with pytest.raises(UsageError, match="0 values"):
        clustered_interval([], [], np.random.default_rng(0))


def test_difference_of_shares_resamples_the_same_seeds():
    seeds = np.repeat(np.arange(6), 4)
    base = np.arange(24) % 4 < np.repeat([0, 1, 2, 3, 3, 2], 4)
    more = np.minimum(base + (np.arange(24) % 4 == 3), 1)  # one more hit of four in every seed
    found = clustered_difference(more, seeds, base, seeds, np.random.default_rng(0))
    assert found.estimate == pytest.approx(0.25)
    assert [found.low, found.high] == pytest.approx([0.25, 0.25])
    with pytest.raises(UsageError, match="the same in both"):
        clustered_difference([1, 0], [0, 1], [1, 0], [0, 2], np.random.default_rng(0))


@given(numbers)
def test_clusters_of_one_have_the_ordinary_error(values: list[float]):
    found = summarise_clustered(values, range(len(values)))
    assert found.standard_error == pytest.approx(summarise(values).standard_error, abs=1e-9)
    assert found.mean == summarise(values).mean


def test_clusters_of_equal_values_count_once():
    values = np.random.default_rng(0).normal(size=40)
    repeated = summarise_clustered(np.repeat(values, 6), np.repeat(np.arange(40), 6))
    assert repeated.standard_error == pytest.approx(summarise(values).standard_error)
    assert repeated.count == 240
    assert math.isnan(summarise_clustered([1.0, 2.0], [7, 7]).standard_error)
    with pytest.raises(UsageError, match="2 values in 1 clusters"):
        summarise_clustered([1.0, 2.0], [7])
