"""The bidding network, the privileged critic, and their files.

Symbols: `n` decisions, `F` numbers of the observation, `A` = 38 calls.

A network is a stack of equally wide layers with a policy head and a value head (Kita et al. 2024
use four of 1024). Its file is safetensors; the architecture is a JSON text in the file's table of
strings, so one file is all that play needs. Illegal calls have their logits set to `ILLEGAL`.

`FastPolicy` is the same network in numpy for single decisions: no torch, no autograd, a fraction of
a millisecond.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trine.bridge.config import NetworkConfig
from trine.core.artifacts import read_arrays, read_metadata, write_arrays
from trine.core.config import make_config, to_plain
from trine.core.errors import DataError, UserError

__all__ = [
    "ILLEGAL",
    "NUM_CALLS",
    "FastPolicy",
    "PolicyNetwork",
    "PrivilegedCritic",
    "copy_of",
    "load_network",
    "mask_illegal",
    "save_network",
]

NUM_CALLS = 38
FORMAT = "trine-bridge-network-1"
ILLEGAL = -1e9
"""Logit of an illegal call: probability exactly 0 in float32, and no NaN in its gradient."""


def mask_illegal(logits: Tensor, legal: Tensor) -> Tensor:
    """`[n, A]` logits in float32 with illegal calls (`legal` False) at `ILLEGAL`."""
    return logits.float().masked_fill(~legal, ILLEGAL)


class PolicyNetwork(nn.Module):
    """See the module.

    Args:
      config: widths and codec.
      inputs: `F`, the codec's length.
    """

    def __init__(self, config: NetworkConfig, inputs: int) -> None:
        super().__init__()
        self.config = config
        self.inputs = inputs
        sizes = [inputs] + [config.width] * config.layers
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.policy = nn.Linear(config.width, NUM_CALLS)
        self.value = nn.Linear(config.width, 1)

    def reset(self, generator: torch.Generator) -> PolicyNetwork:
        """Draws the weights: orthogonal, gain √2, heads 0.01 and 1 (as usual in PPO)."""
        _orthogonal(self.hidden, generator)
        nn.init.orthogonal_(self.policy.weight, 0.01, generator=generator)
        nn.init.orthogonal_(self.value.weight, 1.0, generator=generator)
        for head in (self.policy, self.value):
            nn.init.zeros_(head.bias)
        return self

    def features(self, x: Tensor) -> Tensor:
        """Output of the last hidden layer, `[n, width]`."""
        return _stack(self.hidden, x, self.config.residual)

    def logits(self, x: Tensor) -> Tensor:
        """Unmasked logits `[n, A]` of observations `[n, F]`."""
        return self.policy(self.features(x))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Unmasked logits `[n, A]` and values `[n]` (rewards of the side to call)."""
        h = self.features(x)
        return self.policy(h), self.value(h).squeeze(-1)


