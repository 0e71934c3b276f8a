"""Where in a network each BatchNorm layer stands: before a ReLU, before an addition, or neither.

The sign of a BatchNorm bias says how often a unit fires only where the layer's output goes straight
into a ReLU; elsewhere it is a control (`ROLES`). The place is found in one of three ways:

* `trine.dynamics.bn_graph.roles_of_module`: from the graph of an `nn.Module`;
* `roles_by_name`: for bare state dicts, from a declared table of families whose layer names tell
  (`FAMILIES`); a family that is not in it is `unknown`, never guessed;
* overrides by the user: `{"layer*.bn3": "before_addition"}`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType

from trine.core.errors import UsageError
from trine.dynamics.checkpoints import Network

__all__ = ["FAMILIES", "ROLES", "UNKNOWN", "Place", "apply_overrides", "roles_by_name"]

ROLES: Mapping[str, str] = MappingProxyType(
    {
        "before_relu": "output goes straight into a ReLU, ReLU6 or leaky ReLU",
        "before_smooth_relu": "output goes into SiLU, GELU, Hardswish, ELU, Mish or Softplus",
        "before_addition": "output is added to another path first",
        "after_relu_or_linear": "no rectifier next: after a ReLU, or linear on both sides",
        "unknown": "cannot be told",
    }
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a layer stands.

    Attributes:
      role: a key of `ROLES`.
      place: what comes next in the words of the network, e.g. `relu6`, `add`, `projection`.
    """

    role: str
    place: str = ""


UNKNOWN = Place("unknown")


@dataclass(frozen=True, slots=True)
class Family:
    """Networks whose layer names tell where their BatchNorm layers stand.

    Attributes:
      name: of the family.
      fits: whether a network is one of them.
      place: the place of a layer of such a network.
    """

    name: str
    fits: Callable[[Network], bool]
    place: Callable[[Network, str], Place]


def roles_by_name(network: Network) -> dict[str, Place]:
    """The place of each BatchNorm layer by the naming rules of `FAMILIES`; else `unknown`."""
    family = next((family for family in FAMILIES if family.fits(network)), None)
    if family is None:
        return {layer.layer: UNKNOWN for layer in network.layers}
    return {layer.layer: family.place(network, layer.layer) for layer in network.layers}


def _names(network: Network) -> list[str]:
    return [layer.layer for layer in network.layers]


def _all_match(pattern: str) -> Callable[[Network], bool]:
    compiled = re.compile(pattern)
    return lambda network: all(compiled.fullmatch(name) for name in _names(network))


def _has(*required: str) -> Callable[[Network], bool]:
    return lambda network: set(required) <= set(_names(network))


def _resnet(network: Network, layer: str) -> Place:
    """As in torchvision and the usual CIFAR code: `bn2` ends a basic block, `bn3` a bottleneck."""
    if layer == "bn1":
        return Place("before_relu", "stem")
    if re.fullmatch(r"layer\d+\.\d+\.(downsample|shortcut)\.\d+", layer):
        return Place("before_addition", "shortcut")
    block, _, norm = layer.rpartition(".")
    if not re.fullmatch(r"layer\d+\.\d+", block) or norm not in ("bn1", "bn2", "bn3"):
        return UNKNOWN
    last = "bn3" if f"{block}.bn3" in _names(network) else "bn2"
    return Place("before_addition", "last of block") if norm == last else Place(
        "before_relu", "in block"
    )  # fmt: skip


def _efficientnet(network: Network, layer: str) -> Place:
    """`efficientnet_pytorch` names; Lite has ReLU6, the others SiLU and squeeze-excitation."""
    lite = "lite" in network.name.lower()
    role = "before_relu" if lite else "before_smooth_relu"
    if layer == "_bn0":
        return Place(role, "stem")
    if layer == "_bn1":
        return Place(role, "head")
    block, _, norm = layer.rpartition(".")
    if norm == "_bn0":
        return Place(role, "expansion")
    if norm == "_bn1":
        return Place(role, "depthwise")
    # A block has a shortcut if it changes neither resolution nor channels; stages change both or
    # at least the channels, so equal channels of two projections in a row tell.
    sizes = {norm.layer: len(norm.bias) for norm in network.layers}
    number = int(block.rpartition(".")[2])
    before = sizes.get(f"_blocks.{number - 1}._bn2")
    added = before == sizes[layer]
    return Place("before_addition" if added else "after_relu_or_linear", "projection")


FAMILIES: tuple[Family, ...] = (
    Family(
        "VGG (torchvision and ours): convolution, BatchNorm, ReLU",
        _all_match(r"(.*\.)?features\.\d+"),
        lambda _, __: Place("before_relu", "relu"),
    ),
    # The stem's bn1 is asked for, because pre-activation ResNets share all other names.
    Family("ResNet (torchvision, CIFAR)", _has("bn1", "layer1.0.bn1", "layer1.0.bn2"), _resnet),
    Family(
        "EfficientNet (efficientnet_pytorch)",
        lambda n: _has("_bn0", "_bn1")(n)
        and _all_match(r"_bn[01]|_blocks\.\d+\._bn[012]")(n),
        _efficientnet,
    ),
    Family(
        "CREPE (torchcrepe): convolution, ReLU, BatchNorm",
        _all_match(r"conv\d+_BN"),
        lambda _, __: Place("after_relu_or_linear", "after relu"),
    ),
)  # fmt: skip
"""The declared naming rules, in the order in which they are tried."""


def apply_overrides(
    places: Mapping[tuple[str, str], Place], overrides: Mapping[str, str]
) -> dict[tuple[str, str], Place]:
    """Places with the user's word over them.

    Args:
      places: by network name and layer name.
      overrides: role by pattern (`*`, `?`, `[...]`) of `LAYER` or `NETWORK/LAYER`; later ones win.

    Raises:
      UsageError: no such role, or a pattern that fits no layer.
    """
    changed = dict(places)
    for pattern, role in overrides.items():
        if role not in ROLES:
            raise UsageError.unknown("role", role, list(ROLES))
        fits = [
            k for k in changed if fnmatchcase(k[1], pattern) or fnmatchcase("/".join(k), pattern)
        ]
        if not fits:
            layers = [layer for _, layer in places]
            raise UsageError(
                f"the pattern {pattern!r} fits no BatchNorm layer",
                accepted=f"names such as {', '.join(layers[:5])}",
                hint="quote it, so that the shell leaves * alone",
            )
        changed.update({key: Place(role, "given") for key in fits})
    return changed
