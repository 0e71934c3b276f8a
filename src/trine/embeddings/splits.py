"""Which rows train and which test: names of splits, splits made here, leaks and repeats dropped.

Two texts are the same if their letters, marks and digits are: lower-cased, everything else a space
(`normalised`). Texts of signs only ("?!", emoji) are compared as they are. A pair is the same if
both of its texts are.
"""

from __future__ import annotations

from types import MappingProxyType

import polars as pl

from trine.core.errors import DataError
from trine.core.seeding import Seeds
from trine.embeddings.config import TaskConfig

__all__ = [
    "SPLITS",
    "drop_leaks_and_repeats",
    "first_rows",
    "make_split",
    "named_split",
    "normalised",
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


def make_split(config: TaskConfig, frame: pl.DataFrame, seeds: Seeds) -> pl.DataFrame:
    """Train and test, label by label; equal texts on one side, a label's first text in train.

    The unit that is split is the distinct text, in whatever language or label it stands; of pairs
    with a group, the group.
    """
    # Strata: of several label columns the finest, so that every label can be on both sides.
    finest = pl.col("labels").list.last() if "labels" in frame.columns else pl.lit("")
    if config.kind == "pairs":
        unit, stratum = pl.coalesce(finest, text_key("text")), pl.lit("")
    else:
        unit, stratum = text_key("text"), finest.fill_null("")
    keyed = frame.with_columns(unit.alias("unit"), stratum.alias("stratum"))
    units = keyed.group_by("unit", maintain_order=True).agg(pl.col("stratum").first())
    order = seeds.generator("split").permutation(units.height)
    units = units.with_columns(pl.Series("draw", order)).sort("draw")
    position = pl.int_range(pl.len()).over("stratum")
    count = pl.len().over("stratum")
    in_test = (position > 0) & (position <= (count * config.test_share + 0.5).floor())
    sides = units.select(
        "unit", pl.when(in_test).then(pl.lit("test")).otherwise(pl.lit("train")).alias("side")
    )
    joined = keyed.join(sides, on="unit", how="left", maintain_order="left")
    return joined.with_columns(pl.col("side").alias("split")).drop("unit", "stratum", "side")


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


def first_rows(keyed: pl.DataFrame) -> pl.DataFrame:
    """The first row of each key (column `key`) with the same labels; order is kept."""
    subset = ["key", *(["labels"] if "labels" in keyed.columns else [])]
    return keyed.unique(subset=subset, keep="first", maintain_order=True)
