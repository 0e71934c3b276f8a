"""Which rows come into a batch, which tasks into a step, which labels are confusable."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import ConcatDataset

from trine.core.errors import DataError, UsageError
from trine.core.seeding import Seeds
from trine.embeddings.batches import StepSampler, TaskBatchSampler, drawn_tasks, task_rates
from trine.embeddings.config import Kind, TaskConfig, TrainingConfig
from trine.embeddings.negatives import confusable_labels, label_centroids, nearest_labels
from trine.embeddings.tasks import Task
from trine.embeddings.training_rows import TrainingRows, training_rows


def task(
    labels: Sequence[Sequence[str]] = (),
    kind: Kind = "single",
    *,
    texts: Sequence[str] = (),
    pairs: Sequence[str] = (),
    scores: Sequence[float] = (),
    name: str = "t",
) -> Task:
    n = max(len(labels), len(pairs))
    frame: dict[str, Any] = {
        "row": list(range(n)),
        "split": ["train"] * n,
        "language": ["en"] * n,
        "text": list(texts) or [f"text {i}" for i in range(n)],
    }
    if kind == "graded":
        frame["score"] = list(scores)
    else:
        frame["labels"] = [list(own) for own in labels]
    if pairs:
        frame["pair"] = list(pairs)
    config = TaskConfig(
        name=name,
        source="t.csv",
        kind=kind,
        pair="pair" if pairs else "",
        score="score" if kind == "graded" else "",
        label=("a", "b") if kind == "hierarchical" else "label",
    )
    types = {"labels": pl.List(pl.String)} if "labels" in frame else {}
    return Task(config, pl.DataFrame(frame, schema_overrides=types))


def sampler(rows: TrainingRows, size: int, seed: int = 0, **more: Any) -> TaskBatchSampler:
    return TaskBatchSampler(rows.dataset(), rows, size, Seeds(seed), **more)


def some(stream: TaskBatchSampler, count: int) -> list[list[int]]:
    return list(itertools.islice(iter(stream), count))


def test_encoding_of_labels() -> None:
    single = training_rows(task([["b"], ["a"], ["b"], ["a"]]))
    assert single.labels.tolist() == [1, 0, 1, 0]
    assert single.names == ["a", "b"]
    multi = training_rows(task([["x", "y"], ["y"], ["z"], ["z"]], "multi"))
    assert multi.labels.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert multi.keys == [(0, 1), (1,), (2,), (2,)]
    tree = training_rows(task([["a", "x"], ["a", "y"], ["b", "x"], ["a", "x"]], "hierarchical"))
    assert tree.labels.tolist() == [[0, 0], [0, 1], [1, 0], [0, 0]]
    assert [tree.names[key] for key in tree.keys[2]] == ["b / x", "b"]
    pairs = training_rows(task([["g"], [], ["g"], []], "pairs", pairs=["a", "b", "c", "d"]))
    assert pairs.labels[0] == pairs.labels[2]
    assert len(set(pairs.labels.tolist())) == 3
    graded = training_rows(task(kind="graded", pairs=["a", "b"], scores=[0.5, 4.0]))
    assert graded.labels.tolist() == [0.5, 4.0]
    assert graded.dataset().column_names == ["text", "pair", "label"]


@given(
    labels=st.lists(st.integers(0, 6), min_size=8, max_size=60),
    size=st.integers(4, 16),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_every_batch_has_positives_and_something_to_tell_apart(
    labels: list[int], size: int, seed: int
) -> None:
    counts = Counter(labels)
    if len(counts) < 2 or max(counts.values()) < 2:
        return
    rows = training_rows(task([[str(label)] for label in labels]))
    for batch in some(sampler(rows, size, seed), 12):
        assert len(batch) == len(set(batch)) <= size
        inside = Counter(labels[row] for row in batch)
        assert len(inside) >= 2
        assert max(inside.values()) >= 2


def test_every_text_is_seen_before_any_is_an_anchor_again() -> None:
    labels = [str(i % 5) for i in range(40)]
    rows = training_rows(task([[label] for label in labels]))
    batches = some(sampler(rows, 8), 10)  # 4 couples a batch: 40 anchors
    anchors = [batch[i] for batch in batches for i in range(0, 8, 2)]
    assert sorted(anchors) == list(range(40))
    for batch in batches:
        for i in range(0, 8, 2):
            assert labels[batch[i]] == labels[batch[i + 1]]


def test_couples_of_many_labels_share_one() -> None:
    rng = np.random.default_rng(0)
    own = [sorted({f"l{v}" for v in rng.integers(0, 12, size=3)}) for _ in range(80)]
    for batch in some(sampler(training_rows(task(own, "multi")), 16), 20):
        for i in range(0, len(batch) - 1, 2):
            assert set(own[batch[i]]) & set(own[batch[i + 1]])


def test_a_lonely_path_finds_its_partner_one_level_up() -> None:
    paths = [["a", "x"], ["a", "y"], ["b", "u"], ["b", "u"], ["b", "v"], ["c", "w"], ["c", "w"]]
    rows = training_rows(task(paths, "hierarchical"))
    couples = {
        frozenset(batch[i : i + 2])
        for batch in some(sampler(rows, 4), 200)
        for i in range(0, len(batch) - 1, 2)
    }
    assert frozenset({0, 1}) in couples  # a/x and a/y are alone in their leaves
    assert frozenset({2, 3}) in couples


def test_the_same_seed_gives_the_same_batches_and_another_others() -> None:
    rows = training_rows(task([[str(i % 7)] for i in range(70)]))
    one = sampler(rows, 12, 3)
    assert some(one, 30) == some(one, 30) == some(sampler(rows, 12, 3), 30)
    assert some(one, 30) != some(sampler(rows, 12, 4), 30)


def test_a_share_of_confusable_labels() -> None:
    # Label 2i and 2i + 1 are neighbours of each other and of nobody else.
    labels = [i % 20 for i in range(200)]
    rows = training_rows(task([[f"{label:02d}"] for label in labels]))
    neighbours = np.array([[label ^ 1] for label in range(20)])

    def share(hard: float) -> float:
        found = []
        for batch in some(sampler(rows, 16, hard=hard, neighbours=neighbours), 200):
            inside = {labels[row] for row in batch}
            found.append(np.mean([(label ^ 1) in inside for label in inside]))
        return float(np.mean(found))

    assert share(0.0) < 0.45
    assert share(0.5) > 0.7


def test_no_text_twice_in_a_batch_of_pairs_unless_its_group_says_so() -> None:
    # Skill `s0` belongs to five titles: in one batch it would be its own negative.
    texts = [f"title {i}" for i in range(20)]
    pairs = [f"s{i // 5 if i < 5 else i}" for i in range(20)]
    rows = training_rows(task([[] for _ in texts], "pairs", texts=texts, pairs=pairs))
    seen: set[int] = set()
    for batch in some(sampler(rows, 8), 40):
        inside = [pairs[row] for row in batch]
        assert len(inside) == len(set(inside)) == 8
        seen.update(batch)
    assert seen == set(range(20))
    grouped = [["g"] if i < 5 else [] for i in range(20)]
    rows = training_rows(task(grouped, "pairs", texts=texts, pairs=pairs))
    assert any(sum(pairs[row] == "s0" for row in batch) > 1 for batch in some(sampler(rows, 8), 40))


def test_tiny_tasks_give_smaller_batches_and_do_not_hang() -> None:
    rows = training_rows(task([["a"], ["a"], ["b"]]))
    for batch in some(sampler(rows, 32), 5):
        assert sorted(batch) == [0, 1, 2]
    pairs = training_rows(task([[], []], "pairs", texts=["x", "y"], pairs=["u", "v"]))
    assert [sorted(batch) for batch in some(sampler(pairs, 16), 3)] == [[0, 1]] * 3


def test_what_cannot_be_learnt_from_is_said() -> None:
    with pytest.raises(DataError, match="has 0 training rows"):
        training_rows(Task(task([["a"]]).config, task([["a"], ["b"]]).frame.clear()))
    with pytest.raises(DataError, match="1 label in training"):
        training_rows(task([["a"], ["a"]]))
    with pytest.raises(DataError, match="3 labels in training, 0 of them with two texts"):
        training_rows(task([["a"], ["b"], ["c"]]))
    rows = training_rows(task([["a"], ["a"], ["b"]]))
    with pytest.raises(UsageError, match="4 or more"):
        sampler(rows, 2)


def test_held_out_languages_are_never_in_a_batch() -> None:
    whole = task([["a"], ["b"]] * 10)
    frame = whole.frame.with_columns(
        pl.Series("language", ["en", "en", "fr", "fr"] * 5), pl.Series("split", ["train"] * 20)
    )
    config = whole.config.model_copy(update={"held_out_languages": ("fr",)})
    rows = training_rows(Task(config, frame))
    assert set(rows.texts) == set(frame.filter(pl.col("language") == "en")["text"])


# --- steps --------------------------------------------------------------------------------------


def steps(sizes: Sequence[int], k: int, count: int, alpha: float, seed: int = 0) -> StepSampler:
    rows = [
        training_rows(task([[str(j % 3)] for j in range(n)], name=f"t{i}"))
        for i, n in enumerate(sizes)
    ]
    datasets = [own.dataset() for own in rows]
    parts = [
        TaskBatchSampler(data, own, 4, Seeds(seed).child(own.name))
        for data, own in zip(datasets, rows, strict=True)
    ]
    joined: Any = ConcatDataset([*datasets])  # type: ignore[list-item]
    return StepSampler(
        joined, parts, steps=count, tasks_per_step=k, rates=task_rates(sizes, alpha),
        seeds=Seeds(seed), in_rounds=TrainingConfig(alpha=alpha).in_rounds,
    )  # fmt: skip


def tasks_of(sampler: StepSampler, sizes: Sequence[int]) -> list[int]:
    ends = np.cumsum(sizes)
    found = []
    for batch in sampler:
        owners = {int(np.searchsorted(ends, row, side="right")) for row in batch}
        assert len(owners) == 1  # one batch, one task
        found.append(owners.pop())
    return found


def test_all_tasks_in_every_step() -> None:
    sampler = steps([9, 30, 60], 0, 5, 0.5)
    assert len(sampler) == 15
    assert tasks_of(sampler, [9, 30, 60]) == [0, 1, 2] * 5


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_tasks_are_drawn_by_size_to_the_alpha(alpha: float) -> None:
    sizes = [12, 48, 108]
    found = Counter(tasks_of(steps(sizes, 1, 3000, alpha), sizes))
    weights = np.array([12.0, 48.0, 108.0]) ** alpha
    for i, rate in enumerate(weights / weights.sum()):
        assert found[i] / 3000 == pytest.approx(rate, abs=4 * np.sqrt(rate * (1 - rate) / 3000))


@given(n=st.integers(2, 7), k=st.integers(1, 7), rounds=st.integers(1, 5), seed=st.integers(0, 9))
def test_alpha_0_is_shuffled_rounds(n: int, k: int, rounds: int, seed: int) -> None:
    k = min(k, n)
    rates = task_rates(list(range(10, 10 + n)), 0.0)
    drawn = list(drawn_tasks(rates, k, rounds * n, Seeds(seed), in_rounds=True))
    assert all(len(set(step)) == k for step in drawn)
    # After k * rounds rounds every task had the same number of batches; before, one more or less.
    counts = Counter[int]()
    for i, step in enumerate(drawn):
        counts.update(step)
        if (i + 1) * k % n == 0:
            assert [counts[task] for task in range(n)] == [(i + 1) * k // n] * n
        assert max(counts.values()) - min(counts[task] for task in range(n)) <= 1


def test_rounds_are_shuffled() -> None:
    rates = task_rates([5, 6, 7], 0.0)
    found = [step[0] for step in drawn_tasks(rates, 1, 300, Seeds(0), in_rounds=True)]
    rounds = {tuple(found[i : i + 3]) for i in range(0, 300, 3)}
    assert len(rounds) == 6  # every order of three tasks


def test_tasks_of_one_size_are_drawn_and_not_in_rounds() -> None:
    sizes = [30, 30, 30]
    found = tasks_of(steps(sizes, 1, 300, 0.5), sizes)
    assert any(len(set(found[i : i + 3])) < 3 for i in range(0, 300, 3))
    found = tasks_of(steps(sizes, 1, 300, 0.0), sizes)
    assert all(len(set(found[i : i + 3])) == 3 for i in range(0, 300, 3))


def test_no_task_twice_in_a_step() -> None:
    sizes = [9, 12, 300]
    found = tasks_of(steps(sizes, 2, 200, 1.0), sizes)
    for step in range(200):
        assert found[2 * step] != found[2 * step + 1]
    assert len(set(found)) == 3


def test_steps_are_the_same_for_the_same_seed() -> None:
    assert list(steps([9, 30], 1, 50, 0.5, 7)) == list(steps([9, 30], 1, 50, 0.5, 7))
    assert list(steps([9, 30], 1, 50, 0.5, 7)) != list(steps([9, 30], 1, 50, 0.5, 8))


# --- confusable labels --------------------------------------------------------------------------


def test_nearest_labels_are_those_of_a_double_loop() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((30, 5))
    labels = [[int(v)] for v in rng.integers(0, 7, 30)]
    centroids = label_centroids(vectors, labels, 7)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = nearest_labels(centroids, 3, block=2)
    for a in range(7):
        mean_a = np.mean([unit[i] for i in range(30) if labels[i] == [a]], axis=0)
        cosines = {}
        for b in range(7):
            if b != a:
                mean_b = np.mean([unit[i] for i in range(30) if labels[i] == [b]], axis=0)
                norm = np.linalg.norm(mean_a) * np.linalg.norm(mean_b)
                cosines[b] = float(mean_a @ mean_b / norm)
        assert found[a].tolist() == sorted(cosines, key=lambda b: -cosines[b])[:3]


def test_confusable_labels_from_texts() -> None:
    places = {"bank": 0.0, "money": 0.1, "cat": 2.0, "dog": 2.1}
    texts = [f"{word} {i}" for word in places for i in range(30)]
    labels = [[list(places).index(text.split()[0])] for text in texts]
    encoded: list[str] = []

    def encode(given: list[str]) -> np.ndarray:
        encoded.extend(given)
        angles = np.array([places[text.split()[0]] for text in given])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)

    found = confusable_labels(texts, labels, encode, np.random.default_rng(0), count=1)
    assert found.ravel().tolist() == [1, 0, 3, 2]
    assert len(encoded) == 4 * 16  # no more texts than needed


def test_neighbours_of_a_path_are_other_whole_paths() -> None:
    # Nearest to `a / 0` are `a`, then `a / 1`, then `b / 2`, by the angles of their texts.
    angles = {"0": 0.0, "1": 0.2, "2": 0.5, "3": 3.0}
    paths = [["a" if leaf in "01" else "b", leaf] for leaf in angles for _ in range(6)]
    rows = training_rows(task(paths, "hierarchical", texts=[path[1] for path in paths]))

    def encode(given: list[str]) -> np.ndarray:
        chosen = np.array([angles[text] for text in given])
        return np.stack([np.cos(chosen), np.sin(chosen)], axis=1)

    def found(kind: TrainingRows, nested: bool) -> dict[str, list[str]]:
        rng = np.random.default_rng(0)
        near = confusable_labels(kind.texts, kind.keys, encode, rng, nested=nested, count=3)
        return {
            name: [kind.names[i] if i >= 0 else "-" for i in own]
            for name, own in zip(kind.names, near, strict=True)
        }

    near = found(rows, nested=True)
    assert near["a / 0"] == ["a / 1", "b / 2", "b / 3"]
    assert near["b / 2"] == ["a / 1", "a / 0", "b / 3"]
    assert near["a"] == ["b / 2", "b / 3", "-"]
    # Of leaves that are labels of one level the neighbours are the same.
    flat = training_rows(task([[path[1]] for path in paths], texts=rows.texts))
    leaves = {f"{'a' if leaf in '01' else 'b'} / {leaf}": leaf for leaf in angles}
    assert {leaf: [leaves[n] for n in near[name]] for name, leaf in leaves.items()} == found(
        flat, nested=False
    )
    # A path that ends early is neither above nor below a stranger, but above its own.
    short = [*paths, *[["a"]] * 6]
    rows = training_rows(task(short, "hierarchical", texts=[path[-1] for path in short]))
    angles["a"] = 0.1
    assert found(rows, nested=True)["a / 0"] == ["a / 1", "b / 2", "b / 3"]
    assert found(rows, nested=True)["b / 2"] == ["a / 1", "a", "a / 0"]


def test_couples_of_a_confusable_path_have_a_partner_above_if_there_is_none_beside() -> None:
    paths = [["a", "0"]] * 8 + [["b", str(i)] for i in range(8)]
    rows = training_rows(task(paths, "hierarchical"))
    near = np.full((len(rows.names), 1), -1)
    near[rows.names.index("a / 0")] = rows.names.index("b / 3")
    for batch in some(sampler(rows, 8, hard=0.75, neighbours=near), 50):
        inside = [paths[row][0] for row in batch]
        assert inside.count("b") != 1  # one text of it would have no positive


def test_one_label_has_no_neighbour() -> None:
    assert nearest_labels(np.ones((1, 3)), 5).shape == (1, 0)
