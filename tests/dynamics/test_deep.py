"""Training runs: what a film holds, resuming, divergence, and the numbers of `--json`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.dynamics.small_runs import made_reel, small_config
from trine.core.artifacts import read_arrays, read_json
from trine.core.errors import Interrupted, UsageError
from trine.core.executors import ProcessExecutor
from trine.core.progress import EventProgress, ProgressEvent
from trine.core.records import read_metrics
from trine.core.runs import find_run
from trine.dynamics import films
from trine.dynamics.config import make_run_config
from trine.dynamics.deep import film_moments, memory_gib, plan, run
from trine.dynamics.films import shoot, stack_size
from trine.dynamics.results import (
    correlation_frame,
    layer_results,
    node_frame,
    pull_frame,
    row_norm_frame,
)
from trine.dynamics.training import Diverged, loss_factor
from trine.dynamics.trial import Moments, Snapshot, Trial, moments

# Issue: `run --json` gives these of every layer, per seed and pooled.
LAYER_KEYS = {
    "layer", "mean_best_correlation", "mean_best_correlation_alive", "dead_teacher_nodes",
    "initial_rank_mean", "initial_rank_chance", "initial_rank_p",
}  # fmt: skip


def same(first: Snapshot, second: Snapshot, tolerance: float = 0.0) -> None:
    one, two = first.arrays(), second.arrays()
    assert one.keys() == two.keys()
    for name, values in one.items():
        np.testing.assert_allclose(values, two[name], rtol=tolerance, atol=tolerance, err_msg=name)


# ---- trial --------------------------------------------------------------------------------------


def test_the_teacher_does_not_depend_on_anything_else():
    # Spec 10, trap 4: with one generator, data size, input size or std would change the teacher.
    plain = Trial(small_config(), [3])
    for changes in ({"data": {"samples": 64, "std": 1.0}}, {"over": 4}, {"epochs": 9}):
        other = Trial(small_config(**changes), [3])
        for ours, theirs in zip(plain.teachers.weights, other.teachers.weights, strict=True):
            assert torch.equal(ours, theirs)
    assert not torch.equal(
        plain.teachers.weights[0], Trial(small_config(), [4]).teachers.weights[0]
    )


def test_evaluation_samples_are_not_training_samples():
    trial = Trial(small_config(), [0])
    distances = torch.cdist(trial.evaluation[0], trial.batches.inputs()[0])
    assert float(distances.min()) > 0


def test_a_stack_is_its_networks_one_by_one():
    config = small_config(dtype="float64")
    together = list(Trial(config, [0, 1]).film(pull_samples=32))
    alone = [list(Trial(config, [seed]).film(pull_samples=32)) for seed in (0, 1)]
    for both, *parts in zip(together, *alone, strict=True):
        same(both, Snapshot.concatenate(parts), tolerance=1e-9)


@pytest.mark.parametrize("loss", ["mean", "half_sum", "cross_entropy"])
def test_the_evaluation_loss_is_that_of_training(loss: str):
    trial = Trial(small_config(dtype="float64", descent={"loss": loss}), [0])
    first = next(trial.film())
    target = trial.teachers.forward(trial.evaluation).output[0]
    output = trial.students.forward(trial.evaluation).output[0]
    if loss == "cross_entropy":
        wanted = torch.nn.functional.cross_entropy(output, target.argmax(1))
    else:
        factor = loss_factor("mean", 6) / 2 if loss == "mean" else 0.5
        wanted = factor * (target - output).square().sum(1).mean()
    assert float(first.evaluation_loss[0]) == pytest.approx(float(wanted), rel=1e-6)
    assert math.isnan(first.train_loss[0])


def test_moments_are_early_marks_and_every_epoch():
    assert moments(small_config()) == Moments((0, 10, 30), (1, 2, 3))
    long = moments(small_config(epochs=500))
    assert long.epochs[:10] == tuple(range(1, 11))
    assert long.epochs[-1] == 500
    assert len(long.epochs) <= 60


def test_moments_of_large_networks_are_fewer():
    assert film_moments(make_run_config("deep")).count == 46
    large = make_run_config("deep-large")
    assert len(film_moments(large).epochs) < len(moments(large).epochs)


def test_a_snapshot_is_stored_whole():
    for shot in Trial(small_config(epochs=1), [0, 1]).film(pull_samples=16):
        same(shot, Snapshot.from_arrays(shot.arrays()))


# ---- films --------------------------------------------------------------------------------------


@given(st.integers(1, 100), st.sampled_from(["deep", "two-layer"]), st.sampled_from([1, 10]))
def test_stacks_are_neither_empty_nor_larger_than_the_seeds(seeds: int, setup: str, over: int):
    size = stack_size(make_run_config(setup, seeds=seeds, over=over, device="cpu"))
    assert 1 <= size <= max(1, math.ceil(seeds / 4))


def test_processes_and_this_process_film_the_same(tmp_path: Path):
    config = small_config(seeds=5)
    events: list[ProgressEvent] = []
    (here,) = shoot([config], tmp_path / "here", progress=EventProgress(events.append))
    (there,) = shoot([config], tmp_path / "there", executor=ProcessExecutor(2))
    assert len(here.places) == 3  # two, two and one
    assert [shot.step for shot in here.snapshots] == [0, 10, 30, 32, 64, 96]
    for ours, theirs in zip(here.snapshots, there.snapshots, strict=True):
        same(ours, theirs)
    done = [event.done for event in events]
    assert done == sorted(done)
    assert done[-1] == 3 * 3  # epochs of every stack, counted once
    assert any("correlation" in event.note for event in events)


def test_films_that_are_there_are_not_shot_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = small_config(seeds=1)
    (first,) = shoot([config], tmp_path)
    monkeypatch.setattr(films, "Trial", None)  # nothing can be trained any more
    (second,) = shoot([config], tmp_path)
    for ours, theirs in zip(first.snapshots, second.snapshots, strict=True):
        same(ours, theirs)


def stop_after(monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    """Ctrl-C as soon as the state after so many epochs is written."""
    write, states = films.write_arrays, []

    def stopping(path: Path, *arguments: Any) -> Path:
        done = write(path, *arguments)
        states.extend([path] if path.name == "state.safetensors" else [])
        if len(states) == epochs:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(films, "write_arrays", stopping)


def equal_files(first: Path, second: Path) -> None:
    """All arrays below two directories are equal, bit by bit."""
    files = sorted(first.rglob("*.safetensors"))
    assert files
    for file in files:
        ours, theirs = read_arrays(file), read_arrays(second / file.relative_to(first))
        for name, values in ours.items():
            np.testing.assert_array_equal(values, theirs[name], err_msg=f"{file.name} {name}")


@pytest.mark.parametrize("place", ["none", "after_relu", "before_relu"])
def test_a_stopped_film_ends_as_if_it_had_never_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
):
    config = small_config(seeds=1, epochs=4, network={"batch_norm": place}, data={"fresh": True})
    shoot([config], tmp_path / "whole", pull_samples=16)
    stop_after(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        shoot([config], tmp_path / "stopped", pull_samples=16)
    monkeypatch.undo()
    written: list[str] = []
    write = films.write_arrays
    monkeypatch.setattr(
        films, "write_arrays", lambda path, *a: written.append(path.stem) or write(path, *a)
    )
    shoot([config], tmp_path / "stopped", pull_samples=16)
    assert "000000064" not in written  # two epochs of 32 steps are not trained again
    assert "000000096" in written
    equal_files(tmp_path / "whole", tmp_path / "stopped")


# ---- runs ---------------------------------------------------------------------------------------


def test_a_run_leaves_everything(tmp_path: Path):
    done, result = run(small_config(), root=tmp_path)
    assert done.is_finished
    assert result == read_json(done.directory / "result.json")
    assert (result["teacher"], result["student"], result["steps"]) == ("3-4", "6-8", 96)
    assert [one["seed"] for one in result["per_seed"]] == [0, 1]
    for layers in (result["layers"], *(one["layers"] for one in result["per_seed"])):
        assert [row["layer"] for row in layers] == [0, 1]
        for row in layers:
            assert set(row) >= LAYER_KEYS
            assert row["initial_rank_chance"] == (5, 7)[row["layer"]] / 2
    names = {path.name for path in done.tables.iterdir()}
    assert names >= {
        "correlations.csv", "losses.csv", "nodes.csv", "row_norms.csv", "pulls.csv", "layers.csv",
        "seeds.csv",
    }  # fmt: skip
    figures = {path.stem for path in done.figures.iterdir()}
    assert figures == {"correlations", "initial_ranks", "losses", "row_norms", "matrices", "pulls"}
    assert "Best correlation of each teacher node" in done.report.read_text()
    assert (done.directory / "animation.html").stat().st_size < 200_000
    rows = read_metrics(done.metrics_path)
    assert rows.height == 2 * 2 * 6  # seeds, layers, moments
    again, same_result = run(small_config(), root=tmp_path, say=lambda text: None)
    assert again.info.attempts == 1
    assert same_result == result


def test_a_stopped_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = small_config(seeds=1)
    stop_after(monkeypatch, 1)
    with pytest.raises(Interrupted, match="run the same command again to go on"):
        run(config, root=tmp_path / "stopped")
    assert find_run("latest", tmp_path / "stopped").status == "interrupted"
    monkeypatch.undo()
    # Pictures are another test's.
    monkeypatch.setattr("trine.dynamics.run_report.write_run_report", lambda *a: None)
    whole, result = run(config, root=tmp_path / "whole")
    stopped, again = run(config, root=tmp_path / "stopped")
    assert (stopped.is_finished, stopped.info.attempts) == (True, 2)
    assert (again["layers"], again["per_seed"]) == (result["layers"], result["per_seed"])
    assert stopped.metrics_path.read_text() == whole.metrics_path.read_text()


def test_training_makes_students_like_their_teachers(tmp_path: Path):
    config = small_config(epochs=30, data={"samples": 2048}, descent={"rate": 0.1})
    (reel,) = shoot([config], tmp_path)
    start, end = (s.matching.best(0).mean() for s in (reel.first, reel.last))
    assert float(end) > max(0.9, float(start))
    assert (reel.last.evaluation_loss < 0.1 * reel.first.evaluation_loss).all()


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_it(tmp_path: Path):
    config = small_config(descent={"rate": 1000.0})
    with pytest.raises(Diverged) as caught:
        run(config, root=tmp_path)
    text = str(caught.value)
    assert "\n" not in text
    for part in (
        "the loss of seed 0 is not finite at step ",
        "learning rate 1000",
        "try a learning",
    ):
        assert part in text
    kept = find_run("latest", tmp_path)
    assert kept.status == "failed"
    assert list(kept.checkpoints.rglob("000000000.safetensors"))  # what was there before


def test_a_diverged_stack_can_be_kept_as_a_film_that_ends_early(tmp_path: Path):
    bad, good = small_config(descent={"rate": 1000.0}, seeds=1), small_config(seeds=1)
    first, second = shoot([bad, good], tmp_path, keep_diverged=True)
    assert "not finite" in first.diverged
    assert first.last.epoch < 1
    assert (second.diverged, second.last.epoch) == ("", 3)


def test_data_larger_than_memory_are_refused_before_anything_is_made(tmp_path: Path):
    config = small_config(data={"samples": 10**9})
    assert memory_gib(config) == pytest.approx(41, rel=0.01)  # 1e9 x 11 numbers of 4 bytes
    with pytest.raises(UsageError, match="accepted: at most memory_limit_gib = 8"):
        run(config, root=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_plan_says_what_would_be_done(tmp_path: Path):
    facts = plan(make_run_config("deep"), root=tmp_path)
    assert facts["student widths"] == "100-150-200-250"
    assert facts["student weights"] == 122_000  # 20x100 + 100x150 + 150x200 + 200x250 + 250x100
    assert facts["steps a student"] == 62_480
    json.dumps(facts)
    assert not list(tmp_path.iterdir())


# ---- numbers ------------------------------------------------------------------------------------

# Two networks, one layer of two teacher nodes and four student nodes. In network 1 the second
# teacher node is never active.
START = [[[[0.5, 0.2, 0.1, 0.0], [0.1, 0.3, 0.4, 0.2]], [[0.1, 0.2, 0.3, 0.4], [0, 0, 0, 0]]]]
END = [[[[1.0, 0.2, 0.1, 0.0], [0.1, 0.8, 0.4, 0.2]], [[0.6, 0.2, 0.3, 0.4], [0, 0, 0, 0]]]]
ACTIVE = [[[0.5, 0.5], [0.5, 0.0]]]
LAYER = {"teacher": "2", "student": "4"}


def test_dead_teacher_nodes_are_counted_apart():
    reel = made_reel(START, END, ACTIVE, **LAYER)
    pooled, each = layer_results(reel)
    (row,) = pooled
    assert row["dead_teacher_nodes"] == 1
    assert row["teacher_nodes"] == 4
    # Network 0: (1.0 + 0.8) / 2; network 1: 0.6 alive, 0.3 with the dead node as 0.
    assert row["mean_best_correlation_alive"] == pytest.approx((0.9 + 0.6) / 2)
    assert row["mean_best_correlation"] == pytest.approx((0.9 + 0.3) / 2)
    assert (row["minimum"], row["maximum"]) == (pytest.approx(0.6), pytest.approx(1.0))
    assert row["matched_above_95"] == 1
    assert [one["layers"][0]["dead_teacher_nodes"] for one in each] == [0, 1]
    frame = correlation_frame(reel)
    last = frame.filter(frame["epoch"] == 3, frame["seed"] == 1)
    assert last["mean_alive"].item() == pytest.approx(0.6)


def test_initial_ranks_of_winners():
    reel = made_reel(START, END, ACTIVE, **LAYER)
    pooled, _ = layer_results(reel)
    # Winners 0, 1 and 0: nearest, second nearest and last of four at the start.
    assert pooled[0]["initial_rank_mean"] == pytest.approx((0 + 1 + 3) / 3)
    assert pooled[0]["initial_rank_chance"] == 1.5
    nodes = node_frame(reel)
    assert nodes.filter(nodes["alive"])["initial_rank"].to_list() == [0, 1, 3]
    assert nodes["winner"].to_list()[:3] == [0, 1, 0]


def test_winners_of_dead_nodes_are_no_winners():
    frame = row_norm_frame(made_reel(START, END, ACTIVE, **LAYER))
    end = frame.filter(frame["epoch"] == 3, frame["role"] == "winner")
    assert end["nodes"].to_list() == [2, 1]
    assert set(end["fan_out_median"]) == {4.0}


def test_a_layer_with_only_dead_nodes_has_no_numbers():
    pooled, each = layer_results(made_reel(START, END, [[[0.0, 0.0], [0.0, 0.0]]], **LAYER))
    assert math.isnan(pooled[0]["initial_rank_mean"])
    assert math.isnan(pooled[0]["mean_best_correlation_alive"])
    assert each[0]["layers"][0]["mean_best_correlation"] == 0


def test_pulls_are_a_table_of_winners_and_others(tmp_path: Path):
    (reel,) = shoot([small_config(seeds=1)], tmp_path, pull_samples=64)
    frame = pull_frame(reel)
    assert set(frame["layer"]) == {0, 1}
    assert {"attraction", "attraction_others", "drift", "share", "top_pull"} <= set(frame.columns)
    assert frame["attraction"].is_finite().all()
    assert pull_frame(made_reel(START, END, ACTIVE, **LAYER)).height == 0  # none was recorded
