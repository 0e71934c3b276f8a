"""Confusable labels: those whose texts the base puts close together, for harder batches.

The centroid of a label is the mean unit vector of (at most 16 of) its training texts. The
neighbours of a label are the labels with the nearest centroids by cosine. A batch that holds
neighbours makes the contrast tell them apart; which share of a batch that should be is a choice of
the recipe (`training.hard_negatives`). Whether the paper mines negatives is not known.

Of labels in several levels only whole paths are neighbours: a level above has the texts of all its
paths, so it is near to each of them without being another label.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

__all__ = ["confusable_labels", "label_centroids", "nearest_labels"]

TEXTS_PER_LABEL = 16
NEIGHBOURS = 5


def label_centroids(vectors: np.ndarray, labels: Sequence[Sequence[int]], count: int) -> np.ndarray:
    """Unit mean vectors.

    Args:
      vectors: `[n, d]`.
      labels: for each row its labels, 0 to `count` - 1.
      count: how many labels there are.

    Returns:
      `[count, d]`; zeros for a label without rows.
    """
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    sums = np.zeros((count, vectors.shape[1]))
    for vector, own in zip(unit, labels, strict=True):
        for label in own:
            sums[label] += vector
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def nearest_labels(
    centroids: np.ndarray,
    count: int,
    *,
    paths: Collection[tuple[int, ...]] = (),
    block: int = 2048,
) -> np.ndarray:
    """`[L, min(count, L - 1)]` other labels, nearest first; ties by number.

    Args:
      centroids: `[L, d]` unit vectors.
      count: neighbours of each.
      paths: of labels in several levels the whole path and its beginnings, longest first. Then only
        whole paths are found, none that begins with the other or is a beginning of it; -1 where
        there are fewer of them.
      block: rows of the similarity matrix that are in memory at a time.
    """
    related: dict[int, set[int]] = {}
    for path in paths:
        for label in path:
            related.setdefault(label, set()).update(path)
    whole = np.full(total := len(centroids), not paths)
    whole[[path[0] for path in paths]] = True
    count = min(count, total - 1)
    found = np.empty((total, max(count, 0)), dtype=np.int64)
    for begin in range(0, total, block):
        similar = centroids[begin : begin + block] @ centroids.T
        rows = np.arange(len(similar))
        similar[rows, begin + rows] = -np.inf
        similar[:, ~whole] = -np.inf
        for row in range(len(similar)) if related else ():
            similar[row, list(related.get(begin + row, ()))] = -np.inf
        order = np.argsort(-similar, axis=1, kind="stable")[:, :count]
        none = np.isneginf(np.take_along_axis(similar, order, axis=1))
        found[begin : begin + block] = np.where(none, -1, order)
    return found


def confusable_labels(
    texts: Sequence[str],
    labels: Sequence[Sequence[int]],
    encode: Callable[[list[str]], np.ndarray],
    rng: np.random.Generator,
    *,
    nested: bool = False,
    count: int = NEIGHBOURS,
    per_label: int = TEXTS_PER_LABEL,
) -> np.ndarray:
    """`[L, count]` the labels nearest to each under an encoder.

    Args:
      texts: of the training rows.
      labels: of each row, numbered from 0.
      encode: texts to `[n, d]` vectors, e.g. of the untuned base.
      rng: which texts stand for a label with many.
      nested: whether the labels of a row are a path and its beginnings, longest first.
      count: neighbours of each label; with `nested` -1 where there are fewer.
      per_label: texts that a centroid is a mean of, at most.
    """
    total = 1 + max(max(own, default=-1) for own in labels)
    taken = np.zeros(total, dtype=np.int64)
    chosen: list[int] = []
    for row in rng.permutation(len(texts)):
        own = list(labels[row])
        if own and taken[own].min() < per_label:
            taken[own] += 1
            chosen.append(int(row))
    vectors = encode([texts[row] for row in chosen])
    centroids = label_centroids(vectors, [labels[row] for row in chosen], total)
    paths = {tuple(own) for own in labels} if nested else set()
    return nearest_labels(centroids, count, paths=paths)
