import numpy as np
import pytest

from trine.core.errors import UsageError
from trine.dynamics.measures.success import (
    THRESHOLDS,
    matched_counts,
    students_per_teacher,
    success_rate,
)


def test_matched_counts_by_hand():
    best = np.array([0.55, 0.65, 0.95, 0.96, np.nan])
    # Above .5 .6 .7 .8 .9 .95; equal is not above, NaN is never above.
    assert matched_counts(best).tolist() == [4, 3, 2, 2, 2, 1]


def test_students_per_teacher_by_hand():
    correlation = np.array([[0.99, 0.97, 0.2], [0.1, 0.1, 0.85]])
    found = students_per_teacher(correlation, (0.8, 0.95))
    assert found.tolist() == [[2, 1], [2, 0]]
    assert students_per_teacher(correlation[None]).shape == (1, len(THRESHOLDS), 2)


def test_counts_fall_with_the_threshold_and_agree():
    correlation = np.random.default_rng(0).uniform(-1, 1, (4, 6, 9))
    counts = matched_counts(correlation.max(-1))
    assert (np.diff(counts, axis=-1) <= 0).all()
    assert ((students_per_teacher(correlation) > 0).sum(-1) == counts).all()


def test_success_rate_and_its_interval():
    best = np.array([[0.99, 0.2], [0.97, 0.3], [0.96, 0.99], [0.999, 0.1]])
    found = success_rate(best)
    assert found.rate.tolist() == [1.0, 0.25]
    assert found.networks == 4
    # Wilson 1927 with n = 4: for 4 of 4 the lower end is n / (n + z^2).
    assert found.low[0] == pytest.approx(4 / (4 + 1.959963984540054**2))
    assert found.high[0] == 1.0
    assert found.low[1] < 0.25 < found.high[1]


def test_wrong_input():
    with pytest.raises(UsageError, match=r"threshold 1\.5"):
        matched_counts([0.1], (1.5,))
    with pytest.raises(UsageError, match=r"\[R, m\]"):
        success_rate(np.zeros(3))
