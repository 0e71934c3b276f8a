"""`trine embeddings init`: recipe on stdout, audit on stderr, one line for every bad input."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest

from tests.conftest import Command
from trine.cli import app as cli_app
from trine.embeddings.config import load_recipe

TEXTS = [f"a text about the thing number {i}" for i in range(20)]
ROWS: dict[str, list[Any]] = {
    "split": ["train"] * 15 + ["test"] * 5,
    "text": [*TEXTS[:19], TEXTS[0].upper() + "!"],
    "label": ["card", "loan"] * 10,
    "lang": ["en"] * 10 + ["fr"] * 10,
}


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def init(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Runs the command in this process, in a temporary directory."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, before: tuple[str, ...] = ()) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli_app.main([*before, "embeddings", "init", *arguments])
        out, err = capsys.readouterr()
        return Done(int(cast("int", caught.value.code)), out, err)

    return call


def write(name: str = "cards.csv", **changes: Any) -> None:
    pl.DataFrame({**ROWS, **changes}).write_csv(name)


def test_stdout_is_a_recipe_and_stderr_the_audit(init: Any) -> None:
    write()
    done = init("cards.csv")
    assert done.code == 0
    Path("recipe.toml").write_text(done.out)
    recipe, _ = load_recipe(Path("recipe.toml"))
    (task,) = recipe.tasks
    assert (task.name, task.kind, task.language, task.split) == ("cards", "single", "lang", "split")
    assert "tasks_per_step = 0" in done.out
    assert "alpha =" not in done.out  # it counts only where tasks are drawn
    assert "Audit" in done.err
    assert "1 text with different labels" not in done.err  # its repeat is in another language
    assert "number 0" not in done.out


def test_json_has_recipe_reasons_and_audit_and_stderr_is_silent(init: Any) -> None:
    write(lang=["en"] * 20)
    done = init("cards.csv", "--json")
    document = json.loads(done.out)
    assert done.err == ""
    assert set(document) == {"recipe", "tasks", "audit"}
    assert document["tasks"][0]["source"] == "cards.csv"
    (found,) = document["audit"]["tasks"]
    assert found["leaks"] == {"validation": 0, "test": 1}
    assert found["facts"]["splits"] == {"test": 5, "train": 14}
    assert found["conflicts"] == 1
    Path("recipe.toml").write_text(document["recipe"])
    assert load_recipe(Path("recipe.toml"))[0].tasks[0].name == "cards"


def test_quiet_prints_the_recipe_only(init: Any) -> None:
    write()
    done = init("cards.csv", before=("--quiet",))
    assert done.err == ""
    assert done.out.startswith("# A recipe for one embedding model")


def test_samples_give_the_shortest_recipe(init: Any) -> None:
    done = init("sample:conversations")
    assert done.code == 0, done.err
    body = [line for line in done.out.split("[[tasks]]")[1].splitlines() if line[:1] != "#"]
    assert body == ["", 'name = "conversations"', 'source = "sample:conversations"']
    assert 'base = "multilingual-e5-small"' in done.out


@pytest.mark.parametrize(
    ("content", "code", "expected"),
    [
        (b"", 3, "bad.csv is empty"),
        (b"text,label\nok,a\n\xff\xfe,b\n", 3, "bad.csv, line 3: not UTF-8 (byte 0xff)"),
        (b"id,label\n1,a\n2,b\n", 3, "no column of texts; its columns: id, label"),
        (b"text,id\nsome words,1\nmore words,2\n", 3, "no label; its columns: text, id"),
        (
            b"text,label,lang\nsome words,a,en\nmore words,b,en\nthree words,a,fr\nso it is,b,xq\n",
            3,
            "unknown language code 'xq'; accepted: ISO 639 codes",
        ),
    ],
)
def test_bad_tables_are_one_line_and_an_exit_code(
    init: Any, content: bytes, code: int, expected: str
) -> None:
    Path("bad.csv").write_bytes(content)
    done = init("bad.csv")
    assert (done.code, done.out) == (code, "")
    assert expected in done.err
    assert done.err.count("\n") == 1


def test_other_bad_input(init: Any) -> None:
    write()
    Path("sub").mkdir()
    write("sub/cards.csv")
    done = init("nothing.csv")
    assert done.code == 3
    assert "tables there: cards.csv" in done.err
    done = init("cards.csv", "sub/cards.csv")
    assert done.code == 2
    assert "two tables would give a task called 'cards'" in done.err
    done = init("sample:interests")
    assert done.code == 2
    assert "did you mean 'interest'" in done.err
    assert init().code == 2


def test_odd_rows_are_findings_and_no_errors(init: Any) -> None:
    texts = [*TEXTS[:17], "", "long " * 20_000, "only here"]
    labels = [*ROWS["label"][:16], "single", "card", "card", "unseen"]
    split = ["train"] * 19 + ["test"]
    write(text=texts, label=labels, split=split)
    done = init("cards.csv")
    assert done.code == 0
    for finding in (
        "1 row without text, label, pair or score",
        "1 text over 10,000 characters; kept, and cut by the tokenizer",
        "1 label with one training text, no positive to learn from: single",
        "1 label in validation or test only, never trained on: unseen",
    ):
        assert finding in done.err
        assert f"# {finding}\n" in done.out


def test_the_command_reads_no_torch(trine: Command, tmp_path: Path) -> None:
    pl.DataFrame(ROWS).write_csv(tmp_path / "cards.csv")
    done = trine("embeddings", "init", "cards.csv")
    assert done.returncode == 0, done.stderr
    code = "import sys; import trine.embeddings.guessing; print('torch' in sys.modules)"
    import subprocess

    heavy = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert heavy.stdout.strip() == "False"
