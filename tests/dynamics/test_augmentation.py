import numpy as np
import pytest
import torch

from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.dynamics.architecture import Architecture
from trine.dynamics.augmentation import agnostic_inputs, teacher_inputs
from trine.dynamics.batches import Batches
from trine.dynamics.initialise import TWO_LAYER_TEACHER, TeacherOptions, make_teacher
from trine.dynamics.stack import Stack

DIMENSION, NODES, STD = 12, 4, 1.5


def teacher(options: TeacherOptions = TWO_LAYER_TEACHER, seed: int = 0) -> Stack:
    return make_teacher(Architecture(DIMENSION, (NODES,), 5), Seeds(seed), options)


def boundary_values(stack: Stack, inputs: np.ndarray) -> np.ndarray:
    return inputs @ stack.weights[0][0].numpy().T + stack.biases[0][0].numpy()


def test_every_input_has_the_length_std_root_d():
    drawn = teacher_inputs(teacher(), STD)(np.random.default_rng(0), 600)
    assert drawn.shape == (600, DIMENSION)
    assert np.allclose(np.linalg.norm(drawn, axis=1), STD * np.sqrt(DIMENSION))


def test_a_third_lies_on_the_boundary_a_third_above_a_third_below():
    # Without bias the scaling keeps points on their boundary and on their side of it.
    stack = teacher(TeacherOptions(bias="constant", bias_value=0.0, unit_rows="hidden"))
    count = 30 * 3 * NODES
    drawn = teacher_inputs(stack, STD)(np.random.default_rng(1), count)
    values = boundary_values(stack, drawn)
    on = np.abs(values) < 1e-9
    assert (on.sum(0) == 30).all()  # N / (3 m) a node, and no point on two boundaries
    assert on.any(1).sum() == count // 3
    # Each of the others is a boundary point of its node, moved: as many above as below.
    ratio = STD * np.sqrt(DIMENSION)
    moved = values[~on.any(1)]
    nearest = np.abs(moved).min(1)
    assert nearest.min() > 0 and nearest.max() < ratio


def test_the_bias_is_part_of_the_boundary_before_the_scaling():
    options = TeacherOptions(bias="constant", bias_value=-3.0, unit_rows="hidden")
    stack = make_teacher(Architecture(DIMENSION, (1,), 5), Seeds(0), options)
    # Moves too small to see: every point p has w . p = 3, and is scaled to length r.
    draw = teacher_inputs(stack, STD, mean=1e-9, sigma=0.0)
    along = draw(np.random.default_rng(2), 6000) @ stack.weights[0][0, 0].numpy()
    assert (along > 0).all()
    length = 3 * STD * np.sqrt(DIMENSION) / along  # |p|
    # |p|^2 - 3^2 is std^2 times chi^2 with d - 1 = 11 degrees of freedom: mean 11, variance 22,
    # 2000 independent points (each comes three times).
    chi = (length**2 - 9) / STD**2
    assert chi.mean() == pytest.approx(11, abs=5 * np.sqrt(22 / 2000))


def test_moved_points_are_further_out_with_a_larger_mean():
    stack = teacher(TeacherOptions(bias="constant", bias_value=0.0, unit_rows="hidden"))
    near = teacher_inputs(stack, STD, mean=0.1, sigma=0.0)(np.random.default_rng(0), 1200)
    far = teacher_inputs(stack, STD, mean=5.0, sigma=0.0)(np.random.default_rng(0), 1200)
    assert np.abs(boundary_values(stack, far)).max() > np.abs(boundary_values(stack, near)).max()


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_any_number_of_samples(count: int):
    for draw in (teacher_inputs(teacher(), STD), agnostic_inputs(DIMENSION, STD)):
        drawn = draw(np.random.default_rng(0), count)
        assert drawn.shape == (count, DIMENSION)
        assert np.allclose(np.linalg.norm(drawn, axis=1), STD * np.sqrt(DIMENSION))


def test_agnostic_copies_come_in_threes_around_a_point():
    drawn = agnostic_inputs(DIMENSION, STD, mean=0.01, sigma=0.0)(np.random.default_rng(0), 300)
    cosines = drawn @ drawn.T / (STD**2 * DIMENSION)
    # A tiny move: every point has its two siblings right beside it, and no others.
    assert ((cosines > 0.999).sum(1) == 3).all()


def test_one_dimension_is_possible():
    stack = make_teacher(Architecture(1, (1,), 2), Seeds(0), TWO_LAYER_TEACHER)
    assert np.isfinite(teacher_inputs(stack, 1.0)(np.random.default_rng(0), 9)).all()


def test_a_draw_for_each_data_set():
    stacks = [teacher(seed=0), teacher(seed=1)]
    batches = Batches(
        [teacher_inputs(stack, STD) for stack in stacks],
        Stack.concatenate(stacks),
        [Seeds(0), Seeds(1)],
        samples=90,
        batch_size=10,
    )
    for place, stack in enumerate(stacks):
        wanted = teacher_inputs(stack, STD)(Seeds(place).generator("data"), 90)
        assert torch.equal(batches.inputs()[place], torch.as_tensor(wanted))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: teacher_inputs(teacher(), 0.0), "augmentation std 0.0"),
        (lambda: teacher_inputs(teacher(), 1.0, mean=-1), "augmentation mean -1"),
        (lambda: teacher_inputs(teacher(), 1.0, sigma=-0.5), "augmentation sigma -0.5"),
        (lambda: agnostic_inputs(0, 1.0), "0 input dimensions"),
        (lambda: agnostic_inputs(3, float("nan")), "augmentation std nan"),
        (lambda: teacher_inputs(Stack.concatenate([teacher()] * 2), 1.0), "stack of 2 teachers"),
    ],
)
def test_wrong_numbers_are_one_clear_line(call, words: str):
    with pytest.raises(UsageError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
