"""Rows and tables of the embeddings benchmark, on a tiny encoder; nothing is said about times."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import polars as pl
import pytest
from benchmarks import embeddings, embeddings_server
from benchmarks.embeddings import (
    Sizes,
    encoding_rows,
    encoding_table,
    long_texts,
    main,
    training_row,
    training_table,
)
from benchmarks.embeddings_lengths import joint_steps
from benchmarks.embeddings_lengths_table import best_of_each, chosen_variant, variants_table
from benchmarks.embeddings_memory import Case, memory_row, memory_table
from benchmarks.embeddings_server import MODES, load, server_table, started, texts_in_a_pass

from tests.embeddings import study_frames
from tests.embeddings.test_serving import server
from tests.embeddings.tiny import tiny_encoder, tiny_tokenizer
from trine.core.extras import available
from trine.core.tables import to_markdown
from trine.embeddings.config import ModelConfig, Recipe, TaskConfig
from trine.embeddings.inference import open_encoder

SMALL = Sizes(short=6, long=1, mixed=6, turns=1, steps=1, pairs=4, seconds=0.1)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_encoder(folder)
    return ModelConfig(base=str(folder / "tiny"))


@pytest.mark.skipif(not available("onnx"), reason="needs the extra `onnx`")
def test_every_set_of_texts_has_a_line_for_every_route(
    base: ModelConfig, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("TRINE_DATA", raising=False)
    rows = encoding_rows(SMALL, base)
    assert [(r["texts"], r["route"]) for r in rows] == [
        (texts, route)
        for texts in ("short (search queries)", "128 tokens", "mixed lengths")
        for route in embeddings.ROUTES
    ]
    for row in rows:
        assert row["ratio"]["mean"] == pytest.approx(row["ours"]["mean"] / row["plain"]["mean"])
        assert row["least_cosine"] > (0.9 if row["route"] == "ONNX int8" else 0.9999)
    # This model cuts texts at 64 tokens.
    assert "| 128 tokens | 1 | 64.0 |" in to_markdown(encoding_table(rows))


def test_long_texts_have_the_length_that_is_said():
    tokenizer = tiny_tokenizer("wordpiece")
    texts = long_texts(["the bank card"] * 200, tokenizer, 3)
    assert [len(row) for row in tokenizer(texts)["input_ids"]] == [128] * 3


def test_both_trainers_take_a_step(base: ModelConfig):
    row = training_row(SMALL, base)
    assert 0 <= row["padding_ours"] < 1
    assert 0 <= row["padding_plain"] < 1
    assert row["ratio"]["mean"] > 0
    assert "| queries and posts, 4 pairs a batch |" in to_markdown(training_table([row]))


def test_a_step_tells_its_memory_whole_and_in_pieces(base: ModelConfig):
    rows = [memory_row(Case(8, pieces, base)) for pieces in (4, 0)]
    assert rows[0]["tokens"] == rows[1]["tokens"] > 0
    assert all(row["peak_bytes"] >= row["peak_bytes_before"] > 2**20 for row in rows)
    table = to_markdown(memory_table(rows))
    assert "| queries and posts, 8 pairs a batch | 4 |" in table
    assert table.count("| queries and posts, 8 pairs a batch |") == 2


def test_clients_are_answered_and_counted(base: ModelConfig):
    encoder = open_encoder(Path(base.base))
    with server(encoder) as address:
        found = asyncio.run(
            load(f"{address}/v1", ["one", "two"], clients=3, per_request=2, seconds=0.1)
        )
        assert len(found.latencies) >= 3
        assert found.errors == []
        assert texts_in_a_pass(f"{address}/v1") >= 2
        wrong = asyncio.run(load(f"{address}/no", ["one"], clients=1, per_request=1, seconds=0.01))
    assert wrong.latencies == []
    assert "404" in wrong.errors[0]


def test_a_server_is_waited_for_and_ended():
    code = "import sys, time; print('serving x at http://127.0.0.1:1/v1 (no key)', file=sys.stderr"
    with started([sys.executable, "-c", code + ", flush=True); time.sleep(60)"]) as (at, process):
        assert at == "http://127.0.0.1:1/v1"
        assert process.is_running()
    assert not process.is_running()
    with (
        pytest.raises(RuntimeError, match="no such model"),
        started([sys.executable, "-c", "raise SystemExit('no such model')"]),
    ):
        pass


def test_a_served_case_has_a_line_for_each_mode():
    turn = {"rate": 50.0, "latencies": [0.1, 0.2], "errors": [], "server": 1.0, "clients": 0.5}
    mode = embeddings_server._mode([turn, turn])
    assert mode["requests"] == 4
    assert mode["server_cpu_ms"] == 500
    row = {
        "case": "a case", "clients": 2, "seconds": 1.0, "turns": 2, "wanted": 2.0,
        "ratio": {"mean": 1.5, "standard_error": 0.1},
        **{name: mode | {"texts_in_a_pass": 3.0} for name in MODES},
    }  # fmt: skip
    text = to_markdown(server_table([row]))
    assert "| a case | yes | 1 | 50 ± 0 |" in text
    assert "| a case | no | 1 | 50 ± 0 |" in text
    assert "1.50 ± 0.10" in text


def test_any_other_option_is_refused(capsys: pytest.CaptureFixture[str]):
    assert main(["--fast"]) == 2
    assert "accepted: nothing, or --quick" in capsys.readouterr().err


def _lengths() -> pl.DataFrame:
    """One task at two lengths: alone it is better short, together long, on either split."""
    scores = {("single", 10): 60.0, ("multi", 10): 58.0, ("single", 40): 50.0, ("multi", 40): 70.0}
    parts = [
        study_frames.frame(
            [study_frames.row(arm, "a", score + seed, trained="a" * (arm == "single"), seed=seed)]
        ).with_columns(pl.lit(steps).alias("steps"), head=pl.lit("computed"), split=pl.lit(split))
        for (arm, steps), score in scores.items()
        for seed in range(3)
        for split in ("validation", "test")
    ]
    return pl.concat(parts)


def test_the_length_is_chosen_for_the_single_task_models_and_all_are_told():
    recipe = Recipe(tasks=(TaskConfig(name="a", source="x.csv"),))
    assert chosen_variant(_lengths(), recipe) == (50, 10, "computed")
    test = variants_table(_lengths(), recipe).filter(pl.col("split") == "test")
    assert test.select("steps", "task", "chosen", "difference").rows() == [
        (10, "a", True, -2.0),
        (10, "mean", True, -2.0),
        (40, "a", False, 20.0),
        (40, "mean", False, 20.0),
    ]


def test_a_length_that_lacks_tasks_is_not_chosen():
    recipe = Recipe(tasks=(TaskConfig(name="a", source="x.csv"),))
    rows = _lengths().filter((pl.col("steps") == 40) | (pl.col("seed") > 0))
    assert chosen_variant(rows, recipe) == (50, 40, "computed")


def test_validation_rows_choose_how_long_a_task_stays() -> None:
    recipe = Recipe(tasks=(TaskConfig(name="a", source="x.csv"),))
    # Scores on validation and on test, by seed, of those that stay, leave after 80, learn alone.
    scores = {
        ("multi", "stays"): [(60.0, 50.0), (60.0, 51.0), (60.0, 52.0)],
        ("multi", "80"): [(61.0, 40.0), (60.0, 41.0), (59.0, 42.0)],
        ("single", ""): [(50.0, 70.0), (62.0, 71.0), (60.0, 72.0)],
    }
    rows = pl.concat(
        study_frames.frame(
            [study_frames.row(arm, "a", score, trained="a" * (arm == "single"), seed=seed)]
        ).with_columns(
            pl.lit(split).alias("split"), steps=320, head=pl.lit("computed"), left=pl.lit(left)
        )
        for (arm, left), seeds in scores.items()
        for seed, both in enumerate(seeds)
        for split, score in zip(("validation", "test"), both, strict=True)
    )

    def chosen(**how: bool) -> list[float]:
        found = best_of_each(rows, recipe, **how)
        test = found.filter((pl.col("split") == "test") & (pl.col("arm") == "multi"))
        assert found.filter(pl.col("arm") == "single").height == 6
        return test.sort("seed")["score"].to_list()

    assert chosen() == [40.0, 51.0, 52.0]  # of equals the one that stays longer
    assert chosen(alone=True) == [40.0, 71.0, 52.0]
    again = pl.concat(
        [rows, rows.filter(pl.col("left") == "80").with_columns(pl.lit("0").alias("left"))]
    )
    assert best_of_each(again, recipe, alone=True).height == rows.height - 6  # one a seed
    older = pl.concat([rows.filter(pl.col("arm") == "single"), rows.filter(pl.col("left") == "80")
                       .with_columns(pl.lit(None, pl.String).alias("left"))])  # fmt: skip
    assert best_of_each(older, recipe).filter(pl.col("arm") == "multi").height == 6
    without = rows.drop("left")
    assert best_of_each(without, recipe).equals(without)


def test_equal_updates_with_fewer_tasks_in_a_step_make_more_steps() -> None:
    tasks = tuple(TaskConfig(name=f"t{i}", source="t.csv") for i in range(9))

    def steps(updates: int, **training: float) -> int:
        return joint_steps(Recipe.model_validate({"tasks": tasks, "training": training}), updates)

    assert steps(80) == 80
    assert steps(80, tasks_per_step=1, alpha=0) == 720
    assert steps(80, tasks_per_step=3, alpha=0) == 240
    with pytest.raises(SystemExit, match=r"equal updates need training\.alpha=0"):
        steps(80, tasks_per_step=1)  # drawn by size
    with pytest.raises(SystemExit, match="80 updates of 9 tasks are no whole number of steps of 7"):
        steps(80, tasks_per_step=7, alpha=0)
