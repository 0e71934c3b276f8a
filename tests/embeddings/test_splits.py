"""Which rows train and which are scored: splits, leaks, repeats, and what is told of them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.embeddings.small_tables import COLUMNS, config_of, plain_key, task_of
from trine.core.errors import ConfigError, DataError
from trine.embeddings.config import Recipe
from trine.embeddings.loading import (
    TaskFacts,
    load_task,
    load_tasks,
)
from trine.embeddings.splits import drop_leaks_and_repeats, make_split, normalised

# ---- splits --------------------------------------------------------------------------------


def test_the_usual_names_of_splits_are_understood(tmp_path: Path) -> None:
    names = ["Train", "training", "dev", "devel", "valid", " TEST "]
    rows = [(name, f"text {i}", "a") for i, name in enumerate(names)]
    task, _ = task_of(tmp_path, rows, ["split", "text", "label"], split="split")
    expected = ["train", "train", "validation", "validation", "validation", "test"]
    assert task.frame["split"].to_list() == expected


def test_an_unknown_split_is_named_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"split 'all' in column 'split'; .*a split is made"):
        task_of(tmp_path, [("all", "x", "a")], ["split", "text", "label"], split="split")


def test_a_task_to_train_needs_a_training_row(tmp_path: Path) -> None:
    rows = [("test", "one", "a"), ("test", "two", "b")]
    columns = ["split", "text", "label"]
    with pytest.raises(DataError, match=r"no training row; .*role = \"zero_shot\""):
        task_of(tmp_path, rows, columns, split="split")
    task, facts = task_of(tmp_path, rows, columns, split="split", role="zero_shot")
    assert task.frame.height == 2
    assert facts.unseen_labels == []  # nothing was to be learnt


TEXTS = st.text(alphabet="aB c.!é😀٣", min_size=1, max_size=4).filter(lambda t: t.strip() != "")


@settings(max_examples=60)
@given(st.lists(st.tuples(TEXTS, st.sampled_from("xyz")), min_size=1, max_size=40), st.integers(0))
def test_a_made_split_keeps_equal_texts_together_and_every_label_in_train(
    rows: list[tuple[str, str]], seed: int
) -> None:
    frame = frame_of(rows)
    made = make_split(config_of(), frame, seed % 1000)
    assert made.drop("split").equals(frame.drop("split"))
    sides: dict[str, set[str]] = {}
    for text, split in made.select("text", "split").iter_rows():
        sides.setdefault(plain_key(text), set()).add(split)
    assert all(len(side) == 1 for side in sides.values())
    assert made.equals(make_split(config_of(), frame, seed % 1000))
    taught = set(made.filter(split="train")["labels"].explode())
    assert taught == {label for _, label in rows}


def test_a_label_that_only_stands_beside_others_is_in_train_too() -> None:
    rows = [(f"text {i}", "common") for i in range(30)]
    frame = frame_of(rows).with_columns(
        pl.Series("labels", [[f"rare {i}" if i % 5 == 0 else "other", "common"] for i in range(30)])
    )
    for seed in range(20):
        made = make_split(config_of(kind="multi"), frame, seed)
        assert set(made.filter(split="train")["labels"].explode()) == {
            "common", "other", *(f"rare {i}" for i in range(0, 30, 5))
        }  # fmt: skip


def test_a_made_split_takes_its_share_of_every_label(tmp_path: Path) -> None:
    rows = [(f"text {i}", "large" if i % 10 else "small") for i in range(500)]
    rows.append(("alone", "single"))
    task, facts = task_of(tmp_path, rows, ["text", "label"], test_share=0.2)
    counts = task.rows("test")["labels"].explode().value_counts().rows()
    assert sorted(counts) == [("large", 90), ("small", 10)]
    assert facts.single_labels == ["single"]
    other = load_task(config_of(test_share=0.2), tmp_path, seed=1)[0]
    assert not other.frame["split"].equals(task.frame["split"])


def test_pairs_of_a_group_stay_on_one_side(tmp_path: Path) -> None:
    rows = [(f"query {i} {j}", f"post {i}", str(i)) for i in range(50) for j in range(2)]
    columns = ["query", "post", "id"]
    options = {"kind": "pairs", "text": "query", "pair": "post", "label": "id"}
    task, _ = task_of(tmp_path, rows, columns, **options)
    train, test = (set(task.rows(split)["pair"]) for split in ("train", "test"))
    assert len(test) == 10
    assert not train & test


def test_pairs_that_share_a_text_on_either_side_stay_on_one_side(tmp_path: Path) -> None:
    # Translations: each English sentence stands beside a sentence of each of three languages.
    rows = [
        (f"{language} {i}", f"english {i}") for i in range(60) for language in ("de", "fr", "it")
    ]
    rows.append(("de 0", "english again"))  # one sentence with two translations links both
    task, _ = task_of(tmp_path, rows, ["text", "english"], kind="pairs", pair="english")
    for column in ("text", "pair"):
        train, test = (set(task.rows(split)[column]) for split in ("train", "test"))
        assert train and test and not train & test
    sides = dict(task.frame.select("pair", "split").iter_rows())
    assert sides["english 0"] == sides["english again"]


def test_few_answers_to_many_questions_are_split_by_question(tmp_path: Path) -> None:
    rows = [(f"question {i}", "yes" if i % 3 else "no") for i in range(40)]
    rows.append(("question 0", "yes"))  # now all are linked: nothing would be left to test on
    task, _ = task_of(tmp_path, rows, ["text", "answer"], kind="pairs", pair="answer")
    assert task.rows("test").height >= 4
    assert not set(task.rows("test")["text"]) & set(task.rows("train")["text"])


# ---- leaks and repeats ---------------------------------------------------------------------


def frame_of(rows: list[tuple[str, str]], splits: list[str] | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "row": pl.Series(range(len(rows)), dtype=pl.UInt32),
            "split": splits or [""] * len(rows),
            "language": ["en"] * len(rows),
            "text": [text.strip() for text, _ in rows],
            "labels": [[label] for _, label in rows],
        }
    )


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(TEXTS, st.sampled_from("xy"), st.sampled_from(["train", "validation", "test"])),
        min_size=1,
        max_size=30,
    )
)
def test_leaks_and_repeats_are_those_of_an_obvious_loop(rows: list[tuple[str, str, str]]) -> None:
    frame = frame_of([(text, label) for text, label, _ in rows], [split for *_, split in rows])
    kept, leaks, test_leaks, repeats = drop_leaks_and_repeats(frame)

    scored = {plain_key(t.strip()) for t, _, split in rows if split != "train"}
    trained = {plain_key(t.strip()) for t, _, split in rows if split == "train"}
    expected, seen = [], set()
    leaked = repeated = 0
    for number, (text, label, split) in enumerate(rows):
        key = plain_key(text.strip())
        if split != "train":
            expected.append(number)
        elif key in scored:
            leaked += 1
        elif (key, label) in seen:
            repeated += 1
        else:
            seen.add((key, label))
            expected.append(number)
    assert kept["row"].to_list() == expected
    assert (leaks, repeats) == (leaked, repeated)
    assert test_leaks == sum(s != "train" and plain_key(t.strip()) in trained for t, _, s in rows)


def test_leaks_stay_if_asked_for(tmp_path: Path) -> None:
    rows = [("train", "Hello, you!", "a"), ("train", "other", "a"), ("test", "hello you", "a")]
    columns = ["split", "text", "label"]
    _, facts = task_of(tmp_path, rows, columns, split="split")
    assert (facts.leaks, facts.test_leaks, facts.splits) == (1, 1, {"train": 1, "test": 1})
    _, facts = task_of(tmp_path, rows, columns, split="split", drop_leaks=False)
    assert (facts.leaks, facts.test_leaks, facts.splits) == (0, 1, {"train": 2, "test": 1})


def test_a_text_in_another_language_or_with_another_pair_is_no_leak(tmp_path: Path) -> None:
    rows = [("train", "chat", "a", "fr"), ("test", "chat", "a", "en")]
    _, facts = task_of(tmp_path, rows, COLUMNS, split="split", language="lang")
    assert facts.leaks == 0
    pairs = [("train", "chat", "cat"), ("train", "Chat.", "CAT"), ("test", "chat", "talk")]
    options = {"kind": "pairs", "pair": "pair", "split": "split"}
    _, facts = task_of(tmp_path, pairs, ["split", "text", "pair"], **options)
    assert (facts.leaks, facts.repeats) == (0, 1)


def test_a_column_called_label_says_nothing_of_pairs_unless_it_is_named(tmp_path: Path) -> None:
    rows = [(f"one {i}", f"two {i}", "neutral" if i % 2 else "entailment") for i in range(20)]
    columns = ["premise", "hypothesis", "label"]
    options = {"kind": "pairs", "text": "premise", "pair": "hypothesis"}
    task, facts = task_of(tmp_path, rows, columns, **options)
    assert task.frame["labels"].list.len().max() == 0
    assert facts.splits == {"train": 16, "test": 4}
    named, facts = task_of(tmp_path, rows, columns, **options, label="label")
    assert set(named.frame["labels"].explode()) == {"neutral", "entailment"}
    assert facts.splits == {"train": 20}
    with pytest.raises(ConfigError, match="no column 'group'"):
        task_of(tmp_path, rows, columns, **options, label="group")


def test_a_blank_group_of_pairs_is_none(tmp_path: Path) -> None:
    groups = [" g", "g ", "", "NaN", None, "nan"]
    rows = [(f"one {i}", f"two {i}", group) for i, group in enumerate(groups)]
    task, _ = task_of(
        tmp_path, rows, ["text", "other", "group"], kind="pairs", pair="other", label="group"
    )
    assert task.frame["labels"].to_list() == [["g"], ["g"], [], [], [], []]


def test_unlabelled_text_all_trains_and_takes_no_row_from_others(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(50)]
    pl.DataFrame({"text": texts}).write_csv(tmp_path / "plain.csv")
    pl.DataFrame({"text": texts, "label": ["a", "b"] * 25}).write_csv(tmp_path / "table.csv")
    recipe = Recipe.model_validate(
        {
            "training": {"distillation": 1.0},
            "tasks": [
                {"name": "cards", "source": "table.csv"},
                {"name": "plain", "source": "plain.csv", "kind": "unlabelled"},
            ],
        }
    )
    (cards, plain), facts = load_tasks(recipe, tmp_path)
    assert facts[0].foreign_leaks == 0
    # What the labelled task is scored on is not trained on by the other.
    assert facts[1].foreign_leaks == cards.rows("test").height == 10
    assert facts[1].splits == {"train": 40}
    assert plain.train.height == 40


def test_the_split_does_not_follow_the_seed_of_the_training(tmp_path: Path) -> None:
    rows = {"text": [f"text {i}" for i in range(50)], "label": ["a", "b"] * 25}
    pl.DataFrame(rows).write_csv(tmp_path / "table.csv")
    tasks = [{"name": "cards", "source": "table.csv"}]
    splits = [
        load_tasks(Recipe.model_validate({"tasks": tasks, **seeds}), tmp_path)[0][0].frame["split"]
        for seeds in ({"seed": 0}, {"seed": 1}, {"seed": 1, "data_seed": 1})
    ]
    assert splits[0].equals(splits[1])
    assert not splits[0].equals(splits[2])


def test_what_was_dropped_and_odd_labels_are_told_in_a_line(tmp_path: Path) -> None:
    rows = [
        ("train", "one", "a"), ("train", "two", "a"), ("train", "One!", "a"), ("train", "ten", "b"),
        ("train", "", "a"), ("test", "two", "a"), ("test", "six", "c"),
    ]  # fmt: skip
    _, facts = task_of(tmp_path, rows, ["split", "text", "label"], split="split")
    assert facts.remarks == (
        "task cards: 1 row(s) without text, label, pair or score dropped; 1 training row(s) "
        "dropped, their text is in validation or test; 1 repeated training row(s) dropped; "
        "2 label(s) with one training row ('a', 'b'); 1 label(s) in no training row ('c')"
    )
    assert TaskFacts("cards", rows=3).remarks == ""


def test_labels_of_a_hierarchy_are_told_with_what_stands_above_them(tmp_path: Path) -> None:
    paths = [("train", "left", "other")] * 3 + [
        ("train", "right", "other"),
        ("test", "up", "other"),
    ]
    rows = [(split, f"text {i}", a, b) for i, (split, a, b) in enumerate(paths)]
    options = {"kind": "hierarchical", "label": ("a", "b"), "split": "split"}
    _, facts = task_of(tmp_path, rows, ["split", "text", "a", "b"], **options)
    assert facts.single_labels == ["right", "right / other"]
    assert facts.unseen_labels == ["up", "up / other"]


def test_a_split_of_a_hierarchy_has_every_path_in_train() -> None:
    paths = [["Food", "other"]] * 30 + [["Sport", "other"]] * 2 + [["Sport", "ball"]] * 10
    frame = frame_of([(f"text {i}", "") for i in range(len(paths))]).with_columns(
        pl.Series("labels", paths)
    )
    for seed in range(40):
        made = make_split(config_of(kind="hierarchical", label=("a", "b")), frame, seed)
        taught = made.filter(split="train")["labels"].to_list()
        assert {tuple(path) for path in taught} == {tuple(path) for path in paths}
        assert made.filter(split="test").height == 8  # a fifth of each path, rounded


def test_a_text_conflicts_where_its_paths_part(tmp_path: Path) -> None:
    for number, (paths, count) in enumerate(
        (
            ([("Sport", "other"), ("Food", "other")], 1),
            ([("Sport", ""), ("Sport", "ball")], 0),
            ([("Sport", "ball"), ("Sport", "run"), ("Sport", "run")], 1),
        )
    ):
        rows = [("train", "same", *path) for path in paths]
        options = {"kind": "hierarchical", "label": ("a", "b"), "split": "split"}
        _, facts = task_of(tmp_path / str(number), rows, ["split", "text", "a", "b"], **options)
        assert facts.conflicts == count


def test_texts_of_signs_only_are_compared_as_they_are(tmp_path: Path) -> None:
    rows = [("train", "😀", "a"), ("train", "?!", "a"), ("test", "😜", "a"), ("test", "?!", "a")]
    task, facts = task_of(tmp_path, rows, ["split", "text", "label"], split="split")
    assert facts.leaks == 1
    assert task.train["text"].to_list() == ["😀"]


def test_a_variation_selector_makes_no_other_text() -> None:
    hearts = pl.DataFrame({"text": ["Thanks ❤\ufe0f", "thanks ❤", "Thanks!"]})
    assert hearts.select(normalised("text"))["text"].to_list() == ["thanks"] * 3
