"""Which student node is which teacher node: correlations of activations, layer by layer (spec 8).

matching = NodeMatching()
measure_modules([matching], teacher, student, batches)
matching.result().best(0)        # best correlation of each teacher node, `[R, m]`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trine.core.errors import UsageError
from trine.dynamics.measures.base import measure_stacks
from trine.dynamics.stack import Stack, Trace

__all__ = ["LayerSummary", "Matching", "NodeMatching", "Pearson", "match_stacks"]

MOST_TOGETHER = 16
"""Networks whose activations `match_stacks` compares at once: memory, not speed."""


class Pearson:
    """Correlation of every node of one layer with every node of another, from sums alone.

    Sums are in double precision and taken about the mean of the first part, which keeps them
    accurate for activations far from zero.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sums: tuple[Tensor, ...] = ()
        self._shift: tuple[Tensor, Tensor] | None = None

    def update(self, first: Tensor, second: Tensor) -> None:
        """Takes in `[R, B, m]` and `[R, B, n]`."""
        a, b = first.double(), second.double()
        if self._shift is None:
            self._shift = (a.mean(1, keepdim=True), b.mean(1, keepdim=True))
        a, b = a - self._shift[0], b - self._shift[1]
        new = (a.sum(1), b.sum(1), a.square().sum(1), b.square().sum(1), a.transpose(1, 2) @ b)
        held = self._sums or tuple(torch.zeros_like(t) for t in new)
        self._sums = tuple(x + y for x, y in zip(held, new, strict=True))
        self.count += first.shape[1]

    def result(self) -> Tensor:
        """`[R, m, n]`, in [-1, 1]; 0 where a node never changes.

        Raises:
          UsageError: before the second sample.
        """
        if self.count < 2:
            raise UsageError(f"correlation of {self.count} samples", accepted="at least 2")
        a, b, aa, bb, ab = self._sums
        cross = ab - a.unsqueeze(2) * b.unsqueeze(1) / self.count
        first = _spread(aa, a, self.count)
        second = _spread(bb, b, self.count)
        scale = first.unsqueeze(2) * second.unsqueeze(1)
        return torch.where(scale > 0, cross / scale.clamp_min(1e-300), 0.0).clamp(-1, 1)


def _spread(squares: Tensor, sums: Tensor, count: int) -> Tensor:
    """Root of the centred sum of squares; rounding noise about a constant counts as zero."""
    centred = squares - sums.square() / count
    return torch.where(centred > 1e-12 * squares, centred, 0.0).sqrt()


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """One hidden layer of one network in a few numbers; correlations are over teacher nodes.

    Attributes:
      layer: from 0, next to the input.
      mean: of the best correlations, dead nodes counted as 0.
      mean_alive: without dead nodes; NaN if all are dead.
      minimum: over nodes that are alive; NaN if all are dead.
      maximum: likewise.
      dead: number of teacher nodes that are never active.
      nodes: number of teacher nodes.
    """

    layer: int
    mean: float
    mean_alive: float
    minimum: float
    maximum: float
    dead: int
    nodes: int


@dataclass(frozen=True, slots=True)
class Matching:
    """Correlations between all nodes, hidden layer by hidden layer.

    Attributes:
      correlation: per layer `[R, m_l, n_l]`, teacher node by student node, double precision, CPU.
      teacher_active: per layer `[R, m_l]`, share of samples on which the node is active.
      student_active: per layer `[R, n_l]`, likewise.
      samples: per layer, number of samples (positions count in convolutions).
    """

    correlation: list[Tensor]
    teacher_active: list[Tensor]
    student_active: list[Tensor]
    samples: list[int]

    @property
    def depth(self) -> int:
        """Number of hidden layers."""
        return len(self.correlation)

    def best(self, layer: int) -> Tensor:
        """Best correlation of each teacher node, `[R, m]`."""
        return self.correlation[layer].amax(2)

    def winners(self, layer: int) -> Tensor:
        """The student node that correlates most with each teacher node, `[R, m]`."""
        return self.correlation[layer].argmax(2)

    def alive(self, layer: int) -> Tensor:
        """Which teacher nodes are ever active, `[R, m]`."""
        return self.teacher_active[layer] > 0

    def matched(self, layer: int, threshold: float = 0.95) -> Tensor:
        """Which teacher nodes have a student node above a threshold, `[R, m]`."""
        return self.best(layer) > threshold

    def summaries(self, network: int) -> list[LayerSummary]:
        """One network, layer by layer."""
        found: list[LayerSummary] = []
        for layer in range(self.depth):
            best, alive = self.best(layer)[network], self.alive(layer)[network]
            living = best[alive]
            some = len(living) > 0
            found.append(
                LayerSummary(
                    layer=layer,
                    mean=float(torch.where(alive, best, 0.0).mean()),
                    mean_alive=float(living.mean()) if some else float("nan"),
                    minimum=float(living.min()) if some else float("nan"),
                    maximum=float(living.max()) if some else float("nan"),
                    dead=int((~alive).sum()),
                    nodes=len(best),
                )
            )
        return found


