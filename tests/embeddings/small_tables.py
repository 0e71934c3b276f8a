"""Small tables as files and as tasks, for tests of loading."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl

from trine.embeddings.config import TaskConfig
from trine.embeddings.loading import (
    TaskFacts,
    load_task,
)
from trine.embeddings.tasks import Task

COLUMNS = ["split", "text", "label", "lang"]


def task_of(
    folder: Path, rows: list[tuple[Any, ...]], columns: list[str], **options: Any
) -> tuple[Task, TaskFacts]:
    """Writes a CSV file and loads it."""
    folder.mkdir(parents=True, exist_ok=True)
    frame = pl.DataFrame(rows, schema=columns, orient="row", infer_schema_length=None)
    frame.write_csv(folder / "table.csv")
    drop = options.pop("drop_leaks", True)
    return load_task(config_of(**options), folder, drop_leaks=drop)


def config_of(**options: Any) -> TaskConfig:
    return TaskConfig.model_validate({"name": "cards", "source": "table.csv", **options})


def plain_key(text: str) -> str:
    """The comparison written another way: Python's own idea of a word sign, here without marks."""
    words = " ".join(re.sub(r"[\W_]+", " ", text.lower()).split())
    return words or text
