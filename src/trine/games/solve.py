"""Solve one game by one method over several seeds, in a run directory.

`solve` is what `trine games solve` calls; `solve_cell` is one seed of it, the unit of work that
sweeps of several games and methods (`reproduce`, the demo) share.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trine.core.artifacts import read_json, write_json, write_text
from trine.core.config import make_config
from trine.core.errors import UsageError
from trine.core.executors import Executor
from trine.core.progress import Progress
from trine.core.runs import Run, open_run
from trine.core.seeding import Seeds
from trine.core.stats import Summary, summarise
from trine.core.sweep import Cell, CellResult, read_cell, sweep
from trine.games.a2c import A2cOptions, a2c
from trine.games.bad import BadOptions, bad
from trine.games.catalog import make_game
from trine.games.config import SolveConfig, load_tree, start_path
from trine.games.exact import solve_exact
from trine.games.methods import METHODS, find_method
from trine.games.paper import count_info_sets
from trine.games.policy import TabularPolicy, load_policy, save_policy
from trine.games.traversal import fill_sequence_reach
from trine.games.tree import Tree, build_tree

CURVE_POINTS = 400
"""Longer curves are thinned to about this many points before they are stored."""

_logger = logging.getLogger(__name__)


def kernels_are_compiled() -> bool:
    """Whether a cache of compiled kernels exists (else the first call takes about a minute)."""
    place = fill_sequence_reach.stats.cache_path
    return place is not None and any(Path(place).glob("traversal.fill_sequence_reach*.nbi"))


def warm_up(methods: Sequence[str]) -> None:
    """Compile, or load from the cache, the kernels of some methods, on the smallest games."""
    tree = build_tree(make_game("simple-bidding", 2))
    # The kernel whose presence says that the others are there too.
    reach = np.empty(tree.num_entries)
    fill_sequence_reach(tree.entry_start, tree.parent_entry, np.ones(tree.num_entries), reach)
    for name in methods:
        if name == "exact":  # so small a game would be settled by a bound, without the tables
            solve_exact(tree, method="subsets")
            solve_exact(tree, method="bound")
        elif name == "bad":
            bad(
                tree,
                generator=np.random.default_rng(0),
                options=BadOptions(updates=2, evaluations=1),
            )
        elif name == "a2c":
            a2c(
                tree,
                generator=np.random.default_rng(0),
                options=A2cOptions(updates=2, evaluations=1),
            )
        if name not in ("bad", "a2c"):
            values = {"game": "simple-bidding", "size": 2, "method": name, "seeds": 1}
            limits = {"cfr": {"iterations": 2}, "jps": {"iterations": 2}, "best": {"climbs": 2}}
            METHODS[name].run(tree, make_config(SolveConfig, {**values, **limits}), Seeds(0))


@lru_cache(maxsize=1)
def _prepared(text: str) -> tuple[SolveConfig, Tree]:
    """The tree of a worker's present game, and its kernels, outside all timing."""
    config = SolveConfig.model_validate_json(text)
    warm_up([config.method])
    return config, load_tree(config)


def cell_parameters(config: SolveConfig) -> dict[str, Any]:
    """What makes a cell of a sweep, seeds aside."""
    return {
        "game": config.game,
        "size": config.size,
        "method": config.method,
        "config": config.model_copy(update={"seeds": 1, "first_seed": 0}).model_dump_json(
            exclude_defaults=True
        ),
    }


