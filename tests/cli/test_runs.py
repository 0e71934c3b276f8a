import json
from pathlib import Path

import pytest

from tests.conftest import Command
from trine.core.config import Config
from trine.core.runs import Run, open_run


class Search(Config):
    depth: int = 3


class Solve(Config):
    game: str = "comm"
    search: Search = Search()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    with open_run(Solve(game="kuhn"), system="games", verb="solve", name="kuhn", seed=1) as run:
        (run.directory / "report.html").write_text("<!doctype html>")
        (run.checkpoints).mkdir()
        (run.checkpoints / "a.json").write_text("{}")
    return run


def test_list(trine: Command, run: Run):
    done = trine("runs", "list")
    assert done.returncode == 0
    assert run.directory.name in done.stdout
    assert "finished" in done.stdout
    (row,) = json.loads(trine("runs", "list", "--json").stdout)
    assert row["name"] == run.directory.name
    assert row["status"] == "finished"
    assert row["run_dir"] == str(run.directory)


def test_no_runs_is_an_empty_list(trine: Command):
    done = trine("runs", "list", "--json", "--runs", "elsewhere")
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, [], "")


def test_show(trine: Command, run: Run):
    done = trine("runs", "show", "latest")
    assert done.returncode == 0
    for text in ("config.game", "kuhn", "config.search.depth", "checkpoints/ (1)", "report.html"):
        assert text in done.stdout
    document = json.loads(trine("runs", "show", run.directory.name[-8:], "--json").stdout)
    assert document["config"] == {"game": "kuhn", "search": {"depth": 3}}
    assert document["files"] == [
        "checkpoints/a.json",
        "config.toml",
        "log.txt",
        "report.html",
        "run.json",
    ]


def test_open_prints_where_the_report_is(trine: Command, run: Run):
    done = trine("runs", "open", "latest")
    assert (done.returncode, done.stdout) == (0, f"{run.report}\n")
    assert json.loads(trine("runs", "open", "latest", "--json").stdout) == {
        "report": str(run.report),
        "opened": False,
    }
    run.report.unlink()
    done = trine("runs", "open", "latest")
    assert done.returncode == 3
    assert "has no report (status: finished); run its command again" in done.stderr


def test_an_unknown_run_is_one_line(trine: Command, run: Run):
    done = trine("runs", "show", "games-slove")
    assert done.returncode == 2
    assert f"did you mean '{run.directory.name}'" not in done.stderr  # too far to guess
    assert run.directory.name in done.stderr
    assert len(done.stderr.splitlines()) == 1
