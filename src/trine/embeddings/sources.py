"""Where a task's rows come from: a file, or a task shipped with Trine (`sample:NAME`).

| source | kind | what |
|---|---|---|
| `sample:interest` | single | sample posts, topic |
| `sample:hashtags` | multi | sample posts, hashtags |
| `sample:storyline` | single | sample posts on the same story; the test stories are unseen |
| `sample:search` | pairs | search query and the post that answers it |
| `sample:function` | single | professional function of the author |
| `sample:translations` | pairs | post and its translation |
| `sample:interest-multilingual` | single | translations, topic |
| `sample:requests` | single | requests to an assistant, the area of life that they are of |
| `sample:conversations` | single | topics of conversations, by language (`chatterbot-corpus`) |
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl

from trine.core.errors import UsageError
from trine.embeddings.config import TaskConfig
from trine.embeddings.table_files import read_table

__all__ = ["SAMPLES", "read_source", "sample_settings", "sample_task"]

_CC0 = "CC0 1.0"
_WRITTEN = "sample posts written for Trine"


def read_source(source: str, base: Path) -> pl.DataFrame:
    """The rows of a source.

    Args:
      source: a path, relative to `base` if it is relative, `$NAME` standing for an environment
        variable; or `sample:NAME`.
      base: a directory.

    Raises:
      UsageError: a sample that is not shipped, or a variable that is not set.
      DataError: a file that cannot be read.
    """
    if not source.startswith("sample:"):
        place = os.path.expandvars(source)
        if "$" in place:
            raise UsageError(
                f"source {source!r} names an environment variable that is not set",
                hint=f"set it, e.g.: export {place[place.index('$') + 1 :].split('/')[0]}=/path",
            )
        return read_table(base / Path(place).expanduser())
    name = source.removeprefix("sample:")
    if name not in SAMPLES:
        raise UsageError.unknown("sample", name, list(SAMPLES))
    return SAMPLES[name][0]()


def sample_task(name: str, /, **changes: object) -> TaskConfig:
    """The ready task of a sample, e.g. `sample_task("interest", role="zero_shot")`.

    Raises:
      UsageError: a sample that is not shipped.
    """
    values: dict[str, Any] = {"name": name, "source": f"sample:{name}"}
    return TaskConfig.model_validate({**values, **sample_settings(name), **changes})


def sample_settings(name: str) -> Mapping[str, Any]:
    """What a task of a sample says about its columns, licence and origin.

    Raises:
      UsageError: a sample that is not shipped.
    """
    if name not in SAMPLES:
        raise UsageError.unknown("sample", name, list(SAMPLES))
    return SAMPLES[name][1]


def _shipped(name: str) -> pl.DataFrame:
    with resources.as_file(resources.files("trine.embeddings") / "sample" / name) as path:
        return read_table(path)


def _posts() -> pl.DataFrame:
    return _shipped("posts.jsonl")


def _stories() -> pl.DataFrame:
    return _posts().filter(pl.col("storyline").is_not_null())


def _queries() -> pl.DataFrame:
    posts = _posts().select("split", "id", "text", "queries").explode("queries")
    return posts.rename({"queries": "query"})


def _translations() -> pl.DataFrame:
    posts = _posts().select("id", "interest", pl.col("text").alias("english"))
    return _shipped("parallel.jsonl").join(posts, left_on="source", right_on="id")


def _requests() -> pl.DataFrame:
    return _shipped("requests.jsonl")


def _conversations() -> pl.DataFrame:
    from trine.embeddings.conversations import conversations

    return conversations()


_SAMPLE: Mapping[str, Any] = {"split": "split", "licence": _CC0, "origin": _WRITTEN}

# Name -> how it is read, and its task's settings.
SAMPLES: Mapping[str, tuple[Callable[[], pl.DataFrame], Mapping[str, Any]]] = MappingProxyType(
    {
        "interest": (_posts, {**_SAMPLE, "label": "interest"}),
        "hashtags": (_posts, {**_SAMPLE, "kind": "multi", "label": "hashtags"}),
        "storyline": (
            _stories,
            # No classifier can learn stories that it never saw: they are told apart and clustered.
            {**_SAMPLE, "label": "storyline", "metrics": ("triplet", "clustering")},
        ),
        "search": (
            _queries,
            {**_SAMPLE, "kind": "pairs", "text": "query", "pair": "text", "label": "id"},
        ),
        "function": (_posts, {**_SAMPLE, "label": "function"}),
        "translations": (
            _translations,
            {
                **_SAMPLE, "kind": "pairs", "text": "text", "pair": "english", "label": "source",
                "language": "language",
            },
        ),
        "interest-multilingual": (
            _translations,
            {**_SAMPLE, "label": "interest", "language": "language"},
        ),
        "requests": (
            _requests,
            {**_SAMPLE, "label": "area", "origin": "sample requests written for Trine"},
        ),
        "conversations": (
            _conversations,
            {
                "label": "topic", "language": "language", "split": "split",
                "licence": "BSD-3-Clause",
                "origin": "conversations of the package chatterbot-corpus",
            },
        ),
    }
)  # fmt: skip
