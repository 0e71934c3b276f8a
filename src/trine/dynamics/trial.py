"""Training as a film: teacher, students and data of some seeds, looked at again and again.

    trial = Trial(make_run_config("deep"), seeds=[0, 1])
    for snapshot in trial.film():
        snapshot.matching.best(0)     # [R, m], R = 2

A `Trial` is made of a configuration and seeds alone: the same numbers come out wherever and however
often it is made. A `Snapshot` holds what later pages need, in single precision, and can be stored.
Evaluation samples are a set of their own, from the stream `evaluation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trine.core.seeding import Seeds
from trine.dynamics.assembly import (
    batches_of,
    descent_of,
    evaluation_inputs,
    pick_device,
    students_of,
    teachers_of,
)
from trine.dynamics.config import RunConfig
from trine.dynamics.measures.base import measure_stacks
from trine.dynamics.measures.loss import EvaluationLoss
from trine.dynamics.measures.matching import Matching, NodeMatching
from trine.dynamics.pull import pull_of
from trine.dynamics.training import Diverged, Point, train

__all__ = ["Moments", "Snapshot", "Trial", "moments"]

Floats = NDArray[np.float32]

PULL_EPOCHS = frozenset(m * 10**k for k in range(6) for m in (1, 2, 3, 5))
"""Pulls cost much more than correlations, so that they are taken at fewer moments."""

PULL_NAMES = ("teacher_pull", "attraction", "drift", "total")


@dataclass(frozen=True, slots=True)
class Moments:
    """When to look.

    Attributes:
      steps: global steps inside the first epoch, 0 the start.
      epochs: numbers of completed epochs.
    """

    steps: tuple[int, ...]
    epochs: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many snapshots."""
        return len(self.steps) + len(self.epochs)


