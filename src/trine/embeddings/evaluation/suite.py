"""All tasks of a recipe, each with the measures that fit it, by language and by width.

| kind | measures unless the recipe names others |
|---|---|
| single | classification, triplet; over 300 labels: retrieval (recall of labels), triplet |
| hierarchical | the same on the finest label, and classification on the coarsest |
| multi | classification (multi-label), triplet |
| graded | sts |
| unlabelled | none |
| pairs | bitext if the rows have languages besides the default, else retrieval |

Of a hierarchy, texts whose path ends before the finest level are scored on the coarsest only.

The row of language `all` is the plain mean over languages, its standard error that of a mean of
independent numbers; a task in one language has no such row.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from trine.core.errors import DataError, UsageError
from trine.core.progress import Progress, SilentProgress
from trine.core.seeding import Seeds
from trine.embeddings.evaluation.labels import label_recall, triplets
from trine.embeddings.evaluation.mteb_tasks import (
    DRAWS,
    Measured,
    bitext,
    classification,
    clustering,
    multilabel,
    retrieval,
    sts,
)
from trine.embeddings.evaluation.vectors import KnownVectors, TextVectors
from trine.embeddings.inference import Encoder
from trine.embeddings.splits import STEP
from trine.embeddings.tasks import ScoreRow, Task

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = [
    "DRAWS",
    "MAIN_METRIC",
    "encoder_of",
    "evaluate_model",
    "evaluate_vectors",
    "measures_of",
    "texts_of",
]

_LOG = logging.getLogger(__name__)

# More labels than this, and 8 examples of each are seldom there: labels are retrieved instead.
_MANY_LABELS = 300

# The number a comparison shows first, by measure.
MAIN_METRIC = {
    "classification": "accuracy",
    "multilabel": "lrap",
    "clustering": "v_measure",
    "sts": "spearman",
    "bitext": "f1",
    "retrieval": "recall@1",
    "triplet": "triplet_hard",
    "coarse classification": "accuracy_coarse",
}


def measures_of(task: Task) -> tuple[str, ...]:
    """The measures of a task: the recipe's, else those of the module's table."""
    if task.config.metrics:
        return task.config.metrics
    if task.kind == "unlabelled":
        return ()  # nothing is known of its texts that could be right or wrong
    if task.kind == "graded":
        return ("sts",)
    if task.kind == "pairs":
        foreign = set(task.languages) - {task.config.default_language}
        return ("bitext",) if foreign else ("retrieval",)
    labels = task.frame["labels"].explode().n_unique()
    if task.kind != "multi" and labels > _MANY_LABELS:
        return ("retrieval", "triplet")
    return ("classification", "triplet")


def encoder_of(
    model: SentenceTransformer | Encoder, *, prefix: str | None = None
) -> Callable[[list[str]], np.ndarray]:
    """Texts to `[n, width]` vectors by a model, in its own prefix or the given one."""
    encoder = model if isinstance(model, Encoder) else Encoder.of(model)
    return encoder.with_prefix(prefix).encode


def evaluate_model(
    model: SentenceTransformer | Encoder,
    tasks: Iterable[Task],
    *,
    model_name: str = "model",
    widths: Sequence[int] | None = None,
    split: str = "test",
    max_rows: int | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[ScoreRow]:
    """Scores of a model on every task, language, measure and width.

    Args:
      model: any sentence-transformers model, or an encoder (an exported graph).
      tasks: loaded tasks.
      model_name: for the rows.
      widths: leading numbers of the vectors to use; None: all of them.
      split: what is scored, `test` or `validation`. Classifiers learn from `train` rows.
      max_rows: at most so many scored rows for each task and language, a seeded choice.
      draws: of classifications; MTEB's 10 unless it must be quick.
      seed: of choices.
      progress: where to tell how far it is.

    Raises:
      UsageError: if a width is larger than the vectors.
    """
    stores: dict[str | None, TextVectors] = {}
    model = model if isinstance(model, Encoder) else Encoder.of(model)
    full = model.width
    for width in widths or ():
        _check_width(width, full, model_name)  # before anything is encoded

    def vectors_for(task: Task) -> TextVectors:
        prefix = task.config.prefix
        if prefix not in stores:
            stores[prefix] = TextVectors(encoder_of(model, prefix=prefix))
        return stores[prefix]

    return evaluate_vectors(
        vectors_for, tasks, model_name=model_name, widths=widths, split=split,
        max_rows=max_rows, draws=draws, seed=seed, progress=progress,
    )  # fmt: skip


def evaluate_vectors(
    vectors_for: Callable[[Task], TextVectors],
    tasks: Iterable[Task],
    *,
    model_name: str = "model",
    widths: Sequence[int] | None = None,
    split: str = "test",
    max_rows: int | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[ScoreRow]:
    """The same for anything that gives vectors: an endpoint, a projection, a stored table.

    Args:
      vectors_for: the store of vectors that a task uses.
      tasks: see `evaluate_model`, as for the others.
      model_name: for the rows.
      widths: of the vectors.
      split: that is scored.
      max_rows: scored rows.
      draws: of classifications.
      seed: of choices.
      progress: where to tell how far it is.

    Raises:
      UsageError: if a width is larger than the vectors.
    """
    rows: list[ScoreRow] = []
    tasks = list(tasks)
    if widths is not None:
        widths = list(dict.fromkeys(widths))
    with (progress or SilentProgress()).task(f"evaluating {model_name}", len(tasks)) as shown:
        for task in tasks:
            store = vectors_for(task)
            seeds = Seeds(seed).child("evaluation", task.name)
            by_language = _languages(task, split) if measures_of(task) else []
            if measures_of(task) and not by_language:
                _LOG.warning("task %s has no %s rows; not scored", task.name, split)
            for language in by_language:
                scored, train = _choose(task, split, language, max_rows, seeds)
                store.add(_texts(scored, train, measures_of(task)))
                for width in widths or [store.width]:
                    _check_width(width, store.width, model_name)
                    known = KnownVectors(store, width, model_name)
                    for found in _measure(task, scored, train, known, seeds, draws):
                        rows.append(_row(model_name, task, language, found, width))
            if len(by_language) > 1:
                rows.extend(_means(rows, model_name, task))
            shown.advance(note=task.name)
    return rows


def texts_of(
    tasks: Iterable[Task],
    *,
    split: str = "test",
    max_rows: int | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[str]:
    """The distinct texts that an evaluation would have encoded; counts what an endpoint costs.

    Found by evaluating with vectors that mean nothing, so that it cannot
    differ from the real thing.
    """
    asked: dict[str, None] = {}

    def note(texts: list[str]) -> np.ndarray:
        asked.update(dict.fromkeys(texts))
        generator = np.random.default_rng(0)
        return generator.standard_normal((len(texts), 2)).astype(np.float32)

    store = TextVectors(note, width=2)
    evaluate_vectors(
        lambda task: store, tasks, split=split, max_rows=max_rows, draws=draws, seed=seed
    )
    return list(asked)


def _check_width(width: int, full: int, model: str) -> None:
    if not 1 <= width <= full:
        raise UsageError(f"width {width} of {model}", accepted=f"1 to {full}")


def _row(model: str, task: Task, language: str, found: Measured, width: int) -> ScoreRow:
    return ScoreRow(model, task.name, language, found.metric, found.score, found.se, found.n, width)


def _languages(task: Task, split: str) -> list[str]:
    return sorted(task.rows(split)["language"].unique())


def _choose(
    task: Task, split: str, language: str, max_rows: int | None, seeds: Seeds
) -> tuple[pl.DataFrame, pl.DataFrame]:
    scored = task.rows(split, language)
    if max_rows is not None and scored.height > max_rows:
        chosen = seeds.generator(language, "rows").permutation(scored.height)[:max_rows]
        scored = scored[sorted(int(i) for i in chosen)]
    train = task.rows("train", language)
    # A data set without a train split (SLURP here) lends the examples from validation.
    if not train.height and split != "validation":
        train = task.rows("validation", language)
    return scored, train


def _texts(scored: pl.DataFrame, train: pl.DataFrame, measures: Sequence[str]) -> list[str]:
    texts = scored["text"].to_list()
    if "pair" in scored.columns:
        texts += scored["pair"].to_list()
    elif "retrieval" in measures:
        texts += train["text"].to_list()
    return texts


def _measure(
    task: Task,
    scored: pl.DataFrame,
    train: pl.DataFrame,
    known: KnownVectors,
    seeds: Seeds,
    draws: int,
) -> list[Measured]:
    found: list[Measured] = []
    for measure in measures_of(task):
        try:
            found += _one_measure(measure, task, scored, train, known, seeds, draws)
        except DataError as error:
            # One language with too few rows must not cost the scores of all others.
            languages = ", ".join(scored["language"].unique())
            _LOG.warning("task %s (%s), %s: %s; skipped", task.name, languages, measure, error)
    return found


def _one_measure(
    measure: str,
    task: Task,
    scored: pl.DataFrame,
    train: pl.DataFrame,
    known: KnownVectors,
    seeds: Seeds,
    draws: int,
) -> list[Measured]:
    if measure == "sts":
        return [sts(scored, known)]
    if measure == "bitext":
        return [bitext(scored, known)]
    if measure == "retrieval" and task.kind == "pairs":
        return retrieval(scored, known)
    if measure == "classification":
        return _classify(task, scored, train, known, draws)
    scored, train = task.finest(scored), task.finest(train)
    if not scored.height:
        raise DataError("no scored row has a label of the finest level", accepted="one or more")
    if measure == "retrieval":
        return _label_recall(task, scored, train, known)
    if measure == "triplet":
        labels = _labels(task, scored)
        texts = known.of(scored["text"].to_list())
        return triplets(texts, labels, seeds.generator("triplets"))
    return [clustering(_with_label(scored), known)]


def _labels(task: Task, frame: pl.DataFrame) -> list[list[str]]:
    rows = frame["labels"].to_list()
    return rows if task.kind == "multi" else [[STEP.join(row)] for row in rows]


def _with_label(frame: pl.DataFrame, levels: int | None = None) -> pl.DataFrame:
    """Columns `text` and `label`: the path down to so many levels; None: to the last."""
    labels = pl.col("labels") if levels is None else pl.col("labels").list.head(levels)
    return frame.select("text", labels.list.join(STEP).alias("label"))


def _label_recall(
    task: Task, scored: pl.DataFrame, train: pl.DataFrame, known: KnownVectors
) -> list[Measured]:
    if not train.height:
        raise DataError("no training rows to retrieve", accepted="one or more")
    return label_recall(
        known.of(scored["text"].to_list()), _labels(task, scored),
        known.of(train["text"].to_list()), _labels(task, train),
    )  # fmt: skip


def _classify(
    task: Task, scored: pl.DataFrame, train: pl.DataFrame, known: KnownVectors, draws: int
) -> list[Measured]:
    if task.kind == "multi":
        return multilabel(
            train.select("text", "labels"), scored.select("text", "labels"), known, draws=draws
        )
    if task.kind != "hierarchical":
        return [classification(_with_label(train), _with_label(scored), known, draws=draws)]
    coarse = classification(_with_label(train, 1), _with_label(scored, 1), known, draws=draws)
    found = [replace(coarse, metric="accuracy_coarse")]
    if (whole := task.finest(scored)).height:
        examples = _with_label(task.finest(train))
        try:
            fine = classification(examples, _with_label(whole), known, draws=draws)
        except DataError as error:
            _LOG.warning("task %s is scored on its coarsest level only: %s", task.name, error)
        else:
            found.insert(0, fine)
    return found


def _means(rows: Sequence[ScoreRow], model: str, task: Task) -> list[ScoreRow]:
    groups: dict[tuple[str, int], list[ScoreRow]] = {}
    for row in rows:
        if row.task == task.name and row.model == model:
            groups.setdefault((row.metric, row.width), []).append(row)
    means: list[ScoreRow] = []
    for (metric, width), members in groups.items():
        errors = [row.se for row in members]
        known = [e for e in errors if e is not None]
        se = (
            math.sqrt(sum(e * e for e in known)) / len(members)
            if len(known) == len(errors)
            else None
        )
        score = float(np.mean([row.score for row in members]))
        n = sum(row.n for row in members)
        means.append(ScoreRow(model, task.name, "all", metric, score, se, n, width))
    return means
