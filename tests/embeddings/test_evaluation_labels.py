"""Triplets and recall of labels against double loops, and the values they must have at the ends."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.embeddings.given_vectors import clouds, unit
from trine.embeddings.evaluation.labels import label_recall, triplets

Labels = list[list[str]]


def scores(vectors: np.ndarray, labels: Labels, per_anchor: int = 8000) -> dict[str, float]:
    found = triplets(vectors, labels, np.random.default_rng(1), per_anchor=per_anchor)
    return {row.metric: row.score for row in found}


def all_triplets(vectors: np.ndarray, labels: Labels) -> dict[str, float]:
    """Every triplet of every anchor, in plain loops: the expectation of the drawn ones."""
    cosines = vectors @ vectors.T
    names = sorted({name for row in labels for name in row})
    random: list[float] = []
    hard: list[float] = []
    for i, own in enumerate(labels):
        positives = [j for j, row in enumerate(labels) if j != i and set(row) & set(own)]
        negatives = [j for j, row in enumerate(labels) if not set(row) & set(own)]
        if not positives or not negatives:
            continue

        def ratio(others: list[int], i: int = i, positives: list[int] = positives) -> float:
            wins = [float(cosines[i, p] > cosines[i, n]) for p in positives for n in others]
            return sum(wins) / len(wins)

        random.append(ratio(negatives))
        nearness = {
            name: np.mean([cosines[i, j] for j, row in enumerate(labels) if name in row])
            for name in names
            if name not in own and any(name in labels[j] for j in negatives)
        }
        label = max(nearness, key=lambda name: nearness[name])
        hard.append(ratio([j for j in negatives if label in labels[j]]))
    return {
        "triplet_random": 100 * float(np.mean(random)),
        "triplet_hard": 100 * float(np.mean(hard)),
    }


@pytest.mark.parametrize("several", [False, True])
def test_triplets_are_draws_of_the_double_loop(several: bool) -> None:
    groups = [0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 3]
    vectors = clouds(groups, noise=1.0)
    labels = [[f"l{g}"] for g in groups]
    if several:
        labels = [[*row, "odd"] if i % 5 == 1 else row for i, row in enumerate(labels)]
    found, expected = scores(vectors, labels), all_triplets(vectors, labels)
    assert found == pytest.approx(expected, abs=0.6)
    assert expected["triplet_hard"] < expected["triplet_random"] < 100


def test_perfect_and_random_vectors() -> None:
    groups = list(range(5)) * 20
    labels = [[str(g)] for g in groups]
    perfect = np.eye(5, dtype=np.float32)[groups]
    assert scores(perfect, labels, 5) == {"triplet_random": 100.0, "triplet_hard": 100.0}
    rng = np.random.default_rng(0)
    chance = scores(unit(rng.standard_normal((100, 30))), labels, 50)
    assert chance["triplet_random"] == pytest.approx(50, abs=5)
    # Equal vectors tell nothing apart: every triplet is a tie, a tie is half.
    same = scores(np.ones((100, 1), dtype=np.float32), labels, 5)
    assert same == {"triplet_random": 50.0, "triplet_hard": 50.0}


def test_texts_without_a_positive_or_a_negative_are_left_out() -> None:
    vectors = unit(np.random.default_rng(0).standard_normal((4, 3)))
    generator = np.random.default_rng(0)
    assert triplets(vectors, [["a"], ["b"], ["c"], ["d"]], generator) == []
    assert triplets(vectors, [["a"]] * 4, generator) == []
    found = triplets(vectors, [["a"], ["a"], ["b"], ["c"]], generator)
    assert [row.n for row in found] == [2, 2]


def test_standard_error_of_triplets_is_over_anchors() -> None:
    groups = [0, 1, 2] * 20
    labels = [[str(g)] for g in groups]
    vectors = clouds(groups, noise=1.5)
    (random, _) = triplets(vectors, labels, np.random.default_rng(0))
    spread = np.std(
        [triplets(vectors, labels, np.random.default_rng(seed))[0].score for seed in range(30)]
    )
    assert random.se is not None
    # Anchors differ from each other, so the error over anchors is above that of drawing alone.
    assert float(spread) < random.se < 10


def recall_by_loops(
    queries: np.ndarray, query_labels: Labels, items: np.ndarray, item_labels: Labels, k: int
) -> float:
    """Labels in every order that their distances allow, in plain loops."""
    hits: list[float] = []
    names = sorted({name for row in item_labels for name in row})
    for query, own in zip(queries, query_labels, strict=True):
        near = {
            name: max(
                float(np.float32(items[j] @ query))
                for j, row in enumerate(item_labels)
                if name in row
            )
            for name in names
        }
        orders = [
            order
            for order in itertools.permutations(names)
            if all(near[a] >= near[b] for a, b in itertools.pairwise(order))
        ]
        hits.append(float(np.mean([bool(set(order[:k]) & set(own)) for order in orders])))
    return 100 * float(np.mean(hits))


def test_recall_of_labels_against_every_order() -> None:
    rng = np.random.default_rng(3)
    items = rng.integers(-1, 2, size=(9, 3)).astype(np.float32)  # exact products, many ties
    queries = rng.integers(-1, 2, size=(12, 3)).astype(np.float32)
    item_labels = [["a"], ["b"], ["c"], ["d"], ["e"], ["a", "b"], ["c"], ["e"], ["d", "a"]]
    query_labels = [[list("abcdex")[i % 6], *(["b"] if i % 4 == 0 else [])] for i in range(12)]
    found = {
        m.metric: m for m in label_recall(queries, query_labels, items, item_labels, (1, 2, 3))
    }
    for k in (1, 2, 3):
        expected = recall_by_loops(queries, query_labels, items, item_labels, k)
        assert found[f"recall@{k}"].score == pytest.approx(expected)
        assert found[f"recall@{k}"].n == 12


def test_recall_of_a_label_that_no_item_has_is_a_miss() -> None:
    items = np.eye(2, dtype=np.float32)
    found = label_recall(items, [["a"], ["unknown"]], items, [["a"], ["b"]], (1, 5))
    assert [m.score for m in found] == [50.0, 50.0]


def test_recall_of_equal_vectors_is_chance() -> None:
    labels = [[str(i)] for i in range(20)]
    same = np.ones((20, 2), dtype=np.float32)
    found = label_recall(same, labels, same, labels, (1, 5))
    assert [m.score for m in found] == pytest.approx([5.0, 25.0])


@given(st.integers(0, 2**31), st.floats(0.01, 100))
def test_order_of_items_and_length_of_vectors_do_not_matter(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    items, queries = rng.standard_normal((15, 4)), rng.standard_normal((7, 4))
    labels = [[str(i % 6)] for i in range(15)]
    wanted = [[str(i % 7)] for i in range(7)]
    order = rng.permutation(15)
    one = label_recall(unit(queries), wanted, unit(items), labels)
    other = label_recall(
        unit(scale * queries), wanted, unit(items)[order], [labels[i] for i in order]
    )
    assert [m.score for m in one] == [m.score for m in other]
