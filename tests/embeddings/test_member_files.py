"""Tables of vectors to tables of interests, and every table that cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trine.core.errors import ConfigError, DataError, UsageError
from trine.core.tables import to_markdown
from trine.embeddings.member_files import member_tables, summarise_members


def posts(path: Path, **changes: Any) -> Path:
    """Ada writes on two topics, Bo on the second, Cy has no vector."""
    angles = [0.0, 0.1, 0.2, 1.5, 1.5, 1.55, 1.4, None]
    columns: dict[str, Any] = {
        "member": ["Ada"] * 5 + ["Bo", "Bo", "Cy"],
        "text": [f"post {i}" for i in range(7)] + ["x" * 100],
        "days": [0.0, 90.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        "vector": [None if a is None else [3 * np.cos(a), 3 * np.sin(a)] for a in angles],
        **changes,
    }
    pl.DataFrame(columns, strict=False).write_parquet(path)
    return path


def test_interests_and_posts_of_others(tmp_path: Path) -> None:
    source = posts(tmp_path / "v.parquet")
    out = tmp_path / "i.parquet"
    found = summarise_members(source, out, age="days", retrieve_for="Ada", k=3)
    assert (found["members"], found["posts"], found["left_out"]) == (2, 7, 1)
    ada = [row for row in found["interests"] if row["member"] == "Ada"]
    # Of five posts three are on the first topic, one of them half as heavy: 2.5 to 2.
    assert [row["weight"] for row in ada] == pytest.approx([2.5 / 4.5, 2 / 4.5])
    assert [(row["row"], row["text"], row["posts"]) for row in ada] == [
        (1, "post 1", 3), (3, "post 3", 2),
    ]  # fmt: skip
    assert [(hit["row"], hit["member"], hit["interest"]) for hit in found["found"]] == [
        (5, "Bo", 1), (6, "Bo", 1),
    ]  # fmt: skip
    assert found["found"][0]["cosine"] == pytest.approx(np.cos(0.05), abs=1e-6)
    table = pl.read_parquet(out)
    assert table.columns == ["member", "weight", "posts", "row", "vector"]
    assert table["row"].to_list()[:2] == [1, 3]
    np.testing.assert_allclose(np.linalg.norm(table["vector"].to_numpy(), axis=1), 1, atol=1e-6)


def test_tables_for_people(tmp_path: Path) -> None:
    found = summarise_members(posts(tmp_path / "v.parquet"), None, retrieve_for="Bo", k=1)
    interests, hits = member_tables(found)
    assert interests.title == (
        "2 members, 3 interests, 7 posts (1 rows without a member or a vector left out)"
    )
    assert "| Bo | 0 | 1.00 | 2 |" in to_markdown(interests)
    assert hits.frame.height == 1
    many = {**found, "interests": [{**found["interests"][0], "text": "y" * 99}] * 25}
    first = member_tables(many)[0]
    assert (first.frame.height, first.caption) == (20, "5 more")
    assert first.frame["text"][0] == "y" * 69 + "…"


def test_nothing_to_retrieve_is_an_empty_table(tmp_path: Path) -> None:
    one = posts(tmp_path / "v.parquet", member=["Ada"] * 8)
    assert member_tables(summarise_members(one, None, retrieve_for="Ada"))[1].frame.height == 0


def test_members_may_be_numbers_and_posts_need_no_text(tmp_path: Path) -> None:
    source = tmp_path / "v.parquet"
    pl.DataFrame({"member": [7, 7, 8], "vector": [[1.0, 0.0]] * 3}).write_parquet(source)
    found = summarise_members(source, None, retrieve_for="7")
    assert found["found"][0] == {
        "row": 2, "cosine": pytest.approx(1), "interest": 0, "member": "8", "text": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "options", "error", "words"),
    [
        ({}, {"member": "who"}, ConfigError, "no column 'who'; accepted: member, text"),
        ({}, {"column": "text"}, ConfigError, "accepted: lists of numbers"),
        ({}, {"age": "text"}, ConfigError, "accepted: days"),
        ({"days": [0.0] * 6 + [None, None]}, {"age": "days"}, ConfigError, "1 of them missing"),
        # The row is the file's own: the first has no vector and is left out.
        (
            {
                "vector": [None, *[[1.0, 0.0]] * 7],
                "days": [0.0] * 4 + [-2.5, float("nan"), 0.0, 0.0],
            },
            {"age": "days"},
            DataError,
            r"column 'days', row 4: -2.5; accepted: ages in days",
        ),
        (
            {"days": [0.0] * 6 + [float("inf"), 0.0]},
            {"age": "days"},
            DataError,
            "row 6: inf",
        ),
        ({}, {"retrieve_for": "Adda"}, UsageError, "did you mean 'Ada'"),
        ({}, {"distance": 0.0}, UsageError, "distance > 0"),
        ({"vector": [[1.0, 0.0]] * 7 + [[1.0]]}, {}, DataError, "different widths"),
        ({"vector": [[1.0, 0.0]] * 7 + [[0.0, 0.0]]}, {}, DataError, "zeros"),
        ({"vector": [[1.0, 0.0]] * 7 + [[float("nan"), 1]]}, {}, DataError, "not finite"),
        ({"member": [None] * 8}, {}, DataError, "no row"),
        ({"member": [b"caf\xe9"] * 8}, {}, DataError, "'member' holds bytes that are not UTF-8"),
        ({"text": [b"caf\xe9"] * 8}, {}, DataError, "'text' holds bytes that are not UTF-8"),
        ({}, {"out": "i.csv"}, ConfigError, r"ends in \.parquet"),
    ],
)
def test_what_cannot_be_used_is_named(
    tmp_path: Path, changes: Any, options: Any, error: type[Exception], words: str
) -> None:
    source = posts(tmp_path / "v.parquet", **changes)
    out = tmp_path / options.pop("out") if "out" in options else None
    with pytest.raises(error, match=words):
        summarise_members(source, out, **options)


def test_times_given_as_ages_give_weights(tmp_path: Path) -> None:
    source = posts(tmp_path / "v.parquet", days=[1_700_000_000 + i for i in range(8)])
    found = summarise_members(source, None, age="days")
    weights = [row["weight"] for row in found["interests"] if row["member"] == "Ada"]
    assert sum(weights) == pytest.approx(1)
    assert min(weights) > 0.3


def test_files_that_are_no_parquet(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="trine embeddings encode"):
        summarise_members(tmp_path / "v.parquet", None)
    (tmp_path / "v.parquet").write_text("no")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        summarise_members(tmp_path / "v.parquet", None)
