"""From the scores of a transfer study to its tables: pure functions of frames.

The main number of a task is the first of its measures that has one (`MAIN_METRIC`), over all
languages. Intervals are Student's, at 95 %, over seeds: with three seeds they are wide, and honest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from trine.embeddings.config import Recipe
from trine.embeddings.evaluation.suite import MAIN_METRIC

__all__ = [
    "curve_frame",
    "language_frame",
    "main_rows",
    "matrix_frame",
    "positive_transfer",
    "zero_shot_frame",
]


def main_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each model, seed, width and task: its main measure, all languages together."""
    order = {metric: i for i, metric in enumerate(MAIN_METRIC.values())}
    ranked = rows.with_columns(
        pl.col("metric").replace_strict(order, default=None).alias("rank"),
        (pl.col("language") == "all").alias("whole"),
        pl.col("language").n_unique().over("model", "task", "metric").alias("languages"),
    ).filter(pl.col("rank").is_not_null() & (pl.col("whole") | (pl.col("languages") == 1)))
    best = pl.col("rank").min().over("task")
    return ranked.filter(pl.col("rank") == best).drop("rank", "whole", "languages")


def positive_transfer(rows: pl.DataFrame, recipe: Recipe, width: int) -> pl.DataFrame:
    """For each trained task: base, PCA, single, multi, and multi minus single paired by seed.

    Columns `task`, `metric`, `base`, `base_pca`, `single`, `multi`, `difference`, `low`, `high`
    (95 % over seeds), `loses` (difference below zero), `clear_loss` (interval below zero), `seeds`.
    """
    main = main_rows(rows)
    found: list[dict[str, object]] = []
    for task in recipe.trained:
        own = main.filter(pl.col("task") == task.name)
        if not own.height:
            continue
        at = own.filter(pl.col("width") == width)
        alone = at.filter((pl.col("arm") == "single") & (pl.col("trained") == task.name))
        together = at.filter(pl.col("arm") == "multi")
        both = alone.join(together, on="seed", suffix="_multi").sort("seed")
        gains = (both["score_multi"] - both["score"]).to_numpy()
        low, high = _student(gains)
        mean = float(np.mean(gains)) if len(gains) else math.nan
        found.append(
            {
                "task": task.name,
                "metric": own["metric"][0],
                "base": _mean(own.filter(pl.col("arm") == "base")),
                "base_pca": _mean(at.filter(pl.col("arm") == "base+pca")),
                "single": _mean(alone),
                "multi": _mean(together),
                "difference": mean,
                "low": low,
                "high": high,
                "loses": mean < 0,
                "clear_loss": high < 0,
                "seeds": len(gains),
            }
        )
    return pl.DataFrame(found, infer_schema_length=None)


def zero_shot_frame(rows: pl.DataFrame, recipe: Recipe, width: int) -> pl.DataFrame:
    """For each task that nothing was trained on: base, PCA, the mean of single models, multi.

    Columns as in `positive_transfer`, with `difference` = multi at `width` minus the base at its
    full width, and `full` the multi-task model at full width.
    """
    main = main_rows(rows)
    found: list[dict[str, object]] = []
    for task in (task for task in recipe.tasks if task.role == "zero_shot"):
        own = main.filter(pl.col("task") == task.name)
        if not own.height:
            continue
        at = own.filter(pl.col("width") == width)
        together = at.filter(pl.col("arm") == "multi").sort("seed")
        base = _mean(own.filter(pl.col("arm") == "base"))
        gains = together["score"].to_numpy() - base
        low, high = _student(gains)
        widest = own.filter(pl.col("arm") == "multi")
        found.append(
            {
                "task": task.name,
                "metric": own["metric"][0],
                "base": base,
                "base_pca": _mean(at.filter(pl.col("arm") == "base+pca")),
                "single": _mean(at.filter(pl.col("arm") == "single")),
                "multi": _mean(together),
                "full": _mean(widest.filter(pl.col("width") == pl.col("width").max())),
                "difference": float(np.mean(gains)) if len(gains) else math.nan,
                "low": low,
                "high": high,
                "seeds": len(gains),
                **{f"published {name}": score for name, score in task.published.items()},
            }
        )
    return pl.DataFrame(found, infer_schema_length=None)


