"""Scores of a transfer study as `transfer` makes them, without any model: known or lifelike."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from trine.embeddings.config import Recipe, TaskConfig

SCHEMA = {
    "model": pl.String, "task": pl.String, "language": pl.String, "metric": pl.String,
    "score": pl.Float64, "se": pl.Float64, "n": pl.Int64, "width": pl.Int64,
    "arm": pl.String, "trained": pl.String, "seed": pl.Int64,
}  # fmt: skip


def row(arm: str, task: str, score: float, *, width: int = 50, **more: Any) -> dict[str, Any]:
    """One score; `seed`, `trained`, `language` and `metric` as needed."""
    trained = more.get("trained", "")
    return {
        "model": f"{arm}:{trained}" if trained else arm, "task": task, "language": "en",
        "metric": "accuracy", "score": score, "se": 0.5, "n": 100, "width": width, "arm": arm,
        "trained": trained, "seed": None, **more,
    }  # fmt: skip


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """The rows in the columns of a study."""
    return pl.DataFrame(rows, schema=SCHEMA)


def lifelike(seeds: int = 3) -> tuple[pl.DataFrame, Recipe]:
    """Eight trained tasks, one of them in twelve languages, and four zero-shot tasks."""
    trained = ["clinc150", "banking77", "stackoverflow", "goemotions", "esco-titles",
               "esco-descriptions", "topics", "tweet-sentiment"]  # fmt: skip
    others = ["slurp-intent", "slurp-scenario", "hwu64", "stsb"]
    languages = ["en", "de", "fr", "es", "it", "pt", "nl", "pl", "ru", "zh", "ja", "arb_Arab"]
    held_out = tuple(languages[6:])
    published = {"text-embedding-ada-002": 70.15, "text-embedding-3-large": 74.64}
    recipe = Recipe(
        tasks=(
            *(
                TaskConfig(
                    name=name,
                    source="x.csv",
                    held_out_languages=held_out if name == "topics" else (),
                )
                for name in trained
            ),
            *(
                TaskConfig(name=name, source="x.csv", role="zero_shot", published=published)
                for name in others
            ),
        )
    )
    metrics = {"goemotions": "triplet_hard", "esco-titles": "recall@1",
               "esco-descriptions": "recall@1", "stsb": "spearman"}  # fmt: skip
    rng = np.random.default_rng(0)
    level = {name: rng.uniform(55, 90) for name in [*trained, *others]}
    rows: list[dict[str, Any]] = []

    def add(arm: str, task: str, score: float, **more: Any) -> None:
        metric = metrics.get(task, "accuracy")
        if task == "topics":
            parts = score + 4 * rng.standard_normal(len(languages)) - 3 * (np.arange(12) > 5)
            for language, part in zip(languages, parts, strict=True):
                rows.append(row(arm, task, part, metric=metric, language=language, **more))
            score = float(np.mean(parts))
        rows.append(
            row(arm, task, score, metric=metric, **more)
            | {"language": "all" if task == "topics" else "en"}
        )

    for task in [*trained, *others]:
        add("base", task, level[task], width=384)
        for width in (8, 16, 32, 50, 64, 128, 256, 384):
            add("base+pca", task, level[task] - 40 / width**0.7, width=width)
            above = 4 + 0.8 * trained.index(task) if task in trained else 3.0
            gain = above - 30 / width**0.8
            for seed in range(seeds):
                score = level[task] + gain + 0.4 * rng.standard_normal()
                add("multi", task, score, width=width, seed=seed)
    for seed in range(seeds):
        for learned in trained:
            for task in [*trained, *others]:
                gain = 3.5 if task == learned else rng.normal(-3, 2)
                score = level[task] + gain + 0.4 * rng.standard_normal()
                add("single", task, score, trained=learned, seed=seed)
    return frame(rows), recipe
