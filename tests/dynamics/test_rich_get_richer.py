"""The exponential curve of angles, and its fit."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trine.core.errors import UsageError
from trine.dynamics.rich_get_richer import (
    angle_curve,
    angles,
    fit_rate,
    minimal_model,
    time_to_reach,
)

torch.set_num_threads(1)


def units(count: int, dimension: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(count, dimension, dtype=torch.float64, generator=generator)
    return drawn / drawn.norm(dim=1, keepdim=True)


@given(st.integers(0, 1000), st.integers(2, 20))
def test_minimal_model_follows_the_curve(seed: int, dimension: int) -> None:
    start, target = units(5, dimension, seed), units(5, dimension, seed + 1)
    step, steps = 1e-2, 100
    found = minimal_model(start, target, step=step, steps=steps).numpy()
    time = step * np.arange(steps + 1)[:, None]
    # First order: the error is of the size of a step; tan(theta / 2) is the exact variable.
    np.testing.assert_allclose(found, angle_curve(found[0], time), atol=2e-2)


def test_error_of_the_model_shrinks_with_its_step() -> None:
    start, target = units(5, 4, 0), units(5, 4, 1)
    gaps = []
    for step in (0.1, 0.05, 0.025):
        found = minimal_model(start, target, step=step, steps=round(2 / step)).numpy()
        gaps.append(np.abs(found[-1] - angle_curve(found[0], 2.0)).max())
    assert 1.7 < gaps[0] / gaps[1] < 2.4
    assert 1.8 < gaps[1] / gaps[2] < 2.2


def test_derivative_of_the_curve() -> None:
    theta = np.array([0.1, 1.0, 2.5])
    h = 1e-6
    slope = (angle_curve(theta, h) - angle_curve(theta, -h)) / (2 * h)
    np.testing.assert_allclose(slope, -np.sin(theta), rtol=1e-8)


def test_nearer_nodes_arrive_sooner() -> None:
    starts = np.array([0.2, 0.8, 1.5, 2.5, 3.1])
    times = time_to_reach(starts, 0.1, rate=2.0)
    assert (np.diff(times) > 0).all()
    arrived = [float(angle_curve(s, t, rate=2.0)) for s, t in zip(starts, times, strict=True)]
    np.testing.assert_allclose(arrived, 0.1)


def test_angles_of_nearly_parallel_vectors() -> None:
    a = torch.tensor([[1.0, 0.0], [3.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    b = torch.tensor([[1.0, 1e-12], [-2.0, 0.0], [0.0, 5.0]], dtype=torch.float64)
    expected = torch.tensor([1e-12, np.pi, np.pi / 2], dtype=torch.float64)
    torch.testing.assert_close(angles(a, b), expected, rtol=1e-12, atol=0)


def test_fit_finds_the_rate() -> None:
    time = np.linspace(0, 3, 20)
    fit = fit_rate(time, angle_curve(2.0, time, rate=1.7))
    assert fit.rate == pytest.approx(1.7)
    assert fit.start == pytest.approx(2.0)
    assert fit.r_squared == pytest.approx(1)
    noisy = np.maximum(angle_curve(2.0, time, rate=3), 0.05)  # cannot come closer than this
    assert fit_rate(time, noisy).rate < 2.5
    assert fit_rate(time, noisy, floor=0.06).rate == pytest.approx(3)
    with pytest.raises(UsageError, match="through 2 angles"):
        fit_rate(time, noisy, floor=float(noisy[2]) + 1e-9)
