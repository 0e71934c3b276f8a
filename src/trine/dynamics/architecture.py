"""The shape of a fully connected ReLU network: widths, biases, slope, BatchNorm and its place.

Numbering follows the measures: hidden layer `l` runs from 0 (next to the input) to `depth - 1`; the
linear output layer is not counted. The papers count hidden layers from 1.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from trine.core.errors import UsageError

__all__ = ["Architecture", "BatchNormPlace", "parse_widths"]

BatchNormPlace = Literal["none", "before_relu", "after_relu"]

MOST_NODES = 1_000_000
"""Wider layers are a slip of the pen, not an experiment."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """Everything about a network but its numbers.

    Attributes:
      inputs: input dimension d.
      hidden: widths of the hidden layers, bottom first.
      outputs: output dimension c.
      bias: whether every layer, the output included, has biases.
      slope: of the ReLU below zero; 0 is the ReLU, 1 a linear network (Tian 2020 uses Leaky ReLU).
      batch_norm: where BatchNorm stands in every hidden layer (Tian et al. 2019 use both places).
      affine: whether BatchNorm has a scale and a shift of its own.

    Raises:
      UsageError: a width that is not positive, no hidden layer, or a slope outside [0, 1].
    """

    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    bias: bool = True
    slope: float = 0.0
    batch_norm: BatchNormPlace = "none"
    affine: bool = True

    def __post_init__(self) -> None:
        names = ("inputs", *(f"hidden layer {n}" for n in range(len(self.hidden))), "outputs")
        for name, width in zip(names, self.widths, strict=True):
            if not 0 < width <= MOST_NODES:
                raise UsageError(
                    f"{name}: width {width}", accepted=f"an integer from 1 to {MOST_NODES:,}"
                )
        if not self.hidden:
            raise UsageError("a network without hidden layer", accepted="at least one, e.g. 10-15")
        if not (math.isfinite(self.slope) and 0 <= self.slope <= 1):
            raise UsageError(f"slope {self.slope}", accepted="a number from 0 (ReLU) to 1 (linear)")
        if self.batch_norm not in ("none", "before_relu", "after_relu"):
            raise UsageError.unknown(
                "place of BatchNorm", self.batch_norm, ["none", "before_relu", "after_relu"]
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """`(d, n_0, ..., n_{depth-1}, c)`."""
        return (self.inputs, *self.hidden, self.outputs)

    @property
    def depth(self) -> int:
        """Number of hidden layers."""
        return len(self.hidden)

    @property
    def label(self) -> str:
        """Hidden widths as people write them: `10-15-20-25`."""
        return "-".join(str(width) for width in self.hidden)

    @property
    def num_weights(self) -> int:
        """Number of weights, biases and BatchNorm parameters left out."""
        return sum(a * b for a, b in pairwise(self.widths))

    def wider(self, over: float) -> Architecture:
        """The same with every hidden layer `over` times as wide (over-parameterisation factor).

        Raises:
          UsageError: if a student would be narrower than its teacher, or a width is no integer.
        """
        if over < 1:
            raise UsageError(
                f"over {over:g}: the student would be narrower than the teacher",
                accepted="a factor from 1 upward",
            )
        widths = tuple(over * width for width in self.hidden)
        if any(abs(width - round(width)) > 1e-9 for width in widths):
            raise UsageError(
                f"over {over:g} gives hidden widths {'-'.join(f'{w:g}' for w in widths)}",
                accepted="a factor that makes every width an integer",
            )
        return replace(self, hidden=tuple(round(width) for width in widths))

    def check_student(self, student: Architecture) -> None:
        """Checks that a student can be compared with this teacher, layer by layer.

        Raises:
          UsageError: other depth, input or output size, or a student layer that is narrower.
        """
        for name, ours, theirs in (
            ("inputs", self.inputs, student.inputs),
            ("hidden layers", self.depth, student.depth),
            ("outputs", self.outputs, student.outputs),
        ):
            if ours != theirs:
                raise UsageError(
                    f"{name}: teacher {ours}, student {theirs}", accepted="the same in both"
                )
        for layer, (ours, theirs) in enumerate(zip(self.hidden, student.hidden, strict=True)):
            if theirs < ours:
                raise UsageError(
                    f"hidden layer {layer}: student width {theirs} is narrower than "
                    f"the teacher's {ours}",
                    hint="widen the student, e.g. with --over",
                )


def parse_widths(text: str) -> tuple[int, ...]:
    """Hidden widths from a text such as `10-15-20-25`.

    Raises:
      UsageError: if the text is no list of positive integers.
    """
    if not re.fullmatch(r"\s*\d+(\s*-\s*\d+)*\s*", text):
        raise UsageError(
            f"widths {text!r}", accepted="hidden widths joined by hyphens, e.g. 10-15-20-25"
        )
    widths = tuple(int(part) for part in text.split("-"))
    if min(widths) < 1:
        raise UsageError(f"widths {text!r}", accepted="widths from 1 upward")
    return widths
