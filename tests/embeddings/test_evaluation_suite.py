"""Which measures, languages, widths and rows an evaluation has, and that it encodes text once."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from tests.embeddings.given_vectors import Given, clouds, unit
from tests.embeddings.small_encoders import sentence, small_encoder
from trine.core.errors import UsageError
from trine.embeddings.config import TaskConfig
from trine.embeddings.evaluation.mteb_tasks import classification
from trine.embeddings.evaluation.suite import (
    encoder_of,
    evaluate_model,
    evaluate_vectors,
    measures_of,
    texts_of,
)
from trine.embeddings.evaluation.vectors import TextVectors
from trine.embeddings.tasks import ScoreRow, Task
from trine.embeddings.transfer_analysis import main_rows

KINDS = 3


def label_task(
    languages: tuple[str, ...] = ("en",),
    splits: tuple[str, ...] = ("train", "test"),
    each: int = 24,
    **more: Any,
) -> Task:
    """`each` rows of three labels in every split and language."""
    rows = [
        {
            "split": split,
            "language": language,
            "text": f"{language} {split} {i}",
            "labels": [f"l{i % KINDS}"],
        }
        for language in languages
        for split in splits
        for i in range(each)
    ]
    frame = pl.DataFrame(rows).with_row_index("row")
    return Task(TaskConfig(name=str(more.pop("name", "topic")), source="x.csv", **more), frame)


def encoder_for(*tasks: Task, noise: float = 1.0) -> Given:
    """Vectors around a centre for each last label."""
    vectors: dict[str, np.ndarray] = {}
    for seed, task in enumerate(tasks):
        names = sorted({row[-1] for row in task.frame["labels"].to_list()})
        kinds = [names.index(row[-1]) for row in task.frame["labels"].to_list()]
        made = clouds(kinds, noise=noise, seed=seed)
        vectors.update(zip(task.frame["text"].to_list(), made, strict=True))
    return Given(vectors)


def evaluate(encoder: Given, *tasks: Task, **more: Any) -> list[ScoreRow]:
    store = TextVectors(encoder)
    return evaluate_vectors(lambda task: store, tasks, **more)


def by_key(rows: list[ScoreRow]) -> dict[tuple[str, str, int], ScoreRow]:
    found = {(row.metric, row.language, row.width): row for row in rows}
    assert len(found) == len(rows)
    return found


def test_every_language_and_width_and_their_mean() -> None:
    task = label_task(("de", "en", "fr"), each=36)
    encoder = encoder_for(task)
    rows = by_key(evaluate(encoder, task, widths=[2, 6, 2], draws=3, model_name="mine"))
    metrics = ("accuracy", "triplet_random", "triplet_hard")
    assert set(rows) == {
        (m, lang, w) for m in metrics for lang in ("de", "en", "fr", "all") for w in (2, 6)
    }
    for metric in metrics:
        for width in (2, 6):
            parts = [rows[metric, lang, width] for lang in ("de", "en", "fr")]
            whole = rows[metric, "all", width]
            assert whole.score == pytest.approx(np.mean([p.score for p in parts]))
            assert whole.n == sum(p.n for p in parts)
            errors = [p.se for p in parts]
            assert None not in errors
            assert whole.se == pytest.approx(math.sqrt(sum(e * e for e in errors if e)) / 3)
    assert {row.model for row in rows.values()} == {"mine"}
    assert set(encoder.asked.values()) == {1}  # three languages, two widths, three draws
    # A language alone is MTEB's number on its rows.
    store = encoder.known(2)

    def labelled(split: str) -> pl.DataFrame:
        return task.rows(split, "de").select("text", pl.col("labels").list.get(0).alias("label"))

    alone = classification(labelled("train"), labelled("test"), store, draws=3)
    assert rows["accuracy", "de", 2].score == alone.score


def test_one_language_has_no_row_of_all() -> None:
    task = label_task()
    assert {row.language for row in evaluate(encoder_for(task), task, draws=2)} == {"en"}


def test_a_task_without_training_rows_lends_them_from_validation() -> None:
    task = label_task(splits=("validation", "test"), role="zero_shot", metrics=("classification",))
    (row,) = evaluate(encoder_for(task), task, draws=2)
    assert row.metric == "accuracy"
    renamed = task.frame.with_columns(pl.col("split").replace("validation", "train"))
    (same,) = evaluate(encoder_for(task), Task(task.config, renamed), draws=2)
    assert same == row


def test_validation_rows_are_never_their_own_examples(caplog: pytest.LogCaptureFixture) -> None:
    task = label_task(splits=("validation", "test"), metrics=("classification",))
    with caplog.at_level(logging.WARNING, "trine"):
        assert evaluate(encoder_for(task), task, split="validation") == []
    assert "topic (en), classification: 0 label(s)" in caplog.text


def test_a_label_only_in_test_counts_as_wrong() -> None:
    task = label_task(metrics=("classification",), each=30)
    known = by_key(evaluate(encoder_for(task, noise=0.0), task, draws=2))
    assert known["accuracy", "en", 6].score == 100
    frame = task.frame.with_columns(
        pl.when((pl.col("split") == "test") & (pl.col("row") % 2 == 0))
        .then(pl.lit(["new"]))
        .otherwise("labels")
        .alias("labels")
    )
    odd = Task(task.config, frame)
    (row,) = evaluate(encoder_for(task, noise=0.0), odd, draws=2)
    assert (row.score, row.n) == (50.0, 30)


def test_one_language_too_small_does_not_cost_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    task = label_task(("en", "fr"), metrics=("classification",))
    frame = task.frame.filter(
        (pl.col("language") == "en")
        | (pl.col("split") == "test")
        | (pl.col("labels").list[0] == "l0")
    )
    with caplog.at_level(logging.WARNING, "trine"):
        rows = evaluate(encoder_for(task), Task(task.config, frame), draws=2)
    assert [row.language for row in rows] == ["en", "all"]
    assert "topic (fr), classification" in caplog.text


def test_no_rows_to_score_is_said(caplog: pytest.LogCaptureFixture) -> None:
    task = label_task(splits=("train",))
    with caplog.at_level(logging.WARNING, "trine"):
        assert evaluate(encoder_for(task), task) == []
    assert "topic has no test rows" in caplog.text


def test_max_rows_chooses_scored_rows_alike_for_every_model() -> None:
    task = label_task(("en", "fr"), each=60)
    encoder = encoder_for(task)
    rows = evaluate(encoder, task, max_rows=20, draws=2)
    assert {r.n for r in rows if r.language != "all" and r.metric == "accuracy"} == {20}
    scored = {text for text in encoder.asked if " test " in text}
    assert len(scored) == 40
    again = encoder_for(task)
    evaluate(again, task, max_rows=20, draws=2)
    assert again.asked == encoder.asked
    other = encoder_for(task)
    evaluate(other, task, max_rows=20, draws=2, seed=1)
    assert other.asked != encoder.asked


@pytest.mark.parametrize(
    ("more", "languages", "expected"),
    [
        ({}, ("en",), ("classification", "triplet")),
        ({"metrics": ("clustering",)}, ("en",), ("clustering",)),
        ({"kind": "multi"}, ("en",), ("classification", "triplet")),
        ({"kind": "graded", "pair": "p"}, ("en",), ("sts",)),
        ({"kind": "pairs", "pair": "p"}, ("en",), ("retrieval",)),
        ({"kind": "pairs", "pair": "p"}, ("en", "de"), ("bitext",)),
        ({"kind": "pairs", "pair": "p", "default_language": "de"}, ("de",), ("retrieval",)),
        ({"kind": "unlabelled"}, ("en",), ()),
    ],
)
def test_measures_fit_the_kind(
    more: dict[str, Any], languages: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert measures_of(label_task(languages, **more)) == expected


def test_many_labels_are_retrieved_and_a_wrong_measure_is_refused() -> None:
    task = label_task(each=400)
    many = task.frame.with_columns(pl.concat_list(pl.col("row").cast(pl.String)).alias("labels"))
    assert measures_of(Task(task.config, many)) == ("retrieval", "triplet")
    with pytest.raises(ValidationError, match=r"cannot be measured by 'sts'; accepted: class"):
        TaskConfig(name="t", source="x.csv", metrics=("sts",))
    with pytest.raises(ValidationError, match="accepted: none"):
        TaskConfig(name="t", source="x.csv", kind="unlabelled", metrics=("triplet",))


def test_hierarchies_are_scored_on_the_finest_and_the_coarsest_label() -> None:
    base = label_task(each=36, kind="hierarchical", label=("a", "b"), metrics=("classification",))
    fine = [[row[0], f"{row[0]}.{i % 2}"] for i, row in enumerate(base.frame["labels"].to_list())]
    task = Task(base.config, base.frame.with_columns(pl.Series("labels", fine)))
    rows = by_key(evaluate(encoder_for(task), task, draws=2))
    assert set(rows) == {("accuracy", "en", 6), ("accuracy_coarse", "en", 6)}
    coarse = base.frame.with_columns(pl.Series("labels", [[row[0]] for row in fine]))
    single = Task(TaskConfig(name="topic", source="x", metrics=("classification",)), coarse)
    (expected,) = evaluate(encoder_for(task), single, draws=2)
    assert rows["accuracy_coarse", "en", 6].score == expected.score


def test_equal_names_under_different_parents_are_different_labels() -> None:
    base = label_task(each=36, kind="hierarchical", label=("a", "b"), metrics=("classification",))
    names = base.frame["labels"].to_list()
    shared = Task(
        base.config, base.frame.with_columns(pl.Series("labels", [[n, "other"] for (n,) in names]))
    )
    own = Task(
        base.config, base.frame.with_columns(pl.Series("labels", [[n, n] for (n,) in names]))
    )
    encoder = encoder_for(base)
    found, expected = (by_key(evaluate(encoder, task, draws=2)) for task in (shared, own))
    assert found["accuracy", "en", 6].score == expected["accuracy", "en", 6].score > 50


def test_the_coarsest_level_is_scored_where_the_finest_has_no_examples(
    caplog: pytest.LogCaptureFixture,
) -> None:
    base = label_task(each=36, kind="hierarchical", label=("a", "b"), metrics=("classification",))
    paths = [
        [label, "fine"] if i == 71 else [label]
        for i, (label,) in enumerate(base.frame["labels"].to_list())
    ]
    task = Task(base.config, base.frame.with_columns(pl.Series("labels", paths)))
    rows = by_key(evaluate(encoder_for(base), task, draws=2))
    assert set(rows) == {("accuracy_coarse", "en", 6)}
    assert "task topic is scored on its coarsest level only" in caplog.text
    assert main_rows(pl.DataFrame([asdict(row) for row in rows.values()])).height == 1


def test_a_path_that_ends_early_is_scored_on_the_coarsest_label_only() -> None:
    measures = ("classification", "clustering", "retrieval", "triplet")
    base = label_task(each=48, kind="hierarchical", label=("a", "b"), metrics=measures)
    paths = [[row[0], f"{row[0]}.{i % 2}"] for i, row in enumerate(base.frame["labels"].to_list())]
    encoder = encoder_for(base)
    ends = [i % 4 == 3 for i in range(len(paths))]
    ragged = [path[:1] if end else path for path, end in zip(paths, ends, strict=True)]
    whole = base.frame.filter(~pl.Series(ends)).height // 2

    def scores(labels: list[list[str]], keep: list[bool]) -> dict[str, tuple[float, int]]:
        frame = base.frame.with_columns(pl.Series("labels", labels)).filter(pl.Series(keep))
        rows = evaluate(encoder, Task(base.config, frame), draws=2)
        return {row.metric: (row.score, row.n) for row in rows}

    found = scores(ragged, [True] * len(paths))
    fine = scores(paths, [not end for end in ends])
    coarse = scores(paths, [True] * len(paths))
    assert found.pop("accuracy_coarse") == coarse["accuracy_coarse"]
    assert fine.pop("accuracy_coarse")[1] == whole
    assert found == fine
    # Nothing below the coarsest level: only that is scored.
    assert set(scores([path[:1] for path in paths], [True] * len(paths))) == {"accuracy_coarse"}


def test_texts_of_is_what_an_evaluation_encodes() -> None:
    several = label_task(("en", "de"), each=120, name="several", kind="multi")
    tasks = [label_task(each=200), several, label_task(each=40, name="c", metrics=("retrieval",))]
    for task in tasks:
        frame = task.frame.with_columns((pl.lit(task.name + " ") + pl.col("text")).alias("text"))
        tasks[tasks.index(task)] = Task(task.config, frame)
    encoder = encoder_for(*tasks)
    evaluate(encoder, *tasks, max_rows=30, draws=2)
    expected = texts_of(tasks, max_rows=30, draws=2)
    assert sorted(encoder.asked) == sorted(expected)
    assert set(encoder.asked.values()) == {1}
    # Examples are drawn, not all training rows encoded.
    assert sum(" train " in t for t in expected) < 480


def word_task(**more: Any) -> Task:
    frame = pl.DataFrame(
        {
            "row": range(60),
            "split": ["train", "test"] * 30,
            "language": ["en"] * 60,
            "text": [sentence(8 * (i % 3) + i % 7, i % 11, i) for i in range(60)],
            "labels": [[f"l{i % 3}"] for i in range(60)],
        }
    )
    return Task(TaskConfig(name=str(more.pop("name", "words")), source="x.csv", **more), frame)


def test_a_model_is_scored_by_its_vectors(tmp_path: Path) -> None:
    model = small_encoder(tmp_path)
    task = word_task()
    rows = evaluate_model(model, [task], widths=[4, 16], draws=2)
    texts = task.frame["text"].to_list()
    vectors = np.asarray(model.encode(texts, show_progress_bar=False))
    expected = evaluate(
        Given(dict(zip(texts, vectors, strict=True))), task, widths=[4, 16], draws=2
    )
    assert [(r.metric, r.width, r.n) for r in rows] == [(r.metric, r.width, r.n) for r in expected]
    assert [r.score for r in rows] == pytest.approx([r.score for r in expected], abs=1e-3)
    for width in (0, 17, -1):
        with pytest.raises(UsageError, match="accepted: 1 to 16"):
            evaluate_model(model, [task], widths=[width])


def test_a_task_may_have_a_prefix_of_its_own(tmp_path: Path) -> None:
    model = small_encoder(tmp_path)
    plain, asked = word_task(), word_task(name="asked", prefix="the bank ")
    rows = evaluate_model(model, [plain, asked], draws=2)
    texts = asked.frame["text"].to_list()
    vectors = np.asarray(model.encode([f"the bank {t}" for t in texts], show_progress_bar=False))
    expected = evaluate(Given(dict(zip(texts, vectors, strict=True))), asked, draws=2)
    own = [row.score for row in rows if row.task == "asked"]
    assert own == pytest.approx([row.score for row in expected], abs=1e-3)
    assert own != [row.score for row in rows if row.task == "words"]
    assert encoder_of(model)(texts[:2]).shape == (2, 16)


def test_order_of_rows_does_not_matter_where_nothing_is_drawn() -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "row": range(20),
            "split": ["test"] * 20,
            "language": ["en"] * 20,
            "text": [f"a{i}" for i in range(20)],
            "pair": [f"b{i}" for i in range(20)],
            "score": rng.integers(0, 6, 20).astype(float),
            "labels": [[str(i)] for i in range(20)],
        }
    )
    names = frame["text"].to_list() + frame["pair"].to_list()
    vectors = dict(zip(names, unit(rng.standard_normal((40, 4))), strict=True))
    order = [int(i) for i in rng.permutation(20)]
    for kind in ("graded", "pairs"):
        config = TaskConfig(name="t", source="x", kind=kind, pair="pair")
        one = evaluate(Given(vectors), Task(config, frame))
        other = evaluate(Given(vectors), Task(config, frame[order]))
        assert [r.score for r in one] == pytest.approx([r.score for r in other], abs=1e-3)
        scaled = evaluate(Given({t: 3.5 * v for t, v in vectors.items()}), Task(config, frame))
        assert [r.score for r in one] == pytest.approx([r.score for r in scaled], abs=1e-3)
