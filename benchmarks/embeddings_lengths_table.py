"""Together or alone at several lengths: the table of what `embeddings_lengths.py` wrote.

    python benchmarks/embeddings_lengths_table.py RECIPE SCORES.jsonl... --out TABLE.csv

For every length, kind of head and width: by task both arms, and multi minus single paired by seed
with Student's 95 % interval, as `trine embeddings transfer` has them. Where tasks could leave the
joint training (column `left`), `multi` is, for each task and seed, the candidate that is best on
validation rows at the recipe's dimension; `--alone` makes the single-task model one of them. The
row `mean` is the mean over tasks. The line that `chosen` marks was chosen by the single-task
models' mean on validation rows, at the first width: of all lengths and heads the one that is best
for *them*.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl

from trine.embeddings.config import Recipe, load_recipe
from trine.embeddings.transfer_analysis import main_rows, overall_difference, positive_transfer

_VARIANT = ["width", "steps", "head"]


def variants_table(scores: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """One row for each split, variant and task, and one for the mean over tasks."""
    base = scores.filter(pl.col("arm").is_in(["base", "base+pca"]))
    learned = scores.filter(pl.col("arm").is_in(["single", "multi"]) & (pl.col("head") != "shared"))
    chosen = chosen_variant(learned, recipe)
    parts: list[pl.DataFrame] = []
    groups = learned.group_by("split", *_VARIANT, maintain_order=True)
    for (split, width, steps, head), rows in groups:
        both = pl.concat([base.filter(pl.col("split") == split), rows])
        table = positive_transfer(both, recipe, int(str(width)))
        mean = overall_difference(rows, recipe, int(str(width)))
        last = pl.DataFrame(
            {
                "task": ["mean"],
                "base": table["base"].mean(), "base_pca": table["base_pca"].mean(),
                "single": table["single"].mean(), "multi": table["multi"].mean(),
                **mean.columns,
            }
        )  # fmt: skip
        parts.append(
            pl.concat([table, last], how="diagonal_relaxed").select(
                pl.lit(split).alias("split"),
                pl.lit(steps).alias("steps"),
                pl.lit(head).alias("head"),
                pl.lit(width).alias("width"),
                pl.lit((width, steps, head) == chosen).alias("chosen"),
                pl.all(),
            )
        )
    order = ["split", "width", "steps", "head"]
    return pl.concat(parts, how="diagonal_relaxed").sort(order, maintain_order=True)


def best_of_each(scores: pl.DataFrame, recipe: Recipe, *, alone: bool = False) -> pl.DataFrame:
    """The scores with one candidate of each task and seed in arm `multi`, chosen as training does.

    Args:
      scores: with the column `left`; others are returned as they are.
      recipe: of the study.
      alone: whether the single-task model of the same seed is a candidate, in place of any branch
        after 0 steps: `left` 0.
    """
    if "left" not in scores.columns:
        return scores
    scores = scores.with_columns(pl.col("left").fill_null("stays"))
    learned = [task.name for task in recipe.trained]
    own = pl.col("task").is_in(learned) & (pl.col("head") == "computed")
    mine = scores.filter((pl.col("arm") == "multi") & own)
    if alone:
        mine = mine.filter(pl.col("left") != "0")
        single = scores.filter((pl.col("arm") == "single") & own)
        single = single.join(mine.select("seed", "steps").unique(), on=["seed", "steps"])
        known = {"arm": pl.lit("multi"), "trained": pl.lit(""), "left": pl.lit("0")}
        mine = pl.concat([mine, single.with_columns(**known)], how="diagonal_relaxed")
    # Of equals the one that stays longer.
    stay = pl.col("left").replace("stays", "1000000000").cast(pl.Int64)
    at = mine.filter((pl.col("split") == "validation") & (pl.col("width") == recipe.dimension))
    # `main_rows` ranks within a task; candidates differ in `left`, not in their measures.
    best = (
        main_rows(at)
        .with_columns(stay.alias("stay"), pl.col("score").round(6))
        .sort("score", "stay", descending=True)
        .unique(["task", "seed", "steps"], keep="first", maintain_order=True)
    )
    keys = ["task", "seed", "steps", "left"]
    chosen = mine.join(best.select(keys), on=keys, how="semi")
    rest = scores.filter(~((pl.col("arm") == "multi") & own))
    return pl.concat([rest, chosen], how="diagonal_relaxed")


def chosen_variant(learned: pl.DataFrame, recipe: Recipe) -> tuple[int, int, str]:
    """Width, length and head that are best for the single-task models on validation rows."""
    rows = main_rows(learned.filter(pl.col("split") == "validation"))
    alone = rows.filter((pl.col("arm") == "single") & (pl.col("width") == recipe.dimension))
    means = alone.group_by("steps", "head").agg(pl.col("score").mean(), pl.len())
    complete = means.filter(pl.col("len") == pl.col("len").max())
    best = complete.sort("score", descending=True).row(0, named=True)
    return recipe.dimension, int(best["steps"]), str(best["head"])


def main() -> None:
    """Reads, tells and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("scores", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--alone", action="store_true")
    options = parser.parse_args()
    recipe, _ = load_recipe(options.recipe, [])
    scores = pl.concat([pl.read_ndjson(file) for file in options.scores], how="diagonal_relaxed")
    table = variants_table(best_of_each(scores, recipe, alone=options.alone), recipe)
    numbers = [name for name, kind in table.schema.items() if kind == pl.Float64]
    table = table.with_columns(pl.col(numbers).round(4).replace(float("nan"), None))
    table.write_csv(options.out)
    for key, rows in table.filter(pl.col("split") == "test").group_by(
        "width", "steps", "head", "chosen", maintain_order=True
    ):
        print(*key)
        for row in rows.iter_rows(named=True):
            numbers = [row["base"], row["base_pca"], row["single"], row["multi"],
                       row["difference"], row["low"], row["high"]]  # fmt: skip
            cells = "".join(f"{np.nan if x is None else x:8.1f}" for x in numbers)
            print(f"  {row['task']:20}{cells}  {row['verdict']}")


if __name__ == "__main__":
    main()
