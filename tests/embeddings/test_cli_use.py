"""`compare`, `export`, `encode` and `members` on the command line, on a tiny model."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.embeddings.small_training import label_frame
from tests.embeddings.tiny import tiny_encoder
from trine.cli.app import main
from trine.core.errors import UsageError
from trine.core.tables import to_markdown
from trine.embeddings import api
from trine.embeddings.bases import BASES
from trine.embeddings.comparing import compare, shown_names
from trine.embeddings.comparing_report import comparison_table, main_scores, write_comparison
from trine.embeddings.tasks import ScoreRow


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, its exports are made by a test; a table and a recipe."""
    folder = tmp_path_factory.mktemp("room")
    tiny_encoder(folder)
    frame = label_frame(120).with_columns(pl.Series("who", [f"w{i % 5}" for i in range(120)]))
    frame.write_csv(folder / "topic.csv")
    (folder / "suite.toml").write_text(
        '[[tasks]]\nname = "topic"\nsource = "topic.csv"\ntest_share = 0.4\n'
    )
    return folder


@pytest.fixture
def call(room: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(room)

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["embeddings", *words])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def test_export_encode_members_and_compare_in_one_go(call: Any, room: Path) -> None:
    code, out, err = call(
        "export", "tiny", "--onnx", "--int8", "--suite", "suite.toml", "--draws", "2", "--json"
    )
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["graph"] == "tiny-onnx-int8/model.onnx"
    (row,) = document["loss"]["tasks"]
    assert (row["task"], row["metric"]) == ("topic", "accuracy")
    assert document["loss"]["mean"] == pytest.approx(row["before"] - row["after"])

    words = ("encode", "topic.csv", "--model", "tiny-onnx-int8", "--out", "v.parquet")
    code, out, err = call(*words, "--threads", "1")
    assert (code, out, err) == (0, "120 vectors of 16 numbers in v.parquet\n", "")
    assert pl.read_parquet("v.parquet").columns == ["text", "label", "who", "vector"]

    words = ("members", "v.parquet", "--member", "who", "--retrieve", "w1", "-k", "3", "--json")
    code, out, _ = call(*words, "--out", "i.parquet")
    found = json.loads(out)
    assert (code, found["members"], found["posts"], len(found["found"])) == (0, 5, 120, 3)
    assert "w1" not in [hit["member"] for hit in found["found"]]
    assert set(pl.read_parquet("i.parquet")["who"]) == {f"w{i}" for i in range(5)}

    words = ("compare", "tiny", "tiny+pca4", "tiny-onnx-int8", "--suite", "suite.toml")
    code, out, _ = call(*words, "--draws", "2", "--json")
    rows = json.loads(out)
    assert code == 0
    assert {(row["model"], row["width"]) for row in rows} == {
        ("tiny", 16), ("tiny+pca4", 4), ("tiny-onnx-int8", 16),
    }  # fmt: skip
    exact = {r["model"]: r["score"] for r in rows if r["metric"] == "accuracy"}
    assert exact["tiny-onnx-int8"] == pytest.approx(row["after"])
    assert exact["tiny"] == pytest.approx(row["before"])


def test_a_table_of_blank_lines_is_taken_by_init_and_by_encode(call: Any, room: Path) -> None:
    rows = "".join(f"{text},{i % 2}\n\n" for i, text in enumerate(["the bank", "a red bird"] * 9))
    (room / "blank.csv").write_text("text,label\n" + rows)
    assert call("init", "blank.csv")[0] == 0
    code, out, err = call("encode", "blank.csv", "--model", "tiny", "--out", "b.parquet")
    assert (code, err) == (0, "")
    assert out == ("18 vectors of 16 numbers in b.parquet; 18 rows without a text have none\n")
    assert pl.read_parquet("b.parquet")["text"].null_count() == 18


