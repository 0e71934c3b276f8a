"""How commands speak: results to stdout, talk to stderr, one JSON document on request."""

import json
import logging
import math
import os
import sys
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from trine.core.progress import Progress
    from trine.core.report import Section
    from trine.core.tables import Table

__all__ = [
    "Settings",
    "configure",
    "emit",
    "make_progress",
    "say",
    "say_table",
    "show_section",
    "talk",
]

_READER_GONE = 141
"""128 + SIGPIPE, as of other programs in a pipe."""

# Tables in a pipe are for grep and files, not for a window of 80 columns.
_PIPE_WIDTH = 240


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of `trine` itself.

    Attributes:
      quiet: no talk, only results and errors.
      verbose: also what the library logs.
      colour: False for never; None for a terminal only.
    """

    quiet: bool = False
    verbose: bool = False
    colour: bool | None = None


_settings: ContextVar[Settings] = ContextVar("settings", default=Settings())  # noqa: B039 (frozen)


def configure(settings: Settings) -> None:
    """Sets how the rest of this command speaks."""
    _settings.set(settings)
    logger = logging.getLogger("trine")
    logger.setLevel(logging.INFO)  # log.txt of a run wants it; the handler below decides for stderr
    for old in [h for h in logger.handlers if isinstance(h, _StderrHandler)]:
        logger.removeHandler(old)
    handler = _StderrHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.setLevel(
        logging.ERROR if settings.quiet else logging.INFO if settings.verbose else logging.WARNING
    )
    logger.addHandler(handler)


class _StderrHandler(logging.StreamHandler[Any]):
    def __init__(self) -> None:
        super().__init__(sys.stderr)


def _console(stderr: bool) -> "Console":
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(
        file=stream,
        no_color=_settings.get().colour is False or None,
        highlight=False,
        soft_wrap=not stream.isatty(),
        width=None if stream.isatty() else _PIPE_WIDTH,
    )


def talk() -> "Console":
    """The console on stderr."""
    return _console(stderr=True)


def say(message: str) -> None:
    """One line of talk on stderr; nothing with `--quiet`."""
    if not _settings.get().quiet:
        talk().print(message, markup=False)


def say_table(table: "Table") -> None:
    """A table as talk on stderr, beside a result on stdout; nothing with `--quiet`."""
    from trine.core.tables import to_terminal

    if not _settings.get().quiet:
        talk().print(to_terminal(table))


def make_progress() -> "Progress":
    """Bars if stderr is a terminal, a line now and then if it is a log; `--quiet`: nothing."""
    from trine.core.progress import LineProgress, RichProgress, SilentProgress

    if _settings.get().quiet:
        return SilentProgress()
    if not sys.stderr.isatty():
        return LineProgress(say)
    return RichProgress(talk())


def emit(result: object, *, as_json: bool, tables: "Iterable[Table]" = (), text: str = "") -> None:
    """Prints the result of a command on stdout.

    Args:
      result: what `--json` prints, as one document; NaN and infinities become null.
      as_json: whether `--json` was given.
      tables: otherwise, these.
      text: and this line below.
    """
    with _to_stdout():
        if as_json:
            sys.stdout.write(json.dumps(_plain(result), indent=2, allow_nan=False) + "\n")
            return
        for table in tables:
            show_table(table)
        if text:
            sys.stdout.write(text + "\n")


@contextmanager
def _to_stdout() -> Generator[None]:
    """Writes everything out at once; a reader that has gone, or a full disk, is no traceback.

    Raises:
      DataError: the result cannot be written.
      typer.Exit: nobody reads it any more, with the code of a program that SIGPIPE ended.
    """
    from trine.core.errors import DataError

    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        # Else Python would try again at the end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            import typer

            raise typer.Exit(_READER_GONE) from None
        raise DataError(f"cannot write the result: {error.strerror or error}") from error


def show_table(table: "Table") -> None:
    """Prints a table on stdout."""
    from trine.core.tables import to_terminal

    _console(stderr=False).print(to_terminal(table))


def show_section(section: "Section") -> None:
    """Prints a section's title, tables and notes on stdout; figures are for the report."""
    console = _console(stderr=False)
    console.print(f"\n[bold]{_escape(section.title)}[/bold]")
    for table in section.tables:
        show_table(table)
    for note in section.notes:
        console.print(f"  {note}", markup=False, style="dim")


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    if hasattr(value, "tolist"):  # numpy arrays and scalars, without importing numpy here
        return _plain(value.tolist())
    return str(value)  # paths, dates
