"""What is kept of networks that are trained together: nodes compared, losses, divergence.

Everything of R networks lies in arrays over all of them, NaN where a network has diverged before:

    array                shape            meaning
    best_teacher.l       [R, S, m_l]      best correlation of each teacher node, S snapshots
    best_student.l       [R, S, n_l]      best correlation of each student node
    students_above.l     [R, S, T, m_l]   students above each of T thresholds
    influence.l          [R, S, n_l]      sqrt(E beta_kk); the fan-out norm in the top hidden layer
    observed             [R, S, m_0]      best observability of each node of the lowest layer
    teacher_active.l     [R, m_l]         share of evaluation samples on which it is active
    evaluation_loss      [R, C]           on evaluation data, at C epochs, in the training's units
    training_loss        [R, C]           mean over the epoch before
    output_power         [R]              the loss of a constant student, the best there is
    diverged_step        [R]              first step with a loss that is not finite, or -1

Correlations and observability are taken on evaluation data, which are drawn like plain training
inputs from the stream `evaluation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trine.core.seeding import Seeds
from trine.dynamics.measures.l_shape import Downstream, fan_out_norms
from trine.dynamics.measures.matching import NodeMatching
from trine.dynamics.measures.observability import Observability
from trine.dynamics.measures.success import THRESHOLDS, students_per_teacher
from trine.dynamics.stack import Stack
from trine.dynamics.training import Loss
from trine.dynamics.two_layer import Setting

__all__ = ["Evaluation", "Records"]

PART = 1000
"""Samples that are looked at together."""


class Records:
    """The arrays of a stack, filled in as training goes on.

    Args:
      setting: of the shape.
      count: R.
      arrays: those of a checkpoint, to go on.
    """

    def __init__(
        self, setting: Setting, count: int, arrays: dict[str, NDArray[Any]] | None = None
    ) -> None:
        self.snapshots, self.curve = setting.snapshot_epochs, setting.curve_epochs
        self.arrays = arrays if arrays is not None else _empty(setting, count)

    def keep_losses(
        self, epoch: int, networks: Sequence[int], evaluation: Tensor, training: Tensor | None
    ) -> None:
        """Losses `[r]` of some of the networks at an epoch of the curve."""
        at = self.curve.index(epoch)
        self.arrays["evaluation_loss"][networks, at] = evaluation.cpu().numpy()
        if training is not None:
            self.arrays["training_loss"][networks, at] = training.cpu().numpy()

    def keep_nodes(self, epoch: int, networks: Sequence[int], nodes: dict[str, Tensor]) -> None:
        """Comparisons of nodes of some of the networks at a snapshot."""
        at = self.snapshots.index(epoch)
        for name, values in nodes.items():
            if name.startswith(("teacher_active", "output_power")):
                self.arrays[name][networks] = values.cpu().numpy()
            else:
                self.arrays[name][networks, at] = values.cpu().numpy()


def _empty(setting: Setting, count: int) -> dict[str, NDArray[Any]]:
    shots, points = len(setting.snapshot_epochs), len(setting.curve_epochs)

    def nothing(*shape: int, dtype: type = np.float32) -> NDArray[Any]:
        return np.full(shape, np.nan, dtype=dtype)

    made: dict[str, NDArray[Any]] = {
        "evaluation_loss": nothing(count, points, dtype=np.float64),
        "training_loss": nothing(count, points, dtype=np.float64),
        "output_power": nothing(count, dtype=np.float64),
        "diverged_step": np.full(count, -1, dtype=np.int64),
    }
    teacher, student = setting.teacher_architecture, setting.student_architecture
    made["observed"] = nothing(count, shots, teacher.hidden[0])
    for layer, (ours, theirs) in enumerate(zip(teacher.hidden, student.hidden, strict=True)):
        made[f"best_teacher.{layer}"] = nothing(count, shots, ours)
        made[f"best_student.{layer}"] = nothing(count, shots, theirs)
        made[f"students_above.{layer}"] = nothing(count, shots, len(THRESHOLDS), ours)
        made[f"influence.{layer}"] = nothing(count, shots, theirs)
        made[f"teacher_active.{layer}"] = nothing(count, ours)
    return made


class Evaluation:
    """Evaluation data of some networks, and what is measured on them.

    Args:
      inputs: `[S, E, d]`, one set a data set.
      source: data set of each network, `[R]`.
      teachers: of each network, R networks.
      loss: in whose units losses are given.
    """

    def __init__(self, inputs: Tensor, source: Sequence[int], teachers: Stack, loss: Loss) -> None:
        self._inputs, self._teachers = inputs, teachers
        self._loss: Loss = loss
        self._source = torch.as_tensor(list(source), device=inputs.device)
        self._whole = list(source) == list(range(len(inputs)))

    def look(
        self, student: Stack, *, nodes: bool, seeds: Seeds | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Losses `[R]` and, if asked, the comparisons of nodes by name.

        Args:
          student: R networks.
          nodes: whether to compare nodes.
          seeds: the stream `probe` is used for the influence of deep networks.
        """
        matching, observed = NodeMatching(), Observability(0)
        downstream = self._downstream(student, seeds) if nodes else None
        total = torch.zeros(student.count, dtype=torch.float64, device=student.device)
        squares = total.clone()
        sums = torch.zeros(student.count, student.architecture.outputs).to(total)
        size = self._inputs.shape[1]
        for start in range(0, size, PART):
            part = self._inputs[:, start : start + PART]
            part = part if self._whole else part.index_select(0, self._source)
            shown, seen = self._teachers.forward(part), student.forward(part)
            total += _losses(seen.output, shown.output, self._loss)
            if nodes:
                matching.update(shown, seen)
                observed.update(shown, seen)
                squares += shown.output.double().square().sum((1, 2))
                sums += shown.output.double().sum(1)
                if downstream is not None:
                    downstream.update(seen)
        losses = total / size
        if not nodes:
            return losses, {}
        found = self._compared(matching, observed, student, downstream)
        spread = squares / size - (sums / size).square().sum(1)
        outputs = student.architecture.outputs
        found["output_power"] = spread * (0.5 if self._loss == "half_sum" else 1 / outputs)
        return losses, found

    def _downstream(self, student: Stack, seeds: Seeds | None) -> Downstream | None:
        if student.architecture.depth == 1 or student.architecture.batch_norm != "none":
            return None
        return Downstream(student, (seeds or Seeds(0)).generator("probe"))

    def _compared(
        self,
        matching: NodeMatching,
        observed: Observability,
        student: Stack,
        downstream: Downstream | None,
    ) -> dict[str, Tensor]:
        result = matching.result()
        found: dict[str, Tensor] = {"observed": observed.result().amax(2)}
        betas = downstream.result() if downstream is not None else []
        top = result.depth - 1
        for layer in range(result.depth):
            correlation = result.correlation[layer]
            found[f"best_teacher.{layer}"] = correlation.amax(2)
            found[f"best_student.{layer}"] = correlation.amax(1)
            counts = students_per_teacher(correlation.numpy())
            found[f"students_above.{layer}"] = torch.as_tensor(counts)
            found[f"teacher_active.{layer}"] = result.teacher_active[layer]
            if layer == top:
                found[f"influence.{layer}"] = fan_out_norms(student)
            elif betas:
                found[f"influence.{layer}"] = betas[layer].sqrt()
        return found


def _losses(output: Tensor, target: Tensor, loss: Loss) -> Tensor:
    """Sum over samples of the loss of each, `[R]`, double precision."""
    if loss == "cross_entropy":
        logs = output.double().log_softmax(2)
        return -logs.gather(2, target.argmax(2, keepdim=True)).sum((1, 2))
    squares = (output - target).double().square().sum((1, 2))
    return squares / (2 if loss == "half_sum" else output.shape[2])
