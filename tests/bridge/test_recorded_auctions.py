import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from trine.bridge.calls import PASS
from trine.bridge.recorded_auctions import held_out_mask, join, read_auctions
from trine.core.errors import DataError

DEAL = "N:AK75.54.987653.A Q.AT983.42.JT753 642.KQJ7.AQJ.962 JT983.62.KT.KQ84"
LINE = {"deal": DEAL, "dealer": "E", "vul": "NS", "calls": "1D 1H X P P 2C P P P"}
DATA = Path(os.environ.get("TRINE_DATA", "")) / "bridge"


def _write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_lines_are_read(tmp_path):
    found = read_auctions(_write(tmp_path / "a.jsonl", LINE, {**LINE, "calls": "P P P P"}))
    assert len(found) == 2
    assert found.dealer.tolist() == [1, 1] and found.vulnerability.tolist() == [1, 1]
    # 1D 1H X P P 2C P P P
    assert found.calls[0].tolist() == [1, 2, 36, 35, 35, 5, 35, 35, 35]
    assert found.calls[1].tolist() == [PASS] * 4 + [-1] * 5
    owner = found.owner[0].reshape(4, 13)  # clubs first, deuce first
    assert owner[3, 12] == 0  # North has the ace of spades,
    assert owner[3, 10] == 1  # East the queen,
    assert owner[0, 12] == 0  # and North the ace of clubs
    assert np.bincount(found.owner[0]).tolist() == [13] * 4


def test_gzip_and_joining(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.write(json.dumps({**LINE, "calls": "P P P P"}) + "\n")
    one, other = read_auctions(path), read_auctions(_write(tmp_path / "b.jsonl", LINE))
    both = join([one, other])
    assert both.calls.shape == (2, 9) and both.calls[0, 4] == -1
    assert len(both.take(np.array([True, False]))) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"calls": "1D 9X"}, "line 2"),
        ({"dealer": "Q"}, "line 2"),
        ({"deal": DEAL.replace("AK75", "AK7")}, "line 2"),
        ({"calls": None}, "line 2"),
    ],
    ids=["call", "dealer", "hand", "type"],
)
def test_a_line_that_is_no_auction_is_named(tmp_path, change, message):
    path = _write(tmp_path / "a.jsonl", LINE, {**LINE, **change})
    with pytest.raises(DataError, match=message):
        read_auctions(path)


def test_files_that_are_none(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK no archive")
    (tmp_path / "a.jsonl").write_text("\n")
    (tmp_path / "a.jsonl.gz").write_bytes(b"not gzip")
    for name in ("a.npz", "a.jsonl", "a.jsonl.gz", "missing.jsonl"):
        with pytest.raises(DataError):
            read_auctions(tmp_path / name)


def test_all_auctions_of_a_deal_are_on_one_side():
    generator = np.random.default_rng(1)
    owner = generator.permuted(np.tile(np.repeat(np.arange(4), 13), (2000, 1)), axis=1)
    mask = held_out_mask(owner, 0.2)
    assert 0.15 < mask.mean() < 0.25
    assert (held_out_mask(owner[::-1], 0.2)[::-1] == mask).all()


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="needs $TRINE_DATA/bridge")
def test_the_archive_of_random_auctions_counts_suits_from_spades():
    found = read_auctions(DATA / "epbot_sayc_random_auctions.npz")
    assert len(found) == 49_377  # as its README says
    assert (np.sort(found.owner, 1) == np.repeat(np.arange(4), 13)).all()
    # Natural system: opening 1S at all but always shows five spades, the suit with index 3.
    opened = found.calls[:, 0] == 3  # 1S
    spades = (found.owner[:, 39:] == found.dealer[:, None]).sum(1)
    assert (spades[opened] >= 5).mean() > 0.99
