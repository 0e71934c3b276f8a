"""The exact gradient identity: what a student node is pulled to and pushed from, sample by sample.

Let g_l(x) be the descent direction of 1/2 ||y*(x) - y(x)||^2 at the pre-activations of student
layer l. Then (Tian et al. 2019, arXiv 1905.13405, section 2; Tian 2020, arXiv 1909.13458, for the
leaky slope)

    g_l(x) = D_l(x) [ A_l(x) f*_l(x) - B_l(x) f_l(x) ]
    A_l(x) = V_l(x)^T V*_l(x),   B_l(x) = V_l(x)^T V_l(x)
    V_{L-1}(x) = W_L,            V_{l-1}(x) = V_l(x) D_l(x) W_l

    symbol     code                     shape              meaning
    f_l        post[l]                  [R, B, n_l]        activations
    D_l        gate[l]                  [R, B, n_l]        1 where active, else the slope
    V_l        columns[l]               [R, B, c, n_l]     downstream paths, y = V_l f_l + c_l
    c_l        constant[l]              [R, B, c]          what biases above the layer add to y
    A_l        student_teacher(l)       [R, B, n_l, m_l]   P1's beta*, overlap of downstream paths
    B_l        student_student(l)       [R, B, n_l, n_l]   P1's beta, positive semidefinite
    g_l        directions(l)            [R, B, n_l]        the identity

Biases belong to a node that is always 1; c_l is its column of V_l. The top hidden layer's V is W_L
for every sample and has sample dimension 1. Memory is that of V, R x B x c x sum of n_l: give a few
hundred samples at a time (`parts` cuts them); A and B are made on demand, for small networks only.

`downstream_of_stack` takes a `Stack`, `downstream_of_module` any chain of linear maps and ReLUs,
convolutions included: there a node is a channel at a position.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from trine.core.errors import UsageError
from trine.dynamics.stack import Stack, Trace

__all__ = [
    "Downstream",
    "GradientIdentity",
    "downstream_of_stack",
    "gradient_identity",
    "mean_beta",
    "parts",
    "recursive_overlaps",
]

MOST_PATHS = 2**24
"""Numbers in the largest V that `parts` allows: 128 MB in double precision."""


@dataclass(frozen=True, slots=True)
class Downstream:
    """Where the activity of every hidden node goes: y(x) = V_l(x) f_l(x) + c_l(x) at every layer.

    Attributes:
      post: per hidden layer `[R, B, n_l]`, activations f_l.
      gate: per hidden layer `[R, B, n_l]`, D_l.
      columns: per hidden layer `[R, B, c, n_l]`, or `[R, 1, c, n_l]` where all samples agree: V_l.
      constant: per hidden layer `[R, B, c]` or `[R, 1, c]`: c_l.
      output: `[R, B, c]`.
      channels: per hidden layer, how many nodes the layer has if positions of a channel are one
        node; n_l in a fully connected layer.
    """

    post: list[Tensor]
    gate: list[Tensor]
    columns: list[Tensor]
    constant: list[Tensor]
    output: Tensor
    channels: list[int]

    @property
    def depth(self) -> int:
        """Number of hidden layers."""
        return len(self.post)

    def reconstructed(self, layer: int) -> Tensor:
        """V_l f_l + c_l, `[R, B, c]`: the output, seen from layer l."""
        columns, post = torch.broadcast_tensors(self.columns[layer], self.post[layer].unsqueeze(2))
        return (columns * post).sum(3) + self.constant[layer]

    def beta(self, layer: int) -> Tensor:
        """beta_jj(x) = ||column j of V_l(x)||^2 >= 0, `[R, B or 1, n_l]`."""
        return self.columns[layer].square().sum(2)


@dataclass(frozen=True, slots=True)
class GradientIdentity:
    """The two sides of the identity for a teacher and a student on the same samples."""

    teacher: Downstream
    student: Downstream

    def residual_constant(self, layer: int) -> Tensor:
        """c*_l - c_l, `[R, B or 1, c]`."""
        return self.teacher.constant[layer] - self.student.constant[layer]

    def student_teacher(self, layer: int) -> Tensor:
        """A_l = V_l^T V*_l, beta* of P1; `[R, B or 1, n_l, m_l]`."""
        return self.student.columns[layer].transpose(2, 3) @ self.teacher.columns[layer]

    def student_student(self, layer: int) -> Tensor:
        """B_l = V_l^T V_l, beta of P1; `[R, B or 1, n_l, n_l]`."""
        return self.student.columns[layer].transpose(2, 3) @ self.student.columns[layer]

    def gated(self, layer: int) -> tuple[Tensor, Tensor]:
        """H*_l = D_l A_l D*_l and H_l = D_l B_l D_l, `[R, B, n_l, m_l]` and `[R, B, n_l, n_l]`."""
        left = self.student.gate[layer].unsqueeze(3)
        above = self.student_teacher(layer) * left * self.teacher.gate[layer].unsqueeze(2)
        return above, self.student_student(layer) * left * self.student.gate[layer].unsqueeze(2)

    def directions(self, layer: int) -> Tensor:
        """g_l by V alone: D_l V_l^T [(V*_l f*_l + c*_l) - (V_l f_l + c_l)], `[R, B, n_l]`."""
        pull = self.teacher.reconstructed(layer) - self.student.reconstructed(layer)
        below = (self.student.columns[layer] * pull.unsqueeze(3)).sum(2)
        return self.student.gate[layer] * below

    def directions_by_overlaps(self, layer: int) -> Tensor:
        """g_l = D_l [A_l f*_l - B_l f_l + V_l^T (c*_l - c_l)], term by term, `[R, B, n_l]`."""
        attracted = self.student_teacher(layer) @ self.teacher.post[layer].unsqueeze(3)
        repelled = self.student_student(layer) @ self.student.post[layer].unsqueeze(3)
        constant = (self.student.columns[layer] * self.residual_constant(layer).unsqueeze(3)).sum(2)
        return self.student.gate[layer] * (attracted.squeeze(3) - repelled.squeeze(3) + constant)


def without_batch_norm(stack: Stack) -> None:
    """Refuses BatchNorm.

    Raises:
      UsageError: if the stack has it.
    """
    if stack.architecture.batch_norm != "none":
        raise UsageError(
            f"BatchNorm {stack.architecture.batch_norm!r} in the identity, which is per sample",
            accepted="networks without",
            hint="fold_batch_norm(stack) is the same network in evaluation mode, without",
        )


def downstream_of_stack(stack: Stack, trace: Trace) -> Downstream:
    """The recursion V_{l-1} = V_l D_l W_l, batched over networks and samples.

    Args:
      stack: R networks without BatchNorm.
      trace: of their forward pass on B samples.

    Raises:
      UsageError: if the stack has BatchNorm.
    """
    without_batch_norm(stack)
    depth, top = stack.architecture.depth, stack.weights[-1]
    columns = [top.unsqueeze(1)]  # [R, 1, c, n]
    constant = [stack.biases[-1].unsqueeze(1) if stack.biases else top.new_zeros(len(top), 1, 1)]
    constant[0] = constant[0].expand(-1, -1, top.shape[1])
    gates = [trace.gate(layer) for layer in range(depth)]
    for layer in range(depth - 1, 0, -1):
        gated = columns[0] * gates[layer].unsqueeze(2)  # V_l D_l, [R, B, c, n_l]
        flat = gated.flatten(1, 2)
        shape = (*gated.shape[:3], -1)
        columns.insert(0, torch.bmm(flat, stack.weights[layer]).view(shape))
        added = constant[0]
        if stack.biases:
            added = added + torch.bmm(flat, stack.biases[layer].unsqueeze(2)).view(gated.shape[:3])
        constant.insert(0, added)
    widths = list(stack.architecture.hidden)
    return Downstream(list(trace.post), gates, columns, constant, trace.output, widths)


def gradient_identity(teacher: Stack, student: Stack, inputs: Tensor) -> GradientIdentity:
    """Everything the identity speaks of, for two stacks on the same samples.

    Args:
      teacher: R networks without BatchNorm.
      student: likewise, of the same depth.
      inputs: `[R, B, d]`.

    Raises:
      UsageError: BatchNorm, or stacks that do not fit each other.
    """
    teacher.architecture.check_student(student.architecture)
    return GradientIdentity(
        downstream_of_stack(teacher, teacher.forward(inputs)),
        downstream_of_stack(student, student.forward(inputs)),
    )


def recursive_overlaps(
    teacher: Stack, student: Stack, inputs: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """A_l and B_l without V, by the beta and H recursion of P1; the slow, obvious route.

    With biases, the augmented matrices [[W, b], [0, 1]] are used, and the last row and column of A
    and B belong to the node that is always 1. From the top, where both are the identity:

        H_{l+1} = D_{l+1} B_{l+1} D_{l+1},    B_l = W_{l+1}^T H_{l+1} W_{l+1}
        H*_{l+1} = D_{l+1} A_{l+1} D*_{l+1},  A_l = W_{l+1}^T H*_{l+1} W*_{l+1}

    Args:
      teacher: R networks without BatchNorm.
      student: likewise.
      inputs: `[R, B, d]`.

    Returns:
      Per hidden layer `(A_l, B_l)`, `[R, B, n_l (+1), m_l (+1)]` and `[R, B, n_l (+1), n_l (+1)]`.

    Source: Tian et al. 2019 (arXiv 1905.13405), section 2; biases as in the authors' program.
    """
    without_batch_norm(teacher)
    without_batch_norm(student)
    seen, shown = teacher.forward(inputs), student.forward(inputs)
    outputs, depth = teacher.architecture.outputs, teacher.architecture.depth
    eye = torch.eye(outputs, dtype=inputs.dtype, device=inputs.device)
    cross = own = eye.expand(*inputs.shape[:2], outputs, outputs)
    found: list[tuple[Tensor, Tensor]] = []
    for layer in range(depth, 0, -1):
        if layer < depth:
            left = with_one(shown.gate(layer), student).unsqueeze(3)
            cross = left * cross * with_one(seen.gate(layer), teacher).unsqueeze(2)
            own = left * own * left.transpose(2, 3)
        weight = augmented(student, layer).unsqueeze(1)
        up = weight.transpose(2, 3)
        cross = up @ cross @ augmented(teacher, layer).unsqueeze(1)
        own = up @ own @ weight
        found.insert(0, (cross, own))
    return found


def augmented(stack: Stack, layer: int) -> Tensor:
    """[[W_l, b_l], [0, 1]] of a hidden layer, [W_L, b_L] of the output, W_l without biases."""
    weight = stack.weights[layer]
    if not stack.biases:
        return weight
    wide = torch.cat([weight, stack.biases[layer].unsqueeze(2)], 2)
    if layer == stack.architecture.depth:
        return wide
    last = torch.zeros_like(wide[:, :1])
    last[:, :, -1] = 1
    return torch.cat([wide, last], 1)


def with_one(values: Tensor, stack: Stack) -> Tensor:
    """`[R, B, n]` with the node that is always 1 as its last, if the stack has biases."""
    return torch.cat([values, torch.ones_like(values[:, :, :1])], 2) if stack.biases else values


def parts(samples: int, *stacks: Stack, most: int = MOST_PATHS) -> Iterator[slice]:
    """Slices of the samples such that V of the widest layer stays below `most` numbers."""
    each = max(s.count * s.architecture.outputs * max(s.architecture.hidden) for s in stacks)
    size = max(1, min(samples, most // each))
    return (slice(start, start + size) for start in range(0, samples, size))


def mean_beta(stack: Stack, inputs: Tensor, *, most: int = MOST_PATHS) -> list[Tensor]:
    """E_x beta_jj(x), the mean squared downstream influence of every hidden node.

    P2 plots its root as the height of the L-shape; in the top hidden layer it is the fan-out norm.

    Args:
      stack: R networks without BatchNorm.
      inputs: `[R, E, d]`, taken in parts.
      most: numbers in the largest V of a part.

    Returns:
      Per hidden layer `[R, n_l]`.
    """
    total: list[Tensor] = []
    for part in parts(inputs.shape[1], stack, most=most):
        some = inputs[:, part]
        seen = downstream_of_stack(stack, stack.forward(some))
        sums = [seen.beta(layer).mean(1) * some.shape[1] for layer in range(seen.depth)]
        total = [a + b for a, b in zip(total, sums, strict=True)] if total else sums
    return [t / inputs.shape[1] for t in total]
