"""The hidden units of any PyTorch module, found by hooks, in the form that measures read.

A hidden layer is a call of an `nn.ReLU` or `nn.LeakyReLU` module. Calls of functions
(`torch.relu`, `nn.functional.relu`) cannot be hooked: such a module shows fewer layers than it has,
or none, and `trace_module` says so if there is none.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from trine.core.errors import UsageError
from trine.dynamics.stack import Trace

__all__ = ["as_nodes", "trace_module"]


def as_nodes(values: Tensor) -> Tensor:
    """Activations as `[1, samples, nodes]`.

    A channel of a convolution is a node, and every position of every image a sample (spec 7.3).

    Args:
      values: `[B, n]` or `[B, n, ...]`.

    Raises:
      UsageError: fewer than two dimensions.
    """
    if values.dim() < 2:
        raise UsageError(f"activations of shape {tuple(values.shape)}", accepted="[B, n, ...]")
    return values.movedim(1, -1).reshape(1, -1, values.shape[1])


def trace_module(module: nn.Module, inputs: Tensor) -> Trace:
    """One forward pass of any module, with all its ReLU units.

    The module runs without gradients, in the mode (training or evaluation) it is in.

    Args:
      module: with `nn.ReLU` or `nn.LeakyReLU` modules.
      inputs: what it takes.

    Returns:
      A trace of a stack of one network; `active` and `post` hold one `[1, samples, nodes]` a ReLU
      call, in order of execution.

    Raises:
      UsageError: if no ReLU module was called, or two slopes are mixed.
    """
    found: list[Tensor] = []
    slopes: set[float] = set()

    def keep(unit: nn.Module, _: Any, output: Tensor) -> None:
        # A later in-place operation would change the tensor under us.
        found.append(as_nodes(output.detach()).clone())
        slopes.add(float(unit.negative_slope) if isinstance(unit, nn.LeakyReLU) else 0.0)

    units = [unit for unit in module.modules() if isinstance(unit, nn.ReLU | nn.LeakyReLU)]
    handles = [unit.register_forward_hook(keep) for unit in units]
    try:
        with torch.no_grad():
            output = module(inputs)
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise UsageError(
            f"{type(module).__name__} called no nn.ReLU or nn.LeakyReLU module",
            hint="use modules instead of torch.relu, so that they can be observed",
        )
    if len(slopes) > 1:
        raise UsageError(f"{type(module).__name__} mixes ReLU slopes {sorted(slopes)}")
    flat = inputs.detach().flatten(1).unsqueeze(0)
    return Trace(flat, found, found, output.detach().flatten(1).unsqueeze(0), slope=slopes.pop())
