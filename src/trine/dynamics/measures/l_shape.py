"""The L-shape: nodes that match a teacher node keep their influence, the others lose theirs.

For every student node, its best correlation with a teacher node of the same layer (x) against its
influence on the output (y): the norm of its fan-out weights in a two-layer network, and

    sqrt(E beta_kk),   beta_kk(x) = || column k of V_l(x) ||^2

in a deep one (Tian 2020, arXiv 1909.13458; spec 2 and 8). Students that are matched lie on the
right, all others on the floor, if the theorem on unmatched students holds: observed and parallel
to no teacher node, hence without fan-out.

V_l(x) has c rows. Multiplying from the left by a direction r of the output is a backward pass
without the loss, so that

    || V_l(x) e_k ||^2 = sum over i of (e_i^T V_l(x) e_k)^2        c backward passes, exact
                       = E_r (r^T V_l(x) e_k)^2, r of signs +-1    one pass a sample, unbiased

and no V has to be stored. The second form (Hutchinson 1990) is for wide outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from torch import Tensor

from trine.core.errors import UsageError
from trine.dynamics.stack import Stack, Trace

__all__ = ["Downstream", "LShape", "fan_out_norms", "l_shape"]

FLOOR = 0.1
"""A student node lies on the floor below this share of the median influence of matched ones."""


def fan_out_norms(stack: Stack, layer: int = -1) -> Tensor:
    """Norm of every hidden node's outgoing weights, `[R, n_l]`; the top hidden layer by default."""
    depth = stack.architecture.depth
    return stack.weights[layer % depth + 1].norm(dim=1)


class Downstream:
    """Accumulates E beta_kk of every hidden layer over samples.

    Args:
      student: R networks, without BatchNorm.
      generator: draws the signs of the unbiased form; None for the exact one.

    Raises:
      UsageError: a network with BatchNorm, whose downstream paths depend on the batch.
    """

    def __init__(self, student: Stack, generator: np.random.Generator | None = None) -> None:
        if student.architecture.batch_norm != "none":
            raise UsageError("downstream influence of a network with BatchNorm")
        self._student = student
        self._generator = generator
        self._sums = [torch.zeros_like(b) for b in _hidden_like(student)]
        self._count = 0

    def update(self, trace: Trace) -> None:
        """Takes in a trace of the student over B samples."""
        outputs = self._student.architecture.outputs
        if self._generator is None:
            for output in range(outputs):
                direction = torch.zeros_like(trace.output)
                direction[:, :, output] = 1
                self._add(trace, direction)
        else:
            signs = self._generator.integers(2, size=tuple(trace.output.shape), dtype=np.int8)
            self._add(trace, (2 * torch.as_tensor(signs) - 1).to(trace.output))
        self._count += trace.inputs.shape[1]

    def _add(self, trace: Trace, direction: Tensor) -> None:
        for layer in range(self._student.architecture.depth - 1, -1, -1):
            below = torch.bmm(direction, self._student.weights[layer + 1])  # r^T V_l(x)
            self._sums[layer] += below.square().sum(1).double()
            direction = below * trace.gate(layer)

    def result(self) -> list[Tensor]:
        """E beta_kk per hidden layer, `[R, n_l]`, double precision, on the CPU.

        Raises:
          UsageError: before any sample.
        """
        if not self._count:
            raise UsageError("downstream influence of no samples", hint="call update first")
        return [(total / self._count).cpu() for total in self._sums]


def _hidden_like(stack: Stack) -> list[Tensor]:
    return [w.new_zeros(w.shape[0], w.shape[1], dtype=torch.float64) for w in stack.weights[:-1]]


@dataclass(frozen=True, slots=True)
class LShape:
    """How much of an L the students of a layer make, over all networks given.

    Attributes:
      matched: number of student nodes with a best correlation above the threshold.
      unmatched: number of the others.
      matched_influence: median influence of the matched ones; NaN without any.
      unmatched_influence: median influence of the others; NaN without any.
      decades: log10 of the ratio of the two medians; NaN if one is missing.
      floor_share: share of the unmatched ones below `FLOOR` times the median of the matched; NaN
        if there is none.
      ordered: probability that a matched node has more influence than an unmatched one, ties half
        (Mann and Whitney 1947); 1 for an L of any height, 1/2 if influence tells nothing.
    """

    matched: int
    unmatched: int
    matched_influence: float
    unmatched_influence: float
    decades: float
    floor_share: float
    ordered: float


def l_shape(best: ArrayLike, influence: ArrayLike, threshold: float = 0.95) -> LShape:
    """The L-shape in numbers.

    Args:
      best: best correlation of each student node with any teacher node, any shape.
      influence: fan-out norm or sqrt(E beta_kk) of the same nodes.
      threshold: above which a student node counts as matched.

    Raises:
      UsageError: different shapes.
    """
    x, y = np.asarray(best, dtype=np.float64), np.asarray(influence, dtype=np.float64)
    if x.shape != y.shape:
        raise UsageError(f"correlations {x.shape} and influences {y.shape}", accepted="one shape")
    right = x > threshold
    high, low = y[right], y[~right]
    top, bottom = _median(high), _median(low)
    return LShape(
        matched=int(right.sum()),
        unmatched=int((~right).sum()),
        matched_influence=top,
        unmatched_influence=bottom,
        decades=float(np.log10(top / bottom)) if top > 0 and bottom > 0 else float("nan"),
        floor_share=float((low < FLOOR * top).mean()) if len(low) and len(high) else float("nan"),
        ordered=_ordered(high, low),
    )


def _ordered(high: NDArray[np.float64], low: NDArray[np.float64]) -> float:
    if not len(high) or not len(low):
        return float("nan")
    ranks = rankdata(np.concatenate([high, low]))[: len(high)]
    return float((ranks.sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))


def _median(values: NDArray[np.float64]) -> float:
    return float(np.median(values)) if len(values) else float("nan")
