"""A solve from the first directory to the last file, and from a killed process on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trine.core.artifacts import read_arrays, read_json, read_toml
from trine.core.config import make_config
from trine.core.errors import ConfigError, DataError, Interrupted, UsageError
from trine.core.executors import Executor, ProcessExecutor, SerialExecutor
from trine.core.runs import Run, list_runs
from trine.core.sweep import Cell
from trine.games import methods
from trine.games.catalog import make_game
from trine.games.config import SolveConfig
from trine.games.exact import ExactResult, solve_exact
from trine.games.methods import METHODS, value_of
from trine.games.policy import load_policy, random_policy, save_policy, uniform_policy
from trine.games.solve import CURVE_POINTS, cell_parameters, solve, solve_cell, warm_up
from trine.games.tree import build_tree

TIMES = {"cpu_seconds_per_seed", "search_cpu_seconds_per_seed"}
PLACES = {"run_dir", "policy", "report"}
KEYS = (
    "game", "size", "method", "seeds", "states", "info_sets", "value_mean", "value_se",
    "value_max", "cpu_seconds_per_seed", "search_cpu_seconds_per_seed", "run_dir",
)  # fmt: skip


def config(**values: Any) -> SolveConfig:
    small = {"game": "simple-bidding", "size": 4, "seeds": 3, "cfr": {"iterations": 50}}
    return make_config(SolveConfig, {**small, **values})


def numbers(result: dict[str, Any]) -> dict[str, Any]:
    """What does not depend on the clock or on the place."""
    return {key: value for key, value in result.items() if key not in TIMES | PLACES}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, Any]]:
    return solve(config(), root=tmp_path_factory.mktemp("runs"))


# ---- what a run holds ---------------------------------------------------------------------------


def test_the_summary_has_all_promised_keys(done: tuple[Run, dict[str, Any]]):
    run, result = done
    assert set(KEYS) <= set(result)
    assert result["game"] == "simple-bidding"
    assert (result["size"], result["seeds"], result["method"]) == (4, 3, "cfr+jps")
    assert (result["states"], result["info_sets"]) == (241, 61)  # as in the paper's table
    assert result["run_dir"] == str(run.directory)
    json.dumps(result, allow_nan=False)


def test_the_summary_is_that_of_the_seeds(done: tuple[Run, dict[str, Any]]):
    run, result = done
    seeds = pl.read_csv(run.tables / "seeds.csv")
    assert seeds["seed"].to_list() == [0, 1, 2]
    values = seeds["value"].to_numpy()
    assert result["value_mean"] == pytest.approx(values.mean(), abs=1e-12)
    assert result["value_se"] == pytest.approx(values.std(ddof=1) / np.sqrt(3), abs=1e-12)
    assert (result["value_min"], result["value_max"]) == (values.min(), values.max())
    assert result["best_seed"] == int(values.argmax())
    assert result["cfr_value"] == pytest.approx(seeds["cfr_value"].mean(), abs=1e-12)
    assert result["cpu_seconds_per_seed"] >= result["search_cpu_seconds_per_seed"] > 0


def test_the_run_directory_is_complete(done: tuple[Run, dict[str, Any]]):
    run, result = done
    assert run.is_finished
    assert read_json(run.directory / "result.json") == result
    assert read_toml(run.directory / "config.toml")["cfr"] == {"iterations": 50}
    tree = build_tree(make_game("simple-bidding", 4))
    policy = load_policy(run.checkpoints / "best_policy.safetensors", tree)
    assert value_of(tree, policy) == pytest.approx(result["value_max"], abs=1e-12)
    page = run.report.read_text()
    for text in ("Simple Bidding 4, cfr+jps", "<svg", f"{result['value_mean']:.4f}", "241", "2.20"):
        assert text in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("https://doi.org", "")
    for name in ("value", "convention"):
        for kind in ("svg", "png", "csv"):
            assert (run.figures / f"{name}.{kind}").stat().st_size > 0
    assert (run.tables / "policy.csv").read_text().startswith("player,history,cards,action,prob")
    assert not list(run.directory.rglob(".*.tmp*"))
    cells = sorted(run.checkpoints.glob("simple-bidding-4-cfr+jps-*.json"))
    assert [read_json(cell)["seed"] for cell in cells] == [0, 1, 2]


def test_a_finished_run_is_recognised(done: tuple[Run, dict[str, Any]]):
    run, result = done
    before = {path: path.stat().st_mtime_ns for path in run.directory.rglob("*") if path.is_file()}
    said: list[str] = []

    class Nobody:
        def run(self, function: object, items: object) -> Any:
            raise AssertionError("nothing was left to do")

    again, same = solve(config(), root=run.directory.parent, executor=Nobody(), say=said.append)
    assert same == result
    assert again.directory == run.directory
    assert said == [f"computed before: {run.directory}"]
    after = {path: path.stat().st_mtime_ns for path in run.directory.rglob("*") if path.is_file()}
    assert after == before


def test_another_configuration_has_a_directory_of_its_own(done: tuple[Run, dict[str, Any]]):
    run, _ = done
    other, _ = solve(config(seeds=2), root=run.directory.parent)
    assert other.directory != run.directory
    assert len(list_runs(run.directory.parent)) == 2


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_makes_a_run(method: str, tmp_path: Path):
    game, size = ("kuhn", None) if not METHODS[method].cooperative else ("mini-hanabi", None)
    chosen = config(game=game, size=size, method=method, seeds=2, best={"climbs": 20})
    run, result = solve(chosen, root=tmp_path)
    assert run.report.is_file()
    assert result["seeds"] == (2 if METHODS[method].random else 1)
    assert result["states"] == {"kuhn": 55, "mini-hanabi": 53}[game]
    if method == "exact":
        assert result["proved"] is True
        assert result["upper_bound"] == result["value_mean"] == 10
    if not METHODS[method].random:
        assert result["value_se"] == 0
    if not METHODS[method].cooperative:
        assert 0 < result["nash_conv"] < 1


def test_one_seed_has_no_standard_error(tmp_path: Path):
    _, result = solve(config(seeds=1, first_seed=7), root=tmp_path)
    assert result["value_se"] is None
    assert result["best_seed"] == 7
    assert result["value_mean"] == result["value_min"] == result["value_max"]


def test_long_curves_are_thinned_to_first_and_last(tmp_path: Path):
    chosen = config(method="cfr", seeds=1, cfr={"iterations": 3 * CURVE_POINTS + 2})
    arrays = solve_cell(Cell(cell_parameters(chosen), 0)).arrays
    at = arrays["curve_at"]
    assert (at[0], at[-1]) == (0, 3 * CURVE_POINTS + 1)
    assert np.all(np.diff(at) > 0)
    assert CURVE_POINTS <= len(at) == len(arrays["curve"]) <= CURVE_POINTS + 2
    assert (
        "probabilities"
        not in solve_cell(Cell(cell_parameters(chosen), 0), keep_policy=False).arrays
    )


# ---- the same numbers, whoever computes ---------------------------------------------------------


def test_the_same_seeds_give_the_same_numbers_in_two_processes(
    done: tuple[Run, dict[str, Any]], tmp_path: Path
):
    run, result = done
    executor: Executor = ProcessExecutor(2)
    other, same = solve(config(), root=tmp_path, executor=executor)
    assert numbers(same) == numbers(result)
    for path in run.checkpoints.glob("*.safetensors"):
        ours, theirs = read_arrays(path), read_arrays(other.checkpoints / path.name)
        assert ours.keys() == theirs.keys()
        for name, array in ours.items():
            assert np.array_equal(array, theirs[name])


def test_a_seed_does_not_depend_on_the_others(tmp_path: Path):
    _, whole = solve(config(seeds=3), root=tmp_path)
    values = []
    for seed in range(3):
        _, one = solve(config(seeds=1, first_seed=seed), root=tmp_path)
        values.append(one["value_mean"])
    assert np.mean(values) == pytest.approx(whole["value_mean"], abs=1e-12)


# ---- stopped and resumed ------------------------------------------------------------------------


class StopsAfter:
    """Runs a few items, then fails as asked."""

    def __init__(self, items: int, error: BaseException) -> None:
        self.items, self.error = items, error

    def run(self, function: Any, items: Any) -> Any:
        for n, result in SerialExecutor().run(function, items):
            yield n, result
            if n + 1 == self.items:
                raise self.error


def test_ctrl_c_leaves_a_run_that_goes_on(done: tuple[Run, dict[str, Any]], tmp_path: Path):
    with pytest.raises(Interrupted, match="run the same command again to go on"):
        solve(config(), root=tmp_path, executor=StopsAfter(1, KeyboardInterrupt()))
    (run,) = list_runs(tmp_path)
    assert run.status == "interrupted"
    assert not (run.directory / "result.json").exists()
    counted: list[int] = []

    class Counting:
        def run(self, function: Any, items: Any) -> Any:
            counted.append(len(items))
            return SerialExecutor().run(function, items)

    again, result = solve(config(), root=tmp_path, executor=Counting())
    assert counted == [2]  # the first of three seeds was kept
    assert again.info.attempts == 2
    assert numbers(result) == numbers(done[1])


def test_a_damaged_cell_is_computed_again(done: tuple[Run, dict[str, Any]], tmp_path: Path):
    with pytest.raises(ZeroDivisionError):
        solve(config(), root=tmp_path, executor=StopsAfter(2, ZeroDivisionError()))
    (run,) = list_runs(tmp_path)
    assert run.status == "failed"
    (cell,) = run.checkpoints.glob("*-s0-*.json")
    cell.write_text(cell.read_text()[:40])
    _, result = solve(config(), root=tmp_path)
    assert numbers(result) == numbers(done[1])


def test_a_killed_process_resumes(tmp_path: Path):
    """SIGKILL in the middle of the sweep of a real command, then the same command again."""
    warm_up(["cfr+jps"])  # compiled here, not in the process that is killed

    def command(place: str) -> list[str]:
        return [
            sys.executable, "-m", "trine.cli.app", "games", "solve", "simple-bidding", "--size",
            "4", "--seeds", "4", "--set", "cfr.iterations=10000", "--workers", "1", "--json",
            "--run", str(tmp_path / place),
        ]  # fmt: skip

    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    cells = tmp_path / "killed" / "checkpoints"
    with subprocess.Popen(
        command("killed"), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        while process.poll() is None and not list(cells.glob("simple*.json")):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        out, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert out == b""
    kept = {path: path.stat().st_mtime_ns for path in cells.glob("simple*.json")}
    assert 1 <= len(kept) < 4  # in the middle
    (run,) = list_runs(tmp_path)
    assert run.status == "interrupted"
    results = []
    for place in ("killed", "whole"):
        done = subprocess.run(
            command(place), env=environment, capture_output=True, text=True, check=True
        )
        results.append(json.loads(done.stdout))
    assert numbers(results[0]) == numbers(results[1])
    assert {path: path.stat().st_mtime_ns for path in kept} == kept  # not computed again
    policies = [
        (tmp_path / place / "checkpoints" / "best_policy.safetensors").read_bytes()
        for place in ("killed", "whole")
    ]
    assert policies[0] == policies[1]


# ---- refusals -----------------------------------------------------------------------------------


def test_a_directory_of_another_configuration_is_refused(tmp_path: Path):
    place = tmp_path / "mine"
    solve(config(game="mini-hanabi", size=None, method="jps", seeds=1), directory=place)
    before = sorted(path.name for path in place.rglob("*"))
    with pytest.raises(ConfigError, match=f"{place} belongs to another run") as caught:
        solve(config(), directory=place)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in place.rglob("*")) == before


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"game": "nim"}, UsageError, "unknown game 'nim'"),
        ({"method": "magic"}, UsageError, "unknown method 'magic'"),
        ({"size": 0}, UsageError, "size 0 of simple-bidding is not accepted"),
        ({"size": None}, UsageError, "simple-bidding needs a size"),
        ({"size": 10**6}, DataError, r"has at least 10\^18 states"),
        ({"size": 64, "memory_limit_gib": 0.001}, DataError, "the limit is 1 MiB"),
        ({"game": "kuhn", "size": None}, UsageError, "whose players have different payoffs"),
        ({"method": "best", "jps": {"samples": 2}}, UsageError, "--samples with --method best"),
        ({"start": "x.safetensors"}, UsageError, r"--start with --method cfr\+jps; use"),
        ({"method": "jps", "start": "x.safetensors"}, DataError, "no file x.safetensors"),
        ({"game": "openspiel:kuhn_poker", "size": 3}, UsageError, "put parameters into the name"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_directory(
    values: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
):
    with pytest.raises(error, match=message) as caught:
        solve(config(**values), root=tmp_path / "runs")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_a_start_policy_of_another_game_is_refused(tmp_path: Path):
    tree = build_tree(make_game("mini-hanabi"))
    save_policy(random_policy(tree, np.random.default_rng(0)), tmp_path / "start.safetensors")
    with pytest.raises(DataError, match="the policy is for mini-hanabi, the tree for simple-bid"):
        solve(
            config(method="jps", start=str(tmp_path / "start.safetensors")), root=tmp_path / "runs"
        )
    assert not (tmp_path / "runs").exists()


def test_an_unfinished_proof_is_reported_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tree = build_tree(make_game("simple-bidding", 8))
    weak = solve_exact(tree, incumbent=uniform_policy(tree), method="bound", memory_limit=2**16)
    monkeypatch.setattr(methods, "solve_exact", lambda *_, **__: weak)
    _, result = solve(config(size=8, method="exact"), root=tmp_path)
    assert result["proved"] is False
    # The optimum is 324 / 64.
    assert result["value_mean"] < 324 / 64 < result["upper_bound"]
    assert result["upper_bound"] == weak.upper_bound


def test_an_exact_solve_without_any_policy_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    nothing = ExactResult(None, -np.inf, 9.0, False, "bound", 0.0)
    monkeypatch.setattr(methods, "solve_exact", lambda *_, **__: nothing)
    with pytest.raises(UsageError, match=r"no policy found for simple-bidding:.; raise --time-"):
        solve(config(size=8, method="exact"), root=tmp_path)
    (run,) = list_runs(tmp_path)
    assert run.status == "failed"
