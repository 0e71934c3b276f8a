"""The cache of frozen layers: the same numbers and gradients as without it, less work."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer

from tests.embeddings.tiny import WORDS, tiny_encoder
from trine.embeddings.config import ModelConfig
from trine.embeddings.encoder import encoder_layers, freeze
from trine.embeddings.frozen_layers import (
    FrozenLayers,
    cache_frozen_layers,
    can_cache,
    forget_frozen_layers,
)
from trine.embeddings.inference import first_module

TEXTS = ["the bank card", "a red storm in two very blue horse", "cats", "the bank card"]


def _forward(model: SentenceTransformer, texts: list[str]) -> torch.Tensor:
    features: Any = model.preprocess(texts)
    return model(features)["sentence_embedding"]


def _frozen(folder: Path, layers: int = 2, **options: Any) -> SentenceTransformer:
    model = tiny_encoder(folder, **options)
    freeze(model, ModelConfig(freeze_layers=layers))
    return model.train()


def _cache(model: SentenceTransformer, layers: int = 2, **options: Any) -> FrozenLayers:
    cache = cache_frozen_layers(model, layers, **options)
    assert cache is not None
    return cache


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_same_vectors_and_gradients_with_dropout_on(tmp_path: Path, layers: int) -> None:
    plain = _frozen(tmp_path, layers, dropout=0.2)
    kept = copy.deepcopy(plain)
    _cache(kept, layers)
    for texts in (TEXTS, TEXTS[1:3], [TEXTS[2]]):  # other padding, some known already
        outputs: list[torch.Tensor] = []
        for model in (plain, kept):
            torch.manual_seed(3)  # of the dropout above the frozen layers
            model.zero_grad()
            outputs.append(_forward(model, texts))
            if layers < 3:
                outputs[-1][:, 0].sum().backward()
        torch.testing.assert_close(outputs[1], outputs[0], atol=1e-6, rtol=1e-5)
        for one, other in zip(plain.parameters(), kept.parameters(), strict=True):
            assert (one.grad is None) == (other.grad is None)
            if one.grad is not None:
                torch.testing.assert_close(other.grad, one.grad, atol=1e-6, rtol=1e-4)


def test_a_text_is_computed_once(tmp_path: Path) -> None:
    model = _frozen(tmp_path)
    cache = _cache(model)
    runs: list[int] = []
    encoder_layers(model)[0].register_forward_pre_hook(lambda _, given: runs.append(len(given[0])))
    for _ in range(3):
        _forward(model, TEXTS)
    assert runs == [3]  # one of the four comes twice
    assert (cache.misses, cache.hits) == (3, 9)
    _forward(model, [TEXTS[0], "dog"])
    assert runs == [3, 1]


def test_layers_above_are_trained_and_their_change_is_seen(tmp_path: Path) -> None:
    model = _frozen(tmp_path, dropout=0.0)
    _cache(model)
    rates = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    before = _forward(model, TEXTS)
    before[:, 0].sum().backward()
    rates.step()
    after = _forward(model, TEXTS)
    assert (after - before).abs().max() > 1e-3
    forget_frozen_layers(model)
    torch.testing.assert_close(_forward(model, TEXTS), after, atol=1e-6, rtol=1e-5)


def test_memory_has_a_limit_and_what_does_not_fit_is_computed_again(tmp_path: Path) -> None:
    model = _frozen(tmp_path, dropout=0.0)
    wanted = _forward(model, TEXTS)
    cache = _cache(model, memory=5 * 16 * 4 + 1)  # [CLS] the bank card [SEP] at width 16
    for _ in range(2):
        torch.testing.assert_close(_forward(model, TEXTS), wanted, atol=1e-6, rtol=1e-5)
    assert cache.bytes <= 5 * 16 * 4
    assert cache.hits > 0
    assert cache.misses > 3


def test_nothing_is_kept_in_evaluation(tmp_path: Path) -> None:
    model = _frozen(tmp_path)
    cache = _cache(model)
    model.eval()
    model.encode(list(WORDS))
    assert cache.bytes == 0


def test_names_of_weights_and_the_saved_folder_are_the_plain_ones(tmp_path: Path) -> None:
    model = _frozen(tmp_path)
    names = list(model.state_dict())
    _cache(model)
    assert list(model.state_dict()) == names
    model.save_pretrained(str(tmp_path / "out"), create_model_card=False)
    again = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    torch.testing.assert_close(
        again.encode(TEXTS, convert_to_tensor=True),
        model.eval().encode(TEXTS, convert_to_tensor=True),
    )


def test_a_copy_has_its_own_weights_and_the_same_memory(tmp_path: Path) -> None:
    model = _frozen(tmp_path, dropout=0.0)
    cache = _cache(model)
    _forward(model, TEXTS)
    twin = copy.deepcopy(model)
    wanted = _forward(model, TEXTS)
    with torch.no_grad():
        for layer in encoder_layers(model)[2:]:
            for parameter in layer.parameters():
                parameter.zero_()
    torch.testing.assert_close(_forward(twin, TEXTS), wanted)
    assert cache.misses == 3


def test_padding_on_the_left_is_left_to_the_encoder_itself(tmp_path: Path) -> None:
    model = _frozen(tmp_path, dropout=0.0)
    features: Any = model.preprocess(TEXTS[:3])
    ids = features["input_ids"].flip(1)
    mask = features["attention_mask"].flip(1)
    inner = first_module(model).auto_model
    wanted = inner(input_ids=ids, attention_mask=mask).last_hidden_state
    cache = _cache(model)
    found = inner(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(found, wanted)
    assert cache.misses == 0


def test_an_encoder_of_another_make_is_left_alone(tmp_path: Path) -> None:
    model = tiny_encoder(tmp_path)
    first_module(model).auto_model.encoder = torch.nn.Identity()
    assert not can_cache(model)
    assert cache_frozen_layers(model, 1) is None
