"""Signs of BatchNorm biases: counts, intervals, and where in a network each layer stands."""

import math
import os
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from trine.core.errors import DataError, UsageError
from trine.core.seeding import Seeds
from trine.dynamics.bn_audit import (
    POOLED,
    audit,
    audit_frame,
    audit_module,
    bias_frame,
    exact_interval,
    layer_bootstrap,
)
from trine.dynamics.bn_graph import roles_of_module
from trine.dynamics.bn_roles import ROLES, Place, apply_overrides, roles_by_name
from trine.dynamics.checkpoints import BatchNormLayer, Network
from trine.dynamics.vgg import VGG


def norm(*bias: float) -> nn.BatchNorm1d:
    made = nn.BatchNorm1d(len(bias))
    with torch.no_grad():
        made.bias.copy_(torch.tensor(bias))
    return made


class Everything(nn.Module):
    """One BatchNorm before each kind of operation."""

    EXPECTED: ClassVar[dict[str, tuple[str, str | None]]] = {
        "module_relu": ("before_relu", "relu"),
        "functional_relu": ("before_relu", "relu"),
        "torch_relu": ("before_relu", "relu"),
        "method_relu": ("before_relu", "relu"),
        "relu6": ("before_relu", None),  # the graph of autograd calls it hardtanh
        "leaky": ("before_relu", "leakyrelu"),
        "clamp": ("before_relu", None),
        "silu": ("before_smooth_relu", "silu"),
        "gelu": ("before_smooth_relu", "gelu"),
        "plus": ("before_addition", "add"),
        "torch_add": ("before_addition", "add"),
        "method_add": ("before_addition", "add"),
        "in_place": ("before_addition", "add"),
        "pooled": ("before_relu", "relu"),
        "dropped": ("before_relu", "relu"),
        "flat": ("before_relu", "relu"),
        "joined": ("before_relu", "relu"),
        "linear": ("after_relu_or_linear", None),
        "after_relu": ("after_relu_or_linear", None),
        "sigmoid": ("unknown", "sigmoid"),
        "two_ways": ("unknown", "add and relu"),
        "shortcut": ("after_relu_or_linear", None),
        "last": ("after_relu_or_linear", "output"),
    }

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleDict({name: norm(0.0, 0.0, 0.0, 0.0) for name in self.EXPECTED})
        self.relu = nn.ReLU(inplace=True)
        self.relu6 = nn.ReLU6()
        self.dropout = nn.Dropout()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        n = self.norms
        x = self.relu(n["module_relu"](self.fc(x)))
        x = functional.relu(n["functional_relu"](x), inplace=True)
        x = torch.relu(n["torch_relu"](x))
        x = n["method_relu"](x).relu()
        x = self.relu6(n["relu6"](x))
        x = functional.leaky_relu(n["leaky"](x), 0.1)
        x = torch.clamp(n["clamp"](x), min=0)
        x = functional.silu(n["silu"](x))
        x = functional.gelu(n["gelu"](x))
        x = n["plus"](x) + x
        x = torch.add(n["torch_add"](x), x)
        x = n["method_add"](x).add(x)
        y = n["in_place"](x)
        y += x
        x = y * 1.0
        x = functional.relu(functional.max_pool1d(n["pooled"](x)[:, None], 1)[:, 0])
        x = functional.relu(self.dropout(n["dropped"](x)))
        x = functional.relu(torch.flatten(n["flat"](x), 1).view(-1, 4))
        x = functional.relu(torch.cat([n["joined"](x), x], dim=1))[:, :4]
        x = self.fc(n["linear"](x))
        x = self.fc(n["after_relu"](functional.relu(x)))
        x = torch.sigmoid(n["sigmoid"](x))
        y = n["two_ways"](x)
        x = functional.relu(y) + y
        y = n["shortcut"](x)
        x = self.fc(y) + y
        return n["last"](self.fc(x))


