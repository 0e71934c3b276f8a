"""Configuration of a training run: what `trine dynamics run` can be told.

Three set-ups have defaults of their own, each those of a paper:

    deep        Tian et al. 2019: 10-15-20-25, over 10, Gaussian inputs of std 10
    deep-large  Tian 2020, deep: 50-75-100-125, half-active teacher nodes, student scaled by 0.1
    two-layer   Tian 2020, two layers: 10 nodes on 100 inputs, N(0, 0.005^2) student, float64

This module imports no torch, so that a configuration can be checked before anything heavy is read.
"""

# Set-ups override fields by subclasses of their tables; safe, because configurations are frozen.
# pyright: reportIncompatibleVariableOverride=false

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from trine.core.config import Config, load_config, make_config, to_plain
from trine.core.errors import ConfigError, UsageError
from trine.dynamics.architecture import Architecture, BatchNormPlace, parse_widths

__all__ = [
    "SETUPS",
    "DataConfig",
    "DescentConfig",
    "NetworkConfig",
    "RunConfig",
    "StudentConfig",
    "TeacherConfig",
    "flat_settings",
    "load_run_config",
    "make_run_config",
]


class NetworkConfig(Config):
    """What teacher and student have in common, and BatchNorm.

    Attributes:
      bias: biases in every layer.
      slope: of the ReLU below zero (0: ReLU).
      batch_norm: where the student has BatchNorm.
      affine: whether BatchNorm has a scale and a shift of its own.
      teacher_batch_norm: where the teacher has BatchNorm, with the statistics of its data.
    """

    bias: bool = True
    slope: float = Field(default=0.0, ge=0, le=1)
    batch_norm: BatchNormPlace = "none"
    affine: bool = True
    teacher_batch_norm: BatchNormPlace = "none"


class DataConfig(Config):
    """Inputs.

    Attributes:
      samples: N, of the training set.
      evaluation: number of evaluation samples; correlations of fewer than 10,000 are noisy, and
        their maximum is biased upward.
      std: of every input coordinate.
      distribution: `gaussian` or `uniform` in a cube.
      fresh: new training inputs every epoch.
      order: see `trine.dynamics.batches.Batches`.
      steps_per_epoch: for `replacement` and `full`; else it follows from samples and batch.
    """

    samples: int = Field(default=100_000, ge=1)
    evaluation: int = Field(default=10_000, ge=2)
    std: float = Field(default=10.0, gt=0)
    distribution: Literal["gaussian", "uniform"] = "gaussian"
    fresh: bool = False
    order: Literal["shuffle", "replacement", "given", "full"] = "shuffle"
    steps_per_epoch: int | None = Field(default=None, ge=1)


class DescentConfig(Config):
    """How students are trained.

    Attributes:
      rate: learning rate.
      batch: samples in a step.
      loss: `mean` (over batch and outputs), `half_sum` (half the summed error, mean over the
        batch) or `cross_entropy` against the teacher's largest output.
      schedule: pairs (epoch, multiple of `rate`) from that epoch on.
      unit_rows: divide every hidden row by its norm after each step.
      frozen: layers that are not trained; the output layer counts as number `depth`.
    """

    rate: float = Field(default=0.05, gt=0)
    batch: int = Field(default=64, ge=1)
    loss: Literal["mean", "half_sum", "cross_entropy"] = "mean"
    schedule: tuple[tuple[int, float], ...] = ()
    unit_rows: bool = False
    frozen: tuple[int, ...] = ()


class TeacherConfig(Config):
    """How the teacher is drawn; see `trine.dynamics.initialise.TeacherOptions`."""

    start: Literal["grid", "framework"] = "grid"
    grid_limit: float = Field(default=0.5, gt=0)
    grid_step: float = Field(default=0.25, gt=0)
    bias: Literal["uniform", "constant", "median"] = "uniform"
    bias_value: float = 0.5
    unit_rows: Literal["all", "hidden", "none"] = "all"
    decay: float = Field(default=0.0, ge=0)
    standardise_outputs: bool = False


class StudentConfig(Config):
    """How the student starts; see `trine.dynamics.initialise.StudentOptions`."""

    start: Literal["framework", "gaussian", "perturb", "same_direction", "same_sign"] = "framework"
    noise: float = Field(default=0.1, ge=0)
    scale: float = Field(default=1.0, gt=0)


