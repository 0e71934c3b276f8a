"""Which rows train and which test: names of splits, splits made here, leaks and repeats dropped.

A split that is made here sorts the texts by a hash of text and seed, so that a text of two tasks
falls on the same side of both as far as their labels allow.

Two texts are the same if their letters, marks and digits are: lower-cased, everything else a space
(`normalised`). Texts of signs only ("?!", emoji) are compared as they are. A pair is the same if
both of its texts are.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from types import MappingProxyType

import numpy as np
import polars as pl

from trine.core.errors import DataError
from trine.embeddings.config import TaskConfig

__all__ = [
    "SPLITS",
    "STEP",
    "drop_leaks_and_repeats",
    "every_text",
    "first_rows",
    "make_split",
    "named_split",
    "normalised",
    "path_rows",
    "row_key",
    "text_key",
]

# What a split column may say, and what it means.
SPLITS = MappingProxyType(
    {
        "train": "train", "training": "train", "tr": "train",
        "validation": "validation", "valid": "validation", "val": "validation",
        "dev": "validation", "devel": "validation", "development": "validation",
        "eval": "validation",
        "test": "test", "testing": "test", "te": "test",
    }
)  # fmt: skip

STEP = " / "
"""Between the levels of a label that is told or compared as one name."""

# Variation selectors are marks to Unicode, but only choose between two pictures of one emoji.
_SIGNS = r"[[^\p{L}\p{M}\p{N}]\x{FE00}-\x{FE0F}]+"


def normalised(column: str) -> pl.Expr:
    """The text for comparisons: lower case, letters, marks and digits only, single spaces."""
    return pl.col(column).str.to_lowercase().str.replace_all(_SIGNS, " ").str.strip_chars()


def text_key(column: str) -> pl.Expr:
    """What makes two texts the same: `normalised`, or the text itself if it is signs only."""
    key = normalised(column)
    return pl.when(key == "").then(pl.col(column)).otherwise(key)


def row_key(frame: pl.DataFrame) -> pl.Expr:
    """What makes two rows of a task the same text (or the same two texts), in one language."""
    parts = [text_key(name) for name in ("text", "pair") if name in frame.columns]
    return pl.concat_str("language", *parts, separator="\t")


def named_split(config: TaskConfig, frame: pl.DataFrame) -> pl.DataFrame:
    """The split column in the three names that Trine uses.

    Raises:
      DataError: a name that is none of `SPLITS`.
    """
    given = frame["split"].fill_null("").str.to_lowercase().str.strip_chars()
    unknown = sorted(set(given.unique()) - set(SPLITS))
    if unknown:
        raise DataError(
            f"task {config.name!r}: split {unknown[0]!r} in column {config.split!r}",
            accepted=", ".join(SPLITS),
            hint='leave out `split` (or set it to "") and a split is made',
        )
    return frame.with_columns(given.replace_strict(SPLITS).alias("split"))


def make_split(config: TaskConfig, frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Train and test, label by label; equal texts on one side, each label's first text in train.

    The unit that is split is the distinct text, in whatever language or label it stands. Of pairs
    it is the group, where one is given, else all rows that are linked by a text on either side:
    one English sentence with its translations into many languages is one unit.

    Args:
      config: of the task.
      frame: without a split.
      seed: the same for all tasks of a recipe.
    """
    # Strata: of several label columns the whole path, so that every label can be on both sides.
    finest = pl.col("labels").list.last() if "labels" in frame.columns else pl.lit("")
    if config.kind == "hierarchical":
        finest = pl.col("labels").list.join(STEP)
    if config.kind == "pairs":
        linked = pl.Series("linked", _linked(frame))
        unit, stratum = pl.coalesce(finest, linked), pl.lit("")
    else:
        unit, stratum = text_key("text"), finest.fill_null("")
    keyed = frame.with_columns(unit.alias("unit"), stratum.alias("stratum"))
    units = keyed.group_by("unit", maintain_order=True).agg(pl.col("stratum").first())
    draws = pl.Series("draw", _hashes(units["unit"], seed))
    units = units.with_columns(draws).sort("draw", "unit")
    position = pl.int_range(pl.len()).over("stratum")
    count = pl.len().over("stratum")
    in_test = (position > 0) & (position <= (count * config.test_share + 0.5).floor())
    if config.kind != "pairs" and "labels" in frame.columns:
        # A label may stand beside others, or on another row of the text, and in no stratum.
        if config.kind == "hierarchical":
            labels = path_rows(keyed, "unit").select("unit", "label")
        else:
            labels = keyed.select("unit", pl.col("labels").alias("label")).explode("label")
        first = units.select("unit", "draw").join(labels, on="unit").sort("draw", "unit")
        needed = first.group_by("label", maintain_order=True).first()["unit"].unique()
        in_test = in_test & ~pl.col("unit").is_in(needed.implode())
    sides = units.select(
        "unit", pl.when(in_test).then(pl.lit("test")).otherwise(pl.lit("train")).alias("side")
    )
    joined = keyed.join(sides, on="unit", how="left", maintain_order="left")
    return joined.with_columns(pl.col("side").alias("split")).drop("unit", "stratum", "side")


