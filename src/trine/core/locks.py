"""One process at a time works in a directory.

The lock is the operating system's (`flock`) on a file `.lock` there: it disappears with its process
however that ends, so what a killed process held never has to be unlocked by hand.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import IO

from trine.core.artifacts import writable
from trine.core.errors import UsageError

__all__ = ["LOCK", "is_locked", "take_lock"]

LOCK = ".lock"


def is_locked(directory: Path) -> bool:
    """Whether a living process works in a directory."""
    try:
        with (directory / LOCK).open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def take_lock(directory: Path) -> IO[str]:
    """Takes the lock of a directory; closing the file that is returned gives it back.

    Raises:
      UsageError: if another process works there.
      DataError: if the directory cannot be written.
    """
    with writable(directory):
        file = (directory / LOCK).open("a+")
    try:
        _lock(file)
    except BlockingIOError:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise UsageError(
            f"{directory} is in use by process {owner}",
            hint="wait for that command, or stop it",
        ) from None
    with writable(directory):
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
    return file


def _lock(file: IO[str], patience: int = 3) -> None:
    # `is_locked` of another process holds the lock for an instant: look again before giving up.
    for attempt in range(patience):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.fstat(file.fileno()).st_nlink:  # its last owner has just removed it
                raise BlockingIOError
            return
        except BlockingIOError:
            if attempt == patience - 1:
                raise
            time.sleep(0.05)