class RunConfig(Config):
    """A teacher, students of several seeds, and how they are trained.

    Attributes:
      setup: the name of the set-up whose defaults hold; a key of `SETUPS`.
      teacher: hidden widths, bottom first, e.g. `10-15-20-25`.
      over: student width over teacher width, every hidden layer.
      student: hidden widths of the student, instead of `over`.
      inputs: input dimension d.
      outputs: output dimension c.
      seeds: how many, counted from `first_seed`.
      first_seed: the first of them.
      epochs: of training.
      dtype: precision.
      device: `auto` is the GPU if there is one.
      memory_limit_gib: refuse data that need more in one process, GiB.
      network: biases, slope, BatchNorm.
      data: inputs.
      descent: training.
      teacher_start: how the teacher is drawn.
      student_start: how the student starts.
    """

    setup: str
    teacher: str = "10-15-20-25"
    over: float = 10.0
    student: str | None = None
    inputs: int = Field(default=20, ge=1)
    outputs: int = Field(default=100, ge=1)
    seeds: int = Field(default=8, ge=1)
    first_seed: int = Field(default=0, ge=0)
    epochs: int = Field(default=40, ge=1)
    dtype: Literal["float32", "float64"] = "float32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    memory_limit_gib: float = Field(default=8.0, gt=0)
    network: NetworkConfig = NetworkConfig()
    data: DataConfig = DataConfig()
    descent: DescentConfig = DescentConfig()
    teacher_start: TeacherConfig = TeacherConfig()
    student_start: StudentConfig = StudentConfig()

    @field_validator("teacher", "student")
    @classmethod
    def _widths(cls, text: str | None) -> str | None:
        if text is None:
            return None
        try:
            return "-".join(str(width) for width in parse_widths(text))
        except UsageError:
            raise ValueError("hidden widths joined by hyphens, e.g. 10-15-20-25") from None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.student is not None and "over" in self.model_fields_set:
            raise ValueError("both student and over are given; leave one out")
        try:
            self.teacher_architecture.check_student(self.student_architecture)
        except UsageError as error:
            raise ValueError(str(error)) from None
        if self.descent.batch > self.data.samples:
            raise ValueError(
                f"descent.batch {self.descent.batch} of data.samples {self.data.samples}; lower it"
            )
        depth = self.teacher_architecture.depth
        if any(not 0 <= layer <= depth for layer in self.descent.frozen):
            raise ValueError(
                f"descent.frozen {list(self.descent.frozen)}; accepted: numbers from 0 to {depth}"
            )
        return self

    @property
    def teacher_architecture(self) -> Architecture:
        """Of the teacher."""
        return self._architecture(self.teacher, self.network.teacher_batch_norm)

    @property
    def student_architecture(self) -> Architecture:
        """Of the student."""
        if self.student is not None:
            return self._architecture(self.student, self.network.batch_norm)
        return self._architecture(self.teacher, self.network.batch_norm).wider(self.over)

    def _architecture(self, widths: str, place: BatchNormPlace) -> Architecture:
        network = self.network
        return Architecture(
            self.inputs, parse_widths(widths), self.outputs,
            bias=network.bias, slope=network.slope, batch_norm=place, affine=network.affine,
        )  # fmt: skip

    @property
    def all_seeds(self) -> range:
        """The seeds."""
        return range(self.first_seed, self.first_seed + self.seeds)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of training in an epoch."""
        data = self.data
        if data.order in ("replacement", "full") and data.steps_per_epoch is not None:
            return data.steps_per_epoch
        return 1 if data.order == "full" else data.samples // self.descent.batch

    @property
    def label(self) -> str:
        """A few words for a directory name, e.g. `deep-10-15-20-25-over-10`."""
        size = f"over-{self.over:g}" if self.student is None else f"student-{self.student}"
        return f"{self.setup}-{self.teacher}-{size}"

    @property
    def recipe(self) -> Self:
        """The same without seeds: what makes one training, for the name of a cell."""
        return self.model_copy(update={"seeds": 1, "first_seed": 0})


class DeepLargeData(DataConfig):
    """Inputs of `deep-large`."""

    samples: int = Field(default=200_000, ge=1)


class DeepLargeDescent(DescentConfig):
    """Training of `deep-large`: the rate is halved at epoch 20."""

    rate: float = Field(default=0.2, gt=0)
    schedule: tuple[tuple[int, float], ...] = ((20, 0.5),)


class DeepLargeTeacher(TeacherConfig):
    """Teacher of `deep-large`."""

    grid_limit: float = Field(default=1.0, gt=0)
    bias: Literal["uniform", "constant", "median"] = "median"
    standardise_outputs: bool = True


class DeepLargeStudent(StudentConfig):
    """Student of `deep-large`."""

    scale: float = Field(default=0.1, gt=0)


class DeepLargeConfig(RunConfig):
    """Tian 2020, deep (its supplementary programs' setting)."""

    teacher: str = "50-75-100-125"
    epochs: int = Field(default=100, ge=1)
    data: DeepLargeData = DeepLargeData()
    descent: DeepLargeDescent = DeepLargeDescent()
    teacher_start: DeepLargeTeacher = DeepLargeTeacher()
    student_start: DeepLargeStudent = DeepLargeStudent()


class TwoLayerData(DataConfig):
    """Inputs of `two-layer`: 1000 steps an epoch, samples drawn with replacement."""

    samples: int = Field(default=10_000, ge=1)
    std: float = Field(default=1.5, gt=0)
    order: Literal["shuffle", "replacement", "given", "full"] = "replacement"
    steps_per_epoch: int | None = Field(default=1000, ge=1)


class TwoLayerDescent(DescentConfig):
    """Training of `two-layer`."""

    rate: float = Field(default=0.01, gt=0)
    batch: int = Field(default=16, ge=1)
    loss: Literal["mean", "half_sum", "cross_entropy"] = "half_sum"


class TwoLayerTeacher(TeacherConfig):
    """Teacher of `two-layer`: unit rows in layer 1, every bias -0.1."""

    bias: Literal["uniform", "constant", "median"] = "constant"
    bias_value: float = -0.1
    unit_rows: Literal["all", "hidden", "none"] = "hidden"


class TwoLayerStudent(StudentConfig):
    """Student of `two-layer`: N(0, 0.005^2), no biases."""

    start: Literal["framework", "gaussian", "perturb", "same_direction", "same_sign"] = "gaussian"
    noise: float = Field(default=0.005, ge=0)


class TwoLayerConfig(RunConfig):
    """Tian 2020, two layers."""

    teacher: str = "10"
    inputs: int = Field(default=100, ge=1)
    outputs: int = Field(default=50, ge=1)
    seeds: int = Field(default=32, ge=1)
    first_seed: int = Field(default=1, ge=0)
    epochs: int = Field(default=100, ge=1)
    dtype: Literal["float32", "float64"] = "float64"
    data: TwoLayerData = TwoLayerData()
    descent: TwoLayerDescent = TwoLayerDescent()
    teacher_start: TwoLayerTeacher = TwoLayerTeacher()
    student_start: TwoLayerStudent = TwoLayerStudent()


SETUPS: Mapping[str, type[RunConfig]] = {
    "deep": RunConfig,
    "deep-large": DeepLargeConfig,
    "two-layer": TwoLayerConfig,
}


def _kind(setup: str) -> type[RunConfig]:
    if setup not in SETUPS:
        raise UsageError.unknown("set-up", setup, list(SETUPS))
    return SETUPS[setup]


def load_run_config(
    setup: str,
    file: Path | None = None,
    settings: Sequence[str] = (),
    given: Mapping[str, Any] | None = None,
) -> RunConfig:
    """The resolved configuration: defaults of the set-up < TOML file < `--set` < options.

    Raises:
      UsageError: unknown set-up.
      ConfigError: the first wrong key or value.
    """
    return load_config(_kind(setup), file, settings, {**(given or {}), "setup": setup})


def make_run_config(setup: str, **values: Any) -> RunConfig:
    """The same from Python; a nested table is a dict of the values that differ from the set-up's.

    make_run_config("deep", over=5, descent={"rate": 0.1})

    Raises:
      UsageError: unknown set-up.
      ConfigError: the first wrong key or value.
    """
    return make_config(_kind(setup), {**values, "setup": setup})


def from_json(text: str) -> RunConfig:
    """The configuration that `to_json` wrote.

    Raises:
      ConfigError: if it has no set-up.
    """
    values = json.loads(text)
    if not isinstance(values, dict) or "setup" not in values:
        raise ConfigError("a configuration without set-up")
    return make_config(_kind(str(values["setup"])), values)


def to_json(config: RunConfig) -> str:
    """All values that make one training, seeds left out, for the name of a cell."""
    return config.recipe.model_dump_json(exclude_defaults=True)


def flat_settings(config: RunConfig) -> dict[str, object]:
    """Every setting by its dotted name, those that are not set left out."""
    flat: dict[str, object] = {}
    for name, value in to_plain(config).items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": more for inner, more in value.items()}
        else:
            flat[name] = value
    return flat
