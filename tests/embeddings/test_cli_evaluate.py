"""`trine embeddings evaluate` end to end, and the table of scores."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from sentence_transformers import SentenceTransformer

from tests.embeddings.small_encoders import small_encoder
from tests.embeddings.small_training import label_frame
from trine.cli.app import main
from trine.embeddings.tasks import ScoreRow
from trine.embeddings.train_report import scores_table


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A recipe in two languages beside its table, and a model."""
    model = small_encoder(tmp_path)
    SentenceTransformer(modules=list(model), device="cpu").save(
        str(tmp_path / "model"), create_model_card=False
    )
    frame = label_frame(120).with_row_index("n")
    languages = ["en" if i % 8 < 4 else "de" for i in range(120)]
    frame.with_columns(pl.Series("lang", languages)).write_csv(tmp_path / "topic.csv")
    path = tmp_path / "suite.toml"
    path.write_text(
        """[[tasks]]
name = "topic"
source = "topic.csv"
language = "lang"
test_share = 0.4
metrics = ["classification", "triplet"]
"""
    )
    return path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["embeddings", "evaluate", *words])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_evaluate_gives_a_list_and_a_table(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (str(tmp_path / "model"), "--suite", str(suite), "--draws", "2")
    code, out, _ = run(capsys, *words, "--width", "4", "--width", "16", "--json")
    assert code == 0
    rows = json.loads(out)
    assert all(
        set(row) == {"model", "task", "language", "metric", "score", "se", "n", "width"}
        for row in rows
    )
    found = {(r["metric"], r["language"], r["width"]) for r in rows}
    assert len(found) == len(rows) == 3 * 3 * 2
    assert {r["language"] for r in rows} == {"de", "en", "all"}
    code, out, _ = run(capsys, *words)
    assert code == 0
    assert "accuracy" in out
    assert "16-d" in out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--width", "17"), 2, "accepted: 1 to 16"),
        (("--split", "dev"), 2, "accepted: test, validation"),
        (("--draws", "0"), 2, "draws"),
    ],
)
def test_mistakes_are_one_line(
    suite: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    found, out, err = run(capsys, str(tmp_path / "model"), "--suite", str(suite), *words)
    assert found == code
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_a_folder_without_a_model(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    code, _, err = run(capsys, str(tmp_path / "empty"), "--suite", str(suite))
    assert code == 3
    assert "neither modules.json nor config.json" in err
    assert "its model is" not in err


def test_a_run_directory_is_told_where_its_model_is(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "run" / "model" / "modules.json").write_text("[]")
    code, _, err = run(capsys, str(tmp_path / "run"), "--suite", str(suite))
    assert code == 3
    assert err.rstrip().endswith(f"; its model is {tmp_path / 'run' / 'model'}")


def test_a_table_has_a_column_a_width() -> None:
    rows = [ScoreRow("m", "t", "en", "accuracy", 50 + w, 1.0, 10, w) for w in (16, 4)] + [
        ScoreRow("m", "u", "en", "spearman", 70.0, None, 5, 4)
    ]
    table = scores_table(rows)
    assert [column.title for column in table.shown] == [
        "task", "language", "metric", "rows", "4-d", "16-d",
    ]  # fmt: skip
    assert table.cells == [
        ["t", "en", "accuracy", "10", "54.0", "66.0"],
        ["u", "en", "spearman", "5", "70.0", "–"],  # noqa: RUF001 (an empty cell)
    ]
    assert scores_table([]).cells == []
