"""Samples: the corpus written for Trine and the conversations, each as the task that it claims."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import polars as pl
import pytest

from trine.core.errors import UsageError
from trine.embeddings.audit import audit
from trine.embeddings.config import Recipe, TaskConfig, load_recipe
from trine.embeddings.conversations import TOPICS
from trine.embeddings.loading import load_task, load_tasks
from trine.embeddings.sources import SAMPLES, read_source, sample_task

HERE = Path()


def sample(name: str) -> pl.DataFrame:
    return read_source(f"sample:{name}", HERE)


@pytest.mark.parametrize("name", list(SAMPLES))
def test_every_sample_loads_as_its_ready_task(name: str) -> None:
    task, facts = load_task(sample_task(name), HERE)
    assert task.frame.height > 0
    assert set(facts.splits) == {"train", "test"}
    assert facts.incomplete == 0
    assert task.config.licence
    assert task.config.origin


def test_a_recipe_needs_a_name_and_a_sample_only(tmp_path: Path) -> None:
    text = "".join(f'[[tasks]]\nname = "{n}"\nsource = "sample:{n}"\n' for n in SAMPLES)
    (tmp_path / "recipe.toml").write_text(text)
    recipe, base = load_recipe(tmp_path / "recipe.toml")
    assert list(recipe.tasks) == [sample_task(name) for name in SAMPLES]
    tasks, _ = load_tasks(recipe, base)
    assert [task.kind for task in tasks] == [task.kind for task in recipe.tasks]


def test_what_a_recipe_says_goes_before_the_sample() -> None:
    task = TaskConfig(name="mine", source="sample:interest", split="", role="zero_shot")
    assert (task.label, task.split, task.role) == ("interest", "", "zero_shot")
    same = sample_task("interest", name="mine", split="", role="zero_shot")
    assert task == same
    assert Recipe(tasks=(task,)).model_dump() == Recipe(tasks=(same,)).model_dump()


@pytest.mark.parametrize("make", [sample_task, sample])
def test_an_unknown_sample_is_named(make: object) -> None:
    assert callable(make)
    with pytest.raises(UsageError, match=r"unknown sample 'intrest'; .* did you mean 'interest'"):
        make("intrest")


# ---- conversations -------------------------------------------------------------------------


def test_conversations_are_those_of_the_files() -> None:
    # The other route: the files of four languages by name, in plain loops.
    import yaml

    folder = resources.files("chatterbot_corpus") / "data"
    frame = sample("conversations")
    for language, code in {
        "english": "en",
        "spanish": "es",
        "dutch": "nl",
        "turkish": "tr",
    }.items():
        expected: dict[str, set[str]] = {}
        for stem, topic in TOPICS.items():
            file = folder / language / f"{stem}.yml"
            if file.is_file():
                turns = yaml.safe_load(file.read_text(encoding="utf-8"))["conversations"]
                texts = {" ".join(" ".join(map(str, turn)).split()) for turn in turns}
                if len(texts) >= 8:
                    expected[topic] = texts
        rows = frame.filter(pl.col("language") == code)
        found = {topic: set(rows.filter(pl.col("topic") == topic)["text"]) for topic in expected}
        assert found == expected
        assert rows.height == sum(map(len, expected.values()))


def test_conversations_have_many_languages_and_a_fixed_split() -> None:
    frame = sample("conversations")
    assert frame.equals(sample("conversations"))
    assert frame.height > 4_000
    assert frame["topic"].n_unique() == 15
    assert frame["language"].n_unique() == 18
    share = frame.filter(pl.col("split") == "test").height / frame.height
    assert 0.25 < share < 0.35


def test_conversations_are_read_as_whole_turns() -> None:
    frame = sample("conversations")
    assert not {"greetings", "botprofile", "trivia", "gossip"} & set(frame["topic"])
    assert frame["text"].str.contains("\n").sum() == 0
    assert frame.filter(pl.col("text").str.len_chars() < 5).height < 0.01 * frame.height


def test_conversations_have_no_leak() -> None:
    (found,) = audit([sample_task("conversations")], HERE).tasks
    assert found.facts.leaks <= 10  # a few short answers stand under two questions
