"""What the values of one column look like; the guesses of `trine.embeddings.guessing` read this."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from trine.embeddings.languages import is_language, language_code
from trine.embeddings.table_files import cast_column

__all__ = ["ColumnFacts", "column_facts", "separator_of"]

_FEW = 1_000
"""A column with more distinct values is neither a split nor a language."""
_SEEN = 5_000
"""Values that the shape of a column is judged by: the first ones."""
_SEPARATORS = ("|", ";", ",")
_IDENTIFIER = re.compile(r"^(?=.*\d)[0-9A-Za-z]*([-_:/.#][0-9A-Za-z]+)*$")


@dataclass(frozen=True)
class ColumnFacts:
    """One column in numbers.

    Attributes:
      name: of the column.
      count: distinct values, nulls apart.
      distinct: distinct values over values.
      numeric: whether every value is a number.
      is_list: whether values are lists.
      words: whether most values are words: letters and white space between them, or a script
        that writes words without white space.
      identifier: whether most values are codes with digits and without white space.
      foreign: share of letters outside a to z.
      languages: share of the distinct values that are language codes or names.
      values: the distinct values, if they are few.
    """

    name: str
    count: int
    distinct: float
    numeric: bool
    is_list: bool
    words: bool
    identifier: bool
    foreign: float
    languages: float
    values: frozenset[str]


def column_facts(series: pl.Series) -> ColumnFacts:
    """Looks at a column.

    Raises:
      DataError: its values have no form as texts.
    """
    if series.dtype.is_nested():
        whole = series.drop_nulls()
        is_list = isinstance(series.dtype, pl.List)
        count = whole.n_unique() if is_list else 0
        share = count / max(len(whole), 1)
        return ColumnFacts(
            series.name, count, share, False, is_list, False, False, 0.0, 0.0, frozenset()
        )
    texts = cast_column(series, pl.String).str.strip_chars().drop_nulls()
    texts = texts.filter(texts != "")
    count = texts.n_unique()
    values = frozenset(texts.unique().to_list()) if count <= _FEW else frozenset[str]()
    seen = texts.head(_SEEN).to_list()
    letters = "".join(seen)
    latin = sum(c.isascii() for c in letters if c.isalpha())
    known = sum(is_language(language_code(value)) for value in values)
    return ColumnFacts(
        name=series.name,
        count=count,
        distinct=count / max(len(texts), 1),
        numeric=bool(len(texts)) and texts.cast(pl.Float64, strict=False).null_count() == 0,
        is_list=False,
        words=_share(seen, _is_worded) > 0.5,
        identifier=_share(seen, lambda text: bool(_IDENTIFIER.match(text))) > 0.9,
        foreign=1 - latin / max(sum(c.isalpha() for c in letters), 1),
        languages=known / max(len(values), 1),
        values=values,
    )


def separator_of(series: pl.Series) -> str:
    """The sign that joins several labels in a row, or nothing.

    Joined labels show in that the parts are fewer than the combinations, and a part that is joined
    somewhere stands alone or in another combination elsewhere.
    """
    labels = series.cast(pl.String).drop_nulls().unique()
    for separator in _SEPARATORS:
        joined = labels.filter(labels.str.contains(separator, literal=True))
        if joined.len() < 2:
            continue
        parts = labels.str.split(separator).list.eval(pl.element().str.strip_chars())
        if parts.explode().n_unique() < labels.len():
            return separator
    return ""


def _is_worded(text: str) -> bool:
    letters = sum(c.isalpha() for c in text)
    return letters > 0 and (any(c.isspace() for c in text) or (letters > 3 and not text.isascii()))


def _share(values: list[str], holds: Callable[[str], bool]) -> float:
    return sum(map(holds, values)) / max(len(values), 1)
