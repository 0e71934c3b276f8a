import numpy as np
import pytest
import torch

from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.dynamics.architecture import Architecture
from trine.dynamics.batches import gaussian_inputs
from trine.dynamics.initialise import (
    DEEP_TEACHER,
    TWO_LAYER_TEACHER,
    StudentOptions,
    TeacherOptions,
    calibrate_batch_norm,
    make_student,
    make_teacher,
)

SHAPE = Architecture(20, (10, 15), 8)
SEEDS = Seeds(3)


def weights_of(stack):
    return [weight[0].numpy() for weight in stack.weights]


def test_teacher_rows_come_from_the_grid_have_unit_norm_and_no_two_are_parallel():
    for weight in weights_of(make_teacher(SHAPE, SEEDS)):
        assert np.allclose(np.linalg.norm(weight, axis=1), 1)
        cosines = np.abs(weight @ weight.T) - np.eye(len(weight))
        assert cosines.max() < 1 - 1e-9
        # Multiples of 0.25 up to 0.5, all divided by one number a row: ratios of small integers.
        for row in weight:
            unit = np.abs(row[row != 0]).min()
            ratios = row / unit
            assert np.allclose(ratios, ratios.round()) or np.allclose(
                2 * ratios, (2 * ratios).round()
            )


def test_opposite_rows_are_never_drawn():
    # Two inputs have few directions: without the check, opposite rows would be certain.
    weight = weights_of(make_teacher(Architecture(2, (6,), 8), SEEDS))[0]
    cosines = np.abs(weight @ weight.T) - np.eye(6)
    assert cosines.max() < 1 - 1e-9
    with pytest.raises(UsageError, match="too few directions"):
        make_teacher(Architecture(2, (50,), 8), SEEDS)


def test_the_teacher_is_the_same_whatever_the_data_and_the_student():
    first = make_teacher(SHAPE, SEEDS)
    make_student(SHAPE.wider(4), SEEDS)
    gaussian_inputs(20, 10.0)(SEEDS.generator("data"), 100)
    second = make_teacher(SHAPE, SEEDS)
    assert all(torch.equal(a, b) for a, b in zip(first.weights, second.weights, strict=True))
    other = make_teacher(SHAPE, Seeds(4))
    assert not torch.equal(first.weights[0], other.weights[0])


def test_two_layer_teacher_of_tian_2020():
    shape = Architecture(100, (10,), 50)
    plain, weak = (
        make_teacher(shape, SEEDS, TeacherOptions(
            bias="constant", bias_value=-0.1, unit_rows="hidden", decay=p))
        for p in (0.0, 2.0)
    )  # fmt: skip
    assert plain.weights[1].equal(make_teacher(shape, SEEDS, TWO_LAYER_TEACHER).weights[1])
    assert all((bias == -0.1).all() for bias in plain.biases)
    norms = plain.weights[1][0].norm(dim=0), weak.weights[1][0].norm(dim=0)
    assert torch.allclose(norms[0] / norms[1], torch.arange(1.0, 11.0, dtype=torch.float64) ** 2)


def test_median_teachers_are_active_on_half_of_the_data_and_have_standard_outputs():
    inputs = gaussian_inputs(20, 10.0)(SEEDS.generator("data"), 4001)
    teacher = make_teacher(SHAPE, SEEDS, DEEP_TEACHER, inputs=inputs)
    trace = teacher.forward(torch.as_tensor(inputs)[None])
    for layer in range(2):
        share = (trace.active[layer][0] > 0).double().mean(0)
        assert torch.allclose(share, torch.full_like(share, 0.5), atol=1e-3)
    assert torch.allclose(trace.output[0].mean(0), torch.zeros(8, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(trace.output[0].std(0, correction=0), torch.ones(8, dtype=torch.float64))
    with pytest.raises(UsageError, match="without data"):
        make_teacher(SHAPE, SEEDS, DEEP_TEACHER)


def test_student_starts():
    teacher = make_teacher(SHAPE, SEEDS)
    wide = SHAPE.wider(2)
    framework = make_student(wide, SEEDS)
    assert framework.weights[1].abs().max() <= 1 / np.sqrt(20)
    assert framework.biases[1].abs().max() <= 1 / np.sqrt(20)
    small = make_student(wide, SEEDS, StudentOptions("gaussian", noise=0.005))
    assert not small.biases[0].any()
    assert small.weights[1].std() == pytest.approx(0.005, rel=0.1)
    near = make_student(wide, SEEDS, StudentOptions("perturb", noise=0.1), teacher=teacher)
    for layer in range(3):
        rows, columns = teacher.weights[layer].shape[1:]
        gap = near.weights[layer][0, :rows, :columns] - teacher.weights[layer][0]
        assert gap.std() == pytest.approx(0.1, rel=0.3)
    along = make_student(SHAPE, SEEDS, StudentOptions("same_direction"), teacher=teacher)
    cosine = torch.nn.functional.cosine_similarity(along.weights[1][0], teacher.weights[1][0])
    assert torch.allclose(cosine, torch.ones_like(cosine))
    signs = make_student(SHAPE, SEEDS, StudentOptions("same_sign"), teacher=teacher)
    assert torch.equal(signs.weights[1].sign(), teacher.weights[1].sign())
    half = make_student(wide, SEEDS, StudentOptions(scale=0.5))
    assert torch.allclose(half.weights[2] * 2, framework.weights[2])
    with pytest.raises(UsageError, match="without a teacher"):
        make_student(wide, SEEDS, StudentOptions("perturb"))


@pytest.mark.parametrize("place", ["before_relu", "after_relu"])
def test_calibrated_batch_norm_normalises_the_data(place):
    shape = Architecture(20, (10, 15), 8, batch_norm=place)
    inputs = torch.as_tensor(gaussian_inputs(20, 10.0)(SEEDS.generator("data"), 500))[None]
    stack = calibrate_batch_norm(make_teacher(shape, SEEDS), inputs)
    trace = stack.forward(inputs)
    for normalised in trace.normalised:
        assert normalised.mean(1).abs().max() < 1e-9
        spread = normalised.var(1, correction=0)
        assert torch.allclose(spread[spread > 0], torch.ones_like(spread[spread > 0]), atol=1e-3)
