"""From a file to a `Task`: columns checked, texts cleaned, splits made, leaks and repeats dropped.

What is dropped and why is counted in `TaskFacts`, and said; nothing vanishes in silence.

1. Rows without text, label, pair or score (null, NaN, blank) are dropped.
2. Splits: names such as dev or valid are mapped; without a split column one is made here, seeded,
   with equal texts on one side and every label with two rows or more in train.
3. Training rows whose text also stands in validation or test are dropped (unless asked otherwise),
   then exact repeats among training rows. Texts are compared lower-cased without punctuation.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from trine.core.errors import ConfigError, DataError
from trine.core.seeding import Seeds
from trine.embeddings.config import Recipe, TaskConfig
from trine.embeddings.languages import check_language, language_code
from trine.embeddings.tasks import Task

__all__ = ["TaskFacts", "load_task", "load_tasks", "normalised"]

_LOG = logging.getLogger(__name__)

_SPLITS = {
    "train": "train", "training": "train", "tr": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "devel": "validation", "development": "validation", "eval": "validation",
    "test": "test", "testing": "test", "te": "test",
}  # fmt: skip


@dataclass
class TaskFacts:
    """What loading found and did.

    Attributes:
      name: of the task.
      rows: in the source.
      incomplete: dropped for a missing text, label, pair or score.
      repeats: training rows dropped as exact repeats.
      leaks: training rows dropped because their text is also in validation or test.
      test_leaks: distinct rows of validation or test that training rows repeated.
      long_texts: over 10,000 characters; the tokenizer will cut them.
      single_labels: labels with one training row, which have no positive.
      unseen_labels: labels in validation or test only.
      splits: rows of each split.
    """

    name: str
    rows: int = 0
    incomplete: int = 0
    repeats: int = 0
    leaks: int = 0
    test_leaks: int = 0
    long_texts: int = 0
    single_labels: list[str] = field(default_factory=list)
    unseen_labels: list[str] = field(default_factory=list)
    splits: dict[str, int] = field(default_factory=dict)


def normalised(column: str) -> pl.Expr:
    """The text for comparisons: lower case, letters, marks and digits only, single spaces."""
    return (
        pl.col(column)
        .str.to_lowercase()
        .str.replace_all(r"[^\p{L}\p{M}\p{N}]+", " ")
        .str.strip_chars()
    )


def load_tasks(
    recipe: Recipe, base: Path, *, drop_leaks: bool = True
) -> tuple[list[Task], list[TaskFacts]]:
    """All tasks of a recipe, in its order.

    Args:
      recipe: checked.
      base: directory that relative sources start from.
      drop_leaks: whether training rows repeated in validation or test are dropped.
    """
    loaded = [load_task(t, base, seed=recipe.seed, drop_leaks=drop_leaks) for t in recipe.tasks]
    return [task for task, _ in loaded], [facts for _, facts in loaded]


def load_task(
    config: TaskConfig, base: Path, *, seed: int = 0, drop_leaks: bool = True
) -> tuple[Task, TaskFacts]:
    """One task.

    Args:
      config: of the task.
      base: directory that a relative source starts from.
      seed: of the split and of `max_rows`.
      drop_leaks: see the module.

    Raises:
      ConfigError: a column that is not there.
      DataError: a file that cannot be read, or no usable row.
    """
    from trine.embeddings.sources import read_source

    table = read_source(config.source, base)
    facts = TaskFacts(config.name, rows=table.height)
    frame = _canonical(config, table)
    frame = _complete(config, frame, facts)
    frame = _chosen(config, frame)
    if not frame.height:
        raise DataError(
            f"task {config.name!r}: no usable row of {facts.rows} in {config.source}",
            hint="check its columns, `languages` and `drop_labels`",
        )
    for code in sorted(frame["language"].unique()):
        check_language(code, f"task {config.name!r}")
    seeds = Seeds(seed).child("task", config.name)
    frame = _split(config, frame, seeds)
    frame = _without_repeats(config, frame, facts, drop_leaks)
    frame = _limited(config, frame, seeds)
    task = Task(config, frame)
    _describe(task, facts)
    return task, facts


def _canonical(config: TaskConfig, table: pl.DataFrame) -> pl.DataFrame:
    wanted = [config.text, config.pair, config.language, config.split]
    grouped = config.kind == "pairs" and config.label in table.columns
    if config.kind == "graded":
        wanted.append(config.score)
    elif config.kind != "pairs" or grouped:
        wanted.extend(config.labels)
    missing = [name for name in wanted if name and name not in table.columns]
    if missing:
        raise ConfigError(
            f"task {config.name!r}: {config.source} has no column {missing[0]!r}",
            accepted=", ".join(table.columns),
        )
    columns = [
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"),
        (pl.col(config.split).cast(pl.String) if config.split else pl.lit("")).alias("split"),
        (
            pl.col(config.language).cast(pl.String).str.strip_chars()
            if config.language
            else pl.lit(config.default_language)
        ).alias("language"),
        pl.col(config.text).cast(pl.String).str.strip_chars().alias("text"),
    ]
    if config.pair:
        columns.append(pl.col(config.pair).cast(pl.String).str.strip_chars().alias("pair"))
    if config.kind == "graded":
        columns.append(pl.col(config.score).cast(pl.Float64, strict=False).alias("score"))
    elif config.kind == "pairs":
        group = pl.concat_list(pl.col(config.labels[0]).cast(pl.String)) if grouped else None
        columns.append(
            (group if group is not None else pl.lit([], pl.List(pl.String))).alias("labels")
        )
    elif config.kind == "multi":
        columns.append(_several(config, table).alias("labels"))
    else:
        texts = [pl.col(name).cast(pl.String).str.strip_chars() for name in config.labels]
        columns.append(pl.concat_list(texts).alias("labels"))
    return table.select(columns)


def _several(config: TaskConfig, table: pl.DataFrame) -> pl.Expr:
    column = pl.col(config.labels[0])
    if isinstance(table.schema[config.labels[0]], pl.List):
        return column.cast(pl.List(pl.String))
    parts = column.cast(pl.String).str.split(config.separator)
    return parts.list.eval(
        pl.element().str.strip_chars().filter(pl.element().str.strip_chars() != "")
    )


def _complete(config: TaskConfig, frame: pl.DataFrame, facts: TaskFacts) -> pl.DataFrame:
    def filled(column: str) -> pl.Expr:
        text = pl.col(column)
        return text.is_not_null() & (text != "") & (text.str.to_lowercase() != "nan")

    whole = filled("text")
    if "pair" in frame.columns:
        whole = whole & filled("pair")
    if config.kind == "graded":
        whole = whole & pl.col("score").is_not_null() & pl.col("score").is_finite()
    elif config.kind != "pairs":
        labels = pl.col("labels")
        blank = labels.list.eval(pl.element().is_null() | (pl.element() == "")).list.any()
        whole = whole & labels.is_not_null() & (labels.list.len() > 0) & ~blank
    kept = frame.filter(whole.fill_null(False))
    facts.incomplete = frame.height - kept.height
    languages = pl.col("language").fill_null(config.default_language)
    codes = {name: language_code(name) for name in kept.select(languages)["language"].unique()}
    return kept.with_columns(languages.replace(codes))


def _chosen(config: TaskConfig, frame: pl.DataFrame) -> pl.DataFrame:
    if config.languages:
        frame = frame.filter(pl.col("language").is_in(list(config.languages)))
    if config.drop_labels and "labels" in frame.columns:
        dropped = list(config.drop_labels)
        unwanted = pl.col("labels").list.eval(pl.element().is_in(dropped)).list.any()
        frame = frame.filter(~unwanted.fill_null(False))
    return frame


def _split(config: TaskConfig, frame: pl.DataFrame, seeds: Seeds) -> pl.DataFrame:
    if config.split:
        given = frame["split"].fill_null("").str.to_lowercase().str.strip_chars()
        unknown = sorted(set(given.unique()) - set(_SPLITS))
        if unknown:
            raise DataError(
                f"task {config.name!r}: split {unknown[0]!r} in column {config.split!r}",
                accepted=", ".join(dict.fromkeys(_SPLITS)),
            )
        return frame.with_columns(given.replace_strict(_SPLITS).alias("split"))
    # Equal texts stay together: the unit that is split is the distinct normalised text.
    keys = frame.with_columns(normalised("text").alias("key"), _first_label(frame).alias("first"))
    groups = keys.group_by("key", maintain_order=True).agg(pl.col("first").first())
    order = seeds.generator("split").permutation(groups.height)
    groups = groups.with_columns(pl.Series("draw", order)).sort("draw")
    share = config.test_share
    position = pl.int_range(pl.len()).over("first")
    count = pl.len().over("first")
    # By label; a label's first row is always for training.
    in_test = (position > 0) & (position <= ((count * share) + 0.5).floor())
    sides = groups.with_columns(
        pl.when(in_test).then(pl.lit("test")).otherwise(pl.lit("train")).alias("side")
    )
    joined = keys.join(sides.select("key", "side"), on="key", how="left", maintain_order="left")
    return joined.with_columns(pl.col("side").alias("split")).drop("key", "first", "side")


def _first_label(frame: pl.DataFrame) -> pl.Expr:
    if "labels" not in frame.columns:
        return pl.lit("")
    return pl.col("labels").list.first().fill_null("")


def _without_repeats(
    config: TaskConfig, frame: pl.DataFrame, facts: TaskFacts, drop_leaks: bool
) -> pl.DataFrame:
    key = normalised("text")
    if "pair" in frame.columns:
        key = pl.concat_str(key, normalised("pair"), separator="\t")
    # Texts of signs only ("?!", emoji) are compared as they are.
    raw = (
        pl.concat_str("text", "pair", separator="\t") if "pair" in frame.columns else pl.col("text")
    )
    keyed = frame.with_columns(
        pl.concat_str(
            "language", pl.when(key.str.strip_chars() == "").then(raw).otherwise(key), separator=":"
        ).alias("key")
    )
    train = pl.col("split") == "train"
    scored = keyed.filter(~train)
    known = keyed.filter(train)
    facts.test_leaks = scored.filter(pl.col("key").is_in(known["key"].unique().implode())).height
    if drop_leaks and scored.height:
        kept = known.filter(~pl.col("key").is_in(scored["key"].unique().implode()))
        facts.leaks = known.height - kept.height
        known = kept
    subset = ["key", "labels"] if "labels" in keyed.columns else ["key"]
    unique = known.unique(subset=subset, keep="first", maintain_order=True)
    facts.repeats = known.height - unique.height
    return pl.concat([unique, scored]).sort("row").drop("key")


def _limited(config: TaskConfig, frame: pl.DataFrame, seeds: Seeds) -> pl.DataFrame:
    train = frame.filter(pl.col("split") == "train")
    if config.max_rows is None or train.height <= config.max_rows:
        return frame
    chosen = seeds.generator("rows").permutation(train.height)[: config.max_rows]
    kept = train[sorted(int(i) for i in chosen)]
    return pl.concat([kept, frame.filter(pl.col("split") != "train")]).sort("row")


def _describe(task: Task, facts: TaskFacts) -> None:
    frame = task.frame
    facts.splits = {
        str(name): int(n) for name, n in frame["split"].value_counts().sort("split").iter_rows()
    }
    facts.long_texts = frame.filter(pl.col("text").str.len_chars() > 10_000).height
    if "labels" in frame.columns and task.kind != "pairs":
        finest = (
            frame if task.kind == "multi" else frame.with_columns(pl.col("labels").list.tail(1))
        )
        rows = finest.select("split", pl.col("labels").alias("label")).explode("label")
        counts = rows.filter(pl.col("split") == "train")["label"].value_counts()
        facts.single_labels = sorted(counts.filter(pl.col("count") == 1)["label"].to_list())
        seen = set(counts["label"].to_list())
        facts.unseen_labels = sorted(set(rows["label"].to_list()) - seen)
    if task.config.role == "train" and not task.train.height:
        raise DataError(
            f"task {task.name!r} is to be trained on and has no training row",
            hint='give it a split column with train rows, or role = "zero_shot"',
        )
    for count, what in (
        (facts.incomplete, "rows without text or label dropped"),
        (facts.leaks, "training rows dropped, their text is in validation or test"),
        (facts.repeats, "repeated training rows dropped"),
    ):
        if count:
            _LOG.info("task %s: %d %s", task.name, count, what)
