"""Measures on labels that MTEB has no protocol for: the paper's triplets, and recall of labels.

Triplet ratio (LinkedIn Post Embeddings, as its reviews describe it): the share of triplets (anchor,
positive, negative) whose positive is nearer to the anchor than the negative. Chance is 50. With
random negatives it saturates, so a hard variant takes the negative from the nearest other label.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from trine.embeddings.evaluation.mteb_tasks import Measured

__all__ = ["label_recall", "triplets"]

_CHUNK = 512


def triplets(
    vectors: np.ndarray,
    labels: Sequence[Sequence[str]],
    generator: np.random.Generator,
    *,
    per_anchor: int = 5,
) -> list[Measured]:
    """Triplet ratios with random and with hard negatives.

    Args:
      vectors: `[n, width]` of length one.
      labels: the labels of each text; two texts with one in common are positives.
      generator: draws positives and negatives.
      per_anchor: triplets for each anchor and variant.

    Returns:
      `triplet_random` and `triplet_hard`; none if no text has both a positive and a negative. The
      hard negative is drawn among the texts of one label: of those that the anchor does not have,
      the one whose texts have the highest mean cosine with it. Standard errors are over anchors.
    """
    names = sorted({name for row in labels for name in row})
    member = np.zeros((len(labels), len(names)), dtype=np.float32)
    column = {name: i for i, name in enumerate(names)}
    for i, row in enumerate(labels):
        member[i, [column[name] for name in row]] = 1
    counts = member.sum(axis=0)
    centroids = (member.T @ vectors) / np.maximum(counts, 1)[:, None]
    random: list[float] = []
    hard: list[float] = []
    for i in range(len(labels)):
        shared = member @ member[i] > 0
        positives = np.flatnonzero(shared)
        positives = positives[positives != i]
        negatives = np.flatnonzero(~shared)
        if not len(positives) or not len(negatives):
            continue
        chosen = vectors[generator.choice(positives, per_anchor)] @ vectors[i]
        other = vectors[generator.choice(negatives, per_anchor)] @ vectors[i]
        random.append(float(_wins(chosen, other)))
        near = np.where(member[i] > 0, -np.inf, centroids @ vectors[i])
        for label in np.argsort(-near):
            there = negatives[member[negatives, label] > 0]
            if len(there):
                break
        else:
            continue
        other = vectors[generator.choice(there, per_anchor)] @ vectors[i]
        hard.append(float(_wins(chosen, other)))
    return [
        Measured(name, 100 * float(np.mean(values)), _standard_error(values), len(values))
        for name, values in (("triplet_random", random), ("triplet_hard", hard))
        if values
    ]


def _wins(positive: np.ndarray, negative: np.ndarray) -> float:
    return float(np.mean((positive > negative) + 0.5 * (positive == negative)))


def _standard_error(values: Sequence[float] | np.ndarray) -> float | None:
    if len(values) < 2:
        return None
    return 100 * float(np.std(values, ddof=1)) / math.sqrt(len(values))


def label_recall(
    queries: np.ndarray,
    query_labels: Sequence[Sequence[str]],
    items: np.ndarray,
    item_labels: Sequence[Sequence[str]],
    ks: Sequence[int] = (1, 5, 10),
) -> list[Measured]:
    """Share of queries one of whose labels is among the k nearest labels.

    A label's nearness is that of its nearest item: for job titles, an occupation is found if any of
    its known titles is near. Labels at the same distance, e.g. of one title that belongs to several
    occupations, come in random order, and the mean over all orders is counted: vectors that are all
    the same get chance, not everything.

    Args:
      queries: `[q, width]` of length one.
      query_labels: labels of each query.
      items: `[n, width]` of length one.
      item_labels: labels of each item.
      ks: how many labels are looked at.
    """
    names = sorted({name for row in item_labels for name in row})
    column = {name: i for i, name in enumerate(names)}
    pairs = [(i, column[name]) for i, row in enumerate(item_labels) for name in row]
    rows = np.array([pair[0] for pair in pairs], dtype=np.int64)
    columns = np.array([pair[1] for pair in pairs], dtype=np.int64)
    order = np.argsort(columns, kind="stable")
    rows, columns = rows[order], columns[order]
    starts = np.flatnonzero(np.r_[True, columns[1:] != columns[:-1]])
    found = np.zeros((len(queries), len(ks)))
    for start in range(0, len(queries), _CHUNK):
        cosines = queries[start : start + _CHUNK] @ items.T
        nearest = np.maximum.reduceat(cosines[:, rows], starts, axis=1)  # [chunk, labels]
        for offset, row in enumerate(nearest):
            known = [column[n] for n in query_labels[start + offset] if n in column]
            # A query whose labels no item has cannot be found: it counts as a miss.
            if known:
                best = row[known].max()
                right = int((row[known] == best).sum())
                equal = int((row == best).sum())
                nearer = int((row > best).sum())
                found[start + offset] = [_within(k - nearer, right, equal) for k in ks]
    return [
        Measured(f"recall@{k}", 100 * float(np.mean(column)), _standard_error(column), len(queries))
        for k, column in zip(ks, found.T, strict=True)
        if len(queries)
    ]


def _within(places: int, right: int, equal: int) -> float:
    """Chance that one of `right` among `equal` labels in random order is in the first places."""
    if places <= 0:
        return 0.0
    if places > equal - right:
        return 1.0
    return 1 - math.comb(equal - right, places) / math.comb(equal, places)
