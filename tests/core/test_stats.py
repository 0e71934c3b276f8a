import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from trine.core.errors import UsageError
from trine.core.stats import bootstrap_interval, paired_difference, summarise, summarise_by

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
