"""Heads of the tasks' own: the head that a model of the task alone would have."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from tests.embeddings.small_encoders import small_encoder
from tests.embeddings.small_training import label_task, pair_task
from trine.core.errors import DataError
from trine.core.seeding import Seeds
from trine.embeddings.config import HeadConfig
from trine.embeddings.encoder import add_head, head_of
from trine.embeddings.evaluation.suite import evaluate_model
from trine.embeddings.refit import refit_head
from trine.embeddings.task_heads import (
    HEADS,
    evaluate_heads,
    fit_task_heads,
    load_task_heads,
    save_task_heads,
)
from trine.embeddings.tasks import Task


@pytest.fixture
def tasks() -> list[Task]:
    return [label_task("one"), label_task("two", seed=2), pair_task("pairs")]


@pytest.fixture
def model(tmp_path: Path, tasks: list[Task]) -> SentenceTransformer:
    return add_head(small_encoder(tmp_path), tasks, HeadConfig(), Seeds(0))


def test_each_head_is_the_one_that_the_task_alone_would_have(
    model: SentenceTransformer, tasks: list[Task]
):
    heads = fit_task_heads(model, tasks, HeadConfig(), Seeds(0))
    assert set(heads) == {"one", "two", "pairs"}
    for task in tasks:
        refit_head(model, [task], HeadConfig(), Seeds(0))
        linear = head_of(model).linear
        weight, bias = heads[task.name]
        assert weight == pytest.approx(linear.weight.detach().numpy(), abs=1e-4)
        assert bias == pytest.approx(linear.bias.detach().numpy(), abs=1e-4)


def test_each_head_is_of_texts_behind_the_tasks_prefix(model: SentenceTransformer):
    tasks = [label_task("one", prefix="red "), label_task("two", seed=2)]
    heads = fit_task_heads(model, tasks, HeadConfig(), Seeds(0))
    for task in tasks:
        refit_head(model, [task], HeadConfig(), Seeds(0))
        own = head_of(model).linear.bias.detach().numpy()
        assert heads[task.name][1] == pytest.approx(own, abs=1e-4)
    plain = fit_task_heads(model, [label_task("one")], HeadConfig(), Seeds(0))
    assert heads["one"][1] != pytest.approx(plain["one"][1], abs=1e-3)


def test_scores_are_those_of_the_model_with_that_head(
    model: SentenceTransformer, tasks: list[Task]
):
    heads = {"one": (np.eye(16, dtype=np.float32)[::-1].copy(), np.ones(16, np.float32))}
    scored = [Task(t.config, t.frame.with_columns(split=split(t))) for t in tasks]
    shared, own = evaluate_heads(model, heads, scored, widths=[4, 16], draws=2)
    assert shared == evaluate_model(model, scored, widths=[4, 16], draws=2)
    assert {row.task for row in own} == {"one"}
    with torch.no_grad():
        head_of(model).linear.weight.copy_(torch.from_numpy(heads["one"][0]))
        head_of(model).linear.bias.copy_(torch.from_numpy(heads["one"][1]))
    assert own == evaluate_model(model, scored[:1], widths=[4, 16], draws=2)
    assert own != [row for row in shared if row.task == "one"]


def split(task: Task) -> np.ndarray:
    return np.where(np.arange(task.frame.height) % 3 == 0, "test", "train")


def test_heads_come_back_from_their_file(tmp_path: Path):
    heads = {"a": (np.eye(3, dtype=np.float32), np.ones(3, np.float32))}
    save_task_heads(heads, tmp_path / HEADS)
    again = load_task_heads(tmp_path / HEADS)
    assert list(again) == ["a"]
    assert all(np.array_equal(x, y) for x, y in zip(heads["a"], again["a"], strict=True))
    with pytest.raises(DataError, match="per_task"):
        load_task_heads(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("wrong", [{"refit": False}, {"start": "random"}, {"start": "none"}])
def test_heads_need_a_closed_form(wrong: dict[str, object]):
    with pytest.raises(ValueError, match=r"head\.per_task"):
        HeadConfig.model_validate({"per_task": True, **wrong})
