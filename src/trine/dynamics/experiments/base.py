"""What an experiment is: a figure or table of the papers, the claim it tests, and a verdict.

An experiment is a module of this folder with one function

    def experiment(context: ExperimentContext) -> Finding: ...

and a line in `EXPERIMENTS` (experiments/__init__.py). What it finds in `context.directory` it does
not compute again, so that a stopped reproduction goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from trine.core.executors import Executor, SerialExecutor
from trine.core.progress import Progress, SilentProgress
from trine.core.report import Picture
from trine.core.tables import Table

__all__ = ["SCALES", "ExperimentContext", "Finding", "Scale", "Verdict"]

Scale = Literal["demo", "quick", "paper"]
SCALES: tuple[Scale, ...] = ("demo", "quick", "paper")
"""`demo`: seconds, the smallest size that shows the effect; `quick`: about a minute on two cores;
`paper`: the sizes, epochs and seeds of the papers or more."""

Verdict = Literal["holds", "holds in part", "does not hold", "not tested"]


@dataclass(frozen=True, slots=True)
class ExperimentContext:
    """What an experiment is given.

    Attributes:
      directory: its own place on the disk.
      scale: how much to compute.
      executor: where to compute independent pieces.
      progress: where to tell how far it is.
      seed: the first seed.
      data: directory that holds `cifar10/` and `vgg_bn/`, or None.
    """

    directory: Path
    scale: Scale = "quick"
    executor: Executor = field(default_factory=SerialExecutor)
    progress: Progress = field(default_factory=SilentProgress)
    seed: int = 0
    data: Path | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What an experiment found.

    Attributes:
      claim: what the papers say, in one sentence, with its source.
      verdict: whether it holds here.
      because: the numbers that the verdict rests on, with spread and seeds, in one sentence.
      settings: widths, samples, epochs, learning rate and so on, by name; values are plain.
      seeds: how many.
      tables: data; the first is the one the verdict rests on.
      figures: pictures.
      notes: small print: what differs from the papers.
    """

    claim: str
    verdict: Verdict
    because: str
    settings: dict[str, object]
    seeds: int
    tables: Sequence[Table] = ()
    figures: Sequence[Picture] = ()
    notes: Sequence[str] = ()
