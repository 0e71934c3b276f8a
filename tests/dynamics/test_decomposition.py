"""The identity and the pulls on modules: chains by hand, anything with ReLUs through hooks."""

import pytest
import torch
from torch import Tensor, nn

from tests.dynamics.test_identity import ARCHITECTURES, BOUND, pair
from trine.core.errors import UsageError
from trine.dynamics.architecture import Architecture, BatchNormPlace
from trine.dynamics.chains import downstream_of_module
from trine.dynamics.decomposition import gradient_decomposition
from trine.dynamics.identity import GradientIdentity, gradient_identity
from trine.dynamics.networks import ConvArchitecture, ConvReluNetwork, ReluNetwork

torch.set_num_threads(1)


def autograd_directions(teacher: nn.Module, student: nn.Module, inputs: Tensor) -> list[Tensor]:
    """Minus the gradient of the loss of each sample at what every ReLU of the student reads."""
    pres: list[Tensor] = []

    def keep(_: nn.Module, arguments: tuple[Tensor]) -> tuple[Tensor]:
        pres.append(arguments[0])
        return (arguments[0].clone(),)  # an in-place ReLU must not write over it

    units = [m for m in student.modules() if isinstance(m, nn.ReLU | nn.LeakyReLU)]
    handles = [unit.register_forward_pre_hook(keep) for unit in units]
    loss = 0.5 * (student(inputs) - teacher(inputs).detach()).square().sum()
    found = torch.autograd.grad(loss, pres)
    for handle in handles:
        handle.remove()
    return [-gradient for gradient in found]


def convolutional(channels: tuple[int, ...], seed: int, *, bias: bool, slope: float) -> nn.Module:
    architecture = ConvArchitecture(channels, 8, 2, 3, bias=bias, slope=slope)
    return seeded(ConvReluNetwork(architecture, torch.float64), seed)


