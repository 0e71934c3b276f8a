"""The games' sections of the demo, with plans of seconds."""

from pathlib import Path

import pytest

from trine.cli.demo import SECTIONS
from trine.core.executors import SerialExecutor
from trine.core.progress import SilentProgress
from trine.core.report import Section, SectionContext, render_report
from trine.games import demo
from trine.games.paper import PROVED, Key
from trine.games.reproduce import SCALES, Scale

HANABI: Key = ("mini-hanabi", None)
TINY = Scale(exact={(HANABI, "cfr+jps"): 2, (HANABI, "best"): 2}, sampled={HANABI: 2})


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCALES, "quick", TINY)
    monkeypatch.setattr(demo, "SAMPLES", (1,))
    monkeypatch.setattr(demo, "CONVENTION", ("simple-bidding", 4))
    monkeypatch.setitem(PROVED, ("simple-bidding", 4), 2.25)


def context(directory: Path) -> SectionContext:
    return SectionContext(directory, SerialExecutor(), SilentProgress(), seed=0)


def check_page(section: Section) -> None:
    page = render_report("Demo", [section])
    assert section.title in page
    assert page.count("<svg") == len(section.figures)


def test_the_demo_names_these_sections():
    for name in ("exact_search", "sampled_search", "convention"):
        assert f"trine.games.demo:{name}" in SECTIONS.values()
        assert callable(getattr(demo, name))


def test_exact_search(tmp_path: Path):
    section = demo.exact_search(context(tmp_path))
    (table,) = section.tables
    assert table.frame["method"].to_list() == ["cfr", "cfr+jps", "best"]
    # One table "paper / authors' code / ours / best known / proved optimum".
    headers = [column.title or column.name for column in table.columns or ()]
    for header in ("paper", "authors' code", "best known", "proved optimum"):
        assert header in headers
    assert any(header.startswith("ours") for header in headers)
    check_page(section)


def test_sampled_search(tmp_path: Path):
    section = demo.sampled_search(context(tmp_path))
    assert section.tables[0].frame["samples"].to_list() == ["all", "1"]
    check_page(section)


def test_the_learned_convention(tmp_path: Path):
    section = demo.convention(context(tmp_path))
    assert "Simple Bidding 4, 2.25 points a deal" in section.title
    assert set(section.tables[0].frame["player"]) == {1, 2}
    for kind in ("svg", "png", "csv"):
        assert (tmp_path / "figures" / f"convention.{kind}").is_file()
    assert (tmp_path / "tables" / "convention.csv").is_file()
    check_page(section)


def test_a_section_does_not_compute_again_what_is_there(tmp_path: Path):
    first = demo.exact_search(context(tmp_path))
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "cells").iterdir()}
    assert len(before) == 2 * 4  # an array file and a record for each of four cells
    second = demo.exact_search(context(tmp_path))
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert second.tables[0].frame.equals(first.tables[0].frame)
