"""The audit against tables whose faults are known, and against counts published with real data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from trine.embeddings.audit import Audit, Overlap, audit
from trine.embeddings.config import TaskConfig

COLUMNS = ["split", "text", "label"]
FAULTY = [
    ("train", "first text", "a"),
    ("train", "First text!", "a"),  # repeat
    ("train", "second text", "a"),
    ("train", "second text", "b"),  # conflict
    ("train", "leaked text", "b"),  # in test
    ("train", "half leaked", "b"),  # in validation
    ("train", "third text", "only"),  # one training text
    ("train", "", "b"),  # incomplete
    ("train", "word " * 20_000, "b"),  # long
    ("validation", "half-leaked", "b"),
    ("test", "Leaked: text", "b"),
    ("test", "fourth text", "unseen"),
]


def audit_of(folder: Path, **tables: list[tuple[Any, ...]]) -> Audit:
    configs = []
    for name, rows in tables.items():
        pl.DataFrame(rows, schema=COLUMNS, orient="row").write_csv(folder / f"{name}.csv")
        configs.append(TaskConfig(name=name, source=f"{name}.csv", split="split"))
    return audit(configs, folder)


def test_every_fault_is_counted(tmp_path: Path) -> None:
    (found,) = audit_of(tmp_path, faulty=FAULTY).tasks
    facts = found.facts
    assert (facts.rows, facts.incomplete, facts.repeats, facts.long_texts) == (12, 1, 1, 1)
    assert dict(found.leaks) == {"validation": 1, "test": 1}
    assert (facts.leaks, facts.test_leaks) == (2, 2)
    assert found.conflicts == 1
    assert facts.single_labels == ["only"]
    assert facts.unseen_labels == ["unseen"]
    assert found.labels == 4
    assert found.label_counts == {"b": 6, "a": 3, "only": 1, "unseen": 1}
    assert (found.smallest, found.largest) == (1, 2)
    assert facts.splits == {"train": 5, "validation": 1, "test": 2}


def test_every_fault_is_said(tmp_path: Path) -> None:
    (found,) = audit_of(tmp_path, faulty=FAULTY).tasks
    assert found.findings == [
        "1 validation row also in train: those training rows will be dropped",
        "1 test row also in train: those training rows will be dropped",
        "1 repeated training row will be dropped",
        "1 row without text, label, pair or score",
        "1 text with different labels",
        "1 label with one training text, no positive to learn from: only",
        "1 label in validation or test only, never trained on: unseen",
        "1 text over 10,000 characters; kept, and cut by the tokenizer",
    ]


def test_a_clean_table_has_no_findings(tmp_path: Path) -> None:
    rows = [("train", f"text {i}", "ab"[i % 2]) for i in range(6)]
    found = audit_of(tmp_path, clean=[*rows, ("test", "other", "a")])
    assert found.tasks[0].findings == []
    assert found.overlaps == []
    assert [table.title for table in found.tables()] == ["Audit"]


def test_missing_splits_are_said(tmp_path: Path) -> None:
    (found,) = audit_of(tmp_path, a=[("test", "one", "a"), ("test", "two", "b")]).tasks
    assert found.findings == ["no training row"]
    (found,) = audit_of(tmp_path, a=[("train", "one", "a"), ("train", "two", "a")]).tasks
    assert found.findings == ["no test row"]


def test_overlap_counts_test_rows_in_the_other_task(tmp_path: Path) -> None:
    one = [("train", "alpha", "a"), ("test", "beta", "a"), ("test", "BETA!", "b")]
    two = [("train", "beta", "x"), ("test", "alpha", "x"), ("test", "gamma", "x")]
    three = [("train", "delta", "x"), ("test", "beta", "x")]
    found = audit_of(tmp_path, one=one, two=two, three=three)
    expected = {
        Overlap("one", "two", in_train=2, in_any=2, test_rows=2),
        Overlap("one", "three", in_train=0, in_any=2, test_rows=2),
        Overlap("two", "one", in_train=1, in_any=1, test_rows=2),
        Overlap("three", "two", in_train=1, in_any=1, test_rows=1),
        Overlap("three", "one", in_train=0, in_any=1, test_rows=1),
    }
    assert set(found.overlaps) == expected
    assert len(found.overlaps) == len(expected)
    assert found.overlaps[0].in_any == 2
    assert {o.test_task for o in found.leaking} == {"one", "two", "three"}
    assert found.tables()[-1].frame.height == len(found.leaking) == 3
    assert str(found.overlaps[0]).startswith("2 of 2 test rows are in ")


def test_two_tasks_on_one_table_only_overlap_where_splits_differ(tmp_path: Path) -> None:
    rows = [("train", f"text {i}", "a", str(i % 3)) for i in range(30)]
    rows += [("test", f"other {i}", "a", str(i % 3)) for i in range(10)]
    frame = pl.DataFrame(rows, schema=[*COLUMNS, "second"], orient="row")
    frame.write_csv(tmp_path / "t.csv")
    one = TaskConfig(name="one", source="t.csv", split="split")
    two = TaskConfig(name="two", source="t.csv", split="split", label="second")
    assert audit([one, two], tmp_path).overlaps == []
    made = TaskConfig(name="made", source="t.csv", label="second")
    assert {o.test_task for o in audit([one, made], tmp_path).overlaps} == {"one", "made"}


def test_scores_and_pairs(tmp_path: Path) -> None:
    rows = [("train", "a", "b", 1.0), ("train", "A", "b", 2.0), ("test", "c", "d", 3.0)]
    frame = pl.DataFrame(rows, schema=["split", "text", "pair", "score"], orient="row")
    frame.write_csv(tmp_path / "t.csv")
    graded = TaskConfig(name="g", source="t.csv", split="split", kind="graded", pair="pair")
    pairs = TaskConfig(name="p", source="t.csv", split="split", kind="pairs", pair="pair")
    found = audit([graded, pairs], tmp_path).tasks
    assert found[0].findings[-1] == "1 text with different scores"
    assert found[1].conflicts == 0
    assert found[1].labels == 0


def test_texts_without_labels_are_audited_too(tmp_path: Path) -> None:
    rows = [("train", "a text"), ("train", "A text."), ("test", "another")]
    pl.DataFrame(rows, schema=["split", "text"], orient="row").write_csv(tmp_path / "t.csv")
    config = TaskConfig(name="t", source="t.csv", split="split", kind="unlabelled")
    (found,) = audit([config], tmp_path).tasks
    assert found.findings == ["1 repeated training row will be dropped"]


def test_the_document_is_plain_and_complete(tmp_path: Path) -> None:
    import json

    document = json.loads(json.dumps(audit_of(tmp_path, faulty=FAULTY, other=FAULTY).document()))
    first = document["tasks"][0]
    assert first["name"] == "faulty"
    assert first["facts"]["leaks"] == 2
    assert len(first["findings"]) == 8
    assert document["overlaps"][0] == {
        "test_task": "faulty", "other_task": "other", "in_train": 1, "in_any": 2, "test_rows": 2
    }  # fmt: skip


TEXT_DATA = Path(os.environ.get("TRINE_DATA", "nowhere")) / "text"
real = [
    pytest.mark.data,
    pytest.mark.skipif(not TEXT_DATA.is_dir(), reason="needs $TRINE_DATA/text"),
]


def config_of(name: str, **options: Any) -> TaskConfig:
    return TaskConfig(name=name, source=f"{name}.csv.gz", split="split", **options)


class TestRealData:
    pytestmark = real

    def test_leaks_are_the_published_ones(self) -> None:
        # README of the data, "Cautions". Its 25 test rows of tweet_sentiment_ml count four texts
        # of emoji only as repeats of other emoji; to us different signs are different texts.
        expected = {
            "banking77": 25, "clinc150": 19, "goemotions": 109, "stackoverflow_tags": 8,
            "tweet_sentiment_ml": 25 - 4, "slurp": 0, "hwu64": 0,
        }  # fmt: skip
        options: dict[str, dict[str, Any]] = {
            "goemotions": {"kind": "multi"},
            "tweet_sentiment_ml": {"language": "lang"},
            "slurp": {"role": "zero_shot"},
        }
        configs = [config_of(name, **options.get(name, {})) for name in expected]
        found = audit(configs, TEXT_DATA)
        assert {task.name: task.leaks["test"] for task in found.tasks} == expected
        # "1,274 of 2,974 slurp test texts occur in hwu64", whatever split of it.
        (slurp,) = [
            o for o in found.overlaps if (o.test_task, o.other_task) == ("slurp", "hwu64")
        ]  # fmt: skip
        assert (slurp.in_any, slurp.test_rows) == (1_274, 2_974)
