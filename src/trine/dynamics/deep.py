"""`trine dynamics run`: train students of several seeds, keep everything, say how lucky they were.

A run leaves, beside what every run leaves (`trine.core.runs`):

    result.json                what `--json` prints
    metrics.jsonl              one row a moment, seed and layer
    tables/*.csv               correlations, losses, nodes (winners and their initial ranks), row
                               norms, pulls, layers
    figures/                   the same as pictures
    animation.html             correlation matrices over time
    checkpoints/               per stack of seeds: teachers, students of the end, snapshots

A loss that is not finite stops the run, which is then marked failed; everything up to there stays.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trine.core.artifacts import read_json, write_json, write_text
from trine.core.config import config_hash
from trine.core.errors import UsageError
from trine.core.executors import Executor
from trine.core.progress import Progress
from trine.core.runs import Run, open_run, runs_root
from trine.core.stats import summarise
from trine.dynamics.config import RunConfig, flat_settings
from trine.dynamics.films import Reel, shoot, stack_size
from trine.dynamics.results import correlation_frame, layer_results
from trine.dynamics.training import Diverged, effective_step
from trine.dynamics.trial import Moments, moments

__all__ = ["PULL_SAMPLES", "film_moments", "memory_gib", "plan", "run"]

_logger = logging.getLogger(__name__)

PULL_SAMPLES = 64
"""Evaluation samples that the log of pulls is a mean over."""

MOST_SNAPSHOT_NUMBERS = 40_000_000
"""Numbers in all correlation matrices of a run's film above which fewer moments are kept."""

GIB = 2**30


def run(
    config: RunConfig,
    *,
    root: Path | None = None,
    directory: Path | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = _logger.info,
) -> tuple[Run, dict[str, Any]]:
    """Trains, resumes or recognises a run.

    Args:
      config: what to train.
      root: where run directories are kept.
      directory: this run's directory, instead of a named one under `root`.
      executor: where to compute; serial by default.
      progress: where to tell how far it is, epoch by epoch.
      say: where to tell what takes time.

    Returns:
      The run, and what `trine dynamics run --json` prints.

    Raises:
      Diverged: a loss is not finite; the run is kept, marked failed.
      UsageError: a teacher that cannot be made, no such device, or data larger than memory.
    """
    needed = memory_gib(config)
    if needed > config.memory_limit_gib:
        raise UsageError(
            f"{needed:.1f} GiB of data and targets for {stack_size(config)} seeds at a time",
            accepted=f"at most memory_limit_gib = {config.memory_limit_gib:g}",
            hint="fewer samples, or raise it with --set memory_limit_gib=...",
        )
    opened = open_run(
        config, system="dynamics", verb="run", name=config.label, seed=config.first_seed,
        root=root, directory=directory,
    )  # fmt: skip
    if opened.is_finished:
        say(f"computed before: {opened.directory}")
        return opened, read_json(opened.directory / "result.json")
    with opened:
        try:
            (reel,) = shoot(
                [config], opened.checkpoints, executor=executor, progress=progress,
                description=config.setup, when=film_moments, pull_samples=PULL_SAMPLES,
            )  # fmt: skip
        except Diverged as error:
            _logger.info("%s", error)
            where = f"{error} in {opened.directory}"  # "what was written before is kept ..."
            raise Diverged(where, network=error.network, step=error.step) from None
        result = _finish(opened, reel)
    return opened, result


def plan(
    config: RunConfig, *, root: Path | None = None, directory: Path | None = None
) -> dict[str, Any]:
    """What a run would do: every setting, and sizes; for `--dry-run`.

    Args:
      config: what would be trained.
      root: where run directories are kept.
      directory: this run's directory, instead of a named one under `root`.
    """
    steps, seeds = config.steps_per_epoch * config.epochs, config.seeds
    weights = config.student_architecture.num_weights
    # A forward pass and the two products of the backward pass: 2 operations a weight each.
    work = 6 * weights * config.descent.batch * steps * seeds
    name = f"dynamics-run-{config.label}-{config_hash(config)}"
    return {
        **flat_settings(config),
        "student widths": config.student_architecture.label,
        "student weights": weights,
        "steps a student": steps,
        "seeds trained together": stack_size(config),
        "snapshots": film_moments(config).count,
        "operations": f"{work:.2g}",
        "GiB a process": round(memory_gib(config), 3),
        "run_dir": str(directory or runs_root(root) / name),
    }


def memory_gib(config: RunConfig) -> float:
    """GiB that one process needs for inputs and targets of its stack of seeds."""
    number = 4 if config.dtype == "float32" else 8
    rows = config.data.samples + config.data.evaluation
    return stack_size(config) * rows * (config.inputs + config.outputs) * number / GIB


def film_moments(config: RunConfig) -> Moments:
    """Moments of a run's snapshots: fewer where matrices are large."""
    students = config.student_architecture.hidden
    pairs = zip(config.teacher_architecture.hidden, students, strict=True)
    numbers = config.seeds * sum(m * n for m, n in pairs)
    return moments(config, most=int(min(60, max(12, MOST_SNAPSHOT_NUMBERS // numbers))))


def _finish(run: Run, reel: Reel) -> dict[str, Any]:
    """Tables, figures, animation, report and result of a run whose films are there."""
    from trine.dynamics.run_report import write_run_report  # matplotlib is slow to import

    config = reel.config
    curves = correlation_frame(reel)
    # Whole and at once: a run that is resumed at this point must not list its rows twice.
    rows = curves.fill_nan(None).to_dicts()
    write_text(run.metrics_path, "".join(json.dumps(row) + "\n" for row in rows))
    layers, each = layer_results(reel)
    loss = summarise(reel.last.evaluation_loss)
    steps = config.steps_per_epoch * config.epochs
    result: dict[str, Any] = {
        "setup": config.setup,
        "teacher": config.teacher,
        "student": config.student_architecture.label,
        "inputs": config.inputs,
        "outputs": config.outputs,
        "seeds": len(reel.seeds),
        "first_seed": reel.seeds[0],
        "epochs": config.epochs,
        "steps": steps,
        "evaluation_samples": config.data.evaluation,
        "effective_step": effective_step(
            config.descent.rate, config.descent.loss, config.outputs, config.data.std
        ),
        "evaluation_loss_mean": loss.mean,
        "evaluation_loss_se": loss.standard_error if loss.count > 1 else None,
        "layers": layers,
        "per_seed": each,
        "cpu_seconds": reel.cpu_seconds,
        "student_steps_per_cpu_second": steps * len(reel.seeds) / max(reel.cpu_seconds, 1e-9),
        "run_dir": str(run.directory),
        "report": str(run.report),
        "animation": str(run.directory / "animation.html"),
        "tables": str(run.tables),
    }
    write_run_report(run, reel, result)
    write_json(run.directory / "result.json", _finite(result))
    return result


def _finite(value: Any) -> Any:
    """NaN as null: JSON has no word for it."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and value != value else value
