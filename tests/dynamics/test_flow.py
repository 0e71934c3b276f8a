"""Matrix dynamics: averaged, exact, and where they meet."""

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.dynamics.test_identity import ARCHITECTURES, pair, shapes
from tests.dynamics.test_pull import autograd_update
from trine.core.errors import UsageError
from trine.dynamics.architecture import Architecture
from trine.dynamics.flow import (
    Variant,
    Velocity,
    averaged_velocity,
    difference,
    divergence,
    exact_velocity,
    matrix_flow,
    normalise_columns,
    tangential,
)
from trine.dynamics.kernels import kernel_velocity
from trine.dynamics.stack import Stack
from trine.dynamics.training import Diverged

torch.set_num_threads(1)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_exact_is_back_propagation(architecture: Architecture) -> None:
    teacher, student, inputs = pair(architecture)
    for layer, found in enumerate(exact_velocity(teacher, student, inputs)):
        expected = autograd_update(teacher, student, inputs, layer)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@given(shapes, st.integers(1, 2))
def test_they_coincide_on_one_sample(architecture: Architecture, over: int) -> None:
    teacher, student, inputs = pair(architecture, seeds=1, over=over)
    one = inputs[:, :1]
    for a, b in zip(
        averaged_velocity(teacher, student, one), exact_velocity(teacher, student, one), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("architecture", ARCHITECTURES[:6], ids=str)
def test_exact_is_the_mean_of_averaged_over_single_samples(architecture: Architecture) -> None:
    teacher, student, inputs = pair(architecture)
    singles = [averaged_velocity(teacher, student, inputs[:, k : k + 1]) for k in range(32)]
    for layer, found in enumerate(exact_velocity(teacher, student, inputs)):
        mean = torch.stack([single[layer] for single in singles]).mean(0)
        torch.testing.assert_close(found, mean, rtol=1e-9, atol=1e-12)


def papers_formula(teacher: Stack, student: Stack, inputs: Tensor) -> Velocity:
    """Spec 3 in its own orientation (input x output), one network, one loop: no biases."""
    f, f_star = [inputs[0]], [inputs[0]]
    shown, seen = student.forward(inputs), teacher.forward(inputs)
    f += [post[0] for post in shown.post]
    f_star += [post[0] for post in seen.post]
    weights = [weight[0].T for weight in student.weights]
    weights_star = [weight[0].T for weight in teacher.weights]
    size, depth = len(inputs[0]), len(weights) - 1
    h = h_star = torch.eye(weights[-1].shape[1], dtype=torch.float64)
    found: Velocity = []
    for layer in range(depth, -1, -1):
        overlap = f[layer].T @ f[layer] / size
        overlap_star = f[layer].T @ f_star[layer] / size
        w, w_star = weights[layer], weights_star[layer]
        step = overlap_star @ w_star @ h_star.T - overlap @ w @ h.T
        found.insert(0, step.T.unsqueeze(0))
        if layer:
            gate, gate_star = shown.gate(layer - 1)[0], seen.gate(layer - 1)[0]
            h = (w @ h @ w.T) * (gate.T @ gate / size)
            h_star = (w @ h_star @ w_star.T) * (gate.T @ gate_star / size)
    return found


@pytest.mark.parametrize("slope", [0.0, 0.1])
def test_averaged_is_the_formula_of_the_papers(slope: float) -> None:
    teacher, student, inputs = pair(Architecture(6, (5, 4, 6), 4, bias=False, slope=slope), seeds=1)
    for found, expected in zip(
        averaged_velocity(teacher, student, inputs),
        papers_formula(teacher, student, inputs),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("variant", ["averaged", "exact"])
def test_a_student_that_is_the_teacher_stays(variant: Variant) -> None:
    teacher, _, inputs = pair(Architecture(6, (5, 4), 4))
    normalise_columns(teacher)
    student = teacher.clone()
    points = matrix_flow(
        teacher, student, lambda _: inputs, steps=5, rate=0.1, variant=variant, marks=[5]
    )
    (point,) = points
    assert float(difference(point.student, teacher).max()) < 1e-14


def test_linear_networks_do_not_diverge() -> None:
    """Without gates (slope 1) all gates are 1, paths are constant, and (a) is exact everywhere."""
    for bias, hidden in product([True, False], [(5,), (5, 4)]):
        teacher, student, inputs = pair(Architecture(6, hidden, 4, bias=bias, slope=1.0))
        gap, cosine = divergence(
            averaged_velocity(teacher, student, inputs), exact_velocity(teacher, student, inputs)
        )
        assert float(gap.max()) < 1e-12
        torch.testing.assert_close(cosine, torch.ones_like(cosine))


def test_output_layer_never_diverges_but_lower_ones_do() -> None:
    """At the output no gate is averaged: L* W* and L W are exact there."""
    teacher, student, inputs = pair(Architecture(6, (5, 4), 4))
    gap, cosine = divergence(
        averaged_velocity(teacher, student, inputs), exact_velocity(teacher, student, inputs)
    )
    assert gap.shape == cosine.shape == (2, 3)
    assert float(gap[:, 2].max()) < 1e-12
    assert float(gap[:, :2].min()) > 1e-3


def test_averaged_and_exact_agree_where_renormalisation_leaves_them() -> None:
    """Two layers, no biases, Gaussian inputs: the closed form's tangential part is the averaged."""
    teacher, student, _ = pair(Architecture(6, (5,), 4, bias=False))
    closed = kernel_velocity(teacher, student)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, 200_000, 6, dtype=torch.float64, generator=generator)
    averaged = averaged_velocity(teacher, student, inputs)
    raw = divergence(averaged, closed)[0]
    left = divergence(tangential(averaged, student), tangential(closed, student))[0]
    assert float(raw[:, 0].min()) > 0.3
    assert float(left[:, 0].max()) < 0.02  # the samples' noise
    along = (tangential(closed, student)[0] * student.weights[0]).sum(2)
    assert float(along.abs().max()) < 1e-12


def test_columns_have_length_one_with_their_bias() -> None:
    student = pair(Architecture(6, (5, 4), 4))[1]
    student.weights[0][0, 2] = 0
    student.biases[0][0, 2] = 0  # stays 0, and is no division by zero
    normalise_columns(student)
    for layer, (weight, bias) in enumerate(zip(student.weights, student.biases, strict=True)):
        length = weight.square().sum(2) + bias.square()
        expected = torch.ones_like(length)
        if layer == 0:
            expected[0, 2] = 0
        torch.testing.assert_close(length, expected)


def test_marks_and_steps() -> None:
    teacher, student, inputs = pair(Architecture(6, (5,), 4))
    start = student.clone()
    steps = []
    for point in matrix_flow(
        teacher, student, lambda _: inputs, steps=3, rate=0.1, variant="exact", marks=[0, 2]
    ):
        if point.step == 0:
            assert float(difference(point.student, start).max()) == 0
        steps.append(point.step)
    assert steps == [0, 2]


def test_flow_says_what_is_wrong() -> None:
    teacher, student, inputs = pair(Architecture(6, (5,), 4))
    bare = pair(Architecture(6, (5,), 4, bias=False))[1]

    def run(student: Stack, variant: str) -> None:
        list(
            matrix_flow(
                teacher,
                student,
                lambda _: inputs,
                steps=3,
                rate=0.1,
                variant=variant,  # pyright: ignore[reportArgumentType] (wrong on purpose)
                marks=[3],
            )
        )

    with pytest.raises(UsageError, match="unknown variant"):
        run(student, "both")
    with pytest.raises(UsageError, match="biases in one"):
        run(bare, "exact")
    student.weights[1][0, 0, 0] = torch.nan
    with pytest.raises(Diverged, match=r"not finite at step 3 .*try a rate of 0\.025"):
        run(student, "averaged")
