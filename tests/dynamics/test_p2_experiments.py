from pathlib import Path

import numpy as np
import polars as pl
import pytest

from trine.dynamics.experiments import EXPERIMENTS, deep_l_shape, success_rate, two_layer_cells
from trine.dynamics.experiments import evaluation_loss as f10
from trine.dynamics.experiments import l_shape as f8
from trine.dynamics.experiments.base import ExperimentContext
from trine.dynamics.experiments.two_layer_cells import SCALES, Grid
from trine.dynamics.joint_results import Outcome, read_outcomes
from trine.dynamics.specialisation_pictures import MOST_POINTS, l_shape_figure
from trine.dynamics.stack_plan import Member

TINY = Grid(4, (1, 3), (0.0, 1.0), 2, 3)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCALES, "demo", {"l-shape": TINY, "success": TINY})  # pyright: ignore[reportArgumentType] (a dict behind a Mapping)
    variants = success_rate.Variants(6, (1, 2), 1.0, 2, 1, (0.5,))
    monkeypatch.setitem(success_rate.VARIANTS, "demo", variants)  # pyright: ignore[reportArgumentType] (the same)


@pytest.mark.usefixtures("tiny")
def test_f8_f9_f10_train_the_same_networks_once(tmp_path: Path, monkeypatch):
    found = {
        "F8": f8.experiment(ExperimentContext(tmp_path / "F8", scale="demo")),
    }

    def never(cell, checkpoints):
        assert "two-layer-6" in str(cell.parameters["what"]), "only the variants are new"
        return train(cell, checkpoints)

    train = two_layer_cells.train_cell
    monkeypatch.setattr(two_layer_cells, "train_cell", never)
    found["F9"] = success_rate.experiment(ExperimentContext(tmp_path / "F9", scale="demo"))
    found["F10"] = f10.experiment(ExperimentContext(tmp_path / "F10", scale="demo"))
    judges = {"F8": (f8, "l-shape"), "F9": (success_rate, "order"), "F10": (f10, "evaluation-loss")}
    for name, finding in found.items():
        module, written = judges[name]
        table = pl.read_csv(tmp_path / name / "tables" / f"{written}.csv")
        verdict, because = module._judge(table)  # what is written makes the verdict
        assert finding.verdict == verdict
        assert finding.because.endswith(because)
        assert finding.seeds == 2 and finding.settings["steps"] == 3000
        assert len(finding.figures) == 1 and "<svg" in finding.figures[0].svg
        assert (tmp_path / name / "tables").is_dir() and (tmp_path / name / "figures").is_dir()
    shape = found["F8"].tables[0].frame
    assert shape["students"].to_list() == [8, 24, 8, 24]  # 2 seeds, 4 and 12 student nodes
    matched = found["F9"].tables[0].frame
    assert len(matched) == 4 and (matched["matched"] <= 4).all()
    variants = found["F9"].tables[2].frame
    assert set(variants["variant"]) == {
        "plain", "label noise 0.5", "augmented at teacher boundaries",
        "augmented, teacher-agnostic",
    }  # fmt: skip
    losses = found["F10"].tables[0].frame
    assert losses.filter(pl.col("over") == 1)["gain"].to_list() == [0.0, 0.0]


def test_f11(tmp_path: Path, monkeypatch):
    values = {
        "teacher": "3-4", "over": 2, "inputs": 5, "outputs": 6, "epochs": 3, "snapshots": [1],
        "data": {"samples": 1000, "evaluation": 500}, "descent": {"schedule": [[2, 0.5]]},
    }  # fmt: skip
    plan = deep_l_shape.Plan(values, 2)
    monkeypatch.setitem(deep_l_shape.SCALES, "demo", plan)  # pyright: ignore[reportArgumentType] (a dict behind a Mapping)
    finding = deep_l_shape.experiment(ExperimentContext(tmp_path / "F11", scale="demo"))
    assert finding.tables[0].frame["layer"].to_list() == [0, 1]
    assert len(finding.tables[1].frame) == 2 * 3
    assert "layer 0" in finding.because and "<svg" in finding.figures[0].svg


def test_the_register_leads_here():
    for name, module in (("F8", f8), ("F9", success_rate), ("F10", f10), ("F11", deep_l_shape)):
        assert EXPERIMENTS[name].place == f"{module.__name__}:experiment"


