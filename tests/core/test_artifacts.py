import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from trine.core import artifacts
from trine.core.errors import DataError


@given(st.binary())
def test_bytes_round_trip(tmp_path_factory: pytest.TempPathFactory, data: bytes):
    path = tmp_path_factory.mktemp("bytes") / "deep" / "file.bin"
    assert artifacts.write_bytes(path, data).read_bytes() == data
    assert [entry.name for entry in path.parent.iterdir()] == ["file.bin"]


@given(arrays.arrays(np.float64, arrays.array_shapes(min_dims=0, min_side=0)))
def test_arrays_round_trip(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray):
    path = tmp_path_factory.mktemp("arrays") / "policy.safetensors"
    artifacts.write_arrays(path, {"p": array, "t": array.T}, {"game": "kuhn"})
    loaded = artifacts.read_arrays(path)
    np.testing.assert_array_equal(loaded["p"], array)
    np.testing.assert_array_equal(loaded["t"], array.T)
    assert loaded["p"].shape == array.shape
    assert artifacts.read_metadata(path) == {"game": "kuhn"}


def test_json_takes_numpy_and_paths_and_refuses_nan(tmp_path: Path):
    value = {"a": np.float64(1.5), "b": np.arange(2), "c": tmp_path}
    artifacts.write_json(tmp_path / "a.json", value)
    assert artifacts.read_json(tmp_path / "a.json") == {"a": 1.5, "b": [0, 1], "c": str(tmp_path)}
    with pytest.raises(ValueError, match="not JSON compliant"):
        artifacts.write_json(tmp_path / "b.json", {"a": float("nan")})
    assert not (tmp_path / "b.json").exists()


def fail_with(code: int):
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
):
    path = tmp_path / "run.json"
    artifacts.write_json(path, {"old": 1})
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail_with(code))
        with pytest.raises(DataError) as caught:
            artifacts.write_json(path, {"new": 2})
    assert os.strerror(code) in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert json.loads(path.read_text()) == {"old": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.json"]


def test_a_really_full_device_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    with pytest.raises(DataError, match="No space left on device"):
        with artifacts.atomic_path(tmp_path / "a.bin") as temporary:
            with Path("/dev/full").open("wb") as file:
                file.write(b"x" * 10)
            temporary.write_bytes(b"never")
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_writer_leaves_nothing(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        with artifacts.atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path, error: BaseException):
    folder = tmp_path / "deep" / "folder"
    for name in ("old", "new"):
        with artifacts.atomic_folder(folder) as scratch:
            scratch.mkdir()
            (scratch / name).write_text(name)
            assert [path.name for path in folder.glob("*")] == ([] if name == "old" else ["old"])
    assert [path.name for path in folder.iterdir()] == ["new"]
    expected = DataError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected), artifacts.atomic_folder(folder) as scratch:
        scratch.mkdir()
        raise error
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert [path.name for path in folder.parent.iterdir()] == ["folder"]


def test_a_folder_survives_an_end_between_the_two_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").touch()
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if self.name.endswith(".tmp") and not self.name.endswith(".old.tmp"):
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), artifacts.atomic_folder(folder) as scratch:
        scratch.mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert (folder / "old").is_file()


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        artifacts.write_text(tmp_path / "file" / "below" / "a.txt", "")


def test_reading_what_is_not_there_or_not_that(tmp_path: Path):
    (tmp_path / "junk").write_bytes(b"\x80junk")
    readers = (
        artifacts.read_json,
        artifacts.read_toml,
        artifacts.read_arrays,
        artifacts.read_metadata,
    )
    for read in readers:
        with pytest.raises(DataError, match="no file"):
            read(tmp_path / "absent")
        with pytest.raises(DataError, match="is not"):
            read(tmp_path / "junk")
    with pytest.raises(DataError, match="cannot read"):
        artifacts.read_json(tmp_path)