class PrivilegedCritic(nn.Module):
    """Value of a decision from all that is true about the deal; used in training only.

    Args:
      inputs: length of what it sees, see `trine.bridge.advantages`.
      layers: hidden layers.
      width: of them.
    """

    def __init__(self, inputs: int, layers: int, width: int) -> None:
        super().__init__()
        sizes = [inputs] + [width] * layers
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.value = nn.Linear(width, 1)

    def reset(self, generator: torch.Generator) -> PrivilegedCritic:
        """Draws the weights; the last layer is small, so that values begin near 0."""
        _orthogonal(self.hidden, generator)
        nn.init.orthogonal_(self.value.weight, 0.1, generator=generator)
        nn.init.zeros_(self.value.bias)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Values `[n]` of states `[n, inputs]`."""
        return self.value(_stack(self.hidden, x, residual=False)).squeeze(-1)


def _orthogonal(layers: nn.ModuleList, generator: torch.Generator) -> None:
    for layer in layers:
        assert isinstance(layer, nn.Linear)
        nn.init.orthogonal_(layer.weight, 2**0.5, generator=generator)
        nn.init.zeros_(layer.bias)


def _stack(layers: nn.ModuleList, x: Tensor, residual: bool) -> Tensor:
    for place, layer in enumerate(layers):
        y = torch.relu(layer(x))
        x = x + y if residual and place else y
    return x


def copy_of(network: PolicyNetwork) -> PolicyNetwork:
    """A frozen copy on the same device."""
    twin = PolicyNetwork(network.config, network.inputs)
    twin.to(next(network.parameters()).device)
    twin.load_state_dict(network.state_dict())
    return twin.requires_grad_(False).eval()


def save_network(path: Path, network: PolicyNetwork, about: dict[str, Any] | None = None) -> Path:
    """Writes one safetensors file, atomically.

    Args:
      path: the file.
      network: on any device.
      about: what is worth knowing about these weights (JSON types), e.g. recipe and training.
    """
    arrays = {
        name: tensor.detach().float().cpu().numpy() for name, tensor in network.state_dict().items()
    }
    metadata = {
        "format": FORMAT,
        "network": json.dumps(to_plain(network.config), sort_keys=True),
        "inputs": str(network.inputs),
        "about": json.dumps(about or {}, sort_keys=True),
    }
    return write_arrays(path, arrays, metadata)


def load_network(path: Path, device: str | torch.device = "cpu") -> PolicyNetwork:
    """The network of a file, ready to play.

    Raises:
      DataError: missing, not ours, or the arrays do not fit the architecture.
    """
    config, inputs, arrays = _read(path)
    network = PolicyNetwork(config, inputs)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    return network.to(device).eval()


def _read(path: Path) -> tuple[NetworkConfig, int, dict[str, np.ndarray[Any, Any]]]:
    """Architecture, number of inputs and arrays, checked against each other."""
    metadata = read_metadata(path)
    if metadata.get("format") != FORMAT:
        raise DataError(
            f"{path} is not a bidding network of this project",
            accepted=f"a safetensors file of format {FORMAT}",
            hint="for the released JPS agents use jps2020:PATH",
        )
    try:
        config = make_config(NetworkConfig, json.loads(metadata["network"]))
        inputs = int(metadata["inputs"])
    except (KeyError, ValueError, UserError) as error:
        raise DataError(f"{path}: unreadable description of the network ({error})") from None
    arrays = read_arrays(path)
    wanted = _shapes(config, inputs)
    found = {name: array.shape for name, array in arrays.items()}
    if found != wanted:
        wrong = sorted(n for n in wanted.keys() | found.keys() if wanted.get(n) != found.get(n))
        raise DataError(
            f"{path}: {wrong[0]} has shape {found.get(wrong[0], 'none')}",
            accepted=f"{wanted.get(wrong[0], 'no such array')}",
            hint="take the file from the run that made it again",
        )
    return config, inputs, arrays


def _shapes(config: NetworkConfig, inputs: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(config.layers):
        shapes[f"hidden.{layer}.weight"] = (config.width, config.width if layer else inputs)
        shapes[f"hidden.{layer}.bias"] = (config.width,)
    for head, size in (("policy", NUM_CALLS), ("value", 1)):
        shapes[f"{head}.weight"] = (size, config.width)
        shapes[f"{head}.bias"] = (size,)
    return shapes


class FastPolicy:
    """A network in numpy, for one decision at a time.

    Args:
      config: architecture.
      arrays: weights by the names of `PolicyNetwork`.
    """

    def __init__(self, config: NetworkConfig, arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        self.config = config
        self._hidden = [
            (
                np.ascontiguousarray(arrays[f"hidden.{layer}.weight"].T, dtype=np.float32),
                arrays[f"hidden.{layer}.bias"].astype(np.float32),
            )
            for layer in range(config.layers)
        ]
        self._policy = (
            np.ascontiguousarray(arrays["policy.weight"].T, dtype=np.float32),
            arrays["policy.bias"].astype(np.float32),
        )

    @classmethod
    def load(cls, path: Path) -> FastPolicy:
        """From a file of `save_network`.

        Raises:
          DataError: as `load_network`.
        """
        config, _, arrays = _read(path)
        return cls(config, arrays)

    def logits(self, x: np.ndarray[Any, Any], legal: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Masked logits `[n, A]` of observations `[n, F]` and legality `[n, A]`."""
        h = np.asarray(x, dtype=np.float32)
        for place, (weight, bias) in enumerate(self._hidden):
            y = np.maximum(h @ weight + bias, 0)
            h = h + y if self.config.residual and place else y
        weight, bias = self._policy
        return np.where(legal, h @ weight + bias, np.float32(ILLEGAL))

    def probabilities(
        self, x: np.ndarray[Any, Any], legal: np.ndarray[Any, Any]
    ) -> np.ndarray[Any, Any]:
        """`[n, A]` probabilities of the calls, 0 where illegal."""
        logits = self.logits(x, legal)
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        return weights / weights.sum(-1, keepdims=True)

    def greedy(self, x: np.ndarray[Any, Any], legal: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """`[n]` most probable legal calls."""
        return self.logits(x, legal).argmax(-1)
