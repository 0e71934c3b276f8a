"""Tables of text in chunks of rows, for files that are larger than memory.

CSV goes through the same reader as `trine.embeddings.table_files`, so that what one command takes
the other takes too: blank lines and missing last cells are empty, more cells than the header has
are an error.
"""

from __future__ import annotations

import gzip
import io
import itertools
import json
import zlib
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from trine.core.errors import DataError, one_line
from trine.embeddings.json_columns import JsonColumns
from trine.embeddings.table_files import FORMATS, not_utf8, too_many_cells

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["look_through", "table_chunks"]


def look_through(
    source: Path, text: str = "text", keep: Container[str] | None = None
) -> tuple[int, pa.Schema | None]:
    """Rows of a table, after a look at all of it: a long run must not fail at its end.

    Args:
      source: the file.
      text: name of the text column.
      keep: columns that are read besides; None: all.

    Returns:
      How many rows, and of JSON lines the columns, for `table_chunks`.

    Raises:
      DataError: a file of another kind, not UTF-8 (with its line), or broken; JSON lines that make
        no column (see `trine.embeddings.json_columns`).
    """
    kind = _kind(source)
    if kind == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(source).metadata.num_rows, None
        except pa.ArrowInvalid as error:
            raise DataError(f"{source} is no Parquet file: {error}") from error
    with _named(source):
        _check_text(source)
        if kind in (".csv", ".tsv"):
            return sum(batch.height for batch in _csv_batches(source, kind, 65_536)), None
        columns = JsonColumns(
            source,
            lambda name: keep is None or name == text or name in keep,
            lambda name: "mend the line" if name == text else f"or leave {name} out: --keep",
        )
        count = 0
        for number, row in _json_rows(source):
            count += 1
            columns.add(number, row)
        return count, columns.close()


def table_chunks(source: Path, chunk: int, schema: pa.Schema | None = None) -> Iterator[pa.Table]:
    """Tables of `chunk` rows (the last has fewer), one at a time; columns of CSV are texts.

    Args:
      source: the file.
      chunk: rows.
      schema: of JSON lines, from `look_through`: the same columns in every chunk.

    Raises:
      DataError: as `look_through`, where the reader gets to it.
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
            lines = _json_rows(source)
            while rows := [row for _, row in itertools.islice(lines, chunk)]:
                yield pa.table(
                    [
                        pa.nulls(len(rows))
                        if pa.types.is_null(field.type)
                        else pa.array([row.get(field.name) for row in rows], type=field.type)
                        for field in schema or ()
                    ],
                    schema=schema,
                )


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
        if (kind := _kind(source)) in (".csv", ".tsv"):
            with io.TextIOWrapper(_open(source), "utf-8-sig", newline="") as lines:
                if fault := too_many_cells(source, lines, _separator(kind)):
                    raise fault from None
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


def _separator(kind: str) -> str:
    return "\t" if kind == ".tsv" else ","


def _csv_batches(source: Path, kind: str, chunk: int) -> Iterator[pl.DataFrame]:
    """Frames of `chunk` rows: the chunks of a resumed run must be those of the first attempt."""
    scan = pl.scan_csv(source, infer_schema=False, separator=_separator(kind), glob=False)
    held = pl.DataFrame()
    for batch in scan.collect_batches(chunk_size=chunk, maintain_order=True):
        held = pl.concat([held, batch]) if held.height else batch
        while held.height >= chunk:
            yield held[:chunk]
            held = held[chunk:]
    if held.height:
        yield held


def _json_rows(source: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number of the line, from 1, and row; lines that are blank are left out."""
    with _open(source) as stream:
        for number, text in enumerate(stream, start=1):
            if text.strip():
                yield number, _json_row(text.decode("utf-8-sig"), source, number)


def _json_row(text: str, source: Path, line: int) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except ValueError as error:
        raise DataError(f"{source}, line {line}: not JSON ({error})") from None
    if not isinstance(row, dict):
        raise DataError(f"{source}, line {line}: {type(row).__name__}", accepted="an object")
    return row
