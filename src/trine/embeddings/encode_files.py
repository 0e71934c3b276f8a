"""A table of texts to a Parquet file with vectors: streaming, in constant memory, resumable.

The input is read in chunks of rows, and once before, so that what is wrong in it is said at once
and not after hours. Each chunk's vectors are written at once as a part of their own in
`OUT.parts/`; when the last is there, the parts are copied row group by row group into `OUT`, which
appears whole or not at all. After a kill the same command skips the parts that are there; while one
command works there another is refused.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trine.core.artifacts import atomic_path, make_directory, write_json
from trine.core.errors import ConfigError, DataError
from trine.core.locks import take_lock
from trine.core.progress import Progress, SilentProgress
from trine.embeddings.table_chunks import look_through, table_chunks
from trine.embeddings.table_files import cast_column

__all__ = ["Encoded", "encode_file"]

_CHUNK = 4_096


@dataclass(frozen=True, slots=True)
class Encoded:
    """What was written.

    Attributes:
      out: the Parquet file.
      rows: with a vector.
      blank: rows without a text; their vector is null.
      width: of the vectors.
      resumed: rows that an earlier attempt had encoded.
    """

    out: Path
    rows: int
    blank: int
    width: int
    resumed: int


def encode_file(
    source: Path,
    out: Path,
    encode: Callable[[Sequence[str]], np.ndarray],
    *,
    model: str,
    text: str = "text",
    column: str = "vector",
    keep: Sequence[str] | None = None,
    chunk: int = _CHUNK,
    progress: Progress | None = None,
) -> Encoded:
    """Encodes a column of a table.

    Args:
      source: CSV, JSON lines (also with `.gz`) or Parquet.
      out: the Parquet file to write.
      encode: texts to `[n, width]`.
      model: what made the vectors; a resumed run must say the same.
      text: name of the text column.
      column: name of the new column, a list of float32 of fixed length.
      keep: columns to copy; None: all.
      chunk: rows in memory at once.
      progress: where to tell how far it is.

    Raises:
      DataError: a source that is missing, broken or has no rows.
      ConfigError: a column that is not there, or a new one that is; parts of another run.
      UsageError: another command is writing there.
    """
    if not source.is_file():
        raise DataError(f"no file {source}", hint="check the path")
    if out.suffix != ".parquet":
        raise ConfigError(f"output {out.name}", accepted="a name that ends in .parquet")
    parts = out.with_name(out.name + ".parts")
    with take_lock(make_directory(parts)):
        _claim(parts, source, model, text, column, keep, chunk)
        try:
            return _encode(source, out, parts, encode, text, column, keep, chunk, progress)
        finally:
            # Nothing was done yet: another attempt may be with other settings.
            if parts.is_dir() and not any(parts.glob("[0-9]*.parquet")):
                shutil.rmtree(parts, ignore_errors=True)


def _encode(
    source: Path,
    out: Path,
    parts: Path,
    encode: Callable[[Sequence[str]], np.ndarray],
    text: str,
    column: str,
    keep: Sequence[str] | None,
    chunk: int,
    progress: Progress | None,
) -> Encoded:
    import pyarrow.parquet as pq

    resumed = blank = rows = width = 0
    count, schema = look_through(source, text, keep)
    if schema is not None and count:
        _check(schema.names, source, text, column, keep)
    with (progress or SilentProgress()).task(f"encoding {source.name}", count) as shown:
        for number, table in enumerate(table_chunks(source, chunk, schema)):
            _check(table.column_names, source, text, column, keep)
            rows += table.num_rows
            part = parts / f"{number:06d}.parquet"
            if part.is_file():
                done = pq.read_table(part, columns=[column]).column(column)
                if done.null_count < len(done):
                    width = done.type.list_size
                blank += done.null_count
                resumed += table.num_rows
                shown.advance(table.num_rows, "from an earlier attempt")
                continue
            texts = _texts(table.column(text), source, text)
            there = np.array([bool(t.strip()) for t in texts], dtype=bool)
            vectors = encode([t for t, is_there in zip(texts, there, strict=True) if is_there])
            if there.any():
                width = vectors.shape[1]
            blank += int((~there).sum())
            kept = table if keep is None else table.select(list(keep))
            made = kept.append_column(column, _vector_array(vectors, there, width))
            with atomic_path(part) as temporary:
                pq.write_table(made, temporary)
            shown.advance(table.num_rows)
    if rows == blank:
        shutil.rmtree(parts, ignore_errors=True)
        raise DataError(f"{source} has no text in column {text!r}", accepted="at least one")
    _join(source, sorted(parts.glob("[0-9]*.parquet")), out, column, width)
    shutil.rmtree(parts)
    return Encoded(out, rows - blank, blank, width, resumed)


def _join(source: Path, paths: Sequence[Path], out: Path, column: str, width: int) -> None:
    """Writes the parts to one file, one of them in memory at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    vector = pa.list_(pa.float32(), width)
    try:
        schemas = [pq.read_schema(path).remove_metadata() for path in paths]
        # The width of vectors is not known in parts of blanks before the first text.
        schemas = [s.set(s.get_field_index(column), pa.field(column, vector)) for s in schemas]
        # A column may be empty in one part and whole numbers in another.
        schema = pa.unify_schemas(schemas, promote_options="permissive")
        with atomic_path(out) as temporary, pq.ParquetWriter(temporary, schema) as writer:
            for path in paths:
                table = pq.read_table(path)
                at = table.column_names.index(column)
                if table.schema.field(at).type != vector:
                    table = table.set_column(at, column, pa.nulls(table.num_rows, vector))
                for field in schema:
                    if field.name not in table.column_names:
                        nulls = pa.nulls(table.num_rows, field.type)
                        table = table.append_column(field.name, nulls)
                writer.write_table(table.select(schema.names).cast(schema))
    except pa.ArrowException as error:
        raise DataError(
            f"{source}: columns change their types: {str(error)[:200]}",
            hint="choose the columns to copy: --keep",
        ) from error


