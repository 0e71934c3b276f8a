import io
import math
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from trine.core.errors import UsageError
from trine.core.tables import (
    Column,
    Table,
    save_table,
    to_csv,
    to_html,
    to_markdown,
    to_terminal,
)

FRAME = pl.DataFrame(
    {
        "game": ["comm <3>", "a|b"],
        "mean_value": [1.23456, math.nan],
        "states": [13_000, None],
        "proved": [True, False],
        "best": [[1, 2], [3]],
    }
)
TABLE = Table(
    FRAME,
    title="Values",
    columns=[
        Column("game"),
        Column("mean_value", "mean", ".2f", highlight=True),
        Column("states", format=",d"),
        Column("proved"),
    ],
    caption="Two games.",
)


def test_cells_are_what_a_reader_wants():
    assert TABLE.cells == [["comm <3>", "1.23", "13,000", "yes"], ["a|b", "–", "–", "no"]]  # noqa: RUF001 (the dash of an empty cell)
    assert Table(FRAME).cells[0] == ["comm <3>", "1.235", "13000", "yes", "[1, 2]"]
    assert [column.title for column in Table(FRAME).shown][1] == "mean value"


def test_markdown():
    assert to_markdown(TABLE) == (
        "**Values**\n\n"
        "| game | mean | states | proved |\n"
        "|---|---:|---:|---|\n"
        "| comm <3> | 1.23 | 13,000 | yes |\n"
        "| a\\|b | – | – | no |\n\n"  # noqa: RUF001 (the dash of an empty cell)
        "Two games.\n"
    )


def test_html_is_escaped():
    page = to_html(TABLE)
    assert "<td>comm &lt;3&gt;</td>" in page
    assert '<td class="number highlight">1.23</td>' in page
    assert "<caption>Values</caption>" in page


def test_the_terminal_shows_brackets_as_they_are():
    text = io.StringIO()
    frame = pl.DataFrame({"card": ["[bold]x"]})
    Console(file=text, width=60).print(to_terminal(Table(frame, title="[t]", caption="[c]")))
    assert "[bold]x" in text.getvalue()
    assert "[t]" in text.getvalue()
    assert "[c]" in text.getvalue()


def test_csv_has_the_values_themselves(tmp_path: Path):
    path = save_table(Table(FRAME), tmp_path / "tables", "values")
    back = pl.read_csv(path)
    assert back["mean_value"][0] == 1.23456
    assert back["best"].to_list() == ["1 2", "3"]
    assert (tmp_path / "tables" / "values.md").read_text() == to_markdown(Table(FRAME))


@given(st.lists(st.tuples(st.text(), st.floats(allow_nan=False)), min_size=1, max_size=5))
def test_csv_round_trips(rows: list[tuple[str, float]]):
    frame = pl.DataFrame(rows, schema={"a": pl.String, "b": pl.Float64}, orient="row")
    schema = {"a": pl.String, "b": pl.Float64}
    back = pl.read_csv(io.BytesIO(to_csv(Table(frame)).encode()), schema=schema)
    assert back["b"].to_list() == frame["b"].to_list()


def test_a_column_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match="did you mean 'game'"):
        Table(FRAME, columns=[Column("gme")])
