"""Films of many seeds and configurations, computed over an executor, stored and resumed.

`shoot` makes one cell of a sweep for a few seeds of a configuration: networks that are trained as
one stack. A cell writes every snapshot to a file of its own and the students after every epoch: a
killed one goes on at its last epoch, and ends in the same numbers as if it had never stopped.

    cells/deep-10-15-20-25-10-0-1-s0-1a2b3c4d/
      snapshots/000000000.safetensors ...   one a moment, named by step
      state.safetensors                     students and number of epochs done
      teachers.safetensors
      progress.jsonl                        for the bar of whoever waits
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trine.core.artifacts import read_arrays, read_metadata, write_arrays
from trine.core.executors import Executor
from trine.core.progress import Progress, SilentProgress, Task
from trine.core.records import MetricsWriter, read_metrics
from trine.core.sweep import Cell, CellResult, read_cell, sweep
from trine.dynamics.assembly import pick_device
from trine.dynamics.config import RunConfig, from_json, to_json
from trine.dynamics.stack import Stack
from trine.dynamics.training import Diverged, Point
from trine.dynamics.trial import Moments, Snapshot, Trial, moments

__all__ = ["Reel", "shoot", "stack_size"]

STACK_WEIGHTS = 500_000
"""Weights of a stack beyond which more networks gain nothing where steps are stacked products.

Networks that are trained in blocks, see `block`, are as fast one by one. Measured in GFLOP/s of one
core, stacked products: 45, 53 and 58 for 1, 2 and 4 networks of 122,000 weights; 28 and 42 for 1
and 3 of 37,000; 10, 22 and 28 for 1, 4 and 13 of 9,000.
"""

LARGEST_STACK = 32
_POLL = 0.5  # seconds


@dataclass(frozen=True, slots=True)
class Reel:
    """The film of all seeds of one configuration.

    Attributes:
      config: the configuration.
      seeds: of the networks, R of them.
      snapshots: in order of time, R networks each.
      cpu_seconds: spent on all of it.
      diverged: why the film ends early; empty if it does not.
      places: directory of each stack of seeds.
    """

    config: RunConfig
    seeds: Sequence[int]
    snapshots: Sequence[Snapshot]
    cpu_seconds: float
    diverged: str = ""
    places: Sequence[Path] = ()

    @property
    def first(self) -> Snapshot:
        """The start."""
        return self.snapshots[0]

    @property
    def last(self) -> Snapshot:
        """The end."""
        return self.snapshots[-1]


def stack_size(config: RunConfig) -> int:
    """How many seeds are trained together: all on a GPU, else as many as make products faster.

    At least four stacks if there are as many seeds, so that several cores have work. Does not
    depend on the number of cores, so that a run can go on on another machine.
    """
    if pick_device(config.device) == "cuda":
        return config.seeds
    fitting = round(STACK_WEIGHTS / config.student_architecture.num_weights)
    return max(1, min(fitting, math.ceil(config.seeds / 4), LARGEST_STACK))


def shoot(
    configs: Sequence[RunConfig],
    directory: Path,
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
    description: str = "training",
    when: Callable[[RunConfig], Moments] = moments,
    pull_samples: int = 0,
    keep_diverged: bool = False,
    stack: int | None = None,
) -> list[Reel]:
    """The films of several configurations, each with its own seeds.

    Args:
      configs: the configurations.
      directory: where cells are kept; those that are there are not computed again.
      executor: where to compute; serial by default.
      progress: where to tell how far it is, epoch by epoch.
      description: what the bar says.
      when: moments of the snapshots.
      pull_samples: see `Trial.film`.
      keep_diverged: a stack whose loss is not finite ends its film instead of raising.
      stack: seeds that are trained together; by default `stack_size`.

    Raises:
      Diverged: a loss that is not finite; what was written before stays.
    """
    groups = [_cells(c, when(c), pull_samples, stack or stack_size(c)) for c in configs]
    cells = [cell for group in groups for cell in group]
    work = partial(_film_cell, directory=directory, keep_diverged=keep_diverged)
    total = sum(c.epochs * len(group) for c, group in zip(configs, groups, strict=True))
    with (progress or SilentProgress()).task(description, total=total) as task:
        with _watched(task, cells, directory):
            sweep(work, cells, directory, executor=executor)
    return [_reel(c, group, directory) for c, group in zip(configs, groups, strict=True)]


def _cells(config: RunConfig, when: Moments, pull_samples: int, size: int) -> list[Cell]:
    seeds = list(config.all_seeds)
    cells: list[Cell] = []
    for start in range(0, len(seeds), size):
        part = seeds[start : start + size]
        parameters = {
            "setup": config.setup,
            "teacher": config.teacher,
            "student": config.student_architecture.label,
            "seeds": f"{part[0]}-{part[-1]}" if len(part) > 1 else f"{part[0]}",
            # Lists, because texts become part of the file name.
            "config": [to_json(config)],
            "steps": list(when.steps),
            "epochs": list(when.epochs),
            "pull_samples": [pull_samples],
        }
        cells.append(Cell(parameters, part[0]))
    return cells


def _film_cell(cell: Cell, directory: Path, keep_diverged: bool) -> CellResult:
    """One stack of seeds from its start, or from its last epoch that is whole."""
    with _one_thread(), torch.no_grad():
        return _computed(cell, directory, keep_diverged)


@contextmanager
def _one_thread() -> Generator[None]:
    """Other seeds have the other cores; and sums in one order are the same everywhere."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _computed(cell: Cell, directory: Path, keep_diverged: bool) -> CellResult:
    config = from_json(cell.parameters["config"][0])
    numbers = [int(number) for number in str(cell.parameters["seeds"]).split("-")]
    trial = Trial(config, range(numbers[0], numbers[-1] + 1))
    place = directory / cell.file_name
    state, spent = place / "state.safetensors", 0.0
    start = 0
    if state.is_file():
        about = read_metadata(state)
        start, spent = int(about["epoch"]), float(about["cpu_seconds"])
        trial.students = Stack.from_arrays(
            config.student_architecture, read_arrays(state), device=trial.device
        )
    else:
        write_arrays(place / "teachers.safetensors", trial.teachers.arrays())
    begun = time.process_time() - spent
    when = Moments(tuple(cell.parameters["steps"]), tuple(cell.parameters["epochs"]))
    best: list[float] = []
    diverged = ""
    with MetricsWriter(place / "progress.jsonl") as rows:

        def ended(point: Point) -> None:
            epoch = round(point.epoch)
            about = {"epoch": str(epoch), "cpu_seconds": f"{time.process_time() - begun:.3f}"}
            write_arrays(state, trial.students.arrays(), about)
            rows.write(epoch=epoch, loss=float(point.loss.mean()), best=best)

        try:
            for snapshot in trial.film(
                when,
                start=start,
                pull_samples=cell.parameters["pull_samples"][0],
                each_epoch=ended,
            ):
                write_arrays(
                    place / "snapshots" / f"{snapshot.step:09d}.safetensors", snapshot.arrays()
                )
                best = _best(snapshot)
        except Diverged as error:
            if not keep_diverged:
                raise
            diverged = str(error)
    values = {"cpu_seconds": time.process_time() - begun, "diverged": diverged}
    return CellResult(values)