class Branching(Everything):
    """The same, in code that cannot be traced symbolically."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.abs().sum() >= 0 else x


@pytest.mark.parametrize("kind", [Everything, Branching])
def test_roles_come_from_the_graph(kind: type[Everything]) -> None:
    module = kind()
    example = torch.from_numpy(np.random.default_rng(0).normal(size=(8, 4))).float()
    places = roles_of_module(module, example)
    assert list(places) == [f"norms.{name}" for name in Everything.EXPECTED]
    for name, (role, operation) in Everything.EXPECTED.items():
        place = places[f"norms.{name}"]
        assert place.role == role, (name, place)
        assert operation is None or place.place == operation, (name, place)
    assert module.training, "the mode is as it was"
    assert all(int(n.num_batches_tracked) == 0 for n in module.norms.values()), "no step was made"  # pyright: ignore[reportArgumentType] (typed as tensor or module)


def test_both_ways_to_read_a_graph_agree_on_roles() -> None:
    example = torch.ones(8, 4)
    traced = roles_of_module(Everything(), example)
    recorded = roles_of_module(Branching(), example)
    assert {n: p.role for n, p in traced.items()} == {n: p.role for n, p in recorded.items()}


def test_without_an_example_what_cannot_be_traced_is_unknown() -> None:
    assert set(roles_of_module(Branching()).values()) == {Place("unknown")}


def test_a_layer_that_is_never_called_is_unknown() -> None:
    class Lazy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = nn.BatchNorm1d(2), nn.BatchNorm1d(2)

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(self.used(x))

    assert {n: p.role for n, p in roles_of_module(Lazy()).items()} == {
        "used": "before_relu",
        "spare": "unknown",
    }


class Block(nn.Module):
    """A residual block of torchvision's names: `bn2` ends a basic one, `bn3` a bottleneck."""

    def __init__(self, bottleneck: bool, shortcut: bool) -> None:
        super().__init__()
        count = 3 if bottleneck else 2
        for n in range(1, count + 1):
            self.add_module(f"conv{n}", nn.Conv2d(4, 4, 1))
            self.add_module(f"bn{n}", nn.BatchNorm2d(4))
        self.count = count
        self.downsample = (
            nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)) if shortcut else nn.Sequential()
        )

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for n in range(1, self.count + 1):
            y = self.get_submodule(f"bn{n}")(self.get_submodule(f"conv{n}")(y))
            y = functional.relu(y) if n < self.count else y
        return functional.relu(y + self.downsample(x))


class ResNet(nn.Module):
    def __init__(self, bottleneck: bool) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(Block(bottleneck, True), Block(bottleneck, False))
        self.layer2 = nn.Sequential(Block(bottleneck, True))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer2(self.layer1(functional.relu(self.bn1(self.conv1(x)))))


@pytest.mark.parametrize("module", [ResNet(False), ResNet(True), VGG(16, width=0.05)])
def test_names_tell_what_the_graph_tells(module: nn.Module, tmp_path: Path) -> None:
    torch.save(module.state_dict(), tmp_path / "net.pt")
    ((network, by_name),) = audit([tmp_path / "net.pt"])
    assert len(by_name) == len(network.layers) >= 7
    assert {n: p.role for n, p in by_name.items()} == {
        n: p.role for n, p in roles_of_module(module).items()
    }
    assert "unknown" not in {p.role for p in by_name.values()}


def bare(name: str, *layers: str) -> Network:
    return Network(name, tuple(BatchNormLayer(layer, np.zeros(1)) for layer in layers))


def test_names_that_do_not_tell_are_unknown() -> None:
    # A pre-activation ResNet has the blocks' names but no bn1 at the stem.
    for names in (("layer1.0.bn1", "layer1.0.bn2"), ("norm", "encoder.bn"), ("features.0.1",)):
        assert {p.role for p in roles_by_name(bare("x", *names)).values()} == {"unknown"}


