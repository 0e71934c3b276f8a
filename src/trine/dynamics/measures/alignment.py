"""How diagonal the overlaps of student and teacher are (spec 8; Tian et al. 2019).

    L*_l = E[f_l f*_l^T]              activation overlap, `[R, n, m]`
    H*_l = E[D_l V_l^T V*_l D*_l]     overlap of gated downstream paths, `[R, n, m]`

With the student nodes in the order of their teacher nodes (row j' is the winner of teacher node
j'), both are square, and training should make them diagonal. `diagonality` is the mean |diagonal|
over the mean |off-diagonal|; 1 says nothing is aligned. L* is not centred, as in the papers:
positive activations overlap by their means alone, which holds the ratio down.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trine.core.errors import UsageError
from trine.dynamics.identity import MOST_PATHS, GradientIdentity, downstream_of_stack, parts
from trine.dynamics.projection import fold_batch_norm
from trine.dynamics.stack import Stack

__all__ = ["Overlaps", "aligned", "diagonality", "overlaps"]


@dataclass(frozen=True, slots=True)
class Overlaps:
    """Overlaps of one hidden layer.

    Attributes:
      activation: L*, `[R, n, m]`.
      path: H*, `[R, n, m]`.
    """

    activation: Tensor
    path: Tensor


def overlaps(
    teacher: Stack, student: Stack, inputs: Tensor, *, most: int = MOST_PATHS
) -> list[Overlaps]:
    """L* and H* of every hidden layer; networks with BatchNorm in evaluation mode.

    Args:
      teacher: R networks.
      student: R networks of the same depth.
      inputs: `[R, E, d]`, taken in parts.
      most: numbers in the largest V of a part.

    Raises:
      UsageError: stacks that do not fit each other.
    """
    teacher.architecture.check_student(student.architecture)
    teacher, student = fold_batch_norm(teacher), fold_batch_norm(student)
    samples = inputs.shape[1]
    found = [
        Overlaps(inputs.new_zeros(student.count, n, m), inputs.new_zeros(student.count, n, m))
        for n, m in zip(student.architecture.hidden, teacher.architecture.hidden, strict=True)
    ]
    for part in parts(samples, teacher, student, most=most):
        some = inputs[:, part]
        identity = GradientIdentity(
            downstream_of_stack(teacher, teacher.forward(some)),
            downstream_of_stack(student, student.forward(some)),
        )
        for layer, total in enumerate(found):
            f, f_star = identity.student.post[layer], identity.teacher.post[layer]
            total.activation.add_(f.transpose(1, 2) @ f_star / samples)
            total.path.add_(_path_sum(identity, layer) / samples)
    return found


def _path_sum(identity: GradientIdentity, layer: int) -> Tensor:
    mine, theirs = identity.student, identity.teacher
    v, v_star = mine.columns[layer], theirs.columns[layer]
    gate, gate_star = mine.gate[layer], theirs.gate[layer]
    if v.shape[1] == 1:  # the top: the same paths for every sample
        return identity.student_teacher(layer).squeeze(1) * (gate.transpose(1, 2) @ gate_star)
    left = (v * gate.unsqueeze(2)).flatten(1, 2).transpose(1, 2)
    return left @ (v_star * gate_star.unsqueeze(2)).flatten(1, 2)


def aligned(overlap: Tensor, winners: Tensor) -> Tensor:
    """The rows of the winners, in the order of the teacher nodes: `[R, m, m]`.

    Args:
      overlap: `[R, n, m]`.
      winners: `[R, m]`, the student node of each teacher node.
    """
    return overlap.gather(1, winners.unsqueeze(2).expand(-1, -1, overlap.shape[2]))


def diagonality(square: Tensor, alive: Tensor) -> Tensor:
    """Mean |diagonal| over mean |off-diagonal|, `[R]`, of the teacher nodes that are alive.

    Args:
      square: `[R, m, m]`, aligned.
      alive: `[R, m]`.

    Raises:
      UsageError: fewer than two nodes alive in some network.
    """
    if bool((alive.sum(1) < 2).any()):
        raise UsageError("diagonality of fewer than two nodes")
    use = (alive.unsqueeze(1) & alive.unsqueeze(2)).to(square.dtype)
    eye = torch.eye(square.shape[1], dtype=square.dtype, device=square.device)
    size = square.abs() * use
    on = (size * eye).sum((1, 2)) / (use * eye).sum((1, 2))
    off = (size * (1 - eye)).sum((1, 2)) / (use * (1 - eye)).sum((1, 2))
    return on / off.clamp_min(torch.finfo(off.dtype).tiny)
