import numpy as np
import pytest
import torch

from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.dynamics.architecture import Architecture
from trine.dynamics.identity import downstream_of_stack
from trine.dynamics.initialise import make_student
from trine.dynamics.measures.l_shape import Downstream, fan_out_norms, l_shape
from trine.dynamics.stack import Stack


def students(architecture: Architecture) -> Stack:
    return Stack.concatenate([make_student(architecture, Seeds(seed)) for seed in range(2)])


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_the_exact_form_is_the_squared_length_of_the_columns_of_v(slope: float):
    stack = students(Architecture(6, (7, 5, 4), 3, slope=slope))
    inputs = torch.randn(2, 40, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    measure = Downstream(stack)
    for part in inputs.split(16, dim=1):
        measure.update(stack.forward(part))
    columns = downstream_of_stack(stack, stack.forward(inputs)).columns
    for found, v in zip(measure.result(), columns, strict=True):
        wanted = v.square().sum(2).mean(1)
        assert torch.allclose(found, wanted, rtol=1e-12)


def test_random_signs_agree_with_the_exact_form():
    stack = students(Architecture(6, (7, 5), 8))
    inputs = torch.randn(
        2, 4000, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    exact, signs = Downstream(stack), Downstream(stack, np.random.default_rng(0))
    trace = stack.forward(inputs)
    exact.update(trace)
    signs.update(trace)
    for one, other in zip(exact.result(), signs.result(), strict=True):
        # Relative standard error at most sqrt(2 / 4000) = 2.2 %: five of them.
        assert torch.allclose(one, other, rtol=0.12)


def test_two_layers_have_the_fan_out_norm():
    stack = students(Architecture(4, (6,), 3))
    measure = Downstream(stack)
    measure.update(stack.forward(torch.randn(2, 5, 4, dtype=torch.float64)))
    assert torch.allclose(measure.result()[0].sqrt(), fan_out_norms(stack))
    assert torch.allclose(fan_out_norms(stack)[0], stack.weights[1][0].norm(dim=0))


def test_an_l_in_numbers():
    best = np.array([0.99, 0.98, 0.3, 0.4, 0.5])
    influence = np.array([1.0, 3.0, 0.002, 0.02, 1.5])
    found = l_shape(best, influence)
    assert (found.matched, found.unmatched) == (2, 3)
    assert found.matched_influence == 2.0
    assert found.unmatched_influence == 0.02
    assert found.decades == pytest.approx(2.0)
    assert found.floor_share == pytest.approx(2 / 3)  # below a tenth of 2.0: two of three
    assert found.ordered == pytest.approx(5 / 6)  # of the six pairs, only 1.0 against 1.5 is wrong


def test_no_student_on_one_side():
    found = l_shape([0.99, 0.98], [1.0, 1.0])
    assert np.isnan(found.decades) and np.isnan(found.floor_share) and np.isnan(found.ordered)
    assert l_shape([0.1], [1.0]).matched == 0


def test_wrong_input():
    with pytest.raises(UsageError, match="one shape"):
        l_shape([0.1], [0.1, 0.2])
    with pytest.raises(UsageError, match="BatchNorm"):
        Downstream(students(Architecture(4, (6,), 3, batch_norm="after_relu")))
    with pytest.raises(UsageError, match="no samples"):
        Downstream(students(Architecture(4, (6,), 3))).result()
