"""F4, F5 and F12 at sizes of seconds: what they write, that they go on, and their verdicts."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from trine.core.seeding import Seeds
from trine.core.tables import to_csv
from trine.dynamics.experiments import (
    EXPERIMENTS,
    alignment,
    fade_out,
    theory_cells,
    theory_overlay,
)
from trine.dynamics.experiments.base import ExperimentContext, Finding
from trine.dynamics.experiments.matrix_cells import GaussianStream, blocks, log_marks, seeds_of
from trine.dynamics.fade_out import FixedFirstLayer
from trine.dynamics.rich_get_richer import angle_curve

torch.set_num_threads(1)

TINY: dict[str, tuple[Any, Any]] = {
    "F4": (
        fade_out,
        fade_out.FadeOutScale(
            ({**fade_out.REFERENCE, "variant": "exact"}, {**fade_out.WIDER, "variant": "averaged"}),
            3,
            150,
        ),
    ),
    "F5": (alignment, alignment.AlignmentScale(2, 3, 2, 640, 30, 30)),
    "F12": (theory_overlay, theory_overlay.TheoryScale(3, 60, 20, 20, 400)),
}


def judged_again(name: str, directory: Path, judged: list[Any]) -> tuple[str, str]:
    """The verdict of what was written; of the last arguments of F12, as they were."""

    def read(place: str) -> pl.DataFrame:
        return pl.read_csv(directory / f"{place}.csv")

    if name == "F4":
        rows = read("tables/fixed-first-layer").drop("seed").iter_rows(named=True)
        exact = [FixedFirstLayer(**row, history=np.zeros((1, 2))) for row in rows]
        cases = TINY[name][1].cases  # what the table says in words
        frame = read("tables/separation").with_columns(
            over=pl.Series([case["over"] for case in cases]),
            named=pl.Series([not (case["bias"] or case["away"]) for case in cases]),
        )
        return fade_out.judge(frame, exact)
    if name == "F5":
        return alignment.judge(read("tables/diagonality"))
    fits, plain = judged[2:]
    return theory_overlay.judge(read("figures/overlay"), read("figures/closed-form"), fits, plain)


@pytest.mark.parametrize("name", TINY)
def test_experiment_writes_all_and_goes_on(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, scale = TINY[name]
    assert EXPERIMENTS[name].place == f"{module.__name__}:experiment"
    monkeypatch.setitem(module.SCALES, "demo", scale)
    monkeypatch.setattr(alignment, "EVALUATION", 512)
    monkeypatch.setattr(theory_cells, "EVALUATION", 128)
    context = ExperimentContext(tmp_path, "demo", seed=3)
    judge, judged = module.judge, []

    def remember(*args: Any) -> tuple[str, str]:
        judged[:] = args
        return judge(*args)

    monkeypatch.setattr(module, "judge", remember)
    found: Finding = module.experiment(context)
    monkeypatch.setattr(module, "judge", judge)
    verdict, because = judged_again(name, tmp_path, judged)
    assert found.verdict == verdict
    assert found.because.startswith(because)
    assert found.seeds == 3
    assert "nan" not in found.because
    assert len(found.figures) >= 2
    for figure in found.figures:
        assert figure.title
        assert "seed" in figure.caption
        assert figure.svg.count("<path") > 20
    for table in found.tables:
        assert len(table.frame) > 0
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} == {".svg", ".png", ".csv"}
    assert len(list((tmp_path / "tables").iterdir())) == 2 * len(found.tables)

    def fail(*_: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(fade_out, "fade_cell", fail)
    cells = sorted((tmp_path / "cells").glob("*.json"))
    times = [path.stat().st_mtime_ns for path in cells]
    again: Finding = module.experiment(context)
    assert [path.stat().st_mtime_ns for path in cells] == times
    assert again.because == found.because
    assert [to_csv(t) for t in again.tables] == [to_csv(t) for t in found.tables]


def test_every_scale_has_its_seeds() -> None:
    for module, _ in TINY.values():
        assert set(module.SCALES) == {"demo", "quick", "paper"}
        assert module.SCALES["demo"].seeds >= 4
        assert module.SCALES["quick"].seeds >= 8


def test_streams_blocks_and_marks() -> None:
    cells = blocks(5, 11, [{"case": "a"}], 4)
    assert [(c.seed, c.parameters["seeds"]) for c in cells] == [(5, 4), (9, 4), (13, 3)]
    assert [s.seed for s in seeds_of(cells[2])] == [13, 14, 15]
    together = GaussianStream([Seeds(0), Seeds(1)], 4, 3, std=2.0)
    alone = GaussianStream([Seeds(1)], 4, 3)
    for step in range(300):  # longer than what is drawn at once
        torch.testing.assert_close(together(step)[1], 2 * alone(step)[0])
    with pytest.raises(AssertionError, match="forward only"):
        alone(7)
    marks = log_marks(1000, 20)
    assert marks[0] == 0
    assert marks[-1] == 1000
    assert marks == sorted(set(marks))


def fade_frame(rows: list[tuple[int, float, float, float]]) -> pl.DataFrame:
    base = {"case": "a", "named": True, "median_high": 9.0, "worst": 1.0, "worst_least": 1.0}
    names = ("over", "median_least", "median_low", "stragglers")
    return pl.DataFrame(
        [
            {**base, **dict(zip(names, row, strict=True)), "median": row[2], "seeds": 8}
            for row in rows
        ]
    )


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ([(2, 3.1, 3.5, 0.01), (5, 3.2, 3.3, 0.0)], "holds"),
        ([(2, 3.1, 3.5, 0.06), (5, 3.2, 3.3, 0.0)], "holds in part"),  # stragglers
        (
            [(2, 2.9, 3.1, 0.01), (5, 1.0, 1.5, 0.5)],
            "holds in part",
        ),  # reference only
        ([(2, 2.5, 2.9, 0.01), (5, 3.2, 3.3, 0.0)], "does not hold"),
    ],
)
def test_verdict_of_fade_out(rows: list[tuple[int, float, float, float]], verdict: str) -> None:
    exact = [FixedFirstLayer(1e-14, 2e-14, 0.05, np.zeros((1, 2)))]
    found, because = fade_out.judge(fade_frame(rows), exact)
    assert found == verdict
    assert "2.0e-14" in because


@pytest.mark.parametrize(
    ("lows", "verdict"),
    [([1.1, 1.01], "holds"), ([1.1, 1.2, 0.9], "holds in part"), ([1.1, 0.9], "does not hold")],
)
def test_verdict_of_alignment(lows: list[float], verdict: str) -> None:
    row = {"run": "deep", "overlap": "L*", "start": 1.0, "end": 2.0, "factor": 2.0, "high": 3.0}
    frame = pl.DataFrame([{**row, "layer": k, "low": low} for k, low in enumerate(lows)])
    assert alignment.judge(frame)[0] == verdict


def theory_frames(averaged: float, deep: float, near: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    shares = {"two-layer": averaged, theory_overlay.BARE: averaged, "deep": deep}
    overlay = pl.DataFrame(
        [
            {"run": run, "series": "averaged", "layer": 0, "step": step, "mean": share}
            for run, share in shares.items()
            for step in (1, 90, 1000)
        ]
    )
    kernel = pl.DataFrame(
        [
            {"series": f"batch {size:,}", "step": 10, "mean": near if size > 100 else 0.5}
            for size in theory_overlay.BATCH_SIZES
        ]
    )
    return overlay, kernel


def fits(order: int, line: float = 0.95) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"seed": s, "start": 0.1 * k, "arrival": 100 + order * k, "r_squared": line}
            for s in range(4)
            for k in range(5)
        ]
    )


@pytest.mark.parametrize(
    ("averaged", "deep", "near", "order", "line", "verdict"),
    [
        (0.4, 0.4, 0.05, 1, 0.95, "holds"),
        (0.4, 0.6, 0.05, 1, 0.95, "holds in part"),
        (0.6, 0.6, 0.05, -1, 0.95, "holds in part"),
        (0.6, 0.6, 0.2, -1, 0.95, "does not hold"),
        (0.6, 0.6, 0.2, 1, 0.85, "does not hold"),
    ],
)
def test_verdict_of_the_overlay(
    averaged: float, deep: float, near: float, order: int, line: float, verdict: str
) -> None:
    overlay, kernel = theory_frames(averaged, deep, near)
    assert theory_overlay.judge(overlay, kernel, fits(order, line), 1e-12)[0] == verdict


def test_fits_of_angles_on_the_curve() -> None:
    steps = np.arange(0, 400, 20)
    starts = np.array([0.5, 1.0, 1.5, 2.0])
    angle = angle_curve(starts[None, None, :], steps[:, None, None], rate=0.02)
    angle = np.concatenate([angle, np.full_like(angle, 1.0)], 1)  # a seed that never moves
    arrays = {"steps": steps, "angle": angle, "rank": np.zeros((2, 4), dtype=int)}
    found = theory_overlay.fit_frame(arrays)
    moving = found.filter(pl.col("seed") == 0)
    np.testing.assert_allclose(moving["rate"], 0.02)
    assert moving["arrival"].to_list() == sorted(moving["arrival"].to_list())
    assert found.filter(pl.col("seed") == 1)["arrival"].null_count() == 4
    assert theory_overlay.order_correlation(found).tolist() == [1.0]
    paths = theory_overlay.path_frame(arrays, found)
    np.testing.assert_allclose(paths["tangent"], np.exp(-paths["time"]))
