"""The head: a linear map from the encoder's width to small vectors, and where it starts.

A head has as many rows as columns, so ordered that its first k rows are the k-dimensional head
(Matryoshka): training and evaluation at any width need one head, and the model that is saved keeps
the first rows only.

`pca` starts from the principal directions of the training mixture: of all rotations, the one whose
first k numbers keep most of the variance. `whitened` starts from the directions in which labels
differ most for the spread inside a label (linear discriminants with a shrunken covariance, Friedman
1989), so that the first numbers are those that tell labels apart. Directions in which no labels
differ come last, by variance. `fitted` moves the principal directions until the cosines of the
leading numbers are those of whole vectors (`trine.embeddings.head_fit`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from trine.embeddings.config import HeadConfig

__all__ = ["start_head"]


def start_head(
    vectors: np.ndarray,
    labels: Sequence[str | None],
    config: HeadConfig,
    generator: np.random.Generator,
    widths: Sequence[int] = (),
    groups: np.ndarray | None = None,
    pair_tasks: Collection[str] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Weight `[d, d]` and bias `[d]` of a head to start from.

    Args:
      vectors: `[n, d]` of the encoder, of length one, from every task in turn.
      labels: of each, as `task:label`; None: none known. Used by `whitened` and `fitted`.
      config: which start.
      generator: for `random` and `fitted`.
      widths: leading numbers that are used, for `fitted`; empty: all.
      groups: `[n]` of near texts, for `fitted`; None: every text is alone.
      pair_tasks: names of the tasks of pairs, for `fitted`.
    """
    width = vectors.shape[1]
    values = np.asarray(vectors, dtype=np.float64)
    mean = values.mean(axis=0) if config.centre else np.zeros(width)
    if config.start == "random":
        weight = np.linalg.qr(generator.standard_normal((width, width)))[0]
    elif config.start == "none":
        weight, mean = np.eye(width), np.zeros(width)
    elif config.start in ("pca", "fitted"):
        weight = _directions((values - mean).T @ (values - mean) / len(values))
    else:
        weight = _discriminants(values, labels, mean, config.shrinkage)
    if config.start == "fitted":
        start = weight, -weight @ mean
        return _fitted(values, labels, start, config, generator, widths, groups, pair_tasks)
    return weight.astype(np.float32), (-weight @ mean).astype(np.float32)


def _fitted(
    values: np.ndarray,
    labels: Sequence[str | None],
    start: tuple[np.ndarray, np.ndarray],
    config: HeadConfig,
    generator: np.random.Generator,
    widths: Sequence[int],
    groups: np.ndarray | None,
    pair_tasks: Collection[str],
) -> tuple[np.ndarray, np.ndarray]:
    from trine.embeddings.head_fit import Aim, fit_head

    return fit_head(
        values, labels, *start,
        widths=widths or (values.shape[1],),
        steps=config.fit_steps,
        rate=config.fit_rate,
        aim=Aim(config.fit_squares, config.fit_neighbours, config.fit_temperature),
        label_weight=config.fit_labels,
        pair_weight=config.fit_labels if config.fit_pairs is None else config.fit_pairs,
        generator=generator,
        groups=groups,
        pair_tasks=pair_tasks,
    )  # fmt: skip


def _directions(matrix: np.ndarray) -> np.ndarray:
    # Largest first; the sign of each is fixed, so that the start does not depend on the library.
    rows = np.linalg.eigh(matrix)[1].T[::-1]
    largest = rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)]
    return rows * np.sign(largest)[:, None]


def _discriminants(
    values: np.ndarray, labels: Sequence[str | None], mean: np.ndarray, shrinkage: float
) -> np.ndarray:
    places: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        if label is not None:
            places.setdefault(label, []).append(i)
    groups = [rows for rows in places.values() if len(rows) > 1]
    width = values.shape[1]
    if not groups:
        return _directions((values - mean).T @ (values - mean) / len(values))
    within = np.zeros((width, width))
    centres = np.zeros((len(groups), width))
    for i, rows in enumerate(groups):
        centres[i] = values[rows].mean(axis=0)
        spread = values[rows] - centres[i]
        within += spread.T @ spread
    within /= sum(len(rows) - 1 for rows in groups)
    scale = np.trace(within) / width
    shrunk = (1 - shrinkage) * within + shrinkage * scale * np.eye(width)
    size, basis = np.linalg.eigh(shrunk)
    whiten = basis @ np.diag(np.sqrt(scale / size)) @ basis.T
    between = (centres - mean) @ whiten
    first = _directions(between.T @ between / len(groups))
    # Few labels differ in few directions; the rest, in which they do not, goes by variance.
    differ = int((np.linalg.svd(between, compute_uv=False) > 1e-6 * np.linalg.norm(between)).sum())
    rest = first[differ:]
    if len(rest):
        others = (values - mean) @ whiten @ rest.T
        first[differ:] = _directions(others.T @ others / len(values)) @ rest
    return first @ whiten
