"""The page of recipes against the configuration, and its examples against the reader."""

import tomllib

import pytest

from tests.documents import ROOT, blocks
from tests.embeddings.recipe_tables import PAGE, PARTS, filled, meanings
from trine.embeddings.config import Recipe, TaskConfig

TUTORIAL = ROOT / "docs" / "embeddings" / "tutorial.md"


def test_the_page_has_every_key_as_the_configuration_has_it():
    text = PAGE.read_text(encoding="utf-8")
    assert filled(text) == text, "run: .venv/bin/python -m tests.embeddings.recipe_tables"


@pytest.mark.parametrize("part", PARTS)
def test_every_key_has_a_meaning(part: str):
    assert list(meanings(PARTS[part])) == list(PARTS[part].model_fields)


def test_the_example_of_the_page_is_a_recipe():
    (example,) = blocks(PAGE, "toml")
    recipe = Recipe.model_validate(tomllib.loads(example.text))
    assert [task.kind for task in recipe.tasks] == ["single", "pairs", "single"]
    assert recipe.tasks[2].held_out_languages == ("fi",)


def test_the_tasks_of_the_tutorial_are_tasks():
    (example,) = blocks(TUTORIAL, "toml")
    tasks = tomllib.loads(example.text)["tasks"]
    assert [TaskConfig.model_validate(task).name for task in tasks] == ["searches", "stories"]
