"""The saved model: plain, whole, with its card, and the same vectors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from tests.embeddings.tiny import tiny_encoder
from trine.core.errors import DataError
from trine.core.seeding import Seeds
from trine.embeddings.adapters import add_adapters, has_adapters
from trine.embeddings.config import (
    HeadConfig,
    ModelConfig,
    Recipe,
    TaskConfig,
    TrainingConfig,
    load_recipe,
)
from trine.embeddings.encoder import add_head, cut, load_model
from trine.embeddings.inference import Encoder
from trine.embeddings.model_card import model_card
from trine.embeddings.saving import SCORES, save_model, save_scores
from trine.embeddings.tasks import ScoreRow, Task

from .test_encoder import head_tasks

TEXTS = ["the bank card", "a red storm", "cats in the rain " * 40, ""]
RECIPE = Recipe(
    tasks=(
        TaskConfig(
            name="topics",
            source="/home/someone/topics.csv",
            licence="CC0",
            origin="a | b",
            distillation=0.5,
        ),
        TaskConfig(name="unseen", source="unseen.csv", role="zero_shot"),
    ),
    dimension=4,
    model=ModelConfig(base="/home/someone/models/own"),
    training=TrainingConfig(steps=7, average=0.5, distillation=2),
    title="Small",
    licence="MIT",
)
SCORES_FOUND = [
    ScoreRow("m", "topics", "en", "accuracy", 81.25, 0.5, 40, 4),
    ScoreRow("m", "unseen", "all", "spearman", 60.0, None, 30, 4),
]


def _with_head(folder: Path, tasks: list[Task], prefix: str = "") -> SentenceTransformer:
    model = tiny_encoder(folder, prefix=prefix)
    return add_head(model, tasks, RECIPE.head, Seeds(0))


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return head_tasks()


@pytest.mark.parametrize("prefix", ["", "my: "])
def test_the_plain_library_opens_it_with_the_same_vectors(
    tmp_path: Path, tasks: list[Task], prefix: str
) -> None:
    model = cut(_with_head(tmp_path, tasks, prefix), 4)
    folder = save_model(model, tmp_path / "out", RECIPE, scores=SCORES_FOUND)
    again = SentenceTransformer(str(folder), device="cpu")
    vectors = again.encode(TEXTS)
    assert vectors.shape == (4, 4)
    np.testing.assert_allclose(vectors, model.encode(TEXTS), atol=1e-5)
    np.testing.assert_allclose(Encoder.of(load_model(folder)).encode(TEXTS), vectors, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_weights_are_safetensors_and_nothing_names_this_machine(
    tmp_path: Path, tasks: list[Task]
) -> None:
    folder = save_model(cut(_with_head(tmp_path, tasks), 4), tmp_path / "out", RECIPE)
    files = [path for path in folder.rglob("*") if path.is_file()]
    weights = {path.name for path in files if path.stat().st_size and path.suffix not in
               (".json", ".toml", ".md", ".txt")}  # fmt: skip
    assert weights == {"model.safetensors"}
    assert load_file(folder / "model.safetensors")
    for path in files:
        if path.suffix != ".safetensors":
            text = path.read_text()
            assert str(tmp_path) not in text, path
            assert "/home/someone" not in text, path


def test_the_recipe_beside_it_is_a_recipe(tmp_path: Path, tasks: list[Task]) -> None:
    folder = save_model(cut(_with_head(tmp_path, tasks), 4), tmp_path / "out", RECIPE)
    recipe, _ = load_recipe(folder / "recipe.toml")
    assert recipe.training == RECIPE.training
    assert [task.source for task in recipe.tasks] == ["topics.csv", "unseen.csv"]
    assert recipe.model.base == "own"


def test_the_card_tells_width_tasks_licences_scores_and_use(
    tmp_path: Path, tasks: list[Task]
) -> None:
    full = _with_head(tmp_path, tasks)
    folder = save_model(
        full, tmp_path / "out", RECIPE, base_licence="Apache-2.0", base_source="some/base"
    )
    assert "Not evaluated yet" in (folder / "README.md").read_text()
    save_scores(folder, RECIPE, SCORES_FOUND, base_licence="Apache-2.0", base_source="some/base")
    card = (folder / "README.md").read_text()
    front, body = card.split("---\n")[1:3]
    assert yaml.safe_load(front) == {
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "tags": ["sentence-transformers", "feature-extraction", "sentence-similarity", "trine"],
        "base_model": "some/base",
        "license": "mit",
    }
    assert "# Small" in body
    assert "Vectors of 16 numbers" in body  # of this folder, whatever the recipe's dimension
    assert "`some/base` (Apache-2.0)" in body
    assert "| topics | single | train | a / b | CC0 |" in body
    assert "| unseen | single | zero_shot | unseen.csv | not said |" in body
    assert "- encoder averaged with the base, 0.5 of it trained" in body
    assert "- distillation of the base's similarities, weight 2" in body
    assert "- distillation on the texts of topics, weight 0.5" in body
    zero_shot, trained = body.split("### Trained on, other rows")
    assert "| unseen | all | spearman | 4 | 60.0 |  | 30 |" in zero_shot
    assert "| topics | en | accuracy | 4 | 81.2 | 0.5 | 40 |" in trained
    assert json.loads((folder / SCORES).read_text())[1]["se"] is None


def test_the_card_says_only_what_was_done() -> None:
    first, second = RECIPE.tasks
    two = (first, second.model_copy(update={"role": "train", "batch_size": 8}))
    both = model_card(RECIPE.model_copy(update={"tasks": two}))
    assert "7 steps, each the sum of the gradients of a batch of every task, 2 in all" in both
    assert "- batches of 32 (unseen 8)" in both
    assert "- head started by pca, and by it again on the trained encoder" in both
    assert "drawn by" not in both
    training = RECIPE.training.model_copy(update={"tasks_per_step": 1})
    drawn = model_card(RECIPE.model_copy(update={"tasks": two, "training": training}))
    assert "gradients of 1 of 2 tasks' batches, the tasks drawn by (rows) ** 0.5" in drawn
    training = training.model_copy(update={"alpha": 0.0})
    rounds = model_card(RECIPE.model_copy(update={"tasks": two, "training": training}))
    assert "gradients of 1 of 2 tasks' batches, the tasks in shuffled rounds" in rounds
    near = HeadConfig(start="fitted", fit_variants=2)
    assert (
        "- head started by fitted, and by it again on the trained encoder, with 2 near variant(s) "
        "of each text" in model_card(RECIPE.model_copy(update={"head": near}))
    )
    alone = model_card(RECIPE.model_copy(update={"head": HeadConfig(start="none")}))
    assert "7 steps, each a batch of the one task\n- batches of 32\n" in alone
    assert "no head" in alone
    once = model_card(RECIPE.model_copy(update={"head": HeadConfig(refit=False)}))
    assert "- head started by pca\n" in once


def test_languages_that_were_left_out_stand_apart() -> None:
    task = TaskConfig(name="topics", source="a.csv", held_out_languages=("sw",))
    scores = [
        ScoreRow("m", "topics", language, "accuracy", 50.0, 1.0, 10, 4)
        for language in ("all", "en", "sw")
    ]
    card = model_card(RECIPE.model_copy(update={"tasks": (task,)}), scores)
    left, trained = card.partition("left out of training")[2].split("### Trained on")
    assert "| topics | sw |" in left
    assert "| topics | en |" in trained
    assert "| topics | sw |" not in trained


def test_the_code_of_the_card_runs(tmp_path: Path, tasks: list[Task]) -> None:
    folder = save_model(cut(_with_head(tmp_path, tasks), 4), tmp_path / "out", RECIPE)
    code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    names: dict[str, np.ndarray] = {}
    exec(code.replace("path/to/this/folder", str(folder)), names)
    assert names["vectors"].shape == (2, 4)


def test_a_prefix_is_told() -> None:
    e5 = RECIPE.model_copy(update={"model": ModelConfig(base="multilingual-e5-small")})
    assert "The prefix `query: ` is set" in model_card(e5)
    own = RECIPE.model_copy(update={"model": ModelConfig(prefix="my: ")})
    assert "The prefix `my: ` is set" in model_card(own)
    assert "prefix" not in model_card(RECIPE)


def test_an_older_model_is_replaced_and_other_things_are_not(
    tmp_path: Path, tasks: list[Task]
) -> None:
    full = _with_head(tmp_path, tasks)
    folder = save_model(cut(full, 8), tmp_path / "out", RECIPE)
    (folder / "left.txt").write_text("of the older one")
    save_model(cut(full, 4), folder, RECIPE)
    assert load_model(folder).get_embedding_dimension() == 4
    assert not (folder / "left.txt").exists()
    other = tmp_path / "photos"
    other.mkdir()
    (other / "cat.png").write_bytes(b"1")
    with pytest.raises(DataError, match="exists and is not a model"):
        save_model(full, other, RECIPE)
    with pytest.raises(DataError, match="is a file"):
        save_model(full, other / "cat.png", RECIPE)
    assert [path.name for path in other.iterdir()] == ["cat.png"]


def test_what_fails_leaves_the_older_model_and_no_pieces(
    tmp_path: Path, tasks: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = _with_head(tmp_path, tasks)
    place = tmp_path / "models"
    save_model(cut(full, 8), place / "out", RECIPE)

    def full_disk(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trine.embeddings.saving.write_toml", full_disk)
    with pytest.raises(DataError, match=r"cannot write .*No space left on device"):
        save_model(cut(full, 4), place / "out", RECIPE)
    assert load_model(place / "out").get_embedding_dimension() == 8
    assert [path.name for path in place.iterdir()] == ["out"]


def test_adapters_are_merged_in_what_is_saved_and_kept_in_what_is_trained(
    tmp_path: Path, tasks: list[Task]
) -> None:
    model = _with_head(tmp_path, tasks)
    add_adapters(model, 2, Seeds(0))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.fill_(0.1)
    folder = save_model(model, tmp_path / "out", RECIPE)
    assert has_adapters(model)
    again = SentenceTransformer(str(folder), device="cpu")
    assert not has_adapters(again)
    np.testing.assert_allclose(again.encode(TEXTS), model.encode(TEXTS), atol=1e-5)
