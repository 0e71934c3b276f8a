"""The model card: what the model is, what it learned from, how good it is, how it is used."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import trine
from trine.embeddings.config import ModelConfig, Recipe, TaskConfig
from trine.embeddings.languages import language_code
from trine.embeddings.tasks import ScoreRow

__all__ = ["model_card"]

_TAGS = ("sentence-transformers", "feature-extraction", "sentence-similarity", "trine")


def model_card(
    recipe: Recipe,
    scores: Sequence[ScoreRow] = (),
    *,
    width: int | None = None,
    licence: str = "",
    source: str = "",
    part: str = "",
) -> str:
    """The card as Markdown, with the metadata that model hubs read at its head.

    Args:
      recipe: that made the model.
      scores: of the finished model.
      width: of the vectors; None: the recipe's dimension.
      licence: of the base's weights.
      source: where the base is from.
      part: what was done for one task after the recipe.
    """
    title = recipe.title or "Text embeddings by multi-task contrastive training"
    numbers = width or recipe.dimension
    base = f"`{source or recipe.model.base}`{f' ({licence})' if licence else ''}"
    return f"""{_front(recipe, source)}
# {title}

Vectors of {numbers} numbers and length one, made by trine {trine.__version__} from {base}. Nearness
is the cosine, that is the dot product. The recipe is `recipe.toml`, beside this card; its sources
are those of the place where it was trained.

## Use

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/to/this/folder")
vectors = model.encode(["first text", "second text"])  # {numbers} numbers each
```

{_prefix_note(recipe)}Or without Python: `trine embeddings serve path/to/this/folder`.

## Tasks and data

| task | kind | role | source | licence of the data |
|---|---|---|---|---|
{chr(10).join(_task_row(task) for task in recipe.tasks)}

## Recipe

{_recipe_note(recipe, part)}
## Scores

{_scores(recipe, scores)}
## Licences

- Model: {recipe.licence or "not said"}.
- Base: {licence or "not said"} ({source or recipe.model.base}).
- Data: as in the table of tasks; they apply to what is made from the data.

## Limits

A model trained here is good at what its tasks teach. Tasks of the role `zero_shot` were not trained
on; scores of the others are on held-out rows of data that the model was trained on.
"""


def _front(recipe: Recipe, source: str) -> str:
    lines = ["---", "library_name: sentence-transformers", "pipeline_tag: sentence-similarity"]
    lines.append(f"tags: [{', '.join(_TAGS)}]")
    if source.count("/") == 1:  # of the hub's form; a folder's name says nothing there
        lines.append(f"base_model: {source}")
    if recipe.licence:
        lines.append(f"license: {recipe.licence.lower()}")
    return "\n".join([*lines, "---", ""])


def _prefix_note(recipe: Recipe) -> str:
    model = recipe.model
    is_e5 = model.base == "multilingual-e5-small"
    prefix = model.prefix if model.prefix is not None else ("query: " if is_e5 else "")
    if not prefix:
        return ""
    return f"The prefix `{prefix}` is set in the model and put before every text by itself.\n\n"


def _task_row(task: TaskConfig) -> str:
    where = task.origin or task.source
    cells = (task.name, task.kind, task.role, where, task.licence or "not said")
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _recipe_note(recipe: Recipe, part: str) -> str:
    training = recipe.training
    parts = [
        *_steps(recipe),
        f"loss {training.loss}, temperature {training.temperature:g}",
        f"rates {training.rate:g} (encoder) and {training.head_rate:g} (head)",
        _head(recipe),
        *_changed(recipe.model),
    ]
    if training.distillation:
        parts.append(f"distillation of the base's similarities, weight {training.distillation:g}")
    for task in recipe.trained:
        if task.distillation is not None:
            parts.append(f"distillation on the texts of {task.name}, weight {task.distillation:g}")
    if training.average < 1:
        parts.append(f"encoder averaged with the base, {training.average:g} of it trained")
    if part:
        parts.append(part)
    parts.append(f"seed {recipe.seed}")
    return "\n".join(f"- {part}" for part in parts) + "\n"


def _steps(recipe: Recipe) -> list[str]:
    training, count = recipe.training, len(recipe.trained)
    together = min(training.tasks_per_step or count, count)
    if count == 1:
        what = "each a batch of the one task"
    elif together == count:
        what = f"each the sum of the gradients of a batch of every task, {count} in all"
    else:
        drawn = f"drawn by (rows) ** {training.alpha:g}"
        what = (
            f"each the sum of the gradients of {together} of {count} tasks' batches, the tasks "
            f"{'in shuffled rounds' if training.in_rounds else drawn}"
        )
    own = [f"{task.name} {task.batch_size}" for task in recipe.trained if task.batch_size]
    sizes = f"batches of {training.batch_size}"
    return [f"{training.steps} steps, {what}", f"{sizes} ({', '.join(own)})" if own else sizes]


def _head(recipe: Recipe) -> str:
    start = recipe.head.start
    if start == "none":
        return "no head: the encoder's own width"
    again = recipe.head.refit and start != "random"
    parts = [f"head started by {start}"]
    if again:
        parts.append("and by it again on the trained encoder")
    if start == "fitted" and recipe.head.fit_variants:
        parts.append(f"with {recipe.head.fit_variants} near variant(s) of each text")
    return ", ".join(parts)


def _changed(model: ModelConfig) -> list[str]:
    parts: list[str] = []
    if model.freeze_vocabulary:
        parts.append("table of tokens frozen")
    if model.freeze_layers:
        parts.append(f"{model.freeze_layers} lower layers frozen")
    if model.lora_rank:
        parts.append(f"low-rank adapters of rank {model.lora_rank}, merged")
    if model.prune_vocabulary:
        parts.append("vocabulary pruned to the tokens of the training texts")
    return parts


def _scores(recipe: Recipe, scores: Sequence[ScoreRow]) -> str:
    if not scores:
        return "Not evaluated yet: `trine embeddings evaluate MODEL --suite recipe.toml`.\n"
    zero_shot = {task.name for task in recipe.tasks if task.role == "zero_shot"}
    held_out = {
        (task.name, code)
        for task in recipe.trained
        for code in map(language_code, task.held_out_languages)
    }
    unseen = [row for row in scores if (row.task, row.language) in held_out]
    apart = (
        ("Not trained on (zero-shot)", [row for row in scores if row.task in zero_shot]),
        ("Trained on, in languages that were left out of training", unseen),
        (
            "Trained on, other rows (`all`: every language, those left out too)",
            [row for row in scores if row.task not in zero_shot and row not in unseen],
        ),
    )
    parts = ([f"### {name}", "", *_table(rows), ""] for name, rows in apart if rows)
    return "\n".join(chain(["0 to 100, more is better.", ""], *parts))


def _table(rows: Sequence[ScoreRow]) -> list[str]:
    return [
        "| task | language | measure | width | score | s.e. | rows |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {row.task} | {row.language} | {row.metric} | {row.width} | {row.score:.1f} | "
            f"{'' if row.se is None else f'{row.se:.1f}'} | {row.n} |"
            for row in rows
        ),
    ]
