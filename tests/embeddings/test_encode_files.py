"""Tables to vectors: every format, blanks, a kill in the middle, every bad file."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trine.core.errors import ConfigError, DataError, UsageError
from trine.embeddings.encode_files import encode_file
from trine.embeddings.json_columns import JsonColumns
from trine.embeddings.table_files import read_table

ROOT = Path(__file__).parents[2]


def lengths(texts: Sequence[str]) -> np.ndarray:
    """A model without weights: length and number of vowels."""
    rows = [[len(text), sum(text.count(v) for v in "aeiou")] for text in texts]
    return np.array(rows, dtype=np.float32).reshape(len(texts), 2)


FRAME = pl.DataFrame(
    {
        "id": [str(i) for i in range(7)],
        "text": ["one", "", "three, with a comma", None, "  ", 'six "quoted"\nand broken', "séven"],
    }
)


def _csv(path: Path) -> None:
    FRAME.write_csv(path)


def _tsv(path: Path) -> None:
    FRAME.write_csv(path, separator="\t")


def _csv_gz(path: Path) -> None:
    path.write_bytes(gzip.compress(FRAME.write_csv().encode()))


def _jsonl(path: Path) -> None:
    FRAME.write_ndjson(path)


def _jsonl_gz(path: Path) -> None:
    path.write_bytes(gzip.compress(FRAME.write_ndjson().encode()))


def _parquet(path: Path) -> None:
    FRAME.write_parquet(path)


FORMATS: dict[str, Callable[[Path], None]] = {
    "a.csv": _csv, "a.tsv": _tsv, "a.csv.gz": _csv_gz, "a.jsonl": _jsonl,
    "a.jsonl.gz": _jsonl_gz, "a.parquet": _parquet,
}  # fmt: skip


@pytest.mark.parametrize("name", list(FORMATS))
@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_every_format_gives_the_same_vectors(tmp_path: Path, name: str, chunk: int) -> None:
    FORMATS[name](tmp_path / name)
    out = tmp_path / "out.parquet"
    done = encode_file(tmp_path / name, out, lengths, model="m", chunk=chunk)
    assert (done.rows, done.blank, done.width, done.resumed) == (4, 3, 2, 0)
    table = pl.read_parquet(out)
    assert table.columns == ["id", "text", "vector"]
    assert table["id"].to_list() == FRAME["id"].to_list()
    expected = [
        lengths([text])[0].tolist() if text and text.strip() else None for text in FRAME["text"]
    ]
    assert [None if v is None else list(v) for v in table["vector"].to_list()] == expected
    assert not list(tmp_path.glob("out.parquet.*"))


def test_blanks_before_the_first_text_cost_nothing(tmp_path: Path) -> None:
    pl.DataFrame({"text": ["", " ", "one"]}).write_csv(tmp_path / "a.csv", quote_style="always")
    done = encode_file(tmp_path / "a.csv", tmp_path / "o.parquet", lengths, model="m", chunk=1)
    assert (done.rows, done.blank) == (1, 2)
    assert pl.read_parquet(tmp_path / "o.parquet")["vector"].to_list() == [None, None, [3.0, 2.0]]


def test_columns_are_chosen(tmp_path: Path) -> None:
    _csv(tmp_path / "a.csv")
    out = tmp_path / "o.parquet"
    encode_file(tmp_path / "a.csv", out, lengths, model="m", column="v", keep=["id"])
    assert pl.read_parquet(out).columns == ["id", "v"]
    encode_file(tmp_path / "a.csv", out, lengths, model="m", text="id", keep=[])
    assert pl.read_parquet(out).columns == ["vector"]


_SCRIPT = """
import os, signal, sys
from pathlib import Path
from tests.embeddings.test_encode_files import lengths
from trine.embeddings.encode_files import encode_file
calls = 0
def encode(texts):
    global calls
    calls += 1
    if calls == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return lengths(texts)
