"""What the theory experiments share: the start of spec 7.2 for many seeds, batches, marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trine.core.seeding import Seeds
from trine.core.stats import bootstrap_interval
from trine.core.sweep import Cell
from trine.dynamics.fade_out import matrix_start
from trine.dynamics.stack import Stack

__all__ = ["GaussianStream", "blocks", "interval_of", "log_marks", "seeds_of", "starts"]

BLOCK = 8
"""Seeds that are computed together, in one process."""
AHEAD = 256
"""Batches that are drawn together."""


class GaussianStream:
    """A fresh N(0, std^2 I) batch for every step, one named stream a seed.

    Args:
      seeds: of the networks.
      batch: B.
      inputs: d.
      std: of the inputs.
      name: of the stream; another one has other batches.
    """

    def __init__(
        self, seeds: Sequence[Seeds], batch: int, inputs: int, std: float = 1.0, name: str = "data"
    ) -> None:
        self._generators = [s.generator(name) for s in seeds]
        self._shape, self._std = (AHEAD, batch, inputs), std
        self._held: Tensor | None = None
        self._next = 0

    def __call__(self, step: int) -> Tensor:
        """`[R, B, d]` of a step; steps must be asked for in order, from 0."""
        assert step == self._next, "a stream goes forward only"
        place = step % AHEAD
        if place == 0:
            drawn = np.stack([g.standard_normal(self._shape) for g in self._generators])
            self._held = torch.as_tensor(self._std * drawn)
        self._next += 1
        assert self._held is not None
        return self._held[:, place]


def starts(seeds: Sequence[Seeds], over: int, noise: float, **more: Any) -> tuple[Stack, Stack]:
    """`matrix_start` of every seed, as stacks."""
    pairs = [matrix_start(s, over=over, noise=noise, **more) for s in seeds]
    return tuple(Stack.concatenate([pair[k] for pair in pairs]) for k in (0, 1))  # pyright: ignore[reportReturnType] (two)


def log_marks(steps: int, count: int = 60) -> list[int]:
    """0, then about `count` steps, evenly on a logarithmic scale, the last one included."""
    spaced = np.unique(np.geomspace(1, steps, count).round().astype(int))
    return [0, *(int(step) for step in spaced)]


def blocks(
    first: int, seeds: int, cases: Sequence[Mapping[str, Any]], size: int = BLOCK
) -> list[Cell]:
    """Cells of up to `size` seeds each: case, number of seeds, first seed."""
    return [
        Cell({**case, "seeds": min(size, first + seeds - start)}, start)
        for case in cases
        for start in range(first, first + seeds, size)
    ]


def seeds_of(cell: Cell) -> list[Seeds]:
    """The seeds of a block."""
    return [Seeds(cell.seed + k) for k in range(cell.parameters["seeds"])]


def interval_of(values: NDArray[np.floating[Any]], seed: int = 0) -> tuple[float, float, float]:
    """Mean over seeds and its 95 % bootstrap interval; equal data, equal interval."""
    found = bootstrap_interval(values, Seeds(seed).generator("bootstrap"), resamples=2000)
    return found.estimate, found.low, found.high
