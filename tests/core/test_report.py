import html.parser
import re
from pathlib import Path

import polars as pl
import pytest

from trine.core.errors import DataError
from trine.core.figures import new_figure, save_figure
from trine.core.report import Picture, Section, picture, render_report, write_report
from trine.core.tables import Table

FRAME = pl.DataFrame({"game": ["<b>comm</b>"], "value": [1.0]})


class Checker(html.parser.HTMLParser):
    """Collects identifiers and addresses, and checks that elements are closed in order."""

    VOID = frozenset({"meta", "link", "br", "img", "use", "path", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.identifiers: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.identifiers += [values["id"] or ""] if "id" in values else []
        names = ("href", "xlink:href", "src")
        self.addresses += [values[name] or "" for name in names if name in values]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.fixture
def section(tmp_path: Path) -> Section:
    figure, axes = new_figure(3, 2)
    axes.plot([0, 1], [0, 1], label="a")
    axes.legend()
    saved = save_figure(figure, FRAME, tmp_path, "value")
    return Section(
        "Games & more",
        ["Run `trine demo` <now>."],
        [Table(FRAME, title="Values", caption="With `code`.")],
        [picture(saved, "mean over 3 seeds", "It rises")],
        ["a note"],
    )


def test_a_page_is_whole_and_needs_nothing_from_outside(tmp_path: Path, section: Section):
    path = tmp_path / "run" / "report.html"
    write_report(path, "Trine", [section, section], summary="Good.", facts={"seed": 3})
    page = path.read_text()
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    # The same figure twice: every identifier is still unique, and every reference finds its own.
    assert len(checker.identifiers) == len(set(checker.identifiers))
    assert checker.addresses
    assert all(address[0] == "#" for address in checker.addresses)
    assert {address[1:] for address in checker.addresses} <= set(checker.identifiers)
    assert set(re.findall(r"url\(#([^)]+)\)", page)) <= set(checker.identifiers)
    assert "<script" not in page
    assert "@import" not in page


def test_texts_are_escaped_and_backquotes_are_code(section: Section):
    page = render_report("A < B", [section])
    assert "<title>A &lt; B</title>" in page
    assert "Run <code>trine demo</code> &lt;now&gt;." in page
    assert "&lt;b&gt;comm&lt;/b&gt;" in page
    assert "Games &amp; more" in page
    assert "With <code>code</code>." in page
    assert "<nav" not in page  # one section needs no contents


def test_the_same_content_is_the_same_page(section: Section):
    assert render_report("T", [section]) == render_report("T", [section])


def test_a_picture_must_be_a_drawing():
    with pytest.raises(DataError, match="not SVG"):
        render_report("T", [Section("S", figures=[Picture("PNG")])])
