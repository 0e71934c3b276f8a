import errno
import json
import logging
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from trine.core import artifacts
from trine.core.artifacts import read_json, read_toml, write_json
from trine.core.config import Config
from trine.core.errors import ConfigError, DataError, Interrupted, UsageError
from trine.core.records import read_metrics
from trine.core.runs import (
    Run,
    find_run,
    list_runs,
    load_run,
    open_run,
    remove_run,
    runs_root,
)


class Solve(Config):
    game: str = "comm"
    size: int = 3


def start(size: int = 3, **options: object) -> Run:
    name = f"Comm {size}"
    return open_run(Solve(size=size), system="games", verb="solve", name=name, **options)  # pyright: ignore[reportArgumentType] (options are passed on)


def test_a_run_directory_is_plain_and_complete(tmp_path: Path):
    run = start(4, seed=7)
    assert run.directory.parent == tmp_path / "runs" == runs_root()
    assert run.directory.name.startswith("games-solve-comm-4-")
    assert run.status == "new"
    assert read_toml(run.directory / "config.toml") == {"game": "comm", "size": 4}
    with run:
        assert run.status == "running"
        assert load_run(run.directory).status == "running"
        logging.getLogger("trine.somewhere").info("solving")
        with run.metrics() as metrics:
            metrics.write(step=1, value=0.5)
    assert run.is_finished
    record = read_json(run.directory / "run.json")
    assert record["status"] == "finished"
    assert record["seed"] == 7
    assert record["attempts"] == 1
    installed = {"torch"} if find_spec("torch") else set()
    assert set(record["libraries"]) == {"numpy", "scipy", "numba", "polars"} | installed
    assert read_metrics(run.metrics_path)["value"].to_list() == [0.5]
    assert run.seeds.seed == 7


def test_what_is_logged_is_in_the_log(monkeypatch: pytest.MonkeyPatch):
    logger = logging.getLogger("trine")
    monkeypatch.setattr(logger, "level", logging.INFO)
    with start() as run:
        logging.getLogger("trine.games.jps").info("one step")
    assert "INFO trine.games.jps one step" in (run.directory / "log.txt").read_text()
    assert not any(isinstance(handler, logging.FileHandler) for handler in logger.handlers)


def test_the_same_configuration_finds_its_run_again():
    with start() as run:
        pass
    again = start()
    assert again.directory == run.directory
    assert again.is_finished
    assert not start(4).is_finished


def test_stages_are_done_once():
    calls: list[int] = []

    def compute() -> dict[str, int]:
        calls.append(1)
        return {"value": 3}

    run = start()
    for _ in range(2):
        stored = run.stage(Path("checkpoints/a.json"), compute, write_json, read_json)
        assert stored == {"value": 3}
    assert len(calls) == 1
    assert (run.checkpoints / "a.json").is_file()


def test_a_directory_of_another_configuration_is_refused(tmp_path: Path):
    place = tmp_path / "mine"
    start(3, directory=place)
    assert start(3, directory=place).directory == place
    with pytest.raises(ConfigError) as caught:
        start(4, directory=place)
    assert f"{place} belongs to another run" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert read_toml(place / "config.toml")["size"] == 3


def test_a_directory_that_is_no_run_is_refused_and_left_alone(tmp_path: Path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("cat")
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "photos", tmp_path / "file"):
        with pytest.raises(DataError, match="exists and is not a run directory"):
            start(directory=place)
    assert [entry.name for entry in (tmp_path / "photos").iterdir()] == ["cat.jpg"]


def test_a_run_killed_before_its_first_record_starts_anew(tmp_path: Path):
    place = tmp_path / "mine"
    place.mkdir()
    (place / "config.toml").write_text("")
    (place / ".run.12ab.tmp.json").write_text("{")
    with start(directory=place) as run:
        pass
    assert run.is_finished
    assert not list(place.glob(".*tmp*"))


def test_an_error_marks_the_run_failed_and_passes_through():
    run = start()
    with pytest.raises(ZeroDivisionError), run:
        raise ZeroDivisionError
    assert load_run(run.directory).status == "failed"


def test_ctrl_c_marks_the_run_interrupted_and_says_how_to_go_on():
    run = start()
    with pytest.raises(Interrupted) as caught, run:
        raise KeyboardInterrupt
    assert "run the same command again to go on" in str(caught.value)
    assert str(run.directory) in str(caught.value)
    assert load_run(run.directory).status == "interrupted"
    with start() as again:
        pass
    assert again.info.attempts == 2


