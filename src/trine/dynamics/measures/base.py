"""What a measure is, and how one is taken over many samples without storing activations.

A measure sees traces of teacher and student on the same samples, part by part, and keeps sums only.
A new measure is a class with these three methods in a file of this folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from trine.dynamics.stack import Stack, Trace
from trine.dynamics.tracing import trace_module

__all__ = ["Measure", "measure_modules", "measure_stacks"]

Result = TypeVar("Result", covariant=True)

PART = 2048
"""Samples that are looked at together."""


class Measure(Protocol, Generic[Result]):
    """Something that is accumulated over samples."""

    def update(self, teacher: Trace, student: Trace) -> None:
        """Takes in the same B samples seen by both; tensors `[R, B, n]`."""
        ...

    def result(self) -> Result:
        """The measure over all samples so far."""
        ...

    def reset(self) -> None:
        """Forgets all samples."""
        ...


def measure_stacks(
    measures: Iterable[Measure[object]],
    teacher: Stack,
    student: Stack,
    inputs: Tensor,
    *,
    source: Sequence[int] | Tensor | None = None,
) -> None:
    """Shows evaluation samples to measures.

    Args:
      measures: updated in place.
      teacher: the teacher of every network, R networks.
      student: R networks, looked at in evaluation mode.
      inputs: `[S, E, d]`, one evaluation set a data set.
      source: data set of each network, `[R]`; by default network r has set r (or all the only one).
    """
    for start in range(0, inputs.shape[1], PART):
        part = inputs[:, start : start + PART]
        if source is not None:
            part = part[torch.as_tensor(source, device=part.device)]
        part = part.expand(student.count, -1, -1)
        seen, shown = teacher.forward(part), student.forward(part)
        for measure in measures:
            measure.update(seen, shown)


def measure_modules(
    measures: Iterable[Measure[object]],
    teacher: nn.Module,
    student: nn.Module,
    inputs: Iterable[Tensor],
) -> None:
    """The same for any two modules with ReLU units.

    Args:
      measures: updated in place.
      teacher: a module; it runs in the mode it is in, so call `eval()` first.
      student: likewise.
      inputs: batches of samples, e.g. a data loader's.
    """
    for batch in inputs:
        seen, shown = trace_module(teacher, batch), trace_module(student, batch)
        for measure in measures:
            measure.update(seen, shown)
