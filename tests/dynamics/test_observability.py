import pytest
import torch

from trine.core.errors import UsageError
from trine.dynamics.measures.observability import Observability
from trine.dynamics.stack import Trace


def trace(values: torch.Tensor) -> Trace:
    return Trace(values, [values.relu()], [values.relu()], values)


def test_counts_by_hand():
    # Six samples; the teacher node is active on the first three.
    first = torch.tensor([1.0, 1, 1, -1, -1, -1]).view(1, 6, 1)
    second = torch.tensor(
        [
            [1.0, 1, 1, 1, 1, 1],  # always active: 1
            [1, 1, 1, -1, -1, -1],  # the same node: never active below, 0
            [1, 1, -1, 1, -1, -1],  # 2/3 above, 1/3 below
            [-1, -1, -1, -1, -1, -1],  # never
        ]
    ).T.unsqueeze(0)
    measure = Observability()
    measure.update(trace(first), trace(second))
    assert measure.result().flatten().tolist() == pytest.approx([1, 0, 1 / 3, 0])


def test_parts_add_up_and_reset_forgets():
    torch.manual_seed(0)
    first, second = torch.randn(2, 50, 3), torch.randn(2, 50, 5)
    whole, parts = Observability(), Observability()
    whole.update(trace(first), trace(second))
    for at in (slice(0, 20), slice(20, 50)):
        parts.update(trace(first[:, at]), trace(second[:, at]))
    assert torch.equal(whole.result(), parts.result())
    assert whole.result().shape == (2, 3, 5)
    parts.reset()
    with pytest.raises(UsageError, match="no samples"):
        parts.result()


def test_renumbering_nodes_renumbers_the_measure():
    torch.manual_seed(1)
    first, second = torch.randn(1, 80, 3), torch.randn(1, 80, 4)
    order = torch.tensor([2, 0, 3, 1])
    plain, turned = Observability(), Observability()
    plain.update(trace(first), trace(second))
    turned.update(trace(first), trace(second[:, :, order]))
    assert torch.equal(plain.result()[:, :, order], turned.result())


def test_a_teacher_node_without_one_side_is_not_observed():
    first, second = torch.ones(1, 4, 1), torch.ones(1, 4, 2)
    measure = Observability()
    measure.update(trace(first), trace(second))
    assert measure.result().tolist() == [[[0.0, 0.0]]]


def test_wrong_layer_and_different_samples():
    with pytest.raises(UsageError, match="hidden layer 3"):
        Observability(3).update(trace(torch.ones(1, 2, 1)), trace(torch.ones(1, 2, 1)))
    with pytest.raises(UsageError, match="the same samples"):
        Observability().update(trace(torch.ones(1, 2, 1)), trace(torch.ones(1, 3, 1)))
