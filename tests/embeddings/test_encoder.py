"""The model at its start, cut to a width, frozen in parts, averaged, and read from a folder."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError
from sentence_transformers import SentenceTransformer

from tests.embeddings.tiny import WORDS, tiny_encoder
from trine.core.errors import DataError, UsageError
from trine.core.seeding import Seeds
from trine.embeddings.adapters import has_adapters
from trine.embeddings.building import build_encoder, finish
from trine.embeddings.config import HeadConfig, ModelConfig, Recipe, TaskConfig
from trine.embeddings.encoder import (
    add_head,
    average_with,
    best_device,
    cut,
    encoder_layers,
    freeze,
    head_of,
    load_base,
    load_model,
)
from trine.embeddings.inference import first_module
from trine.embeddings.tasks import Task

TEXTS = ["the bank card", "a red storm", "cats in the rain"]


def head_tasks(rows: int = 60) -> list[Task]:
    """Two tasks of random sentences: labelled texts, and graded pairs."""
    draw = np.random.default_rng(3)
    texts = [" ".join(draw.choice(WORDS, 5)) for _ in range(2 * rows)]
    frame = pl.DataFrame(
        {
            "row": list(range(rows)),
            "split": ["train", "train", "test"] * (rows // 3),
            "language": ["en"] * rows,
            "text": texts[:rows],
            "pair": [None] * rows,
            "labels": [[WORDS[i % 3]] for i in range(rows)],
            "score": [None] * rows,
        },
        schema_overrides={"pair": pl.String, "score": pl.Float64, "row": pl.UInt32},
    )
    graded = frame.with_columns(
        pair=pl.Series(texts[rows:]), score=pl.lit(0.5), labels=pl.lit([], pl.List(pl.String))
    )
    return [
        Task(TaskConfig(name="topics", source="topics.csv"), frame),
        Task(TaskConfig(name="pairs", source="p.csv", kind="graded", pair="pair"), graded),
    ]


def _recipe(folder: Path, **model: Any) -> Recipe:
    tiny_encoder(folder)
    return Recipe(
        tasks=tuple(task.config for task in head_tasks()),
        dimension=4,
        model=ModelConfig(base=str(folder / "tiny"), **model),
    )


@pytest.fixture
def model(tmp_path: Path) -> SentenceTransformer:
    return add_head(tiny_encoder(tmp_path), head_tasks(), HeadConfig(), Seeds(0))


def test_a_cut_model_has_the_first_numbers_brought_to_length_one(
    model: SentenceTransformer,
) -> None:
    full = model.encode(TEXTS)
    for width in (1, 4, 16):
        small = cut(model, width)
        wanted = full[:, :width] / np.linalg.norm(full[:, :width], axis=1, keepdims=True)
        np.testing.assert_allclose(small.encode(TEXTS), wanted, atol=1e-5)
        assert small.get_embedding_dimension() == width
    assert model.get_embedding_dimension() == 16


def test_a_copy_that_is_cut_does_not_share_weights(model: SentenceTransformer) -> None:
    small = cut(model, 4)
    before = model.encode(TEXTS)
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.zero_()
    assert np.array_equal(model.encode(TEXTS), before)


def test_a_width_that_the_head_does_not_have_is_refused(
    model: SentenceTransformer, tmp_path: Path
) -> None:
    for width in (0, -3, 17):
        with pytest.raises(UsageError, match=rf"width {width}; accepted: 1 to 16"):
            cut(model, width)
    with pytest.raises(UsageError, match="a model with a head"):
        cut(tiny_encoder(tmp_path / "other"), 4)


def test_a_head_that_is_a_rotation_keeps_all_cosines(tmp_path: Path) -> None:
    plain = tiny_encoder(tmp_path)
    vectors = plain.encode(TEXTS)
    turned = add_head(
        SentenceTransformer(str(tmp_path / "tiny"), device="cpu"),
        head_tasks(),
        HeadConfig(start="random", centre=False),
        Seeds(0),
    ).encode(TEXTS)
    np.testing.assert_allclose(turned @ turned.T, vectors @ vectors.T, atol=1e-5)
    assert np.abs(turned - vectors).max() > 0.1


def test_no_head_if_the_recipe_wants_none(tmp_path: Path) -> None:
    plain = tiny_encoder(tmp_path)
    vectors = plain.encode(TEXTS)
    same = add_head(plain, head_tasks(), HeadConfig(start="none"), Seeds(0))
    np.testing.assert_allclose(same.encode(TEXTS), vectors, atol=1e-6)
    assert cut(same, 4).get_embedding_dimension() == 4


def test_frozen_parts_have_no_gradient_and_no_dropout(model: SentenceTransformer) -> None:
    trained = freeze(model, ModelConfig(freeze_layers=2))
    layers = encoder_layers(model)
    assert trained == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert all(not p.requires_grad for layer in layers[:2] for p in layer.parameters())
    assert all(p.requires_grad for p in layers[2].parameters())
    assert all(p.requires_grad for p in head_of(model).parameters())
    inner = first_module(model).auto_model
    assert all(not p.requires_grad for p in inner.embeddings.parameters())
    rates = {
        m.p for part in (inner.embeddings, *layers[:2]) for m in part.modules()
        if isinstance(m, torch.nn.Dropout)
    }  # fmt: skip
    assert rates == {0.0}
    assert {m.p for m in layers[2].modules() if isinstance(m, torch.nn.Dropout)} == {0.1}


def test_only_the_table_is_frozen_if_only_that_is_asked(model: SentenceTransformer) -> None:
    freeze(model, ModelConfig(freeze_vocabulary=True))
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert len(frozen) == 1
    assert frozen[0].endswith("word_embeddings.weight")
    with pytest.raises(UsageError, match=r"freeze_layers = 4; accepted: 0 to 3"):
        freeze(model, ModelConfig(freeze_layers=4))


def test_the_average_is_between_and_the_head_stays(model: SentenceTransformer) -> None:
    inner = first_module(model).auto_model
    start = {name: value.clone() for name, value in inner.state_dict().items()}
    head = head_of(model).linear.weight.clone()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    average_with(model, start, 0.25)
    for name, value in inner.state_dict().items():
        torch.testing.assert_close(value, start[name] + 0.25)
    torch.testing.assert_close(head_of(model).linear.weight, head + 1.0)


def test_a_prefix_and_a_limit_of_the_recipe_are_the_models(tmp_path: Path) -> None:
    tiny_encoder(tmp_path)
    place = str(tmp_path / "tiny")
    plain, _ = load_base(ModelConfig(base=place))
    own, base = load_base(ModelConfig(base=place, prefix="my: ", max_tokens=8))
    assert base.is_local
    np.testing.assert_allclose(
        own.encode(["dog"]), plain.encode(["my: dog"]), atol=1e-6
    )  # by itself
    np.testing.assert_allclose(
        own.encode(["dog " * 20]), own.encode(["dog " * 30]), atol=1e-6
    )  # cut


def test_everything_of_a_recipe_at_once_trains_and_ends_plain(tmp_path: Path) -> None:
    recipe = _recipe(tmp_path, freeze_layers=1, lora_rank=2, prune_vocabulary=True)
    tasks = head_tasks()
    model, base = build_encoder(recipe, tasks, Seeds(0))
    assert base.place == str(tmp_path / "tiny")
    assert has_adapters(model)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {"lora_" in name for name in trained} == {True, False}
    assert {name for name in trained if "lora_" not in name} == {"3.linear.weight", "3.linear.bias"}
    assert not any(".layer.0." in name for name in trained)
    model.train()
    features: Any = model.preprocess(TEXTS)
    model(features)["sentence_embedding"][:, 0].sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1).step()
    model.eval()
    vectors = model.encode(TEXTS)
    small = cut(finish(model), recipe.dimension)
    assert not has_adapters(small)
    wanted = vectors[:, :4] / np.linalg.norm(vectors[:, :4], axis=1, keepdims=True)
    np.testing.assert_allclose(small.encode(TEXTS), wanted, atol=1e-5)
    assert set(first_module(small).auto_model.state_dict()) == set(
        first_module(load_model(tmp_path / "tiny")).auto_model.state_dict()
    )


def test_a_seed_gives_the_same_model(tmp_path: Path) -> None:
    recipe = _recipe(tmp_path, lora_rank=2)
    one, other = (build_encoder(recipe, head_tasks(), Seeds(1))[0].state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_dimension_above_the_width_is_refused(tmp_path: Path) -> None:
    recipe = _recipe(tmp_path).model_copy(update={"dimension": 50})
    with pytest.raises(UsageError, match="dimension 50; accepted: 2 to 16"):
        build_encoder(recipe, head_tasks(), Seeds(0))


def test_models_are_put_on_the_gpu_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert best_device() == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert best_device() == "cpu"
    tiny_encoder(tmp_path / "tiny").save(str(tmp_path / "saved"), create_model_card=False)
    assert load_model(tmp_path / "saved").device.type == "cpu"


def test_places_without_a_model_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"neither modules\.json nor config\.json"):
        load_model(tmp_path / "empty")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file"):
        load_model(tmp_path / "file")
    monkeypatch.chdir(tmp_path)
    for place in (tmp_path / "absent", "./absent", "absent", "empty/absent"):
        with pytest.raises(DataError, match=r"no folder .*absent"):
            load_model(place)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match="HF_HUB_OFFLINE forbids fetching it"):
        load_model("nobody/no-such-model-here")


def test_a_name_that_the_hub_does_not_know_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(self: HfApi, name: str, **options: Any) -> None:
        raise RepositoryNotFoundError.__new__(RepositoryNotFoundError)

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(HfApi, "model_info", unknown)
    with pytest.raises(DataError, match="the hub has no model nobody/no-such-model"):
        load_model("nobody/no-such-model")
    monkeypatch.undo()
    for name in ("no--body/x", "nobody/x..y", "nobody/x.git"):  # the form is checked here
        with pytest.raises(DataError, match=f"the hub has no model {name}"):
            load_model(name)


_NO_HUB = """
from trine.core.errors import DataError
from trine.embeddings.encoder import load_model
print(load_model("owner/kept", device="cpu").get_embedding_dimension())
try:
    load_model("owner/absent", device="cpu")