def seeded(module: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            fan_in = max(parameter[0].numel(), 1)
            parameter.uniform_(-1, 1, generator=generator).div_(fan_in**0.5)
    return module


def images(count: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(count, 2, 8, 8, dtype=torch.float64, generator=generator)


def strided(seed: int, width: int) -> nn.Module:
    """Stride, padding, groups, in-place units, a linear layer without bias, a dead dropout."""
    module = nn.Sequential(
        nn.Conv2d(2, width, 3, stride=2, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, 2 * width, 2, groups=width, dilation=2),
        nn.BatchNorm2d(2 * width),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(8 * width, 5, bias=False),
        nn.BatchNorm1d(5, affine=False),
        nn.ReLU(),
        nn.Linear(5, 3),
    )
    module = seeded(module.double(), seed)
    module(images(32))  # running statistics that are not 0 and 1
    return module.eval()


CHAINS = {
    f"conv bias={bias} slope={slope} depth={len(channels)}": (
        convolutional(channels, 0, bias=bias, slope=slope),
        convolutional(tuple(2 * c for c in channels), 1, bias=bias, slope=slope),
    )
    for channels in ((3,), (3, 4), (2, 3, 4))
    for bias in (True, False)
    for slope in (0.0, 0.1)
} | {"strided with BatchNorm in evaluation mode": (strided(0, 2), strided(1, 4))}


@pytest.mark.parametrize("name", CHAINS)
def test_identity_of_chains_equals_autograd(name: str) -> None:
    teacher, student = CHAINS[name]
    inputs = images()
    identity = GradientIdentity(
        downstream_of_module(teacher, inputs), downstream_of_module(student, inputs)
    )
    expected = autograd_directions(teacher, student, inputs)
    assert identity.student.depth == len(expected)
    for layer, directions in enumerate(expected):
        assert identity.student.channels[layer] == directions.shape[1]
        assert directions.abs().max() > 1e-4
        wanted = directions.flatten(1).unsqueeze(0)
        for found in (identity.directions(layer), identity.directions_by_overlaps(layer)):
            torch.testing.assert_close(found, wanted, rtol=0, atol=BOUND)
        torch.testing.assert_close(identity.student.reconstructed(layer), identity.student.output)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_chain_and_stack_agree(architecture: Architecture) -> None:
    teacher, student, inputs = pair(architecture, seeds=1)
    stacks = gradient_identity(teacher, student, inputs)
    modules = GradientIdentity(
        downstream_of_module(ReluNetwork.from_stack(teacher), inputs[0]),
        downstream_of_module(ReluNetwork.from_stack(student), inputs[0]),
    )
    for layer in range(architecture.depth):
        torch.testing.assert_close(modules.student.columns[layer], stacks.student.columns[layer])
        torch.testing.assert_close(modules.student_teacher(layer), stacks.student_teacher(layer))
        torch.testing.assert_close(modules.directions(layer), stacks.directions(layer))


class Residual(nn.Module):
    """A branch around a convolution, and a pool: no chain."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, width, 3, padding=1, dtype=torch.float64)
        self.inner = nn.Conv2d(width, width, 3, padding=1, dtype=torch.float64)
        self.norm = nn.BatchNorm2d(width, dtype=torch.float64)
        self.unit = nn.ReLU(inplace=True)  # called twice
        self.pool = nn.MaxPool2d(2)
        self.output = nn.Linear(16 * width, 3, dtype=torch.float64)

    def forward(self, inputs: Tensor) -> Tensor:
        branch = self.unit(self.first(inputs))
        whole = self.unit(self.norm(self.inner(branch)) + branch)
        return self.output(self.pool(whole).flatten(1))


PAIRS = CHAINS | {"residual": (seeded(Residual(2), 0).eval(), seeded(Residual(3), 1).eval())}


@pytest.mark.parametrize("name", PAIRS)
def test_pulls_sum_to_the_gradient_of_autograd(name: str) -> None:
    teacher, student = PAIRS[name]
    inputs = images(7)
    pull = gradient_decomposition(teacher, student, inputs.split(3))
    expected = autograd_directions(teacher, student, inputs)
    assert pull.samples == 7
    for found, directions in zip(pull.layers, expected, strict=True):
        flat = directions.flatten(2) if directions.dim() > 2 else directions.unsqueeze(2)
        total = flat.square().sum((0, 2)).div(7).sqrt()
        torch.testing.assert_close(found.total[0], total, rtol=0, atol=BOUND)
        summed = found.teacher_pull.sum(2) + found.student_pull.sum(2) + found.constant_pull
        torch.testing.assert_close(summed[0], total, rtol=0, atol=BOUND)


@pytest.mark.parametrize("name", CHAINS)
def test_every_pull_is_the_one_of_the_overlaps(name: str) -> None:
    """Against A and B written out, channel by channel."""
    teacher, student = CHAINS[name]
    inputs = images(4)
    pull = gradient_decomposition(teacher, student, inputs)
    identity = GradientIdentity(
        downstream_of_module(teacher, inputs), downstream_of_module(student, inputs)
    )
    for layer, found in enumerate(pull.layers):
        mine, theirs = identity.student, identity.teacher
        n, m = mine.channels[layer], theirs.channels[layer]
        g = identity.directions(layer)
        left = (g * mine.gate[layer]).unsqueeze(3)
        attracted = left * identity.student_teacher(layer) * theirs.post[layer].unsqueeze(2)
        repelled = -left * identity.student_student(layer) * mine.post[layer].unsqueeze(2)
        total = found.total[0].unsqueeze(1).clamp_min(1e-300)  # a node that is never active
        for tensor, width, pulls in (
            (attracted, m, found.teacher_pull),
            (repelled, n, found.student_pull),
        ):
            blocks = tensor[0].reshape(4, n, tensor.shape[2] // n, width, -1).sum((2, 4)).mean(0)
            torch.testing.assert_close(pulls[0], blocks / total, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(
            found.beta[0], mine.beta(layer)[0].expand(4, -1).mean(0).view(n, -1).sum(1)
        )


def test_arrays_leave_out_what_is_not_defined() -> None:
    teacher, student = PAIRS["residual"]
    arrays = gradient_decomposition(teacher, student, images(2)).arrays()
    assert "teacher_pull.1" in arrays
    assert "drift.1" not in arrays


def test_parameters_get_no_gradients() -> None:
    teacher, student = PAIRS["residual"]
    gradient_decomposition(teacher, student, images(2))
    assert all(p.grad is None for m in (teacher, student) for p in m.parameters())


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4, dtype=torch.float64)
        nn.init.eye_(self.linear.weight)
        nn.init.constant_(self.linear.bias, 5.0)  # drawn units may all be dead, and tanh(0) is 0
        self.unit = nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.tanh(self.unit(self.linear(inputs)))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Functional(), "does something between its parts"),
        (nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.ReLU()), "kind Tanh"),
        (nn.Sequential(nn.Linear(4, 4), nn.Flatten()), "no ReLU"),
        (nn.Sequential(nn.ReLU(), nn.BatchNorm1d(4)), "training mode"),
        (nn.Sequential(nn.ReLU(), nn.Dropout(0.0)), "dropout in training mode"),
    ],
)
def test_no_chain(module: nn.Module, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        downstream_of_module(module.double(), torch.ones(3, 4, dtype=torch.float64))


def test_conv_with_named_padding_is_refused() -> None:
    module = nn.Sequential(nn.Conv2d(2, 2, 3, padding="same", dtype=torch.float64), nn.ReLU())
    with pytest.raises(UsageError, match="padding 'same'"):
        downstream_of_module(nn.Sequential(module, nn.Flatten()), images(2))


def test_decomposition_says_what_is_wrong() -> None:
    relu = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    deeper = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.ReLU(), nn.Linear(4, 2))
    inputs = torch.ones(3, 4)
    for student, message in (
        (deeper, "hidden layers: teacher 1, student 2"),
        (nn.Sequential(nn.ReLU(), nn.Linear(4, 3)), "outputs: teacher 2, student 3"),
        (nn.Linear(4, 2), "called no nn.ReLU"),
        (nn.Sequential(nn.BatchNorm1d(4), nn.ReLU()), "training mode"),
    ):
        with pytest.raises(UsageError, match=message):
            gradient_decomposition(relu, student, inputs)
    with pytest.raises(UsageError, match="no samples"):
        gradient_decomposition(relu, relu, [])


@pytest.mark.parametrize("place", ["before_relu", "after_relu"])
def test_batch_norm_in_evaluation_mode(place: BatchNormPlace) -> None:
    architecture = Architecture(6, (5, 4), 3, batch_norm=place)
    teacher, student, inputs = pair(architecture, seeds=1)
    modules = [ReluNetwork.from_stack(stack).eval() for stack in (teacher, student)]
    pull = gradient_decomposition(modules[0], modules[1], inputs[0])
    expected = autograd_directions(modules[0], modules[1], inputs[0])
    for found, directions in zip(pull.layers, expected, strict=True):
        torch.testing.assert_close(found.total[0], directions.square().mean(0).sqrt())
