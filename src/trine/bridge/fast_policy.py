"""The bidding network in numpy, for play: no torch, no autograd, a fraction of a millisecond.

Here too is the file of a network, which `trine.bridge.network` writes and both read. Loading torch
takes longer than a whole answer at the table, so nothing here imports it.

Symbols: `n` decisions, `F` numbers of the observation, `A` = 38 calls.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.bridge.calls import NUM_CALLS
from trine.bridge.config import NetworkConfig
from trine.core.artifacts import read_arrays, read_metadata
from trine.core.config import make_config
from trine.core.errors import DataError, UserError

__all__ = ["FORMAT", "ILLEGAL", "FastPolicy", "read_network_file"]

FORMAT = "trine-bridge-network-1"
ILLEGAL = -1e9
"""Logit of an illegal call: probability exactly 0 in float32, and no NaN in its gradient."""


def read_network_file(path: Path) -> tuple[NetworkConfig, int, dict[str, NDArray[Any]]]:
    """Architecture, number of inputs and arrays, checked against each other.

    Raises:
      DataError: missing, not ours, or the arrays do not fit the architecture.
    """
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
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise DataError(
                f"{path}: {name} has numbers that are not finite",
                hint="the training that made it diverged; take an earlier checkpoint",
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

    def __init__(self, config: NetworkConfig, arrays: dict[str, NDArray[Any]]) -> None:
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
        """From a file of `trine.bridge.network.save_network`.

        Raises:
          DataError: as `read_network_file`.
        """
        config, _, arrays = read_network_file(path)
        return cls(config, arrays)

    def logits(self, x: NDArray[Any], legal: NDArray[Any]) -> NDArray[Any]:
        """Masked logits `[n, A]` of observations `[n, F]` and legality `[n, A]`."""
        h = np.asarray(x, dtype=np.float32)
        for place, (weight, bias) in enumerate(self._hidden):
            y = np.maximum(h @ weight + bias, 0)
            h = h + y if self.config.residual and place else y
        weight, bias = self._policy
        return np.where(legal, h @ weight + bias, np.float32(ILLEGAL))

    def probabilities(self, x: NDArray[Any], legal: NDArray[Any]) -> NDArray[Any]:
        """`[n, A]` probabilities of the calls, 0 where illegal."""
        logits = self.logits(x, legal)
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        return weights / weights.sum(-1, keepdims=True)

    def greedy(self, x: NDArray[Any], legal: NDArray[Any]) -> NDArray[Any]:
        """`[n]` most probable legal calls."""
        return self.logits(x, legal).argmax(-1)
