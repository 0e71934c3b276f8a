"""`trine dynamics` end to end: results on stdout, one line on stderr, exit codes, files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `dynamics` (PyTorch)")

from tests.conftest import Command
from tests.dynamics.small_runs import small_options
from trine.cli import dynamics
from trine.cli.app import main
from trine.core import extras
from trine.core.artifacts import read_arrays, write_arrays
from trine.dynamics import reproduce as reproduce_module
from trine.dynamics.experiments import Entry

HEAVY = ("numpy", "torch", "polars", "scipy", "matplotlib", "safetensors")
VERBS = ("run", "reproduce", "sweep", "audit-bn")
SMALL = (*small_options(), "--workers", "1")


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command in this process, in a temporary directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRINE_DATA", raising=False)

    def call(*arguments: str) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main(["dynamics", *arguments])
        out, err = capsys.readouterr()
        return Done(int(cast("int", caught.value.code)), out, err)

    return call


def check_mistake(done: Done, code: int, *parts: str) -> None:
    """One line, the exit code, nothing on stdout."""
    assert done.code == code, done.err
    assert done.out == ""
    assert len(done.err.splitlines()) == 1, done.err
    assert done.err.startswith("trine: ")
    assert "Traceback" not in done.err
    for part in parts:
        assert part in done.err, done.err


# ---- help ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], *([verb, "--help"] for verb in VERBS)])
def test_help_imports_nothing_heavy_and_shows_an_example(arguments: list[str]):
    # What is not imported keeps --help under half a second; a clock would fail on a busy machine.
    script = (
        "import sys\n"
        "from trine.cli.app import main\n"
        "try:\n"
        f"    main({['dynamics', *arguments]!r})\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0, end.code\n"
        f"found = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not found, found\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.startswith("Usage: trine dynamics")
    if len(arguments) > 1:
        assert f"Example: trine dynamics {arguments[0]}" in done.stdout
        assert "--json" in done.stdout


def test_without_torch_the_line_that_installs_it(run: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(extras, "EXTRAS", {"dynamics": ("no_such_module",)})
    for arguments in (["run"], ["reproduce", "F1"], ["sweep", "x.toml"]):
        check_mistake(run(*arguments), 3, "extra 'dynamics'", "pip install 'trine[dynamics]'")


# ---- run ----------------------------------------------------------------------------------------


def test_run_in_a_process_of_its_own(trine: Command, tmp_path: Path):
    done = trine("dynamics", "run", "deep", "--json", *small_options(), "--workers", "2")
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert [row["layer"] for row in result["layers"]] == [0, 1]
    assert [one["seed"] for one in result["per_seed"]] == [0, 1]
    for layers in (result["layers"], *(one["layers"] for one in result["per_seed"])):
        for row in layers:
            assert {
                "layer", "mean_best_correlation", "mean_best_correlation_alive",
                "dead_teacher_nodes", "initial_rank_mean", "initial_rank_chance", "initial_rank_p",
            } <= set(row)  # fmt: skip
            assert 0 <= row["mean_best_correlation"] <= row["mean_best_correlation_alive"] <= 1
            assert 0 < row["initial_rank_p"] <= 1
    directory = Path(tmp_path / result["run_dir"])
    for name in ("report.html", "animation.html", "config.toml", "run.json", "metrics.jsonl"):
        assert (directory / name).stat().st_size > 0
    record = json.loads((directory / "run.json").read_text())
    assert record["status"] == "finished"
    assert "torch" in record["libraries"]


def test_run_prints_a_table_and_recognises_a_finished_run(run: Any):
    first = run("run", *SMALL)
    assert first.code == 0
    assert "Teacher 3-4, student 6-8, 2 seeds" in first.out
    assert "report: " in first.out
    assert "animation: " in first.out
    again = run("run", *SMALL, "--json")
    assert "computed before" in again.err
    assert again.document["student"] == "6-8"


def test_run_of_two_layers_has_its_own_defaults(run: Any):
    done = run(
        "run", "two-layer", "--teacher", "3", "--over", "2", "--inputs", "5", "--outputs", "4",
        "--seeds", "1", "--epochs", "1", "--samples", "64", "--set", "data.evaluation=100",
        "--set", "data.steps_per_epoch=4", "--json", "--workers", "1",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert (done.document["first_seed"], done.document["steps"]) == (1, 4)


def test_a_dry_run_computes_nothing(run: Any, tmp_path: Path):
    done = run("run", "deep", "--over", "10", "--seeds", "8", "--dry-run", "--json")
    facts = done.document
    assert (facts["student widths"], facts["steps a student"]) == ("100-150-200-250", 62_480)
    assert facts["descent.rate"] == 0.05
    assert not (tmp_path / "runs").exists()
    assert "100-150-200-250" in run("run", "--dry-run").out


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["deeep"], ("unknown set-up 'deeep'", "did you mean 'deep'")),
        (["--teacher", "10-x"], ("teacher = '10-x' (--teacher)", "e.g. 10-15-20-25")),
        (["--over", "0.5"], ("the student would be narrower than the teacher",)),
        (["--student", "9-15-20-25"], ("student width 9 is narrower than the teacher's 10",)),
        (["--student", "10-15"], ("hidden layers: teacher 4, student 2",)),
        (["--student", "10-15-20-25", "--over", "1"], ("both student and over are given",)),
        (["--outputs", "0"], ("outputs = 0 (--outputs)", "greater than or equal to 1")),
        (["--rate", "-1"], ("descent.rate = -1",)),
        (["--batch", "9", "--samples", "8"], ("descent.batch 9 of data.samples 8",)),
        (["--loss", "l1"], ("descent.loss = 'l1'", "'mean', 'half_sum' or 'cross_entropy'")),
        (["--batch-norm", "x"], ("network.batch_norm = 'x'",)),
        (["--set", "data.stdd=1"], ("unknown key 'data.stdd'", "did you mean 'data.std'")),
        (["--samples", "1000000000"], ("GiB of data", "memory_limit_gib")),
        (["--teacher", "300", "--inputs", "2"], ("the teacher's grid has too few directions",)),
    ],
)
def test_mistakes_of_run_are_one_clear_line(run: Any, arguments: list[str], parts: tuple[str, ...]):
    check_mistake(run("run", *arguments, "--workers", "1", "--seeds", "1"), 2, *parts)


def test_a_gpu_that_is_not_there(run: Any, monkeypatch: pytest.MonkeyPatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    check_mistake(run("run", *SMALL, "--device", "cuda"), 2, "no GPU is to be seen")


def test_a_loss_that_is_not_finite(run: Any):
    done = run("run", *SMALL, "--rate", "1000")
    check_mistake(
        done, 2, "the loss of seed 0 is not finite at step ", "try a learning rate of 2.5e+02"
    )
    listed = subprocess.run(
        [sys.executable, "-m", "trine.cli.app", "runs", "list", "--json"],
        capture_output=True, text=True, check=True, env=dict(os.environ),
    )  # fmt: skip
    assert [row["status"] for row in json.loads(listed.stdout)] == ["failed"]


def test_a_killed_run_goes_on_and_ends_as_if_it_had_never_stopped(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # Pictures are another test's.
    monkeypatch.setattr("trine.dynamics.run_report.write_run_report", lambda *a: None)
    options = [
        *small_options(epochs=20, seeds=1, data={"samples": 4096, "evaluation": 100, "std": 3.0}),
        "--workers",
        "1",
    ]
    command = [sys.executable, "-m", "trine.cli.app", "dynamics", "run", *options]
    process = subprocess.Popen(
        [*command, "--runs", "killed"], cwd=tmp_path, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not list((tmp_path / "killed").rglob("state.safetensors")):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    (record,) = (tmp_path / "killed").glob("*/run.json")
    assert json.loads(record.read_text())["status"] == "running"  # nobody could write another
    killed = run("run", *options, "--runs", "killed", "--json")
    whole = run("run", *options, "--runs", "whole", "--json")
    assert (killed.code, whole.code) == (0, 0)
    for key in ("layers", "per_seed", "evaluation_loss_mean"):
        assert killed.document[key] == whole.document[key]
    for file in (tmp_path / "whole").rglob("snapshots/*.safetensors"):
        ours = read_arrays(file)
        theirs = read_arrays(tmp_path / "killed" / file.relative_to(tmp_path / "whole"))
        assert all(np.array_equal(ours[n], theirs[n], equal_nan=True) for n in ours), file.name


# ---- reproduce ----------------------------------------------------------------------------------


def test_reproduce_reports_what_lacks_data_and_goes_on(run: Any, monkeypatch: pytest.MonkeyPatch):
    entries = {
        name: Entry(f"tests.dynamics.test_reproduce:{function}", f"About {name}")
        for name, function in (("F1", "holds"), ("F3", "lacks_data"))
    }
    monkeypatch.setattr(reproduce_module, "EXPERIMENTS", entries)
    done = run("reproduce", "all", "--workers", "1", "--json")
    assert done.code == 0, done.err
    document = done.document
    assert document["scale"] == "quick"
    assert document["seconds"] >= 0
    assert [f["verdict"] for f in document["findings"]] == ["holds", "not tested"]
    assert document["findings"][0]["tables"]["Values"] == [{"value": 0.5}]
    assert Path(document["report"]).is_file()
    assert "F3 About F3: not tested" in done.err
    table = run("reproduce", "f1", "--workers", "1")
    assert "s in all; report: " in table.out


def test_mistakes_of_reproduce(run: Any):
    check_mistake(run("reproduce", "F99"), 2, "unknown experiment 'F99'", "F12, T1, T2, all")
    check_mistake(run("reproduce", "--scale", "huge"), 2, "unknown scale 'huge'", "demo, quick")
    check_mistake(
        run("reproduce", "F3", "--data", "nowhere"), 3, "no directory nowhere", "cifar10/"
    )


def test_the_data_directory_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TRINE_DATA", raising=False)
    assert dynamics.data_directory(None) is None
    monkeypatch.setenv("TRINE_DATA", "/somewhere")
    assert dynamics.data_directory(None) == Path("/somewhere")
    assert dynamics.data_directory(Path("elsewhere")) == Path("elsewhere")


# ---- sweep --------------------------------------------------------------------------------------

GRID = """
setup = "two-layer"
seeds = 2
[base]
teacher = "3"
inputs = 5
outputs = 4
epochs = 1
data.samples = 64
data.evaluation = 100
data.steps_per_epoch = 4
[axes]
over = [1, 2]
"""


def test_sweep(run: Any, tmp_path: Path):
    (tmp_path / "grid.toml").write_text(GRID)
    sizes = run("sweep", "grid.toml", "--dry-run", "--json").document
    assert (sizes["configurations"], sizes["networks"]) == (2, 4)
    assert not (tmp_path / "runs").exists()
    done = run("sweep", "grid.toml", "--workers", "1", "--json")
    assert done.code == 0, done.err
    document = done.document
    assert len(document["rows"]) == 2
    assert Path(document["report"]).is_file()
    again = run("sweep", "grid.toml", "--workers", "1")
    assert "computed before" in again.err
    assert "report: " in again.out


def test_mistakes_of_sweep(run: Any, tmp_path: Path):
    check_mistake(run("sweep", "nowhere.toml"), 3, "no file nowhere.toml")
    (tmp_path / "grid.toml").write_text(GRID.replace("over =", "ovr ="))
    check_mistake(run("sweep", "grid.toml"), 2, "ovr")


# ---- audit-bn -----------------------------------------------------------------------------------


def test_audit_of_the_arrays_that_come_with_trine(run: Any):
    done = run("audit-bn", "shipped", "--json")
    assert done.code == 0, done.err
    rows = done.document
    assert all({"name", "layer", "channels", "negative_fraction"} <= set(row) for row in rows)
    for name in {row["name"] for row in rows}:
        own = [row for row in rows if row["name"] == name]
        pooled = next(row for row in own if row["layer"] == "pooled" and row["role"] == "all")
        layers = [row for row in own if row["layer"] != "pooled"]
        assert pooled["channels"] == sum(row["channels"] for row in layers)
        share = sum(row["negative"] for row in layers) / pooled["channels"]
        assert pooled["negative_fraction"] == pytest.approx(share)
    table = run("audit-bn", "shipped")
    assert "report: " in table.out


def test_mistakes_of_audit_bn(run: Any, tmp_path: Path):
    check_mistake(run("audit-bn"), 2, "nothing to audit")
    check_mistake(run("audit-bn", "nowhere.pt"), 3, "nowhere.pt")
    write_arrays(tmp_path / "plain.safetensors", {"layer.weight": np.zeros((2, 2), np.float32)})
    check_mistake(run("audit-bn", "plain.safetensors"), 3, "BatchNorm")
