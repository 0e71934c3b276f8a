"""A task in memory: one frame in the same few columns, whatever the file looked like.

| column | type | kinds |
|---|---|---|
| `row` | u32 | all: place in the source, for messages |
| `split` | str: train, validation, test | all |
| `language` | str, ISO 639 code | all |
| `text` | str | all |
| `pair` | str | graded, pairs |
| `labels` | list[str] | single (one), multi (any), hierarchical (coarse to fine), pairs (group) |
| `score` | f64 | graded |

The labels of a hierarchical row may end early: nothing finer is known of its text.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from trine.embeddings.config import Kind, TaskConfig

__all__ = ["ScoreRow", "Task"]


@dataclass(frozen=True)
class Task:
    """A task whose rows were read and checked (see `trine.embeddings.loading`).

    Attributes:
      config: what the recipe says.
      frame: `[n]` rows in the columns of the module's table.
    """

    config: TaskConfig
    frame: pl.DataFrame

    @property
    def name(self) -> str:
        """Of the recipe."""
        return self.config.name

    @property
    def kind(self) -> Kind:
        """Of the recipe."""
        return self.config.kind

    def rows(self, split: str, language: str | None = None) -> pl.DataFrame:
        """Rows of one split, of one language or of all."""
        chosen = self.frame.filter(pl.col("split") == split)
        return chosen if language is None else chosen.filter(pl.col("language") == language)

    def finest(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Of a hierarchical task those rows that have a label of the finest level; else all."""
        if self.kind != "hierarchical":
            return frame
        return frame.filter(pl.col("labels").list.len() == len(self.config.labels))

    @property
    def train(self) -> pl.DataFrame:
        """Rows that may be trained on: the train split without held-out languages."""
        held_out = list(self.config.held_out_languages)
        return self.rows("train").filter(~pl.col("language").is_in(held_out))

    @property
    def languages(self) -> list[str]:
        """Codes, sorted."""
        return sorted(self.frame["language"].unique())


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One number of an evaluation; `--json` prints a list of these.

    Attributes:
      model: name.
      task: of the recipe.
      language: code, or `all`.
      metric: e.g. `accuracy`, `spearman`, `v_measure`, `f1`, `recall@1`, `triplet_random`.
      score: 0 to 100.
      se: standard error over draws, batches or bootstrap, as the metric has it; None if unknown.
      n: evaluated rows.
      width: of the vectors.
    """

    model: str
    task: str
    language: str
    metric: str
    score: float
    se: float | None
    n: int
    width: int
