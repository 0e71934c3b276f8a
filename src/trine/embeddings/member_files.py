"""A table of posts' vectors to a table of members' interests, and posts found by them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trine.core.artifacts import atomic_path
from trine.core.errors import ConfigError, DataError, UsageError
from trine.core.tables import Column, Table
from trine.embeddings.members import Interest, cluster_member, retrieve
from trine.embeddings.table_files import cast_column

__all__ = ["member_tables", "summarise_members"]

# Columns that may say what a post is about, for people; the first that is there is shown.
_TEXTS = ("text", "title", "post")
_SHOWN = 20


def summarise_members(
    vectors: Path,
    out: Path | None,
    *,
    member: str = "member",
    column: str = "vector",
    age: str = "",
    distance: float = 1.0,
    most: int = 5,
    retrieve_for: str | None = None,
    k: int = 10,
) -> dict[str, Any]:
    """Clusters the posts of every member.

    Rows without a vector or a member are left out and counted.

    Args:
      vectors: Parquet, one row a post (see `trine.embeddings.encode_files`).
      out: Parquet to write, one row an interest: member, weight, posts, row of the medoid, vector;
        None: none.
      member: column that names the member.
      column: column of vectors.
      age: column of ages in days, 0 or more; empty: all the same.
      distance: see `cluster_member`.
      most: see `cluster_member`.
      retrieve_for: also find the posts of others nearest to this member's interests.
      k: how many.

    Returns:
      `members`, `posts`, `left_out`, `interests` (a list of `{member, interest, weight, posts, row,
      text}`) and, if asked for, `found` (a list of `{row, cosine, interest, member, text}`).

    Raises:
      ConfigError: a column that is not there or of another type.
      DataError: a file that cannot be read or has no vector; an age that is none, with its row.
      UsageError: a member who is not there, numbers out of range.
    """
    frame = _read(vectors, member, column, age)
    usable = frame.filter(pl.col(column).is_not_null() & pl.col(member).is_not_null())
    if not usable.height:
        raise DataError(f"{vectors} has no row with both a member and a vector")
    matrix = _unit(usable[column], vectors)
    names = cast_column(usable[member], pl.String, f"{vectors}: column {member!r}")
    ages = None if not age else _ages(usable, age)
    if retrieve_for is not None and retrieve_for not in set(names):
        raise UsageError.unknown("member", retrieve_for, sorted(set(names)))
    text = next((name for name in _TEXTS if name in usable.columns), None)
    texts = (
        cast_column(usable[text], pl.String, f"{vectors}: column {text!r}").to_list()
        if text
        else [""] * usable.height
    )
    places = usable["__row"].to_list()
    found: dict[str, list[Interest]] = {}
    groups = pl.DataFrame({"name": names}).with_row_index("at").group_by(
        "name", maintain_order=True
    ).agg("at")  # fmt: skip
    for name, indices in groups.iter_rows():
        at = np.asarray(indices)
        own = cluster_member(
            matrix[at],
            distance=distance,
            most=most,
            ages=None if ages is None else ages[at].tolist(),
        )
        found[name] = [
            Interest(int(at[i.medoid]), i.vector, i.weight, tuple(int(at[r]) for r in i.rows))
            for i in own
        ]
    if out is not None:
        _write(found, out, member, places)
    result: dict[str, Any] = {
        "members": len(found),
        "posts": usable.height,
        "left_out": frame.height - usable.height,
        "interests": [
            {
                "member": name, "interest": i, "weight": interest.weight,
                "posts": len(interest.rows), "row": places[interest.medoid],
                "text": texts[interest.medoid] or "",
            }
            for name, own in found.items()
            for i, interest in enumerate(own)
        ],
    }  # fmt: skip
    if retrieve_for is not None:
        mine = [i for i, name in enumerate(names) if name == retrieve_for]
        hits = retrieve(found[retrieve_for], matrix, k, exclude=mine)
        result["found"] = [
            {
                "row": places[row], "cosine": cosine, "interest": interest, "member": names[row],
                "text": texts[row] or "",
            }
            for row, cosine, interest in hits
        ]  # fmt: skip
    return result


def member_tables(found: dict[str, Any]) -> list[Table]:
    """Interests of the first members, and what was retrieved."""
    interests = pl.DataFrame(found["interests"], infer_schema_length=None)
    title = (
        f"{found['members']:,} members, {interests.height:,} interests, {found['posts']:,} posts"
    )
    if found["left_out"]:
        title += f" ({found['left_out']:,} rows without a member or a vector left out)"
    more = interests.height - _SHOWN
    columns = [
        Column("member"), Column("interest"), Column("weight", format=".2f"), Column("posts"),
        Column("text", "medoid"),
    ]  # fmt: skip
    tables = [
        Table(_short(interests[:_SHOWN]), title, columns, f"{more:,} more" if more > 0 else "")
    ]
    if "found" in found:
        schema = {"row": pl.Int64, "cosine": pl.Float64, "interest": pl.Int64,
                  "member": pl.String, "text": pl.String}  # fmt: skip
        hits = _short(pl.DataFrame(found["found"], schema=schema))
        shown = [
            Column("row"), Column("cosine", format=".3f"), Column("interest"), Column("member"),
            Column("text"),
        ]  # fmt: skip
        tables.append(Table(hits, "Nearest posts of others", shown))
    return tables


def _short(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(
        pl.when(pl.col("text").str.len_chars() > 70)
        .then(pl.col("text").str.slice(0, 69) + "…")
        .otherwise(pl.col("text"))
    )


def _read(path: Path, member: str, column: str, age: str) -> pl.DataFrame:
    if not path.is_file():
        raise DataError(f"no file {path}", hint="make it with: trine embeddings encode")
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {str(error)[:160]}") from error
    for name in (member, column, *([age] if age else [])):
        if name not in frame.columns:
            raise ConfigError(
                f"{path} has no column {name!r}", accepted=", ".join(frame.columns),
                hint="name the columns: --member, --column, --age",
            )  # fmt: skip
    return frame.with_row_index("__row")


def _unit(vectors: pl.Series, path: Path) -> np.ndarray:
    kind: Any = vectors.dtype
    if not isinstance(kind, pl.Array | pl.List) or not kind.inner.is_numeric():  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue] (always set for these two)
        raise ConfigError(
            f"column {vectors.name!r} of {path} holds {kind}", accepted="lists of numbers"
        )
    rows = vectors.to_list()
    widths = {len(row) for row in rows}
    if len(widths) != 1:
        raise DataError(f"{path}: vectors of different widths", accepted="one width")
    matrix = np.asarray(rows, dtype=np.float32)
    length = np.linalg.norm(matrix, axis=1, keepdims=True)
    if not np.isfinite(length).all() or not length.all():
        raise DataError(f"{path}: a vector of zeros or with numbers that are not finite")
    return matrix / length


def _ages(posts: pl.DataFrame, name: str) -> np.ndarray:
    ages = posts[name]
    if not ages.dtype.is_numeric() or ages.null_count():
        raise ConfigError(
            f"column {name!r} holds {ages.dtype}, {ages.null_count()} of them missing",
            accepted="days as numbers in every row",
        )
    days = ages.cast(pl.Float64).to_numpy()
    odd = np.flatnonzero(~(np.isfinite(days) & (days >= 0)))
    if len(odd):
        raise DataError(
            f"column {name!r}, row {posts['__row'][int(odd[0])]}: {days[odd[0]]:g}",
            accepted="ages in days, finite and 0 or more",
        )
    return days


def _write(found: dict[str, list[Interest]], out: Path, member: str, places: Sequence[int]) -> None:
    if out.suffix != ".parquet":
        raise ConfigError(f"output {out.name}", accepted="a name that ends in .parquet")
    every = [(name, interest) for name, own in found.items() for interest in own]
    width = len(every[0][1].vector)
    frame = pl.DataFrame(
        {
            member: [name for name, _ in every],
            "weight": [interest.weight for _, interest in every],
            "posts": [len(interest.rows) for _, interest in every],
            "row": [places[interest.medoid] for _, interest in every],
            "vector": [interest.vector for _, interest in every],
        },
        schema_overrides={"vector": pl.Array(pl.Float32, width)},
    )
    with atomic_path(out) as temporary:
        frame.write_parquet(temporary)
