"""Whether columns of JSON lines have one type each, before hours are spent on their rows.

JSON has no types for columns; the Parquet file that its rows are copied to does. What cannot become
a column is told with its line: a text among numbers, lists of texts after lists of numbers, a whole
number of more than 64 bits, half a surrogate pair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trine.core.errors import DataError, one_line

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["JsonColumns"]


class JsonColumns:
    """Types of columns, found row by row.

    Args:
      source: for messages.
      is_needed: whether a column will be read.
      hint: how to do without a column; a function of its name.
      rows: that are looked at together.
    """

    def __init__(
        self,
        source: Path,
        is_needed: Callable[[str], bool],
        hint: Callable[[str], str],
        rows: int = 4_096,
    ) -> None:
        self._source = source
        self._is_needed = is_needed
        self._hint = hint
        self._rows = rows
        self._kinds: dict[str, str] = {}
        self._types: dict[str, pa.DataType] = {}
        self._waiting: dict[str, list[tuple[int, Any]]] = {}
        self._names: dict[str, None] = {}
        self._large: dict[str, int] = {}
        self._fractions: dict[str, int] = {}

    def add(self, line: int, row: dict[str, Any]) -> None:
        """Looks at one row.

        Raises:
          DataError: a value that is of another type than those before it, or of none.
        """
        for name, value in row.items():
            self._names[name] = None
            if value is None or not self._is_needed(name):
                continue
            kind = _kind(value)
            if self._kinds.setdefault(name, kind) != kind:
                raise DataError(
                    f"{self._source}, line {line}: {name!r} is {kind}, in lines before it is "
                    f"{self._kinds[name]}",
                    accepted="one type in a column",
                    hint=self._hint(name),
                )
            if kind == "a number":
                self._check_number(name, value, line)
            if kind == "a text" and value.isascii() and name in self._types:
                continue  # most of what there is
            waiting = self._waiting.setdefault(name, [])
            waiting.append((line, value))
            if len(waiting) >= self._rows:
                self._settle(name)

    def _check_number(self, name: str, value: float, line: int) -> None:
        """A column of whole numbers and fractions is one of doubles, which hold 53 bits."""
        if isinstance(value, int) and abs(value) > 2**53:
            self._large.setdefault(name, line)
        elif isinstance(value, float):
            self._fractions.setdefault(name, line)
        if name in self._large and name in self._fractions:
            raise DataError(
                f"{self._source}, line {line}: {name!r} has a fraction in line "
                f"{self._fractions[name]} and a whole number above 2^53 in line "
                f"{self._large[name]}, which no column holds",
                hint=self._hint(name),
            )

    def close(self) -> pa.Schema:
        """Looks at what is left.

        Returns:
          Every name that a row has, with its type; null where no value is needed or there is none.

        Raises:
          DataError: as `add`; also a column that Parquet cannot hold.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        for name in list(self._waiting):
            self._settle(name)
        for name, kind in self._types.items():
            try:
                pq.write_table(pa.schema([(name, kind)]).empty_table(), pa.BufferOutputStream())
            except pa.ArrowException as error:
                raise DataError(
                    f"{self._source}: {name!r} cannot be written ({one_line(str(error))[:100]})",
                    hint=self._hint(name),
                ) from error
        return pa.schema([(name, self._types.get(name, pa.null())) for name in self._names])

    def _settle(self, name: str) -> None:
        """Joins the type of the values that wait with that of those before."""
        import pyarrow as pa

        waiting = self._waiting.pop(name)
        before = self._types.get(name)
        errors = (pa.ArrowException, OverflowError, UnicodeError)

        def joined(count: int) -> pa.DataType:
            return _join(before, pa.array([value for _, value in waiting[:count]]).type)

        try:
            self._types[name] = joined(len(waiting))
        except errors as error:
            # The first value with which it cannot be done, found by halves.
            good, bad = 0, len(waiting)
            while bad - good > 1:
                middle = (good + bad) // 2
                try:
                    joined(middle)
                    good = middle
                except errors:
                    bad = middle
            line, reason = waiting[bad - 1][0], one_line(str(error))[:100]
            raise DataError(
                f"{self._source}, line {line}: {name!r} fits in no column ({reason})",
                accepted="one type in a column",
                hint=self._hint(name),
            ) from error


def _join(before: pa.DataType | None, now: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    if before is None:
        return now
    both: Sequence[pa.Schema] = [pa.schema([("x", kind)]) for kind in (before, now)]
    return pa.unify_schemas(both, promote_options="permissive").field("x").type


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    return {str: "a text", list: "a list"}.get(type(value), "an object")