def test_scales_are_the_papers_where_they_say_so():
    success = SCALES["paper"]["success"]
    assert (success.nodes, success.seeds, success.epochs) == (20, 32, 100)
    assert len(success.settings) == 24 and len(SCALES["paper"]["l-shape"].settings) == 12
    assert deep_l_shape.SCALES["paper"].setting.student_architecture.hidden[-1] == 1250


def _frame(**columns) -> pl.DataFrame:
    return pl.DataFrame(columns)


@pytest.mark.parametrize(
    ("floor", "decades", "verdict", "clearer"),
    [
        (0.95, [0.8, 1.2], "holds", "yes"),
        (0.95, [1.2, 1.0], "holds in part", "no"),  # an L, and less of one with more students
        (0.5, [0.2, 0.6], "holds in part", "yes"),
        (0.0, [1.1, 0.4], "does not hold", "no"),
        (0.0, [0.1, 0.4], "does not hold", "yes"),  # clearer alone is no L
    ],
)
def test_the_verdict_of_f8_follows_the_numbers(
    floor: float, decades: list[float], verdict: str, clearer: str
):
    frame = _frame(
        decay=[0.0, 0.0], over=[2.0, 10.0], unmatched=[3, 5], floor_share=[0.0, floor],
        decades=decades, ordered=[1.0, 1.0],
    )  # fmt: skip
    found, because = f8._judge(frame)
    assert found == verdict  # all matched nodes stand above all others, and that does not count
    assert f"learer with more students: {clearer}" in because


def test_f8_without_unmatched_nodes_is_not_tested():
    nothing = _frame(decay=[0.0], over=[10.0], unmatched=[0], floor_share=[np.nan], decades=[1.0])
    assert f8._judge(nothing)[0] == "not tested"
    one = _frame(
        decay=[0.0, 0.0], over=[1.0, 10.0], unmatched=[0, 5], floor_share=[np.nan, 0.95],
        decades=[np.nan, 1.0], ordered=[np.nan, 1.0],
    )  # fmt: skip
    found, because = f8._judge(one)
    assert found == "holds in part"
    assert "students: not tested" in because


def test_the_record_of_f8_does_not_hold():
    record = Path(__file__).parents[2] / "docs/dynamics/records/f8-l-shape-quick.csv"
    found, because = f8._judge(pl.read_csv(record))
    assert found == "does not hold"
    assert "p 0: 1.11, 0.81, 0.57 for over 2, 5, 10" in because


def _order(**changes) -> pl.DataFrame:
    columns = {
        "decay": [1.0, 1.0], "over": [1.0, 10.0], "early_strong": [0.9] * 2,
        "early_weak": [0.5] * 2, "early_gap": [0.4] * 2, "early_gap_se": [0.1] * 2,
        "end_strong": [1.0] * 2, "end_weak": [0.5] * 2, "gain": [0.0, 3.0], "gain_se": [0.0, 0.5],
        "seeds": [8, 8],
    }  # fmt: skip
    return pl.DataFrame({**columns, **changes})


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "holds"),
        ({"gain": [0.0, 0.9]}, "holds in part"),  # below two standard errors
        ({"early_gap_se": [0.1, 0.3]}, "holds in part"),  # larger at every over, clear at one
        ({"early_gap": [-0.4] * 2, "gain": [0.0, 0.9]}, "does not hold"),
        ({"early_gap": [0.0] * 2, "early_gap_se": [0.0] * 2}, "holds in part"),  # a tie
        (  # all nodes are found early at over 10: neither half is first
            {
                "early_strong": [0.9, 1.0], "early_weak": [0.5, 1.0],
                "early_gap": [0.4, 0.0], "early_gap_se": [0.1, 0.0],
            },
            "holds",
        ),
        (  # all nodes are found early everywhere: no order was seen
            {
                "early_strong": [1.0] * 2, "early_weak": [1.0] * 2,
                "early_gap": [0.0] * 2, "early_gap_se": [0.0] * 2,
            },
            "holds in part",
        ),
        (
            {"seeds": [1, 1], "early_gap_se": [np.nan] * 2, "gain_se": [np.nan] * 2},
            "not tested",
        ),
    ],
)  # fmt: skip
def test_the_verdict_of_f9_follows_the_numbers(changes: dict[str, list[float]], verdict: str):
    assert success_rate._judge(_order(**changes))[0] == verdict


def test_the_records_of_f9_and_f10_hold_in_part():
    records = Path(__file__).parents[2] / "docs/dynamics/records"
    found, because = success_rate._judge(pl.read_csv(records / "f9-order-quick.csv"))
    assert found == "holds in part"
    assert "clear in 10 of 11 cases" in because
    assert f10._judge(pl.read_csv(records / "f10-loss-quick.csv"))[0] == "holds in part"


