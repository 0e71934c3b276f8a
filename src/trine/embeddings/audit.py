"""What is wrong with the data, before anything is trained on it.

| finding | what it costs |
|---|---|
| leak | a text of train that is also in test makes the score too good; dropped from train |
| repeat | a training row that says nothing new; dropped |
| conflict | one text with different labels; one of them cannot be right for a classifier |
| single label | a label with one training text has no positive to learn from |
| unseen label | a label in validation or test only cannot be predicted |
| overlap | a test text of one task among the texts of another: it is not zero-shot there |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from trine.core.tables import Column, Table
from trine.embeddings.config import TaskConfig
from trine.embeddings.loading import (
    LONG,
    TaskFacts,
    conflicts,
    describe,
    label_rows,
    read_rows,
)
from trine.embeddings.splits import drop_leaks_and_repeats, every_text, row_key
from trine.embeddings.tasks import Task

__all__ = ["Audit", "Overlap", "TaskAudit", "audit"]

_MOST_LABELS = 100
"""Label counts that `--json` lists: the largest."""
_MOST_OVERLAPS = 12
"""Overlaps in the table: the largest."""
_MOST_NAMES = 5
"""Labels that a line of the findings names."""


@dataclass(frozen=True)
class TaskAudit:
    """Findings of one task.

    Attributes:
      name: of the task.
      kind: of the task.
      role: train or zero_shot.
      facts: what loading counts (rows, dropped rows, splits, odd labels).
      leaks: rows of each split other than train whose text is in train too.
      conflicts: texts that stand in the task with different labels or scores.
      languages: rows of each language.
      labels: distinct labels; of several levels the finest.
      label_counts: rows of each of the largest labels, all splits.
      smallest: training rows of the smallest label; None without labels.
      largest: training rows of the largest label.
    """

    name: str
    kind: str
    role: str
    facts: TaskFacts
    leaks: Mapping[str, int]
    conflicts: int
    languages: Mapping[str, int]
    labels: int = 0
    label_counts: Mapping[str, int] = field(default_factory=dict)
    smallest: int | None = None
    largest: int | None = None

    @property
    def findings(self) -> list[str]:
        """Sentences on what a person should look at."""
        facts = self.facts
        lines = [
            f"{_count(n, f'{split} row')} also in train: those training rows will be dropped"
            for split, n in self.leaks.items()
            if n
        ]
        if facts.repeats:
            lines.append(f"{_count(facts.repeats, 'repeated training row')} will be dropped")
        if facts.incomplete:
            lines.append(f"{_count(facts.incomplete, 'row')} without text, label, pair or score")
        if self.conflicts:
            what = "scores" if self.kind == "graded" else "labels"
            lines.append(f"{_count(self.conflicts, 'text')} with different {what}")
        for names, what in (
            (facts.single_labels, "with one training text, no positive to learn from"),
            (facts.unseen_labels, "in validation or test only, never trained on"),
        ):
            if names:
                lines.append(f"{_count(len(names), 'label')} {what}: {_names(names)}")
        if facts.long_texts:
            lines.append(
                f"{_count(facts.long_texts, 'text')} over {LONG:,} characters; "
                "kept, and cut by the tokenizer"
            )
        if not facts.splits.get("train") and self.role == "train":
            lines.append("no training row")
        if not facts.splits.get("test"):
            lines.append("no test row")
        return lines


@dataclass(frozen=True, slots=True)
class Overlap:
    """Texts that two tasks share.

    Attributes:
      test_task: whose test rows are counted.
      other_task: where their texts are found.
      in_train: test rows whose text is in the other's train.
      in_any: test rows whose text is in any split of the other.
      test_rows: all test rows of `test_task`.
    """

    test_task: str
    other_task: str
    in_train: int
    in_any: int
    test_rows: int

    def __str__(self) -> str:
        """One line."""
        return (
            f"{self.in_any:,} of {self.test_rows:,} test rows are in {self.other_task} "
            f"({self.in_train:,} in its train)"
        )


@dataclass(frozen=True)
class Audit:
    """Findings of several tasks, and of each pair of them.

    Attributes:
      tasks: in the order of the recipe.
      overlaps: pairs that share a test text, most first.
    """

    tasks: Sequence[TaskAudit]
    overlaps: Sequence[Overlap]

    @property
    def leaking(self) -> list[Overlap]:
        """Overlaps with another task's train: those that spoil a zero-shot score."""
        return [overlap for overlap in self.overlaps if overlap.in_train]

    def document(self) -> dict[str, Any]:
        """What `--json` prints."""
        tasks = [{**asdict(task), "findings": task.findings} for task in self.tasks]
        return {"tasks": tasks, "overlaps": [asdict(overlap) for overlap in self.overlaps]}

    def tables(self) -> list[Table]:
        """Counts of each task; what to look at; overlaps."""
        counts = [_table_row(task) for task in self.tasks]
        columns = [
            Column("task", highlight=True), Column("kind"),
            *(Column(name, format=",") for name in _COUNTS),
        ]  # fmt: skip
        made = [Table(pl.DataFrame(counts), "Audit", columns)]
        notes = [(task.name, line) for task in self.tasks for line in task.findings]
        if notes:
            frame = pl.DataFrame(notes, schema=["task", "finding"], orient="row")
            made.append(
                Table(frame, "Findings", [Column("task", highlight=True), Column("finding")])
            )
        if self.leaking:
            most = self.leaking[:_MOST_OVERLAPS]
            frame = pl.DataFrame(
                [(o.test_task, o.other_task, o.in_train, o.in_any) for o in most],
                schema=["test_of", "found_in", "in_train", "in_any_split"],
                orient="row",
            )
            shown = [
                Column("test_of", "test rows of", highlight=True),
                Column("found_in", "found in", highlight=True),
                Column("in_train", "its train", ","),
                Column("in_any_split", "any split", ","),
            ]
            fewer = len(self.leaking) - len(most)
            caption = "Trained on the second task, a model must not call the first one zero-shot."
            caption += f" {_count(fewer, 'smaller overlap')} not shown." if fewer else ""
            made.append(Table(frame, "Texts that two tasks share", shown, caption))
        return made


