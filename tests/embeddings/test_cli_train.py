"""`trine embeddings train` end to end: results on stdout, talk on stderr, exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sentence_transformers import SentenceTransformer

from tests.embeddings.small_encoders import small_encoder
from tests.embeddings.small_training import label_frame
from trine.cli.app import main
from trine.core.records import read_metrics
from trine.embeddings.training import _Record as Record

HEAVY = ("torch", "sentence_transformers", "transformers", "datasets", "mteb")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe of one task beside its table and its base."""
    model = small_encoder(tmp_path)
    place = tmp_path / "base"
    SentenceTransformer(modules=list(model)[:2], device="cpu").save(
        str(place), create_model_card=False
    )
    label_frame(80).write_csv(tmp_path / "topic.csv")
    path = tmp_path / "recipe.toml"
    path.write_text(
        f"""dimension = 8
[model]
base = "{place}"
[head]
rows = 64
[training]
steps = 4
batch_size = 8
[[tasks]]
name = "topic"
source = "topic.csv"
metrics = ["triplet"]
"""
    )
    return path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["embeddings", "train", *words])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_train_prints_one_document_and_resumes(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (str(recipe), "--runs", str(tmp_path / "r"), "--steps", "3", "--json")
    code, out, _ = run(capsys, *words)
    assert code == 0
    document: dict[str, Any] = json.loads(out)
    assert document["steps"] == 3
    assert {row["metric"] for row in document["scores"]} == {"triplet_random", "triplet_hard"}
    assert set(document["scores"][0]) == {
        "model", "task", "language", "metric", "score", "se", "n", "width",
    }  # fmt: skip
    assert Path(document["model"], "model.safetensors").is_file()
    rows = read_metrics(Path(document["run_dir"]) / "metrics.jsonl")
    assert rows["step"].to_list() == [1, 2, 3]
    code, again, err = run(capsys, *words)
    assert code == 0
    assert json.loads(again) == document
    assert "already trained" in err
    code, out, _ = run(capsys, *words[:-1])
    assert code == 0
    assert "triplet_hard" in out
    assert "8-d" in out
    assert "report.html" in out


def test_ctrl_c_keeps_the_step_and_going_on_is_said(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    class Asking(Record):
        """Presses Ctrl-C while step 2 is recorded."""

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            super().on_step_end(args, state, control, **kwargs)
            if state.global_step == 2 and not pressed:
                pressed.append(2)
                signal.raise_signal(signal.SIGINT)

    pressed: list[int] = []
    monkeypatch.setattr("trine.embeddings.training._Record", Asking)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code, out, err = run(capsys, str(recipe), "--run", str(tmp_path / "one"))
    finally:
        signal.signal(signal.SIGINT, before)
    assert (code, out) == (130, "")
    assert "stopping after this step" in err
    code, _, err = run(capsys, str(recipe), "--run", str(tmp_path / "one"))
    assert code == 0
    assert "going on at step 2 of 4" in err
    rows = read_metrics(tmp_path / "one" / "metrics.jsonl")
    assert rows["step"].to_list() == [1, 2, 3, 4]


def test_dry_run_trains_nothing(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (str(recipe), "--dry-run", "--runs", str(tmp_path / "r"))
    code, out, _ = run(capsys, *words, "--set", "training.steps=7", "--json")
    assert code == 0
    document = json.loads(out)
    assert document["steps"] == 7
    assert document["tasks"][0]["updates"] == 7
    assert not (tmp_path / "r").exists()
    code, out, _ = run(capsys, *words)
    assert code == 0
    assert "info_nce" in out
    assert " rate " not in out
    # A rate is shown where tasks are drawn, and only there.
    assert document["tasks"][0]["rate"] is None
    second = recipe.read_text().split("[[tasks]]")[1].replace('name = "topic"', 'name = "other"')
    recipe.write_text(f"{recipe.read_text()}[[tasks]]{second}")
    code, out, _ = run(capsys, *words, "--set", "training.tasks_per_step=1", "--json")
    assert [task["rate"] for task in json.loads(out)["tasks"]] == [0.5, 0.5]
    code, out, _ = run(capsys, *words, "--set", "training.tasks_per_step=1")
    assert " rate " in out


def test_what_is_wrong_with_rows_is_said_and_stands_on_the_page(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = next(recipe.parent.glob("*.csv"))
    rows = table.read_text().splitlines()
    other = f"{rows[2].rpartition(',')[0]},else"
    table.write_text("\n".join([*rows, rows[1], other, ","]) + "\n")
    told = (
        "1 row(s) without text, label, pair or score dropped; 1 repeated training row(s) dropped; "
        "1 text(s) with different labels or scores"
    )
    place = tmp_path / "run"
    assert told in run(capsys, str(recipe), "--dry-run")[2]
    code, _, err = run(capsys, str(recipe), "--run", str(place))
    assert code == 0
    assert told in err
    assert told in (place / "report.html").read_text()
    with pytest.raises(SystemExit):
        main(["embeddings", "evaluate", str(place / "model"), "--suite", str(recipe)])
    assert told in capsys.readouterr().err


def test_scores_of_train_are_those_of_evaluate(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Of another seed: rows and triplets of a score do not depend on it.
    recipe.write_text(f"seed = 3\n{recipe.read_text()}")
    code, out, _ = run(capsys, str(recipe), "--runs", str(tmp_path / "r"), "--json")
    assert code == 0
    trained = json.loads(out)
    with pytest.raises(SystemExit):
        main(["embeddings", "evaluate", trained["model"], "--suite", str(recipe), "--json"])
    scored = json.loads(capsys.readouterr().out)
    at_width = [row for row in trained["scores"] if row["width"] == 8]
    assert {row["metric"]: row["score"] for row in scored} == pytest.approx(
        {row["metric"]: row["score"] for row in at_width}
    )


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--set", "training.stepz=3"), 2, "stepz"),
        (("--set", "dimension=99"), 2, "dimension 99; accepted: 2 to 16"),
        (("--set", 'model.base="nowhere/at-all"'), 3, "nowhere"),
        (("--set", "training.batch_size=2"), 2, "4 or more"),
    ],
)
def test_mistakes_are_one_line(
    recipe: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found, out, err = run(capsys, str(recipe), *words)
    assert found == code
    assert out == ""
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "setting",
    [
        "dimension=99", "model.freeze_layers=3", "model.base=nowhere", "training.loss=cosent",
        "training.batch_size=3",
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_at_once_and_takes_no_directory(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    words = (str(recipe), "--run", str(tmp_path / "run"))
    assert run(capsys, *words, "--set", setting, "--dry-run")[0] == 2
    assert run(capsys, *words, "--set", setting)[0] == 2
    assert not (tmp_path / "run").exists()
    assert run(capsys, *words, "--steps", "1")[0] == 0


def test_validation_scores_need_validation_rows(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, str(recipe), "--run", str(tmp_path / "run"), "--steps", "1")
    words = [str(tmp_path / "run" / "model"), "--suite", str(recipe), "--split", "validation"]
    with pytest.raises(SystemExit) as ended:
        main(["embeddings", "evaluate", *words])
    assert ended.value.code == 3
    out, err = capsys.readouterr()
    assert not out
    assert "no validation rows" in err


def test_missing_recipe_and_column(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, str(tmp_path / "none.toml"))
    assert code == 3
    assert "none.toml" in err
    (tmp_path / "topic.csv").write_text("text,topic\na,b\n")
    code, _, err = run(capsys, str(recipe))
    assert code == 2
    assert "no column 'label'" in err
    assert "text, topic" in err


def test_a_recipe_is_checked_before_anything_heavy_is_read(recipe: Path) -> None:
    recipe.write_text(recipe.read_text().replace("batch_size", "batch_sise"))
    code = (
        "import sys\nfrom trine.cli.app import main\n"
        f"try:\n    main(['embeddings', 'train', {str(recipe)!r}])\n"
        "except SystemExit as ended:\n"
        f"    print([m for m in {HEAVY!r} if m in sys.modules])\n    sys.exit(ended.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 2
    assert "batch_size" in done.stderr
    assert done.stdout.strip() == "[]"
