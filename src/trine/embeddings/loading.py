"""From a file to a `Task`: columns checked, texts cleaned, splits made, leaks and repeats dropped.

What is dropped and why is counted in `TaskFacts`, whose `remarks` the commands say; nothing
vanishes in silence.

1. Rows without text, label, pair or score (null, NaN, blank) are dropped. Of several levels the
   finer ones may be blank: the path of the row ends there.
2. Splits: names such as dev or valid are mapped; without a split column one is made, seeded, with
   equal texts on one side and every label in train (see `trine.embeddings.splits`). Unlabelled
   text, which nothing is scored on, all trains then.
3. Training rows whose text also stands in validation or test are dropped (unless asked otherwise),
   then repeats among training rows. Texts of one language are compared, lower-cased, without
   punctuation: "Hotel" in another language is another row of the task.
4. Training rows with a text that *another* task of the recipe is scored on are dropped too: what a
   score says of texts never seen must be true of the whole training. Here the language does not
   count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from trine.core.errors import ConfigError, DataError, nearest
from trine.core.seeding import Seeds
from trine.embeddings.config import Recipe, TaskConfig
from trine.embeddings.languages import check_language, language_code
from trine.embeddings.splits import (
    STEP,
    drop_leaks_and_repeats,
    every_text,
    make_split,
    named_split,
    path_rows,
    row_key,
)
from trine.embeddings.table_files import cast_column, read_table
from trine.embeddings.tasks import Task

__all__ = [
    "LONG",
    "TaskFacts",
    "conflicts",
    "describe",
    "label_rows",
    "load_task",
    "load_tasks",
    "read_rows",
    "read_table",
]

LONG = 10_000
"""Characters; a longer text is kept, and the tokenizer cuts most of it off."""


@dataclass
class TaskFacts:
    """What loading found and did.

    Attributes:
      name: of the task.
      rows: in the source.
      incomplete: dropped for a missing text, label, pair or score.
      repeats: training rows dropped as exact repeats.
      leaks: training rows dropped because their text is also in validation or test.
      test_leaks: rows of validation and test whose text training rows had.
      foreign_leaks: training rows dropped because another task is scored on their text.
      conflicts: texts that stand in the task with different labels or scores.
      long_texts: rows with a text over `LONG` characters; the tokenizer will cut them.
      single_labels: labels with one training row, which have no positive; of a task that is
        trained on.
      unseen_labels: labels in validation or test only.
      splits: rows of each split.
    """

    name: str
    rows: int = 0
    incomplete: int = 0
    repeats: int = 0
    leaks: int = 0
    test_leaks: int = 0
    foreign_leaks: int = 0
    conflicts: int = 0
    long_texts: int = 0
    single_labels: list[str] = field(default_factory=list)
    unseen_labels: list[str] = field(default_factory=list)
    splits: dict[str, int] = field(default_factory=dict)

    @property
    def remarks(self) -> str:
        """What a user should know of the rows, in one line; empty if there is nothing."""
        counted = (
            (self.incomplete, "row(s) without text, label, pair or score dropped"),
            (self.leaks, "training row(s) dropped, their text is in validation or test"),
            (self.foreign_leaks, "training row(s) dropped, another task is scored on their text"),
            (self.repeats, "repeated training row(s) dropped"),
            (self.conflicts, "text(s) with different labels or scores"),
            (self.long_texts, f"text(s) over {LONG:,} characters will be cut"),
        )
        named = (
            (self.single_labels, "with one training row"),
            (self.unseen_labels, "in no training row"),
        )
        parts = [f"{count:,} {what}" for count, what in counted if count]
        parts += [
            f"{len(names):,} label(s) {what} ({_some(names)})" for names, what in named if names
        ]
        return f"task {self.name}: {'; '.join(parts)}" if parts else ""


def _some(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    return f"{shown}, ..." if len(names) > most else shown


def load_tasks(
    recipe: Recipe, base: Path, *, drop_leaks: bool = True
) -> tuple[list[Task], list[TaskFacts]]:
    """All tasks of a recipe, in its order.

    Args:
      recipe: checked.
      base: directory that relative sources start from.
      drop_leaks: whether training rows repeated in validation or test, of the same task or of
        another, are dropped.

    Raises:
      ConfigError: a column that is not there.
      DataError: a file that cannot be read, or a task without a row that can be used.
    """
    seed = recipe.data_seed
    loaded = [load_task(t, base, seed=seed, drop_leaks=drop_leaks) for t in recipe.tasks]
    tasks = [task for task, _ in loaded]
    facts = [found for _, found in loaded]
    if drop_leaks:
        tasks = _without_foreign_leaks(tasks, facts)
    return tasks, facts


def _without_foreign_leaks(tasks: list[Task], facts: list[TaskFacts]) -> list[Task]:
    """The tasks without training rows that another one is scored on; counted in `facts`."""
    texts = [every_text(task.frame) for task in tasks]
    scored = [
        # Unlabelled text is never scored, wherever a column of splits puts it.
        frame.filter((pl.col("split") != "train") & (task.kind != "unlabelled"))
        .select("key")
        .unique()
        for task, frame in zip(tasks, texts, strict=True)
    ]
    kept: list[Task] = []
    for place, (task, own, found) in enumerate(zip(tasks, texts, facts, strict=True)):
        others = scored[:place] + scored[place + 1 :]
        if task.config.role != "train" or not others:
            kept.append(task)
            continue
        train = own.filter(pl.col("split") == "train")
        rows = train.join(pl.concat(others).unique(), on="key", how="semi")["row"].unique()
        if len(rows):
            leaked = (pl.col("split") == "train") & pl.col("row").is_in(rows.implode())
            task = Task(task.config, task.frame.filter(~leaked))
            found.foreign_leaks = len(rows)
            if not task.train.height:
                raise DataError(
                    f"task {task.name!r}: other tasks are scored on all of its training rows",
                    hint="give tasks on the same texts one split column",
                )
            describe(task, found)
        kept.append(task)
    return kept


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
    frame, facts = read_rows(config, base, seed=seed)
    facts.conflicts = conflicts(config, frame)
    frame, facts.leaks, facts.test_leaks, facts.repeats = drop_leaks_and_repeats(
        frame, drop_leaks=drop_leaks
    )
    frame = _limited(config, frame, Seeds(seed).child("task", config.name))
    task = Task(config, frame)
    if config.role == "train" and not task.train.height:
        raise DataError(
            f"task {config.name!r} is to be trained on and has no training row",
            hint='give it a split column with train rows, or role = "zero_shot"',
        )
    describe(task, facts)
    return task, facts


def read_rows(
    config: TaskConfig, base: Path, *, seed: int = 0, table: pl.DataFrame | None = None
) -> tuple[pl.DataFrame, TaskFacts]:
    """Every usable row with its final split, repeats and leaks still among them.

    Args:
      config: of the task.
      base: directory that a relative source starts from.
      seed: of the split.
      table: the source's rows, if they have been read already.

    Raises:
      ConfigError: a column that is not there.
      DataError: a file that cannot be read, or no usable row.
    """
    from trine.embeddings.sources import read_source

    table = read_source(config.source, base) if table is None else table
    facts = TaskFacts(config.name, rows=table.height)
    frame = _canonical(config, table)
    frame = _complete(config, frame, facts)
    _check_languages(config, frame)
    frame = _chosen(config, frame)
    if not frame.height:
        raise DataError(
            f"task {config.name!r}: no usable row of {facts.rows} in {config.source}",
            hint="check its columns, `languages` and `drop_labels`",
        )
    if config.split:
        return named_split(config, frame), facts
    if config.kind == "unlabelled":  # nothing to score: no row is put aside for it
        return frame.with_columns(pl.lit("train").alias("split")), facts
    return make_split(config, frame, seed), facts


def _canonical(config: TaskConfig, table: pl.DataFrame) -> pl.DataFrame:
    wanted = [config.text, config.pair, config.language, config.split]
    grouped = config.kind == "pairs" and bool(config.label)
    if config.kind == "graded":
        wanted.append(config.score)
    elif config.kind not in ("pairs", "unlabelled") or grouped:
        wanted.extend(config.labels)
    missing = [name for name in wanted if name and name not in table.columns]
    if missing:
        near = nearest(missing[0], table.columns, limit=1)
        raise ConfigError(
            f"task {config.name!r}: {config.source} has no column {missing[0]!r}",
            accepted=", ".join(table.columns),
            hint=f"did you mean {near[0]!r}?" if near else "",
        )
    lists = config.labels if config.kind == "multi" else ()
    nested = [
        name
        for name in wanted
        if name and table.schema[name].is_nested()
        and not (name in lists and isinstance(table.schema[name], pl.List))
    ]  # fmt: skip
    if nested:
        raise DataError(
            f"task {config.name!r}: column {nested[0]!r} of {config.source} holds lists or records",
            accepted="texts, numbers or (kind multi) lists of labels",
        )
    table = table.with_columns(
        cast_column(
            table[name],
            pl.Float64 if config.kind == "graded" and name == config.score
            else pl.List(pl.String) if name in lists and table.schema[name].is_nested()
            else pl.String,
            f"task {config.name!r}: column {name!r} of {config.source}",
        )
        for name in dict.fromkeys(wanted) if name
    )  # fmt: skip
    columns = [
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"),
        (pl.col(config.split) if config.split else pl.lit("")).alias("split"),
        (
            pl.col(config.language).str.strip_chars()
            if config.language
            else pl.lit(config.default_language)
        ).alias("language"),
        pl.col(config.text).str.strip_chars().alias("text"),
    ]
    if config.pair:
        columns.append(pl.col(config.pair).str.strip_chars().alias("pair"))
    if config.kind == "graded":
        columns.append(pl.col(config.score).alias("score"))
    elif config.kind == "pairs":
        group = pl.lit(None, pl.String)
        if grouped:
            given = pl.col(config.labels[0]).str.strip_chars()
            group = pl.when(_filled(given)).then(given)  # a blank group is none
        columns.append(pl.concat_list(group).list.drop_nulls().alias("labels"))
    elif config.kind == "unlabelled":
        columns.append(pl.lit([], pl.List(pl.String)).alias("labels"))
    elif config.kind == "multi":
        columns.append(_several(config, table).alias("labels"))
    else:
        texts = [pl.col(name).str.strip_chars() for name in config.labels]
        columns.append(pl.concat_list(texts).alias("labels"))
    return table.select(columns)


def _several(config: TaskConfig, table: pl.DataFrame) -> pl.Expr:
    column = pl.col(config.labels[0])
    if isinstance(table.schema[config.labels[0]], pl.List):
        parts = column
    else:
        parts = column.str.split(config.separator)
    label = pl.element().str.strip_chars()
    return parts.list.eval(label.filter(label != "")).list.unique(maintain_order=True)


def _filled(text: pl.Expr) -> pl.Expr:
    return text.is_not_null() & (text != "") & (text.str.to_lowercase() != "nan")


def _complete(config: TaskConfig, frame: pl.DataFrame, facts: TaskFacts) -> pl.DataFrame:
    whole = _filled(pl.col("text"))
    if "pair" in frame.columns:
        whole = whole & _filled(pl.col("pair"))
    if config.kind == "graded":
        whole = whole & pl.col("score").is_not_null() & pl.col("score").is_finite()
    elif config.kind not in ("pairs", "unlabelled"):
        labels = pl.col("labels")
        label = pl.element().str.to_lowercase()
        blank = label.is_null() | label.is_in(["", "nan"])
        if config.kind == "hierarchical":  # a path may end early; a blank inside it stays
            deep = labels.list.eval(~blank).list.sum()
            frame = frame.with_columns(labels.list.head(deep))
        none = labels.list.eval(blank).list.any()
        whole = whole & labels.is_not_null() & (labels.list.len() > 0) & ~none
    kept = frame.filter(whole.fill_null(False))
    facts.incomplete = frame.height - kept.height
    given = pl.col("language")
    languages = pl.when(given != "").then(given).otherwise(pl.lit(config.default_language))
    kept = kept.with_columns(languages.alias("language"))
    codes = {name: language_code(name) for name in kept["language"].unique()}
    return kept.with_columns(pl.col("language").replace(codes))


def _check_languages(config: TaskConfig, frame: pl.DataFrame) -> None:
    there = sorted(frame["language"].unique())
    for code in there:
        check_language(code, f"task {config.name!r}")
    for option in ("languages", "held_out_languages"):
        for code in getattr(config, option):
            if code not in there:
                raise ConfigError(
                    f"task {config.name!r}: {option} names {code!r}, which no row has",
                    accepted=", ".join(there),
                )


def _chosen(config: TaskConfig, frame: pl.DataFrame) -> pl.DataFrame:
    if config.languages:
        frame = frame.filter(pl.col("language").is_in(list(config.languages)))
    if config.drop_labels and "labels" in frame.columns:
        dropped = list(config.drop_labels)
        unwanted = pl.col("labels").list.eval(pl.element().is_in(dropped)).list.any()
        frame = frame.filter(~unwanted.fill_null(False))
    return frame


def _limited(config: TaskConfig, frame: pl.DataFrame, seeds: Seeds) -> pl.DataFrame:
    # Of languages that are held out no row trains, so none may stand for one that does.
    trains = (pl.col("split") == "train") & ~pl.col("language").is_in(config.held_out_languages)
    train = frame.filter(trains)
    wanted = config.validation_rows
    if not wanted and (config.max_rows is None or train.height <= config.max_rows):
        return frame
    if config.role == "train" and 0 < train.height <= wanted:
        raise DataError(
            f"task {config.name!r}: validation_rows = {wanted} of {train.height} training rows",
            accepted=f"0 to {train.height - 1}",
        )
    order = seeds.generator("rows").permutation(train.height)
    most = max(0, train.height - wanted)
    rows = most if config.max_rows is None else min(config.max_rows, most)
    kept = train[sorted(int(i) for i in order[:rows])]
    aside = train[sorted(int(i) for i in order[rows : rows + wanted])]
    aside = aside.with_columns(pl.lit("validation").alias("split"))
    return pl.concat([kept, aside, frame.filter(~trains)]).sort("row")


def conflicts(config: TaskConfig, frame: pl.DataFrame) -> int:
    """How many texts stand in a task with different labels or scores; one of them must be wrong."""
    if config.kind not in ("single", "multi", "hierarchical", "graded"):
        return 0
    keyed = frame.with_columns(row_key(frame).alias("key"))
    if config.kind == "hierarchical":  # a path that ends early is no other label
        each = path_rows(keyed, "key").unique().group_by("key", "depth").len()
        return each.filter(pl.col("len") > 1)["key"].n_unique()
    value = pl.col("score") if config.kind == "graded" else pl.col("labels").list.sort()
    distinct = keyed.select("key", value.alias("value")).unique()
    return distinct.group_by("key").len().filter(pl.col("len") > 1).height


def describe(task: Task, facts: TaskFacts) -> None:
    """Fills in what the rows of a task say about it: splits, long texts, odd labels."""
    frame = task.frame
    facts.splits = {
        str(name): int(n) for name, n in frame["split"].value_counts().sort("split").iter_rows()
    }
    long = pl.any_horizontal(
        pl.col(c).str.len_chars() > LONG for c in ("text", "pair") if c in frame.columns
    )
    facts.long_texts = frame.filter(long).height
    if task.kind in ("single", "multi", "hierarchical") and "train" in facts.splits:
        rows = path_rows(task.frame, "split") if task.kind == "hierarchical" else label_rows(task)
        counts = rows.filter(pl.col("split") == "train")["label"].value_counts()
        if task.config.role == "train":
            facts.single_labels = sorted(counts.filter(pl.col("count") == 1)["label"].to_list())
        seen = set(counts["label"].to_list())
        facts.unseen_labels = sorted(set(rows["label"].to_list()) - seen)


def label_rows(task: Task) -> pl.DataFrame:
    """Columns `split` and `label`: a row for each label of a text, of several levels the path.

    Texts whose path ends before the finest level have none.
    """
    frame = task.finest(task.frame)
    if task.kind == "multi":
        return frame.select("split", pl.col("labels").alias("label")).explode("label")
    return frame.select("split", pl.col("labels").list.join(STEP).alias("label"))
