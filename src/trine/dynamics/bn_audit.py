"""How many BatchNorm biases are negative, per layer and per network, with controls by role.

P1 (Tian et al. 2019, arXiv 1905.13405) rests on the assumption that different teacher nodes rarely
fire together, and finds support in trained VGGs: the majority of BatchNorm biases is negative, so
that a unit behind a ReLU is silent on most inputs. The audit counts signs; because only a bias just
before a ReLU says anything about firing, it keeps the layers apart by role (`bn_roles`).

Columns of an audit, one row a layer, then rows named `pooled` for each network and each role in it:

    name, layer, role, place
    channels            number of biases
    negative, zero      how many are below 0, and exactly 0
    switched_off        how many have |weight| < 0.001: their output does not depend on the input,
                        and weight decay has usually drawn their bias to about 0 as well
    negative_fraction   negative / channels
    low, high           95 % interval of that fraction
    active_share        mean over channels of Phi(bias / |weight|): the share of inputs on which the
                        output is positive if the normalised input is Gaussian

The interval of a layer is the exact binomial one (Clopper and Pearson 1934), which takes channels
for independent. The interval of a pooled row is a bootstrap that draws whole layers, since channels
of one layer are alike; with few layers it is rough.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from trine.core.artifacts import read_metadata
from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.core.tables import Column, Table
from trine.dynamics.bn_roles import ROLES, Place, apply_overrides, roles_by_name
from trine.dynamics.checkpoints import BatchNormLayer, Network, find_batch_norms, read_checkpoint

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = [
    "POOLED",
    "Audited",
    "audit",
    "audit_frame",
    "audit_module",
    "audit_tables",
    "bias_frame",
    "exact_interval",
    "layer_bootstrap",
    "shipped_arrays",
    "shipped_results",
    "with_overrides",
]

POOLED = "pooled"
"""The layer's name in rows that pool several layers."""

OFF = 1e-3
LEVEL = 0.95
RESAMPLES = 10_000

Audited = Sequence[tuple[Network, Mapping[str, Place]]]
"""Networks with the place of each of their layers."""


def shipped_arrays() -> Path:
    """The file with the BatchNorm arrays of our own VGGs, which comes with the package."""
    return Path(__file__).with_name("data") / "vgg_bn.safetensors"


def shipped_results() -> list[dict[str, Any]]:
    """How the networks of `shipped_arrays` were trained: `result.json` of each, in their order."""
    return json.loads(read_metadata(shipped_arrays())["results"])


def audit(
    paths: Sequence[Path], overrides: Mapping[str, str] | None = None
) -> list[tuple[Network, dict[str, Place]]]:
    """The networks in checkpoint files, with the places of their layers by the naming rules.

    Args:
      paths: checkpoint files (`trine.dynamics.checkpoints`).
      overrides: role by pattern of the layer's name.

    Raises:
      DataError: a file that cannot be used.
      UsageError: an override that names no role or fits no layer.
    """
    networks: list[Network] = []
    for path in paths:
        for network in read_checkpoint(path):
            taken = {n.name for n in networks}
            name = network.name
            if name in taken:
                name = f"{path.parent.name}/{name}"
            number = 2
            while name in taken:
                name, number = f"{network.name} ({number})", number + 1
            networks.append(Network(name, network.layers, network.keys))
    return with_overrides([(network, roles_by_name(network)) for network in networks], overrides)


