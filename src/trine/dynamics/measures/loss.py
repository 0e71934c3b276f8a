"""The loss on evaluation samples, in the conventions of `trine.dynamics.training`."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from trine.core.errors import UsageError
from trine.dynamics.measures.base import measure_stacks
from trine.dynamics.stack import Stack, Trace
from trine.dynamics.training import Loss

__all__ = ["EvaluationLoss", "evaluation_loss"]


class EvaluationLoss:
    """A measure: the loss of every network, in the convention of the training loss."""

    def __init__(self, loss: Loss) -> None:
        self._loss: Loss = loss
        self.reset()

    def reset(self) -> None:
        """Forgets all samples."""
        self._sum: Tensor | None = None
        self._count = 0

    def update(self, teacher: Trace, student: Trace) -> None:
        """Takes in the same samples seen by both, outputs `[R, B, c]`."""
        target, output = teacher.output.double(), student.output.double()
        if self._loss == "cross_entropy":
            picked = output.log_softmax(2).gather(2, target.argmax(2, keepdim=True))
            value = -picked.sum((1, 2))
        else:
            factor = 1 / target.shape[2] if self._loss == "mean" else 0.5
            value = factor * (target - output).square().sum((1, 2))
        self._sum = value if self._sum is None else self._sum + value
        self._count += target.shape[1]

    def result(self) -> Tensor:
        """`[R]`.

        Raises:
          UsageError: before any sample.
        """
        if self._sum is None:
            raise UsageError("loss of no samples", hint="call update first")
        return self._sum / self._count


def evaluation_loss(
    teachers: Stack,
    students: Stack,
    inputs: Tensor,
    source: Sequence[int] | None = None,
    *,
    loss: Loss = "mean",
) -> Tensor:
    """The loss of every student, `[R]`, double precision, CPU.

    Args:
      teachers: S teachers.
      students: R students.
      inputs: `[S, E, d]`.
      source: teacher and inputs of each student; by default r belongs to r.
      loss: its convention.
    """
    places = list(range(students.count)) if source is None else list(source)
    measure = EvaluationLoss(loss)
    measure_stacks([measure], teachers.select(places), students, inputs, source=places)
    return measure.result().cpu()
