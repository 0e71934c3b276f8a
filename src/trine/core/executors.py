"""Where independent pieces of work run: here, or in other processes.

An executor has one method, so that a distributed engine can take its place. Work is a function
and items, both picklable; results come back in the order in which they are ready.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Protocol, TypeVar

from trine.core.errors import DataError, UsageError

__all__ = ["Executor", "ProcessExecutor", "SerialExecutor", "make_executor"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
)

_TURN = 0.2  # seconds


class Executor(Protocol):
    """Runs one function over many items."""

    def run(
        self, function: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[tuple[int, Result]]:
        """Yields `(index of the item, result)` as results become ready.

        The first error ends the iteration and is raised as it was; closing the iterator (also by
        Ctrl-C) ends all work that is under way.
        """
        ...


class SerialExecutor:
    """One item after another in this process."""

    def run(
        self, function: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[tuple[int, Result]]:
        """Yields `(index, result)` in the order of the items."""
        for index, item in enumerate(items):
            yield index, function(item)


class ProcessExecutor:
    """A pool of fresh Python processes on this machine.

    Processes are spawned, not forked: a fork of a process with threads (numba, polars) may lock up.
    Each worker computes on one thread, because the pool already uses all the cores it was given.
    Workers ignore Ctrl-C, which is this process's to handle, and end with this process even if it
    is killed.

    Args:
      workers: number of processes, from 1 upward.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise UsageError(f"{workers} workers", accepted="an integer from 1 upward")
        self.workers = workers

    def run(
        self, function: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[tuple[int, Result]]:
        """Yields `(index, result)` as they become ready.

        Raises:
          DataError: if a worker was killed from outside, most often because memory ran out.
        """
        if not items:
            return
        others = set(multiprocessing.active_children())
        pool = ProcessPoolExecutor(
            max_workers=min(self.workers, len(items)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_prepare_worker,
        )
        whole = False
        try:
            with _one_thread_for_children():  # which are started by the first submissions
                futures = {pool.submit(function, item): i for i, item in enumerate(items)}
            while futures:
                # Waiting in short turns, because a library with a signal handler of its own
                # (polars) lets an endless wait sleep through Ctrl-C.
                done, _ = wait(futures, timeout=_TURN, return_when=FIRST_COMPLETED)
                for future in done:
                    yield futures.pop(future), future.result()
            whole = True
        except BrokenProcessPool as error:
            raise DataError(
                f"one of {self.workers} worker processes was killed, perhaps for lack of memory",
                hint="run the same command again with fewer workers",
            ) from error
        finally:
            if not whole:
                for worker in set(multiprocessing.active_children()) - others:
                    worker.kill()  # a compiled loop answers to nothing milder
            pool.shutdown(wait=True, cancel_futures=True)


def make_executor(workers: int) -> Executor:
    """The serial executor for 1 worker, else a pool of processes; 0 means one for each core."""
    if workers == 0:  # containers grant fewer cores than the machine has; not every system tells
        granted = hasattr(os, "sched_getaffinity")
        workers = len(os.sched_getaffinity(0)) if granted else os.cpu_count() or 1
    return SerialExecutor() if workers == 1 else ProcessExecutor(workers)


@contextmanager
def _one_thread_for_children() -> Generator[None]:
    # A spawned process imports the main script again before anything of ours runs in it; if that
    # imports numpy, a variable that is set later comes too late.
    before = {variable: os.environ.get(variable) for variable in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for variable, value in before.items():
            if value is None:
                del os.environ[variable]
            else:
                os.environ[variable] = value


def _prepare_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A compiled loop keeps the interpreter to itself, so this may come to its turn after the cell.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
