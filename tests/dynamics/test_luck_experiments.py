"""F2, F3 and F7, smaller than the demo: they run, are not computed twice, and can fail."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trine.core.seeding import Seeds
from trine.core.stats import Interval
from trine.dynamics.cifar import CLASS_NAMES, Cifar10
from trine.dynamics.config import make_run_config
from trine.dynamics.conv_training import ConvRecipe
from trine.dynamics.experiments import EXPERIMENTS, cifar_teacher, initial_rank, lottery_ticket
from trine.dynamics.experiments.base import ExperimentContext, Finding

TINY = make_run_config(
    "deep", teacher="3-4", inputs=6, outputs=20, over=5, epochs=1,
    data={"std": 5.0, "samples": 3_000, "evaluation": 500}, descent={"batch": 32},
)  # fmt: skip
FLAT = TINY.model_copy(update={"teacher": "3"})


def files(directory: Path) -> dict[str, int]:
    return {
        str(path): path.stat().st_mtime_ns
        for path in directory.rglob("*")
        if path.suffix in (".json", ".safetensors")
    }


def check(finding: Finding, directory: Path, tables: list[str], figures: list[str]) -> None:
    assert finding.claim
    assert finding.settings
    for name in tables:
        assert (directory / "tables" / f"{name}.csv").stat().st_size > 50
    for name in figures:
        assert (directory / "figures" / f"{name}.csv").is_file()
        assert (directory / "figures" / f"{name}.svg").read_text().startswith("<?xml")
    assert len(finding.figures) == len(figures)
    for table in finding.tables:
        assert len(table.cells) > 0


class Judged:
    """Keeps what a module judged, to judge again what it wrote."""

    def __init__(self, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.args: tuple[Any, ...] = ()
        self._judge = module._judge
        monkeypatch.setattr(module, "_judge", self)

    def __call__(self, *args: Any) -> tuple[str, str]:
        self.args = args
        return self._judge(*args)

    def check(self, finding: Finding, *written: Any) -> None:
        """The verdict is that of the written frames, which stand for the first arguments."""
        found = self._judge(*written, *self.args[len(written) :])
        assert found == (finding.verdict, finding.because)


def test_the_register_knows_these_experiments() -> None:
    places = {key: EXPERIMENTS[key].place.rpartition(".")[2] for key in ("F2", "F3", "F7")}
    assert places == {
        "F2": "initial_rank:experiment",
        "F3": "cifar_teacher:experiment",
        "F7": "lottery_ticket:experiment",
    }


def test_initial_ranks_and_counterfactuals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    question = initial_rank.Question(FLAT, 0, 1, 3)
    plan = initial_rank.Plan(TINY, 3, 2, {"flat, layer 0": question})
    monkeypatch.setattr(initial_rank, "PLANS", {"demo": plan})
    context = ExperimentContext(tmp_path, "demo", seed=4)
    judged = Judged(initial_rank, monkeypatch)
    first = initial_rank.experiment(context)
    judged.check(first, pl.read_csv(tmp_path / "tables" / "ranks.csv"))
    check(
        first, tmp_path, ["ranks", "counterfactuals", "correlation"], ["ranks", "counterfactuals"]
    )
    before = files(tmp_path)
    assert len(before) == 2 * 2 + 3  # two stacks with arrays, three seeds
    assert initial_rank.experiment(context).because == first.because
    assert files(tmp_path) == before
    ranks = pl.read_csv(tmp_path / "tables" / "ranks.csv")
    assert ranks["layer"].to_list() == [0, 1]
    assert ranks["students"].to_list() == [15, 20]


def test_the_verdict_on_ranks_can_be_each_of_three() -> None:
    def pooled(p: float, share: float) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "layer": [0], "p_value": [p], "share": [share], "rank_mean": [1.0],
                "students": [10], "seeds": [8],
            }
        )  # fmt: skip

    shares = pl.DataFrame(
        {"question": ["q"], "condition": ["none"], "among": ["all"], "again_text": [""]}
    )
    above, across = Interval(0.5, 0.3, 0.7, 0.95), Interval(0.1, -0.1, 0.3, 0.95)
    steep, flat = {"slope": 0.1, "p_value": 0.001}, {"slope": 0.0, "p_value": 0.5}
    judge = initial_rank._judge
    assert judge(pooled(0.001, 0.02), steep, shares, above, above, "q")[0] == "holds"
    assert judge(pooled(0.2, 0.4), steep, shares, above, above, "q")[0] == "holds in part"
    # That other weights do not win again says nothing about nearness.
    assert judge(pooled(0.001, 0.02), steep, shares, above, across, "q")[0] == "holds in part"
    assert judge(pooled(0.001, 0.3), flat, shares, across, across, "q")[0] == "does not hold"


def test_lottery_tickets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = lottery_ticket.Plan({"deep": TINY, "flat": FLAT}, 3, 2, marks=(10, 40, 5_000))
    monkeypatch.setattr(lottery_ticket, "PLANS", {"demo": plan})
    context = ExperimentContext(tmp_path, "demo")
    judged = Judged(lottery_ticket, monkeypatch)
    first = lottery_ticket.experiment(context)
    written = [pl.read_csv(tmp_path / "figures" / f"{n}.csv") for n in ("losses", "overlap")]
    judged.check(first, *written)
    check(first, tmp_path, ["tickets", "overlap"], ["losses", "overlap"])
    before = files(tmp_path)
    assert lottery_ticket.experiment(context).because == first.because
    assert files(tmp_path) == before
    tickets = pl.read_csv(tmp_path / "tables" / "tickets.csv")
    assert tickets.filter(pl.col("setting") == "deep")["condition"].to_list() == [
        "fan-out", "influence", "winners", "predicted", "winners, rescaled",
        "fan-out, rescaled", "random", "redrawn", "fresh", "wide student",
    ]  # fmt: skip


def test_the_verdict_on_tickets_can_be_each_of_three() -> None:
    def curves(**ends: float) -> pl.DataFrame:
        names = {
            "winners": 0.0, "fan-out": 0.0, "influence": 0.0, "random": 0.0,
            "winners, rescaled": 0.0, "fresh": 0.0,
        } | {key.replace("_", ", "): value for key, value in ends.items()}  # fmt: skip
        draws = np.random.default_rng(0)
        return pl.DataFrame(
            [
                {
                    "setting": "deep", "condition": name, "seed": seed, "step": 9,
                    "log10_loss": end + 0.01 * draws.normal(),
                }
                for name, end in names.items()
                for seed in range(8)
            ]
        )  # fmt: skip

    def overlaps(p: float) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "setting": "deep", "layer": 0, "ticket": ["fan-out", "influence"], "share": 0.4,
                "chance": 0.1, "p_value": p,
            }
        )  # fmt: skip

    def verdict(frame: pl.DataFrame, p: float) -> str:
        return lottery_ticket._judge(frame, overlaps(p), "deep", Seeds(0))[0]

    lower = curves(winners=-1.0, influence=-1.0, winners_rescaled=-1.0)
    assert verdict(lower, 0.001) == "holds"
    assert verdict(lower, 0.5) == "holds in part"
    # Below a fresh start only when rescaled: the scale decides, and not luck alone.
    between = curves(winners=-1.0, influence=-1.0, winners_rescaled=-3.0, fresh=-2.0)
    assert verdict(between, 0.001) == "holds in part"
    higher = curves(winners=1.0, influence=1.0, **{"fan-out": 1.0}, winners_rescaled=1.0)
    assert verdict(higher, 0.5) == "does not hold"


def noise(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    pixels = draws.integers(0, 60, (count, 32, 32, 3), dtype=np.uint8)
    pixels += (labels * 15).astype(np.uint8)[:, None, None, None]
    return pixels, labels


SMALL_PRESET = cifar_teacher.Preset(
    (6, 6), 10, 192, 40, 1, 2, (1, 2), ConvRecipe(1, batch=32), ConvRecipe(1, batch=32),
    ConvRecipe(2, rate=0.01, batch=32, schedule="constant"), ratios=(0.3, 0.5),
)  # fmt: skip


def test_a_cifar_teacher_of_made_up_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Cifar10(*noise(200, 0), *noise(40, 1), CLASS_NAMES)
    monkeypatch.setattr(cifar_teacher, "load_cifar10", lambda root=None: data)
    monkeypatch.setattr(cifar_teacher, "PRESETS", {"demo": SMALL_PRESET})
    context = ExperimentContext(tmp_path, "demo", seed=2)
    judged = Judged(cifar_teacher, monkeypatch)
    first = cifar_teacher.experiment(context)
    ranks = pl.read_csv(tmp_path / "tables" / "ranks.csv")
    ends = cifar_teacher._ends(pl.read_csv(tmp_path / "figures" / "curves.csv"))
    judged.check(first, replace(judged.args[0], pooled=ranks), ends)
    check(first, tmp_path, ["correlation", "ranks", "teachers"], ["curves", "ranks"])
    before = files(tmp_path)
    again = cifar_teacher.experiment(context)
    assert again.because == first.because
    assert files(tmp_path) == before
    table = pl.read_csv(tmp_path / "tables" / "correlation.csv")
    assert table["over"].to_list() == [1, 1, 2, 2]
    assert pl.read_csv(tmp_path / "tables" / "teachers.csv")["channels"].to_list() == ["5-3"]
    assert first.seeds == 2


def test_without_cifar_the_finding_says_how_to_get_it(tmp_path: Path) -> None:
    finding = cifar_teacher.experiment(ExperimentContext(tmp_path, "demo", data=tmp_path))
    assert finding.verdict == "not tested"
    assert finding.seeds == 0
    assert "no CIFAR-10 in" in finding.because
    assert "TRINE_DATA" in finding.because


@pytest.mark.data
@pytest.mark.slow
def test_the_real_cifar_teacher_at_demo_scale(tmp_path: Path) -> None:
    data = os.environ.get("TRINE_DATA")
    if not data or not (Path(data) / "cifar10").is_dir():
        pytest.skip("TRINE_DATA has no cifar10/")
    finding = cifar_teacher.experiment(ExperimentContext(tmp_path, "demo", data=Path(data)))
    check(finding, tmp_path, ["correlation", "ranks", "teachers"], ["curves", "ranks"])
    accuracy = pl.read_csv(tmp_path / "tables" / "teachers.csv")["fine_tuned"][0]
    assert accuracy > 0.15  # a tenth by chance
