"""The head computed again: against numpy on the trained encoder's own vectors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from tests.embeddings.small_encoders import small_encoder
from tests.embeddings.small_training import label_task
from trine.core.seeding import Seeds
from trine.embeddings.config import HeadConfig
from trine.embeddings.encoder import add_head, head_of
from trine.embeddings.inference import Encoder
from trine.embeddings.refit import refit_head


@pytest.fixture
def model(tmp_path: Path) -> SentenceTransformer:
    made = small_encoder(tmp_path)
    add_head(made, [label_task()], HeadConfig(), Seeds(0))
    with torch.no_grad():  # what training might have done
        for parameter in made[0].parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator()))
        head_of(made).linear.weight.mul_(3)
    return made


def test_the_head_is_the_pca_of_the_trained_encoders_vectors(model: SentenceTransformer):
    task = label_task()
    refit_head(model, [task], HeadConfig(), Seeds(0))
    weight = head_of(model).linear.weight.detach().numpy()
    place = next(i for i, module in enumerate(model) if module is head_of(model))
    below = torch.nn.Sequential(*list(model)[:place])
    vectors = Encoder.of(model, modules=below).encode(task.train["text"].to_list())
    centred = vectors - vectors.mean(axis=0)
    # Principal directions by another route: singular vectors; a sign is free.
    singular = np.linalg.svd(centred, full_matrices=False)[2]
    along = np.abs((weight[:3] * singular[:3]).sum(axis=1))
    assert along == pytest.approx(np.ones(3), abs=1e-3)
    assert head_of(model).linear.bias.detach().numpy() == pytest.approx(
        -weight @ vectors.mean(axis=0), abs=1e-4
    )


@pytest.mark.parametrize("again", [False, True])
def test_texts_stand_behind_the_prefixes_of_their_tasks(tmp_path: Path, again: bool):
    tasks = [label_task("own", prefix="red blue "), label_task("plain", seed=2)]
    own, plain = (task.train["text"].to_list() for task in tasks)
    made = small_encoder(tmp_path)
    vectors = Encoder.of(made).encode([f"red blue {text}" for text in own] + plain)
    add_head(made, tasks[1:] if again else tasks, HeadConfig(), Seeds(0))
    if again:
        refit_head(made, tasks, HeadConfig(), Seeds(0))
    weight, bias = (value.detach().numpy() for value in head_of(made).linear.parameters())
    assert bias == pytest.approx(-weight @ vectors.mean(axis=0), abs=1e-4)


def test_a_head_without_closed_form_stays(model: SentenceTransformer):
    before = head_of(model).linear.weight.detach().clone()
    for start in ("random", "none"):
        refit_head(model, [label_task()], HeadConfig(start=start), Seeds(0))
    assert torch.equal(head_of(model).linear.weight, before)


def test_variants_are_made_once_at_the_end(tmp_path: Path):
    tasks = [label_task()]
    config = HeadConfig(start="fitted", fit_variants=2, fit_steps=40, fit_rate=1e-2)

    def started(**changes: object) -> torch.Tensor:
        made = add_head(
            small_encoder(tmp_path), tasks, config.model_copy(update=changes), Seeds(0), (4,)
        )
        return head_of(made).linear.weight.detach().clone()

    plain = started(fit_variants=0)
    assert torch.equal(started(), plain)
    assert not torch.allclose(started(refit=False), plain, atol=1e-3)
    made = add_head(small_encoder(tmp_path), tasks, config, Seeds(0), (4,))
    refit_head(made, tasks, config, Seeds(0), (4,))
    assert torch.allclose(head_of(made).linear.weight, started(refit=False), atol=1e-4)
