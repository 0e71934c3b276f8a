"""A grid of parameters times seeds, computed once each and gathered into one table.

Each cell of a sweep is one picklable piece of work. Whoever computes it (this process or a worker)
writes its result to a file of its own, atomically; a cell whose file exists is not computed again.
A sweep that was stopped, by Ctrl-C or by force, therefore goes on where it was.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trine.core.artifacts import read_arrays, read_json, write_arrays, write_json
from trine.core.errors import DataError
from trine.core.executors import Executor, SerialExecutor
from trine.core.progress import Progress, SilentProgress
from trine.core.seeding import Seeds

__all__ = ["Cell", "CellResult", "cells_of", "read_cell", "sweep"]

Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cell:
    """One point of a sweep.

    Attributes:
      parameters: names to plain values (JSON types).
      seed: of this cell.
    """

    parameters: Parameters
    seed: int

    @property
    def seeds(self) -> Seeds:
        """Named generators of this cell."""
        return Seeds(self.seed)

    @property
    def label(self) -> str:
        """For people: `game=comm, size=3, seed=0`."""
        items = {**self.parameters, "seed": self.seed}.items()
        return ", ".join(f"{name}={value}" for name, value in items)

    @property
    def file_name(self) -> str:
        """For the disk, without suffix: values and seed, and a digest of all of it."""
        identity = json.dumps([dict(self.parameters), self.seed], sort_keys=True)
        digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
        words = [str(value) for value in self.parameters.values() if isinstance(value, str | int)]
        words = [re.sub(r"[^a-z0-9.+]+", "-", word.lower()).strip("-") for word in words]
        return "-".join([*words[:4], f"s{self.seed}", digest])


@dataclass(frozen=True, slots=True)
class CellResult:
    """What a cell computes.

    Attributes:
      values: names to plain scalars or short lists; one row of the table.
      arrays: names to numpy arrays, stored beside; not part of the table.
    """

    values: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=lambda: {})


def cells_of(seeds: Iterable[int], **axes: Iterable[Any]) -> list[Cell]:
    """The cells of a grid: every combination of the axes' values with every seed.

    `cells_of(range(2), method=["cfr", "jps"])` has four cells.
    """
    points = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    numbers = list(seeds)
    return [Cell(point, seed) for point in points for seed in numbers]


def sweep(
    function: Callable[[Cell], CellResult],
    cells: Sequence[Cell],
    directory: Path,
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
    description: str = "cells",
    note: Callable[[Mapping[str, Any]], str] | None = None,
) -> pl.DataFrame:
    """Computes every cell that is not there yet and gathers all of them.

    Args:
      function: computes one cell; picklable if the executor has other processes (a function of a
        module, or a `functools.partial` of one).
      cells: the cells.
      directory: where the results are; make it a directory of the run.
      executor: serial by default.
      progress: silent by default; finished cells count as done at once.
      description: what the progress bar says.
      note: a word on the newest result for the progress bar, from its values.

    Returns:
      One row a cell in the order of `cells`: parameters, `seed`, values.
    """
    missing = [cell for cell in cells if _stored(directory, cell) is None]
    work = partial(_compute, function, directory)
    with (progress or SilentProgress()).task(description, total=len(cells)) as task:
        task.advance(len(cells) - len(missing))
        with closing(_iterate(executor or SerialExecutor(), work, missing)) as results:
            for _, values in results:
                task.advance(note=note(values) if note else "")
    return gather(cells, directory)


def gather(cells: Sequence[Cell], directory: Path) -> pl.DataFrame:
    """The table of the cells that are there: parameters, `seed`, values."""
    rows: list[dict[str, Any]] = []
    for cell in cells:
        values = _stored(directory, cell)
        if values is not None:
            rows.append({**cell.parameters, "seed": cell.seed, **values})
    return pl.DataFrame(rows, infer_schema_length=None)


def read_cell(cell: Cell, directory: Path) -> CellResult:
    """The stored result of one cell, arrays included.

    Raises:
      DataError: if the cell has not been computed.
    """
    values = _stored(directory, cell)
    if values is None:
        raise DataError(f"no result for {cell.label} in {directory}", hint="run the sweep again")
    arrays = directory / f"{cell.file_name}.safetensors"
    return CellResult(values, read_arrays(arrays) if arrays.is_file() else {})


def _iterate(
    executor: Executor, work: Callable[[Cell], Mapping[str, Any]], cells: Sequence[Cell]
) -> Any:
    # Any: closing() wants a close method, which an Iterator need not have and a generator does.
    yield from executor.run(work, cells)


def _compute(
    function: Callable[[Cell], CellResult], directory: Path, cell: Cell
) -> Mapping[str, Any]:
    result = function(cell)
    # Arrays first: the JSON file is what says that the cell is there.
    if result.arrays:
        write_arrays(directory / f"{cell.file_name}.safetensors", result.arrays)
    document = {
        "parameters": dict(cell.parameters),
        "seed": cell.seed,
        "values": dict(result.values),
    }
    write_json(directory / f"{cell.file_name}.json", document)
    return result.values


def _stored(directory: Path, cell: Cell) -> Mapping[str, Any] | None:
    path = directory / f"{cell.file_name}.json"
    if not path.is_file():
        return None
    try:
        return read_json(path)["values"]
    except (DataError, KeyError, TypeError):
        return None  # not ours or damaged: compute it again and write over it
