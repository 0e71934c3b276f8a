"""The model card: what the model is, what it learned from, how good it is, how it is used."""

from __future__ import annotations

from collections.abc import Sequence

import trine
from trine.embeddings.config import Recipe, TaskConfig
from trine.embeddings.tasks import ScoreRow

__all__ = ["model_card"]


def model_card(
    recipe: Recipe, scores: Sequence[ScoreRow] = (), *, licence: str = "", source: str = ""
) -> str:
    """The card as Markdown, with the metadata that model hubs read at its head.

    Args:
      recipe: that made the model.
      scores: of the finished model.
      licence: of the base's weights.
      source: where the base is from.
    """
    title = recipe.title or "Text embeddings by multi-task contrastive training"
    tasks = "\n".join(_task_row(task) for task in recipe.tasks)
    training = recipe.training
    k = training.tasks_per_step or len(recipe.trained)
    return f"""---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags: [sentence-transformers, feature-extraction, trine]
{f"base_model: {source}" if source else ""}
{f"license: {recipe.licence}" if recipe.licence else ""}
---

# {title}

Vectors of {recipe.dimension} numbers and length one, made by trine {trine.__version__} from
`{source or recipe.model.base}`{f" ({licence})" if licence else ""}. Nearness is the cosine, that is
the dot product. The recipe is `recipe.toml`, beside this card.

## Use

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/to/this/folder")
vectors = model.encode(["first text", "second text"])  # {recipe.dimension} numbers each
```

{_prefix_note(recipe)}Or without Python: `trine embeddings serve path/to/this/folder`.

## Tasks

| task | kind | role | source | licence of the data |
|---|---|---|---|---|
{tasks}

Each of {training.steps} steps summed the gradients of {k} tasks' batches ({training.loss},
temperature {training.temperature:g}); seed {recipe.seed}.

## Scores

{_scores(scores)}
## Limits

A model trained here is good at what its tasks teach. Tasks of the role `zero_shot` were not trained
on; scores of the others are on held-out rows of data that the model was trained on. The data's
licences apply to what is made from them.
"""


def _prefix_note(recipe: Recipe) -> str:
    if recipe.model.base == "multilingual-e5-small" and recipe.model.prefix is None:
        return "The prefix `query: ` is set in the model and put before every text by itself.\n\n"
    return ""


def _task_row(task: TaskConfig) -> str:
    where = task.origin or task.source
    return f"| {task.name} | {task.kind} | {task.role} | {where} | {task.licence or 'not said'} |"


def _scores(scores: Sequence[ScoreRow]) -> str:
    if not scores:
        return "Not evaluated yet: `trine embeddings evaluate MODEL --suite recipe.toml`.\n"
    rows = [
        f"| {row.task} | {row.language} | {row.metric} | {row.score:.1f} | "
        f"{'' if row.se is None else f'{row.se:.1f}'} | {row.n} |"
        for row in scores
    ]
    head = "| task | language | measure | score | s.e. | rows |\n|---|---|---|---|---|---|"
    return head + "\n" + "\n".join(rows) + "\n"
