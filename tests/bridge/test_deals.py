import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from trine.bridge.deals import (
    SolvedDeals,
    pack_deals,
    random_owner,
    read_solved_deals,
    unpack_deals,
)
from trine.bridge.deals_file import RECORD_BYTES, DealsFile, Header, write_deals
from trine.bridge.deals_summary import summary
from trine.core.errors import DataError, UsageError


def _deals(count: int, seed: int = 0) -> SolvedDeals:
    generator = np.random.default_rng(seed)
    tricks = generator.integers(0, 14, (count, 20), dtype=np.uint8)
    return SolvedDeals(random_owner(count, generator), tricks)


def _file(path: Path, deals: SolvedDeals, block: int = 4) -> Path:
    write_deals(path, pack_deals(deals.owner, deals.tricks), block)
    return path


@given(
    arrays.arrays(np.uint8, (3, 52), elements=st.integers(0, 3)),
    arrays.arrays(np.uint8, (3, 20), elements=st.integers(0, 13)),
)
def test_packing_and_back(owner: np.ndarray, tricks: np.ndarray):
    packed = pack_deals(owner, tricks)
    assert packed.shape == (3, RECORD_BYTES)
    back = unpack_deals(packed)
    assert (back.owner == owner).all()
    assert (back.tricks == tricks).all()


def test_a_record_has_the_documented_bits():
    owner = np.zeros((1, 52), dtype=np.uint8)
    owner[0, :4] = [1, 2, 3, 0]  # the deuce to the five of clubs, lowest bits first
    tricks = np.zeros((1, 20), dtype=np.uint8)
    tricks[0, :2] = [13, 6]  # clubs by North, by East
    packed = pack_deals(owner, tricks)[0]
    assert packed[0] == 0b00_11_10_01
    assert packed[13] == 0x6D


def test_random_deals_have_thirteen_cards_a_seat_and_follow_the_generator():
    owner = random_owner(50, np.random.default_rng(7))
    assert owner.shape == (50, 52)
    assert all((np.bincount(row, minlength=4) == 13).all() for row in owner)
    assert (owner == random_owner(50, np.random.default_rng(7))).all()
    assert len(np.unique(owner, axis=0)) == 50


def test_a_whole_file_is_read_as_it_was_written(tmp_path: Path):
    deals = _deals(11)
    found = read_solved_deals(_file(tmp_path / "a.deals", deals))
    assert (found.owner == deals.owner).all()
    assert (found.tricks == deals.tricks).all()
    assert len(found.take(np.arange(3))) == 3


@pytest.mark.parametrize("cut", [1, RECORD_BYTES, 5 * RECORD_BYTES], ids="{} bytes".format)
def test_a_file_cut_short_keeps_its_whole_blocks(
    tmp_path: Path, cut: int, caplog: pytest.LogCaptureFixture
):
    deals = _deals(12)
    path = _file(tmp_path / "a.deals", deals)
    data = path.read_bytes()
    path.write_bytes(data[:-cut])
    kept = 12 - 4 * -(-cut // (4 * RECORD_BYTES))
    with caplog.at_level(logging.WARNING, logger="trine"):
        found = read_solved_deals(path)
    assert (found.owner == deals.owner[:kept]).all()
    assert f"{(12 - kept) // 4} of 3 blocks are cut off or damaged" in caplog.text


def test_a_damaged_block_costs_that_block_only(tmp_path: Path):
    deals = _deals(12)
    path = _file(tmp_path / "a.deals", deals)
    data = bytearray(path.read_bytes())
    data[-6 * RECORD_BYTES] ^= 1  # in the second block
    path.write_bytes(data)
    found = read_solved_deals(path)
    assert (found.owner == deals.owner[[0, 1, 2, 3, 8, 9, 10, 11]]).all()
    assert summary(path)["broken_blocks"] == 1


@given(st.binary(max_size=200), st.integers(0, 400))
def test_any_damage_is_a_clear_error_or_a_true_deal(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int
):
    path = tmp_path_factory.mktemp("fuzz") / "a.deals"
    deals = _deals(9)
    data = bytearray(_file(path, deals).read_bytes())
    data[at : at + len(noise)] = noise
    path.write_bytes(data)
    try:
        found = read_solved_deals(path)
    except DataError:
        return
    true = {row.tobytes() for row in pack_deals(deals.owner, deals.tricks)}
    assert {row.tobytes() for row in pack_deals(found.owner, found.tricks)} <= true


def test_nothing_of_a_deals_file_left(tmp_path: Path):
    path = _file(tmp_path / "a.deals", _deals(3))
    path.write_bytes(path.read_bytes()[:72])
    with pytest.raises(DataError, match="none of its 1 blocks is whole"):
        read_solved_deals(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"the head of .* is damaged"):
        read_solved_deals(path)


def test_a_file_that_is_only_begun(tmp_path: Path):
    with DealsFile.create(tmp_path / "a.deals", Header(8, 4, seed=3)):
        pass
    with pytest.raises(DataError, match="holds no whole deal yet"):
        read_solved_deals(tmp_path / "a.deals")


def test_two_writers_do_not_share_a_file(tmp_path: Path):
    with DealsFile.create(tmp_path / "a.deals", Header(8, 4)):
        with pytest.raises(DataError, match="being written by another process"):
            DealsFile.open(tmp_path / "a.deals", writable=True)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.deals", b"something else", "is not a deals file; accepted"),
        ("a.npz", b"PK\x03\x04 and no more", "is not a deals file"),
        ("none", None, "no file .*none; make one: trine bridge deals generate"),
    ],
    ids=["text", "half an archive", "missing"],
)
def test_other_files(tmp_path: Path, name: str, content: bytes | None, message: str):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_solved_deals(tmp_path / name)


def test_an_archive_with_a_hand_of_fourteen_cards(tmp_path: Path):
    deals = _deals(2)
    deals.owner[1, np.flatnonzero(deals.owner[1] == 1)[0]] = 0
    records = pack_deals(deals.owner, deals.tricks)
    np.savez(tmp_path / "a.npz", owner_packed=records[:, :13], tricks_packed=records[:, 13:])
    with pytest.raises(DataError, match=r"deal 2 gives the seats N E S W \[14, 12, 13, 13\] cards"):
        read_solved_deals(tmp_path / "a.npz")


def test_an_archive_of_other_arrays(tmp_path: Path):
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    with pytest.raises(DataError, match="holds no solved deals"):
        read_solved_deals(tmp_path / "a.npz")


def test_the_sample():
    facts = summary("sample:random-10k")
    assert facts["deals"] == facts["different"] == 10_000
    assert 900 < facts["evaluation"] < 1100  # a tenth
    with pytest.raises(UsageError, match="did you mean 'sample:random-10k'"):
        read_solved_deals("sample:random10k")
