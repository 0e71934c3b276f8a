"""The stacked loop against the obvious one, resumption, divergence, and the backward pass."""

import numpy as np
import pytest
import torch

from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.dynamics.architecture import Architecture, BatchNormPlace
from trine.dynamics.batches import Batches, gaussian_inputs
from trine.dynamics.initialise import make_student, make_teacher
from trine.dynamics.networks import ReluNetwork
from trine.dynamics.reference import obvious_loss, train_one
from trine.dynamics.stack import Stack
from trine.dynamics.training import Descent, Diverged, effective_step, train

TEACHER = Architecture(5, (4, 6), 3)
SEEDS = [Seeds(0), Seeds(1), Seeds(2)]


def setting(place: BatchNormPlace = "none", slope=0.0, bias=True, affine=True, **options):
    student = Architecture(5, (8, 12), 3, bias, slope, place, affine)
    teachers = Stack.concatenate([make_teacher(TEACHER, seeds) for seeds in SEEDS])
    students = Stack.concatenate([make_student(student, seeds) for seeds in SEEDS])
    sizes = {"samples": 200, "batch_size": 16, **options}
    return teachers, students, Batches(gaussian_inputs(5, 2.0), teachers, SEEDS, **sizes)


def run(students, batches, descent, **options):
    return list(train(students, batches, descent, **options))


def same(first, second, tolerance=0.0):
    a, b = first.arrays(), second.arrays()
    assert a.keys() == b.keys()
    return max(float(np.abs(a[name] - b[name]).max()) for name in a) <= tolerance


@pytest.mark.parametrize("loss", ["mean", "half_sum", "cross_entropy"])
@pytest.mark.parametrize(
    ("place", "slope", "bias", "affine"),
    [
        ("none", 0.0, True, True),
        ("none", 0.1, False, True),
        ("before_relu", 0.0, True, True),
        ("before_relu", 0.1, True, False),
        ("after_relu", 0.0, True, False),
        ("after_relu", 0.1, False, True),
    ],
)
def test_trajectories_equal_those_of_the_obvious_loop(place, slope, bias, affine, loss):
    teachers, students, batches = setting(place, slope, bias, affine)
    start = students.clone()
    rates = [0.02, 0.05, 0.1]
    points = run(students, batches, Descent(rates, loss), epochs=2)
    for network, rate in enumerate(rates):
        alone = ReluNetwork.from_stack(start, network)
        teacher = ReluNetwork.from_stack(teachers, network).eval()
        losses = []
        for epoch in range(2):
            losses = list(
                train_one(
                    alone, teacher, batches.inputs()[network],
                    batches.indices(epoch)[network].tolist(), batch_size=16, rate=rate, loss=loss,
                )
            )  # fmt: skip
        assert same(students.select([network]), ReluNetwork.to_stack([alone]), 1e-10)
        assert float(points[-1].loss[network]) == pytest.approx(np.mean(losses), rel=1e-9)


def test_unit_rows_and_frozen_layers_stay():
    _, students, batches = setting()
    top = students.weights[2].clone()
    run(students, batches, Descent(0.05, unit_rows=True, frozen=(2,)), epochs=1)
    assert torch.equal(students.weights[2], top)
    norms = students.weights[1].norm(dim=2)
    assert torch.allclose(norms, torch.ones_like(norms))


def test_the_schedule_multiplies_the_rate():
    _, students, batches = setting()
    other = students.clone()
    run(students, batches, Descent(0.1, schedule=((1, 0.5), (2, 0.1))), epochs=3)
    for epoch, rate in enumerate((0.1, 0.05, 0.01)):
        run(other, batches, Descent(rate), epochs=epoch + 1, start=epoch)
    assert same(students, other, 1e-12)


@pytest.mark.parametrize("options", [{}, {"fresh": True}, {"order": "replacement"}])
def test_training_goes_on_as_if_it_had_never_stopped(options):
    _, whole, batches = setting("before_relu", **options)
    parts = whole.clone()
    run(whole, batches, Descent(0.05), epochs=3)
    run(parts, batches, Descent(0.05), epochs=1)
    kept = Stack.from_arrays(parts.architecture, parts.arrays())
    run(kept, setting("before_relu", **options)[2], Descent(0.05), epochs=3, start=1)
    assert same(whole, kept)


def test_points_at_marks_and_ends_of_epochs():
    _, students, batches = setting()
    points = run(students, batches, Descent(0.05), epochs=2, marks=[1, 5, 12])
    assert [p.step for p in points] == [1, 5, 12, 24]
    assert [p.ends_epoch for p in points] == [False, False, True, True]
    assert points[1].epoch == pytest.approx(5 / 12)


def test_networks_with_one_source_see_the_same_samples():
    teachers, students, _ = setting()
    twice = students.select([0, 0, 2])
    batches = Batches(
        gaussian_inputs(5, 2.0), teachers, SEEDS, samples=200, batch_size=16, source=[0, 0, 2]
    )
    run(twice, batches, Descent(0.05), epochs=1)
    assert same(twice.select([0]), twice.select([1]))
    alone = students.clone()
    run(alone, setting()[2], Descent(0.05), epochs=1)
    assert same(twice.select([2]), alone.select([2]), 1e-12)


