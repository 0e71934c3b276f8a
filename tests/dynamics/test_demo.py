"""The dynamics section of the demo, at a small size."""

from pathlib import Path

import pytest

from trine.core.executors import SerialExecutor
from trine.core.progress import SilentProgress
from trine.core.report import SectionContext, render_report
from trine.dynamics import demo


def test_the_section_compares_with_the_authors_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("TRINE_DATA", raising=False)
    for name, value in (("EPOCHS", 1), ("SEEDS", 2), ("SAMPLES", 640)):
        monkeypatch.setattr(demo, name, value)
    section = demo.section(SectionContext(tmp_path, SerialExecutor(), SilentProgress()))
    frame = section.tables[0].frame
    # Spec: the authors' program, one seed.
    assert frame["authors"].to_list() == [0.9999, 0.994, 0.949, 0.908]
    assert frame["chance"].to_list() == [49.5, 74.5, 99.5, 124.5]
    assert frame["ours"].is_between(0, 1).all()
    assert "Negative BatchNorm biases" in section.tables[1].title
    assert len(section.figures) == 3
    assert (tmp_path / "animation.html").is_file()
    page = render_report("Demo", [section])
    assert "ours, 1 epochs, 2 seeds" in page