_COUNTS = (
    "train", "validation", "test", "languages", "labels", "smallest", "largest", "incomplete",
    "repeats", "leaks", "conflicts", "single", "unseen", "long",
)  # fmt: skip


def audit(
    configs: Iterable[TaskConfig],
    base: Path,
    *,
    seed: int = 0,
    tables: Mapping[str, pl.DataFrame] | None = None,
) -> Audit:
    """Reads every task and says what is wrong with it; changes nothing.

    Args:
      configs: the tasks.
      base: directory that relative sources start from.
      seed: of splits that are made.
      tables: rows of sources that have been read already, by source.

    Raises:
      ConfigError: a column that is not there.
      DataError: a file that cannot be read, or no usable row.
    """
    ready = tables or {}
    tasks: list[TaskAudit] = []
    texts: list[tuple[TaskConfig, pl.DataFrame]] = []
    for config in configs:
        frame, facts = read_rows(config, base, seed=seed, table=ready.get(config.source))
        tasks.append(_audit_task(config, frame, facts))
        texts.append((config, every_text(frame)))
    overlaps = [
        found
        for config, frame in texts
        for other, other_frame in texts
        if other is not config and (found := _overlap(config, frame, other, other_frame))
    ]
    return Audit(tasks, sorted(overlaps, key=lambda o: -o.in_any))


def _audit_task(config: TaskConfig, frame: pl.DataFrame, facts: TaskFacts) -> TaskAudit:
    keyed = frame.with_columns(row_key(frame).alias("key"))
    known = keyed.filter(pl.col("split") == "train")["key"].unique()
    leaked = keyed.filter((pl.col("split") != "train") & pl.col("key").is_in(known.implode()))
    leaks = {split: leaked.filter(pl.col("split") == split).height for split in _SCORED}
    rows, facts.leaks, facts.test_leaks, facts.repeats = drop_leaks_and_repeats(frame)
    describe(Task(config, rows), facts)
    labels: dict[str, Any] = {}
    if config.kind in ("single", "multi", "hierarchical"):
        every = label_rows(Task(config, frame))["label"].value_counts(sort=True)
        used = label_rows(Task(config, rows)).filter(pl.col("split") == "train")["label"]
        sizes = used.value_counts()["count"]
        largest = every.sort("count", "label", descending=[True, False]).head(_MOST_LABELS)
        labels = {
            "labels": every.height,
            "label_counts": dict(largest.iter_rows()),
            "smallest": sizes.min(),
            "largest": sizes.max(),
        }
    languages = frame["language"].value_counts(sort=True)
    return TaskAudit(
        name=config.name, kind=config.kind, role=config.role, facts=facts, leaks=leaks,
        conflicts=conflicts(config, frame), languages=dict(languages.iter_rows()), **labels,
    )  # fmt: skip


_SCORED = ("validation", "test")


def _overlap(
    config: TaskConfig, frame: pl.DataFrame, other: TaskConfig, other_frame: pl.DataFrame
) -> Overlap | None:
    test = frame.filter(pl.col("split") == "test")
    train = other_frame.filter(pl.col("split") == "train")
    in_train = test.join(train, on="key", how="semi")["row"].n_unique()
    in_any = test.join(other_frame, on="key", how="semi")["row"].n_unique()
    # Two tasks on one table share every text; that says nothing while the splits agree.
    if not in_any or (config.source == other.source and not in_train):
        return None
    return Overlap(config.name, other.name, in_train, in_any, test["row"].n_unique())


def _table_row(task: TaskAudit) -> dict[str, Any]:
    facts = task.facts
    return {
        "task": task.name,
        "kind": task.kind,
        **{split: facts.splits.get(split, 0) for split in ("train", *_SCORED)},
        "languages": len(task.languages),
        "labels": task.labels,
        "smallest": task.smallest,
        "largest": task.largest,
        "incomplete": facts.incomplete,
        "repeats": facts.repeats,
        "leaks": sum(task.leaks.values()),
        "conflicts": task.conflicts,
        "single": len(facts.single_labels),
        "unseen": len(facts.unseen_labels),
        "long": facts.long_texts,
    }


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(name if len(name) <= 40 else f"{name[:39]}…" for name in names[:_MOST_NAMES])
    return shown + (f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else "")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
