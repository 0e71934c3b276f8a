from pathlib import Path

import polars as pl
import pytest

from trine.core.config import load_config, make_config
from trine.core.errors import ConfigError, UserError
from trine.core.executors import ProcessExecutor
from trine.dynamics import sweep_runs
from trine.dynamics.joint_results import read_outcomes
from trine.dynamics.joint_training import seconds_per_step
from trine.dynamics.stack_plan import Member, plan_stacks
from trine.dynamics.sweep_runs import SweepConfig, describe, settings_of, sweep
from trine.dynamics.two_layer import two_layer

CONFIGS = Path(__file__).parents[2] / "configs" / "dynamics"

BASE = {
    "teacher": "3", "inputs": 8, "outputs": 6, "epochs": 2, "snapshots": [1],
    "data": {"samples": 200, "evaluation": 200, "steps_per_epoch": 30},
}  # fmt: skip


def config(**values) -> SweepConfig:
    plain = {
        "seeds": 2,
        "base": BASE,
        "axes": {"over": [1, 2], "teacher_start": {"decay": [0.0, 1.0]}},
    }
    return make_config(SweepConfig, {**plain, **values})


def test_a_sweep_end_to_end(tmp_path: Path):
    told: list[str] = []
    run, document = sweep(config(), directory=tmp_path / "run", say=told.append)
    assert document["networks"] == 8 and document["configurations"] == 4
    assert document["stacks"] == 2  # one a width: decays and seeds are trained together
    assert document["student_steps"] == 4 * 2 * 2 * 30
    assert document["diverged"] == []
    # In the order of the axes, whatever the order of computation.
    found = [(row["over"], row["teacher_start.decay"]) for row in document["rows"]]
    assert found == [(1.0, 0.0), (1.0, 1.0), (2.0, 0.0), (2.0, 1.0)]
    assert any("microseconds a student step" in line for line in told)
    nodes = pl.read_csv(run.tables / "networks.csv")
    assert len(nodes) == 8 * 3  # networks times snapshots: start, 1, end
    assert set(nodes["seed"]) == {1, 2}
    assert "matched_95" in nodes.columns and "teacher_start.decay" in nodes.columns
    assert len(pl.read_csv(run.tables / "success.csv")) == 4 * 3 * 3
    assert run.report.is_file() and "<svg" in run.report.read_text()
    # A finished run is recognised, and its document read again.
    again, same = sweep(config(), directory=tmp_path / "run", say=told.append)
    assert same == document and again.is_finished
    assert told[-1].startswith("computed before")


def test_processes_give_the_same_numbers(tmp_path: Path):
    _, serial = sweep(config(), directory=tmp_path / "a")
    _, pooled = sweep(config(), directory=tmp_path / "b", executor=ProcessExecutor(2))
    for one, other in zip(serial["rows"], pooled["rows"], strict=True):
        assert one == pytest.approx(other)


def test_a_network_that_diverges_is_listed(tmp_path: Path):
    grid = config(seeds=1, axes={"descent": {"rate": [0.01, 500.0]}})
    run, document = sweep(grid, directory=tmp_path / "run")
    (lost,) = document["diverged"]
    assert lost["rate"] == lost["descent.rate"] == 500.0
    assert lost["seed"] == 1 and lost["step"] > 0
    good, bad = document["rows"]
    assert (good["seeds"], good["diverged"]) == (1, 0) and good["log10_loss"] is not None
    assert (bad["seeds"], bad["diverged"]) == (0, 1) and bad["log10_loss"] is None
    assert "try a rate of 1.2e+02" in run.report.read_text()


def test_a_stopped_sweep_goes_on(tmp_path: Path, monkeypatch):
    train = sweep_runs.train_cell
    done: list[str] = []

    def once(cell, checkpoints):
        if done:
            raise KeyboardInterrupt
        done.append(cell.file_name)
        return train(cell, checkpoints)

    monkeypatch.setattr(sweep_runs, "train_cell", once)
    with pytest.raises(UserError, match="interrupted"):
        sweep(config(), directory=tmp_path / "run")

    def other(cell, checkpoints):
        assert cell.file_name not in done
        return train(cell, checkpoints)

    monkeypatch.setattr(sweep_runs, "train_cell", other)
    _, document = sweep(config(), directory=tmp_path / "run")
    assert document["networks"] == 8


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_configs_can_be_run(path: Path):
    facts = describe(load_config(SweepConfig, path))
    assert facts["networks"] == facts["configurations"] * facts["seeds"]
    assert facts["memory_mib"] < 1024


