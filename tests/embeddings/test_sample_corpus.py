"""The sample corpus is what its README says: labels, splits, translations, and no filled slots."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from importlib import resources
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from trine.embeddings.audit import audit
from trine.embeddings.sources import SAMPLES, read_source, sample_task
from trine.embeddings.table_files import read_table

FOLDER = Path(str(resources.files("trine.embeddings") / "sample"))
POSTS = read_table(FOLDER / "posts.jsonl")
PARALLEL = read_table(FOLDER / "parallel.jsonl")
REQUESTS = read_table(FOLDER / "requests.jsonl")
README = (FOLDER / "README.md").read_text(encoding="utf-8")
LANGUAGES = ["fr", "es", "de", "pt", "zh", "hi", "ja"]
WRITTEN = [name for name in SAMPLES if name != "conversations"]


def words(text: str) -> list[str]:
    return re.sub(r"\W+", " ", text.lower()).split()


def test_posts_have_every_label() -> None:
    assert POSTS.columns == [
        "id", "split", "text", "interest", "hashtags", "storyline", "queries", "function"
    ]  # fmt: skip
    assert POSTS.height == POSTS["id"].n_unique() == 1_000
    assert POSTS["id"].is_sorted()
    assert set(POSTS["interest"].value_counts()["count"]) == {50}
    assert POSTS["interest"].n_unique() == 20
    assert POSTS["function"].n_unique() == 14
    stories = POSTS.drop_nulls("storyline")["storyline"].value_counts()
    assert stories.height == 80
    assert set(stories["count"]) == {5}
    assert POSTS["hashtags"].list.len().is_between(1, 4).all()
    assert POSTS["queries"].list.len().is_between(1, 2).all()
    assert POSTS["hashtags"].explode().n_unique() == 60


def test_the_split_follows_its_rule() -> None:
    def digest(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    for interest in POSTS["interest"].unique():
        rows = POSTS.filter(pl.col("interest") == interest)
        stories = sorted(rows.drop_nulls("storyline")["storyline"].unique(), key=digest)
        free = sorted(rows.filter(pl.col("storyline").is_null())["id"], key=digest)
        expected = set(rows.filter(pl.col("storyline") == stories[0])["id"]) | set(free[:8])
        assert set(rows.filter(pl.col("split") == "test")["id"]) == expected


def test_a_story_is_on_one_side() -> None:
    sides = POSTS.drop_nulls("storyline").group_by("storyline").agg(pl.col("split").n_unique())
    assert set(sides["split"]) == {1}


def test_translations_are_complete_and_on_the_side_of_their_post() -> None:
    assert PARALLEL.height == 700
    sources = PARALLEL.group_by("source").agg(pl.col("language").sort(), pl.col("split").unique())
    assert sources.height == 100
    assert all(languages == sorted(LANGUAGES) for languages in sources["language"].to_list())
    joined = PARALLEL.join(POSTS, left_on="source", right_on="id")
    assert joined.height == 700
    assert (joined["split"] == joined["split_right"]).all()
    assert set(joined["interest"].value_counts()["count"]) == {35}


@pytest.mark.parametrize(
    ("language", "script"),
    [("zh", r"\p{Han}"), ("ja", r"[\p{Hiragana}\p{Katakana}]"), ("hi", r"\p{Devanagari}")],
)
def test_translations_are_in_their_script(language: str, script: str) -> None:
    own = PARALLEL.filter(pl.col("language") == language)["text"].str.count_matches(script)
    assert own.min() is not None
    assert own.to_list() == [count for count in own if count >= 10]
    latin = PARALLEL.filter(pl.col("language").is_in(["fr", "es", "de", "pt"]))["text"]
    assert latin.str.count_matches(script).sum() == 0


def shared_frames(texts: list[list[str]], length: int = 8) -> list[tuple[str, ...]]:
    """Words in a row that stand in more than one text."""
    frames: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for number, text in enumerate(texts):
        for start in range(len(text) - length + 1):
            frames[tuple(text[start : start + length])].add(number)
    return [frame for frame, where in frames.items() if len(where) > 1]


def highest_jaccard(texts: list[list[str]]) -> float:
    """Of any two texts the largest share of words that both have."""
    bags = [set(text) for text in texts]
    column = {word: number for number, word in enumerate(sorted(set().union(*bags)))}
    holds = np.zeros((len(bags), len(column)), dtype=np.float32)
    for row, bag in enumerate(bags):
        holds[row, [column[word] for word in bag]] = 1
    shared = holds @ holds.T
    size = holds.sum(axis=1)
    jaccard = shared / (size[:, None] + size[None, :] - shared)
    np.fill_diagonal(jaccard, 0)
    return float(jaccard.max())


def test_no_two_posts_begin_alike_share_a_frame_or_are_nearly_the_same() -> None:
    texts = [words(text) for text in POSTS["text"]]
    beginnings = Counter(tuple(text[:4]) for text in texts)
    assert beginnings.most_common(1)[0][1] == 1
    assert shared_frames(texts) == []
    assert highest_jaccard(texts) < 0.3


def test_requests_are_24_an_area_by_the_rule_and_from_no_template() -> None:
    assert REQUESTS.columns == ["id", "split", "text", "area"]
    assert REQUESTS["id"].to_list() == [f"r-{i:04d}" for i in range(1, 1_345)]
    assert REQUESTS["area"].n_unique() == 56
    for (area,), rows in REQUESTS.group_by("area"):
        digests = {hashlib.sha256(text.encode()).hexdigest(): text for text in rows["text"]}
        assert len(digests) == 24, area
        expected = {digests[digest] for digest in sorted(digests)[:4]}
        assert set(rows.filter(split="test")["text"]) == expected
        assert f"{area}," in README or f"{area}." in README
    texts = [words(text) for text in REQUESTS["text"]]
    assert len({tuple(text) for text in texts}) == 1_344
    assert shared_frames(texts) == []
    # Short texts have more in common: at most one word of a few is another.
    assert highest_jaccard(texts) < 0.8
    beginnings = Counter(tuple(text[:3]) for text in texts)
    assert beginnings.most_common(1)[0][1] <= 12


def test_queries_are_not_copied_and_differ() -> None:
    queries = POSTS.explode("queries")
    assert queries["queries"].n_unique() == queries.height
    copied = [
        query
        for query, text in queries.select("queries", "text").iter_rows()
        if " ".join(words(query)) in " ".join(words(text))
    ]
    assert copied == []


def test_audit_finds_nothing_to_drop() -> None:
    found = audit([sample_task(name) for name in WRITTEN], Path())
    for task in found.tasks:
        facts = task.facts
        assert (facts.leaks, facts.repeats, facts.incomplete, facts.long_texts) == (0, 0, 0, 0)
        assert task.conflicts == 0
    # No task trains on a text that another one tests on.
    assert [overlap for overlap in found.overlaps if overlap.in_train] == []


def test_stories_of_the_test_split_are_unseen() -> None:
    rows = read_source("sample:storyline", Path())
    train, test = (set(rows.filter(split=side)["storyline"]) for side in ("train", "test"))
    assert (len(train), len(test)) == (60, 20)
    assert not train & test


def table_of(title: str) -> dict[str, list[int]]:
    """Numbers of the README's table whose head begins with a title, by row."""
    body = README.split(f"| {title} | train |")[1].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in body]
    return {row[0]: [int(cell.replace(",", "")) for cell in row[1:]] for row in cells}


@pytest.mark.parametrize("column", ["interest", "function"])
def test_the_readme_counts_labels(column: str) -> None:
    counts = {
        str(label): [rows.filter(split=side).height for side in ("train", "test")]
        for (label,), rows in POSTS.group_by(column)
    }
    assert table_of(column) == counts


def test_the_readme_counts_tasks_and_languages() -> None:
    tasks = {
        name: [read_source(f"sample:{name}", Path()).filter(split=s).height for s in SIDES]
        for name in WRITTEN
    }
    assert table_of("task") == tasks
    languages = {
        language: [PARALLEL.filter(language=language, split=side).height for side in SIDES]
        for language in LANGUAGES
    }
    assert table_of("language") == {"en": [*tasks["interest"]], **languages}


SIDES = ("train", "test")
