"""Shared by all tests: settings that make the suite the same everywhere."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# One thread a process, before torch and numpy start theirs: the suite's two workers fill two cores,
# and threads that wait for a core which another process has make small matrices very slow.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No deadline: a shared machine may be slow, and a slow example is not a wrong one.
settings.register_profile(
    "trine", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("trine")

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def _own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # No test may write into the working copy.
    monkeypatch.setenv("TRINE_RUNS", str(tmp_path / "runs"))


@pytest.fixture
def trine(tmp_path: Path) -> Command:
    """Runs the real command line in a process of its own, in a temporary directory."""

    def run(*arguments: str, timeout: float = 120) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "PYTHONWARNINGS": "error"}
        return subprocess.run(
            [sys.executable, "-m", "trine.cli.app", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )

    return run
