"""The tree of errors that are the user's to mend, and the exit codes of the command line.

    UserError               2
      ConfigError           2   a configuration value, key or file
      UsageError            2   a name, size or combination of options
      DataError             3   a file that is missing, broken, of another kind, or not writable
      MissingExtra          3   an optional feature that is not installed
      CheckFailed           1   the check that was asked for did not hold
      Interrupted         130   stopped by the user; says how to go on

Every message is one line in three parts: what was given, what is accepted, what to do next.
Anything else that is raised is our mistake and keeps its traceback.
"""

import difflib
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import ClassVar, Self

__all__ = [
    "CheckFailed",
    "ConfigError",
    "DataError",
    "ExitCode",
    "Interrupted",
    "MissingExtra",
    "UsageError",
    "UserError",
    "nearest",
    "one_line",
]


_MOST_NAMES = 40
"""Longer lists are counted instead of printed: nobody reads a hundred names in an error."""


class ExitCode(IntEnum):
    """What the process says to its caller."""

    DONE = 0
    CHECK_FAILED = 1
    USAGE = 2
    MISSING = 3
    INTERRUPTED = 130


def nearest(given: str, accepted: Iterable[str], limit: int = 3) -> list[str]:
    """Accepted names that look like the given one, best first; those much less alike are left out.

    Alike is `difflib`'s ratio: at least 0.6, and at most 0.1 below the best.
    """
    matcher = difflib.SequenceMatcher(b=given.lower(), autojunk=False)
    scores: list[tuple[float, str]] = []
    for name in accepted:
        matcher.set_seq1(name.lower())
        scores.append((matcher.ratio(), name))
    best = max((score for score, _ in scores), default=0.0)
    near = [pair for pair in scores if pair[0] >= max(0.6, best - 0.1)]
    return [name for _, name in sorted(near, key=lambda pair: -pair[0])][:limit]


def one_line(given: str, accepted: str = "", hint: str = "") -> str:
    """Joins the three parts of a message with semicolons, all white space made single spaces."""
    parts = [given, f"accepted: {accepted}" if accepted else "", hint]
    return "; ".join(" ".join(part.split()) for part in parts if part.strip())


class UserError(Exception):
    """A mistake the user can mend; the command line prints it as one line, without traceback.

    Args:
      given: what was given and what is wrong with it.
      accepted: what would be accepted; printed after "accepted:".
      hint: what to do next.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.USAGE

    def __init__(self, given: str, *, accepted: str = "", hint: str = "") -> None:
        # Only the finished message goes to Exception, so that pickling through a pool keeps it.
        super().__init__(one_line(given, accepted, hint))

    @classmethod
    def unknown(cls, kind: str, given: str, accepted: Sequence[str], *, hint: str = "") -> Self:
        """The error for a name that is not in a list of names, with the nearest ones suggested."""
        near = nearest(given, accepted)
        guess = f"did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
        names = ", ".join(accepted) if accepted else "none yet"
        if len(accepted) > _MOST_NAMES:
            names = f"one of {len(accepted)} names"
        return cls(
            f"unknown {kind} {given!r}",
            accepted=names,
            hint="; ".join(part for part in (guess, hint) if part),
        )


class ConfigError(UserError):
    """A configuration file, key or value that cannot be used."""


class UsageError(UserError):
    """A name, a size or a combination of options that cannot be used."""


class DataError(UserError):
    """A file that is missing, broken, of another kind, or cannot be written."""

    exit_code = ExitCode.MISSING


class MissingExtra(UserError):
    """An optional feature that is not installed; see `trine.core.extras.require`."""

    exit_code = ExitCode.MISSING


class CheckFailed(UserError):
    """The check that the user asked for did not hold."""

    exit_code = ExitCode.CHECK_FAILED


class Interrupted(UserError):
    """Stopped by the user with everything finished so far kept; the message says how to go on."""

    exit_code = ExitCode.INTERRUPTED
