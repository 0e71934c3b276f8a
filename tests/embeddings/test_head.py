"""Where the head starts: principal directions, discriminants, a rotation, or nothing."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from trine.embeddings.config import HeadConfig
from trine.embeddings.head import start_head

ROWS, WIDTH = 600, 12


def _vectors(labels: int = 4, seed: int = 0) -> tuple[np.ndarray, list[str | None]]:
    """Labels that differ in directions of small spread, while the spread elsewhere is large."""
    draw = np.random.default_rng(seed)
    number = np.arange(ROWS) % labels
    centres = np.zeros((labels, WIDTH))
    centres[:, :2] = 0.6 * draw.standard_normal((labels, 2))
    spread = np.linspace(0.1, 1.5, WIDTH)
    values = centres[number] + spread * draw.standard_normal((ROWS, WIDTH)) + 0.3
    return values.astype(np.float32), [f"l{i}" for i in number]


def _start(values: np.ndarray, labels: list[str | None], **options: object):
    config = HeadConfig.model_validate(options)
    weight, bias = start_head(values, labels, config, np.random.default_rng(1))
    assert weight.shape == (WIDTH, WIDTH)
    assert bias.shape == (WIDTH,)
    assert weight.dtype == bias.dtype == np.float32
    return weight.astype(np.float64), bias.astype(np.float64)


def test_pca_is_that_of_scikit_learn_up_to_signs() -> None:
    values, labels = _vectors()
    weight, bias = _start(values, labels, start="pca")
    ours = values @ weight.T + bias
    theirs = PCA(WIDTH).fit_transform(values.astype(np.float64))
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-4)


@pytest.mark.parametrize("start", ["pca", "random"])
def test_rotations_keep_lengths_and_centring_takes_the_mean_off(start: str) -> None:
    values, labels = _vectors()
    weight, bias = _start(values, labels, start=start)
    np.testing.assert_allclose(weight @ weight.T, np.eye(WIDTH), atol=1e-5)
    np.testing.assert_allclose((values @ weight.T + bias).mean(axis=0), 0, atol=1e-4)
    weight, bias = _start(values, labels, start=start, centre=False)
    assert not bias.any()


def test_pca_without_centring_is_the_second_moment() -> None:
    values, labels = _vectors()
    weight, _ = _start(values, labels, start="pca", centre=False)
    moments = ((values @ weight.T) ** 2).mean(axis=0)
    assert (np.diff(moments) < 1e-6).all()
    np.testing.assert_allclose(
        moments, np.linalg.svd(values, compute_uv=False) ** 2 / ROWS, rtol=1e-4
    )


def test_whitened_without_shrinkage_spans_the_discriminants_of_scikit_learn() -> None:
    values, labels = _vectors(labels=3)
    weight, _ = _start(values, labels, start="whitened", shrinkage=0)
    other = LinearDiscriminantAnalysis(solver="eigen").fit(values, labels)
    theirs = other.scalings_[:, :2].T  # three labels differ in two directions
    ours, _ = np.linalg.qr(weight[:2].T)
    outside = theirs.T - ours @ (ours.T @ theirs.T)
    np.testing.assert_allclose(
        np.linalg.norm(outside, axis=0) / np.linalg.norm(theirs, axis=1), 0, atol=1e-3
    )


def test_whitened_makes_the_spread_within_labels_round() -> None:
    values, labels = _vectors()
    weight, bias = _start(values, labels, start="whitened", shrinkage=0)
    turned = values @ weight.T + bias
    within = np.zeros((WIDTH, WIDTH))
    for label in set(labels):
        own = turned[[i for i, other in enumerate(labels) if other == label]]
        within += np.cov(own.T, bias=True) * len(own) / ROWS
    np.testing.assert_allclose(within / within[0, 0], np.eye(WIDTH), atol=0.02)


def test_whitened_tells_labels_apart_in_fewer_numbers_than_pca() -> None:
    values, labels = _vectors()

    def share_between(start: str) -> float:
        weight, bias = _start(values, labels, start=start, shrinkage=0.1)
        first = (values @ weight.T + bias)[:, :2]
        groups = {label: [i for i, x in enumerate(labels) if x == label] for label in set(labels)}
        means = sum(len(g) * first[g].mean(axis=0) ** 2 for g in groups.values())
        return float((means / (first**2).sum(axis=0)).mean())

    assert share_between("whitened") > 0.5 > 0.1 > share_between("pca")


def test_full_shrinkage_looks_at_the_centres_of_labels_alone() -> None:
    values, labels = _vectors()
    weight, _ = _start(values, labels, start="whitened", shrinkage=1)
    np.testing.assert_allclose(weight @ weight.T, np.eye(WIDTH), atol=1e-5)


def test_directions_in_which_labels_do_not_differ_come_last_by_variance() -> None:
    values, labels = _vectors(labels=3)
    weight, bias = _start(values, labels, start="whitened", shrinkage=1, centre=False)
    spread = ((values @ weight.T + bias) ** 2).mean(axis=0)
    assert (np.diff(spread[3:]) < 1e-6).all()
    np.testing.assert_allclose(weight @ weight.T, np.eye(WIDTH), atol=1e-5)


def test_whitened_without_labels_is_pca() -> None:
    values, _ = _vectors()
    alone: list[str | None] = [None] * (ROWS - 1) + ["once"]
    for one, other in zip(
        _start(values, alone, start="whitened"), _start(values, alone, start="pca"), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_none_is_nothing() -> None:
    values, labels = _vectors()
    weight, bias = _start(values, labels, start="none")
    np.testing.assert_array_equal(weight, np.eye(WIDTH))
    assert not bias.any()


def test_few_texts_in_many_dimensions_give_finite_full_heads() -> None:
    values, labels = _vectors()
    for start in ("pca", "whitened"):
        weight, bias = _start(values[:6], labels[:6], start=start)
        assert np.isfinite(weight).all()
        assert np.isfinite(bias).all()
        assert np.linalg.matrix_rank(weight) == WIDTH


def test_random_is_of_the_generator() -> None:
    values, labels = _vectors()
    one, other = (_start(values, labels, start="random")[0] for _ in range(2))
    np.testing.assert_array_equal(one, other)
