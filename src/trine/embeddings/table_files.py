"""Tables of text from files: CSV, JSON lines and Parquet, compressed or not, always UTF-8."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import polars as pl
from polars.datatypes import DataTypeClass

from trine.core.errors import DataError, one_line

__all__ = ["FORMATS", "cast_column", "not_utf8", "read_table", "too_many_cells"]

FORMATS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


def read_table(path: Path) -> pl.DataFrame:
    """All rows of a table, columns of CSV files as text.

    Args:
      path: `.csv`, `.tsv`, `.jsonl`, `.ndjson` or `.parquet`, also with `.gz` after it.

    Raises:
      DataError: if the file is missing, of another kind, not UTF-8 (with its line), or broken.
    """
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*") if p.suffix in {*FORMATS, ".gz"})[:8]
        there = f"tables there: {', '.join(near)}" if near else "no table is there"
        raise DataError(f"no file {path}", hint=there)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = bool(suffixes) and suffixes[-1] == ".gz"
    kind = suffixes[-2] if packed and len(suffixes) > 1 else (suffixes[-1] if suffixes else "")
    if kind not in FORMATS:
        raise DataError(f"{path.name} is no table", accepted=f"{', '.join(FORMATS)}, also .gz")
    try:
        data = path.read_bytes()
        if packed:
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}", hint="is the file whole?") from error
    if kind == ".parquet":
        return _parse(path, lambda: pl.read_parquet(io.BytesIO(data)))
    _check_text(path, data)
    data = data.removeprefix(b"\xef\xbb\xbf")  # byte-order mark
    if not data.strip():
        raise DataError(f"{path} is empty", accepted="a header and rows")
    if kind in (".jsonl", ".ndjson"):
        _check_lines(path, data)
        return _parse(path, lambda: pl.read_ndjson(io.BytesIO(data), infer_schema_length=None))
    separator = "\t" if kind == ".tsv" else ","
    try:
        frame = _parse(
            path, lambda: pl.read_csv(io.BytesIO(data), infer_schema=False, separator=separator)
        )
    except DataError:
        if fault := too_many_cells(path, io.StringIO(data.decode(), newline=""), separator):
            raise fault from None
        raise
    other = any(s in frame.columns[0] for s in (";", "\t", ",") if s != separator)
    if frame.width == 1 and other:
        raise DataError(
            f"{path} has one column, {frame.columns[0]!r}",
            accepted="columns divided by commas (.csv) or by tabs (.tsv)",
            hint="save it with that sign",
        )
    return frame


def cast_column(series: pl.Series, kind: pl.DataType | DataTypeClass, place: str = "") -> pl.Series:
    """A column as texts, lists of texts or numbers; bytes, as some writers leave them, are UTF-8.

    Args:
      series: the column.
      kind: String, List(String) or Float64; a text that is no number becomes null.
      place: how an error names the column; empty: by its name.

    Raises:
      DataError: it holds something that has no such form.
    """
    numbers = kind == pl.Float64
    try:
        return series.cast(kind, strict=not numbers)
    except pl.exceptions.PolarsError as error:
        what = f"{series.dtype}, which is no {'number' if numbers else 'text'}"
        if not numbers and series.dtype in (pl.Binary, pl.List(pl.Binary)):
            what = "bytes that are not UTF-8"
        raise DataError(f"{place or f'column {series.name!r}'} holds {what}") from error


def _check_text(path: Path, data: bytes) -> None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise not_utf8(path, line, data[error.start]) from None


def not_utf8(path: Path, line: int, byte: int) -> DataError:
    """The error of a text that is in another encoding."""
    return DataError(
        f"{path}, line {line}: not UTF-8 (byte {byte:#04x})",
        accepted="UTF-8",
        hint=f"convert it, e.g.: iconv -f latin1 -t utf-8 {path.name} > new.csv",
    )


def too_many_cells(path: Path, lines: Iterable[str], separator: str) -> DataError | None:
    """The error of the first row that has more cells than the header, if there is one.

    For a file that the table reader refused: it does not say where.
    """
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(lines, delimiter=separator)
    width = 0
    try:
        for row in reader:
            if row and not width:
                width = len(row)
            elif len(row) > width:
                return DataError(
                    f"{path}, line {reader.line_num}: {len(row)} cells, the header has {width}",
                    hint=f'put quotes around a text that has the sign {separator!r} in it: "..."',
                )
    except csv.Error:
        return None
    return None


def _check_lines(path: Path, data: bytes) -> None:
    # The table reader says neither which line is wrong, nor that NaN is no JSON.
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            whole = not line.strip() or isinstance(json.loads(line, parse_constant=_refuse), dict)
        except ValueError as error:
            raise DataError(
                f"{path}, line {number}: not JSON ({error})", accepted="one object on each line"
            ) from None
        if not whole:
            raise DataError(
                f"{path}, line {number}: {line[:40].decode('utf-8', 'replace')!r}",
                accepted="one JSON object on each line",
            )


def _refuse(word: str) -> object:
    raise ValueError(f"{word} is no JSON; write null")


def _parse(path: Path, read: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    try:
        frame = read()
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = one_line(str(error))[:200]
        raise DataError(f"{path} cannot be read as a table: {reason}") from error
    if not frame.height:
        raise DataError(f"{path} has no rows", accepted="a header and rows")
    return frame