def test_the_shipped_sweep_is_the_papers():
    grid = load_config(SweepConfig, CONFIGS / "two-layer-sweep.toml")
    facts = describe(grid)
    assert (facts["configurations"], facts["networks"]) == (72, 2304)
    assert facts["student_steps"] == 72 * 32 * 100_000
    assert {s.student_architecture.hidden[0] for s in settings_of(grid)} == {
        5, 10, 20, 25, 40, 50, 100, 200,
    }  # fmt: skip


def test_deep_settings_have_a_table_row_a_layer(tmp_path: Path):
    base = {
        "teacher": "3-4", "inputs": 5, "outputs": 4, "epochs": 1, "over": 2,
        "data": {"samples": 128, "evaluation": 100},
    }  # fmt: skip
    grid = make_config(SweepConfig, {"setup": "deep-large", "seeds": 2, "base": base, "axes": {}})
    _, document = sweep(grid, directory=tmp_path / "run")
    assert [(row["layer"], row["teacher_nodes"]) for row in document["rows"]] == [(0, 3), (1, 4)]


def test_outcomes_keep_the_order_of_the_plan(tmp_path: Path):
    cells = plan_stacks(settings_of(config()), [1, 2])
    sweep_runs.sweep_cells(lambda cell: sweep_runs.train_cell(cell, tmp_path), cells, tmp_path)
    found = read_outcomes(cells, tmp_path)
    assert [outcome.member.seed for outcome in found] == [1, 2] * 4


def test_the_rate_is_a_time():
    assert 1e-7 < seconds_per_step([Member(settings_of(config())[0], 1)], budget=0.01) < 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"axis": {}}, "unknown key 'axis'"),
        ({"axes": {"over": 5}}, "axes.over = 5; accepted: a list of values"),
        ({"axes": {"over": []}}, "axes.over = []"),
        ({"axes": {"over": [1, 1]}}, "one or more different values"),
        ({"axes": {"ovr": [1]}}, "unknown key 'ovr' in axes"),
        ({"axes": {"teacher_start": {"decai": [1]}}}, "did you mean 'teacher_start.decay'"),
        ({"axes": {"epochs": [1]}}, "epochs is in both base and axes"),
        ({"base": {"epoch": 3}}, "unknown key 'epoch' in base"),
        ({"base": {**BASE, "outputs": 0}}, "outputs = 0"),
        ({"axes": {"outputs": [0]}, "base": {}}, "outputs = 0"),
        ({"axes": {"over": [0.5]}}, "narrower than the teacher"),
        ({"axes": {"student": [2]}}, "narrower than the teacher"),
        ({"setup": "twolayer"}, "did you mean 'two-layer'"),
        ({"seeds": 0}, "seeds = 0"),
    ],
)
def test_wrong_configs_are_one_clear_line(values, words: str):
    with pytest.raises(UserError) as caught:
        config(**values)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_teacher_that_cannot_be_is_told_before_anything_begins(tmp_path: Path):
    grid = config(base={**BASE, "outputs": 200})  # 200 rows of 3 weights of 5 values each
    with pytest.raises(UserError, match="too few directions"):
        sweep(grid, directory=tmp_path / "run")


def test_a_wrong_key_in_a_file_names_the_file(tmp_path: Path):
    path = tmp_path / "sweep.toml"
    path.write_text("seed = 3\n")
    with pytest.raises(ConfigError, match="did you mean 'seeds'"):
        load_config(SweepConfig, path)


def test_a_list_can_be_a_value():
    grid = config(axes={"descent": {"frozen": [[], [0], [1]]}})
    assert [s.descent.frozen for s in settings_of(grid)] == [(), (0,), (1,)]
    assert two_layer().descent.frozen == ()