def matrix_frame(rows: pl.DataFrame, recipe: Recipe, width: int) -> pl.DataFrame:
    """Columns `trained`, `task`, `score`, `gain`: mean over seeds, gain over PCA of the base.

    `trained` is a task's name for its single-task model and `all together` for the multi-task one.
    """
    at = main_rows(rows).filter(pl.col("width") == width)
    base = at.filter(pl.col("arm") == "base+pca").select("task", pl.col("score").alias("base"))
    models = at.filter(pl.col("arm").is_in(["single", "multi"])).with_columns(
        pl.when(pl.col("arm") == "multi")
        .then(pl.lit("all together"))
        .otherwise(pl.col("trained"))
        .alias("trained")
    )
    means = models.group_by("trained", "task", maintain_order=True).agg(pl.col("score").mean())
    joined = means.join(base, on="task", how="left")
    return joined.with_columns((pl.col("score") - pl.col("base")).alias("gain"))


def curve_frame(rows: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """Columns `role`, `arm`, `width`, `score`, `se`: mean over tasks of a role, by width.

    The standard error is over seeds, of the mean over tasks.
    """
    roles = {task.name: task.role for task in recipe.tasks}
    main = main_rows(rows).filter(pl.col("arm").is_in(["multi", "base+pca"]))
    by_seed = (
        main.with_columns(pl.col("task").replace_strict(roles).alias("role"))
        .group_by("role", "arm", "width", "seed")
        .agg(pl.col("score").mean())
    )
    spread = pl.col("score").std() / pl.len().sqrt()
    return (
        by_seed.group_by("role", "arm", "width")
        .agg(pl.col("score").mean(), spread.alias("se"))
        .sort("role", "arm", "width")
    )


def language_frame(rows: pl.DataFrame, recipe: Recipe, width: int) -> pl.DataFrame:
    """Columns `task`, `language`, `seen`, `metric`, `base`, `base_pca`, `multi`, `gain`.

    For tasks in several languages; `seen` says whether the language was trained on in that task,
    `gain` is multi minus base at full width.
    """
    metrics = dict(main_rows(rows).select("task", "metric").unique().iter_rows())
    found: list[dict[str, object]] = []
    for task in recipe.tasks:
        own = rows.filter((pl.col("task") == task.name) & (pl.col("language") != "all"))
        own = own.filter(pl.col("metric") == metrics.get(task.name, ""))
        languages: Sequence[str] = sorted(own["language"].unique())
        if len(languages) < 2:
            continue
        for language in languages:
            spoken = own.filter(pl.col("language") == language)
            at = spoken.filter(pl.col("width") == width)
            base = _mean(spoken.filter(pl.col("arm") == "base"))
            multi = _mean(at.filter(pl.col("arm") == "multi"))
            found.append(
                {
                    "task": task.name,
                    "language": language,
                    "seen": task.role == "train" and language not in task.held_out_languages,
                    "metric": metrics[task.name],
                    "base": base,
                    "base_pca": _mean(at.filter(pl.col("arm") == "base+pca")),
                    "multi": multi,
                    "gain": multi - base,
                }
            )
    return pl.DataFrame(found, infer_schema_length=None)


def _mean(rows: pl.DataFrame) -> float:
    return float(np.mean(rows["score"].to_numpy())) if rows.height else math.nan


def _student(values: np.ndarray) -> tuple[float, float]:
    """Ends of the 95 % interval of a mean; NaN with fewer than two values."""
    from scipy.stats import t

    n = len(values)
    if n < 2:
        return math.nan, math.nan
    reach = float(t.ppf(0.975, n - 1)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    mean = float(np.mean(values))
    return mean - reach, mean + reach
