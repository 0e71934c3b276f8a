"""The benchmark's rows and tables, on the smallest games."""

import polars as pl
import pytest
from benchmarks.run import (
    SpeedCase,
    growth_figure,
    growth_row,
    growth_table,
    main,
    speed_row,
    speed_table,
)

from trine.core.tables import to_markdown


def test_a_speed_row_becomes_a_line_of_the_table():
    row = speed_row(SpeedCase("comm", 2, 0, (5, None), "no figure"), 2)
    assert row["seeds"] == 2
    assert row["value"]["maximum"] <= 1.0
    assert 0 <= row["search"]["mean"] <= row["total"]["mean"]
    assert "| comm:2 | 0 | 2 |" in to_markdown(speed_table([row]))
    assert "| 5 / - | no figure |" in to_markdown(speed_table([row]))


def test_a_growth_row_becomes_a_line_and_points_of_the_plot():
    row = growth_row("two-suit-bridge", 1, 3, 1)
    assert row["states"] == 1 + 2**2 * 15
    assert row["peak_bytes"] >= row["peak_bytes_before"] > 2**20
    table = growth_table([row])
    assert isinstance(table.frame, pl.DataFrame)
    assert "| two-suit-bridge:1 | 3 | 61 |" in to_markdown(table)
    assert len(growth_figure(table.frame).axes) == 4


def test_any_other_option_is_refused(capsys: pytest.CaptureFixture[str]):
    assert main(["--fast"]) == 2
    assert "'--fast' is not accepted; accepted: nothing, or --quick" in capsys.readouterr().err
