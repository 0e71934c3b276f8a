"""Batches by length, and vectors against the library's own; the exported graph against both."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.embeddings.tiny import WORDS, tiny_encoder
from trine.core.errors import DataError, UsageError
from trine.embeddings.config import TaskConfig
from trine.embeddings.inference import Encoder, batches_by_length, encoder_named, open_encoder
from trine.embeddings.onnx_export import export_onnx, has_onnx, open_onnx, quality_loss
from trine.embeddings.tasks import Task

Lengths = st.lists(st.integers(1, 300), max_size=60)


@given(Lengths, st.integers(1, 2000), st.integers(0, 200))
def test_batches_hold_every_text_once_within_the_budget(
    lengths: list[int], budget: int, cost: int
) -> None:
    batches = list(batches_by_length(lengths, budget, cost))
    assert sorted(int(i) for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
    firsts = [lengths[batch[0]] for batch in batches]
    assert firsts == sorted(firsts, reverse=True)


def test_padding_is_cut_where_it_costs_more_than_a_pass() -> None:
    def sizes(cost: int) -> list[int]:
        return [len(batch) for batch in batches_by_length([4] * 10 + [50] * 2, 10_000, cost)]

    # One batch pads ten texts by 46 tokens: 460 in all.
    assert sizes(459) == [2, 10]
    assert sizes(461) == [12]


TEXTS = [
    "the bank", "a red bird and a blue horse in the rain", "one", "", "snow " * 200, "wind" * 3000,
]  # fmt: skip


def test_a_gpu_gets_larger_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_encoder(tmp_path)
    small = Encoder.of(model)
    monkeypatch.setattr(type(model), "device", property(lambda _: torch.device("cuda")))
    large = Encoder.of(model)
    assert large.token_budget > 10 * small.token_budget
    assert large.pass_cost > 10 * small.pass_cost
    assert Encoder.of(model, token_budget=7).token_budget == 7


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
@pytest.mark.parametrize("budget", [1, 40, 2048])
def test_vectors_are_the_librarys(tmp_path: Path, kind: Any, budget: int) -> None:
    model = tiny_encoder(tmp_path, kind, prefix="one two ")
    encoder = Encoder.of(model, token_budget=budget)
    vectors, counts = encoder.encode_counted(TEXTS)
    np.testing.assert_allclose(vectors, model.encode(TEXTS), atol=1e-5)
    assert counts[2] == 5  # two tokens around, two of the prefix
    assert max(counts) == 64
    assert encoder.encode([]).shape == (0, 16)


# Few tokens in many characters: blanks, words that are one unknown token, a word across the place
# where long texts are cut (32 characters a token of the limit, 2,048 here), and white space that
# is a border of words to Python and none to BERT.
LONG = [
    " " * 9000 + "the red bird", "x" * 9000 + " the red bird", "\n" * 9000 + "one", "y" * 9000,
    "the " * 20 + "z" * 9000, "a " * 1000 + "w" * 90 + " the bank" * 90, "one\x0b" * 3000 + "two",
    ("x" * 130 + " ") * 40 + "snow " * 90, "红" * 9000, " ".join(WORDS) * 90,
]  # fmt: skip


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_long_texts_are_cut_where_the_library_cuts_them(tmp_path: Path, kind: Any) -> None:
    model = tiny_encoder(tmp_path, kind, prefix="one ")
    np.testing.assert_allclose(Encoder.of(model).encode(LONG), model.encode(LONG), atol=1e-5)


def test_a_text_of_megabytes_is_not_tokenised_whole(tmp_path: Path) -> None:
    encoder = Encoder.of(tiny_encoder(tmp_path))
    seen: list[int] = []
    tokenizer = encoder._tokenizer

    def spy(texts: list[str], **options: Any) -> Any:
        seen.extend(len(text) for text in texts)
        return tokenizer(texts, **options)

    encoder._tokenizer = spy
    encoder.encode(["the red bird " * 500_000, "one", " " * 9000 + "one"])
    assert seen == [2044, 3, 2047, 9003]


def texts(count: int) -> list[str]:
    generator = np.random.default_rng(0)
    return [" ".join(generator.choice(WORDS, int(n))) for n in generator.integers(1, 30, count)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, Path]:
    folder = tmp_path_factory.mktemp("exported")
    model = tiny_encoder(folder, prefix="the ")
    export_onnx(model, folder / "float")
    export_onnx(model, folder / "int8", int8=True)
    return model, folder / "float", folder / "int8"


def test_the_graph_gives_the_models_vectors(exported: tuple[Any, Path, Path]) -> None:
    model, folder, _ = exported
    encoder = open_onnx(folder, threads=1)
    assert (encoder.width, encoder.prefix) == (16, "the ")
    np.testing.assert_allclose(encoder.encode(texts(64)), model.encode(texts(64)), atol=1e-4)
    # The model itself is as it was: not traced, not in another form of attention.
    np.testing.assert_allclose(Encoder.of(model).encode(TEXTS), model.encode(TEXTS), atol=1e-5)
    assert model[0].auto_model.config._attn_implementation == "sdpa"


def test_attention_is_fused(exported: tuple[Any, Path, Path]) -> None:
    import onnx

    _, floats, int8 = exported
    kinds = [node.op_type for node in onnx.load(floats / "model.onnx").graph.node]
    assert kinds.count("Attention") == 3
    kinds = [node.op_type for node in onnx.load(int8 / "model.onnx").graph.node]
    assert "MatMul" not in kinds  # every matrix is in 8 bits


def test_eight_bits_are_near_and_the_loss_is_measured(
    exported: tuple[Any, Path, Path],
) -> None:
    import polars as pl

    model, floats, int8 = exported
    asked = texts(64)
    cosines = (open_encoder(int8, threads=1).encode(asked) * model.encode(asked)).sum(axis=1)
    assert cosines.min() > 0.98
    frame = pl.DataFrame(
        {
            "row": range(64), "split": ["test"] * 64, "language": ["en"] * 64, "text": asked,
            "pair": asked[::-1], "score": np.linspace(0, 5, 64), "labels": [[]] * 64,
        },
        schema_overrides={"labels": pl.List(pl.String)},
    )  # fmt: skip
    config = TaskConfig(name="likeness", source="x.csv", kind="graded", pair="pair", score="score")
    task = Task(config, frame)
    same = quality_loss(model, floats, [task])
    assert same["tasks"][0]["metric"] == "spearman"
    assert abs(same["mean"]) < 0.05
    changed = quality_loss(model, int8, [task])
    (row,) = changed["tasks"]
    assert row["loss"] == pytest.approx(row["before"] - row["after"])
    assert changed["mean"] == pytest.approx(row["loss"])
    assert quality_loss(model, int8, [])["mean"] is None


def test_broken_exports_are_named(exported: tuple[Any, Path, Path], tmp_path: Path) -> None:
    assert not has_onnx(tmp_path)
    with pytest.raises(DataError, match=r"has no model\.onnx.*export MODEL --onnx"):
        open_onnx(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    settings = json.loads((exported[1] / "trine_onnx.json").read_text())
    (tmp_path / "trine_onnx.json").write_text(json.dumps(settings))
    (tmp_path / "tokenizer.json").write_bytes((exported[1] / "tokenizer.json").read_bytes())
    with pytest.raises(DataError, match="not an ONNX graph"):
        open_onnx(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("trine_onnx.json", b'{"max_tokens": 51', "trine_onnx.json is not JSON"),
        ("trine_onnx.json", b"\xff\xfe\x00", "trine_onnx.json is not JSON"),
        ("trine_onnx.json", b"[]", "trine_onnx.json has no max_tokens that can be used"),
        ("trine_onnx.json", b'{"max_tokens": 0}', "has no max_tokens"),
        ("trine_onnx.json", b'{"max_tokens": 8, "prefix": ""}', "has no pad_token"),
        ("trine_onnx.json", b'{"max_tokens": 8, "prefix": null}', "has no prefix"),
        ("trine_onnx.json", None, "has no trine_onnx.json"),
        ("model.onnx", None, "has no model.onnx"),
        ("tokenizer.json", None, "has no tokenizer.json"),
        ("tokenizer.json", b"", "tokenizer.json is not a tokenizer"),
        ("tokenizer.json", b'{"version": "1.0"', "tokenizer.json is not a tokenizer"),
    ],
)
def test_damaged_exports_are_one_line(
    exported: tuple[Any, Path, Path], tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(exported[1], folder)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        encoder_named(str(folder))  # it is told as an export, not as a folder without a model
    assert "export the model again" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_of_encoders(exported: tuple[Any, Path, Path], tmp_path: Path) -> None:
    model, folder, _ = exported
    model.save_pretrained(str(tmp_path / "plain"), create_model_card=False)
    for name in (folder, tmp_path / "plain"):
        found = encoder_named(str(name)).encode(TEXTS)
        np.testing.assert_allclose(found, model.encode(TEXTS), atol=1e-4)
    with pytest.raises(UsageError, match="unknown base 'minilmm'"):
        encoder_named("minilmm")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="not a model"):
        encoder_named(str(tmp_path / "empty"))