def audit_module(
    module: nn.Module,
    name: str = "network",
    *,
    example: Tensor | None = None,
    overrides: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """The audit of a module; the roles come from its graph (`bn_graph`).

    Args:
      module: any module with affine BatchNorm layers.
      name: of the network in the rows.
      example: an input, for modules that cannot be traced without.
      overrides: role by pattern of the layer's name.

    Raises:
      DataError: no BatchNorm layer with a bias.
    """
    from trine.dynamics.bn_graph import roles_of_module

    (network,) = find_batch_norms(module.state_dict(), name, where=f"the module {name!r}")
    places = roles_of_module(module, example)
    known = {layer.layer: places[layer.layer] for layer in network.layers}
    return audit_frame(with_overrides([(network, known)], overrides))


def with_overrides(
    audited: Audited, overrides: Mapping[str, str] | None
) -> list[tuple[Network, dict[str, Place]]]:
    """The same networks with the user's roles over the found ones."""
    flat = {(n.name, layer): place for n, places in audited for layer, place in places.items()}
    flat = apply_overrides(flat, overrides or {})
    return [(n, {layer: flat[n.name, layer] for layer in places}) for n, places in audited]


def audit_frame(audited: Audited, seeds: Seeds | None = None) -> pl.DataFrame:
    """One row a layer and the pooled rows, as the head of this module says.

    Args:
      audited: networks and places.
      seeds: for the bootstrap of the pooled rows; seed 0 by default.
    """
    seeds = seeds or Seeds(0)
    rows: list[dict[str, Any]] = []
    for network, places in audited:
        rows += [_layer_row(network.name, n, places[n.layer]) for n in network.layers]
        roles = [role for role in ROLES if any(p.role == role for p in places.values())]
        for role in ("all", *roles):
            chosen = [n for n in network.layers if role in ("all", places[n.layer].role)]
            # One stream for all roles: rows of the same layers have the same interval.
            generator = seeds.generator("bn-audit", network.name)
            rows.append(_pooled_row(network.name, role, chosen, generator))
    return pl.DataFrame(rows, infer_schema_length=None)


def bias_frame(audited: Audited) -> pl.DataFrame:
    """One row a channel: `name`, `layer`, `role`, `place`, `bias`."""
    frames = [
        pl.DataFrame({"bias": layer.bias}).select(
            pl.lit(network.name).alias("name"),
            pl.lit(layer.layer).alias("layer"),
            pl.lit(places[layer.layer].role).alias("role"),
            pl.lit(places[layer.layer].place).alias("place"),
            "bias",
        )
        for network, places in audited
        for layer in network.layers
    ]
    return pl.concat(frames)


def exact_interval(count: int, total: int, level: float = LEVEL) -> tuple[float, float]:
    """The exact binomial interval of `count / total` (Clopper and Pearson 1934)."""
    if not 0 <= count <= total or total < 1:
        raise UsageError(f"{count} of {total}", accepted="a count from 0 to a total of at least 1")
    tail = (1 - level) / 2
    low = stats.beta.ppf(tail, count, total - count + 1) if count else 0.0
    high = stats.beta.ppf(1 - tail, count + 1, total - count) if count < total else 1.0
    return float(low), float(high)


def layer_bootstrap(
    negative: NDArray[np.int64],
    channels: NDArray[np.int64],
    generator: np.random.Generator,
    level: float = LEVEL,
) -> tuple[float, float]:
    """Percentile bootstrap of a pooled fraction that draws whole layers.

    Args:
      negative: `[L]` negative biases of each layer.
      channels: `[L]` biases of each layer.
      generator: draws the layers.
      level: of confidence.

    Source: Efron and Tibshirani 1993, sections 8.3 and 13.3; the layer is the unit that is drawn.
    """
    drawn = generator.integers(len(channels), size=(RESAMPLES, len(channels)))  # [resamples, L]
    fractions = negative[drawn].sum(axis=1) / channels[drawn].sum(axis=1)
    low, high = np.quantile(fractions, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _layer_row(name: str, layer: BatchNormLayer, place: Place) -> dict[str, Any]:
    negative, channels = int((layer.bias < 0).sum()), len(layer.bias)
    low, high = exact_interval(negative, channels)
    return {
        "name": name,
        "layer": layer.layer,
        "role": place.role,
        "place": place.place,
        "channels": channels,
        "negative": negative,
        "zero": int((layer.bias == 0).sum()),
        "negative_fraction": negative / channels,
        "low": low,
        "high": high,
        "switched_off": _switched_off([layer]),
        "active_share": _active_share([layer]),
    }


def _pooled_row(
    name: str, role: str, layers: Sequence[BatchNormLayer], generator: np.random.Generator
) -> dict[str, Any]:
    negative = np.array([(layer.bias < 0).sum() for layer in layers])
    channels = np.array([len(layer.bias) for layer in layers])
    if len(layers) > 1:
        low, high = layer_bootstrap(negative, channels, generator)
    else:
        low, high = exact_interval(int(negative[0]), int(channels[0]))
    return {
        "name": name,
        "layer": POOLED,
        "role": role,
        "place": f"{len(layers)} layer{'s' * (len(layers) > 1)}",
        "channels": int(channels.sum()),
        "negative": int(negative.sum()),
        "zero": sum(int((layer.bias == 0).sum()) for layer in layers),
        "negative_fraction": int(negative.sum()) / int(channels.sum()),
        "low": low,
        "high": high,
        "switched_off": _switched_off(layers),
        "active_share": _active_share(layers),
    }


def _switched_off(layers: Sequence[BatchNormLayer]) -> int | None:
    weights = [layer.weight for layer in layers]
    if any(weight is None for weight in weights):
        return None
    return sum(int((np.abs(weight) < OFF).sum()) for weight in weights if weight is not None)


def _active_share(layers: Sequence[BatchNormLayer]) -> float | None:
    """P(weight * z + bias > 0) for standard normal z, mean over channels; None without weights."""
    shares: list[NDArray[np.float64]] = []
    for layer in layers:
        if layer.weight is None:
            return None
        # A channel of weight 0 is constant: on if its bias is positive.
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = layer.bias / np.abs(layer.weight)
        shares.append(np.where(np.isnan(ratio), 0.0, stats.norm.cdf(ratio)))
    return float(np.concatenate(shares).mean())


_COLUMNS = (
    Column("name", "network"),
    Column("layer"),
    Column("role"),
    Column("place"),
    Column("channels"),
    Column("negative"),
    Column("zero"),
    Column("switched_off", "switched off"),
    Column("negative_fraction", "negative share", ".3f", highlight=True),
    Column("low", "95 % low", ".3f"),
    Column("high", "95 % high", ".3f"),
    Column("active_share", "active share", ".3f"),
)


def audit_tables(frame: pl.DataFrame) -> tuple[Table, Table]:
    """The pooled rows and the layers of an audit, as two tables."""
    pooled = frame.filter(pl.col("layer") == POOLED).rename({"place": "layers"}).drop("layer")
    shown = [Column(c.name if c.name != "place" else "layers", c.header, c.format, c.highlight)
             for c in _COLUMNS if c.name != "layer"]  # fmt: skip
    return (
        Table(
            pooled,
            "Negative BatchNorm biases, pooled over layers",
            shown,
            "Role `all`: every layer of the network. Interval: bootstrap over layers. Active "
            "share: share of inputs with a positive output, normalised inputs taken as Gaussian.",
        ),
        Table(
            frame.filter(pl.col("layer") != POOLED),
            "Negative BatchNorm biases per layer",
            _COLUMNS,
            "Interval: exact binomial, channels taken as independent.",
        ),
    )
