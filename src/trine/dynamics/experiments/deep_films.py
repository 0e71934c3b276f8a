"""Films of the deep reference set-up at over 1, 2, 5 and 10, which F1 and F6 share."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from trine.dynamics.config import RunConfig, make_run_config
from trine.dynamics.experiments.base import ExperimentContext
from trine.dynamics.films import Reel, shoot

__all__ = ["DEEP_SCALES", "DeepScale", "deep_reels", "labelled"]


@dataclass(frozen=True, slots=True)
class DeepScale:
    """How much to compute.

    Attributes:
      over: student widths over teacher widths.
      seeds: of each.
      epochs: of training.
      samples: of the training set.
    """

    over: tuple[int, ...]
    seeds: int
    epochs: int
    samples: int = 100_000


DEEP_SCALES = {
    "demo": DeepScale((1, 10), seeds=2, epochs=2, samples=50_000),
    "quick": DeepScale((1, 2, 5, 10), seeds=4, epochs=10),
    "paper": DeepScale((1, 2, 5, 10), seeds=10, epochs=40),
}
"""`paper` is the size of Tian et al. 2019's program: 100,000 samples, 40 epochs, 10 trials."""


def deep_configs(context: ExperimentContext) -> list[RunConfig]:
    """One configuration an `over`."""
    scale = DEEP_SCALES[context.scale]
    return [
        make_run_config(
            "deep", over=over, seeds=scale.seeds, first_seed=context.seed, epochs=scale.epochs,
            data={"samples": scale.samples},
        )
        for over in scale.over
    ]  # fmt: skip


def deep_reels(context: ExperimentContext) -> list[Reel]:
    """The films, from a place that experiments of one reproduction share."""
    place = context.directory.parent / "deep-films"
    # The widest first: nobody waits for it at the end.
    configs = sorted(deep_configs(context), key=lambda config: -config.over)
    # Two stacks a width: a few cores have work, and products are large.
    reels = shoot(
        configs, place, executor=context.executor, progress=context.progress,
        description="deep students", stack=max(1, configs[0].seeds // 2),
    )  # fmt: skip
    return sorted(reels, key=lambda reel: reel.config.over)


def label(config: RunConfig) -> str:
    """`over 10`."""
    return f"over {config.over:g}"


def labelled(reels: list[Reel], frames: list[pl.DataFrame]) -> pl.DataFrame:
    """One frame of all, with a column `over` of labels."""
    named = [
        frame.with_columns(over=pl.lit(label(reel.config)))
        for reel, frame in zip(reels, frames, strict=True)
    ]
    return pl.concat(named)
