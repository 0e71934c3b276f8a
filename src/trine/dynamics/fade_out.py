"""Why students that win nothing fall silent: their outgoing weights decay to zero.

Two-layer theorem of Tian et al. 2019 (arXiv 1905.13405, over-parameterisation): the student nodes u
that sit on teacher nodes take over, the outgoing weights of the rest r go to zero. With the first
layer fixed and the nodes u equal to the teacher's, the outgoing weights V follow a linear flow,

    dV/dt = -L V + L[:, u] V*,   so   dV_r/dt = -L_rr V_r + L_ru (V* - V_u),

L = E[f f^T] over student nodes. If L is positive definite the least-squares problem has one
solution, V_u = V*, V_r = 0, and the flow goes there at the rate of the smallest eigenvalue:
`fixed_first_layer`. With both layers moving the same happens along with the alignment of u; there
`measures.l_shape.fan_out_norms` and `separation` measure it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.dynamics.architecture import Architecture
from trine.dynamics.flow import normalise_columns
from trine.dynamics.initialise import StudentOptions, TeacherOptions, make_student, make_teacher
from trine.dynamics.kernels import Nodes, values
from trine.dynamics.stack import Stack

__all__ = [
    "FixedFirstLayer",
    "Separation",
    "fixed_first_layer",
    "matrix_start",
    "separation",
]


@dataclass(frozen=True, slots=True)
class FixedFirstLayer:
    """The fan-out flow with a fixed first layer, at its end.

    Attributes:
      lucky_error: largest |V_u - V*|.
      unlucky_error: largest |V_r|.
      smallest_eigenvalue: of L, the slowest rate.
      history: `[steps + 1, 2]`, both errors after each step.
    """

    lucky_error: float
    unlucky_error: float
    smallest_eigenvalue: float
    history: np.ndarray


def fixed_first_layer(
    generator: np.random.Generator,
    *,
    inputs: int = 10,
    lucky: int = 8,
    unlucky: int = 8,
    outputs: int = 5,
    steps: int = 2000,
    rate: float = 0.5,
) -> FixedFirstLayer:
    """The exact case: least squares in V, L in closed form for x ~ N(0, I) (arc-cosine kernel).

    Args:
      generator: draws unit rows of the first layer, V* and the start of V.
      inputs: d.
      lucky: number of student nodes equal to teacher nodes, which is all teacher nodes.
      unlucky: number of further student nodes.
      outputs: c.
      steps: of gradient descent.
      rate: their size.

    Raises:
      UsageError: a rate above 2 over the largest eigenvalue of L, where descent explodes.
    """
    count = lucky + unlucky
    rows = generator.standard_normal((count, inputs))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    nodes = Nodes(rows[None])
    overlap = values(nodes, nodes)[0][0]  # L
    eigenvalues = np.linalg.eigvalsh(overlap)
    if rate * eigenvalues[-1] >= 2:
        raise UsageError(
            f"rate {rate:g}", accepted=f"below {2 / eigenvalues[-1]:.2g} for these nodes"
        )
    target = generator.standard_normal((lucky, outputs))  # V*
    fan_out = generator.standard_normal((count, outputs))  # V
    history = np.empty((steps + 1, 2))
    for step in range(steps + 1):
        gap = fan_out.copy()
        gap[:lucky] -= target
        history[step] = np.abs(gap[:lucky]).max(), np.abs(gap[lucky:]).max(initial=0.0)
        fan_out = fan_out - rate * overlap @ gap
    lucky_error, unlucky_error = (float(error) for error in history[-1])
    return FixedFirstLayer(lucky_error, unlucky_error, float(eigenvalues[0]), history)


def matrix_start(
    seeds: Seeds,
    *,
    widths: tuple[int, ...] = (10, 20, 30),
    over: int = 2,
    noise: float = 0.1,
    bias: float | None = 0.0,
    away: bool = False,
) -> tuple[Stack, Stack]:
    """Teacher and student of the matrix experiment (spec 7.2), columns of length 1.

    Args:
      seeds: streams `teacher` and `student`.
      widths: inputs, teacher nodes of each hidden layer, outputs.
      over: student nodes per teacher node.
      noise: standard deviation around the teacher of the first nodes of the student; the others are
        drawn like any framework's.
      bias: of every teacher node, 0 for outputs; None for networks without biases.
      away: reflect every unlucky node of the lowest layer that has a positive cosine with the
        teacher node nearest to it at the hyperplane of that node.

    Returns:
      Two stacks of one network, double precision.
    """
    architecture = Architecture(widths[0], widths[1:-1], widths[-1], bias=bias is not None)
    options = TeacherOptions(bias="constant", bias_value=bias or 0.0)
    teacher = make_teacher(architecture, seeds, options)
    for last in teacher.biases[-1:]:
        last.zero_()
    normalise_columns(teacher)
    student = make_student(
        architecture.wider(over),
        seeds,
        StudentOptions(start="perturb", noise=noise),
        teacher=teacher,
    )
    if away:
        _turn_away(teacher.weights[0][0], student.weights[0][0], widths[1])
    normalise_columns(student)
    return teacher, student


def _turn_away(target: Tensor, rows: Tensor, lucky: int) -> None:
    unit = target / target.norm(dim=1, keepdim=True)
    for row in rows[lucky:]:
        along = unit @ row
        nearest = int(along.argmax())
        if float(along[nearest]) > 0:
            row.sub_(2 * along[nearest] * unit[nearest])


@dataclass(frozen=True, slots=True)
class Separation:
    """How far lucky and unlucky fan-outs are apart, in decades (log10 of a ratio of norms).

    Attributes:
      median: median lucky over median unlucky, `[R]`.
      mixed: smallest lucky over median unlucky, `[R]`.
      worst: smallest lucky over largest unlucky, `[R]`; a single straggler decides.
      geometric: mean log10 of lucky minus mean log10 of unlucky, `[R]`.
    """

    median: Tensor
    mixed: Tensor
    worst: Tensor
    geometric: Tensor


def separation(norms: Tensor, lucky: Tensor | int) -> Separation:
    """Decades between lucky and unlucky norms.

    Args:
      norms: `[R, n]`.
      lucky: which nodes, `[R, n]` of booleans, or the number of nodes at the front.

    Raises:
      UsageError: a network whose nodes are all lucky, or none.
    """
    if isinstance(lucky, int):
        lucky = (torch.arange(norms.shape[1], device=norms.device) < lucky).expand(norms.shape)
    if bool((lucky.all(1) | ~lucky.any(1)).any()):
        raise UsageError("separation of one group of nodes", accepted="lucky and unlucky ones")
    logs = norms.clamp_min(torch.finfo(norms.dtype).tiny).log10()
    rows: list[Tensor] = []
    for one, mask in zip(logs, lucky, strict=True):
        high, low = one[mask], one[~mask]
        middle_high, middle_low = high.quantile(0.5), low.quantile(0.5)
        rows.append(
            torch.stack(
                [
                    middle_high - middle_low,
                    high.min() - middle_low,
                    high.min() - low.max(),
                    high.mean() - low.mean(),
                ]
            )
        )
    return Separation(*torch.stack(rows, 1))
