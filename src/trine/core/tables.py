"""A polars frame to a terminal table, CSV, Markdown or HTML; columns are described once."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from trine.core.artifacts import write_text
from trine.core.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table as RichTable

__all__ = ["Column", "Table", "save_table", "to_csv", "to_html", "to_markdown", "to_terminal"]

NOTHING = "–"  # noqa: RUF001 (an en dash is what a printed table has in an empty cell)


@dataclass(frozen=True, slots=True)
class Column:
    """How one column is shown.

    Attributes:
      name: in the frame.
      header: what the reader sees; the name if empty.
      format: a Python format specification, e.g. `.2f` or `,`.
      highlight: whether the column is the one to look at.
    """

    name: str
    header: str = ""
    format: str = ""
    highlight: bool = False

    @property
    def title(self) -> str:
        """What the reader sees at the head."""
        return self.header or self.name.replace("_", " ")

    def text(self, value: Any) -> str:
        """One cell; a missing value or NaN is a dash."""
        if value is None or value != value:
            return NOTHING
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, str):
            return value
        if self.format:
            return format(value, self.format)
        return f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class Table:
    """A frame and how to show it.

    Attributes:
      frame: the data.
      title: one line above.
      columns: which columns in which order; all if empty.
      caption: one or two lines below.
    """

    frame: pl.DataFrame
    title: str = ""
    columns: Sequence[Column] = ()
    caption: str = ""

    def __post_init__(self) -> None:
        for column in self.columns:
            if column.name not in self.frame.columns:
                raise UsageError.unknown("column", column.name, self.frame.columns)

    @property
    def shown(self) -> Sequence[Column]:
        """The columns that are shown."""
        return self.columns or [Column(name) for name in self.frame.columns]

    @property
    def cells(self) -> list[list[str]]:
        """The formatted rows."""
        names = [column.name for column in self.shown]
        rows = self.frame.select(names).iter_rows() if names else iter(())
        return [
            [column.text(value) for column, value in zip(self.shown, row, strict=True)]
            for row in rows
        ]

    def is_numeric(self, column: Column) -> bool:
        """Whether a column is aligned on the right."""
        return self.frame.schema[column.name].is_numeric()


def to_terminal(table: Table) -> "RichTable":
    """A rich table."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table as RichTable

    rich = RichTable(
        title=escape(table.title) or None,
        caption=escape(table.caption) or None,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
    )
    for column in table.shown:
        rich.add_column(
            escape(column.title),
            justify="right" if table.is_numeric(column) else "left",
            style="bold" if column.highlight else "",
        )
    for row in table.cells:
        rich.add_row(*(escape(cell) for cell in row))
    return rich


def to_csv(table: Table) -> str:
    """The unformatted values of the shown columns; lists are joined with spaces."""
    frame = table.frame.select([column.name for column in table.shown])
    lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List | pl.Array)]
    joined = [pl.col(name).cast(pl.List(pl.String)).list.join(" ") for name in lists]
    return frame.with_columns(joined).write_csv()


def to_markdown(table: Table) -> str:
    """A pipe table with its title and caption as paragraphs."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = ["---:" if table.is_numeric(column) else "---" for column in table.shown]
    head = line([column.title for column in table.shown])
    body = [head, "|" + "|".join(rule) + "|", *(line(row) for row in table.cells)]
    parts = [f"**{table.title}**"] if table.title else []
    parts.append("\n".join(body))
    if table.caption:
        parts.append(table.caption)
    return "\n\n".join(parts) + "\n"


def to_html(table: Table) -> str:
    """A `<table>`, every text escaped."""

    def cells(tag: str, texts: Sequence[str]) -> str:
        made = [
            f"<{tag}{_classes(table, column)}>{html.escape(text)}</{tag}>"
            for column, text in zip(table.shown, texts, strict=True)
        ]
        return f"<tr>{''.join(made)}</tr>"

    caption = f"<caption>{html.escape(table.title)}</caption>" if table.title else ""
    head = cells("th", [column.title for column in table.shown])
    body = "\n".join(cells("td", row) for row in table.cells)
    return f"<table>{caption}<thead>{head}</thead><tbody>\n{body}\n</tbody></table>"


def save_table(table: Table, directory: Path, name: str) -> Path:
    """Writes `name.csv` (values) and `name.md` (as shown); returns the path of the CSV."""
    write_text(directory / f"{name}.md", to_markdown(table))
    return write_text(directory / f"{name}.csv", to_csv(table))


def _classes(table: Table, column: Column) -> str:
    names = ["number"] * table.is_numeric(column) + ["highlight"] * column.highlight
    return f' class="{" ".join(names)}"' if names else ""
