"""Many steps of descent of one network after the other, on one core, with everything in its cache.

The stacked products of `stack` read all weights of all networks in every step, more than a core's
cache holds. On a CPU it is faster to take one network through a block of steps, then the next: its
weights and activations stay in the cache, and there is no call from Python between two products.
The arithmetic is that of `Stack.forward` and `Stack.descend`; tests hold the two to each other and
to the obvious loop. What this kernel does not know (BatchNorm, unit rows, cross-entropy, targets
that are not stored, a GPU) is left to the stack.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trine.dynamics.products import one_thread
from trine.dynamics.stack import Stack

__all__ = ["descend_block", "fits"]

Floats = NDArray[np.floating[Any]]


def fits(student: Stack) -> bool:
    """Whether the kernel knows these networks."""
    return (
        student.device.type == "cpu"
        and student.dtype in (torch.float32, torch.float64)
        and student.architecture.batch_norm == "none"
    )


def descend_block(
    student: Stack,
    inputs: Tensor,
    targets: Tensor,
    rows: Tensor,
    scale: Tensor,
    frozen: tuple[int, ...] = (),
) -> Tensor:
    """K steps of every network, in place.

    Args:
      student: R networks, see `fits`.
      inputs: `[S * N, d]`, all data sets.
      targets: `[S * N, c]`.
      rows: `[R, K, B]`, rows of both that each network sees.
      scale: `[R]`, factor on y* - y in the direction of descent: rate, loss factor, 1 / B.
      frozen: layers that stay as they are.

    Returns:
      `[K, R]`, squared error of each batch, summed over samples and outputs, before its step.
    """
    shape = student.architecture
    stays = np.zeros(shape.depth + 1, dtype=np.bool_)
    stays[list(frozen)] = True
    numbers = _pack(student)
    errors = np.empty((rows.shape[1], student.count), dtype=numbers.dtype)
    with one_thread():
        _descend(
            numbers, np.asarray(shape.widths), shape.bias, shape.slope, stays, inputs.numpy(),
            targets.numpy(), rows.numpy(), scale.numpy(), errors,
        )  # fmt: skip
    _unpack(student, numbers)
    return torch.from_numpy(errors)


def _parameters(student: Stack) -> list[Tensor]:
    """Weights and biases, layer by layer."""
    if not student.biases:
        return student.weights
    pairs = zip(student.weights, student.biases, strict=True)
    return [tensor for pair in pairs for tensor in pair]


def _pack(student: Stack) -> Floats:
    """All parameters of each network in one row, `[R, P]`."""
    return torch.cat([t.flatten(1) for t in _parameters(student)], dim=1).numpy()


def _unpack(student: Stack, numbers: Floats) -> None:
    start = 0
    for tensor in _parameters(student):
        size = tensor[0].numel()
        tensor.copy_(torch.from_numpy(numbers[:, start : start + size]).view_as(tensor))
        start += size


@numba.njit(cache=True, error_model="numpy")
def _descend(
    numbers: Floats,
    widths: NDArray[np.int64],
    bias: bool,
    slope: float,
    stays: NDArray[np.bool_],
    inputs: Floats,
    targets: Floats,
    rows: NDArray[np.int64],
    scale: Floats,
    errors: Floats,
) -> None:
    networks, steps, batch = rows.shape
    layers = len(widths) - 1
    kind = numbers.dtype
    one, slope_below = kind.type(1), kind.type(slope)
    # Where each layer's activations and parameters begin.
    at = np.zeros(layers + 2, dtype=np.int64)
    for layer in range(layers + 1):
        at[layer + 1] = at[layer] + batch * widths[layer]
    begin = np.zeros(layers + 1, dtype=np.int64)
    largest = 0
    for layer in range(layers):
        size = widths[layer + 1] * widths[layer]
        begin[layer + 1] = begin[layer] + size + (widths[layer + 1] if bias else 0)
        largest = max(largest, size)
    active = np.empty(at[layers + 1], dtype=kind)
    widest = batch * widths.max()
    first, second = np.empty(widest, dtype=kind), np.empty(widest, dtype=kind)
    change = np.empty(largest, dtype=kind)
    for network in range(networks):
        own = numbers[network]
        for step in range(steps):
            for sample in range(batch):
                row = rows[network, step, sample]
                place = sample * widths[0]
                for column in range(widths[0]):
                    active[place + column] = inputs[row, column]
            for layer in range(layers):
                fan_in, width = widths[layer], widths[layer + 1]
                end = begin[layer] + width * fan_in
                weight = own[begin[layer] : end].reshape(width, fan_in)
                below = active[at[layer] : at[layer + 1]].reshape(batch, fan_in)
                above = active[at[layer + 1] : at[layer + 2]].reshape(batch, width)
                np.dot(below, weight.T, above)
                if bias:
                    shift = own[end : end + width]
                    for sample in range(batch):
                        for node in range(width):
                            above[sample, node] += shift[node]
                if layer < layers - 1:
                    values = active[at[layer + 1] : at[layer + 2]]
                    for entry in range(batch * width):
                        values[entry] = max(values[entry], slope_below * values[entry])
            width = widths[layers]
            descent = first[: batch * width].reshape(batch, width)
            output = active[at[layers] : at[layers + 1]].reshape(batch, width)
            error = kind.type(0)
            for sample in range(batch):
                row = rows[network, step, sample]
                for node in range(width):
                    residual = targets[row, node] - output[sample, node]
                    error += residual * residual
                    descent[sample, node] = scale[network] * residual
            errors[step, network] = error
            for layer in range(layers - 1, -1, -1):
                fan_in, width = widths[layer], widths[layer + 1]
                end = begin[layer] + width * fan_in
                weight = own[begin[layer] : end].reshape(width, fan_in)
                below = active[at[layer] : at[layer + 1]].reshape(batch, fan_in)
                descent = first[: batch * width].reshape(batch, width)
                lower = second[: batch * fan_in].reshape(batch, fan_in)
                if layer:  # with the weights before their step
                    np.dot(descent, weight, lower)
                    values = active[at[layer] : at[layer + 1]]
                    for entry in range(batch * fan_in):
                        gate = one if values[entry] > 0 else slope_below
                        second[entry] *= gate
                if not stays[layer]:
                    moved = change[: width * fan_in].reshape(width, fan_in)
                    np.dot(descent.T, below, moved)
                    flat = own[begin[layer] : end]
                    for entry in range(width * fan_in):
                        flat[entry] += change[entry]
                    if bias:
                        shift = own[end : end + width]
                        for sample in range(batch):
                            for node in range(width):
                                shift[node] += descent[sample, node]
                first, second = second, first
