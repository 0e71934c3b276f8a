"""Which texts a head is computed from, and the near variants made of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.embeddings.test_encoder import head_tasks
from tests.embeddings.tiny import WORDS
from trine.core.seeding import Seeds
from trine.embeddings.config import HeadConfig, TaskConfig
from trine.embeddings.head_texts import head_texts, mixture, variant
from trine.embeddings.tasks import Task

FITTED = HeadConfig(start="fitted", rows=64, fit_variants=2)


def pair_task(n: int = 12, **more: Any) -> Task:
    frame = pl.DataFrame(
        {
            "row": range(n),
            "split": ["train"] * n,
            "language": ["en"] * n,
            "text": [f"one two three {i}" for i in range(n)],
            "pair": [f"eins zwei drei {i}" for i in range(n)],
            "labels": [[] for _ in range(n)],
        },
        schema_overrides={"labels": pl.List(pl.String)},
    )
    config = TaskConfig(name="words", source="t.csv", kind="pairs", pair="pair", **more)
    return Task(config, frame)


def test_the_mixture_has_equal_shares_of_training_rows_only() -> None:
    tasks = head_tasks()
    found = mixture(tasks, 40, Seeds(0).generator("m"))
    texts, labels = found.texts, found.labels
    assert len(texts) == len(labels) == 40
    assert labels[0] in {f"topics:{word}" for word in WORDS[:3]}
    assert labels[20:] == [None] * 20
    allowed = {text for task in tasks for text in task.train["text"]}
    assert set(texts) <= allowed
    assert mixture(tasks, 40, Seeds(0).generator("m")).texts == texts


def test_a_path_that_ends_early_has_no_label() -> None:
    (task, _) = head_tasks()
    config = TaskConfig(name="tree", source="t.csv", kind="hierarchical", label=("a", "b"))
    paths = [["x", *own][: 1 + i % 2] for i, own in enumerate(task.frame["labels"].to_list())]
    frame = task.frame.with_columns(pl.Series("labels", paths))
    found = mixture([Task(config, frame)], 64, Seeds(0).generator("m"))
    wanted = [f"tree:{' / '.join(path)}" if len(path) > 1 else None for path in paths]
    assert (
        dict(zip(found.texts, found.labels, strict=True)).items()
        <= dict(zip(frame["text"], wanted, strict=True)).items()
    )


def test_variants_stand_in_the_group_of_their_text_and_have_no_label() -> None:
    plain = head_texts(
        head_tasks(), FITTED.model_copy(update={"fit_variants": 0}), Seeds(0).generator("m")
    )
    assert plain.groups is None
    found = head_texts(head_tasks(), FITTED, Seeds(0).generator("m"))
    n = len(plain.texts)
    assert found.texts[:n] == plain.texts
    assert found.labels[:n] == plain.labels
    assert found.labels[n:] == [None] * (2 * n)
    assert found.groups is not None
    assert found.groups[n:].reshape(n, 2).tolist() == [[i, i] for i in range(n)]
    again = head_texts(head_tasks(), FITTED, Seeds(0).generator("m"))
    assert again.texts == found.texts


def test_both_sides_of_a_pair_are_in_one_group() -> None:
    found = head_texts([pair_task()], FITTED, Seeds(0).generator("m"))
    assert found.pair_tasks == {"words"}
    assert found.groups is not None
    sizes = np.unique(found.groups, return_counts=True)[1]
    assert sizes.tolist() == [6] * 12  # two sides, two variants of each
    first = [text for text, group in zip(found.texts, found.groups, strict=True) if group == 0]
    assert first[:2] == ["one two three 0", "eins zwei drei 0"]


def test_every_text_and_variant_stands_behind_the_prefix_of_its_task() -> None:
    plain = head_texts([*head_tasks(), pair_task()], FITTED, Seeds(0).generator("m"))
    found = head_texts([*head_tasks(), pair_task(prefix="q: ")], FITTED, Seeds(0).generator("m"))
    assert (found.texts, found.labels) == (plain.texts, plain.labels)
    assert set(plain.prefixes) == {None}
    labels = [label and label.partition(":")[0] for label in found.labels]
    n = labels.index(None, labels.index("words"))
    assert [prefix for prefix, label in zip(found.prefixes, labels, strict=True) if label] == [
        "q: " if label == "words" else None for label in labels if label
    ]
    assert found.prefixes[n:] == [prefix for prefix in found.prefixes[:n] for _ in range(2)]
    asked: list[tuple[str | None, list[str]]] = []

    def encode(prefix: str | None, texts: list[str]) -> np.ndarray:
        asked.append((prefix, texts))
        return np.array([[len(prefix or ""), found.texts.index(text)] for text in texts])

    vectors = found.vectors(encode)
    assert [prefix for prefix, _ in asked] == [None, "q: "]
    assert vectors[:, 0].tolist() == [len(prefix or "") for prefix in found.prefixes]
    assert vectors[:, 1].tolist() == [found.texts.index(text) for text in found.texts]
    asked.clear()
    plain.vectors(encode)
    assert asked == [(None, plain.texts)]  # as they are, in one call


@pytest.mark.parametrize("start", ["pca", "whitened"])
def test_only_a_fitted_head_has_variants(start: str) -> None:
    config = FITTED.model_copy(update={"start": start})
    found = head_texts(head_tasks(), config, Seeds(0).generator("m"))
    assert found.groups is None
    assert len(found.texts) == 64


@given(
    text=st.text(min_size=1, max_size=60).filter(str.strip),
    other=st.text(max_size=60),
    seed=st.integers(0, 999),
)
def test_a_variant_is_made_of_the_words_of_both(text: str, other: str, seed: int) -> None:
    found = variant(text, other, np.random.default_rng(seed))
    assert found
    if len(text.split()) > 1:
        assert set(found.split()) <= set(text.split()) | set(other.split())
    else:
        assert set(found) <= set(text) | set(other) | {" "}


def test_variants_keep_most_of_a_text_and_differ() -> None:
    text = "the cat sat on the mat and looked at the moon"
    found = {variant(text, "dogs bark at night", np.random.default_rng(i)) for i in range(200)}
    assert len(found) > 150
    words = set(text.split())
    kept = [len(words & set(one.split())) / len(words) for one in found]
    assert 0.5 < np.mean(kept) < 0.9


def test_text_without_blanks_changes_by_characters() -> None:
    text = "今日はとても良い天気です"
    found = [variant(text, "昨日は雨でした", np.random.default_rng(i)) for i in range(50)]
    assert all(" " not in one for one in found)
    assert np.mean([len(set(one) & set(text)) / len(set(text)) for one in found]) > 0.5
