"""Tables to tasks: formats, columns, splits, leaks, and what is wrong with real files."""

from __future__ import annotations

import gzip
import json
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.embeddings.small_tables import COLUMNS, config_of, plain_key, task_of
from trine.core.errors import ConfigError, DataError
from trine.embeddings.config import Recipe, load_recipe
from trine.embeddings.languages import is_language
from trine.embeddings.loading import (
    LONG,
    label_rows,
    load_task,
    load_tasks,
    read_table,
)
from trine.embeddings.splits import normalised
from trine.embeddings.training_rows import training_rows

ROWS = [
    ("train", "My card has not arrived.", "card", "en"),
    ("train", "Où est ma carte ?", "card", "fr"),
    ("train", "Please close my account", "account", "en"),
    ("train", "Fermez, mon compte", "account", "fr"),
    ("test", "Is the card on its way?", "card", "en"),
    ("test", "Je ferme mon compte", "account", "fr"),
]


def refusal(folder: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        load_task(config_of(**options), folder)
    return str(caught.value)


# ---- formats -------------------------------------------------------------------------------


def test_every_format_gives_the_same_task(tmp_path: Path) -> None:
    frame = pl.DataFrame(ROWS, schema=COLUMNS, orient="row")
    frame.write_csv(tmp_path / "a.csv")
    frame.write_csv(tmp_path / "a.tsv", separator="\t")
    frame.write_ndjson(tmp_path / "a.jsonl")
    frame.write_parquet(tmp_path / "a.parquet")
    for name in ("a.csv", "a.tsv", "a.jsonl", "a.parquet"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    (tmp_path / "mark.csv").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "a.csv").read_bytes())
    names = [path.name for path in sorted(tmp_path.iterdir())]
    assert len(names) == 9
    made = [
        load_task(config_of(source=name, split="split", language="lang"), tmp_path)[0].frame
        for name in names
    ]
    for other in made[1:]:
        assert other.equals(made[0])
    assert made[0]["text"].to_list() == [row[1] for row in ROWS]
    assert made[0]["labels"].to_list() == [[row[2]] for row in ROWS]


def test_quoted_commas_and_line_breaks_in_csv_stay_in_the_text(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text('text,label\n"one, ""two""\nthree",a\nfour,a\n')
    task, _ = load_task(config_of(), tmp_path)
    assert task.frame["text"].to_list() == ['one, "two"\nthree', "four"]


def test_invalid_utf8_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes("text,label\nfine,a\ncafé,b\n".encode("latin-1"))
    message = refusal(tmp_path)
    assert "table.csv, line 3: not UTF-8 (byte 0xe9)" in message
    assert "iconv" in message


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("table.csv", b"", "is empty"),
        ("table.csv", b"text,label\n", "has no rows"),
        ("table.csv", b"text,label\na,b,c,d\n", "line 2: 4 cells, the header has 2"),
        ("table.csv.gz", b"text,label\na,b\n", "cannot read"),
        (
            "table.csv.gz",
            gzip.compress(b"text,label\na,b\n" * 99, mtime=0)[:-12],
            "is the file whole?",
        ),
        ("table.csv", b"text;label\na;b\n", "has one column, 'text;label'; accepted: columns"),
        ("table.tsv", b"text,label\na,b\n", "has one column, 'text,label'; accepted: columns"),
        ("table.parquet", b"PAR1 and nothing", "cannot be read as a table"),
        ("table.xlsx", b"PK", "table.xlsx is no table; accepted: .csv"),
        ("table.jsonl", b'{"text": "a", "label": "b"}\n{"text": \n', "line 2: not JSON"),
        ("table.jsonl", b'{"text": "a", "score": NaN}\n', "line 1: not JSON (NaN"),
        ("table.jsonl", b'{"text": "a", "label": "b"}\n["a", "b"]\n', "line 2"),
    ],
)
def test_a_broken_file_is_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / name)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_names_the_tables_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("text,label\na,b\n")
    message = refusal(tmp_path)
    assert "table.csv" in message
    assert "tables there: other.csv" in message


# ---- columns -------------------------------------------------------------------------------


