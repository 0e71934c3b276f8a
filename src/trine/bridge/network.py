"""The bidding network, the privileged critic, and their files.

Symbols: `n` decisions, `F` numbers of the observation, `A` = 38 calls.

A network is a stack of equally wide layers with a policy head and a value head (Kita et al. 2024
use four of 1024). Its file is safetensors; the architecture is a JSON text in the file's table of
strings, so one file is all that play needs. Illegal calls have their logits set to `ILLEGAL`.

`trine.bridge.fast_policy` is the same network in numpy, and reads the same file without torch.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trine.bridge.calls import NUM_CALLS
from trine.bridge.config import NetworkConfig
from trine.bridge.fast_policy import FORMAT, ILLEGAL, FastPolicy, read_network_file
from trine.core.artifacts import write_arrays
from trine.core.config import to_plain

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
      inputs: length of what it sees, see `trine.bridge.critic_view`.
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


def save_network(
    path: Path,
    network: PolicyNetwork,
    about: dict[str, Any] | None = None,
    *,
    half: bool = False,
) -> Path:
    """Writes one safetensors file, atomically.

    Args:
      path: the file.
      network: on any device.
      about: what is worth knowing about these weights (JSON types), e.g. recipe and training.
      half: whether the numbers are kept in float16: half the size, to give away.
    """
    kind = torch.float16 if half else torch.float32
    arrays = {
        name: tensor.detach().to(kind).cpu().numpy()
        for name, tensor in network.state_dict().items()
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
    config, inputs, arrays = read_network_file(path)
    network = PolicyNetwork(config, inputs)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    return network.to(device).eval()
