import codecs
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trine.bridge.text_input import decode_text, read_text
from trine.core.errors import DataError

_TEXT = '[Event "Fälle"]\n[Site ""]\n'


@pytest.mark.parametrize(
    "data",
    [
        _TEXT.encode(),
        codecs.BOM_UTF8 + _TEXT.encode(),
        _TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + _TEXT.encode("utf-16-be"),
        _TEXT.encode("utf-16-le"),
        _TEXT.encode("utf-16-be"),
        _TEXT.encode("latin-1"),
        _TEXT.replace("\n", "\r\n").encode("cp1252"),
        _TEXT.replace("\n", "\r").encode(),
    ],
    ids=[
        "utf-8", "utf-8 bom", "utf-16 bom", "utf-16-be bom", "utf-16-le", "utf-16-be", "latin-1",
        "cp1252 crlf", "cr",
    ],
)  # fmt: skip
def test_every_encoding_reads_the_same(data: bytes):
    assert decode_text(data) == _TEXT


@given(st.binary(max_size=60))
def test_any_bytes_are_a_text_or_a_clear_error(data: bytes):
    try:
        text = decode_text(data)
    except DataError:
        return
    assert "\0" not in text
    assert "\r" not in text


def test_no_text_files(tmp_path: Path):
    with pytest.raises(DataError, match="no file"):
        read_text(tmp_path / "none.pbn")
    with pytest.raises(DataError, match="is not a text file"):
        decode_text(b"abc\0def abc")
    with pytest.raises(DataError, match=r"begins like UTF-16-LE and is not"):
        decode_text(codecs.BOM_UTF16_LE + b"a")
