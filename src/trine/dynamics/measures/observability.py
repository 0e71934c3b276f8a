"""Which boundaries a student can see: activity on both sides of a teacher node (spec 8).

A student node *observes* a teacher node if it is active on both sides of the teacher's boundary;
only then can a small gradient force the two to line up (Tian 2020, arXiv 1909.13458, the theorem on
specialisation). The measure is the smaller of two shares: of the samples on the positive side, and
of those on the negative side, on which the student node is active. 0: not observed; a student node
that is always active has 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trine.core.errors import UsageError
from trine.dynamics.stack import Trace

__all__ = ["Observability"]


class Observability:
    """Accumulates the observability of every teacher node by every student node of one layer.

    Args:
      layer: hidden layer, 0 next to the input.
    """

    def __init__(self, layer: int = 0) -> None:
        self.layer = layer
        self.reset()

    def reset(self) -> None:
        """Forgets all samples."""
        self._both: Tensor | None = None
        self._teacher: Tensor | None = None
        self._student: Tensor | None = None
        self._count = 0

    def update(self, teacher: Trace, student: Trace) -> None:
        """Takes in the same B samples seen by both; tensors `[R, B, n]`.

        Raises:
          UsageError: a layer that is not there, or different samples.
        """
        depth = min(len(teacher.active), len(student.active))
        if not 0 <= self.layer < depth:
            raise UsageError(f"hidden layer {self.layer}", accepted=f"0 to {depth - 1}")
        kind = student.inputs.dtype
        first = (teacher.active[self.layer] > 0).to(kind)
        second = (student.active[self.layer] > 0).to(kind)
        if first.shape[:2] != second.shape[:2]:
            raise UsageError(
                f"teacher [R, B] = {tuple(first.shape[:2])}, student {tuple(second.shape[:2])}",
                accepted="the same samples",
            )
        # Whole numbers below 2^24: exact in single precision within a part.
        new = (
            torch.bmm(first.transpose(1, 2), second).double(),
            first.sum(1).double(),
            second.sum(1).double(),
        )
        if self._both is None or self._teacher is None or self._student is None:
            self._both, self._teacher, self._student = new
        else:
            self._both += new[0]
            self._teacher += new[1]
            self._student += new[2]
        self._count += first.shape[1]

    def result(self) -> Tensor:
        """`[R, m, n]` in [0, 1], on the CPU; 0 where a side has no sample.

        Raises:
          UsageError: before any sample.
        """
        if self._both is None or self._teacher is None or self._student is None:
            raise UsageError("observability of no samples", hint="call update first")
        above = self._teacher.unsqueeze(2)
        below = self._count - above
        on_both = self._both / above.clamp_min(1)
        on_other = (self._student.unsqueeze(1) - self._both) / below.clamp_min(1)
        return torch.minimum(on_both, on_other).cpu()
