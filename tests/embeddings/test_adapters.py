"""Low-rank adapters start at nothing, are all that is trained, and vanish into the weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from tests.embeddings.tiny import tiny_encoder
from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.embeddings.adapters import add_adapters, has_adapters, merge_adapters

TEXTS = ["the bank card", "a red storm"]


def _moved(model: SentenceTransformer) -> None:
    """As training would: every trained weight of the encoder a little elsewhere."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw))


def test_they_start_at_nothing_and_are_all_that_is_trained(tmp_path: Path) -> None:
    model = tiny_encoder(tmp_path)
    before = model.encode(TEXTS)
    names = add_adapters(model, 2, Seeds(0))
    assert len(names) == 3 * 6  # query, key, value, output and the two of the feed-forward part
    np.testing.assert_allclose(model.encode(TEXTS), before, atol=1e-6)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 3 * 2 * (
        4 * (16 + 16) + 2 * (16 + 32)
    )


def test_merged_the_model_is_plain_and_gives_the_same_vectors(tmp_path: Path) -> None:
    model = tiny_encoder(tmp_path)
    names = list(model.state_dict())
    start = model.encode(TEXTS)
    add_adapters(model, 2, Seeds(0))
    _moved(model)
    trained = model.encode(TEXTS)
    assert np.abs(trained - start).max() > 1e-2
    merge_adapters(model)
    assert not has_adapters(model)
    assert list(model.state_dict()) == names
    np.testing.assert_allclose(model.encode(TEXTS), trained, atol=1e-5)
    model.save_pretrained(str(tmp_path / "out"), create_model_card=False)
    assert not list((tmp_path / "out").rglob("adapter*"))
    again = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    np.testing.assert_allclose(again.encode(TEXTS), trained, atol=1e-5)


def test_layers_below_the_first_get_none(tmp_path: Path) -> None:
    model = tiny_encoder(tmp_path)
    assert {name.split(".")[2] for name in add_adapters(model, 2, Seeds(0), first_layer=1)} == {
        "1",
        "2",
    }
    other = tiny_encoder(tmp_path)
    with pytest.raises(UsageError, match="no layer to adapt from layer 3 on"):
        add_adapters(other, 2, Seeds(0), first_layer=3)


def test_their_start_is_of_the_seed_and_the_global_generator_is_left_alone(tmp_path: Path) -> None:
    starts: list[torch.Tensor] = []
    for seed in (0, 0, 1):
        model = tiny_encoder(tmp_path)
        state = torch.get_rng_state()
        add_adapters(model, 2, Seeds(seed))
        assert torch.equal(torch.get_rng_state(), state)
        starts.append(
            torch.cat([p.flatten() for name, p in model.named_parameters() if "lora_A" in name])
        )
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])


def test_a_model_without_adapters_is_left_as_it_is(tmp_path: Path) -> None:
    model = tiny_encoder(tmp_path)
    before = model.encode(TEXTS)
    merge_adapters(model)
    assert np.array_equal(model.encode(TEXTS), before)
