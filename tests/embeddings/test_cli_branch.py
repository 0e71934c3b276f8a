"""A training with branches and `trine embeddings branch`, through the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sentence_transformers import SentenceTransformer

from tests.embeddings.small_branches import (
    TEXTS,
    saved_base,
)
from tests.embeddings.small_training import label_frame
from trine.cli.app import main
from trine.core.artifacts import read_arrays
from trine.embeddings.branches import (
    BRANCHES,
    branch_file,
    branch_model,
)
from trine.embeddings.choices import load_choices, own_part
from trine.embeddings.config import load_recipe
from trine.embeddings.task_heads import (
    HEADS,
    head_model,
    load_task_heads,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def trainable(base: Path, tmp_path: Path) -> Path:
    """A recipe of two tasks beside their tables."""
    for seed, name in enumerate(("one", "two")):
        label_frame(80, seed).write_csv(tmp_path / f"{name}.csv")
    path = tmp_path / "recipe.toml"
    path.write_text(
        f"""dimension = 8
[model]
base = "{base}"
[head]
rows = 64
per_task = true
[training]
steps = 5
leave_after = [3]
batch_size = 8
[[tasks]]
name = "one"
source = "one.csv"
metrics = ["triplet"]
validation_rows = 24
[[tasks]]
name = "two"
source = "two.csv"
metrics = ["triplet"]
validation_rows = 24
"""
    )
    return path


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def trine(capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["embeddings", *map(str, words)])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def test_the_command_writes_the_model_that_was_scored(
    trainable: Path, tmp_path: Path, trine: Command
) -> None:
    run = tmp_path / "run"
    code, out, _ = trine("train", trainable, "--run", run, "--json")
    assert code == 0
    document: dict[str, Any] = json.loads(out)
    own = {(r["task"], r["metric"]): r["score"] for r in document["own_scores"] if r["width"] == 8}
    assert {task for task, _ in own} == {"one", "two"}
    assert trine("train", trainable, "--dry-run", "--json")[1].count('"updates": 5') == 2
    assert "tasks may leave after 3" in trine("train", trainable, "--dry-run")[1]
    code, out, _ = trine("train", trainable, "--run", run)
    assert "own head or branch" in out
    assert "leaves after 3" in out
    assert [choice["task"] for choice in document["choices"]] == ["one", "two"]
    assert (run / "tables" / "choices.csv").is_file()
    assert set(pl.read_csv(run / "figures" / "losses-after-3.csv")["task"]) == {"one", "two"}
    assert "left after step 3" in (run / "report.html").read_text()
    code, out, _ = trine("branch", run, "two", "--out", tmp_path / "two", "--json")
    assert code == 0
    assert json.loads(out) == {"model": str(tmp_path / "two"), "task": "two", "width": 8}
    opened = SentenceTransformer(str(tmp_path / "two"), device="cpu")
    whole = SentenceTransformer(str(run / "model-full"), device="cpu")
    expected = own_part(whole, run, load_recipe(trainable)[0], "two").encode(TEXTS)[:, :8]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert opened.encode(TEXTS) == pytest.approx(expected, abs=1e-5)
    card = (tmp_path / "two" / "README.md").read_text()
    assert "task two" in card
    assert "own head or branch" in (run / "report.html").read_text()
    assert "two" in (run / "tables" / "own-scores.csv").read_text()
    assert str(tmp_path) not in card
    code, out, _ = trine("evaluate", tmp_path / "two", "--suite", trainable, "--json")
    assert code == 0
    found = {(r["task"], r["metric"]): r["score"] for r in json.loads(out) if r["task"] == "two"}
    assert found == pytest.approx({key: own[key] for key in found}, abs=1e-3)
    assert found


@pytest.mark.parametrize(
    ("left_after", "told"),
    [
        (3, "left the joint training after step 3 and learned two alone"),
        (0, "the joint training of its run had no part in it"),
        (None, "after the training a head computed from the texts of two"),
    ],
)
def test_whatever_was_chosen_becomes_a_model(
    trainable: Path, tmp_path: Path, trine: Command, left_after: int | None, told: str
) -> None:
    run = tmp_path / "run"
    ways = ["--set", "training.leave_after=[3, 0]"]
    assert trine("train", trainable, "--run", run, *ways)[0] == 0
    choices = json.loads((run / "choices.json").read_text())
    chosen = [choice | {"left_after": left_after} for choice in choices]
    (run / "choices.json").write_text(json.dumps(chosen))
    assert trine("branch", run, "two", "--out", tmp_path / "two")[0] == 0
    assert told in (tmp_path / "two" / "README.md").read_text()
    whole = SentenceTransformer(str(run / "model-full"), device="cpu")
    own = head_model(whole, load_task_heads(run / HEADS)["two"])
    if left_after is not None:
        own = branch_model(whole, branch_file(run / BRANCHES, "two", left_after))
    expected = own.encode(TEXTS)[:, :8]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    opened = SentenceTransformer(str(tmp_path / "two"), device="cpu")
    assert opened.encode(TEXTS) == pytest.approx(expected, abs=1e-5)


def test_a_head_of_a_task_is_a_model_too(trainable: Path, tmp_path: Path, trine: Command) -> None:
    run = tmp_path / "heads"
    settings = ["--set", "training.leave_after=[]", "--json"]
    code, out, _ = trine("train", trainable, "--run", run, *settings)
    assert code == 0
    own = json.loads(out)["own_scores"]
    assert {row["task"] for row in own} == {"one", "two"}
    assert trine("branch", run, "one", "--out", tmp_path / "one", "--width", 4)[0] == 0
    vectors = SentenceTransformer(str(tmp_path / "one"), device="cpu").encode(TEXTS)
    weight, bias = load_task_heads(run / HEADS)["one"]
    whole = SentenceTransformer(str(run / "model-full"), device="cpu")
    below = SentenceTransformer(modules=list(whole)[:3], device="cpu").encode(TEXTS)
    expected = below @ weight[:4].T + bias[:4]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert vectors == pytest.approx(expected, abs=1e-5)


def test_a_training_that_was_killed_in_a_branch_goes_on(
    trainable: Path, tmp_path: Path, trine: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert trine("train", trainable, "--run", whole)[0] == 0
    with monkeypatch.context() as patch:

        def killed(path: Path, arrays: object) -> Path:
            raise KeyboardInterrupt

        patch.setattr("trine.embeddings.branches.write_arrays", killed)
        assert trine("train", trainable, "--run", run)[0] == 130
    assert (run / "model-full").is_dir()
    code, _, err = trine("branch", run, "one", "--out", tmp_path / "out")
    assert code == 3
    assert "not finished" in err
    assert trine("train", trainable, "--run", run)[0] == 0
    assert load_choices(run) == load_choices(whole)
    for name in ("one", "two"):
        a, b = (read_arrays(branch_file(p / BRANCHES, name, 3)) for p in (whole, run))
        assert a.keys() == b.keys()
        for key, value in a.items():
            assert value == pytest.approx(b[key], abs=1e-5), key


def test_wrong_input_is_one_line(trainable: Path, tmp_path: Path, trine: Command) -> None:
    out = tmp_path / "out"
    code, _, err = trine("branch", tmp_path / "nothing", "one", "--out", out)
    assert code == 3
    assert "is not a run directory" in err
    run = tmp_path / "plain"
    settings = ["--set", "training.leave_after=[]", "--set", "head.per_task=false"]
    assert trine("train", trainable, "--run", run, *settings)[0] == 0
    code, _, err = trine("branch", run, "one", "--out", out)
    assert code == 2
    assert "head.per_task = true" in err
    run = tmp_path / "branched"
    assert trine("train", trainable, "--run", run)[0] == 0
    code, _, err = trine("branch", run, "three", "--out", out)
    assert code == 2
    assert "one, two" in err
    assert trine("branch", run, "one", "--out", out, "--width", 40)[0] == 2
    code, _, err = trine("branch", run, "one", "--out", run / "model")
    assert code == 2
    assert "inside the run" in err
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    code, _, err = trine("branch", run, "one", "--out", tmp_path / "notes")
    assert code == 3
    assert "is not a model" in err
    assert not out.exists()