class NodeMatching:
    """Accumulates a `Matching`.

    Args:
      layers: which hidden layers; all by default.
    """

    def __init__(self, layers: Sequence[int] | None = None) -> None:
        self._layers = None if layers is None else list(layers)
        self.reset()

    def reset(self) -> None:
        """Forgets all samples."""
        self._pairs: list[Pearson] = []
        self._active: list[tuple[Tensor, Tensor]] = []

    def update(self, teacher: Trace, student: Trace) -> None:
        """Takes in the same samples seen by both.

        Raises:
          UsageError: different numbers of hidden layers or of samples.
        """
        if len(teacher.active) != len(student.active):
            raise UsageError(
                f"{len(teacher.active)} hidden layers in the teacher, {len(student.active)} in the "
                "student",
                accepted="the same depth",
            )
        layers = range(len(teacher.active)) if self._layers is None else self._layers
        fresh = not self._pairs
        for place, layer in enumerate(layers):
            first, second = teacher.active[layer], student.active[layer]
            if first.shape[:2] != second.shape[:2]:
                raise UsageError(
                    f"hidden layer {layer}: teacher [R, B] = {tuple(first.shape[:2])}, student "
                    f"{tuple(second.shape[:2])}",
                    accepted="the same samples",
                )
            counts = ((first > 0).double().sum(1), (second > 0).double().sum(1))
            if fresh:
                self._pairs.append(Pearson())
                self._active.append(counts)
            else:
                held = self._active[place]
                self._active[place] = (held[0] + counts[0], held[1] + counts[1])
            self._pairs[place].update(first, second)

    def result(self) -> Matching:
        """The correlations so far.

        Raises:
          UsageError: before any sample.
        """
        if not self._pairs:
            raise UsageError("matching of no samples", hint="call update first")
        counts = [pair.count for pair in self._pairs]
        return Matching(
            correlation=[pair.result().cpu() for pair in self._pairs],
            teacher_active=[
                active[0].cpu() / n for active, n in zip(self._active, counts, strict=True)
            ],
            student_active=[
                active[1].cpu() / n for active, n in zip(self._active, counts, strict=True)
            ],
            samples=counts,
        )


def match_stacks(
    teachers: Stack,
    students: Stack,
    inputs: Tensor,
    source: Sequence[int] | None = None,
    *,
    layers: Sequence[int] | None = None,
) -> Matching:
    """Correlations of students with their teachers, a few networks at a time.

    Args:
      teachers: S teachers.
      students: R students.
      inputs: `[S, E, d]`.
      source: teacher and inputs of each student; by default r belongs to r.
      layers: which hidden layers; all by default.
    """
    places = list(range(students.count)) if source is None else list(source)
    parts: list[Matching] = []
    for start in range(0, len(places), MOST_TOGETHER):
        chosen = places[start : start + MOST_TOGETHER]
        matching = NodeMatching(layers)
        some = students.select(range(start, start + len(chosen)))
        measure_stacks([matching], teachers.select(chosen), some, inputs, source=chosen)
        parts.append(matching.result())
    return Matching(
        *(
            [torch.cat([getattr(p, name)[k] for p in parts]) for k in range(parts[0].depth)]
            for name in ("correlation", "teacher_active", "student_active")
        ),
        samples=parts[0].samples,
    )
