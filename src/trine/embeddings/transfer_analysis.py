"""From the scores of a transfer study to its tables: pure functions of frames.

The main number of a task is the first of its measures that has one (`MAIN_METRIC`), over all
languages. Intervals are Student's, at 95 %, over seeds: with three seeds they are wide, and honest;
with one there are none. A task gains or loses when its whole interval is on one side of zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from trine.embeddings.config import Recipe
from trine.embeddings.evaluation.suite import MAIN_METRIC

__all__ = [
    "ENOUGH_SEEDS",
    "Difference",
    "curve_frame",
    "language_frame",
    "language_groups",
    "main_rows",
    "matrix_frame",
    "overall_difference",
    "positive_transfer",
    "zero_shot_frame",
]

# Fewer are no ground for a claim: with two the interval is 13 standard errors wide on each side.
ENOUGH_SEEDS = 3


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean over seeds.

    Attributes:
      mean: NaN without seeds.
      se: standard error; NaN with fewer than two seeds, as the interval.
      low: lower end of Student's 95 % interval.
      high: its upper end.
      seeds: how many.
    """

    mean: float
    se: float
    low: float
    high: float
    seeds: int

    @classmethod
    def of(cls, values: np.ndarray) -> Difference:
        """Of one value a seed."""
        from scipy.stats import t

        n = len(values)
        mean = float(np.mean(values)) if n else math.nan
        if n < 2:
            return cls(mean, math.nan, math.nan, math.nan, n)
        se = float(np.std(values, ddof=1)) / math.sqrt(n)
        reach = float(t.ppf(0.975, n - 1)) * se
        return cls(mean, se, mean - reach, mean + reach, n)

    @property
    def verdict(self) -> str | None:
        """`gains`, `loses` or `undecided`; None with too few seeds for any of them."""
        if self.seeds < ENOUGH_SEEDS:
            return None
        return "gains" if self.low > 0 else "loses" if self.high < 0 else "undecided"

    @property
    def columns(self) -> dict[str, object]:
        """For a row of a frame."""
        return {
            "difference": self.mean, "difference_se": self.se, "low": self.low, "high": self.high,
            "verdict": self.verdict, "seeds": self.seeds,
        }  # fmt: skip


# Polars would guess the type of a column that is empty in its first rows.
_TYPES = {"verdict": pl.String, "seeds": pl.Int64}


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

    Columns `task`, `metric`, `base`, `base_pca`, `single`, `single_se`, `multi`, `multi_se`,
    `difference`, `difference_se`, `low`, `high`, `verdict`, `seeds` (see `Difference`), and
    `published NAME` for the scores that the recipe gives. Standard errors are over seeds.
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
        gain = Difference.of((both["score_multi"] - both["score"]).to_numpy())
        found.append(
            {
                "task": task.name,
                "metric": own["metric"][0],
                "base": _mean(own.filter(pl.col("arm") == "base")),
                "base_pca": _mean(at.filter(pl.col("arm") == "base+pca")),
                "single": _mean(alone),
                "single_se": _se(alone),
                "multi": _mean(together),
                "multi_se": _se(together),
                **gain.columns,
                **{f"published {name}": score for name, score in task.published.items()},
            }
        )
    return _frame(found)


def overall_difference(rows: pl.DataFrame, recipe: Recipe, width: int) -> Difference:
    """Multi minus single as a mean over the trained tasks, one value a seed."""
    names = [task.name for task in recipe.trained]
    at = main_rows(rows).filter((pl.col("width") == width) & pl.col("task").is_in(names))
    alone = at.filter((pl.col("arm") == "single") & (pl.col("trained") == pl.col("task")))
    together = at.filter(pl.col("arm") == "multi")
    both = alone.join(together, on=["seed", "task"], suffix="_multi")
    by_seed = both.group_by("seed").agg((pl.col("score_multi") - pl.col("score")).mean())
    return Difference.of(by_seed.sort("seed")["score_multi"].to_numpy())


def zero_shot_frame(rows: pl.DataFrame, recipe: Recipe, width: int) -> pl.DataFrame:
    """For each task that nothing was trained on: base, PCA, the mean of single models, multi.

    Columns as in `positive_transfer`, with `difference` = multi at `width` minus the base at its
    full width, and `full` the multi-task model at full width. `single_se` is not given: the mean
    goes over models of different tasks.
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
        gain = Difference.of(together["score"].to_numpy() - base)
        widest = own.filter(pl.col("arm") == "multi")
        found.append(
            {
                "task": task.name,
                "metric": own["metric"][0],
                "base": base,
                "base_pca": _mean(at.filter(pl.col("arm") == "base+pca")),
                "single": _mean(at.filter(pl.col("arm") == "single")),
                "multi": _mean(together),
                "multi_se": _se(together),
                "full": _mean(widest.filter(pl.col("width") == pl.col("width").max())),
                **gain.columns,
                **{f"published {name}": score for name, score in task.published.items()},
            }
        )
    return _frame(found)


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
    """Scores by language.

    Columns `task`, `language`, `seen`, `metric`, `base`, `base_pca`, `multi`, `multi_se`, `gain`.
    For tasks in several languages; `seen` says whether the language was trained on in that task,
    `gain` is multi minus base at full width, `multi_se` its standard error over seeds.
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
                    "multi_se": _se(at.filter(pl.col("arm") == "multi")),
                    "gain": multi - base,
                }
            )
    return _frame(found)


def language_groups(rows: pl.DataFrame, recipe: Recipe, width: int) -> pl.DataFrame:
    """Means over the languages of a task that were trained on, and over those that were not.

    Columns `task`, `trained_on` (yes or no), `languages`, `metric`, `base`, `multi`, and those of
    `Difference` for multi at `width` minus the base at its full width, a mean over the languages.
    """
    by_language = language_frame(rows, recipe, width)
    found: list[dict[str, object]] = []
    if not by_language.height:
        return pl.DataFrame()
    for (task, seen), group in by_language.group_by("task", "seen", maintain_order=True):
        metric, languages = str(group["metric"][0]), group["language"].to_list()
        multi = rows.filter(
            (pl.col("task") == task)
            & (pl.col("metric") == metric)
            & pl.col("language").is_in(languages)
            & (pl.col("arm") == "multi")
            & (pl.col("width") == width)
        )
        by_seed = multi.group_by("seed").agg(pl.col("score").mean()).sort("seed")
        base = float(np.mean(group["base"].to_numpy()))
        found.append(
            {
                "task": task,
                "trained_on": bool(seen),
                "languages": len(languages),
                "metric": metric,
                "base": base,
                "multi": _mean(by_seed),
                **Difference.of(by_seed["score"].to_numpy() - base).columns,
            }
        )
    return _frame(found)


def _frame(rows: Sequence[dict[str, object]]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, infer_schema_length=None)
    return frame.with_columns(
        pl.col(name).cast(kind) for name, kind in _TYPES.items() if name in frame.columns
    )


def _mean(rows: pl.DataFrame) -> float:
    return float(np.mean(rows["score"].to_numpy())) if rows.height else math.nan


def _se(rows: pl.DataFrame) -> float:
    return Difference.of(rows["score"].to_numpy()).se
