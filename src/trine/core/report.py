"""Sections to one HTML file that opens offline: inline figures, no script, no outside font.

A section is data: any part of the house makes them, and one page may show sections of many. In
paragraphs, captions and notes, text between backquotes is shown as code; everything is escaped.
"""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import trine
from trine.core.artifacts import write_text
from trine.core.errors import DataError
from trine.core.executors import Executor
from trine.core.progress import Progress
from trine.core.tables import Table, to_html

if TYPE_CHECKING:  # without matplotlib, a section without figures starts much sooner
    from trine.core.figures import SavedFigure

__all__ = ["Picture", "Section", "SectionContext", "picture", "render_report", "write_report"]


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure in a report.

    Attributes:
      svg: the SVG document.
      caption: what is shown, with units, number of seeds and the kind of error bar.
      title: the finding, in one line.
    """

    svg: str
    caption: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class SectionContext:
    """What a section that computes its own content is given.

    Attributes:
      directory: its own place on the disk; what it finds there from last time it need not redo.
      executor: where to compute.
      progress: where to tell how far it is.
      seed: the one seed.
    """

    directory: Path
    executor: Executor
    progress: Progress
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report, shown in this order.

    Attributes:
      title: one line.
      paragraphs: text.
      tables: data.
      figures: pictures.
      notes: small print: how it was computed, what differs from the source.
    """

    title: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Picture] = ()
    notes: Sequence[str] = ()


def picture(saved: "SavedFigure", caption: str = "", title: str = "") -> Picture:
    """A saved figure as a picture."""
    return Picture(saved.svg.read_text(encoding="utf-8"), caption, title)


def render_report(
    title: str,
    sections: Sequence[Section],
    *,
    summary: str = "",
    facts: Mapping[str, object] | None = None,
) -> str:
    """The page as text.

    Args:
      title: of the page.
      sections: in order.
      summary: the result in one or two sentences.
      facts: small table at the end: configuration, versions, seeds, times.
    """
    environment = Environment(
        loader=PackageLoader("trine.core", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2")
    counter = iter(range(10**6))
    drawn = [[_inline(p.svg, f"f{next(counter)}") for p in section.figures] for section in sections]
    return page.render(
        prose=_prose,
        table_html=_table,
        title=title,
        summary=summary,
        sections=list(zip(sections, drawn, strict=True)),
        facts=dict(facts or {}),
        version=trine.__version__,
    )


def write_report(
    path: Path,
    title: str,
    sections: Sequence[Section],
    *,
    summary: str = "",
    facts: Mapping[str, object] | None = None,
) -> Path:
    """Writes the page of `render_report` atomically and returns its path."""
    return write_text(path, render_report(title, sections, summary=summary, facts=facts))


def _table(table: Table) -> Markup:
    return Markup(to_html(table))  # escaped cell by cell


def _prose(text: str) -> Markup:
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text)))


def _inline(svg: str, prefix: str) -> Markup:
    """The `<svg>` element alone, its identifiers made unique in the page."""
    start = svg.find("<svg")
    if start < 0:
        raise DataError("a picture that is not SVG", accepted="what save_figure writes")
    body = re.sub(r"<metadata>.*?</metadata>", "", svg[start:], flags=re.DOTALL)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", body)
    return Markup(body)
