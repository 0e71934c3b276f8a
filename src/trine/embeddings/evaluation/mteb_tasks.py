"""MTEB's own tasks on local rows, so that our numbers are computed as the public ones.

Each function builds one task of the `mteb` package from polars frames, runs its protocol on stored
vectors and returns its scores, 0 to 100, with a standard error over the protocol's own repetitions
where it has any.

| measure | protocol (class of `mteb`) | repeated |
|---|---|---|
| classification | `AbsTaskClassification`: 8 examples a label, logistic regression | 10 draws |
| multi-label | `AbsTaskMultilabelClassification`: 8 a label, 5 neighbours | 10 draws |
| clustering | `AbsTaskClustering`: mini-batch k-means, v-measure | 10 samples |
| sts | `AbsTaskSTS`: Spearman of cosines | no |
| bitext | `AbsTaskBitextMining`: F1 of the nearest neighbour | no |
| retrieval | `AbsTaskRetrieval`: nDCG@10, recall@k | no |

Source: Muennighoff et al. 2023, "MTEB: Massive Text Embedding Benchmark" (arXiv 2210.07316).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from io import StringIO
from typing import Any

import numpy as np
import polars as pl

from trine.core.errors import DataError
from trine.embeddings.evaluation.kept_seeds import kept_seeds
from trine.embeddings.evaluation.vectors import KnownVectors

__all__ = [
    "DRAWS",
    "Measured",
    "bitext",
    "classification",
    "clustering",
    "multilabel",
    "retrieval",
    "sts",
]

# MTEB's number of draws of a classification.
DRAWS = 10

# Of MTEB's multi-label classifier.
_NEIGHBOURS = 5
_EXAMPLES = 8
"""Of a label, in a draw of a classification; `AbsTaskClassification.samples_per_label`."""

_BATCH = {"batch_size": 256, "show_progress_bar": False}


@dataclass(frozen=True, slots=True)
class Measured:
    """A score of one measure: 0 to 100, its standard error (None: unknown), and rows."""

    metric: str
    score: float
    se: float | None
    n: int


def _scores(
    kind: type,
    task_type: str,
    main_score: str,
    dataset: Any,
    vectors: KnownVectors,
    **attributes: object,
) -> dict[str, Any]:
    """Makes a task of MTEB, gives it local rows and runs its protocol."""
    from mteb.abstasks.task_metadata import TaskMetadata

    # MTEB registers nothing here: the class is made for one evaluation and carries local rows.
    metadata = TaskMetadata(
        name="LocalTask",
        description="Rows of the user's own.",
        dataset={"path": "local/rows", "revision": "0"},
        type=task_type,  # pyright: ignore[reportArgumentType] (a literal)
        eval_splits=["test"],
        eval_langs=["eng-Latn"],  # not used by the protocols; the language is on our own rows
        main_score=main_score,
    )
    # Some of its tasks show bars of their own that cannot be turned off: they go to the buffer.
    with kept_seeds(), redirect_stderr(StringIO()), warnings.catch_warnings():
        # Of measures that the protocol computes besides and that nobody reads here.
        warnings.filterwarnings("ignore", module="sklearn")
        warnings.filterwarnings("ignore", message=".*unique classes.*")
        warnings.filterwarnings("ignore", message="An input array is constant")
        # Of bitext mining, which copies a tensor where a view would do.
        warnings.filterwarnings("ignore", message="To copy construct from a tensor")
        task: Any = type("LocalTask", (kind,), {"metadata": metadata, **attributes})()
        task.dataset = dataset
        task.data_loaded = True
        return task.evaluate(vectors, "test", encode_kwargs=dict(_BATCH))["default"]


def _over_draws(metric: str, values: Sequence[float], n: int) -> Measured:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    se = 100 * spread / math.sqrt(len(values)) if math.isfinite(spread) else None
    return Measured(metric, 100 * float(np.mean(values)), se, n)


def _rows(frame: pl.DataFrame, columns: Mapping[str, str]) -> Any:
    from datasets import Dataset

    return Dataset.from_dict({new: frame[old].to_list() for new, old in columns.items()})


def _accuracy(_: object, truth: Any, predicted: Any) -> dict[str, float]:
    # MTEB's own also ranks two labels by average precision, which labels that are texts refuse.
    return {"accuracy": float(np.mean(np.asarray(truth) == np.asarray(predicted)))}


def classification(
    train: pl.DataFrame,
    test: pl.DataFrame,
    vectors: KnownVectors,
    *,
    label: str = "label",
    draws: int = DRAWS,
) -> Measured:
    """Mean accuracy of logistic regression on 8 examples a label, over 10 draws.

    Args:
      train: columns `text` and `label`; the examples are drawn here.
      test: the same columns.
      vectors: of all texts.
      label: name of the label column.
      draws: MTEB's 10; fewer are quicker and less sure.

    Raises:
      DataError: if the training rows have fewer than two labels.
    """
    from datasets import DatasetDict
    from mteb.abstasks.classification import AbsTaskClassification

    names = sorted(set(train[label].to_list()))
    if len(names) < 2:
        raise DataError(
            f"{len(names)} label(s) in the training rows of a classification",
            accepted="two or more",
        )
    columns = {"text": "text", "label": label}
    # As MTEB does: a scored label that no training row has cannot be right, and stays in.
    scores = _scores(
        AbsTaskClassification,
        "Classification",
        "accuracy",
        DatasetDict({"train": _rows(train, columns), "test": _rows(test, columns)}),
        vectors,
        n_experiments=draws,
        _calculate_scores=_accuracy,
    )
    values = [draw["accuracy"] for draw in scores["scores_per_experiment"]]
    found = _over_draws("accuracy", values, test.height)
    if max(train[label].value_counts()["count"].to_list()) <= _EXAMPLES:
        return replace(found, se=None)  # every draw has the same rows: their spread says nothing
    return found


def multilabel(
    train: pl.DataFrame, test: pl.DataFrame, vectors: KnownVectors, *, draws: int = DRAWS
) -> list[Measured]:
    """Label-ranking average precision and macro F1 of 5 nearest neighbours, over 10 draws.

    Args:
      train: columns `text` and `labels`, a list of names.
      test: the same columns.
      vectors: of all texts.
      draws: see `classification`.

    MTEB scores 3,000 rows at most, stratified by label. A label that only scored rows have counts
    as never found.

    Raises:
      DataError: fewer training rows than neighbours.
    """
    from datasets import DatasetDict
    from mteb.abstasks.multilabel_classification import AbsTaskMultilabelClassification

    if train.height < _NEIGHBOURS:
        raise DataError(
            f"{train.height} training rows of a multi-label classification",
            accepted=f"{_NEIGHBOURS} or more, as many as there are neighbours",
        )
    columns = {"text": "text", "label": "labels"}
    scores = _scores(
        AbsTaskMultilabelClassification,
        "MultilabelClassification",
        "lrap",
        DatasetDict({"train": _rows(train, columns), "test": _rows(test, columns)}),
        vectors,
        n_experiments=draws,
    )
    each = scores["scores_per_experiment"]
    scored = min(test.height, AbsTaskMultilabelClassification.max_eval_samples or test.height)
    return [
        _over_draws(metric, [draw[metric] for draw in each], scored) for metric in ("lrap", "f1")
    ]


def clustering(test: pl.DataFrame, vectors: KnownVectors, *, label: str = "label") -> Measured:
    """Mean v-measure of mini-batch k-means over 10 samples of the rows."""
    from datasets import DatasetDict
    from mteb.abstasks.clustering import AbsTaskClustering

    frame = test.with_columns(pl.concat_list(label).alias("labels"))
    rows = _rows(frame, {"sentences": "text", "labels": "labels"})
    scores = _scores(
        AbsTaskClustering,
        "Clustering",
        "v_measure",
        DatasetDict({"test": rows}),
        vectors,
        max_fraction_of_documents_to_embed=None,
        max_document_to_embed=None,
        # A sample with replacement as large as the data; MTEB's default suits far larger sets.
        max_documents_per_cluster=min(16_384, frame.height),
    )
    return _over_draws("v_measure", scores["v_measures"]["Level 0"], frame.height)


def sts(test: pl.DataFrame, vectors: KnownVectors, *, resamples: int = 200) -> Measured:
    """Spearman correlation of cosines with scores; standard error by resampling rows.

    Args:
      test: columns `text`, `pair`, `score`.
      vectors: of all texts.
      resamples: for the standard error.

    Raises:
      DataError: fewer than two different scores have no ranks to compare.
    """
    from datasets import DatasetDict
    from mteb.abstasks.sts import AbsTaskSTS
    from scipy.stats import spearmanr

    scores = test["score"]
    if scores.n_unique() < 2:
        raise DataError(
            f"{scores.n_unique()} different score(s) in {test.height} graded rows",
            accepted="two or more",
        )
    rows = _rows(test, {"sentence1": "text", "sentence2": "pair", "score": "score"})
    value = _scores(
        AbsTaskSTS,
        "STS",
        "cosine_spearman",
        DatasetDict({"test": rows}),
        vectors,
        min_score=float(scores.min() or 0),  # pyright: ignore[reportArgumentType] (a number)
        max_score=float(scores.max() or 0),  # pyright: ignore[reportArgumentType] (a number)
    )["cosine_spearman"]
    first = vectors.of(test["text"].to_list())
    second = vectors.of(test["pair"].to_list())
    cosines, truth = (first * second).sum(axis=1), scores.to_numpy()
    generator = np.random.default_rng(0)
    values: list[float] = []
    for _ in range(resamples):
        chosen = generator.integers(len(truth), size=len(truth))
        if np.ptp(truth[chosen]) and np.ptp(cosines[chosen]):  # else there is no correlation
            values.append(float(spearmanr(cosines[chosen], truth[chosen])[0]))  # pyright: ignore[reportArgumentType] (stubs)
    se = 100 * float(np.std(values, ddof=1)) if len(values) > 1 else None
    # Equal cosines everywhere order nothing: no correlation.
    return Measured("spearman", 100 * value if math.isfinite(value) else 0.0, se, len(truth))


def bitext(test: pl.DataFrame, vectors: KnownVectors) -> Measured:
    """F1 of taking the nearest `pair` of all rows as the translation of `text`."""
    from datasets import DatasetDict
    from mteb.abstasks.text.bitext_mining import AbsTaskBitextMining

    rows = DatasetDict({"test": _rows(test, {"sentence1": "text", "sentence2": "pair"})})
    value = _scores(AbsTaskBitextMining, "BitextMining", "f1", rows, vectors)["f1"]
    se = 100 * math.sqrt(max(value * (1 - value), 0) / max(test.height, 1))
    return Measured("f1", 100 * float(value), se, test.height)


def retrieval(test: pl.DataFrame, vectors: KnownVectors) -> list[Measured]:
    """nDCG@10 and recall at 1, 10 of finding each row's `pair` among all pairs by its `text`.

    Rows with the same text share their relevant documents; equal documents are one.
    """
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData

    documents = list(dict.fromkeys(test["pair"].to_list()))
    queries = list(dict.fromkeys(test["text"].to_list()))
    place = {text: f"d{i}" for i, text in enumerate(documents)}
    number = {text: f"q{i}" for i, text in enumerate(queries)}
    relevant: dict[str, dict[str, int]] = {}
    for query, document in test.select("text", "pair").iter_rows():
        relevant.setdefault(number[query], {})[place[document]] = 1
    split = RetrievalSplitData(
        corpus=Dataset.from_dict({"id": list(place.values()), "text": documents}),
        queries=Dataset.from_dict({"id": list(number.values()), "text": queries}),
        relevant_docs=relevant,
        top_ranked=None,
    )
    rows = {"default": {"test": split}}
    scores = _scores(AbsTaskRetrieval, "Retrieval", "ndcg_at_10", rows, vectors)
    found: list[Measured] = []
    for metric, key in (
        ("ndcg@10", "ndcg_at_10"),
        ("recall@1", "recall_at_1"),
        ("recall@10", "recall_at_10"),
    ):
        value = float(scores[key])
        se = 100 * math.sqrt(max(value * (1 - value), 0) / max(len(queries), 1))
        found.append(Measured(metric, 100 * value, se, len(queries)))
    return found