def moments(config: RunConfig, most: int = 60) -> Moments:
    """The start, steps 10, 30, 100 ... of the first epoch, and at most `most` epochs, the last too.

    The first ten epochs are all there; later ones are spread evenly.
    """
    per_epoch = config.steps_per_epoch
    early = [s for k in range(1, 7) for s in (10**k, 3 * 10**k) if s < per_epoch]
    every = range(1, config.epochs + 1)
    if config.epochs > most:
        later = np.linspace(10, config.epochs, max(most - 10, 1)).round().astype(int)
        chosen = sorted({*every[:10], *(int(n) for n in later)})
    else:
        chosen = list(every)
    return Moments((0, *early), tuple(chosen))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """R networks at one moment.

    Attributes:
      epoch: completed, with a fraction inside an epoch.
      step: completed.
      train_loss: `[R]`, mean over the epoch, or since the last mark in it; NaN at the start.
      evaluation_loss: `[R]`, in the convention of the training loss.
      matching: correlations of teacher and student nodes on the evaluation samples.
      fan_in: per hidden layer `[R, n_l]`, norms of incoming weights, biases left out.
      fan_out: per hidden layer `[R, n_l]`, norms of outgoing weights.
      pull: `attraction.l`, `drift.l`, `teacher_pull.l` `[R, n_l, m_l]` and `total.l` `[R, n_l]`,
        see `trine.dynamics.pull`; empty if it was not asked for.
    """

    epoch: float
    step: int
    train_loss: Floats
    evaluation_loss: Floats
    matching: Matching
    fan_in: list[Floats]
    fan_out: list[Floats]
    pull: Mapping[str, Floats] = field(default_factory=lambda: {})

    def arrays(self) -> dict[str, Floats]:
        """All of it as named arrays."""
        found: dict[str, Any] = {
            "epoch": np.float64(self.epoch),
            "step": np.int64(self.step),
            "train_loss": self.train_loss,
            "evaluation_loss": self.evaluation_loss,
            "samples": np.asarray(self.matching.samples),
        }
        for layer in range(self.matching.depth):
            found[f"correlation.{layer}"] = _single(self.matching.correlation[layer])
            found[f"teacher_active.{layer}"] = _single(self.matching.teacher_active[layer])
            found[f"student_active.{layer}"] = _single(self.matching.student_active[layer])
            found[f"fan_in.{layer}"] = self.fan_in[layer]
            found[f"fan_out.{layer}"] = self.fan_out[layer]
        found |= {f"pull.{name}": values for name, values in self.pull.items()}
        return {name: np.asarray(values) for name, values in found.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Snapshot:
        """The snapshot that `arrays` was taken from, correlations in single precision."""
        layers = range(len(arrays["samples"]))

        def tensors(name: str) -> list[Tensor]:
            return [torch.as_tensor(arrays[f"{name}.{layer}"]) for layer in layers]

        return cls(
            epoch=float(arrays["epoch"]),
            step=int(arrays["step"]),
            train_loss=arrays["train_loss"],
            evaluation_loss=arrays["evaluation_loss"],
            matching=Matching(
                tensors("correlation"), tensors("teacher_active"), tensors("student_active"),
                [int(n) for n in arrays["samples"]],
            ),
            fan_in=[arrays[f"fan_in.{layer}"] for layer in layers],
            fan_out=[arrays[f"fan_out.{layer}"] for layer in layers],
            pull={n.removeprefix("pull."): v for n, v in arrays.items() if n.startswith("pull.")},
        )  # fmt: skip

    @classmethod
    def concatenate(cls, parts: Sequence[Snapshot]) -> Snapshot:
        """One snapshot of the networks of several, taken at the same moment."""
        first = parts[0]
        if len(parts) == 1:
            return first

        def joined(name: str) -> list[Floats]:
            lists = [getattr(p, name) for p in parts]
            return [np.concatenate(both) for both in zip(*lists, strict=True)]

        def joined_tensors(name: str) -> list[Tensor]:
            lists = [getattr(p.matching, name) for p in parts]
            return [torch.cat(both) for both in zip(*lists, strict=True)]

        return cls(
            first.epoch,
            first.step,
            np.concatenate([p.train_loss for p in parts]),
            np.concatenate([p.evaluation_loss for p in parts]),
            Matching(
                joined_tensors("correlation"), joined_tensors("teacher_active"),
                joined_tensors("student_active"), first.matching.samples,
            ),
            joined("fan_in"),
            joined("fan_out"),
            {n: np.concatenate([p.pull[n] for p in parts]) for n in first.pull},
        )  # fmt: skip


class Trial:
    """Teachers, students and data of some seeds of one configuration.

    Args:
      config: the configuration; its own seeds are not looked at.
      seeds: of the networks of the stack, R of them.
      device: `cpu` or `cuda`; by default what the configuration says.

    Raises:
      UsageError: a teacher that the grid cannot make, or a GPU that is not there.
    """

    def __init__(
        self, config: RunConfig, seeds: Sequence[int], device: torch.device | str | None = None
    ) -> None:
        self.config = config
        self.seeds = list(seeds)
        self.device = torch.device(device or pick_device(config.device))
        named = [Seeds(seed) for seed in seeds]
        self.evaluation = evaluation_inputs(config, named).to(self.device)
        teachers = teachers_of(config, named)
        self.students = students_of(config, named, teachers).to(self.device)
        self.teachers = teachers.to(self.device)
        self.batches = batches_of(config, self.teachers, named)
        self.descent = descent_of([config] * len(self.seeds))

    def film(
        self,
        when: Moments | None = None,
        *,
        start: int = 0,
        pull_samples: int = 0,
        each_epoch: Callable[[Point], object] = lambda point: None,
    ) -> Iterator[Snapshot]:
        """Trains the students, stopping for snapshots; each comes before training goes on.

        Args:
          when: the moments; all of `moments` by default.
          start: epochs that are done; the students must be those of that moment.
          pull_samples: evaluation samples for the pulls, which are taken in the first epoch and at
            epochs 1, 2, 3, 5, 10, 20, 30, 50 ... and the last; 0 leaves them out.
          each_epoch: called at the end of every epoch, after the snapshot if there is one.

        Raises:
          Diverged: at the first loss that is not finite; says the seed, the step and a rate to try.
        """
        when = when or moments(self.config)
        if start == 0 and 0 in when.steps:
            nothing = torch.full((len(self.seeds),), torch.nan)
            yield self.snapshot(Point(0.0, 0, nothing, False), pull_samples)
        for point in self.train(start, when.steps):
            ended = round(point.epoch) if point.ends_epoch else None
            if point.step in when.steps or ended in when.epochs:
                wanted = ended is None or ended in PULL_EPOCHS or ended == self.config.epochs
                shot = self.snapshot(point, pull_samples if wanted else 0)
                self._check(shot)
                yield shot
            if point.ends_epoch:
                each_epoch(point)

    def _check(self, shot: Snapshot) -> None:
        # The last step of all may be the one that goes too far, and no training loss tells of it.
        broken = np.flatnonzero(~np.isfinite(shot.evaluation_loss))
        if len(broken):
            rate = self.config.descent.rate
            raise Diverged(
                f"the loss of seed {self.seeds[broken[0]]} is not finite after step {shot.step} "
                f"(learning rate {rate:g})",
                hint=f"try a learning rate of {rate / 4:.2g} or less; "
                "what was written before is kept",
                network=int(broken[0]),
                step=shot.step,
            )

    def train(self, start: int = 0, marks: Sequence[int] = ()) -> Iterator[Point]:
        """`training.train` on this trial; errors name seeds instead of places in the stack."""
        try:
            yield from train(
                self.students, self.batches, self.descent,
                epochs=self.config.epochs, start=start, marks=marks,
            )  # fmt: skip
        except Diverged as error:
            seed = f"seed {self.seeds[error.network]}"
            text = str(error).replace(f"network {error.network}", seed)
            raise Diverged(text, network=error.network, step=error.step) from None

    def snapshot(self, point: Point, pull_samples: int = 0) -> Snapshot:
        """The students as they are now.

        Args:
          point: where training is.
          pull_samples: evaluation samples for the pulls; 0 leaves them out.
        """
        matching, loss = NodeMatching(), EvaluationLoss(self.config.descent.loss)
        measure_stacks([matching, loss], self.teachers, self.students, self.evaluation)
        pull: dict[str, Floats] = {}
        if pull_samples:
            found = pull_of(self.teachers, self.students, self.evaluation[:, :pull_samples])
            pull = {n: a for n, a in found.arrays().items() if n.split(".")[0] in PULL_NAMES}
        weights = self.students.weights
        return Snapshot(
            epoch=point.epoch,
            step=point.step,
            train_loss=_single(point.loss),
            evaluation_loss=_single(loss.result()),
            matching=matching.result(),
            fan_in=[_single(weight.norm(dim=2)) for weight in weights[:-1]],
            fan_out=[_single(weight.norm(dim=1)) for weight in weights[1:]],
            pull=pull,
        )


def _single(values: Tensor) -> Floats:
    return values.detach().float().cpu().numpy()
