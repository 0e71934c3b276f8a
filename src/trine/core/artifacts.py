"""Files that are either whole or absent.

Every write goes to a temporary name in the same directory, is flushed to the disk, and is renamed
over the target: a reader never sees half a file, whatever kills the writer. Arrays are stored as
safetensors, which cannot execute code when loaded.
"""

import errno
import json
import os
import secrets
import shutil
import tomllib
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import numpy as np
import tomli_w

from trine.core.errors import DataError

__all__ = [
    "atomic_folder",
    "atomic_path",
    "check_writable",
    "make_directory",
    "read_arrays",
    "read_json",
    "read_metadata",
    "read_toml",
    "writable",
    "write_arrays",
    "write_bytes",
    "write_json",
    "write_text",
    "write_toml",
]


def _cannot(action: str, path: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot {action} {path}: {error.strerror or error}",
        hint="free some space or choose another place, then run the same command again"
        if action == "write"
        else "check the path and its permissions",
    )


def make_directory(path: Path) -> Path:
    """Makes a directory and its parents.

    Raises:
      DataError: if the disk or the permissions do not allow it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot("write", path, error) from error
    return path


def check_writable(path: Path) -> None:
    """Asked before long work whose result goes to `path`.

    Raises:
      DataError: no file can be made there.
    """
    make_directory(path.parent)
    trial = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        trial.touch()
    except OSError as error:
        raise _cannot("write", path, error) from error
    finally:
        with suppress(OSError):
            trial.unlink(missing_ok=True)


@contextmanager
def writable(directory: Path) -> Generator[None]:
    """Says that a directory cannot be written when the block finds so.

    Raises:
      DataError: on a full disk or missing permission.
    """
    try:
        yield
    except OSError as error:
        raise _cannot("write", directory, error) from error


@contextmanager
def atomic_path(path: Path) -> Generator[Path]:
    """A temporary path beside `path` to write to; renamed to `path` when the block ends well.

    The temporary name keeps the suffix, because some writers choose the format by it. Whatever
    happens inside the block, the temporary file is gone afterwards.

    Raises:
      DataError: on a full disk or missing permission.
    """
    make_directory(path.parent)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)  # the rename itself must survive a power cut
    except OSError as error:
        raise _cannot("write", path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path) -> Generator[Path]:
    """A path beside `folder` to make a folder at; it replaces `folder` when the block ends well.

    What was there stays until the new one is whole, and stays if the block fails.

    Raises:
      DataError: on a full disk or missing permission.
    """
    make_directory(folder.parent)
    scratch = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.tmp"
    old = scratch.with_suffix(".old.tmp")
    try:
        yield scratch
        if folder.exists():
            folder.rename(old)
        scratch.rename(folder)
    except OSError as error:
        raise _cannot("write", folder, error) from error
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> Path:
    """Writes a file atomically and returns its path."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return path


def write_text(path: Path, text: str) -> Path:
    """Writes a UTF-8 text file atomically and returns its path."""
    return write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> Path:
    """Writes one JSON document atomically, keys in the given order, numpy scalars as numbers.

    NaN and infinities raise `ValueError`: JSON has no word for them.
    """
    return write_text(path, json.dumps(value, indent=2, default=_plain, allow_nan=False) + "\n")


def write_toml(path: Path, value: Mapping[str, Any]) -> Path:
    """Writes one TOML document atomically."""
    return write_text(path, tomli_w.dumps(value))


def write_arrays(
    path: Path,
    arrays: Mapping[str, np.ndarray[Any, Any]],
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Writes named arrays and a table of strings to one safetensors file, atomically."""
    from safetensors.numpy import save

    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    return write_bytes(path, save(whole, dict(metadata or {})))


def read_arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The named arrays of a safetensors file.

    Raises:
      DataError: if the file is missing or is not safetensors.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(_read(path))
    except SafetensorError as error:
        raise _not_arrays(path, error) from error


def read_metadata(path: Path) -> dict[str, str]:
    """The table of strings stored beside the arrays of a safetensors file; reads no array."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise DataError(f"no file {path}", hint="check the path")
    try:
        with safe_open(str(path), framework="numpy") as file:  # pyright: ignore[reportUnknownVariableType] (untyped extension module)
            return dict(file.metadata() or {})  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] (the same)
    except SafetensorError as error:
        raise _not_arrays(path, error) from error


def _not_arrays(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} is not a whole safetensors file ({error})",
        hint="delete it and run the command that made it again",
    )


def read_json(path: Path) -> Any:
    """One JSON document.

    Raises:
      DataError: if the file is missing or is not JSON.
    """
    try:
        return json.loads(_read(path))
    except ValueError as error:
        raise DataError(
            f"{path} is not JSON ({error})", hint="delete it and run the command that made it again"
        ) from error


def read_toml(path: Path) -> dict[str, Any]:
    """One TOML document.

    Raises:
      DataError: if the file is missing or is not TOML.
    """
    try:
        return tomllib.loads(_read(path).decode())
    except ValueError as error:
        raise DataError(f"{path} is not TOML: {error}", hint="correct that line") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"no file {path}", hint="check the path") from error
    except OSError as error:
        raise _cannot("read", path, error) from error


def _plain(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return cast("Any", value).tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
