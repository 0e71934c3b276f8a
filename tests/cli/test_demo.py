import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from trine.cli import demo
from trine.cli.app import main
from trine.core import extras
from trine.core.report import Section, SectionContext
from trine.core.sweep import Cell, CellResult, cells_of, sweep
from trine.core.tables import Table


def cell(cell: Cell) -> CellResult:
    time.sleep(float(os.environ.get("DEMO_PAUSE", "0")))
    return CellResult({"value": cell.seed / 2})


def section(context: SectionContext) -> Section:
    frame = sweep(
        cell,
        cells_of(range(4)),
        context.directory,
        executor=context.executor,
        progress=context.progress,
    )
    return Section("Halves", ["What halves are."], [Table(frame, "All")], notes=["exact"])


def empty(context: SectionContext) -> Section:
    return Section("Nothing", tables=[Table(pl.DataFrame({"seed": [context.seed]}))])


SECTIONS = {"halves": f"{__name__}:section", "empty": f"{__name__}:empty"}


def run_demo(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--workers", "1", *arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_one_page_and_the_tables_of_every_section(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    monkeypatch.setattr(demo, "SECTIONS", SECTIONS)
    assert run_demo() == 0
    out, err = capsys.readouterr()
    assert "Halves" in out
    assert "Nothing" in out
    assert err == ""
    (directory,) = (tmp_path / "runs").iterdir()
    page = (directory / "report.html").read_text()
    assert "What halves are." in page
    assert 'href="#s2"' in page
    assert run_demo("--json") == 0
    out, err = capsys.readouterr()
    assert "computed before" in err
    document = json.loads(out)
    assert document["report"] == str(directory / "report.html")
    assert document["tables"]["Halves"][0][3] == {"seed": 3, "value": 1.5}
    (marker,) = (directory / "halves").glob("s0-*.json")
    marker.write_text(marker.read_text().replace("0.0", "7.0"))
    assert run_demo("--fresh") == 0
    assert '"value": 0.0' in marker.read_text()


def test_a_section_whose_extra_is_missing_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(demo, "SECTIONS", SECTIONS)
    monkeypatch.setattr(demo, "NEEDS", {"empty": "nothing"})
    monkeypatch.setattr(extras, "EXTRAS", {"nothing": ("no_such_module",)})
    assert run_demo() == 0
    out, err = capsys.readouterr()
    assert "Halves" in out
    assert "Nothing" not in out
    assert err.splitlines() == [
        "section empty is left out: it needs the extra 'nothing'; pip install 'trine[nothing]'"
    ]


def test_ctrl_c_leaves_a_run_that_goes_on(tmp_path: Path):
    script = tmp_path / "interrupted.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from tests.cli import test_demo\n"
        "from trine.cli import demo\n"
        "from trine.cli.app import main\n"
        "demo.SECTIONS = {'halves': 'tests.cli.test_demo:section'}\n"
        "if __name__ == '__main__':\n"
        "    main(['demo', '--workers', '2'])\n"
    )
    command = [sys.executable, str(script)]
    environment = {**os.environ, "TRINE_RUNS": str(tmp_path / "runs"), "DEMO_PAUSE": "1"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for _ in range(600):
        if list((tmp_path / "runs").glob("*/halves/s*.json")):
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert "interrupted; everything finished so far is in" in err
    assert "run the same command again to go on" in err
    done = subprocess.run(
        command, env={**environment, "DEMO_PAUSE": "0"}, capture_output=True, text=True, check=True
    )
    assert "Halves" in done.stdout
