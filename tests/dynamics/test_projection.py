"""BatchNorm as a projection: zero sums, orthogonal gradients, conserved norms."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.dynamics.architecture import Architecture, BatchNormPlace
from trine.dynamics.initialise import make_student
from trine.dynamics.projection import batch_norm_backward, projection_residuals
from trine.dynamics.stack import Stack

torch.set_num_threads(1)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


@given(st.integers(2, 40), st.integers(1, 6), st.integers(0, 1000), st.floats(0.01, 100))
def test_both_sums_vanish(batch: int, nodes: int, seed: int, spread: float) -> None:
    values = drawn(batch, nodes, seed=seed) * spread + 3
    projected = batch_norm_backward(values, drawn(batch, nodes, seed=seed + 1), gamma=-1.5)
    scale = 1.5 * 10 / float(values.std(0, correction=0).min())
    one, along = projection_residuals(projected)
    assert one < 1e-12 * scale * batch
    assert along < 1e-10 * scale * batch


def test_it_is_a_projection() -> None:
    """Twice is once, and what is orthogonal to 1 and zhat passes unchanged (gamma = s)."""
    values, incoming = drawn(16, 3), drawn(16, 3, seed=1)
    spread = values.std(0, correction=0, keepdim=True)
    once = batch_norm_backward(values, incoming, gamma=spread).direction
    twice = batch_norm_backward(values, once, gamma=spread).direction
    torch.testing.assert_close(twice, once)
    assert float((once - incoming).abs().max()) > 0.1


@pytest.mark.parametrize("epsilon", [1e-12, 1e-5])
def test_the_formula_is_autograds(epsilon: float) -> None:
    values, incoming = drawn(16, 3).requires_grad_(), drawn(16, 3, seed=1)
    norm = nn.BatchNorm1d(3, eps=epsilon, dtype=torch.float64)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([2.0, -1.0, 0.5]))
    (expected,) = torch.autograd.grad(norm(values), values, incoming)
    found = batch_norm_backward(values.detach(), incoming, norm.weight.detach(), epsilon)
    torch.testing.assert_close(found.direction, expected)


def networks(place: BatchNormPlace) -> tuple[Stack, Tensor, Tensor]:
    architecture = Architecture(6, (5, 4), 3, batch_norm=place)
    student = Stack.concatenate([make_student(architecture, Seeds(s)) for s in range(2)])
    return student, drawn(2, 64, 6) * 30, drawn(2, 64, 3, seed=1)


@pytest.mark.parametrize("layer", [0, 1])
def test_directions_of_a_stack_with_batch_norm_before_the_relu(layer: int) -> None:
    student, inputs, targets = networks("before_relu")
    student.weights[1].mul_(30)  # a spread far above PyTorch's epsilon
    trace = student.forward(inputs, training=True)
    direction = student.directions(trace, targets - trace.output)[layer]
    assert float(direction.mean(1).abs().max()) < 1e-12
    # With PyTorch's epsilon of 1e-5 the second sum is of that order times the direction.
    along = (direction * trace.normalised[layer]).mean(1)
    assert float(along.abs().max()) < 1e-6
    below = trace.post[layer - 1] if layer else inputs
    update = direction.transpose(1, 2) @ below
    weight = student.weights[layer]
    cosine = (update * weight).sum(2) / (update.norm(dim=2) * weight.norm(dim=2)).clamp_min(1e-300)
    assert float(cosine.abs().max()) < 1e-5
    assert float(direction.sum(1).abs().max()) < 1e-10  # so biases before BatchNorm learn nothing


def grown(rate: float, steps: int) -> tuple[Tensor, Tensor]:
    """Relative growth of ||w||^2, and the sum of squared steps, per hidden node."""
    student, inputs, targets = networks("before_relu")
    before = [weight.square().sum(2) for weight in student.weights[:2]]
    paths = [torch.zeros_like(b) for b in before]
    for _ in range(steps):
        trace = student.forward(inputs, training=True)
        old = [weight.clone() for weight in student.weights[:2]]
        student.descend(trace, (targets - trace.output) * (rate / 64))
        for path, w, o in zip(paths, student.weights, old, strict=False):
            path += (w - o).square().sum(2)
    after = [weight.square().sum(2) for weight in student.weights[:2]]
    growth = torch.cat([(a - b) for a, b in zip(after, before, strict=True)], 1)
    return growth, torch.cat(paths, 1)


def test_flow_conserves_norms_and_steps_grow_them_by_their_square() -> None:
    growth, path = grown(0.2, 50)
    assert float(path.max()) > 1e-4
    torch.testing.assert_close(growth, path, rtol=2e-2, atol=1e-7)
    finer, _ = grown(0.02, 500)  # the same time, ten times finer: a tenth of the growth
    assert float(finer.abs().sum()) < 0.2 * float(growth.abs().sum())


def test_wrong_shapes_and_constant_nodes() -> None:
    with pytest.raises(UsageError, match="accepted: equal"):
        batch_norm_backward(drawn(4, 2), drawn(4, 3))
    with pytest.raises(UsageError, match="constant on the batch"):
        batch_norm_backward(torch.ones(4, 2), torch.ones(4, 2))
    assert (
        batch_norm_backward(torch.ones(4, 2), torch.ones(4, 2), epsilon=1e-5).direction.sum() == 0
    )
