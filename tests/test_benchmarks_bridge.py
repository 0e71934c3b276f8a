"""Rows and tables of the bridge benchmark, at the smallest sizes; nothing is said about times."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks import bridge, bridge_gpu, bridge_gradient
from benchmarks.bridge import (
    Sizes,
    engine_rows,
    engine_table,
    main,
    match_row,
    other_table,
    play_lockstep,
    random_calls,
    write_pgx_table,
)

from trine.bridge.deals import read_solved_deals
from trine.bridge.importers import read_foreign_deals
from trine.bridge.lockstep import LockstepAuctions
from trine.core.artifacts import read_json
from trine.core.extras import available
from trine.core.tables import to_markdown

SMALL = Sizes((8, 16), 16, 2, (4, 2), 2, 6, 5, 1)


@pytest.mark.oracle
@pytest.mark.skipif(not available("oracle"), reason="needs the extra `oracle`")
def test_every_size_of_batch_has_a_line():
    rows = engine_rows(SMALL)
    assert [row["batch"] for row in rows] == [8, 16]
    assert all(row["ratio_OpenSpiel"]["mean"] > 0 for row in rows)
    assert "| 16 |" in to_markdown(engine_table(rows))
    assert "not installed" in to_markdown(engine_table(rows))


def test_random_calls_are_legal_and_all_are_made():
    generator = torch.Generator().manual_seed(0)
    start = LockstepAuctions.start(torch.zeros(4000).long(), torch.zeros(4000).long())
    auctions = start.after(torch.full((4000,), 30)).after(torch.full((4000,), 36))
    for state, legal in ((auctions, [31, 32, 33, 34, 35, 37]), (start, list(range(36)))):
        calls = random_calls(state, generator)
        assert bool(state.legal().gather(1, calls[:, None]).all())
        found, counts = np.unique(calls.numpy(), return_counts=True)
        assert found.tolist() == legal
        assert counts.max() < 2 * counts.min()


def test_auctions_are_bid_out():
    owner = torch.from_numpy(read_solved_deals("sample:random-10k").owner[:20].copy())
    decisions = play_lockstep(owner, 50, torch.Generator().manual_seed(1))
    assert 4 * 50 < decisions < 30 * 50


def test_a_table_of_pgx_is_read_back(tmp_path: Path):
    deals = read_solved_deals("sample:random-10k").take(np.arange(30))
    found = read_foreign_deals(write_pgx_table(tmp_path / "a.npy", deals))
    assert (found.owner == deals.owner).all()
    assert (found.tricks == deals.tricks).all()


def test_a_match_has_its_lines():
    row = match_row(SMALL)
    assert row["boards"] == 6
    assert row["decisions"] >= 6 * 2 * 4
    solver = {"ours": None, "plain": None, "ratio": None, "wanted": 0.9}
    text = to_markdown(other_table(row, solver))
    assert "| match of two networks, 6 boards," in text
    assert "solved deals per CPU second" in text


def test_any_other_option_is_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(["--fast"])
    assert caught.value.code == 2
    assert "--fast" in capsys.readouterr().err


def test_an_interpreter_without_pgx_is_told(tmp_path: Path):
    with pytest.raises(SystemExit, match="cannot run pgx"):
        bridge.pgx_rate("false", SMALL)


def test_the_share_of_a_gradient_that_is_signal():
    # g = G + noise of known size: power = |G|² / (|G|² + parameters · σ²), and no bias.
    generator = torch.Generator().manual_seed(4)
    true = torch.randn(400, generator=generator)
    found = true + 2.0 * torch.randn((300, 400), generator=generator)
    power, right = bridge_gradient.measure(found, found)
    size = float(true @ true)
    assert power == pytest.approx(size / (size + 400 * 4.0), rel=0.05)
    assert right == pytest.approx(1.0, abs=1e-6)
    _, turned = bridge_gradient.measure(-found, found)
    assert turned == pytest.approx(-1.0, abs=1e-6)
    assert all(map(math.isnan, bridge_gradient.measure(found[:2] * 0, found[:2] * 0)))


def test_the_speed_of_a_training_counts_its_matrix_products(tmp_path: Path, monkeypatch):
    words = "bridge_gpu sample:random-10k --boards 4 --minibatch 64 --seconds 0.01 --device cpu"
    out = ["--width", "512", "--peak-size", "64", "--out", str(tmp_path / "record.json")]
    monkeypatch.setattr("sys.argv", [*words.split(), *out])
    bridge_gpu.main()
    record = read_json(tmp_path / "record.json")
    (row,) = record["rows"]
    assert 0.5 < row["looked_at"] < 1  # random weights settle only what has one legal call
    assert row["updates"] >= 1
    assert row["decisions_per_second"] > 0
    operations = row["matrix_operations_per_second"] / row["decisions_per_second"]
    # Multiply and add, three times over in learning, once in play, for two networks; the critic
    # sees more, and values are asked for once before the update.
    policy = 2 * (480 * 512 + 2 * 512 * 512 + 38 * 512)
    assert policy < operations < 12 * policy
    assert record["matrix_peak"] > 0