def solve_cell(cell: Cell, *, keep_policy: bool = True) -> CellResult:
    """One seed of one method on one game.

    Args:
      cell: parameters as made by `cell_parameters`.
      keep_policy: store the policy beside the numbers.
    """
    config, tree = _prepared(str(cell.parameters["config"]))
    outcome = METHODS[config.method].run(tree, config, cell.seeds)
    values = {
        "value": outcome.value,
        "cpu_seconds": outcome.cpu_seconds,
        "search_cpu_seconds": outcome.search_cpu_seconds,
        **outcome.more,
    }
    step = max(1, len(outcome.curve) // CURVE_POINTS)
    at = np.unique(np.append(np.arange(0, len(outcome.curve), step), len(outcome.curve) - 1))
    arrays = {"curve": outcome.curve[at], "curve_at": at}
    if keep_policy:
        arrays["probabilities"] = outcome.policy.probabilities
    return CellResult(values, arrays)


def solve(
    config: SolveConfig,
    *,
    root: Path | None = None,
    directory: Path | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = _logger.info,
) -> tuple[Run, dict[str, Any]]:
    """Run, resume or recognise a solve.

    Args:
      config: what to solve, by what, with which seeds.
      root: where run directories are kept.
      directory: this run's directory, instead of a named one under `root`.
      executor: where to compute; serial by default.
      progress: where to tell how far it is.
      say: where to tell what takes time.

    Returns:
      The run, and the summary that `trine games solve --json` prints.

    Raises:
      UsageError: unknown game, size or method, or a method that does not fit the game.
      DataError: the tree is too large, or a start policy is for another game.
    """
    method = find_method(config.method)
    tree = load_tree(config)
    _check(config, tree)
    run = open_run(
        config, system="games", verb="solve", name=f"{config.label}-{config.method}",
        seed=config.first_seed, root=root, directory=directory,
    )  # fmt: skip
    if run.is_finished:
        say(f"computed before: {run.directory}")
        return run, read_json(run.directory / "result.json")
    with run:
        if not kernels_are_compiled():
            say("compiling kernels (about a minute, this once)")
        count = config.seeds if method.random else 1
        seeds = range(config.first_seed, config.first_seed + count)
        cells = [Cell(cell_parameters(config), seed) for seed in seeds]
        warm_up([config.method])
        frame = sweep(
            solve_cell, cells, run.checkpoints, executor=executor, progress=progress,
            description=f"{config.label} {config.method}",
            note=lambda values: f"value {values['value']:.4f}",
        )  # fmt: skip
        result = _finish(run, config, tree, cells, frame)
    return run, result


def _check(config: SolveConfig, tree: Tree) -> None:
    method = METHODS[config.method]
    if method.cooperative and not tree.is_common_payoff:
        fitting = [name for name, other in METHODS.items() if not other.cooperative]
        raise UsageError(
            f"--method {config.method} on {tree.game_id}, whose players have different payoffs",
            accepted=", ".join(fitting),
        )
    path = start_path(config)
    if path is not None:
        if config.method != "jps":
            raise UsageError(f"--start with --method {config.method}", hint="use --method jps")
        load_policy(path, tree)
    if config.jps.samples is not None and config.method not in ("jps", "cfr+jps"):
        raise UsageError(
            f"--samples with --method {config.method}", hint="use --method jps or cfr+jps"
        )


def _standard_error(value: Summary, random: bool) -> float | None:
    """Zero where the seed does not matter, unknown (`None`) where one seed was all."""
    if not random:
        return 0.0
    return value.standard_error if value.count > 1 else None


def _finish(
    run: Run, config: SolveConfig, tree: Tree, cells: Sequence[Cell], frame: pl.DataFrame
) -> dict[str, Any]:
    """Write what a finished run holds: the best policy, tables, report, result.json."""
    from trine.games.report import write_solve_report  # matplotlib is slow to import

    best = int(frame["value"].arg_max() or 0)
    policy = TabularPolicy(
        tree.game_id, read_cell(cells[best], run.checkpoints).arrays["probabilities"]
    )
    save_policy(policy, run.checkpoints / "best_policy.safetensors")
    rows = frame.drop("game", "size", "method", "config").to_dicts()
    # Whole and at once: a run that is resumed at this point must not list its seeds twice.
    write_text(run.metrics_path, "".join(json.dumps(row) + "\n" for row in rows))
    value = summarise(frame["value"])
    paper_count = count_info_sets(tree)
    result: dict[str, Any] = {
        "game": config.game,
        "size": config.size,
        "method": config.method,
        "seeds": len(frame),
        "states": tree.num_states,
        "info_sets": tree.num_info_sets if paper_count is None else paper_count,
        "decision_info_sets": tree.num_info_sets,
        "depth": config.depth if "jps" in config.method else None,
        "samples": config.jps.samples,
        "value_mean": value.mean,
        "value_se": _standard_error(value, METHODS[config.method].random),
        "value_min": value.minimum,
        "value_max": value.maximum,
        "cpu_seconds_per_seed": summarise(frame["cpu_seconds"]).mean,
        "search_cpu_seconds_per_seed": summarise(frame["search_cpu_seconds"]).mean,
        "best_seed": int(frame["seed"][best]),
        "run_dir": str(run.directory),
        "policy": str(run.checkpoints / "best_policy.safetensors"),
        "report": str(run.report),
    }
    for name in ("cfr_value", "nash_conv", "upper_bound", "proved"):
        if name in frame.columns:
            result[name] = bool(frame[name][0]) if name == "proved" else summarise(frame[name]).mean
    write_solve_report(run, config, tree, policy, cells, frame, result)
    write_json(run.directory / "result.json", result)
    return result
