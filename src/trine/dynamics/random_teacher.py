"""The papers' deep run in one place: random teachers, their students, data and evaluation (7.1).

Everything that asks "what if the start had been another" begins from the same pieces: teachers and
students drawn by seed, batches in an order that belongs to the seed, and evaluation inputs that are
drawn apart from the training inputs.

Letters: `S` seeds, `R` networks, `E` evaluation samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from trine.core.seeding import Seeds
from trine.dynamics.architecture import Architecture
from trine.dynamics.batches import Batches, gaussian_inputs
from trine.dynamics.initialise import (
    PAPER_TEACHER,
    StudentOptions,
    TeacherOptions,
    make_student,
    make_teacher,
)
from trine.dynamics.measures.base import measure_stacks
from trine.dynamics.measures.matching import Matching, NodeMatching
from trine.dynamics.stack import Stack
from trine.dynamics.training import Descent, Point, train

__all__ = ["RandomTeacher", "evaluation_loss", "match_stacks"]

REFERENCE = Architecture(20, (10, 15, 20, 25), 100)
"""Input 20, widths 10-15-20-25, output 100."""

FRAMEWORK = StudentOptions()
"""PyTorch's start."""

MOST_TOGETHER = 16
"""Networks whose activations are compared at once: memory, not speed."""


@dataclass(frozen=True, slots=True)
class RandomTeacher:
    """Teacher, student and training; defaults are those of the reference run (spec 7.1).

    Attributes:
      teacher: widths of the teacher, input and output.
      over: over-parameterisation factor.
      std: of the Gaussian inputs.
      samples: training inputs of a seed.
      epochs: passes through them.
      batch: inputs of a step.
      rate: learning rate of the loss `mean`.
      evaluation: evaluation inputs of a seed.
      teacher_options: how teachers are drawn.
      student_options: how students start.
    """

    teacher: Architecture = REFERENCE
    over: int = 10
    std: float = 10.0
    samples: int = 100_000
    epochs: int = 40
    batch: int = 64
    rate: float = 0.05
    evaluation: int = 10_000
    teacher_options: TeacherOptions = PAPER_TEACHER
    student_options: StudentOptions = FRAMEWORK

    @property
    def student(self) -> Architecture:
        """The student's shape."""
        return self.teacher.wider(self.over)

    def teachers(self, seeds: Sequence[Seeds]) -> Stack:
        """One teacher a seed, single precision."""
        drawn = [
            make_teacher(self.teacher, s, self.teacher_options, dtype=torch.float32) for s in seeds
        ]
        return Stack.concatenate(drawn)

    def students(self, seeds: Sequence[Seeds], architecture: Architecture | None = None) -> Stack:
        """One student a seed, of another shape if wanted."""
        shape = architecture or self.student
        drawn = [make_student(shape, s, self.student_options, dtype=torch.float32) for s in seeds]
        return Stack.concatenate(drawn)

    def batches(
        self, teachers: Stack, seeds: Sequence[Seeds], source: Sequence[int] | None = None
    ) -> Batches:
        """What students learn from; `source` gives each network its data set."""
        return Batches(
            gaussian_inputs(self.teacher.inputs, self.std, np.float32), teachers, seeds,
            samples=self.samples, batch_size=self.batch, source=source,
        )  # fmt: skip

    def evaluation_inputs(self, seeds: Sequence[Seeds]) -> Tensor:
        """`[S, E, d]`, from the stream `evaluation`."""
        draw = gaussian_inputs(self.teacher.inputs, self.std, np.float32)
        drawn = [draw(s.generator("evaluation"), self.evaluation) for s in seeds]
        return torch.as_tensor(np.stack(drawn))

    def train(self, student: Stack, batches: Batches) -> list[Point]:
        """Trains a stack in place and returns the points at the ends of epochs."""
        return list(train(student, batches, Descent(self.rate), epochs=self.epochs))

    def facts(self) -> dict[str, object]:
        """The setting by names, for a report."""
        return {
            "teacher": self.teacher.label, "input": self.teacher.inputs,
            "output": self.teacher.outputs, "over": self.over, "std": self.std,
            "samples": self.samples, "epochs": self.epochs, "batch": self.batch,
            "rate": self.rate, "loss": "mean", "evaluation samples": self.evaluation,
        }  # fmt: skip

    def shorter(self, samples: int, epochs: int, over: int | None = None) -> RandomTeacher:
        """The same with other amounts of training, perhaps another width."""
        return replace(self, samples=samples, epochs=epochs, over=over or self.over)


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


def evaluation_loss(
    teachers: Stack, students: Stack, inputs: Tensor, source: Sequence[int] | None = None
) -> Tensor:
    """Mean squared error over samples and outputs, `[R]`, double precision; arguments as above."""
    places = list(range(students.count)) if source is None else list(source)
    index = torch.as_tensor(places, device=inputs.device)
    chosen = teachers.select(places)
    total = torch.zeros(students.count, dtype=torch.float64, device=inputs.device)
    for start in range(0, inputs.shape[1], 1024):
        part = inputs[:, start : start + 1024][index]
        error = students.forward(part).output - chosen.forward(part).output
        total += error.double().square().sum((1, 2))
    return total.cpu() / (inputs.shape[1] * students.architecture.outputs)
