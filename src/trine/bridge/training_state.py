"""The state of a training in one file: weights, Adam's moments, counters. Whole or absent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trine.core.artifacts import read_arrays, read_metadata, write_arrays
from trine.core.errors import DataError

__all__ = ["load_module", "load_state", "save_state"]


def save_state(
    path: Path,
    modules: Mapping[str, nn.Module],
    optimisers: Mapping[str, torch.optim.Optimizer],
    counters: Mapping[str, Any],
) -> None:
    """Writes everything that the next update depends on.

    Args:
      path: a safetensors file.
      modules: by name.
      optimisers: Adam or AdamW, by name.
      counters: JSON types.
    """
    arrays: dict[str, Any] = {}
    for name, module in modules.items():
        for key, tensor in module.state_dict().items():
            arrays[f"module/{name}/{key}"] = tensor.detach().cpu().numpy()
    for name, optimiser in optimisers.items():
        for place, moments in optimiser.state_dict()["state"].items():
            for key, tensor in moments.items():
                arrays[f"optimiser/{name}/{place}/{key}"] = tensor.detach().cpu().numpy()
    write_arrays(path, arrays, {"counters": json.dumps(dict(counters))})


def load_state(
    path: Path,
    modules: Mapping[str, nn.Module],
    optimisers: Mapping[str, torch.optim.Optimizer],
) -> dict[str, Any]:
    """Reads a file of `save_state` back into modules and optimisers; returns the counters.

    Raises:
      DataError: broken, or of other networks.
    """
    arrays = {name: torch.from_numpy(array) for name, array in read_arrays(path).items()}
    try:
        for name, module in modules.items():
            module.load_state_dict(_below(arrays, f"module/{name}/"))
        for name, optimiser in optimisers.items():
            moments: dict[int, dict[str, torch.Tensor]] = {}
            for key, tensor in _below(arrays, f"optimiser/{name}/").items():
                place, _, moment = key.partition("/")
                moments.setdefault(int(place), {})[moment] = tensor
            groups = optimiser.state_dict()["param_groups"]
            optimiser.load_state_dict({"state": moments, "param_groups": groups})
        return json.loads(read_metadata(path)["counters"])
    except (RuntimeError, KeyError, ValueError) as error:
        raise DataError(
            f"{path} does not fit this training ({error})",
            hint="delete the run directory and start again",
        ) from error


def load_module(path: Path, name: str, module: nn.Module) -> None:
    """Reads the weights of one module out of a file of `save_state`.

    Raises:
      DataError: broken, without such a module, or of another shape.
    """
    arrays = {key: torch.from_numpy(array) for key, array in read_arrays(path).items()}
    try:
        module.load_state_dict(_below(arrays, f"module/{name}/"))
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path}: no {name} that fits this recipe ({reason[:200]})",
            accepted="checkpoints/state.safetensors of a training with the same sizes",
        ) from error


def _below(arrays: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        name[len(prefix) :]: tensor for name, tensor in arrays.items() if name.startswith(prefix)
    }
