"""The report of figures and tables: ids, verdicts, missing data, and the verdict rules of ours."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trine.core.artifacts import read_json
from trine.core.errors import DataError, Interrupted, UsageError
from trine.core.tables import Table
from trine.dynamics import experiments, reproduce
from trine.dynamics.experiments import (
    EXPERIMENTS,
    Entry,
    ablations,
    deep_correlation,
    deep_films,
    loss_curves,
)
from trine.dynamics.experiments.base import ExperimentContext, Finding
from trine.dynamics.experiments.loss_curves import verdict_of as loss_verdict
from trine.dynamics.reproduce import outcome_document, parse_ids
from trine.dynamics.training import effective_step


def test_every_figure_and_table_of_the_papers_is_there():
    assert list(EXPERIMENTS) == [*(f"F{n}" for n in range(1, 13)), "T1", "T2"]


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ([], tuple(EXPERIMENTS)),
        (["all"], tuple(EXPERIMENTS)),
        (["t2", "F1"], ("F1", "T2")),
        (["F2", "f2"], ("F2",)),
    ],
)
def test_experiments_by_name(names: list[str], wanted: tuple[str, ...]):
    assert parse_ids(names) == wanted


def test_an_unknown_experiment_names_the_known_ones():
    with pytest.raises(UsageError, match=r"unknown experiment 'F13'.*F12, T1, T2, all"):
        parse_ids(["F13"])


# ---- the report, with small experiments ---------------------------------------------------------


def holds(context: ExperimentContext) -> Finding:
    calls = context.directory / "calls"
    context.directory.mkdir(exist_ok=True)
    calls.write_text(calls.read_text() + "x" if calls.exists() else "x")
    return Finding(
        claim="Halves are halves.", verdict="holds", because="0.5 ± 0.0 over 3 seeds.",
        settings={"width": 3, "rates": (0.1, 0.2)}, seeds=3,
        tables=[Table(pl.DataFrame({"value": [0.5]}), "Values")], notes=["small print"],
    )  # fmt: skip


def lacks_data(context: ExperimentContext) -> Finding:
    raise DataError("no directory cifar10", hint="give --data")


def stopped(context: ExperimentContext) -> Finding:
    raise Interrupted("stopped")


def breaks(context: ExperimentContext) -> Finding:
    raise ZeroDivisionError


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def put(**functions: str) -> None:
        entries = {name: Entry(f"{__name__}:{f}", f"About {name}") for name, f in functions.items()}
        monkeypatch.setattr(reproduce, "EXPERIMENTS", entries)

    return put


def test_one_report_of_all(register: Callable[..., None], tmp_path: Path):
    register(F1="holds", F3="lacks_data", T1="holds")
    said: list[str] = []
    run, outcomes = reproduce.reproduce([], "quick", root=tmp_path, say=said.append)
    assert [o.finding.verdict for o in outcomes] == ["holds", "not tested", "holds"]
    page = run.report.read_text()
    for text in (
        "F1: About F1", "Claim: Halves are halves.", "Verdict: holds.", "0.5 ± 0.0 over 3 seeds.",
        "width 3, rates 0.1, 0.2", "Seeds: 3", "no directory cifar10; give --data", "small print",
        "3 experiments at scale quick", "2 holds, 1 not tested",
    ):  # fmt: skip
        assert text in page, text
    assert [line.split(":")[0] for line in said] == ["F1 About F1", "F3 About F3", "T1 About T1"]
    assert (run.tables / "F1-1.csv").read_text() == "value\n0.5\n"
    assert [row["verdict"] for row in read_json(run.directory / "result.json")] == [
        "holds", "not tested", "holds",
    ]  # fmt: skip
    document = outcome_document(outcomes[0])
    assert {"experiment", "title", "claim", "verdict", "because", "settings", "seeds"} <= set(
        document
    )
    assert document["tables"]["Values"] == [{"value": 0.5}]
    json.dumps(document)


def test_a_stopped_reproduction_goes_on(register: Callable[..., None], tmp_path: Path):
    register(F1="holds", F2="stopped")
    with pytest.raises(Interrupted, match="run the same command again"):
        reproduce.reproduce([], "quick", root=tmp_path)
    (directory,) = tmp_path.iterdir()
    assert read_json(directory / "F1" / "seconds.json")["finished"]
    before = read_json(directory / "F1" / "seconds.json")["seconds"]
    register(F1="holds", F2="holds")
    run, outcomes = reproduce.reproduce([], "quick", root=tmp_path)
    assert run.directory == directory
    assert outcomes[0].seconds == before  # reading again is no time of the experiment
    assert run.is_finished


def test_our_own_mistakes_keep_their_traceback(register: Callable[..., None], tmp_path: Path):
    register(F1="breaks")
    with pytest.raises(ZeroDivisionError):
        reproduce.reproduce([], "quick", root=tmp_path)


def test_mistakes_of_the_user(tmp_path: Path):
    with pytest.raises(UsageError, match=r"unknown scale 'quik'.*did you mean 'quick'"):
        reproduce.reproduce([], "quik", root=tmp_path)  # pyright: ignore[reportArgumentType] (the point)
    with pytest.raises(DataError, match=r"no directory .*nowhere.*TRINE_DATA"):
        reproduce.reproduce([], "quick", root=tmp_path, data=tmp_path / "nowhere")
    assert not list(tmp_path.iterdir())


def test_every_experiment_of_the_register_exists():
    import importlib

    for entry in experiments.EXPERIMENTS.values():
        module, _, function = entry.place.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


# ---- F1 -----------------------------------------------------------------------------------------


def curves(ends: dict[str, list[list[float]]], rises: dict[str, list[list[float]]]) -> pl.DataFrame:
    """Correlations that cross .95 at given epochs; per `over`, layer and seed."""
    rows: list[dict[str, Any]] = []
    for over, layers in ends.items():
        for layer, seeds in enumerate(layers):
            for seed, end in enumerate(seeds):
                rise = rises[over][layer][seed]
                for epoch in (0.0, 1.0, 2.0, 3.0, 4.0):
                    value = 0.96 if epoch >= rise else 0.2
                    mean = end if epoch == 4 else value
                    rows.append(
                        {
                            "over": over, "layer": layer, "seed": seed, "epoch": epoch,
                            "mean_alive": mean, "minimum": mean, "dead": 0, "nodes": 2,
                        }
                    )  # fmt: skip
    return pl.DataFrame(rows)


NEVER = math.inf
GOOD = {"over 10": [[0.9995, 0.9997], [0.992, 0.99]], "over 1": [[0.9, 0.91], [0.6, 0.61]]}


def test_f1_holds_if_the_bottom_is_first_and_width_helps():
    rises = {"over 10": [[1.0, 1.0], [2.0, 3.0]], "over 1": [[NEVER] * 2] * 2}
    verdict, because = deep_correlation.verdict_of(curves(GOOD, rises), full=False)
    assert verdict == "holds"
    assert "L0 0.9996 ± 0.0001" in because
    assert "over 2 seeds" in because


def test_f1_holds_in_part_if_the_order_is_another():
    rises = {"over 10": [[3.0, 3.0], [1.0, 1.0]], "over 1": [[NEVER] * 2] * 2}
    verdict, because = deep_correlation.verdict_of(curves(GOOD, rises), full=False)
    assert verdict == "holds in part"
    assert "ayers rise above 0.95 from the bottom up: no" in because


def test_f1_does_not_hold_if_nothing_rises():
    bad = {"over 10": [[0.3, 0.3], [0.2, 0.2]], "over 1": [[0.3, 0.3], [0.2, 0.2]]}
    never = {over: [[NEVER] * 2] * 2 for over in bad}
    assert deep_correlation.verdict_of(curves(bad, never), full=False)[0] == "does not hold"


@pytest.mark.parametrize(
    ("times", "wanted"),
    [
        ([[1.0], [2.0], [NEVER], [NEVER]], True),
        ([[1.0], [2.0], [3.0]], True),
        ([[1.0], [NEVER], [2.0]], False),
        ([[NEVER], [2.0], [3.0]], False),
        ([[1.0], [1.0]], False),
        ([[2.0], [NEVER], [NEVER], [NEVER]], None),  # two that never rise are in no order
        ([[NEVER], [NEVER]], None),
    ],
)
def test_bottom_first(times: list[list[float]], wanted: bool | None):
    assert deep_correlation.is_bottom_first(times) is wanted


def test_one_layer_that_rises_is_no_order():
    rises = {"over 10": [[1.0, 1.0], [NEVER, NEVER]], "over 1": [[NEVER] * 2] * 2}
    ends = {**GOOD, "over 10": [[0.9995, 0.9997], [0.9, 0.91]]}
    verdict, because = deep_correlation.verdict_of(curves(ends, rises), full=False)
    assert verdict == "holds in part"
    assert "from the bottom up: not tested" in because


def test_a_top_above_the_layer_below_is_told():
    rises = {"over 10": [[1.0, 1.0], [2.0, 3.0]], "over 1": [[NEVER] * 2] * 2}
    ends = {**GOOD, "over 10": [[0.9992, 0.9992], [0.9996, 0.9996]]}
    verdict, because = deep_correlation.verdict_of(curves(ends, rises), full=False)
    assert verdict == "holds in part"
    assert "below: no (L1 0.9996 above L0 0.9992)" in because


def test_all_widths_are_told():
    ends = {**GOOD, "over 5": [[0.9996, 0.9998], [0.995, 0.995]]}
    rises = {over: [[1.0, 1.0], [2.0, 3.0]] for over in ends}
    verdict, because = deep_correlation.verdict_of(curves(ends, rises), full=False)
    assert verdict == "holds"
    for over in ends:
        assert f"{over}: L0" in because
    assert "of over 10 over over 5: -0.000 ± 0.000, -0.004 ± 0.001" in because


def test_f1_and_f6_share_their_films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tiny = {"demo": deep_films.DeepScale((1, 2), seeds=2, epochs=1, samples=128)}
    monkeypatch.setattr(deep_films, "DEEP_SCALES", tiny)
    monkeypatch.setattr(deep_correlation, "DEEP_SCALES", tiny)
    finding = deep_correlation.experiment(ExperimentContext(tmp_path / "F1", "demo"))
    assert finding.verdict == "not tested"  # too short to tell
    assert finding.tables[0].frame.height == 2 * 4
    reels = deep_films.deep_reels(ExperimentContext(tmp_path / "F6", "demo"))
    assert [reel.config.over for reel in reels] == [1, 2]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["F1", "deep-films"]


# ---- F6 -----------------------------------------------------------------------------------------


def losses(wide: float) -> pl.DataFrame:
    rows = [
        {
            "setup": "deep", "over": over, "seed": seed, "epoch": epoch,
            "evaluation_loss": at * (1 + 0.01 * seed) / (1 + epoch),
        }
        for over, at in (("over 1", 1.0), ("over 10", wide))
        for seed in (0, 1, 2)
        for epoch in (0.0, 1.0, 4.0)
    ]  # fmt: skip
    return pl.DataFrame(rows)


@pytest.mark.parametrize(("wide", "wanted"), [(0.1, "holds"), (1.0, "does not hold")])
def test_f6_compares_the_widest_with_the_narrowest(wide: float, wanted: str):
    verdict, because, table = loss_verdict(losses(wide))
    assert verdict == wanted
    assert f"{math.log10(wide):.2f}" in because
    assert table.frame.height == 4


def test_f6_says_how_much_of_training_it_saw():
    early = loss_verdict(losses(0.1), {"deep": (4, 40)})[1]
    assert early.startswith("Early in training only (deep: 4 of 40 epochs)")
    assert loss_verdict(losses(0.1), {"deep": (40, 40)})[1].startswith("deep, epoch 1")


def test_f6_points_to_the_end_of_the_anchor():
    record = Path(__file__).parents[2] / "docs/dynamics/records/two-layer-anchor.csv"
    rows = pl.read_csv(record).sort("log10_loss")
    assert rows["over"].to_list() == [2, 5, 10, 1]
    for row in rows.iter_rows(named=True):
        assert f"{row['log10_loss']:.2f} ± {row['log10_loss_se']:.2f}" in loss_curves.ANCHOR


# ---- T1 -----------------------------------------------------------------------------------------


def test_matched_rows_have_the_effective_step_of_the_base():
    scale = ablations.SCALES["quick"]
    base = effective_step(0.05, "mean", 100, 10.0)
    assert base == pytest.approx(0.1)  # .05 x 2/100 x 100
    steps = ablations.step_configs(scale)
    assert {(std, c) for std, c, _ in steps} == {
        (s, c) for s in (1.0, 3.0, 10.0) for c in (10, 100)
    }
    for (std, c, kind), config in steps.items():
        rate = config.descent.rate
        assert (config.data.std, config.outputs) == (std, c)
        if kind == "matched":
            assert effective_step(rate, "mean", c, std) == pytest.approx(base)
        else:
            assert rate == (0.05 if kind == "fixed" else 2.0)


def test_ablations_change_one_thing_each():
    rows = ablations.ablation_configs(ablations.SCALES["quick"])
    texts = {key: config.model_dump_json() for key, config in rows.items()}
    assert len(set(texts.values())) == len(rows)
    axes = {axis for axis, _ in rows}
    assert axes >= {"BatchNorm", "network", "teacher", "training", "outputs", "width"}


@pytest.mark.parametrize(
    ("fixed", "matched", "wanted"),
    [
        (0.3, 0.7, "holds in part"),  # the step accounts for 80 % of the loss
        (0.3, 0.4, "holds"),
        (0.8, 0.8, "does not hold"),
        (0.3, 0.8, "does not hold"),  # all of the loss is the step
        (0.3, 0.9, "does not hold"),  # and more than all
        (0.3, 0.795, "does not hold"),  # the rest is within two standard errors of none
        (0.3, math.nan, "holds"),
        (math.nan, 0.7, "not tested"),
    ],
)
def test_t1_separates_the_size_of_inputs_from_the_step(fixed: float, matched: float, wanted: str):
    noise = np.array([-0.01, 0.0, 0.01])
    scores = {
        (10.0, 100, "fixed"): 0.8 + noise,
        (1.0, 100, "fixed"): fixed + noise[::-1],
        (1.0, 100, "matched"): matched + noise[::-1],
    }
    verdict, because = ablations.verdict_of(scores)
    assert verdict == wanted
    assert "over 3 seeds" in because


def test_t1_tells_the_outputs_apart_from_the_verdict():
    noise = np.array([-0.01, 0.0, 0.01])
    scores = {
        (10.0, 100, "fixed"): 0.8 + noise,
        (10.0, 10, "fixed"): 0.801 + noise[::-1],
        (10.0, 10, "matched"): 0.7 + noise[::-1],
    }
    note = ablations.outputs_note(scores)
    assert "at the same rate 0.001 ± 0.012 (no clear change)" in note
    assert "at a matched effective step -0.100 ± 0.012 (lower)" in note
    assert "output" not in ablations.CLAIM


def test_t1_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tiny = ablations.AblationScale(over=1, seeds=2, epochs=1, samples=128, short=True)
    monkeypatch.setitem(ablations.SCALES, "demo", tiny)
    finding = ablations.experiment(ExperimentContext(tmp_path / "T1", "demo"))
    frame = finding.tables[0].frame
    assert frame.height == 13
    assert set(frame["rate_is"]) == {"fixed", "matched", "x 40"}
    assert (tmp_path / "T1" / "figures" / "steps.svg").is_file()


def test_t1_reports_a_row_that_diverges(tmp_path: Path):
    scale = ablations.AblationScale(over=1, seeds=1, epochs=1, samples=1280)
    config = ablations._config(scale, 0, descent={"rate": 1e4})
    (reel,) = ablations.shoot([config], tmp_path, keep_diverged=True)
    row = ablations._measured(reel)
    assert row["diverged"]
    assert row["L0"] is None
