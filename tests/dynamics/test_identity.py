"""The gradient identity against autograd, for every architecture without BatchNorm."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.dynamics.architecture import Architecture
from trine.dynamics.identity import (
    gradient_identity,
    mean_beta,
    parts,
    recursive_overlaps,
)
from trine.dynamics.initialise import TeacherOptions, make_student, make_teacher
from trine.dynamics.networks import ReluNetwork
from trine.dynamics.stack import Stack

torch.set_num_threads(1)

ARCHITECTURES = [
    Architecture(6, hidden, 4, bias=bias, slope=slope)
    for hidden, bias, slope in product([(5,), (5, 4), (5, 4, 6)], [True, False], [0.0, 0.1, 1.0])
]
BOUND = 1e-10  # the issue's; observed errors are about 1e-15


def pair(architecture: Architecture, seeds: int = 2, over: int = 2) -> tuple[Stack, Stack, Tensor]:
    options = TeacherOptions(start="framework")
    teachers = [make_teacher(architecture, Seeds(s), options) for s in range(seeds)]
    students = [make_student(architecture.wider(over), Seeds(s)) for s in range(seeds)]
    inputs = np.stack([Seeds(s).generator("x").normal(size=(32, 6)) for s in range(seeds)])
    return Stack.concatenate(teachers), Stack.concatenate(students), torch.as_tensor(inputs)


def autograd_directions(teacher: Stack, student: Stack, inputs: Tensor) -> list[list[Tensor]]:
    """Per network and hidden layer `[B, n]`: minus the gradient of the loss of each sample."""
    found: list[list[Tensor]] = []
    for network in range(student.count):
        module = ReluNetwork.from_stack(student, network)
        target = ReluNetwork.from_stack(teacher, network)(inputs[network]).detach()
        handed, pres = inputs[network], []
        for block in module.hidden:
            linear, relu = block.children()
            pres.append(linear(handed))
            handed = relu(pres[-1])
        loss = 0.5 * (module.output(handed) - target).square().sum()
        found.append([-gradient for gradient in torch.autograd.grad(loss, pres)])
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_identity_equals_autograd(architecture: Architecture) -> None:
    teacher, student, inputs = pair(architecture)
    identity = gradient_identity(teacher, student, inputs)
    wanted = autograd_directions(teacher, student, inputs)
    for layer in range(architecture.depth):
        expected = torch.stack([directions[layer] for directions in wanted])
        assert expected.abs().max() > 1e-3  # a comparison of zeros would say nothing
        for found in (identity.directions(layer), identity.directions_by_overlaps(layer)):
            torch.testing.assert_close(found, expected, rtol=0, atol=BOUND)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_recursion_of_beta_and_h_gives_the_same_overlaps(architecture: Architecture) -> None:
    teacher, student, inputs = pair(architecture)
    identity = gradient_identity(teacher, student, inputs)
    for layer, (cross, own) in enumerate(recursive_overlaps(teacher, student, inputs)):
        n, m = student.architecture.hidden[layer], architecture.hidden[layer]
        a = identity.student_teacher(layer).expand(-1, inputs.shape[1], -1, -1)
        b = identity.student_student(layer).expand(-1, inputs.shape[1], -1, -1)
        torch.testing.assert_close(cross[:, :, :n, :m], a, rtol=0, atol=1e-12)
        torch.testing.assert_close(own[:, :, :n, :n], b, rtol=0, atol=1e-12)
        if architecture.bias:
            # With the node that is always 1, the identity has no further term.
            f_star = torch.nn.functional.pad(identity.teacher.post[layer], (0, 1), value=1.0)
            f = torch.nn.functional.pad(identity.student.post[layer], (0, 1), value=1.0)
            pulled = cross @ f_star.unsqueeze(3) - own @ f.unsqueeze(3)
            g = identity.student.gate[layer] * pulled.squeeze(3)[:, :, :n]
            torch.testing.assert_close(g, identity.directions(layer), rtol=0, atol=BOUND)


@pytest.mark.parametrize("architecture", ARCHITECTURES[:6], ids=str)
def test_gated_overlaps(architecture: Architecture) -> None:
    teacher, student, inputs = pair(architecture)
    identity = gradient_identity(teacher, student, inputs)
    layer = architecture.depth - 1
    above, own = identity.gated(layer)
    gate = identity.student.gate[layer]
    expected = torch.einsum(
        "rbj,rbji,rbi->rbji",
        gate,
        identity.student_teacher(layer).expand(-1, inputs.shape[1], -1, -1),
        identity.teacher.gate[layer],
    )
    torch.testing.assert_close(above, expected)
    torch.testing.assert_close(own, own.transpose(2, 3))


def test_two_layers_have_overlaps_that_do_not_depend_on_the_sample() -> None:
    teacher, student, inputs = pair(Architecture(6, (5,), 4))
    identity = gradient_identity(teacher, student, inputs)
    fan_out, fan_out_star = student.weights[1], teacher.weights[1]
    assert identity.student_teacher(0).shape[1] == 1
    torch.testing.assert_close(
        identity.student_teacher(0).squeeze(1), fan_out.transpose(1, 2) @ fan_out_star
    )
    torch.testing.assert_close(
        identity.student_student(0).squeeze(1), fan_out.transpose(1, 2) @ fan_out
    )


shapes = st.builds(
    Architecture,
    inputs=st.just(6),
    hidden=st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple),
    outputs=st.integers(1, 5),
    bias=st.booleans(),
    slope=st.sampled_from([0.0, 0.2, 1.0]),
)


@given(shapes, st.integers(1, 2))
def test_beta_is_the_squared_column_and_positive_semidefinite(
    architecture: Architecture, over: int
) -> None:
    teacher, student, inputs = pair(architecture, seeds=1, over=over)
    identity = gradient_identity(teacher, student, inputs)
    for layer in range(architecture.depth):
        own = identity.student_student(layer)
        columns = identity.student.columns[layer]
        torch.testing.assert_close(
            own.diagonal(dim1=2, dim2=3), columns.norm(dim=2).square(), rtol=1e-12, atol=1e-14
        )
        torch.testing.assert_close(own.diagonal(dim1=2, dim2=3), identity.student.beta(layer))
        lowest = torch.linalg.eigvalsh(own)[..., 0]
        assert bool((lowest >= -1e-12 * own.abs().amax((2, 3)).clamp_min(1)).all())


@given(shapes)
def test_student_with_the_teachers_weights_has_zero_gradient(architecture: Architecture) -> None:
    teacher, _, inputs = pair(architecture, seeds=1)
    identity = gradient_identity(teacher, teacher, inputs)
    for layer in range(architecture.depth):
        assert bool((identity.directions(layer) == 0).all())
        assert float(identity.directions_by_overlaps(layer).abs().max()) < 1e-12


def renumbered(stack: Stack, orders: list[Tensor]) -> Stack:
    """The same function with hidden nodes in another order."""
    weights, biases = list(stack.weights), list(stack.biases)
    for layer, order in enumerate(orders):
        weights[layer] = weights[layer][:, order]
        weights[layer + 1] = weights[layer + 1][:, :, order]
        if biases:
            biases[layer] = biases[layer][:, order]
    return Stack(stack.architecture, weights, biases)


@given(shapes, st.integers(0, 100))
def test_renumbering_hidden_nodes_renumbers_everything(
    architecture: Architecture, seed: int
) -> None:
    teacher, student, inputs = pair(architecture, seeds=1)
    generator = np.random.default_rng(seed)
    orders = [torch.as_tensor(generator.permutation(n)) for n in student.architecture.hidden]
    before = gradient_identity(teacher, student, inputs)
    after = gradient_identity(teacher, renumbered(student, orders), inputs)
    for layer, order in enumerate(orders):
        torch.testing.assert_close(after.directions(layer), before.directions(layer)[:, :, order])
        torch.testing.assert_close(
            after.student_teacher(layer), before.student_teacher(layer)[:, :, order]
        )
        torch.testing.assert_close(
            after.student_student(layer),
            before.student_student(layer)[:, :, order][:, :, :, order],
        )


def test_output_seen_from_every_layer() -> None:
    _, student, inputs = pair(Architecture(6, (5, 4, 3), 4, slope=0.1))
    seen = gradient_identity(student, student, inputs).student
    for layer in range(3):
        torch.testing.assert_close(seen.reconstructed(layer), seen.output)


def test_mean_beta_in_parts() -> None:
    _, student, inputs = pair(Architecture(6, (5, 4), 4))
    whole = [
        b.mean(1) for b in map(gradient_identity(student, student, inputs).student.beta, (0, 1))
    ]
    assert len(list(parts(32, student, most=1000))) > 2
    for found, expected in zip(mean_beta(student, inputs, most=1000), whole, strict=True):
        torch.testing.assert_close(found, expected)


def test_batch_norm_is_refused() -> None:
    architecture = Architecture(6, (5,), 4, batch_norm="before_relu")
    teacher, student, inputs = pair(architecture)
    with pytest.raises(UsageError, match="fold_batch_norm"):
        gradient_identity(teacher, student, inputs)
