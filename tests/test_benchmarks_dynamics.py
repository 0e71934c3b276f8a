"""Rows and tables of the training benchmark, on the smallest setting."""

from dataclasses import replace

import pytest
from benchmarks.dynamics import SWEEP, main, row, sweep_hours, table, two_layer

from trine.core.tables import to_markdown


def test_a_row_becomes_a_line_of_the_table():
    case = replace(two_layer(5, 1, count=2), samples=64, steps=(3, 3))
    made = row(case, 2)
    assert made["nodes"] == 5
    assert 0 < made["peak_share"]["mean"]
    assert made["gigaflops"]["mean"] == pytest.approx(
        made["ours"]["mean"] * 16 * (6 * 150 * 5 - 2 * 100 * 5) / 1e9
    )
    assert "| two layers, 5 student nodes, float64 | 2 |" in to_markdown(table([made]))


def test_the_sweep_of_the_paper_is_projected_from_rates():
    assert len(SWEEP) == 72
    rows = [
        {"case": "two layers", "precision": "float64", "nodes": n, "ours": {"mean": 1e4}}
        for n in set(SWEEP)
    ]
    # 72 settings x 32 seeds x 100,000 steps at 10,000 a second on each of two cores.
    assert sweep_hours(rows, "ours") == pytest.approx(72 * 32 * 100_000 / 1e4 / 2 / 3600)


def test_any_other_option_is_refused(capsys: pytest.CaptureFixture[str]):
    assert main(["--fast"]) == 2
    assert "accepted: nothing, or --quick" in capsys.readouterr().err