def test_a_missing_column_names_the_ones_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        task_of(tmp_path, ROWS, ["split", "text", "labels", "lang"], split="split")
    message = str(caught.value)
    assert "'cards': table.csv has no column 'label'" in message
    assert "accepted: split, text, labels, lang" in message
    assert "did you mean 'labels'?" in message


def test_columns_of_records_are_refused(tmp_path: Path) -> None:
    frame = pl.DataFrame({"text": [{"a": 1}, {"a": 2}], "label": ["x", "y"]})
    frame.write_parquet(tmp_path / "table.parquet")
    message = refusal(tmp_path, source="table.parquet")
    assert "column 'text' of table.parquet holds lists or records" in message


LATIN = ["Où est ma carte".encode("latin1"), b"a", b"b"]


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        ({"text": LATIN}, {}, "column 'text' of table.parquet holds bytes that are not UTF-8"),
        ({"label": LATIN}, {}, "column 'label' of table.parquet holds bytes that are not UTF-8"),
        ({"label": [LATIN] * 3}, {"kind": "multi"}, "'label' of table.parquet holds bytes that"),
        ({"label": [[[1]]] * 3}, {"kind": "multi"}, r"List\(List\(Int64\)\), which is no text"),
        ({"text": [timedelta(days=1)] * 3}, {}, "holds Duration.*, which is no text"),
        ({"score": LATIN}, {"kind": "graded", "pair": "label", "score": "score"},
         "column 'score' of table.parquet holds Binary, which is no number"),
    ],
)  # fmt: skip
def test_columns_that_have_no_form_as_texts_or_numbers_are_named(
    tmp_path: Path, values: dict[str, Any], options: dict[str, Any], words: str
) -> None:
    columns = {"text": ["one", "two", "three"], "label": ["a", "b", "a"], **values}
    pl.DataFrame(columns).write_parquet(tmp_path / "table.parquet")
    message = refusal(tmp_path, source="table.parquet", **options)
    assert re.search("task 'cards': .*" + words, message)
    assert "\n" not in message


def test_bytes_that_are_texts_are_taken(tmp_path: Path) -> None:
    columns = {"text": ["où".encode(), b"two", None], "label": [b"a", b"b", b"a"]}
    pl.DataFrame(columns).write_parquet(tmp_path / "table.parquet")
    task, facts = load_task(config_of(source="table.parquet"), tmp_path)
    assert task.frame["text"].to_list() == ["où", "two"]
    assert facts.incomplete == 1


@pytest.mark.parametrize("blank", ["", "  ", "NaN", None])
def test_rows_without_text_or_label_are_dropped_and_counted(
    tmp_path: Path, blank: str | None
) -> None:
    rows = [("one", "a"), (blank, "a"), ("two", blank), ("three", "b")]
    task, facts = task_of(tmp_path, rows, ["text", "label"])
    assert task.frame["text"].to_list() == ["one", "three"]
    assert (facts.rows, facts.incomplete) == (4, 2)
    assert task.frame["row"].to_list() == [0, 3]


def test_nan_scores_and_labels_of_a_typed_table_are_dropped(tmp_path: Path) -> None:
    nan = float("nan")
    frame = pl.DataFrame(
        {"text": list("abcd"), "pair": list("wxyz"), "score": [1.0, nan, None, 2.0]}
    )
    frame.write_parquet(tmp_path / "table.parquet")
    task, facts = load_task(config_of(source="table.parquet", kind="graded", pair="pair"), tmp_path)
    assert task.frame["score"].to_list() == [1.0, 2.0]
    assert facts.incomplete == 2
    _, facts = load_task(config_of(source="table.parquet", label="score"), tmp_path)
    assert facts.incomplete == 2


