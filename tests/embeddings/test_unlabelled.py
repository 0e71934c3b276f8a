"""Unlabelled text as a task: nothing but the base's similarities pulls on it."""

from pathlib import Path

import polars as pl
import pytest
import torch

from tests.embeddings.small_encoders import sentence, small_encoder
from tests.embeddings.small_training import label_task, small_recipe
from trine.core.errors import ConfigError
from trine.core.progress import EventProgress
from trine.core.records import read_metrics
from trine.core.seeding import Seeds
from trine.embeddings.config import Recipe, TaskConfig, load_recipe
from trine.embeddings.evaluation import evaluate_model
from trine.embeddings.loading import load_task
from trine.embeddings.losses.distillation import no_contrast
from trine.embeddings.tasks import Task
from trine.embeddings.training import fit

RECIPE = """
[training]
distillation = {weight}

[[tasks]]
name = "plain"
source = "plain.csv"
kind = "unlabelled"
"""


def plain_task(folder: Path) -> Task:
    texts = [sentence(i % 30, (7 * i) % 31, (3 * i) % 29) for i in range(40)]
    pl.DataFrame({"text": texts}).write_csv(folder / "plain.csv")
    config = TaskConfig(name="plain", source="plain.csv", kind="unlabelled")
    return load_task(config, folder)[0]


def test_the_criterion_is_zero_with_a_gradient_of_zero():
    vectors = torch.randn(4, 3, requires_grad=True)
    loss = no_contrast([vectors], torch.zeros(4))
    loss.backward()
    assert loss.item() == 0
    assert vectors.grad is not None and not vectors.grad.any()


def test_it_is_trained_on_beside_a_labelled_task(tmp_path: Path):
    tasks = [label_task(), plain_task(tmp_path)]
    recipe = small_recipe(tasks, distillation=1.0, steps=4)
    model = small_encoder(tmp_path / "model")
    notes: list[str] = []
    done = fit(
        model, tasks, recipe, directory=tmp_path / "checkpoints", seeds=Seeds(0),
        metrics=tmp_path / "metrics.jsonl",
        progress=EventProgress(lambda event: notes.append(event.note)),
    )  # fmt: skip
    assert done.updates == {"topic": 4, "plain": 4}
    plain = read_metrics(tmp_path / "metrics.jsonl").filter(pl.col("task") == "plain")
    assert plain["loss"].to_list() == [0.0] * 4
    # Apart from the base once the labelled task has moved the model, so there is something to keep.
    kept = plain["distillation"].to_list()
    assert kept[-1] > 0
    # What is told of it is that, beside the progress and at the end.
    assert min(kept) <= done.losses["plain"] <= max(kept)
    assert [note for note in notes if note][-1].endswith(f"plain {kept[-1]:.2f}")


def test_nothing_of_it_is_scored(tmp_path: Path):
    model = small_encoder(tmp_path / "model")
    assert evaluate_model(model, [plain_task(tmp_path)]) == []


def test_it_needs_distillation(tmp_path: Path):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(weight=0.5))
    assert isinstance(load_recipe(path)[0], Recipe)
    path.write_text(RECIPE.format(weight=0.0))
    with pytest.raises(ConfigError, match=r"unlabelled: it needs training\.distillation above 0"):
        load_recipe(path)


def test_it_takes_no_other_loss():
    with pytest.raises(ValueError, match="no loss but distillation"):
        TaskConfig(name="plain", source="plain.csv", kind="unlabelled", loss="info_nce")