def _texts(column: Any, source: Path, name: str) -> list[str]:
    """Numbers are taken as they are written; bytes, as some writers leave them, as UTF-8."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_boolean(kind):
        raise DataError(f"{source}: column {name!r} holds {kind}", accepted="texts")
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        series = pl.Series(name, column)
        column = cast_column(series, pl.String, f"{source}: column {name!r}").to_arrow()
    return ["" if value is None else str(value) for value in column.to_pylist()]


def _vector_array(vectors: np.ndarray, there: np.ndarray, width: int) -> Any:
    import pyarrow as pa

    # A chunk of blanks before the first text has no width yet: its parts are nulls of width 1.
    full = np.zeros((len(there), max(width, 1)), dtype=np.float32)
    if there.any():
        full[there] = vectors
    mask = None if there.all() else pa.array(~there)
    flat = pa.array(full.reshape(-1), type=pa.float32())
    return pa.FixedSizeListArray.from_arrays(flat, full.shape[1], mask=mask)


def _check(
    columns: Sequence[str], source: Path, text: str, column: str, keep: Sequence[str] | None
) -> None:
    for name in (text, *(keep or ())):
        if name not in columns:
            raise ConfigError(f"{source} has no column {name!r}", accepted=", ".join(columns))
    if column in (columns if keep is None else keep):
        raise ConfigError(
            f"{source} has a column {column!r} already", hint="name another: --column"
        )


def _claim(parts: Path, source: Path, model: str, *settings: object) -> None:
    size = source.stat()
    identity = {
        "source": source.name, "bytes": size.st_size, "modified": size.st_mtime_ns,
        "model": model, "settings": [str(value) for value in settings],
    }  # fmt: skip
    record = parts / "run.json"
    if record.is_file():
        if json.loads(record.read_text(encoding="utf-8")) != identity:
            raise ConfigError(
                f"{parts} is of another input, model or setting",
                hint=f"finish that run, or remove {parts}",
            )
        for left in parts.glob(".*.tmp*"):
            left.unlink(missing_ok=True)
        return
    for left in parts.glob("[0-9]*.parquet"):  # nobody knows any more what they are of
        left.unlink()
    write_json(record, identity)
