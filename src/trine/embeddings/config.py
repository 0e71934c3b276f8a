"""The recipe: which tasks, which base, how to train. What `trine embeddings train` is told.

This module imports no torch, so that a recipe can be checked before anything heavy is read.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from trine.core.config import Config, load_config
from trine.core.errors import UsageError

__all__ = [
    "HeadConfig",
    "Kind",
    "LossName",
    "ModelConfig",
    "Recipe",
    "Role",
    "TaskConfig",
    "TrainingConfig",
    "load_recipe",
]

Kind = Literal["single", "multi", "hierarchical", "graded", "pairs", "unlabelled"]
Role = Literal["train", "zero_shot"]
LossName = Literal["info_nce", "pair_bce", "pair_margin", "cosent", "distillation"]
Metric = Literal["classification", "clustering", "sts", "bitext", "retrieval", "triplet"]

# What can be measured on the rows of a kind.
_METRICS: dict[str, tuple[str, ...]] = {
    "single": ("classification", "clustering", "retrieval", "triplet"),
    "hierarchical": ("classification", "clustering", "retrieval", "triplet"),
    "multi": ("classification", "retrieval", "triplet"),
    "pairs": ("bitext", "retrieval"),
    "graded": ("sts",),
    "unlabelled": (),
}


class TaskConfig(Config):
    """One semantic labelling task: where its rows are and what its columns mean.

    Attributes:
      name: unique in the recipe; letters, digits, `-` and `_`.
      source: a table (CSV, JSONL, Parquet; gzip too), relative to the recipe, or `sample:NAME` for
        one of the tasks shipped with Trine (see `trine.embeddings.sources`), whose columns need
        not be given.
      kind: `single` (one label), `multi` (several labels, joined by `separator`), `hierarchical`
        (several label columns, coarse to fine), `graded` (two texts and a score), `pairs` (two
        texts that belong together: translation, title and description, query and document),
        `unlabelled` (text alone: only the base's similarities are kept, see `distillation`).
      text: column of the text (first text of a pair).
      pair: column of the second text; `graded` and `pairs` only.
      label: column of the label; several for `hierarchical`, coarse to fine. For `pairs` an
        optional group, empty unless given: rows with the same group are positives of each other.
      score: column of the score; `graded` only.
      language: column of the language code; empty: `default_language` for every row.
      default_language: ISO 639 code of rows without one.
      languages: keep rows of these languages only; empty: all.
      held_out_languages: rows of these languages are never trained on but are evaluated.
      split: column that says train, validation (or dev, devel, valid) or test; empty: made here.
      test_share: share of rows that become test if there is no split column.
      separator: between labels of a `multi` row.
      drop_labels: rows with these labels are left out, e.g. out-of-scope rows.
      role: `zero_shot` tasks are evaluated and never trained on.
      weight: of this task's loss in the sum of a step.
      batch_size: texts (or pairs) of this task in one batch; None: the recipe's.
      distillation: weight of keeping the base's similarities for this task's texts; None: the
        recipe's. Low where labels ask for what the base does not see (sentiment).
      loss: None: the recipe's, or `cosent` for `graded` tasks.
      metrics: how it is evaluated; empty: what fits its kind.
      max_rows: at most so many training rows (a seeded choice); None: all.
      validation_rows: so many training rows become validation rows, to choose settings by; taken
        from those that `max_rows` leaves out, else from the others.
      prefix: put before every text of this task; None: the base's own.
      licence: of the data, for the model card.
      origin: where it comes from, for the model card.
      published: scores of other models on the same test rows by the same measure, 0 to 100, shown
        beside ours by `transfer`; a model's name, then the score.
      published_source: where these scores were published; shown with them.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    source: str
    kind: Kind = "single"
    text: str = "text"
    pair: str = ""
    label: str | tuple[str, ...] = "label"
    score: str = "score"
    language: str = ""
    default_language: str = "en"
    languages: tuple[str, ...] = ()
    held_out_languages: tuple[str, ...] = ()
    split: str = ""
    test_share: float = Field(default=0.2, gt=0, lt=1)
    separator: str = Field(default="|", min_length=1)
    drop_labels: tuple[str, ...] = ()
    role: Role = "train"
    weight: float = Field(default=1.0, gt=0)
    batch_size: int | None = Field(default=None, ge=2)
    distillation: float | None = Field(default=None, ge=0)
    loss: LossName | None = None
    metrics: tuple[Metric, ...] = ()
    max_rows: int | None = Field(default=None, ge=2)
    validation_rows: int = Field(default=0, ge=0)
    prefix: str | None = None
    licence: str = ""
    origin: str = ""
    published: dict[str, float] = Field(default_factory=dict)
    published_source: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """The label columns, coarse to fine."""
        return (self.label,) if isinstance(self.label, str) else self.label

    @model_validator(mode="before")
    @classmethod
    def _ready(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        # `source = "sample:..."` brings its own columns; what the recipe says goes before them.
        source = values.get("source")
        if isinstance(source, str) and source.startswith("sample:"):
            from trine.embeddings.sources import sample_settings

            values = {**sample_settings(source.removeprefix("sample:")), **values}
        # A column that happens to be called `label` says nothing of which pairs are alike.
        return {"label": "", **values} if values.get("kind") == "pairs" else values

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kind in ("graded", "pairs") and not self.pair:
            raise ValueError(f"task {self.name!r} of kind {self.kind} needs `pair`, a column")
        if self.kind not in ("graded", "pairs") and self.pair:
            raise ValueError(f"task {self.name!r}: `pair` is for kinds graded and pairs")
        if self.kind != "hierarchical" and len(self.labels) != 1:
            raise ValueError(f"task {self.name!r}: several label columns are for hierarchical")
        if self.kind == "unlabelled" and self.loss not in (None, "distillation"):
            raise ValueError(f"task {self.name!r}: unlabelled text has no loss but distillation")
        if (self.loss == "cosent") != (self.kind == "graded") and self.loss is not None:
            raise ValueError(f"task {self.name!r}: loss cosent and kind graded go together")
        wrong = [metric for metric in self.metrics if metric not in _METRICS[self.kind]]
        if wrong:
            fitting = ", ".join(_METRICS[self.kind]) or "none"
            raise ValueError(
                f"task {self.name!r} of kind {self.kind} cannot be measured by {wrong[0]!r}; "
                f"accepted: {fitting}"
            )
        return self


class HeadConfig(Config):
    """The projection from the encoder's width to small vectors.

    Attributes:
      start: `pca` (principal directions of the training mixture), `fitted` (the same, moved until
        cosines of the small vectors are those of the whole ones, see `trine.embeddings.head_fit`),
        `whitened` (divided by the within-label spread), `random`, or `none` (no head: the encoder's
        own width).
      centre: whether the mean of the training mixture is taken off.
      shrinkage: of the within-label covariance towards the identity, for `whitened`.
      rows: texts that the start is computed from.
      fit_steps: gradient steps of `fitted`.
      fit_neighbours: weight of near neighbours beside squared differences, for `fitted`.
      fit_rate: of Adam, for `fitted`.
      fit_temperature: of near neighbours, for `fitted`. Smaller for a base whose cosines are all
        high.
      fit_variants: near variants of each of the `rows` texts, made by leaving out, replacing and
        moving words, for `fitted`; 0: none. With them the fit tells near from nearer texts. With
        `refit` they are made after training only.
      fit_squares: weight of squared differences of cosines, for `fitted`.
      fit_labels: weight of the contrast of labels and pairs, for `fitted`; 0: texts alone.
      fit_pairs: weight of that of pairs, if it is another.
      refit: whether the start is computed again on the trained encoder, in place of the head that
        training left (see `trine.embeddings.refit`).
      per_task: whether each trained task also gets a head of its own, computed on the trained
        encoder from its texts (see `trine.embeddings.task_heads`); the shared one serves all else.
    """

    start: Literal["pca", "fitted", "whitened", "random", "none"] = "pca"
    centre: bool = True
    shrinkage: float = Field(default=0.5, ge=0, le=1)
    rows: int = Field(default=8_000, ge=64)
    fit_steps: int = Field(default=800, ge=1)
    fit_neighbours: float = Field(default=0.1, ge=0)
    fit_rate: float = Field(default=1e-3, gt=0)
    fit_temperature: float = Field(default=0.05, gt=0)
    fit_variants: int = Field(default=0, ge=0, le=16)
    fit_squares: float = Field(default=30.0, ge=0)
    fit_labels: float = Field(default=0.0, ge=0)
    fit_pairs: float | None = Field(default=None, ge=0)
    refit: bool = True
    per_task: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.per_task and (not self.refit or self.start in ("random", "none")):
            raise ValueError(
                "head.per_task computes heads anew: it needs head.refit = true and head.start "
                "pca, fitted or whitened"
            )
        return self


class ModelConfig(Config):
    """The encoder and what of it may change.

    Attributes:
      base: `minilm`, `multilingual-e5-small` (both from installed packages), a folder, or a name
        that sentence-transformers knows (downloads; said before it is done).
      max_tokens: texts are cut here; None: the base's own limit.
      prefix: before every text; None: the base's own (e5: `query: `).
      freeze_vocabulary: the token embeddings do not change.
      freeze_layers: so many lower layers do not change (and their outputs may be cached).
      lora_rank: train low-rank adapters (peft) in place of the layers; 0: off.
      task_heads: a linear head for each task beside the shared one, used in training only.
      prune_vocabulary: keep only the tokens of the training texts.
    """

    base: str = "minilm"
    max_tokens: int | None = Field(default=None, ge=8)
    prefix: str | None = None
    freeze_vocabulary: bool = True
    freeze_layers: int = Field(default=0, ge=0)
    lora_rank: int = Field(default=0, ge=0)
    task_heads: bool = False
    prune_vocabulary: bool = False


class TrainingConfig(Config):
    """How batches become steps.

    Attributes:
      steps: optimiser steps; each sums the gradients of `tasks_per_step` tasks.
      tasks_per_step: batches, each of another task, in one step; 0: every task in every step.
      batch_size: texts (or pairs) in a batch, unless the task says otherwise.
      alpha: task i is drawn with probability proportional to (its rows) ** alpha; 0: in shuffled
        rounds, every task as often as any other.
      loss: for label and pair tasks.
      temperature: of the contrastive softmax.
      positives: `all` (every same-label text in the batch is a positive) or `mask` (one positive,
        the other same-label texts taken out of the softmax).
      hard_negatives: share of a batch's labels that are neighbours (confusable labels).
      margin: of `pair_margin` a distance, of `pair_bce` the cosine of probability one half.
      widths: Matryoshka widths trained besides the recipe's dimension and the full width.
      distillation: weight of keeping the base's similarities between the texts of a batch.
      distillation_temperature: of the cosines there; None: that of the contrast. Smaller for a base
        whose cosines are all high.
      rate: peak learning rate of the encoder.
      head_rate: peak learning rate of the head.
      warmup: share of the steps in which the rates rise.
      decay: how the rates fall to 0 after the warm-up.
      weight_decay: of AdamW.
      clip: the norm that the gradient of a step is cut to; 0: it is not.
      average: weight of the trained encoder in the final average with the base (1: no averaging).
      shared_loss: weight of a task's loss on the shared vector where each task has a head of its
        own (`model.task_heads`); 0: labels speak through these heads only.
      cache_rows: gradient caching in pieces of so many texts; 0: off.
      max_tokens: texts are cut here while training; None: the model's limit.
      leave_after: joint steps after which a task may leave the others and go on alone, in upper
        layers and a head of its own, with the updates that are left; 0: it learns alone from the
        first. Its validation rows decide after which of them, or whether it stays to the end (see
        `trine.embeddings.choices`). None given: all stay.
      save_every: steps between checkpoints.
    """

    steps: int = Field(default=300, ge=1)
    tasks_per_step: int = Field(default=0, ge=0)
    batch_size: int = Field(default=32, ge=2)
    alpha: float = Field(default=0.5, ge=0, le=1)
    loss: LossName = "info_nce"
    temperature: float = Field(default=0.05, gt=0)
    positives: Literal["all", "mask"] = "all"
    hard_negatives: float = Field(default=0.0, ge=0, le=1)
    margin: float = Field(default=0.5, gt=0, le=2)
    widths: tuple[int, ...] = ()
    distillation: float = Field(default=0.0, ge=0)
    distillation_temperature: float | None = Field(default=None, gt=0)
    rate: float = Field(default=2e-5, gt=0)
    head_rate: float = Field(default=1e-4, gt=0)
    warmup: float = Field(default=0.1, ge=0, le=1)
    decay: Literal["cosine", "linear"] = "cosine"
    weight_decay: float = Field(default=0.01, ge=0)
    clip: float = Field(default=1.0, ge=0)
    average: float = Field(default=1.0, gt=0, le=1)
    shared_loss: float = Field(default=1.0, ge=0)
    cache_rows: int = Field(default=0, ge=0)
    max_tokens: int | None = Field(default=64, ge=8)
    leave_after: tuple[Annotated[int, Field(strict=True)], ...] = ()
    save_every: int = Field(default=50, ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        wrong = [step for step in self.leave_after if not 0 <= step < self.steps]
        if wrong:
            raise ValueError(
                f"leave_after has {wrong[0]}, steps is {self.steps}: it takes steps from 0 to "
                f"{self.steps - 1}, before the joint training ends"
            )
        if len(set(self.leave_after)) < len(self.leave_after):
            raise ValueError("leave_after has a step twice")
        return self

    @property
    def in_rounds(self) -> bool:
        """Whether the tasks of the steps come in shuffled rounds, see `alpha`."""
        return self.alpha == 0

    def distillation_of(self, task: TaskConfig) -> float:
        """The weight that counts for a task: its own, else the recipe's."""
        return self.distillation if task.distillation is None else task.distillation


class Recipe(Config):
    """Everything that determines a model.

    Attributes:
      tasks: at least one with role `train`, to train.
      dimension: width of the vectors.
      model: encoder.
      head: projection.
      training: steps.
      seed: the one seed.
      data_seed: of splits that are made here, of `max_rows` and of `validation_rows`. Not the seed:
        no seed of a training may train on another's test rows.
      title: for the model card.
      licence: of the resulting model, for the card.
    """

    tasks: tuple[TaskConfig, ...] = Field(min_length=1)
    dimension: int = Field(default=50, ge=2)
    model: ModelConfig = ModelConfig()
    head: HeadConfig = HeadConfig()
    training: TrainingConfig = TrainingConfig()
    seed: int = Field(default=0, ge=0)
    data_seed: int = Field(default=0, ge=0)
    title: str = ""
    licence: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        unlabelled = [task for task in self.trained if task.kind == "unlabelled"]
        idle = [task.name for task in unlabelled if not self.training.distillation_of(task)]
        if idle:
            raise ValueError(
                f"task {idle[0]!r} is unlabelled: it needs training.distillation above 0 "
                "(or its own)"
            )
        if self.training.leave_after and not self.head.per_task:
            raise ValueError("training.leave_after needs head.per_task = true: a branch has a head")
        if self.training.leave_after and len(self.trained) - len(unlabelled) < 2:
            raise ValueError("training.leave_after needs two labelled tasks to train or more")
        twice = [name for name, n in Counter(t.name for t in self.tasks).items() if n > 1]
        if twice:
            raise ValueError(f"two tasks are called {twice[0]!r}; every task needs its own name")
        return self

    @property
    def trained(self) -> tuple[TaskConfig, ...]:
        """Tasks that are trained on."""
        return tuple(task for task in self.tasks if task.role == "train")

    def task(self, name: str) -> TaskConfig:
        """The task of a name.

        Raises:
          UsageError: if there is none.
        """
        for task in self.tasks:
            if task.name == name:
                return task
        raise UsageError.unknown("task", name, [task.name for task in self.tasks])


def load_recipe(
    file: Path, settings: tuple[str, ...] | list[str] = (), **given: object
) -> tuple[Recipe, Path]:
    """A recipe and the directory that its relative sources start from.

    Args:
      file: the TOML file.
      settings: `"training.steps=50"` texts over it.
      given: values of options by name with `__` for the dot; None means not given.

    Raises:
      ConfigError: naming the key, what was given and what is accepted.
    """
    dotted = {name.replace("__", "."): value for name, value in given.items()}
    return load_config(Recipe, file, settings, dotted), file.resolve().parent
