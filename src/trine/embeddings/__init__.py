"""One text-embedding model from many semantic labelling tasks (arXiv 2405.11344).

    from trine.embeddings import Recipe, evaluate_model, load_recipe, open_encoder, train

Map of the room:

* recipes: `config` (tasks, model, head, training), `guessing` (a recipe from tables; `columns`,
  `recipe_text`), `audit` (what is wrong with the data)
* data: `sources` (files and the samples that come with Trine; `conversations`), `table_files`,
  `loading` (from a file to a task; `splits`, `languages`), `tasks` (a task in memory, a score)
* model: `bases` (encoders that need no network; `e5_file`, `e5_conversion`), `encoder` (encoder,
  pooling, head, length one), `head` (where the head starts), `refit` (the head once more, after
  training), `task_heads` (a head for each task), `branches` (upper layers too;
  `task_models`), `building`, `frozen_layers`, `adapters`, `vocabulary` (pruning), `saving`,
  `model_card`
* training: `losses` (they know labels), `training_rows`, `negatives`, `batches` (which rows in a
  batch, which tasks in a step), `trainer`, `training`, `train_run`, `train_report`
* scores: `evaluation` (MTEB's protocols, triplets, recall of labels), `comparing`, `api` (any
  OpenAI-compatible endpoint), `comparing_report`
* the study: `transfer` (together or alone), `transfer_analysis`, `transfer_pictures`,
  `transfer_report`, `demo`
* use: `inference` (texts to vectors, fast on a CPU), `encode_files`, `onnx_export`, `serving`,
  `members` (a member as a few of their posts), `member_files`; `quiet` silences libraries

The names below are imported when they are first used, so that importing this package costs
nothing; most of them need the extra `embeddings`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trine.embeddings.comparing import compare, open_model
    from trine.embeddings.config import (
        HeadConfig,
        ModelConfig,
        Recipe,
        TaskConfig,
        TrainingConfig,
        load_recipe,
    )
    from trine.embeddings.encode_files import encode_file
    from trine.embeddings.encoder import cut, load_model
    from trine.embeddings.evaluation.suite import evaluate_model
    from trine.embeddings.guessing import guess_recipe
    from trine.embeddings.inference import Encoder, open_encoder
    from trine.embeddings.loading import load_task, load_tasks, read_table
    from trine.embeddings.losses import make_loss
    from trine.embeddings.members import Interest, cluster_member, retrieve
    from trine.embeddings.onnx_export import export_onnx, quality_loss
    from trine.embeddings.sources import SAMPLES, sample_task
    from trine.embeddings.tasks import ScoreRow, Task
    from trine.embeddings.train_run import TrainResult, train
    from trine.embeddings.transfer import TransferResult

__all__ = [
    "SAMPLES",
    "Encoder",
    "HeadConfig",
    "Interest",
    "ModelConfig",
    "Recipe",
    "ScoreRow",
    "Task",
    "TaskConfig",
    "TrainResult",
    "TrainingConfig",
    "TransferResult",
    "cluster_member",
    "compare",
    "cut",
    "encode_file",
    "evaluate_model",
    "export_onnx",
    "guess_recipe",
    "load_model",
    "load_recipe",
    "load_task",
    "load_tasks",
    "make_loss",
    "open_encoder",
    "open_model",
    "quality_loss",
    "read_table",
    "retrieve",
    "sample_task",
    "train",
]

# Names that are a module's too (`audit`, `transfer`) stay that module's: import the function there.
_HOME = {
    "comparing": ("compare", "open_model"),
    "config": (
        "HeadConfig", "ModelConfig", "Recipe", "TaskConfig", "TrainingConfig", "load_recipe",
    ),
    "encode_files": ("encode_file",),
    "encoder": ("cut", "load_model"),
    "evaluation.suite": ("evaluate_model",),
    "guessing": ("guess_recipe",),
    "inference": ("Encoder", "open_encoder"),
    "loading": ("load_task", "load_tasks", "read_table"),
    "losses": ("make_loss",),
    "members": ("Interest", "cluster_member", "retrieve"),
    "onnx_export": ("export_onnx", "quality_loss"),
    "sources": ("SAMPLES", "sample_task"),
    "tasks": ("ScoreRow", "Task"),
    "train_run": ("TrainResult", "train"),
    "transfer": ("TransferResult",),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name from the module where it lives."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
