"""One way to tell how far a computation is: bars on a terminal, a line now and then elsewhere.

with progress.task("solving", total=10) as task:
    for seed in range(10):
        ...
        task.advance(note="value 10.56")
"""

import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichBar
    from rich.progress import TaskID

__all__ = [
    "EventProgress",
    "LineProgress",
    "Progress",
    "ProgressEvent",
    "RichProgress",
    "SilentProgress",
    "Task",
]


class Task(Protocol):
    """One thing that is under way."""

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Tells that `amount` more units are done, with a word on the newest result."""
        ...


class Progress(Protocol):
    """What a long computation needs to show how far it is."""

    def task(self, description: str, total: float | None = None) -> AbstractContextManager[Task]:
        """Begins something of `total` units (None: unknown); leaving the block ends it."""
        ...


class SilentProgress:
    """Shows nothing."""

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Does nothing."""

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Generator[Task]:
        """A task that shows nothing."""
        yield self


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """A change of a task: `done` of `total` units (None: unknown), and whether it has ended."""

    description: str
    done: float
    total: float | None
    note: str = ""
    ended: bool = False


class EventProgress:
    """Hands every change to a function, e.g. one that feeds a web page or a log."""

    def __init__(self, receive: Callable[[ProgressEvent], object]) -> None:
        self._receive = receive

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Generator[Task]:
        """A task whose changes are events."""
        task = _EventTask(self._receive, description, total)
        task.advance(0)
        try:
            yield task
        finally:
            self._receive(ProgressEvent(description, task.done, total, ended=True))


class _EventTask:
    def __init__(
        self, receive: Callable[[ProgressEvent], object], description: str, total: float | None
    ) -> None:
        self._receive = receive
        self._description = description
        self._total = total
        self.done = 0.0

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.done += amount
        self._receive(ProgressEvent(self._description, self.done, self._total, note))


class LineProgress:
    """A line now and then, for logs and pipes: a short computation says nothing.

    Args:
      say: prints one line.
      seconds: between two lines, and before the first.
      clock: seconds that have passed.
    """

    def __init__(
        self,
        say: Callable[[str], object],
        seconds: float = 20.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._seconds = seconds
        self._clock = clock
        self._last = clock()

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Generator[Task]:
        """A task that is told of when there is time for a line."""
        yield _EventTask(self._tell, description, total)

    def _tell(self, event: ProgressEvent) -> None:
        now = self._clock()
        if now - self._last < self._seconds:
            return
        self._last = now
        of = "" if event.total is None else f" of {event.total:,.10g}"
        note = f" ({event.note})" if event.note else ""
        self._say(f"{event.description}: {event.done:,.10g}{of}{note}")


class RichProgress:
    """Bars on a terminal; nested tasks are shown one below the other, ended ones stay visible."""

    def __init__(self, console: "Console") -> None:
        self._console = console
        self._bar: RichBar | None = None
        self._depth = 0

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Generator[Task]:
        """A bar."""
        bar = self._start()
        identity = bar.add_task(description, total=total, note="")
        try:
            yield _RichTask(bar, identity)
            if total is None:
                bar.update(identity, total=1, completed=1)
        finally:
            bar.stop_task(identity)
            self._stop()

    def _start(self) -> "RichBar":
        from rich import progress as parts

        if self._bar is None:
            self._bar = parts.Progress(
                parts.TextColumn("{task.description}"),
                parts.BarColumn(bar_width=24),
                parts.MofNCompleteColumn(),
                parts.TimeElapsedColumn(),
                parts.TextColumn("{task.fields[note]}", style="dim"),
                console=self._console,
            )
            self._bar.start()
        self._depth += 1
        return self._bar

    def _stop(self) -> None:
        self._depth -= 1
        if self._depth == 0 and self._bar is not None:
            self._bar.stop()
            self._bar = None


class _RichTask:
    def __init__(self, bar: "RichBar", identity: "TaskID") -> None:
        self._bar = bar
        self._identity = identity

    def advance(self, amount: float = 1, note: str = "") -> None:
        if note:
            self._bar.update(self._identity, advance=amount, note=note)
        else:
            self._bar.update(self._identity, advance=amount)