def test_two_processes_cannot_work_in_one_run():
    with start() as run:
        with pytest.raises(UsageError, match=f"in use by process {os.getpid()}"):
            start().__enter__()
        with pytest.raises(UsageError, match="in use"):
            remove_run(start())
    with start():
        pass
    remove_run(start())
    assert not run.directory.exists()


def test_a_full_disk_is_one_line_and_leaves_a_run_that_goes_on(monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DataError, match="No space left on device"):
            start()
    run = start()
    with pytest.raises(DataError, match="No space left on device"):
        with run, monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            artifacts.write_json(run.checkpoints / "a.json", {})
    assert list(run.checkpoints.iterdir()) == []
    with start() as again:
        pass
    assert again.is_finished


def test_runs_are_listed_newest_first_and_broken_ones_are_passed_over(
    caplog: pytest.LogCaptureFixture,
):
    assert list_runs() == []
    runs = [start(size) for size in (3, 4)]
    stamps = ("2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00")
    for run, stamp in zip(runs, stamps, strict=True):
        record = json.loads((run.directory / "run.json").read_text())
        write_json(run.directory / "run.json", {**record, "updated": stamp})
    broken = runs_root() / "broken"
    broken.mkdir()
    (broken / "run.json").write_text("{}")
    assert [run.directory for run in list_runs()] == [run.directory for run in reversed(runs)]
    assert "is not a run record" in caplog.text


def test_a_run_is_found_by_any_clear_name():
    runs = [start(size) for size in (3, 4)]
    name = runs[0].directory.name
    for given in (name, name[-8:], "games-solve-comm-3", str(runs[0].directory)):
        assert find_run(given).directory == runs[0].directory
    assert find_run("latest").directory in [run.directory for run in runs]
    with pytest.raises(UsageError, match="2 runs are called 'games'"):
        find_run("games")
    with pytest.raises(UsageError, match="unknown run 'zzz'"):
        find_run("zzz")


SCRIPT = """
import sys, time
from importlib.util import find_spec
from pathlib import Path
from trine.core.config import Config
from trine.core.executors import make_executor
from trine.core.runs import open_run
from trine.core.sweep import CellResult, cells_of, sweep
from trine.core.tables import Table, save_table


def compute(cell):
    time.sleep({pause})
    return CellResult({{"value": cell.seeds.generator("v").random()}})


class Solve(Config):
    size: int = 3


if __name__ == "__main__":
    run = open_run(Solve(), system="games", verb="solve", root=Path(sys.argv[1]))
    with run:
        executor = make_executor({workers})
        frame = sweep(compute, cells_of(range(6)), run.checkpoints, executor=executor)
        save_table(Table(frame), run.tables, "values")
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_goes_on_and_ends_like_one_that_was_not(tmp_path: Path, workers: int):
    slow, fast = tmp_path / "slow.py", tmp_path / "fast.py"
    slow.write_text(SCRIPT.format(pause=0.4, workers=workers))
    fast.write_text(SCRIPT.format(pause=0, workers=workers))
    subprocess.run([sys.executable, str(fast), str(tmp_path / "whole")], check=True)
    process = subprocess.Popen([sys.executable, str(slow), str(tmp_path / "killed")])
    for _ in range(600):
        if len(list((tmp_path / "killed").glob("*/checkpoints/*.json"))) >= 2:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (killed,) = list_runs(tmp_path / "killed")
    assert killed.info.status == "running"  # nobody was left to write anything else
    assert killed.status == "interrupted"
    assert not (killed.tables / "values.csv").exists()
    for cell in killed.checkpoints.glob("[!.]*.json"):
        read_json(cell)  # each one that is there is whole
    subprocess.run([sys.executable, str(fast), str(tmp_path / "killed")], check=True)
    (finished,), (whole,) = list_runs(tmp_path / "killed"), list_runs(tmp_path / "whole")
    assert finished.status == "finished"
    assert finished.info.attempts == 2
    assert (finished.tables / "values.csv").read_text() == (whole.tables / "values.csv").read_text()
    assert not list(finished.directory.rglob(".*.tmp*"))


def test_what_a_killed_process_half_wrote_goes_files_and_folders():
    run = start()
    half = run.directory / "parts" / ".model.1234.tmp"
    half.mkdir(parents=True)
    (half / ".inner.5678.tmp.json").write_text("{")
    (run.directory / ".rows.9abc.tmp.csv").write_text("a,")
    with run:
        assert sorted(p.name for p in run.directory.rglob(".*.tmp*")) == []
