"""Figures with one style and one palette; every saved figure comes with the numbers behind it.

Matplotlib's object interface only: no window, no global "current figure", safe in any process.

    with house_style():
        figure, axes = new_figure()
        axes.plot(x, y, **PALETTE.line("ours"))
    saved = save_figure(figure, frame, run.figures, "value-per-iteration")
"""

import hashlib
import io
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trine.core.artifacts import write_bytes, write_text
from trine.core.tables import Table, to_csv

__all__ = ["PALETTE", "Palette", "SavedFigure", "house_style", "new_figure", "save_figure"]

# Okabe and Ito 2008, Color Universal Design, without yellow, which vanishes on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")

_STYLE: dict[str, Any] = {
    "svg.hashsalt": "trine",  # the same figure is the same file, byte by byte
    "svg.fonttype": "path",  # looks the same where the font is missing
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, hence is everywhere
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#d9d9d9",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@dataclass(frozen=True, slots=True)
class Palette:
    """A colour for each label, the same in every figure and every process.

    Args:
      labels: the known labels; each has its own colour by its place. Any other label has a colour
        by its digest, stable but perhaps shared.
    """

    labels: Sequence[str] = ()

    def _place(self, label: str) -> int:
        if label in self.labels:
            return list(self.labels).index(label)
        return int(hashlib.sha256(label.encode()).hexdigest(), 16) % (2**16)

    def colour(self, label: str) -> str:
        """`#rrggbb`, distinguishable with every kind of colour blindness."""
        return _COLOURS[self._place(label) % len(_COLOURS)]

    def line(self, label: str) -> dict[str, Any]:
        """Keyword arguments for `Axes.plot`: label, colour, and a dash so that print works too."""
        dash = _DASHES[self._place(label) // len(_COLOURS) % len(_DASHES)]
        return {"label": label, "color": self.colour(label), "linestyle": dash}

    def marker(self, label: str) -> str:
        """A marker that goes with the colour."""
        return _MARKERS[self._place(label) % len(_MARKERS)]


PALETTE = Palette()


@dataclass(frozen=True, slots=True)
class SavedFigure:
    """Paths of a figure and of the data behind it."""

    svg: Path
    png: Path
    csv: Path


@contextmanager
def house_style() -> Generator[None]:
    """Matplotlib settings of the house within the block; draw inside it."""
    with mpl.rc_context(_STYLE):  # pyright: ignore[reportUnknownMemberType, reportArgumentType] (stubs)
        yield


def new_figure(width: float = 6.4, height: float = 3.8) -> tuple[Figure, Axes]:
    """A figure of `width` by `height` inches with one pair of axes."""
    with house_style():
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.add_subplot()


def save_figure(figure: Figure, frame: pl.DataFrame, directory: Path, name: str) -> SavedFigure:
    """Writes `name.svg`, `name.png` (150 dots per inch) and `name.csv`, each atomically."""
    vector, raster = io.BytesIO(), io.BytesIO()
    with house_style():
        # Without a date in the metadata, equal figures are equal files.
        figure.savefig(vector, format="svg", metadata={"Date": None})  # pyright: ignore[reportUnknownMemberType] (stubs)
        figure.savefig(raster, format="png", dpi=150)  # pyright: ignore[reportUnknownMemberType] (stubs)
    return SavedFigure(
        svg=write_bytes(directory / f"{name}.svg", vector.getvalue()),
        png=write_bytes(directory / f"{name}.png", raster.getvalue()),
        csv=write_text(directory / f"{name}.csv", to_csv(Table(frame))),
    )
