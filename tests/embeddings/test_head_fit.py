"""The fitted head: cosines of few numbers near those of all, and labels where they are wanted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trine.embeddings.config import HeadConfig
from trine.embeddings.head import start_head
from trine.embeddings.head_fit import _batch_drawer, _contrast, _label_batch, _label_rows

WIDTH = 16


def _vectors(rows: int = 700, seed: int = 0) -> np.ndarray:
    """Unit vectors of two kinds.

    Few lie far from the centre, in four directions that so have most of the variance; many lie near
    it, in four others. All cosines count alike, so four numbers do well to serve the many.
    """
    draw = np.random.default_rng(seed)
    turn = np.linalg.qr(np.random.default_rng(9).standard_normal((WIDTH, WIDTH)))[0]
    far = np.arange(rows) % 5 == 0
    values = 0.02 * draw.standard_normal((rows, WIDTH))
    values[far, :4] += 0.8 * draw.standard_normal((far.sum(), 4))
    values[~far, 4:8] += 0.2 * draw.standard_normal(((~far).sum(), 4))
    return _unit(values @ turn + turn[-1]).astype(np.float32)


def _unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def _error(head: tuple[np.ndarray, np.ndarray], centre: np.ndarray, width: int) -> float:
    fresh = _vectors(400, seed=5)
    aims = _unit(fresh - centre)
    small = _unit((fresh @ head[0].T + head[1])[:, :width])
    return float(np.square(small @ small.T - aims @ aims.T).mean())


def _start(
    start: str,
    labels: list[str | None] | None = None,
    widths=(4, WIDTH),
    pair_tasks: tuple[str, ...] = (),
    **options,
):
    values = _vectors()
    config = HeadConfig.model_validate({"start": start, "fit_steps": 300, **options})
    given = labels or [None] * len(values)
    found = start_head(
        values, given, config, np.random.default_rng(1), widths, pair_tasks=pair_tasks
    )
    return found, values.mean(axis=0)


def test_fitted_cosines_are_nearer_than_those_of_principal_directions_on_fresh_vectors() -> None:
    principal, centre = _start("pca")
    fitted, _ = _start("fitted", fit_neighbours=0.0)
    assert _error(fitted, centre, 4) < 0.9 * _error(principal, centre, 4)
    # All numbers together keep what they had; a rotation keeps everything.
    assert _error(principal, centre, WIDTH) == pytest.approx(0, abs=1e-9)
    assert _error(fitted, centre, WIDTH) < 0.01


def test_at_full_width_alone_there_is_nothing_to_fit() -> None:
    principal, _ = _start("pca")
    fitted, _ = _start("fitted", widths=())
    np.testing.assert_allclose(fitted[0], principal[0], atol=1e-2)


def test_the_same_generator_gives_the_same_head() -> None:
    first, second = _start("fitted")[0], _start("fitted")[0]
    assert first[0].tobytes() == second[0].tobytes()
    assert first[1].tobytes() == second[1].tobytes()


def test_labels_come_closer_only_if_they_are_asked_for() -> None:
    values = _vectors()
    # Ten labels by a direction that principal directions and cosines leave out of four numbers.
    fifth = np.linalg.svd(values - values.mean(axis=0))[2][6]
    side = np.argsort(np.argsort(values @ fifth)) // 70
    labels: list[str | None] = [f"task:{i}" for i in side]

    def within(head: tuple[np.ndarray, np.ndarray]) -> float:
        small = _unit((values @ head[0].T + head[1])[:, :4])
        cosines = small @ small.T
        same = side[:, None] == side
        return float(cosines[same].mean() - cosines[~same].mean())

    without = within(_start("fitted", labels)[0])
    assert within(_start("fitted", labels, fit_labels=1.0)[0]) > without + 0.05


def test_aims_about_no_centre_and_a_temperature_of_their_own() -> None:
    values = _vectors()
    # Cosines of vectors in a narrow cone are all high; as they are, they are kept as they are.
    near = _unit(values + 3 * values.mean(axis=0)).astype(np.float32)
    options = {"centre": False, "fit_steps": 150, "fit_neighbours": 0.0, "start": "fitted"}
    config = HeadConfig.model_validate(options)
    head = start_head(near, [None] * len(near), config, np.random.default_rng(1), (4,))
    small = _unit((near @ head[0].T + head[1])[:, :4])
    assert np.abs(small @ small.T - near @ near.T).mean() < 0.02

    def confusion(temperature: float) -> float:
        """Share of texts whose nearest neighbour among four numbers is not that among all."""
        config = HeadConfig.model_validate(
            {**options, "fit_neighbours": 1.0, "fit_squares": 0.0, "fit_temperature": temperature}
        )
        head = start_head(near, [None] * len(near), config, np.random.default_rng(1), (4,))
        small = _unit((near @ head[0].T + head[1])[:, :4])
        found = [np.argmax(part @ part.T - 2 * np.eye(len(part)), axis=1) for part in (small, near)]
        return float((found[0] != found[1]).mean())

    # At a high temperature high cosines are all one; at a low one the nearest stand out.
    assert confusion(0.005) < confusion(0.5)


def test_pairs_have_a_weight_of_their_own() -> None:
    values = _vectors()
    pairs: list[str | None] = [f"pairs:{i // 2}" for i in range(len(values))]

    def within(pair_tasks: tuple[str, ...] = ("pairs",), **options: float) -> float:
        head = _start("fitted", pairs, (4,), pair_tasks, fit_steps=40, **options)[0]
        small = _unit((values @ head[0].T + head[1])[:, :4])
        return float((small[::2] * small[1::2]).sum(axis=1).mean())

    without = within()
    assert within(fit_labels=1.0, fit_pairs=0.0) == without
    assert within(fit_pairs=1.0) == within(fit_labels=1.0) > without
    # Labels that happen to have two texts each are labels all the same.
    assert within((), fit_labels=0.0, fit_pairs=1.0) == without
    assert within((), fit_labels=1.0, fit_pairs=0.0) > without


def test_the_contrast_is_the_double_loop() -> None:
    numbers = torch.from_numpy(np.random.default_rng(2).standard_normal((7, 5)))
    ids = torch.tensor([0, 1, 0, 2, 1, 2, 0])
    total = 0.0
    for width in (2, 5):
        unit = torch.nn.functional.normalize(numbers[:, :width], dim=1)
        for i in range(7):
            others = [j for j in range(7) if j != i]
            below = sum(float(torch.exp(unit[i] @ unit[j] / 0.05)) for j in others)
            mates = [j for j in others if ids[j] == ids[i]]
            shares = [float(torch.exp(unit[i] @ unit[j] / 0.05)) / below for j in mates]
            total -= float(np.mean(np.log(shares))) / 7
    assert float(_contrast(numbers, ids, (2, 5))) == pytest.approx(total, rel=1e-6)


def test_labels_of_one_text_and_tasks_of_one_label_are_left_out() -> None:
    labels = ["a:1", "a:1", "a:2", "a:2", "a:3", "b:1", "b:1", None]
    groups = _label_rows(labels)
    assert {k: [list(r) for r in rows] for k, rows in groups.items()} == {"a": [[0, 1], [2, 3]]}
    rows, ids = _label_batch(groups["a"], np.random.default_rng(0))
    assert sorted(rows) == [0, 1, 2, 3]
    assert {(int(r) // 2, int(i)) for r, i in zip(rows, ids, strict=True)} in (
        {(0, 0), (1, 1)},
        {(0, 1), (1, 0)},
    )


def test_a_batch_of_pairs_has_more_labels() -> None:
    twice = [np.array([2 * i, 2 * i + 1]) for i in range(300)]
    for pairs, most in ((True, 256), (False, 48)):
        rows, ids = _label_batch(twice, np.random.default_rng(0), pairs=pairs)
        assert len(rows) == len(ids) == 2 * most


def test_whole_groups_go_into_a_batch() -> None:
    groups = np.repeat(np.arange(1000), 2)[np.random.default_rng(3).permutation(2000)]
    draw = _batch_drawer(2000, groups, np.random.default_rng(1))
    rows = draw()
    assert len(rows) == len(set(rows.tolist())) == 512
    assert np.unique(groups[rows], return_counts=True)[1].tolist() == [2] * 256
    # Fewer rows than a batch, of uneven groups: all of them, and never a part of a group.
    uneven = np.array([0, 0, 0, 1, 2, 2])
    assert sorted(_batch_drawer(6, uneven, np.random.default_rng(1))()) == list(range(6))
    assert len(_batch_drawer(900, np.zeros(900, int), np.random.default_rng(1))()) == 900
    alone = _batch_drawer(2000, None, np.random.default_rng(1))()
    assert alone.tolist() == np.random.default_rng(1).choice(2000, 512, replace=False).tolist()


def test_groups_of_near_texts_keep_near_from_nearer() -> None:
    """What sets near texts apart lies in directions that have little of the variance."""
    draw = np.random.default_rng(0)
    centres = np.zeros((300, WIDTH))
    centres[:, :8] = draw.standard_normal((300, 8))
    shifts = np.zeros((300, 3, WIDTH))
    shifts[..., 8:11] = 0.5 * draw.standard_normal((300, 3, 3))
    values = _unit((centres[:, None] + shifts).reshape(900, WIDTH)).astype(np.float32)
    groups = np.repeat(np.arange(300), 3)
    config = HeadConfig(
        start="fitted", centre=False, fit_rate=1e-2, fit_steps=300, fit_squares=0, fit_neighbours=1
    )

    def order_kept(own: np.ndarray | None) -> float:
        head = start_head(values, [None] * 900, config, np.random.default_rng(1), (6,), groups=own)
        small = _unit((values @ head[0].T + head[1])[:, :6])
        inside = [(3 * g + i, 3 * g + j) for g in range(300) for i, j in ((0, 1), (0, 2), (1, 2))]
        left, right = np.array(inside).T
        true = (values[left] * values[right]).sum(1)
        found = (small[left] * small[right]).sum(1)
        return float(np.corrcoef(true, found)[0, 1])

    assert 1 - order_kept(groups) < 0.7 * (1 - order_kept(None))