encode_file(Path(sys.argv[1]), Path(sys.argv[2]), encode, model="m", chunk=5)
"""


def test_a_killed_run_goes_on_and_gives_the_same_file(tmp_path: Path) -> None:
    source = tmp_path / "a.parquet"
    pl.DataFrame({"text": [f"text {'o' * (i % 7)} {i}" for i in range(33)]}).write_parquet(source)
    whole, out = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    encode_file(source, whole, lengths, model="m", chunk=5)
    killed = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(source), str(out)], cwd=ROOT, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    encoded: list[str] = []

    def encode(texts: Sequence[str]) -> np.ndarray:
        encoded.extend(texts)
        return lengths(texts)

    done = encode_file(source, out, encode, model="m", chunk=5)
    assert (done.rows, done.resumed, len(encoded)) == (33, 15, 18)
    assert out.read_bytes() == whole.read_bytes()


def test_parts_of_another_run_are_not_mixed_in(tmp_path: Path) -> None:
    _csv(tmp_path / "a.csv")
    out = tmp_path / "o.parquet"

    def fail(texts: Sequence[str]) -> np.ndarray:
        if "one" in texts:
            return lengths(texts)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_file(tmp_path / "a.csv", out, fail, model="m", chunk=2)
    with pytest.raises(ConfigError, match="another input, model or setting"):
        encode_file(tmp_path / "a.csv", out, lengths, model="another", chunk=2)
    assert encode_file(tmp_path / "a.csv", out, lengths, model="m", chunk=2).resumed == 2


def test_a_second_command_is_refused_and_disturbs_nothing(tmp_path: Path) -> None:
    _csv(tmp_path / "a.csv")
    out, parts = tmp_path / "o.parquet", tmp_path / "o.parquet.parts"
    refused: list[str] = []

    def encode(texts: Sequence[str]) -> np.ndarray:
        half = parts / ".000000.12ab34cd.tmp.parquet"  # as the first command writes it
        half.write_bytes(b"PAR1")
        with pytest.raises(UsageError) as caught:
            encode_file(tmp_path / "a.csv", out, lengths, model="m", chunk=2)
        refused.append(str(caught.value))
        assert half.exists()
        half.unlink()
        return lengths(texts)

    done = encode_file(tmp_path / "a.csv", out, encode, model="m", chunk=2)
    assert (done.rows, done.resumed) == (4, 0)
    assert set(refused) == {
        f"{parts} is in use by process {os.getpid()}; wait for that command, or stop it"
    }
    assert not parts.exists()
    assert encode_file(tmp_path / "a.csv", out, lengths, model="m").rows == 4


def test_parts_that_nobody_knows_are_not_used(tmp_path: Path) -> None:
    _csv(tmp_path / "a.csv")
    parts = tmp_path / "o.parquet.parts"
    parts.mkdir()  # of a command that was killed while it removed them
    pl.DataFrame({"text": ["other"], "vector": [[0.0]]}).write_parquet(parts / "000000.parquet")
    done = encode_file(tmp_path / "a.csv", tmp_path / "o.parquet", lengths, model="m")
    assert (done.rows, done.width, done.resumed) == (4, 2, 0)


def test_columns_of_json_lines_may_come_and_go(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text(
        '{"text": "a", "n": null}\n{"text": "b", "n": 1}\n\n{"n": 2.5, "text": "c", "m": "x"}\n'
    )
    out = tmp_path / "o.parquet"
    encode_file(source, out, lengths, model="m", chunk=1)
    table = pl.read_parquet(out)
    assert table.select("text", "n", "m").to_dict(as_series=False) == {
        "text": ["a", "b", "c"], "n": [None, 1.0, 2.5], "m": [None, None, "x"],
    }  # fmt: skip
    source.write_text('{"text": "a", "n": 1}\n\n{"text": "b", "n": "one"}\n')
    for chunk in (1, 2):
        encode_file(source, tmp_path / "p.parquet", lengths, model="m", chunk=chunk, keep=["text"])
        assert pl.read_parquet(tmp_path / "p.parquet")["text"].to_list() == ["a", "b"]


BAD: list[tuple[str, bytes, str]] = [
    ("a.csv", b'id,text\n1,"a\nb"\n2,b,c\n', "line 4: 3 cells, the header has 2"),
    ("a.tsv", b"\n\xef\xbb\xbfid\ttext\n1\ta\tb\n", "line 3: 3 cells, the header has 2"),
    ("a.csv", b"id,text\n1,\xff\xfe\n", r"line 2: not UTF-8 \(byte 0xff\)"),
    ("a.csv", b'id,text\n1,"a\n2,b\n', "cannot be read as a table"),
    ("a.csv", b"", "is empty"),
    ("a.csv", b"text\n", "no text in column"),
    ("a.csv", b'text\n" "\n', "no text in column"),
    ("a.csv.gz", b"text\nno gzip\n", "cannot be read"),
    ("a.csv.gz", gzip.compress(b"text\n" + bytes(range(32, 126)), mtime=0)[:60], "cannot be read"),
    ("a.jsonl", b'{"text": "a"}\n{"text": \n', "line 2: not JSON"),
    ("a.jsonl", b'["a"]\n', "line 1"),
    ("a.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n', "line 2: not UTF-8"),
    ("a.parquet", b"PAR1 and nothing", "no Parquet"),
    ("a.txt", b"text\na\n", "accepted: .csv"),
]


@pytest.mark.parametrize(
    ("name", "content", "words"), BAD, ids=[f"bad{i}" for i in range(len(BAD))]
)
def test_bad_files_are_named(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    out = tmp_path / "o.parquet"
    with pytest.raises(DataError, match=words) as caught:
        encode_file(tmp_path / name, out, lengths, model="m")
    assert "\n" not in str(caught.value)
    assert not out.exists()


ODD: dict[str, bytes] = {
    "blank line": b"id,text\n1,a\n\n2,b\n",
    "blank end": b"id,text\r\n1,a\r\n2,b\r\n\r\n\r\n",
    "no last cell": b"id,text\n1,a\n2\n3,c\n",
    "blanks before": b"\n\nid,text\n1,a\n",
    "one column": b'text\na\n\n""\nb\n\n',
    "quotes": b'id,text\n1,""\n2,\n3,a "b" c\n4,"x ""y""\n\nz"\n',
    "mark": b'\xef\xbb\xbf"id",text\n1,a\n',
    "long": b"id,text\n1," + b"x" * 150_000 + b"\n",
    "same name": b"text,text\na,b\n",
}


@pytest.mark.parametrize("content", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("name", ["a.csv", "B.CSV", "a.csv.gz"])
def test_odd_tables_are_read_as_training_reads_them(
    tmp_path: Path, name: str, content: bytes
) -> None:
    source, out = tmp_path / name, tmp_path / "o.parquet"
    source.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    encode_file(source, out, lengths, model="m", chunk=2)
    assert pl.read_parquet(out).drop("vector").equals(read_table(source))


def test_every_chunk_has_the_columns_of_the_file(tmp_path: Path) -> None:
    # A chunk of objects without names; one without the text; objects that have names only later.
    source, out = tmp_path / "a.jsonl", tmp_path / "o.parquet"
    lines = (
        ["{}"] * 4 + ['{"o": {}}'] * 2 + ['{"text": "abc", "o": {"k": 1}, "n": 1}', '{"n": 1.5}']
    )
    source.write_text("\n".join(lines) + "\n")
    for chunk in (1, 2, 3, 100):
        done = encode_file(source, out, lengths, model="m", chunk=chunk)
        assert (done.rows, done.blank) == (1, 7)
        table = pl.read_parquet(out)
        assert table["vector"].is_null().to_list() == [True] * 6 + [False, True]
        assert table["n"].to_list() == [None] * 6 + [1.0, 1.5]
        assert table["o"].to_list()[4:7] == [{"k": None}, {"k": None}, {"k": 1}]


def test_numbers_that_lose_digits_are_told_with_both_lines(tmp_path: Path) -> None:
    rows = [2**53 + 1, *range(5_000), 1.5]
    source = tmp_path / "a.jsonl"
    source.write_text("".join(f'{{"text": "a", "n": {n}}}\n' for n in rows))
    with pytest.raises(DataError, match=r"line 5002: 'n' has a fraction in line 5002 .* line 1"):
        encode_file(source, tmp_path / "o.parquet", lengths, model="m")


def test_what_is_no_text_is_not_encoded_as_python_writes_it(tmp_path: Path) -> None:
    out, source = tmp_path / "o.parquet", tmp_path / "a.parquet"
    pl.DataFrame({"text": [b"ab", "ä".encode(), None]}).write_parquet(source)
    encode_file(source, out, lengths, model="m")
    assert pl.read_parquet(out)["vector"].to_list() == [*lengths(["ab", "ä"]).tolist(), None]
    for values, words in (
        ([b"\xff"], "not UTF-8"), ([["a"]], "holds .*list"), ([{"a": 1}], "holds struct"),
        ([True], "holds bool"),
    ):  # fmt: skip
        pl.DataFrame({"text": values}).write_parquet(source)
        with pytest.raises(DataError, match=words):
            encode_file(source, out, lengths, model="m")
        assert not (tmp_path / "o.parquet.parts").exists()


NO_COLUMN = {
    "lists": ([[1], [2.5]], ["x"]),
    "objects": ([{"a": 1}, {"b": [None]}], {"b": ["x"], "a": "x"}),
    "numbers": ([2**60 + 1, 3], 2**70),
    "signs": ([1, -1], 2**63),
    "halves": (["a", "ä"], "\ud800"),
}


@pytest.mark.parametrize("values", NO_COLUMN.values(), ids=NO_COLUMN.keys())
@pytest.mark.parametrize("rows", [1, 2, 3, 4_096])
def test_values_that_make_no_column_are_told_with_their_line(
    tmp_path: Path, values: tuple[list[Any], Any], rows: int
) -> None:
    good, bad = values
    columns = JsonColumns(
        tmp_path, lambda name: name == "n", lambda name: f"leave {name} out", rows
    )
    for i, value in enumerate([*good, None]):
        columns.add(i + 1, {"n": value, "other": bad})
    with pytest.raises(DataError, match=r"line 9: 'n' fits in no column .*; leave n out"):
        columns.add(9, {"n": bad})
        columns.close()


def test_an_object_without_names_is_told_before_anything_is_encoded(tmp_path: Path) -> None:
    source, out = tmp_path / "a.jsonl", tmp_path / "o.parquet"
    source.write_text('{"text": "a", "id": {}}\n')
    with pytest.raises(DataError, match="'id' cannot be written"):
        encode_file(source, out, lengths, model="m")
    encode_file(source, out, lengths, model="m", keep=[])
    source.write_text('{"text": "a", "id": {}}\n{"text": "b", "id": {"k": 1}}\n')
    encode_file(source, out, lengths, model="m")
    assert pl.read_parquet(out)["id"].to_list() == [{"k": None}, {"k": 1}]


def test_what_is_wrong_at_the_end_is_said_at_the_start(tmp_path: Path) -> None:
    def encode(texts: Sequence[str]) -> np.ndarray:
        raise AssertionError("nothing is encoded of a broken file")

    faults = (
        ("a.csv", "1,2,3,4\n", "line 52: 4 cells"),
        ("a.jsonl", "{\n", "line 51: not JSON"),
        (
            "a.jsonl",
            '{"text": 1}\n',
            "line 51: 'text' is a number, in lines before it is a text; .*; mend the line",
        ),
    )
    for name, last, words in faults:
        row = "one,two\n" if name == "a.csv" else '{"text": "one"}\n'
        (tmp_path / name).write_text(("text,id\n" if name == "a.csv" else "") + row * 50 + last)
        with pytest.raises(DataError, match=words):
            encode_file(tmp_path / name, tmp_path / "o.parquet", encode, model="m", chunk=2)
        assert not (tmp_path / "o.parquet.parts").exists()


def test_a_missing_file_and_wrong_names(tmp_path: Path) -> None:
    out = tmp_path / "o.parquet"
    with pytest.raises(DataError, match="no file"):
        encode_file(tmp_path / "a.csv", out, lengths, model="m")
    _csv(tmp_path / "a.csv")
    with pytest.raises(ConfigError, match="no column 'body'; accepted: id, text"):
        encode_file(tmp_path / "a.csv", out, lengths, model="m", text="body")
    with pytest.raises(ConfigError, match="has a column 'id' already"):
        encode_file(tmp_path / "a.csv", out, lengths, model="m", column="id")
    with pytest.raises(ConfigError, match=r"ends in \.parquet"):
        encode_file(tmp_path / "a.csv", tmp_path / "o.csv", lengths, model="m")
