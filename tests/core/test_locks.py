import os
from pathlib import Path

import pytest

from trine.core import locks
from trine.core.errors import DataError, UsageError
from trine.core.locks import LOCK, is_locked, take_lock


def test_a_lock_is_had_once_and_given_back(tmp_path: Path):
    assert not is_locked(tmp_path)
    with take_lock(tmp_path):
        assert is_locked(tmp_path)
        with pytest.raises(UsageError, match=f"in use by process {os.getpid()}; wait for that"):
            take_lock(tmp_path)
    assert not is_locked(tmp_path)
    take_lock(tmp_path).close()


def test_a_lock_that_its_owner_removed_in_this_instant_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def removed(*_: object) -> None:
        (tmp_path / LOCK).unlink(missing_ok=True)

    with monkeypatch.context() as patched:
        patched.setattr(locks.fcntl, "flock", removed)
        with pytest.raises(UsageError, match="in use"):
            take_lock(tmp_path)
    take_lock(tmp_path).close()


def test_a_directory_that_is_not_there_cannot_be_locked(tmp_path: Path):
    with pytest.raises(DataError, match="cannot write"):
        take_lock(tmp_path / "none")
