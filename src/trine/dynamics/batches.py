"""What every network of a stack is trained on, batch by batch, from named random streams.

A data set belongs to a seed. Networks that share a seed (other settings, the same question) share
its inputs, its targets and its order, and are told so by `source`. Orders are drawn epoch by epoch
from their own stream, so that training can go on from any epoch as if it had never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.dynamics.stack import Stack

__all__ = ["Batches", "Draw", "EpochPlan", "Order", "gaussian_inputs", "uniform_inputs"]

Array = NDArray[np.floating[Any]]
Draw = Callable[[np.random.Generator, int], Array]
"""(generator, number of samples) to inputs `[N, d]`."""

Order = Literal["shuffle", "replacement", "given", "full"]

NUMPY_TYPES = {torch.float32: np.float32, torch.float64: np.float64}

MOST_STORED_BYTES = 2**30
"""Targets of a larger data set are computed batch by batch instead of stored."""


def gaussian_inputs(dimension: int, std: float = 1.0, dtype: type = np.float64) -> Draw:
    """N(0, std^2 I) in `dimension` dimensions.

    Raises:
      UsageError: a standard deviation that is not positive.
    """
    _check_std(std)
    return lambda generator, count: (
        generator.standard_normal((count, dimension), dtype=dtype) * dtype(std)
    )


def uniform_inputs(dimension: int, std: float = 1.0) -> Draw:
    """Uniform in a centred cube, with standard deviation `std` in every coordinate."""
    _check_std(std)
    bound = std * np.sqrt(3.0)
    return lambda generator, count: generator.uniform(-bound, bound, (count, dimension))


def _check_std(std: float) -> None:
    if not (np.isfinite(std) and std > 0):
        raise UsageError(f"standard deviation {std} of the inputs", accepted="a positive number")


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """All that the networks of a stack see in one epoch.

    Attributes:
      inputs: `[S * N, d]`, all data sets one below the other.
      targets: `[S * N, c]`, or None if they are too many to be stored.
      rows: `[R, steps, B]`, what each network sees in each step.
      teachers: of the networks, for targets that are not stored.
    """

    inputs: Tensor
    targets: Tensor | None
    rows: Tensor
    teachers: Stack

    def step(self, number: int) -> tuple[Tensor, Tensor]:
        """Inputs `[R, B, d]` and targets `[R, B, c]` of one step, from 0."""
        count, _, size = self.rows.shape
        chosen = self.rows[:, number].reshape(-1)
        x = self.inputs.index_select(0, chosen).view(count, size, -1)
        if self.targets is None:
            return x, self.teachers.forward(x).output
        return x, self.targets.index_select(0, chosen).view(count, size, -1)


class Batches:
    """Inputs and the teachers' outputs for a stack of students.

    Args:
      draw: how inputs are drawn; one for all data sets, or one each.
      teachers: one a data set, S networks.
      seeds: one a data set; the streams `data` and `order` are used.
      samples: N of each data set.
      batch_size: B.
      order: `shuffle`: every sample once an epoch, in new order, an incomplete last batch dropped;
        `replacement`: samples drawn at random; `given`: as drawn; `full`: all samples in each step.
      steps_per_epoch: for `replacement` and `full`; else it follows from N and B.
      fresh: new inputs every epoch.
      source: data set of every network of the stack, `[R]`; by default network r has data set r.
      label_noise: one a data set: standard deviation of Gaussian noise on the targets, relative to
        the standard deviation of the teacher's outputs; stream `label noise`. None by default.

    Raises:
      UsageError: sizes that do not fit each other.
    """

    def __init__(
        self,
        draw: Draw | Sequence[Draw],
        teachers: Stack,
        seeds: Sequence[Seeds],
        *,
        samples: int,
        batch_size: int,
        order: Order = "shuffle",
        steps_per_epoch: int | None = None,
        fresh: bool = False,
        source: Sequence[int] | None = None,
        label_noise: Sequence[float] = (),
    ) -> None:
        if samples < 1 or batch_size < 1:
            raise UsageError(
                f"{samples} samples, batch size {batch_size}", accepted="integers from 1 upward"
            )
        if batch_size > samples:
            raise UsageError(f"batch size {batch_size} of {samples} samples", hint="lower it")
        if teachers.count != len(seeds):
            raise UsageError(f"{teachers.count} teachers for {len(seeds)} seeds")
        whole = samples // batch_size
        self.order: Order = order
        self.batch_size = samples if order == "full" else batch_size
        if order in ("shuffle", "given"):
            self.steps_per_epoch = whole
        else:
            self.steps_per_epoch = steps_per_epoch or (1 if order == "full" else whole)
        self.samples, self.fresh = samples, fresh
        self.teachers, self.seeds = teachers, list(seeds)
        places = list(range(len(seeds))) if source is None else list(source)
        if places and not 0 <= min(places) <= max(places) < len(seeds):
            raise UsageError(f"source {places}", accepted=f"numbers below {len(seeds)}")
        self.source = torch.as_tensor(places, device=teachers.device)
        self._own = places == list(range(len(seeds)))
        self._network_teachers = teachers if self._own else teachers.select(places)
        self._draws = [draw] * len(seeds) if callable(draw) else list(draw)
        self._label_noise = list(label_noise) or [0.0] * len(seeds)
        if not len(self._draws) == len(self._label_noise) == len(seeds):
            raise UsageError(
                f"{len(self._draws)} draws and {len(self._label_noise)} noise levels for "
                f"{len(seeds)} seeds"
            )
        self._inputs: Tensor | None = None
        self._targets: Tensor | None = None
        self._drawn_for: int | None = None

    @property
    def count(self) -> int:
        """R, the number of networks that are served."""
        return len(self.source)

    @property
    def network_teachers(self) -> Stack:
        """The teacher of every network, `[R]`."""
        return self._network_teachers

    def inputs(self, epoch: int = 0) -> Tensor:
        """The data sets of an epoch, `[S, N, d]`."""
        wanted = epoch if self.fresh else 0
        if self._inputs is None or self._drawn_for != wanted:
            names = ("data", wanted) if self.fresh else ("data",)
            dimension = self.teachers.architecture.inputs
            self._inputs = self._room(dimension)
            for place, seeds in enumerate(self.seeds):
                drawn = self._draws[place](seeds.generator(*names), self.samples)
                if drawn.shape != (self.samples, dimension):
                    raise UsageError(
                        f"inputs of shape {drawn.shape}", accepted=f"{(self.samples, dimension)}"
                    )
                self._inputs[place] = torch.as_tensor(drawn)
            self._targets = self._store_targets(self._inputs, wanted)
            self._drawn_for = wanted
        return self._inputs

    def _room(self, width: int) -> Tensor:
        shape = (len(self.seeds), self.samples, width)
        like = self.teachers.weights[0]
        if like.device.type != "cpu":
            return like.new_empty(shape)
        # NumPy asks for huge pages, PyTorch does not: random rows are read a third faster.
        return torch.from_numpy(np.empty(shape, dtype=NUMPY_TYPES[like.dtype]))

    def _store_targets(self, inputs: Tensor, epoch: int) -> Tensor | None:
        outputs = self.teachers.architecture.outputs
        size = len(self.seeds) * self.samples * outputs * inputs.element_size()
        if size > MOST_STORED_BYTES and not any(self._label_noise):
            return None
        targets = self._room(outputs)
        for start in range(0, self.samples, 4096):
            part = inputs[:, start : start + 4096]
            targets[:, start : start + 4096] = self.teachers.forward(part).output
        for place, noise in enumerate(self._label_noise):
            if noise:
                spread = noise * targets[place].var(0).mean().sqrt()
                names = ("label noise", epoch) if self.fresh else ("label noise",)
                drawn = self.seeds[place].generator(*names).standard_normal(targets.shape[1:])
                targets[place] += spread * torch.as_tensor(drawn).to(targets)
        return targets

    def indices(self, epoch: int) -> Tensor:
        """Rows of the data sets in the order of training, `[S, steps * B]`."""
        wanted = self.steps_per_epoch * self.batch_size
        drawn = [self._order_of(s, epoch, wanted) for s in self.seeds]
        return torch.as_tensor(np.stack(drawn), device=self.teachers.device)

    def _order_of(self, seeds: Seeds, epoch: int, wanted: int) -> NDArray[np.int64]:
        if self.order == "full":
            return np.tile(np.arange(self.samples), self.steps_per_epoch)
        if self.order == "given":
            return np.arange(wanted)
        generator = seeds.generator("order", epoch)
        if self.order == "replacement":
            return generator.integers(self.samples, size=wanted)
        return generator.permutation(self.samples)[:wanted]

    def plan(self, epoch: int) -> EpochPlan:
        """What each network sees in an epoch, as rows of all data sets."""
        inputs, targets = self.inputs(epoch), self._targets
        offset = torch.arange(len(self.seeds), device=inputs.device).unsqueeze(1) * self.samples
        rows = self.indices(epoch) + offset
        if not self._own:
            rows = rows.index_select(0, self.source)
        return EpochPlan(
            inputs.flatten(0, 1),
            None if targets is None else targets.flatten(0, 1),
            rows.view(self.count, self.steps_per_epoch, self.batch_size),
            self._network_teachers,
        )

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs `[R, B, d]` and targets `[R, B, c]`, step by step."""
        plan = self.plan(epoch)
        for step in range(self.steps_per_epoch):
            yield plan.step(step)