def test_f9_names_the_cases_without_a_clear_order():
    because = success_rate._judge(_order(early_gap_se=[0.1, 0.3]))[1]
    assert "clear in 1 of 2 cases" in because
    assert "not at p 1 over 10: +0.400 ± 0.300" in because


def test_the_order_of_learning_by_hand():
    nodes = _frame(
        decay=[1.0] * 4, over=[1.0, 1.0, 2.0, 2.0], seed=[1, 2, 1, 2], epoch=[9] * 4,
        matched_95=[1, 2, 2, 4],
    )  # fmt: skip
    halves = _frame(
        decay=[1.0] * 12, over=[1.0] * 6 + [2.0] * 6, epoch=[0, 5, 9] * 4,
        seed=[1, 1, 1, 2, 2, 2] * 2, strong=[0.0, 1.0, 1.0] * 4,
        weak=[0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0],
    )  # fmt: skip
    found = success_rate.order_table(nodes, halves)
    assert found["early_strong"].to_list() == [1.0, 1.0]
    assert found["early_weak"].to_list() == [0.0, 0.5]
    assert found["early_gap"].to_list() == [1.0, 0.5]
    assert found["early_gap_se"].to_list() == pytest.approx([0.0, 0.5])
    assert found["end_weak"].to_list() == [0.5, 1.0]
    assert found["gain"].to_list() == [0.0, 1.5]  # by seed: 2 - 1 and 4 - 2
    assert found["gain_se"][1] == pytest.approx(0.5)


def test_halves_of_a_network_by_hand():
    setting = TINY.settings[0]  # 4 teacher nodes
    shots = len(setting.snapshot_epochs)
    best = np.tile([0.99, 0.2, 0.96, 0.97], (shots, 1))
    found = success_rate.half_frame([Outcome(Member(setting, 3), {"best_teacher.0": best})])
    assert found["strong"].to_list() == [0.5] * shots
    assert found["weak"].to_list() == [1.0] * shots
    assert found["seed"].unique().to_list() == [3]


def test_the_loss_table_pairs_seeds():
    losses = _frame(
        decay=[1.0] * 8, over=[1.0] * 4 + [2.0] * 4, seed=[1, 1, 2, 2] * 2, epoch=[0, 9] * 4,
        evaluation_loss=[1.0, 1e-2, 1.0, 1e-4, 1.0, 1e-3, 1.0, 1e-5],
        training_loss=[0.0] * 8,
    )  # fmt: skip
    found = f10.loss_table(losses)
    assert found["log10_loss"].to_list() == pytest.approx([-3.0, -4.0])
    assert found["gain"].to_list() == pytest.approx([0.0, -1.0])
    assert found["gain_se"].to_list() == pytest.approx([0.0, 0.0])
    assert f10._judge(found)[0] == "holds"
    one = f10.loss_table(losses.filter(pl.col("seed") == 1))
    assert one["gain"].to_list() == pytest.approx([0.0, -1.0])
    assert f10._judge(one)[0] == "not tested"  # one seed has no spread


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ([-1.0, -1.0], "holds"),
        ([-1.0, -0.1], "holds in part"),  # the second below two standard errors
        ([0.1, -0.1], "does not hold"),
    ],
)
def test_the_verdict_of_f10_follows_the_numbers(gains: list[float], verdict: str):
    frame = _frame(
        decay=[0.5, 0.5, 1.0, 1.0], over=[1.0, 10.0] * 2, gain=[0.0, gains[0], 0.0, gains[1]],
        gain_se=[0.0, 0.1] * 2, seeds=[8] * 4,
    )  # fmt: skip
    assert f10._judge(frame)[0] == verdict


def test_a_large_cloud_of_points_is_thinned():
    many = MOST_POINTS * 3
    frame = _frame(
        decay=[1.0] * many, over=[1.0] * many, best=np.linspace(0, 1, many),
        influence=np.linspace(0, 1, many),
    )  # fmt: skip
    figure = l_shape_figure(frame)
    points = figure.axes[0].collections[0].get_offsets()
    assert len(np.asarray(points)) <= MOST_POINTS


def test_missing_cells_are_said(tmp_path: Path):
    from trine.core.errors import DataError
    from trine.dynamics.stack_plan import plan_stacks

    with pytest.raises(DataError, match="run the sweep again"):
        read_outcomes(plan_stacks(TINY.settings, [1]), tmp_path)