def path_rows(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """Of each row of a hierarchy its path down to each of its levels.

    A label of a hierarchy is what stands above it, too: `other` of two branches is two labels.

    Args:
      frame: with `labels`, coarse to fine.
      columns: to keep.

    Returns:
      The columns, `depth` (from 1) and `label`, the path as `coarse / fine`.
    """
    deepest = frame["labels"].list.len().max()
    levels = [
        frame.filter(pl.col("labels").list.len() >= depth).select(
            *columns,
            pl.lit(depth).alias("depth"),
            pl.col("labels").list.head(depth).list.join(STEP).alias("label"),
        )
        for depth in range(1, int(deepest or 1) + 1)  # pyright: ignore[reportArgumentType] (stubs)
    ]
    return pl.concat(levels)


def _hashes(units: Iterable[str], seed: int) -> list[int]:
    """A number from 0 to 2^63 for each text: the same on every machine and in every version."""
    key = str(seed).encode()
    made = (blake2b(unit.encode(), digest_size=8, key=key).digest() for unit in units)
    return [int.from_bytes(digest, "big") >> 1 for digest in made]


def _linked(frame: pl.DataFrame) -> list[str]:
    """Of each row of pairs the name of its component: rows that share a text on either side.

    If one component is most of the task (few answers to many questions), rows are linked by their
    first text only; otherwise there would be nothing to test on.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    texts, pairs = (frame.select(text_key(name))[name] for name in ("text", "pair"))
    sides = [column.rank("dense").to_numpy().astype(np.int64) - 1 for column in (texts, pairs)]
    first = int(sides[0].max()) + 1
    size = first + int(sides[1].max()) + 1
    edges = (np.ones(frame.height, np.int8), (sides[0], first + sides[1]))
    of_node = connected_components(coo_array(edges, shape=(size, size)), directed=False)[1]
    component = of_node[sides[0]]
    if frame.height > 1 and np.bincount(component).max() > frame.height / 2:
        return texts.to_list()
    # Named by its least text, so that the draw does not depend on the order of the rows.
    named = pl.DataFrame({"component": component, "text": texts})
    return named.select(pl.col("text").min().over("component"))["text"].to_list()


def drop_leaks_and_repeats(
    frame: pl.DataFrame, *, drop_leaks: bool = True
) -> tuple[pl.DataFrame, int, int, int]:
    """Training rows that no other row repeats.

    Args:
      frame: with its final splits.
      drop_leaks: whether training rows are dropped that stand in validation or test too.

    Returns:
      The rows; leaks dropped; rows of validation and test that were leaked; repeats dropped.
    """
    keyed = frame.with_columns(row_key(frame).alias("key"))
    train = pl.col("split") == "train"
    scored, known = keyed.filter(~train), keyed.filter(train)
    leaked = scored.filter(pl.col("key").is_in(known["key"].unique().implode())).height
    kept = known
    if drop_leaks:
        kept = known.filter(~pl.col("key").is_in(scored["key"].unique().implode()))
    unique = first_rows(kept)
    rows = pl.concat([unique, scored]).sort("row").drop("key")
    return rows, known.height - kept.height, leaked, kept.height - unique.height


def every_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Columns `row`, `split`, `key`: each text of each row, whatever its language or column."""
    columns = [name for name in ("text", "pair") if name in frame.columns]
    keys = [frame.select("row", "split", text_key(name).alias("key")) for name in columns]
    return pl.concat(keys)


def first_rows(keyed: pl.DataFrame) -> pl.DataFrame:
    """The first row of each key (column `key`) with the same labels; order is kept."""
    subset = ["key", *(["labels"] if "labels" in keyed.columns else [])]
    return keyed.unique(subset=subset, keep="first", maintain_order=True)
