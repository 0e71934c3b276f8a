"""A table of texts to a Parquet file with vectors: streaming, in constant memory, resumable.

The input is read in chunks of rows. Each chunk's vectors are written at once as a part of their own
in `OUT.parts/`; when the last is there, the parts are copied row group by row group into `OUT`,
which appears whole or not at all. After a kill the same command skips the parts that are there.
"""

from __future__ import annotations

import gzip
import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trine.core.artifacts import atomic_path, make_directory, write_json
from trine.core.errors import ConfigError, DataError
from trine.core.progress import Progress, SilentProgress

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
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not source.is_file():
        raise DataError(f"no file {source}", hint="check the path")
    if out.suffix != ".parquet":
        raise ConfigError(f"output {out.name}", accepted="a name that ends in .parquet")
    parts = out.with_name(out.name + ".parts")
    _claim(parts, source, model, text, column, keep, chunk)
    resumed = blank = width = number = 0
    with (progress or SilentProgress()).task(f"encoding {source.name}", _rows(source)) as shown:
        for number, table in enumerate(_chunks(source, chunk)):
            _check(table.column_names, source, text, column, keep)
            part = parts / f"{number:06d}.parquet"
            if part.is_file():
                done = pq.read_table(part, columns=[column])
                width = done.schema.field(column).type.list_size
                blank += done.column(column).null_count
                resumed += table.num_rows
                shown.advance(table.num_rows, "from an earlier attempt")
                continue
            texts = [_text(value) for value in table.column(text).to_pylist()]
            there = np.array([bool(t.strip()) for t in texts], dtype=bool)
            vectors = encode([t for t, is_there in zip(texts, there, strict=True) if is_there])
            if len(vectors):
                width = vectors.shape[1]
            blank += int((~there).sum())
            kept = table if keep is None else table.select(list(keep))
            made = kept.append_column(column, _vector_array(vectors, there, width))
            with atomic_path(part) as temporary:
                pq.write_table(made, temporary)
            shown.advance(table.num_rows)
    paths = sorted(parts.glob("*.parquet"))
    if not paths or not width:
        shutil.rmtree(parts, ignore_errors=True)
        raise DataError(f"{source} has no text in column {text!r}", accepted="at least one")
    rows = 0
    schema = pq.read_schema(paths[0])
    with atomic_path(out) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for path in paths:
            table = pq.read_table(path)
            rows += table.num_rows
            try:
                writer.write_table(table.cast(schema))
            except (pa.ArrowInvalid, ValueError) as error:
                raise DataError(f"{source}: columns change their types: {error}") from error
    shutil.rmtree(parts)
    return Encoded(out, rows - blank, blank, width, resumed)


def _text(value: object) -> str:
    return "" if value is None else str(value)


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
    make_directory(parts)
    write_json(record, identity)


def _rows(source: Path) -> int | None:
    if source.suffix != ".parquet":
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(source).metadata.num_rows
    except pa.ArrowInvalid as error:
        raise DataError(f"{source} is no Parquet file: {error}") from error


def _chunks(source: Path, chunk: int) -> Iterator[Any]:
    """Tables of `chunk` rows (the last has fewer), one at a time."""
    import pyarrow as pa

    name = source.name.removesuffix(".gz")
    try:
        if name.endswith(".parquet"):
            import pyarrow.parquet as pq

            for batch in pq.ParquetFile(source).iter_batches(chunk):
                yield pa.Table.from_batches([batch])
        elif name.endswith((".jsonl", ".ndjson")):
            yield from _json_chunks(source, chunk)
        elif name.endswith((".csv", ".tsv")):
            yield from _csv_chunks(source, chunk, "\t" if name.endswith(".tsv") else ",")
        else:
            raise DataError(f"{source.name} is no table", accepted=".csv, .tsv, .jsonl, .parquet")
    except (pa.ArrowInvalid, OSError, EOFError) as error:
        raise DataError(f"{source} cannot be read: {str(error)[:200]}") from error


def _csv_chunks(source: Path, chunk: int, separator: str) -> Iterator[Any]:
    import csv

    import pyarrow as pa

    # Texts only, as the training tables are read; types guessed chunk by chunk would differ.
    opened = gzip.open if source.suffix == ".gz" else open
    with opened(source, "rt", encoding="utf-8-sig", newline="") as stream:
        try:
            reader = csv.reader(stream, delimiter=separator)
            header = next(reader, [])
            while rows := list(itertools.islice(reader, chunk)):
                wrong = next((row for row in rows if len(row) != len(header)), None)
                if wrong is not None:
                    raise DataError(
                        f"{source}, line {reader.line_num}: {len(wrong)} fields",
                        accepted=f"{len(header)}, as in the header",
                    )
                columns = zip(*rows, strict=True)
                yield pa.table(
                    {n: pa.array(v, pa.string()) for n, v in zip(header, columns, strict=True)}
                )
        except UnicodeDecodeError as error:
            raise DataError(f"{source}: not UTF-8 ({error.reason})", accepted="UTF-8") from None
        except csv.Error as error:
            raise DataError(f"{source}: {error}") from None


def _json_chunks(source: Path, chunk: int) -> Iterator[Any]:
    import pyarrow as pa

    opened = gzip.open if source.suffix == ".gz" else open
    line = 0
    with opened(source, "rt", encoding="utf-8-sig") as stream:
        while lines := list(itertools.islice(stream, chunk)):
            rows: list[Any] = []
            for text in lines:
                line += 1
                if not text.strip():
                    continue
                try:
                    rows.append(json.loads(text))
                except ValueError as error:
                    raise DataError(f"{source}, line {line}: not JSON ({error})") from None
            if rows:
                yield pa.Table.from_pylist(rows)
