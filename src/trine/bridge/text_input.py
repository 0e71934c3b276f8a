"""Text of bridge files as they come: any of the usual encodings, any line ends."""

from __future__ import annotations

import codecs
from pathlib import Path

from trine.core.errors import DataError

__all__ = ["decode_text", "read_text"]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def decode_text(data: bytes, where: str = "the text") -> str:
    r"""Bytes to text with `\n` line ends and without a byte-order mark.

    Tried in order: the byte-order mark; UTF-16 without one, known by its zero bytes; UTF-8;
    Windows-1252; Latin-1, which takes anything.

    Args:
      data: the file.
      where: its name, for the message.

    Raises:
      DataError: zero bytes in a text that is not UTF-16, or half a UTF-16 character: no text file.
    """
    text = _decode(data, where)
    if "\0" in text:
        raise DataError(f"{where} is not a text file", accepted="PBN or LIN")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _decode(data: bytes, where: str) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _strict(data[len(mark) :], encoding, where)
    # Bridge files are nearly ASCII: in UTF-16 every other byte is zero.
    if len(data) >= 2 and data.count(0) >= len(data) // 3:
        return _strict(data, "utf-16-le" if data[1] == 0 else "utf-16-be", where)
    for encoding in ("utf-8", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def _strict(data: bytes, encoding: str, where: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where} begins like {encoding.upper()} and is not ({error.reason})",
            hint="save it as UTF-8",
        ) from error


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
      DataError: missing, unreadable, or not a text file.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"no file {path}", hint="check the path") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    return decode_text(data, str(path))
