import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from trine.core.errors import DataError, UsageError
from trine.core.executors import ProcessExecutor, SerialExecutor, make_executor


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    if number == 2:
        raise UsageError("size 2", accepted="3 to 8")
    return number


def vanish(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def environment(_: int) -> tuple[str, int]:
    return os.environ["NUMBA_NUM_THREADS"], os.getpid()


def first_environment(_: int) -> bytes:
    # What the process was born with, before any Python of ours.
    return Path("/proc/self/environ").read_bytes()


def linger(directory: Path) -> None:
    (directory / str(os.getpid())).touch()
    time.sleep(60)


@pytest.mark.parametrize("executor", [SerialExecutor(), ProcessExecutor(2)])
def test_every_item_is_computed_once(executor: SerialExecutor | ProcessExecutor):
    results = dict(executor.run(square, range(5)))
    assert results == {0: 0, 1: 1, 2: 4, 3: 9, 4: 16}
    assert dict(executor.run(square, [])) == {}


@pytest.mark.parametrize("executor", [SerialExecutor(), ProcessExecutor(2)])
def test_a_user_error_comes_back_as_itself(executor: SerialExecutor | ProcessExecutor):
    with pytest.raises(UsageError, match="size 2; accepted: 3 to 8"):
        dict(executor.run(refuse, range(4)))


def test_workers_compute_on_one_thread_in_other_processes():
    threads, process = dict(ProcessExecutor(1).run(environment, [0]))[0]
    assert threads == "1"
    assert process != os.getpid()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux's /proc")
def test_workers_have_one_thread_before_they_import_anything(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    born = dict(ProcessExecutor(1).run(first_environment, [0]))[0]
    assert b"OPENBLAS_NUM_THREADS=1" in born.split(b"\0")
    assert b"OMP_NUM_THREADS=1" in born.split(b"\0")
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "OPENBLAS_NUM_THREADS" not in os.environ


def test_a_killed_worker_is_one_line():
    with pytest.raises(DataError, match=r"was killed.*fewer workers"):
        dict(ProcessExecutor(1).run(vanish, [1]))


def test_numbers_of_workers():
    assert isinstance(make_executor(1), SerialExecutor)
    many = make_executor(3)
    assert isinstance(many, ProcessExecutor)
    assert many.workers == 3
    make_executor(0)
    with pytest.raises(UsageError, match="-1 workers"):
        make_executor(-1)


def started(directory: Path, count: int) -> list[int]:
    for _ in range(600):
        pids = [int(entry.name) for entry in directory.iterdir()]
        if len(pids) == count:
            return pids
        time.sleep(0.1)
    raise AssertionError("the workers did not start")


def gone(pid: int) -> bool:
    for _ in range(300):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        status = Path(f"/proc/{pid}/stat")
        if status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z":
            return True  # dead; only its parent has not asked for it yet
        time.sleep(0.1)
    return False


def test_closing_the_iterator_ends_the_workers(tmp_path: Path):
    iterator = ProcessExecutor(2).run(linger, [tmp_path, tmp_path])
    with closing(iterator):  # pyright: ignore[reportArgumentType] (a generator has close)
        pids: list[int] = []

        def interrupt() -> None:
            pids.extend(started(tmp_path, 2))
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            next(iterator)
    assert all(gone(pid) for pid in pids)


def test_workers_end_when_their_parent_is_killed(tmp_path: Path):
    here = Path(__file__)
    script = (
        f"import sys; sys.path.insert(0, {str(here.parent)!r})\n"
        "from pathlib import Path\n"
        f"from {here.stem} import linger\n"
        "from trine.core.executors import ProcessExecutor\n"
        "if __name__ == '__main__':\n"
        f"    path = Path({str(tmp_path)!r})\n"
        "    list(ProcessExecutor(2).run(linger, [path, path]))\n"
    )
    file = tmp_path.parent / f"{tmp_path.name}.py"
    file.write_text(script)
    parent = subprocess.Popen([sys.executable, str(file)], stderr=subprocess.DEVNULL)
    try:
        pids = started(tmp_path, 2)
    finally:
        parent.kill()
        parent.wait()
    assert all(gone(pid) for pid in pids)
