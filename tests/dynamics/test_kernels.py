"""Closed forms against sampling, quadrature and autograd."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.dynamics.architecture import Architecture
from trine.dynamics.flow import divergence, exact_velocity, move
from trine.dynamics.initialise import TeacherOptions, make_student, make_teacher
from trine.dynamics.kernels import (
    Nodes,
    arc_cosine,
    both_positive,
    expected_loss,
    kernel_velocity,
    pulls,
    values,
)
from trine.dynamics.stack import Stack

torch.set_num_threads(1)


def test_arc_cosine_kernels_of_known_angles() -> None:
    """Cho and Saul 2009: at angle 0, order 0 is 1 and order 1 the squared length."""
    rows = np.array([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])
    zero, one = arc_cosine(0, rows, rows), arc_cosine(1, rows, rows)
    np.testing.assert_allclose(zero.diagonal(), 1)
    np.testing.assert_allclose(one.diagonal(), [4, 9, 1])
    np.testing.assert_allclose(zero[0, 1], 0.5)  # right angle: 1 - (pi / 2) / pi
    np.testing.assert_allclose(one[0, 1], 6 / np.pi)  # J_1(pi / 2) = 1
    np.testing.assert_allclose([zero[0, 2], one[0, 2]], 0, atol=1e-15)  # opposite
    with pytest.raises(UsageError, match="order 2"):
        arc_cosine(2, rows, rows)


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-0.999, 0.999))
def test_bivariate_normal_probability(h: float, k: float, rho: float) -> None:
    covariance: Any = [[1, rho], [rho, 1]]
    expected = stats.multivariate_normal(cov=covariance).cdf([h, k])
    found = both_positive(np.array(h), np.array(k), np.array(rho))
    np.testing.assert_allclose(found, expected, atol=1e-5)  # scipy's own error


@pytest.mark.parametrize(("h", "k"), [(0.0, 0.0), (0.0, 0.7), (0.0, -0.7), (-0.7, 0.0), (1.0, 1.0)])
@pytest.mark.parametrize("rho", [-1.0, -0.5, 0.0, 0.5, 1.0])
def test_bivariate_normal_probability_at_its_corners(h: float, k: float, rho: float) -> None:
    def inner(z: float) -> Any:
        return stats.norm.pdf(z) * stats.norm.cdf((k - rho * z) / np.sqrt(1 - rho**2))

    found = float(both_positive(np.array(h), np.array(k), np.array(rho)))
    if rho == 1:  # one variable
        expected = stats.norm.cdf(min(h, k))
    elif rho == -1:  # between two bounds
        expected = max(0, stats.norm.cdf(h) - stats.norm.cdf(-k))
    else:
        expected = integrate.quad(inner, -np.inf, h)[0]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def drawn(seed: int, n: int, d: int, *, bias: bool, slope: float, std: float) -> Nodes:
    generator = np.random.default_rng(seed)
    weight = generator.normal(size=(1, n, d))
    return Nodes(weight, generator.normal(size=(1, n)) if bias else None, slope, std)


def by_quadrature(first: Nodes, second: Nodes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """K `[n, m]`, E f `[n]` and G `[n, m, 3]` in two dimensions, in polar coordinates."""
    places, weights = np.polynomial.legendre.leggauss(150)
    radius = 4.5 * (places + 1)
    turns = 2 * np.pi * (np.arange(720) + 0.5) / 720
    x = radius[:, None, None] * np.stack([np.cos(turns), np.sin(turns)], 1)  # [150, 720, 2]
    x = first.std * x.reshape(-1, 2)
    mass = np.repeat(4.5 * weights * radius * np.exp(-0.5 * radius**2) / 720, 720)

    def seen(layer: Nodes) -> tuple[np.ndarray, np.ndarray]:
        pre = x @ layer.weight[0].T + (0 if layer.bias is None else layer.bias[0])
        gate = np.where(pre > 0, 1, layer.slope)
        return gate * pre, gate

    f, gate = seen(first)
    g, _ = seen(second)
    wide = np.concatenate([x, np.ones((len(x), 1))], 1) * mass[:, None]
    pairs = (gate[:, :, None] * g[:, None, :]).reshape(len(x), -1)
    return (
        f.T @ (g * mass[:, None]),
        mass @ f,
        (pairs.T @ wide).reshape(gate.shape[1], g.shape[1], 3),
    )


@pytest.mark.parametrize(
    ("bias", "slope", "std"),
    [(b, s, d) for b in (True, False) for s, d in ((0.0, 1.0), (0.0, 2.5), (0.3, 1.5), (1.0, 1.5))],
)
def test_values_and_pulls_against_quadrature(bias: bool, slope: float, std: float) -> None:
    first = drawn(0, 3, 2, bias=bias, slope=slope, std=std)
    second = drawn(1, 2, 2, bias=bias, slope=slope, std=std)
    for other in (second, first):  # the second time with angles of 0
        k, mean, g = by_quadrature(first, other)
        found, found_mean, mean_other = values(first, other)
        np.testing.assert_allclose(found[0], k, atol=3e-3 * std**2)
        np.testing.assert_allclose(found_mean[0], mean, atol=3e-3 * std)
        np.testing.assert_allclose(mean_other, values(other, first)[1])
        np.testing.assert_allclose(pulls(first, other)[0], g, atol=3e-3 * std**2)


def test_zero_biases_are_no_biases() -> None:
    for slope in (0.0, 0.3):
        first = drawn(0, 4, 5, bias=False, slope=slope, std=1.5)
        second = drawn(1, 3, 5, bias=False, slope=slope, std=1.5)
        zero = [Nodes(x.weight, np.zeros(x.weight.shape[:2]), slope, 1.5) for x in (first, second)]
        for a, b in zip(values(first, second), values(*zero), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)
        np.testing.assert_allclose(pulls(first, second), pulls(*zero), atol=1e-12)
        np.testing.assert_allclose(pulls(first, first), pulls(zero[0], zero[0]), atol=1e-8)


def networks(bias: bool, slope: float) -> tuple[Stack, Stack]:
    architecture = Architecture(6, (4,), 3, bias=bias, slope=slope)
    options = TeacherOptions(start="framework")
    teachers = [make_teacher(architecture, Seeds(s), options) for s in range(2)]
    students = [make_student(architecture.wider(2), Seeds(s)) for s in range(2)]
    return Stack.concatenate(teachers), Stack.concatenate(students)


@pytest.mark.parametrize(("bias", "slope"), list(product([True, False], [0.0, 0.2])))
def test_expected_gradient_against_monte_carlo(bias: bool, slope: float) -> None:
    """The gap must shrink with the samples; `exact_velocity` itself is held to autograd."""
    teacher, student = networks(bias, slope)
    std = 1.5
    expected = kernel_velocity(teacher, student, std)
    generator = torch.Generator().manual_seed(0)
    gaps = []
    for size in (2_000, 100_000):
        inputs = std * torch.randn(2, size, 6, dtype=torch.float64, generator=generator)
        gaps.append(float(divergence(exact_velocity(teacher, student, inputs), expected)[0].max()))
    assert gaps[1] < 0.04
    assert gaps[1] < gaps[0] / 3


@pytest.mark.parametrize(("bias", "slope"), list(product([True, False], [0.0, 0.2])))
def test_expected_loss_against_monte_carlo(bias: bool, slope: float) -> None:
    teacher, student = networks(bias, slope)
    generator = torch.Generator().manual_seed(1)
    inputs = 1.5 * torch.randn(2, 100_000, 6, dtype=torch.float64, generator=generator)
    residual = teacher.forward(inputs).output - student.forward(inputs).output
    sampled = residual.square().sum(2).mul(0.5)
    gap = expected_loss(teacher, student, 1.5) - sampled.mean(1).numpy()
    assert (np.abs(gap) < 5 * sampled.std(1).numpy() / np.sqrt(100_000)).all()
    assert expected_loss(teacher, teacher, 1.5).max() < 1e-7
    # Its derivative is the flow: a small step lowers it by the squared length of the gradient.
    velocity = kernel_velocity(teacher, student, 1.5)
    moved = student.clone()
    move(moved, velocity, 1e-6)
    drop = (expected_loss(teacher, student, 1.5) - expected_loss(teacher, moved, 1.5)) / 1e-6
    squared = sum(v.square().sum((1, 2)) for v in velocity)
    assert isinstance(squared, torch.Tensor)
    np.testing.assert_allclose(drop, squared.numpy(), rtol=1e-3)


def test_student_with_the_teachers_weights_stays() -> None:
    for bias in (True, False):
        teacher, _ = networks(bias, 0.1)
        for part in kernel_velocity(teacher, teacher):
            assert float(part.abs().max()) < 1e-7


def test_closed_form_says_what_it_cannot_do() -> None:
    teacher, student = networks(True, 0.0)
    deep = make_student(Architecture(6, (4, 4), 3), Seeds(0))
    with pytest.raises(UsageError, match="2 hidden layers"):
        kernel_velocity(deep, deep)
    with pytest.raises(UsageError, match="different slopes"):
        kernel_velocity(teacher, networks(True, 0.5)[1])
    with pytest.raises(UsageError, match="biases in one"):
        kernel_velocity(networks(False, 0.0)[0], student)
    normed = make_student(Architecture(6, (4,), 3, batch_norm="after_relu"), Seeds(0))
    with pytest.raises(UsageError, match="BatchNorm"):
        kernel_velocity(normed, normed)