def test_efficientnet_rectifiers_by_version() -> None:
    names = ("_bn0", "_blocks.0._bn1", "_blocks.0._bn2", "_blocks.1._bn0", "_bn1")
    assert roles_by_name(bare("efficientnet_lite0", *names))["_bn0"].role == "before_relu"
    assert roles_by_name(bare("efficientnet-b0", *names))["_bn0"].role == "before_smooth_relu"


def test_overrides_win_and_typing_errors_are_told() -> None:
    places = {("net", "a.bn1"): Place("unknown"), ("net", "a.bn2"): Place("unknown")}
    changed = apply_overrides(places, {"*.bn?": "before_relu", "net/a.bn2": "before_addition"})
    assert [p.role for p in changed.values()] == ["before_relu", "before_addition"]
    with pytest.raises(UsageError, match=r"unknown role 'before-relu'.*did you mean 'before_relu'"):
        apply_overrides(places, {"*": "before-relu"})
    with pytest.raises(UsageError, match=r"'bn1' fits no BatchNorm layer.*a\.bn1"):
        apply_overrides(places, {"bn1": "before_relu"})


def test_counts_of_a_module() -> None:
    module = nn.Sequential(norm(-1.0, -2.0, 3.0, 0.0), nn.ReLU(), nn.Linear(4, 2), norm(-1.0, 1.0))
    frame = audit_module(module, "toy")
    rows = {(r["layer"], r["role"]): r for r in frame.to_dicts()}
    first = rows["0", "before_relu"]
    assert (first["channels"], first["negative"], first["zero"]) == (4, 2, 1)
    assert first["negative_fraction"] == 0.5
    # Standard normal inputs: P(z - 1 > 0), P(z - 2 > 0), P(z + 3 > 0), P(z > 0).
    expected = np.mean([stats.norm.cdf(b) for b in (-1, -2, 3, 0)])
    assert math.isclose(first["active_share"], expected, rel_tol=1e-12)
    assert rows[POOLED, "all"]["negative_fraction"] == 3 / 6
    assert rows[POOLED, "before_relu"]["channels"] == 4
    assert rows[POOLED, "after_relu_or_linear"]["negative"] == 1
    assert set(frame["name"]) == {"toy"}


def test_a_module_without_batchnorm() -> None:
    with pytest.raises(DataError, match=r"the module 'plain' has no BatchNorm layer"):
        audit_module(nn.Linear(2, 2), "plain")


def test_active_share_is_what_a_layer_does_on_gaussian_inputs() -> None:
    generator = np.random.default_rng(1)
    bias, weight = generator.normal(size=5), generator.normal(size=5)  # also negative weights
    layers = (BatchNormLayer("0", bias, weight),)
    frame = audit_frame([(Network("n", layers), {"0": Place("before_relu")})])
    z = generator.normal(size=(400_000, 5))
    measured = (z * weight + bias > 0).mean()
    # Standard error of the mean of 2 million draws is below 0.0005.
    assert abs(frame["active_share"][0] - measured) < 0.002


def test_a_channel_that_is_switched_off_is_not_active() -> None:
    layers = (BatchNormLayer("0", np.array([0.0, -1.0, 1.0]), np.zeros(3)),)
    frame = audit_frame([(Network("n", layers), {"0": Place("before_relu")})])
    assert math.isclose(frame["active_share"][0], 1 / 3)


@pytest.mark.parametrize(("count", "total"), [(0, 5), (5, 5), (3, 10), (77, 100)])
def test_exact_interval_is_what_its_definition_says(count: int, total: int) -> None:
    low, high = exact_interval(count, total)
    # At the ends of the interval the observed count is just on the edge of the 2.5 % tails.
    if count:
        assert math.isclose(stats.binom.sf(count - 1, total, low), 0.025, rel_tol=1e-9)
    else:
        assert low == 0
    if count < total:
        assert math.isclose(stats.binom.cdf(count, total, high), 0.025, rel_tol=1e-9)
    else:
        assert high == 1


