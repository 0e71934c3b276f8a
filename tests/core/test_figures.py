from pathlib import Path

import matplotlib as mpl
import polars as pl
import pytest

from trine.core.figures import PALETTE, Palette, SavedFigure, house_style, new_figure, save_figure

FRAME = pl.DataFrame({"iteration": [0, 1, 2], "value": [0.0, 0.5, 0.9]})


def draw(directory: Path) -> SavedFigure:
    with house_style():
        figure, axes = new_figure(3, 2)
        axes.plot(FRAME["iteration"], FRAME["value"], **PALETTE.line("jps"))
        axes.legend()
    return save_figure(figure, FRAME, directory, "value")


def test_a_figure_comes_with_its_data_and_is_the_same_every_time(tmp_path: Path):
    first, second = draw(tmp_path / "a"), draw(tmp_path / "b")
    assert first.svg.read_bytes() == second.svg.read_bytes()
    assert first.png.read_bytes().startswith(b"\x89PNG")
    assert pl.read_csv(first.csv).equals(FRAME)
    assert "<dc:date>" not in first.svg.read_text()


def test_the_house_style_ends_with_its_block():
    before = dict(mpl.rcParams)
    with house_style():
        assert mpl.rcParams["axes.grid"]
    assert dict(mpl.rcParams) == before


def test_known_labels_have_their_own_colours():
    labels = [f"method {number}" for number in range(9)]
    palette = Palette(labels)
    assert len({palette.colour(label) for label in labels[:7]}) == 7
    # The eighth shares a colour with the first, but not the dash.
    assert palette.colour(labels[7]) == palette.colour(labels[0])
    assert palette.line(labels[7])["linestyle"] != palette.line(labels[0])["linestyle"]
    assert palette.line("method 1")["label"] == "method 1"
    assert palette.marker(labels[0]) != palette.marker(labels[1])


@pytest.mark.parametrize("label", ["somebody else's method", ""])
def test_an_unknown_label_keeps_its_colour(label: str):
    assert PALETTE.colour(label) == Palette().colour(label)
