from pathlib import Path

import numpy as np
import polars as pl
import pytest

from trine.core.errors import DataError
from trine.core.records import MetricsWriter, read_metrics


def test_rows_come_back_as_a_frame(tmp_path: Path):
    with MetricsWriter(tmp_path / "run" / "metrics.jsonl") as metrics:
        metrics.write(step=1, value=np.float64(0.5), gains=np.array([1.0, 2.0]))
        metrics.write(step=2, value=float("nan"), note="late column")
    frame = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert frame["step"].to_list() == [1, 2]
    assert frame["value"].to_list() == [0.5, None]
    assert frame["gains"].to_list() == [[1.0, 2.0], None]
    assert frame["note"].to_list() == [None, "late column"]


def test_a_half_written_line_is_ignored_by_the_reader_and_cut_by_the_writer(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert read_metrics(path)["step"].to_list() == [1, 2]
    with MetricsWriter(path) as metrics:
        metrics.write(step=3)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n{"step": 3}\n'


@pytest.mark.parametrize("content", [None, "", '{"st'])
def test_nothing_whole_is_no_rows(tmp_path: Path, content: str | None):
    path = tmp_path / "metrics.jsonl"
    if content is not None:
        path.write_text(content)
    assert read_metrics(path).equals(pl.DataFrame())


def test_a_full_disk_is_one_line(tmp_path: Path):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    path = tmp_path / "metrics.jsonl"
    path.symlink_to("/dev/full")
    with pytest.raises(DataError, match="No space left"):
        with MetricsWriter(path) as metrics:
            metrics.write(step=1)
