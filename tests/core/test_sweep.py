from functools import partial
from pathlib import Path

import numpy as np
import pytest

from trine.core.artifacts import read_json
from trine.core.errors import DataError
from trine.core.executors import ProcessExecutor
from trine.core.progress import EventProgress, ProgressEvent
from trine.core.sweep import Cell, CellResult, cells_of, gather, read_cell, sweep

CELLS = cells_of(range(2), method=["cfr", "jps"], size=[3])


def compute(calls: Path | None, cell: Cell) -> CellResult:
    if calls is not None:
        (calls / cell.file_name).write_text("computed")
    number = cell.seeds.generator("value").random()
    return CellResult({"value": number, "path": [1, 2]}, {"policy": np.full(3, number)})


def test_a_grid_has_every_combination():
    assert [cell.label for cell in CELLS] == [
        "method=cfr, size=3, seed=0",
        "method=cfr, size=3, seed=1",
        "method=jps, size=3, seed=0",
        "method=jps, size=3, seed=1",
    ]
    assert len({cell.file_name for cell in CELLS}) == 4


def test_values_that_look_alike_have_different_files():
    alike = [Cell({"size": 3}, 0), Cell({"size": "3"}, 0), Cell({"depth": 3}, 0)]
    assert len({cell.file_name for cell in alike}) == 3


def test_processes_and_no_processes_agree(tmp_path: Path):
    here = sweep(partial(compute, None), CELLS, tmp_path / "a")
    there = sweep(partial(compute, None), CELLS, tmp_path / "b", executor=ProcessExecutor(2))
    assert here.equals(there)
    assert here.columns == ["method", "size", "seed", "value", "path"]
    assert here["method"].to_list() == ["cfr", "cfr", "jps", "jps"]


def test_finished_cells_are_not_computed_again(tmp_path: Path):
    calls = tmp_path / "calls"
    calls.mkdir()
    whole = sweep(partial(compute, calls), CELLS, tmp_path / "cells")
    for entry in calls.iterdir():
        entry.unlink()
    damaged, absent = CELLS[1], CELLS[2]
    (tmp_path / "cells" / f"{damaged.file_name}.json").write_text('{"values": {"va')
    (tmp_path / "cells" / f"{absent.file_name}.json").unlink()
    assert gather(CELLS, tmp_path / "cells").height == 2
    events: list[ProgressEvent] = []
    again = sweep(
        partial(compute, calls),
        CELLS,
        tmp_path / "cells",
        progress=EventProgress(events.append),
        note=lambda values: f"{values['value']:.1f}",
    )
    assert again.equals(whole)
    assert {entry.name for entry in calls.iterdir()} == {damaged.file_name, absent.file_name}
    assert [event.done for event in events] == [0, 2, 3, 4, 4]


def test_arrays_lie_beside(tmp_path: Path):
    sweep(partial(compute, None), CELLS, tmp_path)
    result = read_cell(CELLS[0], tmp_path)
    np.testing.assert_array_equal(result.arrays["policy"], np.full(3, result.values["value"]))
    stored = read_json(tmp_path / f"{CELLS[0].file_name}.json")
    assert stored["parameters"] == {"method": "cfr", "size": 3}
    with pytest.raises(DataError, match="no result for method=new, seed=0"):
        read_cell(Cell({"method": "new"}, 0), tmp_path)


def stop_at_third(cell: Cell) -> CellResult:
    if cell == CELLS[2]:
        raise KeyboardInterrupt
    return compute(None, cell)


def test_an_interrupted_sweep_keeps_what_was_finished(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        sweep(stop_at_third, CELLS, tmp_path)
    assert gather(CELLS, tmp_path)["seed"].to_list() == [0, 1]
    assert not list(tmp_path.glob(".*"))
