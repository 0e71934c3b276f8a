"""A recipe's model before its first step, and after its last."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.embeddings.adapters import add_adapters, merge_adapters
from trine.embeddings.config import Recipe
from trine.embeddings.encoder import add_head, freeze, load_base
from trine.embeddings.frozen_layers import cache_frozen_layers, forget_frozen_layers
from trine.embeddings.losses.registry import trained_widths
from trine.embeddings.tasks import Task
from trine.embeddings.vocabulary import prune_vocabulary

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from trine.embeddings.bases import Base

__all__ = ["bare_encoder", "build_encoder", "finish", "prepare", "training_texts"]

_LOG = logging.getLogger(__name__)


def build_encoder(
    recipe: Recipe, tasks: Sequence[Task], seeds: Seeds, *, device: str | None = None
) -> tuple[SentenceTransformer, Base]:
    """The base as the recipe wants it: pruned, with a head, frozen parts, adapters and the cache.

    The model is at full width (`trine.embeddings.encoder.cut` gives the recipe's dimension), and is
    ready to be trained; `finish` it afterwards.

    Args:
      recipe: its `model`, `head` and `dimension` count.
      tasks: the head starts from their training texts; pruning keeps their tokens.
      seeds: of the choice of texts, of a random head and of adapters.
      device: of the model; None: a GPU if there is one.

    Raises:
      UsageError, DataError: a base that cannot be had, or a dimension above its width.
    """
    model, base = bare_encoder(recipe, tasks, device=device)
    return prepare(model, recipe, tasks, seeds), base


def bare_encoder(
    recipe: Recipe, tasks: Sequence[Task], *, device: str | None = None
) -> tuple[SentenceTransformer, Base]:
    """The base, pruned if the recipe says so, without a head; see `build_encoder`."""
    config = recipe.model
    model, base = load_base(config, device=device)
    width = model.get_embedding_dimension()
    if width is not None and recipe.dimension > width:
        raise UsageError(
            f"dimension {recipe.dimension}", accepted=f"2 to {width}, the width of {base.name}"
        )
    if config.prune_vocabulary:
        _LOG.info("%s", prune_vocabulary(model, training_texts(tasks)))
    return model, base


def prepare(
    model: SentenceTransformer, recipe: Recipe, tasks: Sequence[Task], seeds: Seeds
) -> SentenceTransformer:
    """An encoder without a head, made ready to be trained: head, frozen parts, adapters, cache.

    Args:
      model: changed in place.
      recipe: its `model`, `head` and `dimension` count.
      tasks: the head starts from their training texts.
      seeds: of the choice of texts, of a random head and of adapters.
    """
    config = recipe.model
    width = model.get_embedding_dimension()
    widths = trained_widths(recipe.training, recipe.dimension, width) if width else ()
    model = add_head(model, tasks, recipe.head, seeds.child("head"), widths)
    freeze(model, config)
    if config.lora_rank:
        add_adapters(model, config.lora_rank, seeds, first_layer=config.freeze_layers)
    # A GPU computes lower layers faster than their outputs can be brought to it.
    if config.freeze_layers and model.device.type == "cpu":
        cache_frozen_layers(model, config.freeze_layers)
    return model


def training_texts(tasks: Sequence[Task]) -> Iterator[str]:
    """Both texts of every row that may be trained on, behind the task's own prefix if it has one.

    Texts that are scored do not count: what pruning costs texts that were not there is in the
    scores.
    """
    for task in tasks:
        if task.config.role != "train":
            continue
        prefix = task.config.prefix or ""
        for column in ("text", "pair"):
            if column in task.frame.columns:
                yield from (prefix + text for text in task.train[column].drop_nulls())


def finish(model: SentenceTransformer) -> SentenceTransformer:
    """The same model, trained: adapters merged, the cache off, in evaluation."""
    forget_frozen_layers(model)
    merge_adapters(model)
    return model.eval()
