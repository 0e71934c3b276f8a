"""The metrics of a run: one JSON object a line, appended as they come.

A process that is killed while writing leaves at most one half-written last line; the writer cuts
it off when it opens the file again, and the reader ignores it.
"""

import io
import json
import math
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl

from trine.core.artifacts import make_directory
from trine.core.errors import DataError

__all__ = ["MetricsWriter", "read_metrics"]


class MetricsWriter:
    """Appends rows to a `metrics.jsonl`; use it as a context manager.

    Numbers that are not finite are written as null, because JSON has no word for them.

    Args:
      path: the file; made with its directory if absent.
    """

    def __init__(self, path: Path) -> None:
        make_directory(path.parent)
        self.path = path
        try:
            _cut_half_line(path)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise _full(path, error) from error

    def write(self, **values: Any) -> None:
        """Appends one row and hands it to the operating system at once."""
        line = json.dumps({name: _plain(value) for name, value in values.items()}) + "\n"
        try:
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            raise _full(self.path, error) from error

    def close(self) -> None:
        """Closes the file."""
        try:
            self._file.close()
        except OSError as error:
            raise _full(self.path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def read_metrics(path: Path) -> pl.DataFrame:
    """All rows of a `metrics.jsonl`; columns missing in a row are null; no file, no rows."""
    if not path.is_file():
        return pl.DataFrame()
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if not whole.strip():
        return pl.DataFrame()
    return pl.read_ndjson(io.BytesIO(whole), infer_schema_length=None)


def _cut_half_line(path: Path) -> None:
    if not path.is_file():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)


def _plain(value: Any) -> Any:
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()  # a numpy scalar
    elif hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _full(path: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot write {path}: {error.strerror or error}",
        hint="free some space, then run the same command again",
    )