def test_an_export_is_replaced_whole_and_a_models_folder_is_none(
    call: Any, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("export", "tiny", "--onnx", "--out")
    code, out, err = call(*words, "tiny")
    assert (code, out) == (3, "")
    assert "tiny exists and is not an export; choose another folder: --out" in err
    assert not (room / "tiny" / "model.onnx").exists()
    assert call(*words, "again")[0] == 0
    first = {path.name: path.read_bytes() for path in (room / "again").iterdir()}

    def full_disk(*_: object) -> None:  # after the graph, before the settings
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("trine.embeddings.onnx_export.write_json", full_disk)
        code, _, err = call(*words, "again", "--int8")
    assert code == 3
    assert "No space left on device" in err
    assert {path.name: path.read_bytes() for path in (room / "again").iterdir()} == first
    assert call(*words, "again", "--int8")[0] == 0
    assert (room / "again" / "model.onnx").read_bytes() != first["model.onnx"]
    assert sorted(path.name for path in (room / "again").iterdir()) == sorted(first)


def test_a_name_is_the_same_model_in_every_command(
    call: Any, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A folder called like a base: the base is meant; here a base that cannot be had.
    (room / "minilm").symlink_to(room / "tiny")

    def none() -> None:
        raise UsageError("the base is meant")

    monkeypatch.setitem(BASES, "minilm", none)
    commands = (
        ("encode", "topic.csv", "--out", "n.parquet", "--model"),
        ("evaluate", "--suite", "suite.toml", "--draws", "2"),
        ("compare", "--suite", "suite.toml", "--draws", "2"), ("export", "--onnx"),
        ("serve", "--port", "0"),
    )  # fmt: skip
    monkeypatch.setattr("trine.embeddings.serving.run.run_server", lambda *_, **__: None)
    for words in commands:
        code, _, err = call(*words, "minilm")
        assert (code, "the base is meant" in err) == (2, True), words
        assert call(*words, "./minilm")[0] == 0, words
    (room / "minilm").unlink()


def test_a_suite_without_training_texts_needs_a_mixture(call: Any, room: Path) -> None:
    suite = (room / "suite.toml").read_text()
    (room / "unseen.toml").write_text(suite + 'role = "zero_shot"\n')
    words = ("compare", "tiny+pca4", "--suite", "unseen.toml", "--draws", "2", "--json")
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert "tiny+pca4: the suite has no training texts" in err
    assert "--mixture recipe.toml" in err
    code, out, _ = call(*words, "--mixture", "suite.toml")
    own = call("compare", "tiny+pca4", "--suite", "suite.toml", "--draws", "2", "--json")[1]
    assert code == 0
    assert json.loads(out) == json.loads(own)
    # Told before any model is scored.
    code, out, err = call("compare", "tiny", "tiny+pca17", "--suite", "suite.toml")
    assert (code, out) == (2, "")
    assert "tiny+pca17: 17 directions; accepted: 1 to 16" in err
    assert "evaluating" not in err
    words = ("evaluate", "tiny+pca4", *words[2:], "--mixture", "suite.toml")
    scores = [[row["score"] for row in json.loads(text)] for text in (call(*words)[1], own)]
    assert scores[0] == scores[1]
    code, _, err = call("export", "tiny+pca4", "--onnx")
    assert (code, "--mixture" in err) == (2, True)
    assert call("export", "tiny+pca4", "--onnx", "--mixture", "suite.toml", "--out", "p")[0] == 0
    settings = json.loads((room / "p" / "trine_onnx.json").read_text())
    assert settings["width"] == 4


def test_an_endpoint_is_scored_at_the_widths_that_are_asked_for(
    call: Any, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Endpoint:
        """Gives six numbers for every text and costs nothing."""

        model, shown, is_local = "far", "http://localhost/v1", True

        def __init__(self, *_: object) -> None:
            pass

        def estimate(self, texts: list[str]) -> api.Estimate:
            return api.Estimate(len(texts), 0, 0.0)

        def encode(self, texts: list[str], advance: object = None) -> np.ndarray:
            return np.array([[len(t), *map(t.count, "aeiou")] for t in texts], dtype=np.float32)

    monkeypatch.setattr(api, "ApiModel", Endpoint)
    (room / "prefix.toml").write_text((room / "suite.toml").read_text() + 'prefix = "q: "\n')
    code, out, err = call(
        "compare", "tiny", "--suite", "prefix.toml", "--draws", "2", "--width", "2", "--width", "4",
        "--api", "http://localhost/v1", "--api-model", "far", "--cache", "k.sqlite",
    )  # fmt: skip
    assert code == 0
    assert all(f"{model}, {width}-d" in out for model in ("tiny", "far") for width in (2, 4))
    assert "far: gets the texts without the prefixes of the recipe" in err


def test_a_page_beside_the_table(call: Any, room: Path) -> None:
    code, out, _ = call(
        "compare", "tiny", "--suite", "suite.toml", "--width", "4", "--width", "16", "--draws", "2",
        "--out", "page.html",
    )  # fmt: skip
    assert code == 0
    assert "tiny, 4-d" in out
    assert out.endswith("page: page.html\n")
    page = (room / "page.html").read_text()
    assert page.count("<svg") == 1
    assert "tiny, 16-d" in page
    assert sorted(p.name for p in (room / "page-files").iterdir()) == [
        "main-scores.csv", "main-scores.png", "main-scores.svg", "scores.csv", "scores.md",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("export", "tiny"), 2, "accepted: --onnx"),
        (("export", "nosuch", "--onnx"), 3, "no folder nosuch"),
        (("encode", "topic.csv", "--model", "nosuch", "--out", "o.parquet"), 2, "unknown base"),
        (("encode", "no.csv", "--model", "tiny", "--out", "o.parquet"), 3, "no file no.csv"),
        (("encode", "topic.csv", "--model", "tiny", "--text", "body", "--out", "o.parquet"), 2,
         "accepted: text, label, who"),
        (("members", "no.parquet"), 3, "no file no.parquet"),
        (("compare", "tiny", "tiny", "--suite", "suite.toml"), 2, "given twice"),
        (("compare", "tiny", "--suite", "suite.toml", "--api", "http://x/v1"), 2, "go together"),
        (("compare", "tiny", "--suite", "suite.toml", "--draws", "2", "--out", "p.txt"), 2,
         "ends in .html"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_in_one_line(
    call: Any, words: tuple[str, ...], code: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found, out, err = call(*words)
    assert (found, out) == (code, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_paid_endpoint_is_not_called_unasked(
    call: Any, monkeypatch: pytest.MonkeyPatch, room: Path
) -> None:
    monkeypatch.setenv(api.KEY, "sk-secret")
    monkeypatch.setattr(sys, "stdin", (room / "suite.toml").open())
    code, out, err = call(
        "compare", "tiny", "--suite", "suite.toml", "--draws", "2", "--cache", "kept.sqlite",
        "--api", "https://example.invalid/v1", "--api-model", "text-embedding-ada-002",
    )  # fmt: skip
    sys.stdin.close()
    assert (code, out) == (2, "")
    assert "texts to fetch, about" in err
    assert "give --yes" in err
    assert "sk-secret" not in err
    asked: list[str] = []

    def refuse(question: str) -> None:
        asked.append(question)
        raise UsageError("no")

    monkeypatch.setattr("trine.cli.embeddings_evaluate._ask", refuse)
    code, _, err = call(
        "compare", "tiny", "--suite", "suite.toml", "--draws", "2", "--cache", "kept.sqlite",
        "--api", "https://me:pa55@example.invalid/v1", "--api-model", "m",
    )  # fmt: skip
    assert (code, asked) == (2, ["call https://example.invalid/v1 now?"])
    assert "pa55" not in err


def row(model: str, task: str, metric: str, score: float, language: str = "en") -> ScoreRow:
    return ScoreRow(model, task, language, metric, score, None, 10, 4)


ROWS = [
    row("a", "t", "triplet_hard", 1.0), row("a", "t", "accuracy", 50.0, "en"),
    row("a", "t", "accuracy", 60.0, "fr"), row("a", "t", "accuracy", 55.0, "all"),
    row("b", "t", "accuracy", 70.0, "all"), row("b", "u", "spearman", 80.0),
]  # fmt: skip


def test_the_main_score_is_the_first_measure_over_all_languages() -> None:
    assert main_scores(ROWS).drop("se").rows() == [
        ("t", "accuracy", "a, 4-d", 55.0), ("t", "accuracy", "b, 4-d", 70.0),
        ("u", "spearman", "b, 4-d", 80.0),
    ]  # fmt: skip


def test_a_table_has_a_column_for_each_model_and_gaps_where_nothing_is() -> None:
    text = to_markdown(comparison_table(ROWS))
    assert "| task | language | metric | rows | a, 4-d | b, 4-d |" in text
    assert "| t | all | accuracy | 10 | 55.0 | 70.0 |" in text
    assert comparison_table([]).frame.height == 0


def test_models_are_called_short_where_that_is_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("a/en", "b/en", "c/fr", "run1/model", "run2/model", "d/run1/model", "deep/x"):
        (tmp_path / folder).mkdir(parents=True)
    assert shown_names(["a/en", "minilm", "c/fr"], "far") == ["en", "minilm", "fr", "far"]
    assert shown_names(["a/en", "b/en", "c/fr"]) == ["a/en", "b/en", "fr"]
    assert shown_names(["run1/model", "run2/model"]) == ["run1/model", "run2/model"]
    assert shown_names(["run1/model", "d/run1/model"]) == ["run1/model", "d/run1/model"]
    assert shown_names(["minilm", "c/fr"], "minilm") == ["minilm", "fr", "api:minilm"]
    assert shown_names(["c/fr"], "fr") == ["c/fr", "api:fr"]
    # A link that looks like another folder's short name.
    (tmp_path / "run1" / "model-x").mkdir()
    (tmp_path / "e" / "run1").mkdir(parents=True)
    (tmp_path / "e" / "run1" / "model-x").symlink_to(tmp_path / "deep" / "x")
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path / "e")
    with pytest.raises(UsageError, match="2 models would be called 'run1/model-x'; give one of"):
        shown_names(["run1/model-x", "../x", "../run1/model-x"])
    with pytest.raises(UsageError, match="given twice"):
        shown_names(["minilm", "minilm"])


def test_folders_of_the_same_name_are_compared(call: Any, room: Path) -> None:
    shutil.copytree(room / "tiny", room / "two" / "tiny")
    words = ("compare", "tiny", "two/tiny", "--suite", "suite.toml", "--draws", "2")
    code, out, _ = call(*words, "--out", "same.html")
    assert code == 0
    assert "tiny, 16-d" in out
    assert "two/tiny, 16-d" in out
    assert "two/tiny, 16-d" in (room / "same.html").read_text()


def test_a_page_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing was scored"):
        write_comparison([], tmp_path / "p.html")
    with pytest.raises(UsageError, match="given twice"):
        compare(["a", "a"], [])
