"""The two-layer theorem: exact with a fixed first layer, measured with both layers moving."""

import numpy as np
import pytest
import torch

from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.dynamics.architecture import Architecture
from trine.dynamics.fade_out import (
    fixed_first_layer,
    matrix_start,
    separation,
)
from trine.dynamics.measures.l_shape import fan_out_norms
from trine.dynamics.stack import Stack

torch.set_num_threads(1)


def test_fixed_first_layer_to_machine_precision() -> None:
    """Spec 5.1, T3: after 2,000 steps of size 0.5 with d = 10 and 8 + 8 nodes, both below 1e-13."""
    for seed in range(5):
        found = fixed_first_layer(Seeds(seed).generator("fixed"))
        assert found.lucky_error < 1e-13
        assert found.unlucky_error < 1e-13
        assert found.history.shape == (2001, 2)
        assert found.history[0].min() > 0.1  # they started elsewhere


def test_the_smallest_eigenvalue_is_the_rate() -> None:
    found = fixed_first_layer(Seeds(0).generator("fixed"), steps=400)
    late = np.log(found.history[200:400].max(1))
    per_step = -(late[-1] - late[0]) / (len(late) - 1)
    assert per_step == pytest.approx(-np.log(1 - 0.5 * found.smallest_eigenvalue), rel=0.1)


def test_too_large_a_rate_is_refused() -> None:
    with pytest.raises(UsageError, match="rate 5; accepted: below"):
        fixed_first_layer(Seeds(0).generator("fixed"), rate=5)


def test_matrix_start() -> None:
    teacher, student = matrix_start(Seeds(3), over=3, noise=0.05, bias=-0.2)
    assert teacher.architecture.widths == (10, 20, 30)
    assert student.architecture.hidden == (60,)
    for stack in (teacher, student):
        for weight, bias in zip(stack.weights, stack.biases, strict=True):
            length = weight.square().sum(2) + bias.square()
            torch.testing.assert_close(length, torch.ones_like(length))
    assert float(teacher.biases[0].max()) < 0
    assert float(teacher.biases[1].abs().max()) == 0
    cosine = torch.nn.functional.cosine_similarity(
        teacher.weights[0][0].unsqueeze(1), student.weights[0][0].unsqueeze(0), dim=2
    )
    assert bool((cosine.argmax(1) == torch.arange(20)).all())
    assert float(cosine.diagonal().min()) > 0.9


def test_matrix_start_of_a_deep_network_without_biases() -> None:
    teacher, student = matrix_start(Seeds(0), widths=(6, 5, 4, 7), bias=None)
    assert not teacher.biases
    assert not student.biases
    assert student.architecture.hidden == (10, 8)
    for stack in (teacher, student):
        assert all(torch.allclose(w.norm(dim=2), torch.ones(()).double()) for w in stack.weights)


def test_start_with_unlucky_nodes_turned_away() -> None:
    teacher, plain = matrix_start(Seeds(3))
    _, away = matrix_start(Seeds(3), away=True)
    torch.testing.assert_close(plain.weights[0][:, :20], away.weights[0][:, :20])
    before = plain.weights[0][0, 20:] @ teacher.weights[0][0].T
    after = away.weights[0][0, 20:] @ teacher.weights[0][0].T
    nearest = before.argmax(1, keepdim=True)
    assert float(before.gather(1, nearest).min()) > 0
    assert float(after.gather(1, nearest).max()) < 0


def test_norms_and_separation() -> None:
    architecture = Architecture(2, (4,), 3)
    top = torch.zeros(1, 3, 4, dtype=torch.float64)
    top[0, 0] = torch.tensor([1.0, 10.0, 1e-3, 1e-5])
    weights = [torch.ones(1, 4, 2, dtype=torch.float64), top]
    biases = [torch.zeros(1, 4), torch.zeros(1, 3)]
    norms = fan_out_norms(Stack(architecture, weights, biases))
    torch.testing.assert_close(norms, top[:, 0])
    found = separation(norms, 2)
    assert found.median.item() == pytest.approx(4.5)
    assert found.mixed.item() == pytest.approx(4)
    assert found.worst.item() == pytest.approx(3)
    assert found.geometric.item() == pytest.approx(4.5)
    swapped = separation(norms[:, [2, 3, 0, 1]], torch.tensor([[False, False, True, True]]))
    torch.testing.assert_close(swapped.worst, found.worst)
    with pytest.raises(UsageError, match="one group"):
        separation(norms, 4)
