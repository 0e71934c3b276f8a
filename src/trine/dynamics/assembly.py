"""From a configuration and a seed to teacher, student and inputs: one way for every experiment.

A teacher depends on its seed and on how it is drawn, never on the size of the training set: what
has to look at data first (median biases, standardised outputs, BatchNorm's statistics) looks at
`CALIBRATION` inputs of a stream of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.dynamics.batches import Batches, Draw, gaussian_inputs, uniform_inputs
from trine.dynamics.config import RunConfig
from trine.dynamics.initialise import (
    StudentOptions,
    TeacherOptions,
    calibrate_batch_norm,
    make_student,
    make_teacher,
)
from trine.dynamics.stack import Stack
from trine.dynamics.training import Descent

__all__ = [
    "batches_of",
    "descent_of",
    "evaluation_inputs",
    "input_draw",
    "pick_device",
    "student_of",
    "students_of",
    "teacher_of",
    "teachers_of",
    "torch_dtype",
]

CALIBRATION = 10_000
"""Inputs that a teacher or BatchNorm may look at before training."""


def torch_dtype(config: RunConfig) -> torch.dtype:
    """The precision of a configuration."""
    return torch.float64 if config.dtype == "float64" else torch.float32


def pick_device(name: str) -> str:
    """`cpu` or `cuda`; `auto` is the GPU if there is one.

    Raises:
      UsageError: `cuda` without a GPU.
    """
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise UsageError("device cuda: no GPU is to be seen", accepted="cpu, auto")
    return "cuda" if there and name != "cpu" else "cpu"


def input_draw(config: RunConfig) -> Draw:
    """How a configuration draws its inputs, in its own precision."""
    data = config.data
    if data.distribution == "uniform":
        return uniform_inputs(config.inputs, data.std)
    kind = np.float32 if config.dtype == "float32" else np.float64
    return gaussian_inputs(config.inputs, data.std, dtype=kind)


def evaluation_inputs(config: RunConfig, seeds: Sequence[Seeds]) -> Tensor:
    """Inputs apart from the training inputs, from the stream `evaluation`, `[S, E, d]`."""
    draw, count = input_draw(config), config.data.evaluation
    drawn = [torch.as_tensor(draw(s.generator("evaluation"), count)) for s in seeds]
    return torch.stack(drawn).to(torch_dtype(config))


def _calibration(config: RunConfig, seeds: Seeds) -> np.ndarray:
    return np.asarray(input_draw(config)(seeds.generator("calibration"), CALIBRATION), np.float64)


def teacher_of(config: RunConfig, seeds: Seeds) -> Stack:
    """The teacher of a seed, as a stack of one network on the CPU.

    Raises:
      UsageError: a teacher that the grid cannot make.
    """
    options = TeacherOptions(**config.teacher_start.model_dump())
    normed = config.network.teacher_batch_norm != "none"
    sample = None
    if options.bias == "median" or options.standardise_outputs or normed:
        sample = _calibration(config, seeds)
    # Drawn in double precision whatever the students': the same teacher for both.
    teacher = make_teacher(config.teacher_architecture, seeds, options, inputs=sample)
    if sample is not None and normed:
        teacher = calibrate_batch_norm(teacher, torch.as_tensor(sample[None]))
    return teacher.to("cpu", torch_dtype(config))


def student_of(config: RunConfig, seeds: Seeds, teacher: Stack | None = None) -> Stack:
    """The student of a seed, as a stack of one network on the CPU.

    Args:
      config: the configuration.
      seeds: of the student.
      teacher: of the same seed, for the starts that look at it.

    Raises:
      UsageError: a start near a teacher without one, or narrower than it.
    """
    options = StudentOptions(**config.student_start.model_dump())
    student = make_student(
        config.student_architecture, seeds, options, teacher=teacher, dtype=torch_dtype(config)
    )
    if config.network.batch_norm == "none":
        return student
    sample = torch.as_tensor(_calibration(config, seeds)[None], dtype=student.dtype)
    return calibrate_batch_norm(student, sample)


def teachers_of(config: RunConfig, seeds: Sequence[Seeds]) -> Stack:
    """One teacher a seed, on the CPU."""
    return Stack.concatenate([teacher_of(config, s) for s in seeds])


def students_of(config: RunConfig, seeds: Sequence[Seeds], teachers: Stack | None = None) -> Stack:
    """One student a seed, on the CPU; see `student_of`."""
    near = [None if teachers is None else teachers.select([k]) for k in range(len(seeds))]
    return Stack.concatenate(
        [student_of(config, s, teacher) for s, teacher in zip(seeds, near, strict=True)]
    )


def batches_of(
    config: RunConfig,
    teachers: Stack,
    seeds: Sequence[Seeds],
    source: Sequence[int] | None = None,
) -> Batches:
    """What students learn from, on the device of the teachers.

    Args:
      config: the configuration.
      teachers: one a data set.
      seeds: one a data set.
      source: data set of every student; by default student r has data set r.
    """
    data = config.data
    return Batches(
        input_draw(config), teachers, seeds, samples=data.samples,
        batch_size=config.descent.batch, order=data.order,
        steps_per_epoch=data.steps_per_epoch, fresh=data.fresh, source=source,
    )  # fmt: skip


def descent_of(configs: Sequence[RunConfig]) -> Descent:
    """How the networks of a stack are trained; configurations may differ in their rates only."""
    shared = configs[0].descent
    return Descent(
        [config.descent.rate for config in configs],
        shared.loss,
        shared.schedule,
        shared.unit_rows,
        shared.frozen,
    )
