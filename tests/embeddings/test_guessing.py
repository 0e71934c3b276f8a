"""Guesses of what tables mean: kinds, columns, and a recipe that loads as it was meant."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from trine.core.errors import DataError, UsageError
from trine.embeddings.columns import column_facts, separator_of
from trine.embeddings.config import load_recipe
from trine.embeddings.guessing import Guess, guess_recipe, guess_task, task_name
from trine.embeddings.loading import load_tasks

N = 40
TEXTS = [f"a text about the thing number {i}" for i in range(N)]
OTHERS = [f"something else that is said {i}" for i in range(N)]
LABELS = ["card", "account", "loan", "fee"]


def guess(**columns: Any) -> Guess:
    return guess_task("data/table.csv", pl.DataFrame(columns))


def cycle(values: list[Any]) -> list[Any]:
    return [values[i % len(values)] for i in range(N)]


def options(guessed: Guess) -> Mapping[str, Any]:
    return guessed.config.model_dump(exclude_defaults=True, exclude={"name", "source"})


def test_text_and_label() -> None:
    assert options(guess(text=TEXTS, label=cycle(LABELS))) == {}
    assert options(guess(topic=cycle(LABELS), utterance=TEXTS)) == {
        "text": "utterance", "label": "topic"
    }  # fmt: skip


def test_a_column_that_is_no_text_is_left_out_and_said() -> None:
    picture = [b"\xff\xd8"] * N
    found = guess(picture=picture, text=TEXTS, label=cycle(LABELS))
    assert options(found) == {}
    assert "column 'picture' holds bytes that are not UTF-8, and is not used" in found.reasons
    with pytest.raises(DataError, match="column 'text' holds bytes that are not UTF-8; its col"):
        guess(text=[b"caf\xe9"] * N, label=cycle(LABELS))


def test_names_that_say_nothing_are_judged_by_content() -> None:
    found = guess(id=[f"x{i:04}" for i in range(N)], c1=cycle(LABELS), c2=TEXTS)
    assert options(found) == {"text": "c2", "label": "c1"}


def test_texts_without_white_space_are_texts_too() -> None:
    texts = [f"我的卡还没有到第{i}次" for i in range(N)]
    found = guess(was=texts, label=cycle(LABELS))
    assert options(found) == {"text": "was"}
    assert any("default_language" in reason for reason in found.reasons)


def test_identifiers_are_neither_text_nor_label() -> None:
    codes = [f"{i % 20:08x}-0b1c-4d2e" for i in range(N)]
    found = guess(uuid=[f"0{i}-ab-{i}" for i in range(N)], text=TEXTS, label=codes)
    assert options(found) == {}  # a label column may hold codes, by its name


def test_several_labels_by_separator_and_by_list() -> None:
    joined = cycle(["joy", "anger|joy", "anger", "joy|surprise", "surprise|anger", "surprise"])
    assert options(guess(text=TEXTS, label=joined)) == {"kind": "multi"}
    commas = [label.replace("|", ", ") for label in joined]
    found = options(guess(text=TEXTS, tags=commas))
    assert found == {"kind": "multi", "label": "tags", "separator": ","}
    lists = [label.split("|") for label in joined]
    assert options(guess(text=TEXTS, hashtags=lists)) == {"kind": "multi", "label": "hashtags"}


@pytest.mark.parametrize(
    "labels", [["Paris, France", "Rome, Italy", "Oslo, Norway"], ["science/technology", "a,b"]]
)
def test_a_sign_inside_labels_does_not_join_them(labels: list[str]) -> None:
    assert separator_of(pl.Series(cycle(labels))) == ""


def test_a_coarser_column_makes_a_hierarchy() -> None:
    fine = cycle(["card_lost", "card_late", "loan_rate", "loan_end"])
    coarse = [label.partition("_")[0] for label in fine]
    unrelated = [["north", "south", "east"][i % 3] for i in range(N)]
    found = guess(text=TEXTS, label=fine, domain=coarse, region=unrelated)
    assert options(found) == {"kind": "hierarchical", "label": ("domain", "label")}
    assert "'domain' follows from 'label': hierarchical, coarse to fine" in found.reasons


def test_three_levels_are_ordered_coarse_to_fine() -> None:
    fine = cycle([f"l{i}" for i in range(8)])
    middle = [f"m{int(label[1]) // 2}" for label in fine]
    top = [f"t{int(label[1]) // 4}" for label in fine]
    found = guess(text=TEXTS, top=top, label=fine, middle=middle)
    assert options(found)["label"] == ("top", "middle", "label")


def test_two_texts_and_a_score_are_graded() -> None:
    found = guess(sentence1=TEXTS, sentence2=OTHERS, score=cycle([0.5, 1.5, 4.0]))
    assert options(found) == {"kind": "graded", "text": "sentence1", "pair": "sentence2"}
    found = guess(sentence1=TEXTS, sentence2=OTHERS, score=["n/a", *map(str, range(1, N))])
    assert options(found)["kind"] == "pairs"
    assert "column 'score' holds more than numbers and is not used" in found.reasons
    found = guess(question1=TEXTS, question2=OTHERS, label=cycle([0, 1]))
    assert options(found)["kind"] == "graded"
    assert options(found)["score"] == "label"


def test_two_texts_alone_are_pairs() -> None:
    found = guess(description=OTHERS, title=TEXTS, code=[str(1000 + i // 4) for i in range(N)])
    assert options(found) == {"kind": "pairs", "text": "title", "pair": "description", "label": ""}


def test_a_named_label_beside_two_texts_wins() -> None:
    found = guess(title=TEXTS, body=OTHERS, label=cycle(LABELS))
    assert options(found) == {"text": "title"}
    told = "column 'body' holds texts too and is not used (to pair them: "
    assert f'{told}kind = "pairs", pair = "body")' in found.reasons


def test_split_and_language_columns() -> None:
    found = guess(
        fold=cycle(["train", "train", "dev", "test"]), text=TEXTS, label=cycle(LABELS),
        lang=cycle(["en", "arb_Arab", "zh-Hans"]),
    )  # fmt: skip
    assert options(found) == {"split": "fold", "language": "lang"}
    found = guess(split=["all"] * N, text=TEXTS, label=cycle(LABELS))
    assert options(found) == {}
    assert "column 'split' holds 'all', no names of splits: a split is made" in found.reasons
    typo = cycle(["train", "train", "test", "train"])
    found = guess(split=["trian", *typo[1:]], text=TEXTS, label=cycle(LABELS))
    assert options(found) == {"split": "split"}
    assert "column 'split' has values that name no split" in found.reasons


def test_a_column_of_programming_languages_is_no_language_column() -> None:
    found = guess(text=TEXTS, language=cycle(["python", "rust", "haskell"]))
    assert options(found) == {"label": "language"}


def test_a_table_without_training_rows_is_zero_shot() -> None:
    found = guess(split=cycle(["devel", "test"]), text=TEXTS, label=cycle(LABELS))
    assert options(found) == {"split": "split", "role": "zero_shot"}


def test_out_of_scope_rows_are_left_out() -> None:
    assert options(guess(text=TEXTS, label=cycle([*LABELS, "oos"]))) == {"drop_labels": ("oos",)}


def test_tables_without_text_or_label_are_refused() -> None:
    with pytest.raises(DataError, match=r"no column of texts; its columns: label, n"):
        guess(label=cycle(LABELS), n=list(range(N)))
    with pytest.raises(DataError, match=r"texts in 'text' and no label; its columns: text, id"):
        guess(text=TEXTS, id=list(range(N)))


def test_task_names_have_the_letters_of_a_recipe() -> None:
    assert task_name("data/stsb multi.v2.csv.gz") == "stsb-multi"
    assert task_name("ünïcode.csv") == "n-code"
    assert task_name("写.csv") == "task"
    assert task_name("sample:interest") == "interest"


def test_column_facts() -> None:
    facts = column_facts(pl.Series("x", ["12", "7.5", None, " "]))
    assert (facts.count, facts.numeric, facts.words) == (2, True, False)
    facts = column_facts(pl.Series("x", [["a"], ["b"], ["a"]]))
    assert (facts.is_list, facts.count) == (True, 2)
    empty = column_facts(pl.Series("x", [None, None], dtype=pl.String))
    assert (empty.count, empty.numeric, empty.values) == (0, False, frozenset())


def test_the_recipe_loads_as_it_was_guessed(tmp_path: Path) -> None:
    rows = {"split": cycle(["train", "train", "test"]), "text": TEXTS, "label": cycle(LABELS)}
    (tmp_path / "data").mkdir()
    pl.DataFrame(rows).write_csv(tmp_path / "data" / "cards.csv")
    odd = {"a text": TEXTS, 'the "label"\\': cycle(["é|b", "b", "é"])}
    pl.DataFrame(odd).write_csv(tmp_path / "data" / "odd name.csv")
    guessed = guess_recipe(["data/cards.csv", "data/odd name.csv"], tmp_path)
    (tmp_path / "recipe.toml").write_text(guessed.text)
    recipe, base = load_recipe(tmp_path / "recipe.toml")
    assert list(recipe.tasks) == [g.config for g in guessed.guesses]
    tasks, _ = load_tasks(recipe, base, drop_leaks=False)
    assert [task.frame.height for task in tasks] == [N, N]
    assert recipe.model.base == "minilm"


def test_other_languages_get_the_multilingual_base(tmp_path: Path) -> None:
    rows = {"text": TEXTS, "label": cycle(LABELS), "lang": cycle(["en", "fr"])}
    pl.DataFrame(rows).write_csv(tmp_path / "t.csv")
    assert 'base = "multilingual-e5-small"' in guess_recipe(["t.csv"], tmp_path).text


def test_findings_are_comments_of_their_task(tmp_path: Path) -> None:
    rows = {"split": ["train"] * 30 + ["test"] * 10, "text": TEXTS, "label": cycle(LABELS)}
    rows["text"] = [*TEXTS[:39], TEXTS[0]]
    rows["label"][5] = "with\x07bell"
    pl.DataFrame(rows).write_csv(tmp_path / "t.csv")
    pl.DataFrame({**rows, "split": ["train"] * 40}).write_csv(tmp_path / "u.csv")
    text = guess_recipe(["t.csv", "u.csv"], tmp_path).text
    (tmp_path / "recipe.toml").write_text(text)
    load_recipe(tmp_path / "recipe.toml")
    first = text.split("[[tasks]]")[1]
    assert "# 1 test row also in train: those training rows will be dropped\n" in first
    assert "# 10 of 10 test rows are in u (10 in its train)\n" in first
    assert "no positive to learn from: with bell\n" in first


def test_two_tables_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"called 'x': a/x.csv and b/x.jsonl; rename one"):
        guess_recipe(["a/x.csv", "b/x.jsonl"], tmp_path)


TEXT_DATA = Path(os.environ.get("TRINE_DATA", "nowhere")) / "text"


@pytest.mark.data
@pytest.mark.skipif(not TEXT_DATA.is_dir(), reason="needs $TRINE_DATA/text")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("banking77", {"split": "split"}),
        (
            "clinc150",
            {
                "kind": "hierarchical", "label": ("domain", "label"), "split": "split",
                "drop_labels": ("oos",),
            },
        ),
        ("hwu64", {"kind": "hierarchical", "label": ("scenario", "label"), "split": "split"}),
        (
            "slurp",
            {
                "kind": "hierarchical", "label": ("scenario", "label"), "split": "split",
                "role": "zero_shot",
            },
        ),
        ("goemotions", {"kind": "multi", "split": "split"}),
        ("stackoverflow_tags", {"split": "split"}),
        (
            "esco_titles",
            {
                "kind": "hierarchical", "label": ("isco4", "label"), "split": "split",
                "language": "lang",
            },
        ),
        (
            "esco_descriptions",
            {"kind": "pairs", "text": "title", "pair": "description", "language": "lang"},
        ),
        ("esco_skills", {"language": "lang"}),
        ("sib200", {"split": "split", "language": "lang"}),
        ("tweet_sentiment_ml", {"split": "split", "language": "lang"}),
        (
            "stsb_multi",
            {
                "kind": "graded", "text": "text1", "pair": "text2", "split": "split",
                "language": "lang",
            },
        ),
        (
            "tatoeba",
            {
                "kind": "pairs", "pair": "english", "split": "split", "language": "lang",
                "role": "zero_shot",
            },
        ),
    ],
)  # fmt: skip
def test_real_tables_are_understood(name: str, expected: dict[str, Any]) -> None:
    from trine.embeddings.table_files import read_table

    found = guess_task(f"{name}.csv.gz", read_table(TEXT_DATA / f"{name}.csv.gz"))
    assert options(found) == expected
