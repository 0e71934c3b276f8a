"""Downstream paths of any PyTorch module that is a chain of linear maps and ReLUs.

The recursion V_{l-1} = V_l D_l W_l of `identity`, written out for what a chain may be made of:
`nn.Linear`, `nn.Conv2d`, `nn.ReLU`, `nn.LeakyReLU`, `nn.Flatten`, `nn.Identity`, and BatchNorm or
dropout in evaluation mode (an affine map, and nothing). The chain is found by hooks, whatever the
forward method looks like, and it is checked that each part reads what the one before it wrote. A
hidden node is a channel at a position; positions of a channel are next to each other in the
flattened layer. Other modules, with branches say, go through `gradient_decomposition`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

from trine.core.errors import UsageError
from trine.dynamics.identity import Downstream

__all__ = ["downstream_of_module"]

ACCEPTED = (
    "a chain of nn.Linear, nn.Conv2d (zeros around it), nn.ReLU, nn.LeakyReLU, nn.Flatten, and "
    "BatchNorm and dropout in evaluation mode"
)
HINT = "gradient_decomposition takes any module with ReLU units"

ReluUnit = (nn.ReLU, nn.LeakyReLU)
BatchNorm = (nn.BatchNorm1d, nn.BatchNorm2d)
Nothing = (nn.Flatten, nn.Identity, nn.Dropout, nn.Dropout2d)

State = tuple[Tensor, Tensor]
"""V `[S, c, ...]`, S the number of samples or 1, and the constant `[S, c]`."""


@dataclass(frozen=True, slots=True)
class _Call:
    part: nn.Module
    before: torch.Size
    after: Tensor


def downstream_of_module(module: nn.Module, inputs: Tensor) -> Downstream:
    """V_l and c_l of every ReLU layer, by hand, without autograd.

    Args:
      module: a chain; it runs in the mode it is in.
      inputs: `[B, ...]`.

    Returns:
      As for a stack of one network (R = 1); n_l is the number of channels times positions, and
      `channels` the number of channels. Memory: B x c x n_l numbers a layer.

    Raises:
      UsageError: if the module is no such chain.
    """
    calls = _chain(module, inputs)
    output = calls[-1].after.flatten(1)
    eye = torch.eye(output.shape[1], dtype=output.dtype, device=output.device).unsqueeze(0)
    state: State = (eye, eye.new_zeros(eye.shape[:2]))
    found = Downstream([], [], [], [], output.unsqueeze(0), [])
    for call in reversed(calls):
        part, values = call.part, call.after
        paths = state[0].reshape(*state[0].shape[:2], *values.shape[1:])
        if isinstance(part, ReluUnit):
            slope = part.negative_slope if isinstance(part, nn.LeakyReLU) else 0.0
            on = (values > 0).to(values.dtype)
            gate = on + slope * (1 - on)
            found.post.insert(0, values.flatten(1).unsqueeze(0))
            found.gate.insert(0, gate.flatten(1).unsqueeze(0))
            found.columns.insert(0, paths.flatten(2).unsqueeze(0))
            found.constant.insert(0, state[1].unsqueeze(0))
            found.channels.insert(0, values.shape[1])
            state = (paths * gate.unsqueeze(1), state[1])
        else:
            state = _down(part, (paths, state[1]), call.before)
    if not found.post:
        raise UsageError(f"{type(module).__name__} has no ReLU", accepted=ACCEPTED)
    return found


def _chain(module: nn.Module, inputs: Tensor) -> list[_Call]:
    calls: list[_Call] = []
    read: list[Tensor] = []

    def before(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        # Now, not afterwards: an in-place ReLU writes over what it reads.
        read.append(cast("Tensor", arguments[0]).detach().clone())

    def after(part: nn.Module, _: Any, output: Tensor) -> None:
        calls.append(_Call(part, read[-1].shape, output.detach().clone()))

    leaves = [part for part in module.modules() if not list(part.children())]
    handles = [part.register_forward_pre_hook(before) for part in leaves]
    handles += [part.register_forward_hook(after) for part in leaves]
    try:
        with torch.no_grad():
            output = module(inputs)
    finally:
        for handle in handles:
            handle.remove()
    written = [inputs, *(call.after for call in calls)]
    for value, source in zip([*read, output], written, strict=True):
        if not torch.equal(value.flatten(1), source.flatten(1)):
            raise UsageError(
                f"{type(module).__name__} does something between its parts",
                accepted=ACCEPTED,
                hint=HINT,
            )
    return calls


def _down(part: nn.Module, state: State, before: torch.Size) -> State:
    """From V at what a linear part writes to V at what it reads, its bias into the constant."""
    for kind, step in _STEPS.items():
        if isinstance(part, kind):
            return step(part, state, before)
    raise UsageError(f"a part of kind {type(part).__name__}", accepted=ACCEPTED, hint=HINT)


def _linear(part: Any, state: State, before: torch.Size) -> State:
    paths, constant = state
    if len(before) != 2:
        raise UsageError(f"nn.Linear on inputs of shape {tuple(before)}", accepted="[B, n]")
    if part.bias is not None:
        constant = constant + paths @ part.bias.detach()
    return paths @ part.weight.detach(), constant


def _conv(part: Any, state: State, before: torch.Size) -> State:
    paths, constant = state
    if part.padding_mode != "zeros" or isinstance(part.padding, str):
        raise UsageError(
            f"nn.Conv2d with padding {part.padding!r}, mode {part.padding_mode!r}",
            accepted="numbers, mode 'zeros'",
            hint=HINT,
        )
    if part.bias is not None:
        constant = constant + paths.sum((3, 4)) @ part.bias.detach()
    flat = paths.flatten(0, 1)
    down = conv2d_input(
        (len(flat), *before[1:]),
        part.weight.detach(),
        flat,
        part.stride,
        part.padding,
        part.dilation,
        part.groups,
    )
    return down.view(*paths.shape[:2], *before[1:]), constant


def _batch_norm(part: Any, state: State, before: torch.Size) -> State:
    if part.training or part.running_var is None:
        raise UsageError("BatchNorm in training mode, which mixes samples", hint="call eval()")
    paths, constant = state
    scale = (part.running_var + part.eps).rsqrt()
    shift = -scale * part.running_mean
    if part.affine:
        weight, bias = part.weight.detach(), part.bias.detach()
        scale, shift = scale * weight, shift * weight + bias
    columns = paths.flatten(3).sum(3) if paths.dim() > 3 else paths
    wide = scale.view(-1, *([1] * (paths.dim() - 3)))
    return paths * wide, constant + columns @ shift


def _nothing(part: Any, state: State, before: torch.Size) -> State:
    if isinstance(part, nn.Dropout | nn.Dropout2d) and part.training:
        raise UsageError("dropout in training mode", hint="call eval()")
    return state[0].reshape(*state[0].shape[:2], *before[1:]), state[1]


_STEPS: dict[Any, Callable[[Any, State, torch.Size], State]] = {
    nn.Linear: _linear,
    nn.Conv2d: _conv,
    BatchNorm: _batch_norm,
    Nothing: _nothing,
}
