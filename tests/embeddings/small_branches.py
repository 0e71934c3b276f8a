"""A small joint training with branches, for tests of branches and of choices among them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch
from sentence_transformers import SentenceTransformer

from tests.embeddings.small_encoders import small_encoder
from tests.embeddings.small_training import label_task, pair_task, small_recipe
from trine.core.progress import Progress
from trine.core.seeding import Seeds
from trine.embeddings.branches import (
    BRANCHES,
    branch_file,
    branch_model,
    fit_branches,
    joint_states,
)
from trine.embeddings.building import build_encoder
from trine.embeddings.config import Recipe
from trine.embeddings.inference import first_module
from trine.embeddings.tasks import Task
from trine.embeddings.training import fit

TEXTS = ["bank card loan", "cat dog", "red blue and green"]


def with_validation(task: Task) -> Task:
    """Every third row is for choosing."""
    split = ["validation" if i % 3 == 2 else "train" for i in range(task.frame.height)]
    return Task(task.config, task.frame.with_columns(pl.Series("split", split)))


def three_tasks() -> list[Task]:
    """Two of labels and one of pairs, with rows to choose by."""
    made = [label_task("one", 72), label_task("two", 72, seed=2), pair_task("pairs", 36)]
    return [with_validation(task) for task in made]


def recipe_of(
    tasks: list[Task],
    base: Path,
    leave_after: tuple[int, ...] = (0, 4),
    model: dict[str, Any] | None = None,
    **training: Any,
) -> Recipe:
    values = small_recipe(tasks, shared_loss=0.0, **training).model_dump()
    values["training"]["leave_after"] = leave_after
    values["head"] |= {"per_task": True, "rows": 64}
    values["model"] |= {"task_heads": True, "freeze_layers": 1, "base": str(base)}
    values["model"] |= model or {}
    return Recipe(**values)


@dataclass(frozen=True)
class Trained:
    """A joint training with all branches."""

    recipe: Recipe
    model: SentenceTransformer
    folder: Path

    @property
    def branches(self) -> Path:
        return self.folder / BRANCHES

    def after(self, task: str, steps: int) -> SentenceTransformer:
        return branch_model(self.model, branch_file(self.branches, task, steps))


def joint_training(tasks: list[Task], base: Path, folder: Path, **options: Any) -> Trained:
    recipe = recipe_of(tasks, base, **options)
    seeds = Seeds(4)
    model, _ = build_encoder(recipe, tasks, seeds)
    fit(
        model, tasks, recipe, directory=folder / "joint", seeds=seeds,
        keep=joint_states(recipe, folder / BRANCHES),
    )  # fmt: skip
    train_branches(model, tasks, recipe, folder)
    return Trained(recipe, model, folder)


def train_branches(
    model: SentenceTransformer,
    tasks: list[Task],
    recipe: Recipe,
    folder: Path,
    progress: Progress | None = None,
) -> None:
    fit_branches(
        model, tasks, recipe, folder=folder / BRANCHES, checkpoints=folder / "checkpoints",
        seeds=Seeds(4), progress=progress,
    )  # fmt: skip


def saved_base(place: Path) -> Path:
    """An encoder without a head, as a folder."""
    SentenceTransformer(modules=list(small_encoder(place))[:2], device="cpu").save(
        str(place / "encoder"), create_model_card=False
    )
    return place / "encoder"


def weights(model: SentenceTransformer) -> dict[str, torch.Tensor]:
    return first_module(model).auto_model.state_dict()


def same_encoder(one: SentenceTransformer, other: SentenceTransformer) -> bool:
    mine = weights(other)
    return all(value.equal(mine[name]) for name, value in weights(one).items())
