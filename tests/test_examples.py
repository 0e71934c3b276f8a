import runpy
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.documents import ROOT


def run(name: str) -> None:
    runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")


def test_own_game(capsys: pytest.CaptureFixture[str]):
    run("own_game.py")
    # Both calm: one deal of nine, worth 1; windy with calm or windy is worth nothing.
    assert capsys.readouterr().out.endswith("value 0.1111, optimum 0.1111 (proved: True)\n")


@pytest.mark.oracle
def test_openspiel_game(capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("pyspiel", reason="needs the extra `oracle` (OpenSpiel)")
    run("openspiel_game.py")
    assert "best 10\nOpenSpiel says: [10.0, 10.0]\n" in capsys.readouterr().out


def test_sample_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["sample_tables.py", str(tmp_path)])
    run("sample_tables.py")
    assert (
        "topics.csv: 1,000 rows, columns split, text, label, function\n" in capsys.readouterr().out
    )
    stories = pl.read_csv(tmp_path / "stories.csv")
    assert (stories.height, stories["label"].n_unique()) == (400, 80)
    searches = pl.read_csv(tmp_path / "searches.csv")
    assert set(searches["text"]) == set(pl.read_csv(tmp_path / "topics.csv")["text"])
