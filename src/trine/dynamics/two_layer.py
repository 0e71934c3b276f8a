"""The settings of Tian 2020 (arXiv 1909.13458): student specialisation, two layers and deep.

A setting is a `RunConfig` (see `config`) with what only this paper needs. The two-layer sweep:

    d = 100 inputs, m in {5, 10, 20} teacher nodes, c = 50 outputs, over 1, 2, 5, 10,
    strength decay p in {0, .5, 1, 1.5, 2, 2.5}: fan-out row i (from 0) divided by (i + 1)^p,
    teacher rows from the grid, unit rows in layer 1, every bias -0.1,
    student N(0, 0.005^2) without biases, inputs N(0, 1.5^2), 10,000 to train and 10,000 to
    evaluate, batches of 16 with replacement, rate 0.01, 1000 steps an epoch, 100 epochs,
    half the summed squared error, double precision, seeds 1 to 32

Its options are fields of the setting:

    full gradient descent     data.order = "full"
    fresh data each epoch     data.fresh = true
    rate halved every k       descent.schedule, see `halving`
    row-normalised student    descent.unit_rows = true
    fixed features / top      descent.frozen = [0] / [1]
    no bias                   network.bias = false
    linear                    network.slope = 1
    initial signs             signs = "helpful" or "adversarial"
    theory augmentation       augmentation = "teacher" or "agnostic"
    noisy labels              label_noise = 0.1

`joint_training` trains any of them; `deep_specialisation` has the deep one.
"""

# Set-ups override fields by subclasses; safe, because configurations are frozen.
# pyright: reportIncompatibleVariableOverride=false

from __future__ import annotations

import json
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator

from trine.core.config import Config, make_config
from trine.core.errors import UsageError
from trine.dynamics.config import RunConfig, TwoLayerConfig
from trine.dynamics.stack import Stack

__all__ = [
    "DECAYS",
    "NODES",
    "OVERS",
    "Setting",
    "TwoLayerSetting",
    "halving",
    "turn_signs_",
    "two_layer",
]

NODES = (5, 10, 20)
OVERS = (1, 2, 5, 10)
DECAYS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5)
"""The axes of the paper's sweep: 72 configurations."""


class SpecialisationOptions(Config):
    """What only Tian 2020 needs.

    Attributes:
      signs: initial first-layer weights are turned such that every student node leans towards the
        last (weakest) teacher node, or away from it; our reading of the authors' options.
      augmentation: training inputs of `trine.dynamics.augmentation` instead of plain ones.
      label_noise: standard deviation of noise on the training targets, relative to theirs.
      snapshots: epochs at which nodes are compared, besides the start and the end.
    """

    signs: Literal["none", "helpful", "adversarial"] = "none"
    augmentation: Literal["none", "teacher", "agnostic"] = "none"
    label_noise: float = Field(default=0.0, ge=0)
    snapshots: tuple[int, ...] = (5,)


class Setting(SpecialisationOptions, RunConfig):
    """Any training of `RunConfig`, with the options of Tian 2020."""

    @model_validator(mode="after")
    def _labels(self) -> Self:
        if self.label_noise and self.descent.loss == "cross_entropy":
            raise ValueError("label_noise with descent.loss = 'cross_entropy'; use another loss")
        return self

    @property
    def snapshot_epochs(self) -> list[int]:
        """Start, `snapshots` that come before the end, end."""
        inner = {epoch for epoch in self.snapshots if 0 < epoch < self.epochs}
        return [0, *sorted(inner), self.epochs]

    @property
    def curve_epochs(self) -> list[int]:
        """Where losses on evaluation data are taken: densely first, about 20 in all."""
        early = [epoch for epoch in (0, 1, 2, 3, 4, 5, 7) if epoch <= self.epochs]
        later = [round(self.epochs * share / 10) for share in range(1, 11)]
        return sorted({*early, *later, *self.snapshot_epochs})

    @property
    def text(self) -> str:
        """What differs from the defaults of the set-up, seeds left out, as JSON."""
        plain = self.recipe.model_dump(mode="json", exclude_defaults=True)
        plain.pop("seeds", None)
        plain.pop("first_seed", None)
        return json.dumps({**plain, "setup": self.setup}, sort_keys=True)

    @property
    def teacher_text(self) -> str:
        """What the teacher depends on, its seed left out; settings with one text share teachers."""
        parts = self.model_dump(mode="json", include={"teacher_start", "network", "data"})
        return json.dumps([self.teacher_architecture.widths, parts], sort_keys=True)


class TwoLayerSetting(TwoLayerConfig, Setting):
    """One configuration of the two-layer sweep (spec 7.5)."""

    setup: str = "two-layer"


def two_layer(**values: Any) -> TwoLayerSetting:
    """A configuration of the two-layer sweep; nested tables are dicts.

    two_layer(teacher="20", over=10, teacher_start={"decay": 1.0})

    Raises:
      ConfigError: a key or value that cannot be used.
    """
    return make_config(TwoLayerSetting, values)


def halving(every: int, epochs: int) -> tuple[tuple[int, float], ...]:
    """A schedule for `descent.schedule`: the rate is halved every `every` epochs.

    Raises:
      UsageError: less than one epoch.
    """
    if every < 1:
        raise UsageError(f"rate halved every {every} epochs", accepted="an integer from 1 upward")
    return tuple((every * k, 0.5**k) for k in range(1, -(-epochs // every)))


def turn_signs_(student: Stack, teacher: Stack, signs: str) -> None:
    """Turns first-layer rows towards the last teacher node (`helpful`) or away (`adversarial`).

    A row w_j whose product with the weights of the teacher's last node has the wrong sign is
    multiplied by -1, which leaves its distribution and length as they are.

    Args:
      student: changed in place.
      teacher: of every network, as many networks.
      signs: `none`, `helpful` or `adversarial`.
    """
    if signs == "none":
        return
    product = torch.bmm(student.weights[0], teacher.weights[0][:, -1, :, None])  # [R, n, 1]
    wrong = product < 0 if signs == "helpful" else product > 0
    student.weights[0].mul_(1 - 2 * wrong.to(student.dtype))