def test_the_pooled_interval_counts_layers_not_channels() -> None:
    # Four layers that are all negative or all positive carry the information of four draws.
    negative, channels = np.array([500, 500, 0, 0]), np.full(4, 500)
    low, high = layer_bootstrap(negative, channels, np.random.default_rng(0))
    assert (low, high) == (0.0, 1.0)
    exact = exact_interval(1000, 2000)
    assert exact[1] - exact[0] < 0.05


def test_the_audit_is_the_same_every_time() -> None:
    layers = tuple(
        BatchNormLayer(str(n), np.random.default_rng(n).normal(-0.5, 1, 5 + n)) for n in range(5)
    )
    audited = [(Network("n", layers), {str(n): Place("before_relu") for n in range(5)})]
    assert audit_frame(audited).equals(audit_frame(audited, Seeds(0)))
    assert not audit_frame(audited).equals(audit_frame(audited, Seeds(1)))
    assert bias_frame(audited).height == 35
    whole, by_role = audit_frame(audited)[-2:].to_dicts()
    assert (whole["role"], by_role["role"]) == ("all", "before_relu")
    assert (whole["low"], whole["high"]) == (by_role["low"], by_role["high"])
    assert set(audit_frame(audited)["role"]) <= {"all", *ROLES}


def test_two_files_of_one_name(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        torch.save(nn.Sequential(nn.BatchNorm1d(2)).state_dict(), tmp_path / folder / "net.pt")
    found = audit([tmp_path / "a" / "net.pt", tmp_path / "b" / "net.pt"])
    assert [network.name for network, _ in found] == ["net", "b/net"]


@pytest.fixture
def shared_arrays() -> pl.DataFrame:
    path = Path(os.environ.get("TRINE_DATA", "")) / "vgg_bn" / "bn_params.npz"
    if not path.is_file():
        pytest.skip("$TRINE_DATA/vgg_bn/bn_params.npz is not here")
    return audit_frame(audit([path]))


@pytest.mark.data
def test_golden_pooled_fractions(shared_arrays: pl.DataFrame) -> None:
    """Counts of the arrays in `vgg_bn`, from the README beside them, to its three digits."""
    pooled = shared_arrays.filter(pl.col("layer") == POOLED)
    found = {
        (name, role): fraction
        for name, role, fraction in pooled.select("name", "role", "negative_fraction").iter_rows()
    }
    everything, relu, addition = "all", "before_relu", "before_addition"
    for depth, *expected in (
        (20, 0.847, 0.883, 0.809),
        (32, 0.844, 0.931, 0.755),
        (44, 0.850, 0.939, 0.759),
        (56, 0.856, 0.932, 0.780),
    ):
        name = f"cifar_resnet{depth}"
        got = [found[name, role] for role in (everything, relu, addition)]
        # Three digits; 311 / 352 = .88352 is printed as .883.
        assert np.allclose(got, expected, rtol=0, atol=0.00055), (name, got)
    assert round(found["efficientnet_lite0_imagenet", everything], 3) == 0.683
    assert round(found["crepe_full_audio", everything], 3) == 0.351
    assert round(found["crepe_tiny_audio", everything], 3) == 0.474
    assert ("crepe_tiny_audio", "after_relu_or_linear") in found


@pytest.mark.data
def test_golden_fractions_by_place(shared_arrays: pl.DataFrame) -> None:
    """The README's "expansion" is every `_bn0` (the stem too), its "depthwise" every `_bn1`
    (the head too); `place` keeps them apart."""
    rows = shared_arrays.filter(
        pl.col("name").str.starts_with("efficientnet"), pl.col("layer") != POOLED
    )

    def fraction(places: list[str]) -> float:
        chosen = rows.filter(pl.col("place").is_in(places))
        return round(int(chosen["negative"].sum()) / int(chosen["channels"].sum()), 3)

    assert fraction(["stem", "expansion"]) == 0.670
    assert fraction(["depthwise", "head"]) == 0.730
    assert fraction(["projection"]) == 0.483
    assert fraction(["head"]) == 1.0
    assert rows.filter(pl.col("place") == "head")["channels"].item() == 1280
