"""Tables of text in chunks of rows, for files that are larger than memory.

CSV goes through the same reader as `trine.embeddings.table_files`, so that what one command takes
the other takes too: blank lines and missing last cells are empty, more cells than the header has
are an error.
"""

from __future__ import annotations

import gzip
import itertools
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from trine.core.errors import DataError, one_line
from trine.embeddings.table_files import FORMATS, not_utf8

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["count_rows", "table_chunks"]


def count_rows(source: Path) -> int:
    """Rows of a table, after a look at all of it: a long run must not fail at its end.

    Raises:
      DataError: a file of another kind, not UTF-8 (with its line), or broken.
    """
    kind = _kind(source)
    if kind == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(source).metadata.num_rows
        except pa.ArrowInvalid as error:
            raise DataError(f"{source} is no Parquet file: {error}") from error
    with _named(source):
        _check_text(source)
        if kind in (".csv", ".tsv"):
            return sum(batch.height for batch in _csv_batches(source, kind, 65_536))
        return sum(len(rows) for rows in _json_rows(source, 4_096))


def table_chunks(source: Path, chunk: int) -> Iterator[pa.Table]:
    """Tables of `chunk` rows (the last has fewer), one at a time; columns of CSV are texts.

    Raises:
      DataError: as `count_rows`, where the reader gets to it.
    """
    import pyarrow as pa

    kind = _kind(source)
    with _named(source):
        if kind == ".parquet":
            import pyarrow.parquet as pq

            for batch in pq.ParquetFile(source).iter_batches(chunk):
                yield pa.Table.from_batches([batch])
        elif kind in (".csv", ".tsv"):
            for frame in _csv_batches(source, kind, chunk):
                table = frame.to_arrow()
                yield table.cast(pa.schema([(name, pa.string()) for name in table.column_names]))
        else:
            for rows in _json_rows(source, chunk):
                names = dict.fromkeys(name for row in rows for name in row)
                if names:
                    yield pa.table({n: pa.array([row.get(n) for row in rows]) for n in names})


def _kind(source: Path) -> str:
    suffixes = [suffix.lower() for suffix in source.suffixes]
    kind = next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), "")
    if kind not in FORMATS:
        raise DataError(f"{source.name} is no table", accepted=", ".join(FORMATS))
    return kind


def _open(source: Path) -> Any:
    return gzip.open(source, "rb") if source.suffix.lower() == ".gz" else source.open("rb")


@contextmanager
def _named(source: Path) -> Iterator[None]:
    """Puts the file's name before what its readers raise."""
    import pyarrow as pa

    try:
        yield
    except pl.exceptions.NoDataError:
        raise DataError(f"{source} is empty", accepted="a header and rows") from None
    except pl.exceptions.PolarsError as error:
        reason = one_line(str(error))[:200]
        raise DataError(f"{source} cannot be read as a table: {reason}") from error
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{source} cannot be read: {str(error)[:200]}") from error


def _check_text(source: Path) -> None:
    # Line by line, which is exact: no other character of UTF-8 holds the byte of a line's end.
    with _open(source) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise not_utf8(source, number, line[error.start]) from None


def _csv_batches(source: Path, kind: str, chunk: int) -> Iterator[pl.DataFrame]:
    """Frames of `chunk` rows: the chunks of a resumed run must be those of the first attempt."""
    separator = "\t" if kind == ".tsv" else ","
    scan = pl.scan_csv(source, infer_schema=False, separator=separator, glob=False)
    held = pl.DataFrame()
    for batch in scan.collect_batches(chunk_size=chunk, maintain_order=True):
        held = pl.concat([held, batch]) if held.height else batch
        while held.height >= chunk:
            yield held[:chunk]
            held = held[chunk:]
    if held.height:
        yield held


def _json_rows(source: Path, chunk: int) -> Iterator[list[dict[str, Any]]]:
    line = 0
    with _open(source) as stream:
        while lines := list(itertools.islice(stream, chunk)):
            rows: list[dict[str, Any]] = []
            for text in lines:
                line += 1
                if text.strip():
                    rows.append(_json_row(text.decode("utf-8-sig"), source, line))
            yield rows


def _json_row(text: str, source: Path, line: int) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except ValueError as error:
        raise DataError(f"{source}, line {line}: not JSON ({error})") from None
    if not isinstance(row, dict):
        raise DataError(f"{source}, line {line}: {type(row).__name__}", accepted="an object")
    return row