def test_a_student_that_is_its_teacher_does_not_move():
    teachers, _, batches = setting()
    student = teachers.clone()
    (point,) = run(student, batches, Descent(0.5), epochs=1)
    assert same(student, teachers, 1e-12)
    assert float(point.loss.max()) < 1e-24


def test_targets_too_large_to_store_are_computed(monkeypatch: pytest.MonkeyPatch):
    _, students, batches = setting()
    other = students.clone()
    run(students, batches, Descent(0.05), epochs=1)
    monkeypatch.setattr("trine.dynamics.batches.MOST_STORED_BYTES", 0)
    run(other, setting()[2], Descent(0.05), epochs=1)
    assert same(students, other, 1e-12)


def test_a_loss_that_is_not_finite_stops_and_says_where_and_what_to_try():
    _, students, batches = setting()
    with pytest.raises(Diverged, match=r"network 1 .* at step \d+ .*rate 1e\+30.*try .* 2.5e\+29"):
        run(students, batches, Descent([0.01, 1e30, 0.01]), epochs=2)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf"), [0.1, 0.1]])
def test_impossible_rates_are_refused(rate):
    _, students, batches = setting()
    with pytest.raises(UsageError, match="learning rate"):
        run(students, batches, Descent(rate), epochs=1)


def test_impossible_sizes_are_refused():
    teachers, students, batches = setting()
    with pytest.raises(UsageError, match="batch size 300 of 200"):
        setting(batch_size=300)
    with pytest.raises(UsageError, match="2 teachers for 3 seeds"):
        Batches(gaussian_inputs(5), teachers.select([0, 1]), SEEDS, samples=20, batch_size=4)
    with pytest.raises(UsageError, match="source"):
        Batches(gaussian_inputs(5), teachers, SEEDS, samples=20, batch_size=4, source=[3])
    with pytest.raises(UsageError, match="3 data streams for 2 networks"):
        run(students.select([0, 1]), batches, Descent(0.1), epochs=1)
    with pytest.raises(UsageError, match="standard deviation"):
        gaussian_inputs(5, 0.0)
    with pytest.raises(UsageError, match="shape"):
        Batches(gaussian_inputs(4), teachers, SEEDS, samples=20, batch_size=4).inputs()


def test_effective_step_undoes_input_scale_and_number_of_outputs():
    assert effective_step(0.05, "mean", 100, 10.0) == pytest.approx(0.05 * 2 / 100 * 100)
    assert effective_step(0.01, "half_sum", 50, 1.5) == pytest.approx(0.01 * 2.25)


@pytest.mark.parametrize("place", ["none", "before_relu", "after_relu"])
def test_directions_are_minus_the_gradients_at_the_pre_activations(place):
    _, students, batches = setting(place, slope=0.1)
    inputs, targets = next(batches.epoch(0))
    trace = students.forward(inputs, training=True)
    directions = students.directions(trace, (targets - trace.output) / inputs.shape[1])
    module = ReluNetwork.from_stack(students, 1).train()
    seen = []
    for linear in module.linears:
        linear.register_forward_hook(lambda _m, _i, out: (out.retain_grad(), seen.append(out))[1])
    obvious_loss(module(inputs[1]), targets[1], "half_sum").backward()
    for ours, theirs in zip(directions, seen, strict=True):
        assert torch.allclose(ours[1], -theirs.grad, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", [{}, {"frozen": (0,)}, {"frozen": (1, 2)}])
@pytest.mark.parametrize(("slope", "bias"), [(0.0, True), (0.3, True), (0.0, False), (1.0, True)])
def test_blocks_of_one_network_after_the_other_equal_the_stack(
    dtype, options, slope, bias, monkeypatch: pytest.MonkeyPatch
):
    teachers, students, _ = setting("none", slope, bias)
    teachers, students = teachers.to("cpu", dtype), students.select([0, 2, 2, 1]).to("cpu", dtype)
    sizes = {"samples": 200, "batch_size": 16, "source": [0, 2, 2, 1]}
    runs = []
    for fast in (True, False):
        if not fast:
            monkeypatch.setattr("trine.dynamics.training.fits", lambda student: False)
        batches = Batches(gaussian_inputs(5, 2.0), teachers, SEEDS, **sizes)
        copy = students.clone()
        descent = Descent([0.02, 0.05, 0.1, 0.03], "half_sum", **options)
        points = run(copy, batches, descent, epochs=2, marks=[3])
        runs.append((copy, [point.loss for point in points]))
    (first, losses), (second, others) = runs
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    assert same(first, second, tolerance)
    for mine, theirs in zip(losses, others, strict=True):
        torch.testing.assert_close(mine, theirs, atol=tolerance, rtol=tolerance)
    for layer in options.get("frozen", ()):
        assert torch.equal(first.weights[layer], students.weights[layer])
