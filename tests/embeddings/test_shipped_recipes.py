"""Every recipe in configs/embeddings loads; with the data it is planned to the last row."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trine.embeddings.config import load_recipe
from trine.embeddings.loading import load_tasks
from trine.embeddings.sources import sample_settings

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "configs" / "embeddings").glob("*.toml"))
# Never trained on wherever they stand: SLURP and HWU64 share texts, STS-B is for evaluation only.
NEVER_TRAINED = ("slurp.csv.gz", "hwu64.csv.gz", "stsb_multi.csv.gz")


def test_there_are_recipes() -> None:
    assert {path.stem for path in RECIPES} >= {"english", "english-general", "multilingual"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_loads_and_keeps_zero_shot_data_out_of_training(path: Path) -> None:
    recipe, base = load_recipe(path)
    assert base == path.parent
    for task in recipe.tasks:
        assert task.licence, task.name
        assert task.origin, task.name
        if task.source.endswith(NEVER_TRAINED):
            assert task.role == "zero_shot", task.name
        if task.source.startswith("sample:"):
            assert sample_settings(task.source.removeprefix("sample:"))
        elif not task.source.startswith("$TRINE_DATA/"):
            assert (base / task.source).is_file(), task.source


@pytest.mark.data
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_is_planned_on_the_data(path: Path) -> None:
    if not os.environ.get("TRINE_DATA"):
        pytest.skip("TRINE_DATA is not set")
    pytest.importorskip("torch")
    from trine.embeddings.train_run import plan

    recipe, base = load_recipe(path)
    if not recipe.trained:
        tasks, _ = load_tasks(recipe, base)
        assert all(task.rows("test").height for task in tasks)
        return
    facts = plan(recipe, base)
    assert facts["steps"] == recipe.training.steps
    for task in facts["tasks"]:
        if task["role"] == "train":
            assert task["updates"] >= 1, task["task"]
            assert task["rows"]["train"] >= task["batch_size"], task["task"]
        if task["kind"] != "unlabelled":
            assert task["rows"].get("test", 0) > 0, task["task"]
