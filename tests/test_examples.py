import runpy

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
