"""Matrix dynamics: what is left of training when expectations are taken apart (spec 3).

With biases as weights of a node that is always 1 (W_l here with its bias as last column, and a last
row that hands the 1 on), write

    L_l  = E[f_l f_l^T],  L*_l = E[f_l f*_l^T]          activation overlaps
    D_l  = E[1_l 1_l^T],  D*_l = E[1_l 1*_l^T]          gate overlaps, 1_l the gates
    H_l  = beta_l o D_l,  H*_l = beta*_l o D*_l         o: entry by entry
    beta_{l-1} = W_l^T H_l W_l,  beta*_{l-1} = W_l^T H*_l W*_l,  H at the output = identity

    dW_l/dt = H*_l W*_l (L*_{l-1})^T - H_l W_l L_{l-1}          for every layer at once

(the transpose of the papers' input x output matrices). This is variant (a), `averaged_velocity`: it
assumes that the paths above, the gates and the activations below may be averaged apart (Tian et al.
2019, arXiv 1905.13405, there an assumption; recalled, not quoted). Variant (b), `exact_velocity`,
multiplies sample by sample and averages last, which is back-propagation. On a batch of one sample
they coincide; `divergence` measures how far apart they are else.

After each step the incoming weights of every node, bias included, are divided by their length, in
the output layer too (`normalise_columns`: columns in the papers' notation). It stands in for what
BatchNorm conserves (`projection`). The loss is 1/2 ||y* - y||^2, mean over samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from trine.core.errors import UsageError
from trine.dynamics.identity import augmented, with_one, without_batch_norm
from trine.dynamics.products import product
from trine.dynamics.stack import Stack
from trine.dynamics.training import Diverged

__all__ = [
    "FlowPoint",
    "Variant",
    "Velocity",
    "averaged_velocity",
    "difference",
    "divergence",
    "exact_velocity",
    "matrix_flow",
    "normalise_columns",
    "tangential",
]

Variant = Literal["averaged", "exact"]

Velocity = list[Tensor]
"""Per layer, the output last: dW_l with the bias as last column, `[R, n_l, n_{l-1} (+ 1)]`."""

CHECK_EVERY = 256
"""Steps between two looks for numbers that are not finite."""


def averaged_velocity(teacher: Stack, student: Stack, inputs: Tensor) -> Velocity:
    """(a): the formula of the module, expectations over the batch.

    Args:
      teacher: R networks without BatchNorm.
      student: likewise, of the same depth.
      inputs: `[R, B, d]`.

    Raises:
      UsageError: networks with BatchNorm, or with biases in one only.
    """
    _check(teacher, student)
    seen, shown = teacher.forward(inputs), student.forward(inputs)
    depth, size = student.architecture.depth, inputs.shape[1]
    above: Tensor | None = None  # H*_l; None for the identity, at the output
    own: Tensor | None = None  # H_l
    found: Velocity = []
    for layer in range(depth, -1, -1):
        below = with_one(shown.post[layer - 1] if layer else inputs, student)
        below_star = with_one(seen.post[layer - 1] if layer else inputs, teacher)
        weight, weight_star = augmented(student, layer), augmented(teacher, layer)
        overlap = product(below.transpose(1, 2), below)  # L_{l-1} and (L*_{l-1})^T, times B
        overlap_star = product(below_star.transpose(1, 2), below)
        down = weight if own is None else product(own, weight)
        down_star = weight_star if above is None else product(above, weight_star)
        moved = product(down_star, overlap_star).sub_(product(down, overlap)).div_(size)
        # The last row belongs to the node that is always 1, which learns nothing.
        found.insert(0, moved[:, : student.weights[layer].shape[1]])
        if layer:
            gate = with_one(shown.gate(layer - 1), student).transpose(1, 2)
            gate_star = with_one(seen.gate(layer - 1), teacher)
            up = weight.transpose(1, 2)
            own = product(up, down).mul_(product(gate, gate.transpose(1, 2)).div_(size))
            above = product(up, down_star).mul_(product(gate, gate_star).div_(size))
    return found


def exact_velocity(teacher: Stack, student: Stack, inputs: Tensor) -> Velocity:
    """(b): E_x[g_l(x) f_{l-1}(x)^T], products sample by sample: back-propagation.

    Args:
      teacher: R networks without BatchNorm.
      student: likewise, of the same depth.
      inputs: `[R, B, d]`.

    Raises:
      UsageError: networks with BatchNorm, or with biases in one only.
    """
    _check(teacher, student)
    shown = student.forward(inputs)
    residual = teacher.forward(inputs).output - shown.output
    belows = [inputs, *shown.post]
    return [
        product(direction.transpose(1, 2), with_one(below, student)).div_(inputs.shape[1])
        for direction, below in zip(student.directions(shown, residual), belows, strict=True)
    ]


def _check(teacher: Stack, student: Stack) -> None:
    without_batch_norm(teacher)
    without_batch_norm(student)
    teacher.architecture.check_student(student.architecture)
    if teacher.architecture.bias != student.architecture.bias:
        raise UsageError("biases in one of teacher and student", accepted="in both or in none")


_VELOCITIES: dict[Variant, Callable[[Stack, Stack, Tensor], Velocity]] = {
    "averaged": averaged_velocity,
    "exact": exact_velocity,
}


def move(student: Stack, velocity: Velocity, rate: float) -> None:
    """One Euler step, in place."""
    for layer, moved in enumerate(velocity):
        width = student.weights[layer].shape[2]
        student.weights[layer].add_(moved[:, :, :width], alpha=rate)
        if student.biases:
            student.biases[layer].add_(moved[:, :, width], alpha=rate)


def normalise_columns(stack: Stack) -> None:
    """Divides the weights into every node, its bias included, by their length, in place.

    Layers and output alike. A node without weights stays as it is.
    """
    for layer, weight in enumerate(stack.weights):
        squares = weight.square().sum(2)
        if stack.biases:
            squares = squares + stack.biases[layer].square()
        norm = torch.where(squares > 0, squares, 1.0).sqrt_()
        weight.div_(norm.unsqueeze(2))
        if stack.biases:
            stack.biases[layer].div_(norm)


@dataclass(frozen=True, slots=True)
class FlowPoint:
    """Where the flow is.

    Attributes:
      step: steps completed.
      student: the networks, which go on changing: copy what you keep.
    """

    step: int
    student: Stack


def matrix_flow(
    teacher: Stack,
    student: Stack,
    batch: Callable[[int], Tensor],
    *,
    steps: int,
    rate: float,
    variant: Variant,
    marks: Sequence[int],
    normalise: bool = True,
) -> Iterator[FlowPoint]:
    """Moves students in place; yields at the marks, of which 0 is the start.

    Args:
      teacher: R networks without BatchNorm.
      student: likewise; changed.
      batch: inputs `[R, B, d]` of each step, from 0.
      steps: how many.
      rate: size of a step.
      variant: `averaged` or `exact`.
      marks: steps at which to yield.
      normalise: whether columns are divided by their length after each step.

    Raises:
      UsageError: an unknown variant or networks that do not fit; Diverged: numbers that are not
        finite.
    """
    if variant not in _VELOCITIES:
        raise UsageError.unknown("variant", variant, list(_VELOCITIES))
    _check(teacher, student)
    velocity, wanted = _VELOCITIES[variant], frozenset(marks)
    if 0 in wanted:
        yield FlowPoint(0, student)
    for step in range(1, steps + 1):
        move(student, velocity(teacher, student, batch(step - 1)), rate)
        if normalise:
            normalise_columns(student)
        if step % CHECK_EVERY == 0 or step == steps or step in wanted:
            broken = [not bool(weight.isfinite().all()) for weight in student.weights]
            if any(broken):
                raise Diverged(
                    f"matrix dynamics ({variant}) are not finite at step {step} (rate {rate:g})",
                    hint=f"try a rate of {rate / 4:.2g}",
                )
        if step in wanted:
            yield FlowPoint(step, student)


def divergence(first: Velocity, second: Velocity) -> tuple[Tensor, Tensor]:
    """How far two velocities are apart, layer by layer.

    Returns:
      `[R, depth + 1]` each: length of the difference over the length of `second`, and the cosine
      between the two; NaN where `second` is 0.
    """
    gaps: list[Tensor] = []
    cosines: list[Tensor] = []
    for a, b in zip(first, second, strict=True):
        x, y = a.flatten(1), b.flatten(1)
        length = y.norm(dim=1)
        gaps.append((x - y).norm(dim=1) / length)
        cosines.append((x * y).sum(1) / (length * x.norm(dim=1)))
    return torch.stack(gaps, 1), torch.stack(cosines, 1)


def tangential(velocity: Velocity, student: Stack) -> Velocity:
    """The part of a velocity that renormalisation leaves: orthogonal to each node's own weights.

    For two layers without biases on Gaussian inputs (a) and (b) then agree in expectation: they
    differ by E[a'_+ 1_a x]'s part along w itself, sin(theta) w / |w| (see `kernels`).
    """
    found: Velocity = []
    for layer, moved in enumerate(velocity):
        own = _matrix(student, layer)
        unit = own / own.norm(dim=2, keepdim=True).clamp_min(torch.finfo(own.dtype).tiny)
        found.append(moved - (moved * unit).sum(2, keepdim=True) * unit)
    return found


def difference(first: Stack, second: Stack) -> Tensor:
    """||W - W'||, biases included, layer by layer, `[R, depth + 1]`."""
    layers = range(first.architecture.depth + 1)
    pairs = [(_matrix(first, layer), _matrix(second, layer)) for layer in layers]
    return torch.stack([(a - b).norm(dim=(1, 2)) for a, b in pairs], 1)


def _matrix(stack: Stack, layer: int) -> Tensor:
    return augmented(stack, layer)[:, : stack.weights[layer].shape[1]]
