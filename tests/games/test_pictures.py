"""Figures: the numbers they show, and that they can be drawn and saved."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

from trine.core.figures import save_figure
from trine.games.catalog import make_game
from trine.games.convention import final_states
from trine.games.exact import solve_exact
from trine.games.methods import METHODS, value_of
from trine.games.paper import PAPER
from trine.games.pictures import (
    METHOD_PALETTE,
    convention_picture,
    curve_table,
    method_scores,
    reference_lines,
    value_curves,
)
from trine.games.policy import random_policy
from trine.games.tree import build_tree


def curve(*points: tuple[int, float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([x for x, _ in points]), np.array([y for _, y in points])


def drawn(figure: Figure, tmp_path: Path, frame: pl.DataFrame) -> str:
    """The SVG; drawing is what finds most mistakes in a figure."""
    saved = save_figure(figure, frame, tmp_path, "figure")
    assert saved.png.read_bytes().startswith(b"\x89PNG")
    assert saved.csv.read_text().splitlines()[0] == ",".join(frame.columns)
    return saved.svg.read_text()


def test_curves_are_averaged_at_every_iteration():
    table = curve_table(
        {
            # The second run ends after iteration 1 and keeps its last value.
            "jps": [curve((0, 1.0), (1, 2.0), (2, 5.0)), curve((0, 3.0), (1, 4.0))],
            "best": [curve((0, 7.0))],
        }
    )
    assert table.columns == ["method", "iteration", "mean", "standard_error", "seeds"]
    # Two values a and b have the standard error |a - b| / 2.
    assert table.rows() == [
        ("jps", 0, 2.0, 1.0, 2),
        ("jps", 1, 3.0, 1.0, 2),
        ("jps", 2, 4.5, 0.5, 2),
        ("best", 0, 7.0, 0.0, 1),
    ]


def test_curves_thinned_at_different_iterations_keep_their_last_value():
    table = curve_table(
        {"cfr": [curve((0, 0.0), (4, 4.0)), curve((0, 10.0), (2, 12.0), (4, 14.0))]}
    )
    assert table["iteration"].to_list() == [0, 2, 4]
    assert table["mean"].to_list() == [5.0, 6.0, 9.0]


def test_value_curves_draw_a_line_a_band_and_the_references(tmp_path: Path):
    table = curve_table(
        {"jps": [curve((0, 1.0), (1, 2.0)), curve((0, 2.0), (1, 2.5))], "best": [curve((0, 3.0))]}
    )
    for logarithmic in (False, True):
        figure = value_curves(
            table, "Values", lines={"proved optimum": 3.0}, logarithmic=logarithmic
        )
        (axes,) = figure.axes
        first, second, reference = axes.lines
        shift = 1 if logarithmic else 0  # iteration 0 has no place on a logarithmic axis
        assert np.asarray(first.get_xdata()).tolist() == [0 + shift, 1 + shift]
        assert np.asarray(first.get_ydata()).tolist() == [1.5, 2.25]
        assert [line.get_label() for line in axes.lines] == [
            "jps (2 seeds)", "best (1 seeds)", "proved optimum: 3",
        ]  # fmt: skip
        assert first.get_color() == METHOD_PALETTE.colour("jps") != second.get_color()
        assert np.asarray(reference.get_ydata()).tolist() == [3.0, 3.0]
        assert len(axes.collections) == 2  # the bands
        assert axes.get_xscale() == ("log" if logarithmic else "linear")
        assert axes.get_ylabel() == "value, game points"
        assert "<svg" in drawn(figure, tmp_path, table)


def test_scores_are_shares_of_the_optimum(tmp_path: Path):
    frame = pl.DataFrame(
        {
            "game": ["Comm 3", "Comm 3", "Mini-Hanabi"],
            "method": ["cfr", "best", "cfr"],
            "mean": [0.9, 1.0, 9.0],
            "standard_error": [0.01, None, 0.1],
            "paper": [0.89, None, 9.11],
        }
    )
    figure = method_scores(frame, {"Comm 3": 1.0, "Mini-Hanabi": 10.0}, "Scores")
    (axes,) = figure.axes
    shown = {
        round(float(x), 6) for line in axes.lines for x in np.asarray(line.get_xdata(), dtype=float)
    }
    assert {0.9, 1.0, 0.89, 0.911} <= shown
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Comm 3", "Mini-Hanabi"]
    assert "<svg" in drawn(figure, tmp_path, frame)


@pytest.mark.parametrize(
    ("name", "size", "optimum"),
    [("simple-bidding", 4, 2.25), ("mini-hanabi", None, 10), ("two-suit-bridge", 2, 2 / 3)],
)
def test_a_convention_shows_what_every_deal_pays(
    name: str, size: int | None, optimum: float, tmp_path: Path
):
    tree = build_tree(make_game(name, size))
    policy = solve_exact(tree).policy
    assert policy is not None
    figure, frame = convention_picture(tree, policy, "A convention")
    public = tree.public
    assert public is not None
    assert frame.columns == ["card_1", "card_2", "calls", "payoff"]
    # All deals are equally likely, so the mean payoff is the value.
    assert frame["payoff"].mean() == pytest.approx(optimum, abs=1e-12)
    assert frame["payoff"].mean() == pytest.approx(value_of(tree, policy), abs=1e-12)
    end = final_states(public, tree, policy)
    assert frame["calls"].to_list() == [
        "-".join(str(a) for a in public.history(int(s))) for s in end
    ]
    axes = figure.axes[0]
    assert len(axes.texts) == len(public.cards)
    for text in axes.texts:
        column, row = (round(x) for x in text.get_position())
        (shown,) = frame.filter((pl.col("card_1") == row) & (pl.col("card_2") == column))["calls"]
        assert text.get_text() == shown
    assert "<svg" in drawn(figure, tmp_path, frame)


def test_drawing_leaves_matplotlib_as_it_was():
    before = dict(mpl.rcParams)
    tree = build_tree(make_game("simple-bidding", 3))
    convention_picture(tree, random_policy(tree, np.random.default_rng(0)), "Title")
    assert dict(mpl.rcParams) == before


def test_reference_lines():
    row = PAPER[("simple-bidding", 8)]
    assert reference_lines("simple-bidding", 8, None) == {"paper CFR1k+JPS": row.cfr_jps}
    assert reference_lines("simple-bidding", 32, 21.0) == {"proved optimum": 21.0}
    assert list(reference_lines("mini-hanabi", None, 10.0).values()) == [9.5, 10.0]
    assert reference_lines("kuhn", None, None) == {}


def test_methods_of_the_paper_and_ours_have_colours_of_their_own():
    colours = {name: METHOD_PALETTE.colour(name) for name in METHODS if name != "cfr+"}
    assert len(set(colours.values())) == len(colours)