def _best(snapshot: Snapshot) -> list[float]:
    """Best correlation per layer, mean over networks and living teacher nodes."""
    layers = range(snapshot.matching.depth)
    found = [snapshot.matching.best(n)[snapshot.matching.alive(n)] for n in layers]
    return [round(float(values.mean()), 4) if len(values) else math.nan for values in found]


def read_film(place: Path) -> list[Snapshot]:
    """The snapshots of one stack that are there, in order of time."""
    return [
        Snapshot.from_arrays(read_arrays(path))
        for path in sorted((place / "snapshots").glob("*.safetensors"))
        if not path.name.startswith(".")
    ]


def _reel(config: RunConfig, cells: Sequence[Cell], directory: Path) -> Reel:
    places = [directory / cell.file_name for cell in cells]
    results = [read_cell(cell, directory).values for cell in cells]
    films = [read_film(place) for place in places]
    # Where one stack diverged, the film of all ends there.
    shots = [Snapshot.concatenate(parts) for parts in zip(*films, strict=False)]
    return Reel(
        config, list(config.all_seeds), shots,
        cpu_seconds=float(np.sum([r["cpu_seconds"] for r in results])),
        diverged="; ".join(r["diverged"] for r in results if r["diverged"]),
        places=places,
    )  # fmt: skip


@contextmanager
def _watched(task: Task, cells: Sequence[Cell], directory: Path) -> Generator[None]:
    """Advances a task by the epochs that cells, here or in other processes, have written down."""
    done = [0] * len(cells)
    end = threading.Event()

    def look() -> None:
        for number, cell in enumerate(cells):
            rows = read_metrics(directory / cell.file_name / "progress.jsonl")
            if not rows.height or rows["epoch"][-1] <= done[number]:
                continue
            row: dict[str, Any] = rows.row(-1, named=True)
            best = " ".join(f"{value:.3f}".lstrip("0") for value in row["best"] or ())
            seeds = cell.parameters["seeds"]
            note = f"seed {seeds}: loss {row['loss']:.2g}, correlation {best}"
            task.advance(row["epoch"] - done[number], note)
            done[number] = row["epoch"]

    def watch() -> None:
        while not end.wait(_POLL):
            try:
                look()
            except KeyboardInterrupt:  # polars raises it in any thread; the main one has it, too
                return

    look()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        end.set()
        watcher.join()
        look()
