"""Tables and pages of a run, and the figures behind them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from tests.dynamics.small_runs import made_reel, small_config
from trine.core.tables import to_csv, to_markdown, to_terminal
from trine.dynamics import pictures
from trine.dynamics.deep import run
from trine.dynamics.films import shoot
from trine.dynamics.results import (
    correlation_frame,
    layer_results,
    loss_frame,
    node_frame,
    row_norm_frame,
)
from trine.dynamics.run_report import layer_table, seed_table, short_table

START = [[[[0.5, 0.2, 0.1, 0.0], [0.1, 0.3, 0.4, 0.2]]] * 2]
END = [[[[1.0, 0.2, 0.1, 0.0], [0.1, 0.8, 0.4, 0.2]]] * 2]
LAYER: dict[str, Any] = {"teacher": "2", "student": "4"}


def lines(axes: Any, style: str) -> list[np.ndarray[Any, Any]]:
    return [line.get_ydata() for line in axes.lines if line.get_linestyle() == style]


def test_the_layer_table_shows_ranks_and_correlations():
    pooled, each = layer_results(made_reel(START, END, [[[1.0, 1.0]] * 2], **LAYER))
    shown = to_markdown(layer_table(pooled, "Layers"))
    assert "best correlation, alive" in shown
    assert "| 0.9000 |" in shown
    assert "initial rank" in shown
    table = seed_table(each)
    assert table.frame["seed"].to_list() == [0, 1]
    assert "mean_best_correlation_alive" in to_csv(table)


def test_the_table_of_the_terminal_fits_80_columns():
    pooled, _ = layer_results(made_reel(START, END, [[[1.0, 0.0]] * 2], **LAYER))
    table = short_table([{**row, "layer": 3} for row in pooled])
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(to_terminal(table))
    text = console.export_text()
    assert "…" not in text
    assert "1.0000 ± 0.0000" in text
    assert "2/4" in text
    dead, _ = layer_results(made_reel(START, END, [[[0.0, 0.0]] * 2], **LAYER))
    assert short_table(dead).frame["correlation"].to_list() == ["all dead"]


def test_the_report_names_everything_and_fetches_nothing(tmp_path: Path):
    done, result = run(small_config(epochs=1), root=tmp_path)
    page = done.report.read_text()
    assert "<script" not in page
    assert "animation.html" in page
    for text in ("dead", "initial rank", "descent.rate", "Every seed", "one standard error"):
        assert text in page
    layers = pl.read_csv(done.tables / "layers.csv")
    for name in ("mean_best_correlation_alive", "initial_rank_p", "dead_teacher_nodes"):
        assert layers[name].to_list() == pytest.approx([row[name] for row in result["layers"]])
    nodes = pl.read_csv(done.tables / "nodes.csv")
    assert nodes.height == 2 * (3 + 4)  # seeds, teacher nodes
    for figure in ("correlations", "initial_ranks", "losses", "row_norms", "matrices", "pulls"):
        assert {
            (done.figures / f"{figure}.{kind}").is_file() for kind in ("svg", "png", "csv")
        } == {True}


def test_correlation_curves_draw_mean_and_extremes_of_living_nodes():
    reel = made_reel(START, END, [[[1.0, 1.0], [1.0, 0.0]]], **LAYER)
    figure = pictures.correlation_curves(correlation_frame(reel), "Title")
    (axes,) = figure.axes
    (mean,) = lines(axes, "-")
    # Network 0 ends at (1.0 + 0.8) / 2, network 1 has one living node at 1.0.
    np.testing.assert_allclose(mean, [(0.45 + 0.5) / 2, (0.9 + 1.0) / 2], rtol=1e-6)
    assert "1 dead" in axes.get_title(loc="left")
    assert axes.get_xlabel() == "epochs"


def test_one_seed_has_no_band_and_no_warning():
    reel = made_reel([[START[0][0]]], [[END[0][0]]], [[[1.0, 1.0]]], seeds=1, **LAYER)
    figure = pictures.correlation_curves(correlation_frame(reel), "Title")
    assert len(figure.axes) == 1


def test_a_layer_of_dead_nodes_is_drawn_empty():
    reel = made_reel(START, END, [[[0.0, 0.0], [0.0, 0.0]]], **LAYER)
    pooled, _ = layer_results(reel)
    pictures.correlation_curves(correlation_frame(reel), "Title")
    pictures.rank_histograms(node_frame(reel), pooled, "Title")
    pictures.row_norm_curves(row_norm_frame(reel), "Title")
    pictures.loss_curves(loss_frame(reel), "Title")


def test_compared_figures_have_a_line_a_setting(tmp_path: Path):
    reels = shoot([small_config(over=over, epochs=1) for over in (1, 2)], tmp_path)
    frame = pl.concat(
        correlation_frame(reel).with_columns(over=pl.lit(f"over {reel.config.over:g}"))
        for reel in reels
    )
    figure = pictures.compared_correlations(frame, "over", "Title")
    assert len(figure.axes) == 2
    for axes in figure.axes:
        assert [line.get_label() for line in axes.lines] == ["over 1", "over 2"]
    losses = pl.concat(
        loss_frame(reel).with_columns(over=pl.lit(f"over {reel.config.over:g}")) for reel in reels
    )
    (axes,) = pictures.compared_losses(losses, "over", "Title").axes
    last = losses.filter(pl.col("over") == "over 1", pl.col("epoch") == 1)["evaluation_loss"]
    assert axes.lines[0].get_ydata()[-1] == pytest.approx(float(last.log10().mean()))  # pyright: ignore[reportArgumentType, reportIndexIssue] (stubs)
