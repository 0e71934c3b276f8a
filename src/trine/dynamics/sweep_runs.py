"""`trine dynamics sweep config.toml`: a grid of settings times seeds, in one run directory.

    setup = "two-layer"        # whose defaults hold: two-layer, deep-large, deep
    seeds = 32                 # counted from first_seed
    first_seed = 1

    [base]                     # what differs from the defaults, for all
    epochs = 100

    [axes]                     # lists of values; the grid has every combination
    teacher = ["5", "10", "20"]
    over = [1, 2, 5, 10]
    teacher_start.decay = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]

Keys are those of `trine.dynamics.two_layer.Setting`. Networks of equal shape are trained together
(`stack_plan`); each stack is a cell of `trine.core.sweep`, which is computed once and kept, and a
stack that was stopped half-way goes on from its last minute. Before anything long begins, the rate
of every shape is measured on a few steps and the time is projected from it.

A network whose loss stops being finite is recorded (`diverged_step`), and the others go on.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from trine.core.artifacts import read_json, write_json
from trine.core.config import Config
from trine.core.errors import ConfigError
from trine.core.executors import Executor, SerialExecutor
from trine.core.progress import Progress
from trine.core.runs import Run, open_run
from trine.core.seeding import Seeds
from trine.core.sweep import Cell
from trine.core.sweep import sweep as sweep_cells
from trine.dynamics.assembly import teacher_of
from trine.dynamics.deep_specialisation import make_setting
from trine.dynamics.joint_results import Outcome, node_frame, read_outcomes, summary_frame
from trine.dynamics.joint_training import seconds_per_step, train_cell
from trine.dynamics.stack_plan import GIB, data_bytes, members_of, plan_stacks, shape_of
from trine.dynamics.two_layer import Setting

__all__ = ["SweepConfig", "describe", "settings_of", "sweep"]

_logger = logging.getLogger(__name__)


class SweepConfig(Config):
    """A grid of settings times seeds.

    Attributes:
      setup: whose defaults hold; a key of `trine.dynamics.deep_specialisation.SETTINGS`.
      seeds: how many, counted from `first_seed`.
      first_seed: the first of them.
      memory_gib: the most data a stack of networks may hold, GiB; each worker has one.
      base: values that differ from the set-up's, for all settings.
      axes: lists of values by key; tables may be written as tables or as dotted keys.
    """

    setup: str = "two-layer"
    seeds: int = Field(default=32, ge=1)
    first_seed: int = Field(default=1, ge=0)
    memory_gib: float = Field(default=1.0, gt=0)
    base: dict[str, Any] = Field(default_factory=dict)
    axes: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _grid(self) -> SweepConfig:
        settings_of(self)  # errors name the key or value; they are not pydantic's
        return self

    @property
    def all_seeds(self) -> range:
        """The seeds."""
        return range(self.first_seed, self.first_seed + self.seeds)


def settings_of(config: SweepConfig) -> list[Setting]:
    """The settings of the grid, in the order of the axes, the last one fastest.

    Raises:
      UsageError: no such set-up.
      ConfigError: an axis that is not a list, is empty, repeats a value or is also in `base`; a
        key or value that a setting cannot have.
    """
    axes = _flat(config.axes)
    base = _flat(config.base)
    for name, values in axes.items():
        if not isinstance(values, list):
            raise ConfigError(
                f"axes.{name} = {values!r}",
                accepted="a list of values",
                hint=f"write {name} = [{values!r}], or move it to base",
            )
        if not values or any(values.count(value) > 1 for value in values):
            raise ConfigError(f"axes.{name} = {values!r}", accepted="one or more different values")
        if name in base:
            raise ConfigError(f"{name} is in both base and axes", hint="leave one out")
    made: list[Setting] = []
    for point in itertools.product(*axes.values()):
        values: dict[str, Any] = {}
        for name, value in [*base.items(), *zip(axes, point, strict=True)]:
            _put(values, name, _as_text(name, value))
        sources = {name: "axes" if name in axes else "base" for name in (*axes, *base)}
        made.append(make_setting(config.setup, values, sources))
    return made


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *tables, last = key.split(".")
    for table in tables:
        values = values.setdefault(table, {})
    values[last] = value


def _as_text(name: str, value: Any) -> Any:
    # One hidden layer is written as its width.
    widths = name in ("teacher", "student")
    return (
        str(value) if widths and isinstance(value, int) and not isinstance(value, bool) else value
    )


def axes_columns(config: SweepConfig) -> Callable[[Setting], dict[str, Any]]:
    """The columns that tell the settings of a sweep apart: its axes, by dotted name."""
    names = list(_flat(config.axes))

    def told(setting: Setting) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in names:
            value: Any = setting
            for part in name.split("."):
                value = getattr(value, part)
            # Tables hold scalars: a list (frozen layers, a schedule) is shown as text.
            found[name] = str(value) if isinstance(value, tuple | list) else value
        return found

    return told


def describe(config: SweepConfig) -> dict[str, Any]:
    """What a sweep would do, without training: counts, stacks and memory.

    Returns:
      `configurations`, `networks`, `stacks`, `shapes`, `student_steps`, `largest_stack`,
      `memory_mib` (data of the largest stack, of one worker).
    """
    settings = settings_of(config)
    cells = plan_stacks(settings, config.all_seeds, memory=config.memory_gib * GIB)
    stacks = [members_of(cell) for cell in cells]
    return {
        "configurations": len(settings),
        "seeds": config.seeds,
        "networks": sum(len(stack) for stack in stacks),
        "shapes": len({shape_of(setting) for setting in settings}),
        "stacks": len(stacks),
        "largest_stack": max(len(stack) for stack in stacks),
        "memory_mib": round(max(len(s) * data_bytes(s[0].setting) for s in stacks) / 2**20, 1),
        "student_steps": sum(s.epochs * s.steps_per_epoch for s in settings) * config.seeds,
    }


def sweep(
    config: SweepConfig,
    *,
    root: Path | None = None,
    directory: Path | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = _logger.info,
) -> tuple[Run, dict[str, Any]]:
    """Trains the grid of a configuration in a run directory; goes on where it was stopped.

    Args:
      config: the grid.
      root: where runs are kept.
      directory: this run's directory, instead of a named one under `root`.
      executor: where to compute; serial by default.
      progress: where to tell how far it is.
      say: where to tell what takes time.

    Returns:
      The run, and the document that `--json` prints: the keys of `describe`, `run_dir`, `report`,
      `projected_seconds`, `seconds`, `cpu_seconds`, `diverged` (a list) and `rows` (one a
      setting and hidden layer: see `joint_results.summary_frame`).

    Raises:
      ConfigError: a grid that cannot be trained.
    """
    settings = settings_of(config)
    run = open_run(
        config, system="dynamics", verb="sweep", name=config.setup, seed=config.first_seed,
        root=root, directory=directory,
    )  # fmt: skip
    result = run.directory / "result.json"
    if run.is_finished and result.is_file():
        say(f"computed before: {run.directory}")
        return run, read_json(result)
    facts = describe(config)
    for setting in {s.teacher_text: s for s in settings}.values():
        teacher_of(setting, Seeds(config.first_seed))  # a grid too coarse is told at once
    with run:
        cells = plan_stacks(settings, config.all_seeds, memory=config.memory_gib * GIB)
        chosen = executor or SerialExecutor()
        workers = getattr(chosen, "workers", 1)
        say(
            f"{facts['configurations']} configurations x {config.seeds} seeds = "
            f"{facts['networks']} networks in {facts['stacks']} stacks"
        )
        left = [c for c in cells if not (run.checkpoints / f"{c.file_name}.json").is_file()]
        projected = project(left, workers, say)
        started = time.monotonic()
        frame = sweep_cells(
            partial(train_cell, checkpoints=run.checkpoints / "unfinished"), cells,
            run.checkpoints, executor=chosen, progress=progress, description="stacks",
            note=lambda values: f"{values['members']} networks, {values['diverged']} diverged",
        )  # fmt: skip
        facts["projected_seconds"] = round(projected, 1)
        facts["seconds"] = round(time.monotonic() - started, 1)
        facts["cpu_seconds"] = round(float(frame["cpu_seconds"].sum()), 1)
        order = {setting.text: place for place, setting in enumerate(settings)}
        outcomes = sorted(
            read_outcomes(cells, run.checkpoints),
            key=lambda o: (order[o.member.setting.text], o.member.seed),
        )
        document = _finish(run, config, outcomes, facts)
        write_json(result, document)
    return run, document


def project(cells: Sequence[Cell], workers: int, say: Callable[[str], None]) -> float:
    """Seconds that the training of cells will take, from the measured rate of every shape.

    Evaluation is not in it: about a twentieth of the whole.

    Args:
      cells: of `plan_stacks`.
      workers: that share them evenly.
      say: told the rates and the sum.
    """
    rates: dict[tuple[str, int], float] = {}
    total = 0.0
    for cell in cells:
        members = members_of(cell)
        setting = members[0].setting
        key = (shape_of(setting), len(members))
        if key not in rates:
            rates[key] = seconds_per_step(members)
        total += rates[key] * len(members) * setting.epochs * setting.steps_per_epoch
    total /= max(1, min(workers, len(cells)))
    if cells:
        low, high = 1e6 * min(rates.values()), 1e6 * max(rates.values())
        say(
            f"measured {low:.0f} to {high:.0f} microseconds a student step; "
            f"about {_duration(total)} on {workers} worker{'s' * (workers != 1)}"
        )
    return total


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _finish(
    run: Run, config: SweepConfig, outcomes: Sequence[Outcome], facts: dict[str, Any]
) -> dict[str, Any]:
    from trine.dynamics.sweep_report import write_sweep_report  # matplotlib is slow to import

    axes = axes_columns(config)
    rows = summary_frame(outcomes, axes)
    diverged = [
        {
            **axes(outcome.member.setting),
            "seed": outcome.member.seed,
            "step": outcome.diverged_step,
            "rate": outcome.member.setting.descent.rate,
        }
        for outcome in outcomes
        if outcome.diverged_step is not None
    ]
    document = {
        "setup": config.setup,
        **facts,
        "run_dir": str(run.directory),
        "report": str(run.report),
        "diverged": diverged,
        "rows": [_no_nan(row) for row in rows.to_dicts()],
    }
    write_sweep_report(run, axes, outcomes, node_frame(outcomes, axes), rows, document)
    return document


def _no_nan(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and value != value else value
        for name, value in row.items()
    }