def test_no_usable_row_is_an_error_with_advice(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no usable row of 2 in table.csv; check its columns"):
        task_of(tmp_path, [("", "a"), ("x", "")], ["text", "label"])


def test_several_labels_from_texts_and_from_lists(tmp_path: Path) -> None:
    rows = [("one", "a| b |"), ("two", "b"), ("three", "a|a")]
    task, _ = task_of(tmp_path, rows, ["text", "label"], kind="multi")
    assert task.frame["labels"].to_list() == [["a", "b"], ["b"], ["a"]]
    lists = {"text": ["one", "two", "three"], "label": [["a", "b"], ["b"], ["a", "a"]]}
    pl.DataFrame(lists).write_parquet(tmp_path / "table.parquet")
    same, _ = load_task(config_of(source="table.parquet", kind="multi"), tmp_path)
    assert same.frame.equals(task.frame)


def test_levels_of_a_hierarchy_keep_their_order(tmp_path: Path) -> None:
    rows = [("one", "fine1", "coarse"), ("two", "fine2", "coarse")]
    columns = ["text", "fine", "coarse"]
    task, _ = task_of(tmp_path, rows, columns, kind="hierarchical", label=("coarse", "fine"))
    assert task.frame["labels"].to_list() == [["coarse", "fine1"], ["coarse", "fine2"]]


def test_a_path_may_end_early_but_has_no_gap(tmp_path: Path) -> None:
    levels = [
        ("a", "b", "c"), ("a", "b", None), ("a", " ", ""), ("a", "NaN", "c"), (None, "b", "c"),
        ("", "", ""), ("a", "b", "d"),
    ]  # fmt: skip
    rows = [(f"text {i}", *path) for i, path in enumerate(levels)]
    columns = ["text", "one", "two", "three"]
    names = ("one", "two", "three")
    task, facts = task_of(tmp_path, rows, columns, kind="hierarchical", label=names)
    assert task.frame["labels"].to_list() == [
        ["a", "b", "c"], ["a", "b"], ["a"], ["a", "b", "d"]
    ]  # fmt: skip
    assert facts.incomplete == 3
    assert task.finest(task.frame)["row"].to_list() == [0, 6]
    # Labels that are counted are whole paths.
    assert label_rows(task)["label"].to_list() == ["a / b / c", "a / b / d"]
    assert training_rows(task).labels.shape[1] == 3


def test_pairs_have_a_group_only_where_one_is_given(tmp_path: Path) -> None:
    rows = [("dog", "chien", "1"), ("cat", "chat", None), ("hound", "chien", "1")]
    columns = ["en", "fr", "id"]
    task, _ = task_of(tmp_path, rows, columns, kind="pairs", text="en", pair="fr", label="id")
    assert task.frame["labels"].to_list() == [["1"], [], ["1"]]
    task, _ = task_of(tmp_path, rows, columns, kind="pairs", text="en", pair="fr")
    assert task.frame["labels"].to_list() == [[], [], []]


def test_labels_can_be_left_out(tmp_path: Path) -> None:
    task, facts = task_of(tmp_path, ROWS, COLUMNS, split="split", drop_labels=("account",))
    assert set(task.frame["labels"].explode()) == {"card"}
    assert (facts.rows, facts.incomplete) == (6, 0)


# ---- languages -----------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["en", "pt-BR", "zh-Hans", "arb_Arab", "eng", "sr_Cyrl_RS"])
def test_codes_with_script_and_region_are_languages(code: str) -> None:
    assert is_language(code)


@pytest.mark.parametrize("code", ["", "e", "xx", "english", "en-", "zh-Hans-", "12", "klingon"])
def test_other_words_are_no_languages(code: str) -> None:
    assert not is_language(code)


def test_an_unknown_language_code_is_named(tmp_path: Path) -> None:
    rows = [*ROWS, ("train", "Hallo", "card", "xq")]
    with pytest.raises(DataError) as caught:
        task_of(tmp_path, rows, COLUMNS, split="split", language="lang")
    assert "task 'cards': unknown language code 'xq'" in str(caught.value)
    assert "zh-Hans, arb_Arab" in str(caught.value)


def test_english_names_capitals_and_blanks_become_codes(tmp_path: Path) -> None:
    languages = ["English", "FR", "", "arb_Arab"]
    rows = [(f"text {i}", "a", language) for i, language in enumerate(languages)]
    task, _ = task_of(
        tmp_path, rows, ["text", "label", "lang"], language="lang", default_language="de"
    )
    assert task.frame["language"].to_list() == ["en", "fr", "de", "arb_Arab"]


@pytest.mark.parametrize("option", ["languages", "held_out_languages"])
def test_a_chosen_language_must_be_there(tmp_path: Path, option: str) -> None:
    with pytest.raises(ConfigError, match=rf"{option} names 'de', .* accepted: en, fr"):
        task_of(tmp_path, ROWS, COLUMNS, split="split", language="lang", **{option: ("de",)})


def test_held_out_languages_are_scored_and_never_trained_on(tmp_path: Path) -> None:
    task, _ = task_of(
        tmp_path, ROWS, COLUMNS, split="split", language="lang", held_out_languages=("fr",)
    )
    assert set(task.train["language"]) == {"en"}
    assert set(task.rows("test")["language"]) == {"en", "fr"}


def test_rows_of_held_out_languages_stand_for_no_others(tmp_path: Path) -> None:
    rows = [("train", f"text {i}", "a", "fr" if i % 2 else "en") for i in range(60)]
    task, _ = task_of(
        tmp_path, rows, COLUMNS, split="split", language="lang", held_out_languages=("fr",),
        max_rows=20, validation_rows=8,
    )  # fmt: skip
    assert task.train.height == 20
    assert set(task.rows("validation")["language"]) == {"en"}
    assert task.rows("validation").height == 8


# ---- odd rows ------------------------------------------------------------------------------


def test_odd_labels_are_named(tmp_path: Path) -> None:
    rows = [*ROWS, ("train", "What?", "only", "en"), ("test", "Never seen", "new", "en")]
    _, facts = task_of(tmp_path, rows, COLUMNS, split="split")
    assert facts.single_labels == ["only"]
    assert facts.unseen_labels == ["new"]


def test_a_text_of_100_kb_is_kept_and_counted(tmp_path: Path) -> None:
    long = "word " * 20_000
    rows = [("train", long, "a"), ("train", "short", "a"), ("test", "x" * LONG, "a")]
    task, facts = task_of(tmp_path, rows, ["split", "text", "label"], split="split")
    assert task.frame["text"][0] == long.strip()
    assert facts.long_texts == 1


def test_max_rows_limits_training_rows_only(tmp_path: Path) -> None:
    rows = [("train" if i < 80 else "test", f"text {i}", "a") for i in range(100)]
    options = {"split": "split", "max_rows": 10}
    task, _ = task_of(tmp_path, rows, ["split", "text", "label"], **options)
    assert (task.train.height, task.rows("test").height) == (10, 20)
    again, _ = load_task(config_of(**options), tmp_path)
    assert again.frame.equals(task.frame)


def test_validation_rows_come_from_those_that_max_rows_leaves_out(tmp_path: Path) -> None:
    rows = [("train" if i < 80 else "test", f"text {i}", "a") for i in range(100)]
    columns = ["split", "text", "label"]
    few, _ = task_of(tmp_path, rows, columns, split="split", max_rows=10)
    both, _ = task_of(tmp_path, rows, columns, split="split", max_rows=10, validation_rows=30)
    assert both.train.equals(few.train)
    assert (both.rows("validation").height, both.rows("test").height) == (30, 20)
    assert both.frame["text"].n_unique() == 60
    rest, _ = task_of(tmp_path, rows, columns, split="split", validation_rows=30)
    assert (rest.train.height, rest.rows("validation").height) == (50, 30)
    with pytest.raises(DataError, match="validation_rows = 80 of 80 training rows; accepted: 0 to"):
        task_of(tmp_path, rows, columns, split="split", validation_rows=80)


def test_two_tasks_of_one_name_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[[tasks]]\nname = "a"\nsource = "x.csv"\n' * 2)
    with pytest.raises(ConfigError, match=r"two tasks are called 'a'; every task needs its own"):
        load_recipe(recipe)


def test_sources_are_relative_to_the_recipe(tmp_path: Path, monkeypatch: Any) -> None:
    task_of(tmp_path / "deep", ROWS, COLUMNS)
    (tmp_path / "deep" / "recipe.toml").write_text('[[tasks]]\nname = "a"\nsource = "table.csv"\n')
    monkeypatch.chdir(tmp_path)
    recipe, base = load_recipe(Path("deep/recipe.toml"))
    tasks, facts = load_tasks(recipe, base)
    assert [task.name for task in tasks] == ["a"]
    assert facts[0].rows == len(ROWS)


def test_a_task_does_not_depend_on_its_neighbours(tmp_path: Path) -> None:
    task_of(tmp_path, ROWS, COLUMNS)
    both = Recipe(tasks=(config_of(name="a"), config_of(name="b")))
    alone = Recipe(tasks=(config_of(name="b"),))
    assert load_tasks(both, tmp_path)[0][1].frame.equals(load_tasks(alone, tmp_path)[0][0].frame)


def test_what_one_task_is_scored_on_no_other_task_trains_on(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(300)]
    for name, kinds in (("a", 3), ("b", 7)):
        rows = pl.DataFrame({"text": texts, "label": [str(i % kinds) for i in range(300)]})
        rows.write_csv(tmp_path / f"{name}.csv")
    words = {"text": ["Text 4!", "text 7", "else", "more"], "label": ["x", "x", "y", "y"]}
    rows = pl.DataFrame({**words, "split": ["test", "train", "test", "train"]})
    rows.write_csv(tmp_path / "zero.csv")
    configs = (
        config_of(name="a", source="a.csv"), config_of(name="b", source="b.csv"),
        config_of(name="zero", source="zero.csv", split="split", role="zero_shot"),
    )  # fmt: skip
    tasks, facts = load_tasks(Recipe(tasks=configs), tmp_path)
    scored = {plain_key(t) for task in tasks for t in task.rows("test")["text"]}
    trained = {plain_key(t) for task in tasks[:2] for t in task.rows("train")["text"]}
    assert "text 4" in scored and not scored & trained
    # The splits are drawn by text, so few training rows are lost: labels differ, texts do not.
    assert all(0 < found.foreign_leaks < 60 for found in facts[:2])
    assert [found.splits["train"] for found in facts[:2]] == [
        t.rows("train").height for t in tasks[:2]
    ]
    kept, _ = load_tasks(Recipe(tasks=configs), tmp_path, drop_leaks=False)
    assert kept[0].rows("train").height == tasks[0].rows("train").height + facts[0].foreign_leaks


def test_a_task_whose_rows_another_is_scored_on_is_refused(tmp_path: Path) -> None:
    rows = [("train", "one", "a"), ("train", "two", "b"), ("test", "three", "a")]
    turned = [("test", "one", "a"), ("test", "two", "b"), ("train", "three", "a")]
    for name, table in (("a", rows), ("b", turned)):
        frame = pl.DataFrame(table, schema=["split", "text", "label"], orient="row")
        frame.write_csv(tmp_path / f"{name}.csv")
    configs = tuple(config_of(name=n, source=f"{n}.csv", split="split") for n in "ab")
    with pytest.raises(DataError, match=r"'a': other tasks are scored on all of its .* one split"):
        load_tasks(Recipe(tasks=configs), tmp_path)


# ---- real files ----------------------------------------------------------------------------

TEXT_DATA = Path(os.environ.get("TRINE_DATA", "")) / "text"


@pytest.mark.data
@pytest.mark.skipif(not TEXT_DATA.is_dir(), reason="needs $TRINE_DATA/text")
@pytest.mark.parametrize(
    ("name", "rows"),
    # "Cautions" in the README of the data: test rows whose text is in train, after lower-casing
    # and dropping punctuation.
    [
        ("banking77", 25), ("clinc150", 19), ("goemotions", 109), ("stackoverflow_tags", 8),
        ("tweet_sentiment_ml", 25), ("slurp", 0), ("hwu64", 0), ("sib200", 0),
    ],
)  # fmt: skip
def test_overlap_of_real_files_is_the_published_one(name: str, rows: int) -> None:
    table = read_table(TEXT_DATA / f"{name}.csv.gz").with_columns(normalised("text").alias("key"))
    train = table.filter(pl.col("split") == "train")["key"].unique()
    test = table.filter(pl.col("split") == "test")
    assert test.filter(pl.col("key").is_in(train.implode())).height == rows


def test_json_lines_may_miss_a_key(tmp_path: Path) -> None:
    lines = [{"text": "one", "label": "a"}, {"text": "two"}, {"text": "three", "label": "b"}]
    (tmp_path / "table.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    task, facts = load_task(config_of(source="table.jsonl"), tmp_path)
    assert task.frame["text"].to_list() == ["one", "three"]
    assert facts.incomplete == 1
