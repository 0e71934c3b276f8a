"""VGG with BatchNorm and its training: shapes, names, resuming, and that decay acts where said."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from trine.core.artifacts import read_arrays
from trine.core.config import make_config
from trine.core.errors import Interrupted, UsageError
from trine.core.progress import EventProgress, ProgressEvent
from trine.dynamics import vgg_training
from trine.dynamics.bn_audit import audit
from trine.dynamics.bn_graph import roles_of_module
from trine.dynamics.cifar import CLASS_NAMES, Cifar10
from trine.dynamics.training import Diverged
from trine.dynamics.vgg import VGG, make_vgg
from trine.dynamics.vgg_training import VggConfig, learning_rate, test_accuracy, train_vgg


@pytest.fixture(scope="module")
def data() -> Cifar10:
    """Ten classes that differ in colour: learnable within a few steps."""
    generator = np.random.default_rng(0)
    colours = generator.integers(60, 196, size=(10, 3))

    def split(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count) % 10
        noise = generator.integers(-40, 41, size=(count, 32, 32, 3))
        return (colours[labels][:, None, None] + noise).astype(np.uint8), labels.astype(np.int64)

    return Cifar10(*split(160), *split(100), class_names=CLASS_NAMES)


def config(**values: object) -> VggConfig:
    small = {"width": 0.05, "epochs": 2, "batch": 32, "device": "cpu"}
    return make_config(VggConfig, small | values)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("depth", "parameters", "norms"),
    # Convolutions with bias, BatchNorm and a 512 x 10 classifier at full width, counted by hand
    # from table 1 of the paper: sum of 9 * in * out + out + 2 * out, and 5130.
    [(11, 9_231_114, 8), (13, 9_416_010, 10), (16, 14_728_266, 13), (19, 20_040_522, 16)],
)
def test_the_architecture(depth: int, parameters: int, norms: int) -> None:
    with torch.device("meta"):
        network = VGG(depth)
    assert sum(p.numel() for p in network.parameters()) == parameters
    places = roles_of_module(network)
    assert len(places) == norms
    assert {place.role for place in places.values()} == {"before_relu"}


def test_names_are_those_of_torchvision() -> None:
    # vgg11_bn: convolutions at 0, 4, 8, 11, 15, 18, 22, 25, each with its BatchNorm after it.
    names = set(VGG(11, width=0.05).state_dict())
    for convolution in (0, 4, 8, 11, 15, 18, 22, 25):
        assert f"features.{convolution}.weight" in names
        assert f"features.{convolution + 1}.running_mean" in names


def test_weights_come_from_the_generator_alone() -> None:
    state = torch.random.get_rng_state()
    first, second = make_vgg(11, generator(), width=0.05), make_vgg(11, generator(), width=0.05)
    assert torch.equal(state, torch.random.get_rng_state())
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
        assert bool(torch.isfinite(value).all()), name
    wide = make_vgg(11, generator(), width=0.5)
    weight = wide.state_dict()["features.25.weight"]  # [256, 256, 3, 3]: deviation known to 0.1 %
    assert math.isclose(float(weight.std()), math.sqrt(2 / (9 * 256)), rel_tol=0.01)
    assert float(wide.state_dict()["features.26.bias"].abs().max()) == 0
    assert float(wide.state_dict()["features.26.running_var"].min()) == 1


@pytest.mark.parametrize(("depth", "width"), [(12, 1.0), (11, 0.0)])
def test_sizes_that_do_not_exist(depth: int, width: float) -> None:
    with pytest.raises(UsageError, match="accepted"):
        VGG(depth, width=width)


def test_the_learning_rate_rises_and_falls() -> None:
    c = config(peak_lr=0.4, warmup=0.2)
    assert learning_rate(c, 0) == 0
    assert math.isclose(learning_rate(c, 0.1), 0.2)
    assert math.isclose(learning_rate(c, 0.2), 0.4)
    assert math.isclose(learning_rate(c, 0.6), 0.2)
    assert math.isclose(learning_rate(c, 1), 0, abs_tol=1e-12)
    assert math.isclose(learning_rate(config(warmup=0.0, peak_lr=0.4), 0), 0.4)


def test_it_learns_and_leaves_its_arrays(data: Cifar10) -> None:
    events: list[ProgressEvent] = []
    run, result = train_vgg(
        config(epochs=6, peak_lr=0.05, batch=16), data, progress=EventProgress(events.append)
    )
    assert result["test_accuracy"] > 0.5  # chance is 0.1
    assert result["epoch"] == 6
    assert events[-1].done == 6
    ((network, places),) = audit([run.checkpoints / "bn.safetensors"])
    assert network.name == result["name"] == "vgg11-w0.05-s0"
    assert [layer.layer for layer in network.layers][:3] == [
        "features.1",
        "features.5",
        "features.9",
    ]
    assert {place.role for place in places.values()} == {"before_relu"}
    whole = read_arrays(run.checkpoints / "network.safetensors")
    assert np.array_equal(whole["features.26.bias"], network.layers[-1].bias.astype(np.float32))
    # The stored network is the one whose accuracy was reported.
    again = VGG(11, width=0.05)
    again.load_state_dict({name: torch.from_numpy(array) for name, array in whole.items()})
    assert test_accuracy(again, data) == result["test_accuracy"]
    assert again.training
    assert (
        train_vgg(config(epochs=6, peak_lr=0.05, batch=16), data)[1] == result
    )  # found, not computed again


def test_a_stopped_training_goes_on_to_the_same_weights(
    data: Cifar10, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, _ = train_vgg(config(epochs=3), data, root=tmp_path / "a")
    real = vgg_training._epoch

    def stop(c: VggConfig, *rest: object) -> dict[str, float]:
        if rest[-1] == 1:
            raise KeyboardInterrupt
        return real(c, *rest)  # pyright: ignore[reportArgumentType] (handed through)

    monkeypatch.setattr(vgg_training, "_epoch", stop)
    with pytest.raises(Interrupted):
        train_vgg(config(epochs=3), data, root=tmp_path / "b")
    monkeypatch.setattr(vgg_training, "_epoch", real)
    resumed, _ = train_vgg(config(epochs=3), data, root=tmp_path / "b")
    first = read_arrays(straight.checkpoints / "network.safetensors")
    second = read_arrays(resumed.checkpoints / "network.safetensors")
    for name, array in first.items():
        assert np.array_equal(array, second[name]), name


def test_decay_leaves_batchnorm_alone_when_told(data: Cifar10) -> None:
    def largest_change(decay: float, norm_decay: bool) -> dict[str, float]:
        c = config(epochs=1, weight_decay=decay, norm_decay=norm_decay, images=32, warmup=0.0)
        run, _ = train_vgg(c, data)
        arrays = read_arrays(run.checkpoints / "network.safetensors")
        return {
            n: float(np.abs(arrays[n]).max()) for n in ("features.1.weight", "features.0.weight")
        }

    # One step at rate 0.1: decay 1 takes a tenth (twice nearly, with Nesterov) off what it acts on.
    plain, spared, decayed = (
        largest_change(0.0, True), largest_change(1.0, False), largest_change(1.0, True)
    )  # fmt: skip
    assert math.isclose(spared["features.1.weight"], plain["features.1.weight"], rel_tol=1e-4)
    assert decayed["features.1.weight"] < 0.9 * plain["features.1.weight"]
    assert spared["features.0.weight"] < 0.9 * plain["features.0.weight"]


def test_a_loss_that_is_not_finite_stops_with_advice(data: Cifar10) -> None:
    c = config(peak_lr=1e30, warmup=0.0)
    with pytest.raises(Diverged, match=r"not finite.*epoch 1.*peak_lr below 1e\+30"):
        train_vgg(c, data)


def test_bfloat16_products_train_too(data: Cifar10) -> None:
    run, result = train_vgg(config(precision="bfloat16"), data)
    assert math.isfinite(result["train_loss"])
    arrays = read_arrays(run.checkpoints / "network.safetensors")
    assert arrays["features.0.weight"].dtype == np.float32
