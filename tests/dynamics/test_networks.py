import pytest
import torch
from torch import nn

from trine.core.errors import DataError, UsageError
from trine.core.seeding import Seeds
from trine.dynamics.architecture import Architecture, BatchNormPlace
from trine.dynamics.initialise import make_student
from trine.dynamics.networks import ConvArchitecture, ConvReluNetwork, ReluNetwork
from trine.dynamics.stack import Stack
from trine.dynamics.tracing import as_nodes, trace_module

INPUTS = torch.randn(3, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def stack_of(place: BatchNormPlace = "none", slope=0.0, bias=True, affine=True):
    shape = Architecture(5, (8, 6), 3, bias, slope, place, affine)
    return Stack.concatenate([make_student(shape, Seeds(seed)) for seed in range(3)])


@pytest.mark.parametrize("place", ["none", "before_relu", "after_relu"])
@pytest.mark.parametrize("slope", [0.0, 0.2])
@pytest.mark.parametrize("bias", [True, False])
def test_a_stack_and_its_modules_compute_the_same(place, slope, bias):
    stack = stack_of(place, slope, bias)
    trace = stack.forward(INPUTS)
    for network in range(3):
        module = ReluNetwork.from_stack(stack, network).eval()
        assert torch.allclose(module(INPUTS[network]), trace.output[network])
        alone = trace_module(module, INPUTS[network])
        assert alone.slope == slope
        for layer in range(2):
            assert torch.allclose(alone.active[layer][0], trace.active[layer][network])
            assert torch.equal(alone.gate(layer)[0], trace.gate(layer)[network])
    modules = [ReluNetwork.from_stack(stack, network) for network in range(3)]
    again = ReluNetwork.to_stack(modules).arrays()
    assert all((again[name] == array).all() for name, array in stack.arrays().items())


def test_checkpoints_hold_everything_and_miss_nothing():
    stack = stack_of("before_relu")
    arrays = stack.arrays()
    assert len(arrays) == 3 + 3 + 4 * 2
    again = Stack.from_arrays(stack.architecture, arrays, dtype=torch.float32)
    assert again.dtype == torch.float32
    del arrays["running_var.1"]
    with pytest.raises(DataError, match=r"running_var\.1"):
        Stack.from_arrays(stack.architecture, arrays)


def test_stacks_are_checked_put_together_and_taken_apart():
    stack = stack_of()
    both = Stack.concatenate([stack, stack.select([2])])
    assert both.count == 4
    assert torch.equal(both.weights[0][3], stack.weights[0][2])
    with pytest.raises(UsageError, match="different architectures"):
        Stack.concatenate([stack, stack_of(slope=0.5)])
    with pytest.raises(UsageError, match="shapes"):
        Stack(stack.architecture, stack.weights[:2], stack.biases)
    with pytest.raises(UsageError, match="biases"):
        Stack(stack_of(bias=False).architecture, stack.weights, stack.biases)


def test_a_convolutional_network_has_the_shape_of_the_paper():
    shape = ConvArchitecture()
    assert shape.map_side == 24
    assert shape.flattened == 64 * 24 * 24
    small = ConvArchitecture((4, 6), image=8, outputs=3)
    network = ConvReluNetwork(small)
    images = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    trace = trace_module(network, images)
    assert [tuple(a.shape) for a in trace.active] == [(1, 5 * 36, 4), (1, 5 * 16, 6)]
    assert tuple(trace.output.shape) == (1, 5, 3)
    with pytest.raises(UsageError, match="3x3 convolutions on 8 x 8"):
        ConvArchitecture((4, 4, 4, 4), image=8)


def test_nodes_of_a_convolution_are_channels_and_positions_are_samples():
    maps = torch.arange(24.0).reshape(1, 2, 3, 4)
    assert torch.equal(as_nodes(maps)[0].T, maps.reshape(2, 12))
    with pytest.raises(UsageError, match="shape"):
        as_nodes(torch.zeros(3))


class Hidden(nn.Module):
    def forward(self, inputs):
        return torch.relu(inputs)


def test_a_module_without_relu_modules_says_so():
    with pytest.raises(UsageError, match=r"Hidden called no nn\.ReLU"):
        trace_module(Hidden(), torch.zeros(2, 3))
    mixed = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.LeakyReLU(0.1))
    with pytest.raises(UsageError, match="mixes ReLU slopes"):
        trace_module(mixed, torch.zeros(2, 3))
    assert not any(m._forward_hooks for m in mixed.modules())


def test_in_place_units_are_seen_as_they_were():
    torch.manual_seed(0)
    chain = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 4), nn.ReLU(True))
    inputs = torch.randn(6, 3)
    trace = trace_module(chain, inputs)
    assert torch.equal(trace.active[0][0], chain[:2](inputs))
    assert torch.equal(trace.active[1][0], trace.output[0])
