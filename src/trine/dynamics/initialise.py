"""Teachers and students of the papers' experiments, drawn from named random streams.

A teacher is drawn from the stream `teacher` alone and a student from `student` alone, so that the
same seed has the same teacher whatever the size of the data, the student or the schedule.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.dynamics.architecture import Architecture
from trine.dynamics.stack import BATCH_NORM_EPSILON, Stack

__all__ = [
    "DEEP_TEACHER",
    "PAPER_TEACHER",
    "TWO_LAYER_TEACHER",
    "StudentOptions",
    "TeacherOptions",
    "calibrate_batch_norm",
    "make_student",
    "make_teacher",
]

Array = NDArray[np.float64]

PARALLEL = 1 - 1e-9
"""Absolute cosine from which two rows count as parallel."""


@dataclass(frozen=True, slots=True)
class TeacherOptions:
    """How a random teacher is made; the defaults are those of Tian et al. 2019 (spec 7.1).

    Attributes:
      start: `grid`, weights from a grid, no two rows of a layer parallel; or `framework`, uniform
        in +-1/sqrt(fan-in) like PyTorch.
      grid_limit: largest weight of the grid.
      grid_step: its step.
      bias: `uniform` in +-`bias_value`, `constant` at `bias_value`, or `median`: shifted so that
        every hidden node is active on half of the data (Tian 2020, deep).
      bias_value: see `bias`.
      unit_rows: `all` layers, the `hidden` ones or `none` have rows divided by their weight norm
        (a uniform bias too).
      decay: p; what node i of a hidden layer (from 0) hands on is divided by (i + 1)^p.
      standardise_outputs: shift and scale of the outputs such that they have mean 0, variance 1 on
        the data (Tian 2020, deep).
    """

    start: Literal["grid", "framework"] = "grid"
    grid_limit: float = 0.5
    grid_step: float = 0.25
    bias: Literal["uniform", "constant", "median"] = "uniform"
    bias_value: float = 0.5
    unit_rows: Literal["all", "hidden", "none"] = "all"
    decay: float = 0.0
    standardise_outputs: bool = False


PAPER_TEACHER = TeacherOptions()
"""Tian et al. 2019: grid of step 0.25 up to 0.5, uniform biases, unit rows."""

TWO_LAYER_TEACHER = TeacherOptions(bias="constant", bias_value=-0.1, unit_rows="hidden")
"""Tian 2020, two layers (spec 7.5): unit rows in layer 1, every bias -0.1."""

DEEP_TEACHER = TeacherOptions(grid_limit=1.0, bias="median", standardise_outputs=True)
"""Tian 2020, deep (spec 7.6): grid up to 1, half-active nodes, standardised outputs."""


@dataclass(frozen=True, slots=True)
class StudentOptions:
    """How a student starts (spec 7.1, 7.2, 7.5, 7.6).

    Attributes:
      start: `framework`: weights and biases uniform in +-1/sqrt(fan-in) like PyTorch;
        `gaussian`: weights N(0, `noise`^2), no biases (Tian 2020);
        `perturb`: the teacher's numbers plus N(0, `noise`^2) for the first nodes of each layer,
        the others as in `framework`;
        `same_direction`: the first nodes have the teacher's directions at the length they would
        have had; `same_sign`: they have the teacher's signs.
      noise: standard deviation, see `start`.
      scale: factor on everything at the end (0.1 in Tian 2020, deep).
    """

    start: Literal["framework", "gaussian", "perturb", "same_direction", "same_sign"] = "framework"
    noise: float = 0.1
    scale: float = 1.0


def make_teacher(
    architecture: Architecture,
    seeds: Seeds,
    options: TeacherOptions = PAPER_TEACHER,
    *,
    inputs: NDArray[np.floating[Any]] | None = None,
    dtype: torch.dtype = torch.float64,
) -> Stack:
    """One teacher, as a stack of one network.

    Args:
      architecture: of the teacher.
      seeds: the stream `teacher` of these is used.
      options: how it is made.
      inputs: `[N, d]`, needed for median biases and standardised outputs.
      dtype: of the result.

    Raises:
      UsageError: a grid with too few directions for the width, or data that are needed and missing.
    """
    if inputs is None and (options.bias == "median" or options.standardise_outputs):
        raise UsageError("median biases or standardised outputs without data", hint="give inputs")
    generator = seeds.generator("teacher")
    weights: list[Array] = []
    biases: list[Array] = []
    widths = architecture.widths
    for layer, (fan_in, width) in enumerate(pairwise(widths)):
        if options.start == "grid":
            weight = _grid_rows(width, fan_in, options, generator)
        else:
            weight = generator.uniform(-1, 1, (width, fan_in)) / np.sqrt(fan_in)
        if layer and options.decay:
            weight = weight / np.arange(1, fan_in + 1) ** options.decay
        bias = np.full(width, options.bias_value)
        if options.bias == "uniform":
            bias = generator.uniform(-options.bias_value, options.bias_value, width)
        hidden = layer < architecture.depth
        if options.unit_rows == "all" or (options.unit_rows == "hidden" and hidden):
            norm = np.linalg.norm(weight, axis=1)
            weight = weight / norm[:, None]
            bias = bias if options.bias == "constant" else bias / norm
        weights.append(weight)
        biases.append(bias)
    if inputs is not None and architecture.bias:
        _fit_to_data(
            weights, biases, np.asarray(inputs, dtype=np.float64), architecture.slope, options
        )
    return _stack(architecture, weights, biases, dtype)


def make_student(
    architecture: Architecture,
    seeds: Seeds,
    options: StudentOptions | None = None,
    *,
    teacher: Stack | None = None,
    dtype: torch.dtype = torch.float64,
) -> Stack:
    """One student, as a stack of one network.

    Args:
      architecture: of the student.
      seeds: the stream `student` of these is used.
      options: how it starts.
      teacher: a stack of one network, for the starts that look at it.
      dtype: of the result.

    Raises:
      UsageError: a start that needs the teacher without one, or a student narrower than it.
    """
    options = options or StudentOptions()
    near = options.start in ("perturb", "same_direction", "same_sign")
    if near:
        if teacher is None:
            raise UsageError(f"student start {options.start!r} without a teacher")
        teacher.architecture.check_student(architecture)
    generator = seeds.generator("student")
    weights: list[Array] = []
    biases: list[Array] = []
    widths = architecture.widths
    for layer, (fan_in, width) in enumerate(pairwise(widths)):
        if options.start == "gaussian":
            weight = options.noise * generator.standard_normal((width, fan_in))
            bias = np.zeros(width)
        else:
            bound = 1 / np.sqrt(fan_in)
            weight = generator.uniform(-bound, bound, (width, fan_in))
            bias = generator.uniform(-bound, bound, width)
        if near and teacher is not None:
            _move_near(weight, bias, teacher, layer, options, generator)
        weights.append(options.scale * weight)
        biases.append(options.scale * bias)
    return _stack(architecture, weights, biases, dtype)


def calibrate_batch_norm(stack: Stack, inputs: torch.Tensor) -> Stack:
    """A copy whose running statistics are those of the data, so that BatchNorm does something.

    Args:
      stack: networks with BatchNorm, e.g. freshly drawn teachers.
      inputs: `[R, N, d]` or `[1, N, d]`.
    """
    copy = stack.clone()
    place = stack.architecture.batch_norm
    handed = inputs.expand(stack.count, -1, -1)
    for layer in range(stack.architecture.depth if place != "none" else 0):
        values = copy.affine(layer, handed)
        if place == "after_relu":
            values = _relu(values, stack.architecture.slope)
        copy.running_mean[layer] = values.mean(1)
        copy.running_var[layer] = values.var(1, correction=0)
        scale = (copy.running_var[layer] + BATCH_NORM_EPSILON).rsqrt().unsqueeze(1)
        values = (values - copy.running_mean[layer].unsqueeze(1)) * scale
        if stack.architecture.affine:
            gamma, shift = copy.norm_scale[layer], copy.norm_shift[layer]
            values = values * gamma.unsqueeze(1) + shift.unsqueeze(1)
        handed = _relu(values, stack.architecture.slope) if place == "before_relu" else values
    return copy


def _relu(values: torch.Tensor, slope: float) -> torch.Tensor:
    return torch.where(values > 0, values, slope * values)


def _stack(
    architecture: Architecture, weights: list[Array], biases: list[Array], dtype: torch.dtype
) -> Stack:
    def stacked(arrays: list[Array]) -> list[torch.Tensor]:
        return [torch.as_tensor(array[None], dtype=dtype).clone() for array in arrays]

    return Stack(architecture, stacked(weights), stacked(biases) if architecture.bias else ())


def _grid_rows(
    width: int, fan_in: int, options: TeacherOptions, generator: np.random.Generator
) -> Array:
    """Rows from the grid, none zero, no two parallel or opposite (spec 10, trap 5)."""
    steps = round(options.grid_limit / options.grid_step)
    rows = np.zeros((width, fan_in))
    units = np.zeros((width, fan_in))
    tries = 0
    for index in range(width):
        while True:
            tries += 1
            if tries > 100 * width + 1000:
                raise UsageError(
                    f"{width} nodes on {fan_in} inputs: the teacher's grid has too few directions",
                    hint="fewer nodes, more inputs, or a finer grid_step",
                )
            row = options.grid_step * generator.integers(-steps, steps + 1, fan_in)
            norm = np.linalg.norm(row)
            if norm == 0:
                continue
            unit = row / norm
            # One input has only two directions, which every row must share.
            if fan_in == 1 or bool((np.abs(units[:index] @ unit) < PARALLEL).all()):
                break
        rows[index], units[index] = row, unit
    return rows


def _fit_to_data(
    weights: list[Array], biases: list[Array], inputs: Array, slope: float, options: TeacherOptions
) -> None:
    handed = inputs
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        if options.bias == "median":
            bias[:] = -np.median(handed @ weight.T, axis=0)
        pre = handed @ weight.T + bias
        handed = np.where(pre > 0, pre, slope * pre)
    if options.bias == "median":
        biases[-1][:] = 0.0
    if options.standardise_outputs:
        outputs = handed @ weights[-1].T + biases[-1]
        spread = outputs.std(axis=0)
        spread[spread == 0] = 1.0  # an output that never changes stays where it is
        weights[-1] /= spread[:, None]
        biases[-1][:] = (biases[-1] - outputs.mean(axis=0)) / spread


def _move_near(
    weight: Array,
    bias: Array,
    teacher: Stack,
    layer: int,
    options: StudentOptions,
    generator: np.random.Generator,
) -> None:
    target: Any = teacher.weights[layer][0].detach().cpu().double().numpy()
    rows, columns = target.shape
    block = weight[:rows, :columns]
    if options.start == "perturb":
        block[:] = target + options.noise * generator.standard_normal(target.shape)
        if teacher.architecture.bias:
            known: Any = teacher.biases[layer][0].detach().cpu().double().numpy()
            bias[:rows] = known + options.noise * generator.standard_normal(rows)
    elif options.start == "same_direction":
        length = np.linalg.norm(block, axis=1, keepdims=True)
        block[:] = target / np.linalg.norm(target, axis=1, keepdims=True) * length
    else:
        block[:] = np.abs(block) * np.sign(target)
