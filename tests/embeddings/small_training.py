"""A small recipe and its tables, for tests of training; run as a script it dies at a given step."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.embeddings.small_encoders import sentence
from trine.core.progress import EventProgress, ProgressEvent
from trine.core.seeding import Seeds
from trine.embeddings.config import ModelConfig, Recipe, TaskConfig, TrainingConfig
from trine.embeddings.tasks import Task


def label_frame(rows: int = 48, seed: int = 1) -> pl.DataFrame:
    """Texts of four labels, each with words of its own."""
    rng = np.random.default_rng(seed)
    texts = [
        sentence(*(8 * (i % 4) + rng.integers(0, 8, size=rng.integers(2, 9)))) for i in range(rows)
    ]
    labels = [["money", "animals", "weather", "colours"][i % 4] for i in range(rows)]
    return pl.DataFrame({"text": texts, "label": labels})


def label_task(name: str = "topic", rows: int = 48, seed: int = 1, **more: Any) -> Task:
    """The frame as a task."""
    frame = label_frame(rows, seed)
    return Task(
        TaskConfig(name=name, source=f"{name}.csv", **more),
        pl.DataFrame(
            {
                "row": range(rows),
                "split": ["train"] * rows,
                "language": ["en"] * rows,
                "text": frame["text"],
                "labels": [[label] for label in frame["label"]],
            }
        ),
    )


def pair_task(name: str = "pairs", rows: int = 24, **more: Any) -> Task:
    """Texts and their words in reverse."""
    texts = label_frame(rows, 3)["text"].to_list()
    return Task(
        TaskConfig(name=name, source=f"{name}.csv", kind="pairs", pair="pair", **more),
        pl.DataFrame(
            {
                "row": range(rows),
                "split": ["train"] * rows,
                "language": ["en"] * rows,
                "text": texts,
                "pair": [" ".join(reversed(text.split())) + " is" for text in texts],
                "labels": [[] for _ in range(rows)],
            },
            schema_overrides={"labels": pl.List(pl.String)},
        ),
    )


def small_recipe(tasks: list[Task], **training: Any) -> Recipe:
    """Few steps of small batches."""
    options = {"steps": 9, "batch_size": 8, "save_every": 4, "rate": 1e-3, "head_rate": 1e-2}
    return Recipe(
        tasks=tuple(task.config for task in tasks),
        dimension=8,
        model=ModelConfig(task_heads=bool(training.pop("task_heads", False))),
        training=TrainingConfig(**{**options, **training}),
    )


def small_fit(
    folder: Path, place: Path, die_at: int = 0, *, by: int = signal.SIGKILL, **training: Any
) -> Any:
    """Trains in `folder` from the encoder in `place`; sends its process a signal after a step."""
    from tests.embeddings.small_encoders import small_encoder
    from trine.embeddings.training import fit

    sent: list[float] = []

    def receive(event: ProgressEvent) -> None:
        if die_at and event.done >= die_at and not sent:
            sent.append(event.done)
            os.kill(os.getpid(), by)

    tasks = [label_task(), pair_task()]
    options = {"tasks_per_step": 1, "distillation": 0.2, "task_heads": True, "hard_negatives": 0.25}
    recipe = small_recipe(tasks, **{**options, **training})
    model = small_encoder(place, dropout=0.1)
    return fit(
        model,
        tasks,
        recipe,
        directory=folder / "checkpoints",
        seeds=Seeds(0),
        metrics=folder / "metrics.jsonl",
        progress=EventProgress(receive),
    )


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    small_fit(Path(sys.argv[1]), Path(sys.argv[2]), die_at=int(sys.argv[3]))