except DataError as error:
    print(error)
"""


def test_without_a_hub_the_cache_is_used_and_nothing_is_tried_again(tmp_path: Path) -> None:
    tiny_encoder(tmp_path)
    kept = tmp_path / "hf" / "hub" / "models--owner--kept"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("0" * 40)
    shutil.copytree(tmp_path / "tiny", kept / "snapshots" / ("0" * 40))
    width = load_model(tmp_path / "tiny").get_embedding_dimension()
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    # Nobody listens at the port of "discard".
    environment |= {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hf")}
    done = subprocess.run(
        [sys.executable, "-c", _NO_HUB], capture_output=True, text=True, env=environment, check=True
    )
    first, second = done.stdout.splitlines()
    assert first == str(width)
    assert "owner/absent is no folder here and not cached, and the hub does not answer" in second
    assert "Retrying" not in done.stderr
    assert "owner/kept is taken from the cache" in done.stderr


@pytest.mark.parametrize("harm", ["config", "weights", "no weights", "modules", "tokenizer"])
def test_a_broken_folder_is_told_in_one_line(tmp_path: Path, harm: str) -> None:
    tiny_encoder(tmp_path)
    folder = tmp_path / "tiny"
    if harm == "no weights":
        (folder / "model.safetensors").unlink()
    else:
        name = {"config": "config.json", "weights": "model.safetensors",
                "modules": "modules.json", "tokenizer": "tokenizer.json"}[harm]  # fmt: skip
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot load the model") as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_a_folder_that_lost_its_list_of_modules_is_not_taken_for_the_bare_encoder(
    tmp_path: Path,
) -> None:
    tiny_encoder(tmp_path / "tiny").save(str(tmp_path / "saved"), create_model_card=False)
    (tmp_path / "saved" / "modules.json").unlink()
    with pytest.raises(DataError, match=r"damaged: .* no modules\.json"):
        load_model(tmp_path / "saved")


def test_loading_leaves_the_libraries_talk_as_it_was(tmp_path: Path) -> None:
    from transformers.utils import logging as library

    tiny_encoder(tmp_path, prefix="my: ")
    before = library.is_progress_bar_enabled()
    load_model(tmp_path / "tiny")
    assert library.is_progress_bar_enabled() == before
    assert logging.getLogger("sentence_transformers.base.model").level != logging.ERROR
