import csv
import os
from pathlib import Path

import numpy as np
import pytest

from trine.bridge.deals import read_solved_deals
from trine.bridge.double_dummy import solve_tables
from trine.bridge.symmetry import SUIT_ORDERS, permute_suits, rotate_seats

pytest.importorskip("endplay")


def _owner_of(deal: str) -> np.ndarray:
    """`N:h h h h` by plain loops, independent of the package's parser."""
    owner = np.full(52, 9, dtype=np.uint8)
    for seat, hand in enumerate(deal.removeprefix("N:").split()):
        for suit, ranks in zip((3, 2, 1, 0), hand.split("."), strict=True):
            for rank in ranks:
                owner[13 * suit + "23456789TJQKA".index(rank)] = seat
    return owner


def test_thirteen_solid_spades():
    # North has all spades, East all hearts, South all diamonds, West all clubs.
    owner = np.repeat(np.array([3, 2, 1, 0], dtype=np.uint8), 13)[None]
    table = solve_tables(owner)[0].reshape(5, 4)
    clubs_and_hearts, spades_and_diamonds = [0, 13, 0, 13], [13, 0, 13, 0]
    assert table[[0, 2]].tolist() == [clubs_and_hearts] * 2
    assert table[[1, 3]].tolist() == [spades_and_diamonds] * 2
    assert table[4].tolist() == [0, 0, 0, 0]  # the leader runs a suit of thirteen


def test_tables_of_suits_permuted_and_seats_turned_are_true():
    deals = read_solved_deals("sample:random-10k").take(np.arange(4))
    orders = SUIT_ORDERS[[0, 5, 14, 23]]
    owner, tricks = permute_suits(deals.owner, deals.tricks, orders)
    owner, tricks = rotate_seats(owner, tricks, 3)
    assert (solve_tables(owner) == tricks).all()


def test_more_than_a_batch(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("trine.bridge.double_dummy.BATCH", 2)
    deals = read_solved_deals("sample:random-10k").take(np.arange(10, 13))
    assert (solve_tables(deals.owner) == deals.tricks).all()
    assert solve_tables(deals.owner[:0]).shape == (0, 20)


@pytest.mark.data
def test_tables_of_the_test_vector():
    path = Path(os.environ.get("TRINE_DATA", "nowhere")) / "bridge" / "dd_tables_random_320.csv"
    if not path.is_file():
        pytest.skip("$TRINE_DATA/bridge/dd_tables_random_320.csv is not here")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))[::64]
    tables = solve_tables(np.stack([_owner_of(row["deal"]) for row in rows]))
    names = [seat + strain for strain in ("C", "D", "H", "S", "NT") for seat in "NESW"]
    assert tables.tolist() == [[int(row[name]) for name in names] for row in rows]
