"""Shares of the gradient: they sum to it, and equal the projections of the explicit vectors."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.dynamics.test_identity import ARCHITECTURES, pair, renumbered, shapes
from trine.core.seeding import Seeds
from trine.dynamics.architecture import Architecture, BatchNormPlace
from trine.dynamics.identity import mean_beta
from trine.dynamics.initialise import TeacherOptions, calibrate_batch_norm, make_teacher
from trine.dynamics.networks import ReluNetwork
from trine.dynamics.projection import fold_batch_norm
from trine.dynamics.pull import contributions, pull_of
from trine.dynamics.stack import Stack

torch.set_num_threads(1)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def autograd_update(teacher: Stack, student: Stack, inputs: Tensor, layer: int) -> Tensor:
    """`[R, n, k]`: minus the gradient of the mean loss by weights and bias, from autograd."""
    found: list[Tensor] = []
    for network in range(student.count):
        module = ReluNetwork.from_stack(student, network)
        target = ReluNetwork.from_stack(teacher, network)(inputs[network]).detach()
        loss = 0.5 * (module(inputs[network]) - target).square().sum(1).mean()
        linear = module.linears[layer]
        wanted = [linear.weight, *([linear.bias] if student.biases else [])]
        gradients = torch.autograd.grad(loss, wanted)
        parts = [-g if g.dim() == 2 else -g.unsqueeze(1) for g in gradients]
        found.append(torch.cat(parts, 1))
    return torch.stack(found)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_contributions_sum_to_the_gradient_of_autograd(architecture: Architecture) -> None:
    teacher, student, inputs = pair(architecture)
    for layer in range(architecture.depth):
        attracted, repelled, constant = contributions(teacher, student, inputs, layer)
        found = attracted.sum(2) + repelled.sum(2) + constant
        expected = autograd_update(teacher, student, inputs, layer)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_pull_is_the_projection_of_the_contributions(
    architecture: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, student, inputs = pair(architecture)
    monkeypatch.setattr("trine.dynamics.pull.MOST_PATHS", 2000)  # several parts
    pull = pull_of(teacher, student, inputs)
    assert pull.samples == inputs.shape[1]
    shown, seen = student.forward(inputs), teacher.forward(inputs)
    for layer, found in enumerate(pull.layers):
        attracted, repelled, constant = contributions(teacher, student, inputs, layer)
        update = attracted.sum(2) + repelled.sum(2) + constant
        unit = update / update.norm(dim=2, keepdim=True).clamp_min(1e-300)
        below = shown.post[layer - 1] if layer else inputs
        if architecture.bias:
            below = torch.nn.functional.pad(below, (0, 1), value=1.0)
        toward = torch.nn.functional.normalize(
            seen.post[layer].transpose(1, 2) @ below, dim=2, eps=1e-300
        )
        close(
            found.teacher_pull,
            torch.einsum("rjik,rjk->rji", attracted, unit),
        )
        close(
            found.student_pull,
            torch.einsum("rjik,rjk->rji", repelled, unit),
        )
        close(found.constant_pull, (constant * unit).sum(2))
        close(found.total, update.norm(dim=2))
        close(
            found.attraction,
            torch.einsum("rjik,rik->rji", attracted, toward),
        )
        close(
            found.drift,
            torch.einsum("rjk,rik->rji", update, toward),
        )
        close(found.beta, mean_beta(student, inputs)[layer])


@given(shapes, st.integers(1, 3))
def test_shares_sum_to_one(architecture: Architecture, over: int) -> None:
    teacher, student, inputs = pair(architecture, seeds=1, over=over)
    for layer in pull_of(teacher, student, inputs).layers:
        total = layer.teacher_share.sum(2) + layer.student_share.sum(2) + layer.constant_share
        moves = layer.total > 1e-6
        torch.testing.assert_close(total[moves], torch.ones_like(total[moves]))
        assert bool((total[layer.total == 0] == 0).all())


@given(shapes, st.integers(0, 100))
def test_renumbering_student_nodes_renumbers_their_pulls(
    architecture: Architecture, seed: int
) -> None:
    teacher, student, inputs = pair(architecture, seeds=1)
    generator = np.random.default_rng(seed)
    orders = [torch.as_tensor(generator.permutation(n)) for n in student.architecture.hidden]
    before = pull_of(teacher, student, inputs)
    after = pull_of(teacher, renumbered(student, orders), inputs)
    for order, old, new in zip(orders, before.layers, after.layers, strict=True):
        close(new.teacher_pull, old.teacher_pull[:, order])
        torch.testing.assert_close(new.student_pull, old.student_pull[:, order][:, :, order])
        close(new.drift, old.drift[:, order])


def test_student_equal_to_its_teacher_is_pulled_as_much_as_pushed() -> None:
    teacher, _, inputs = pair(Architecture(6, (5, 4), 4), over=1)
    for layer in pull_of(teacher, teacher, inputs).layers:
        assert float(layer.total.max()) < 1e-12
        assert float(layer.drift.abs().max()) < 1e-12
        assert float(layer.attraction.diagonal(dim1=1, dim2=2).min()) > 0


def test_a_two_layer_node_is_pulled_by_the_teacher_node_its_fan_out_shares() -> None:
    """Fan-outs e_0 and e_1: each student node must feel its own teacher node only."""
    architecture = Architecture(3, (2,), 2, bias=False)
    eye = torch.eye(2, dtype=torch.float64).unsqueeze(0)
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(1, 2, 3, dtype=torch.float64, generator=generator)
    other = torch.randn(1, 2, 3, dtype=torch.float64, generator=generator)
    inputs = torch.randn(1, 200, 3, dtype=torch.float64, generator=generator)
    (layer,) = pull_of(
        Stack(architecture, [first, eye]), Stack(architecture, [other, eye]), inputs
    ).layers
    for tensor in (layer.teacher_pull, layer.student_pull, layer.attraction):
        assert float(tensor[0].clone().fill_diagonal_(0).abs().max()) == 0
    attraction, drift = layer.to_winner(torch.tensor([[0, 1]]))
    assert attraction.shape == drift.shape == (1, 2)
    assert float(attraction.min()) > 0


@pytest.mark.parametrize("place", ["before_relu", "after_relu"])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_folded_batch_norm_is_the_same_network(
    place: BatchNormPlace, affine: bool, bias: bool
) -> None:
    architecture = Architecture(
        6,
        (5, 4),
        3,
        bias=bias,
        batch_norm=place,
        affine=affine,
    )
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(1, 64, 6, dtype=torch.float64, generator=generator)
    options = TeacherOptions(start="framework")
    stack = calibrate_batch_norm(make_teacher(architecture, Seeds(0), options), inputs)
    for scale in stack.norm_scale:
        scale.uniform_(-2, 2, generator=generator)
    for shift in stack.norm_shift:
        shift.uniform_(-1, 1, generator=generator)
    before, after = stack.forward(inputs), fold_batch_norm(stack).forward(inputs)
    torch.testing.assert_close(after.output, before.output, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(after.active, before.active, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    pull = pull_of(stack, stack, inputs)  # accepted, and at rest
    assert max(float(layer.total.max()) for layer in pull.layers) < 1e-9


def test_arrays_for_a_log() -> None:
    teacher, student, inputs = pair(Architecture(6, (5, 4), 4))
    pull = pull_of(teacher, student, inputs[:1])  # one data set for all
    short, full = pull.arrays(), pull.arrays(full=True)
    assert short["teacher_pull.1"].shape == (2, 8, 4)
    assert full["student_pull.1"].shape == (2, 8, 8)
    assert short["self_pull.0"].dtype == np.float32
    np.testing.assert_allclose(
        short["self_pull.1"] + short["others_pull.1"], full["student_pull.1"].sum(2), rtol=1e-4
    )
    assert set(short) - set(full) == {f"{n}_pull.{k}" for n in ("self", "others") for k in (0, 1)}
