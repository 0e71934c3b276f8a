import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tests.bridge.boards import DEAL, deal_text
from trine.bridge import importers
from trine.bridge.deals import SolvedDeals, read_solved_deals
from trine.bridge.importers import check_tables, import_deals, read_foreign_deals
from trine.core.errors import CheckFailed, DataError, Interrupted, UsageError
from trine.core.executors import SerialExecutor
from trine.core.progress import SilentProgress


@pytest.fixture(scope="module")
def deals() -> SolvedDeals:
    return read_solved_deals("sample:random-10k").take(np.arange(100))


def _import(source: Path, out: Path):
    found = read_foreign_deals(source)
    return import_deals(found, out, executor=SerialExecutor(), progress=SilentProgress())


def _jps(path: Path, contents: list[str]) -> Path:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE records (IDX INTEGER PRIMARY KEY, CONTENT TEXT)")
        database.executemany("INSERT INTO records VALUES (?, ?)", enumerate(contents))
        database.commit()
    return path


def _pgx(path: Path, deals: SolvedDeals) -> Path:
    """Their layout by plain text: a base-4 number a suit, a hexadecimal one a declarer."""
    keys, values = [], []
    for owner, tricks in zip(deals.owner, deals.tricks, strict=True):
        ranks = [12, *range(12)]  # A 2 3 ... K
        suits = ["".join(str(owner[13 * suit + r]) for r in ranks) for suit in (3, 2, 1, 0)]
        keys.append([int(suit, 4) for suit in suits])
        rows = [
            "".join(f"{tricks[4 * strain + seat]:x}" for strain in range(5)) for seat in range(4)
        ]
        values.append([int(row, 16) for row in rows])
    with path.open("wb") as file:
        np.save(file, np.array([keys, values], dtype=np.int32))
    return path


def test_the_jps_database(tmp_path: Path, deals: SolvedDeals):
    contents = [
        json.dumps({"pbn": f'[Deal "{deal_text(owner)}"]', "ddt": tricks.tolist()})
        for owner, tricks in zip(deals.owner, deals.tricks, strict=True)
    ]
    made = _import(_jps(tmp_path / "dda.db", contents), tmp_path / "a.deals")
    assert (made.deals, made.solved) == (100, 0)
    found = read_solved_deals(tmp_path / "a.deals")
    assert (found.owner == deals.owner).all()
    assert (found.tricks == deals.tricks).all()


def test_the_pgx_array(tmp_path: Path, deals: SolvedDeals):
    _import(_pgx(tmp_path / "dds.npy", deals), tmp_path / "a.deals")
    found = read_solved_deals(tmp_path / "a.deals")
    assert (found.owner == deals.owner).all()
    assert (found.tricks == deals.tricks).all()


def test_digits_of_pgx():
    # The example in pgx's own documentation of its table: 4160 is 0 1 0 4 0, 904605 13 12 13 9 13.
    assert [int(digit, 16) for digit in f"{4160:05x}{904605:05x}"] == [
        0,
        1,
        0,
        4,
        0,
        13,
        12,
        13,
        9,
        13,
    ]


def test_text_with_and_without_tables(
    tmp_path: Path, deals: SolvedDeals, monkeypatch: pytest.MonkeyPatch
):
    solved: list[int] = []

    def known(owner: np.ndarray) -> np.ndarray:
        solved.append(len(owner))
        rows = [int(np.flatnonzero((deals.owner == row).all(1))[0]) for row in owner]
        return deals.tricks[rows]

    monkeypatch.setattr(importers, "solve_tables", known)
    games = [f'[Board "{n}"]\n[Deal "{deal_text(o)}"]\n' for n, o in enumerate(deals.owner[:50], 1)]
    by_declarer = deals.tricks[1].reshape(5, 4)[::-1, [0, 2, 1, 3]].T.ravel()
    games[1] += f'[DoubleDummyTricks "{"".join(f"{t:x}" for t in by_declarer)}"]\n'
    games += [games[1], '[Deal "N:AK"]\n']  # the other room; a broken one
    (tmp_path / "a.pbn").write_text("\n".join(games))
    found = read_foreign_deals(tmp_path / "a.pbn")
    assert len(found.problems) == 1
    assert int(found.solved.sum()) == 1
    made = _import(tmp_path / "a.pbn", tmp_path / "a.deals")
    assert made.deals == 50
    assert solved == [39, 10]
    back = read_solved_deals(tmp_path / "a.deals")
    assert (back.owner == deals.owner[:50]).all()
    assert (back.tricks == deals.tricks[:50]).all()


def test_solving_goes_on_where_it_stopped(
    tmp_path: Path, deals: SolvedDeals, monkeypatch: pytest.MonkeyPatch
):
    games = "\n\n".join(f'[Deal "{deal_text(owner)}"]' for owner in deals.owner)
    (tmp_path / "a.pbn").write_text(games)
    calls: list[int] = []

    def stopped(owner: np.ndarray) -> np.ndarray:
        calls.append(len(owner))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return np.full((len(owner), 20), 6, dtype=np.uint8)

    monkeypatch.setattr(importers, "solve_tables", stopped)
    with pytest.raises(Interrupted, match="40 of 100 deals"):
        _import(tmp_path / "a.pbn", tmp_path / "a.deals")
    assert _import(tmp_path / "a.pbn", tmp_path / "a.deals").solved == 60
    (tmp_path / "b.pbn").write_text(f'[Deal "{DEAL}"]')
    with pytest.raises(UsageError, match="is there and holds other deals"):
        _import(tmp_path / "b.pbn", tmp_path / "a.deals")


def test_a_file_of_ours_is_taken_once(tmp_path: Path):
    sample = read_foreign_deals("sample:random-10k")
    for _ in range(2):  # the second time there is nothing to do
        made = import_deals(
            sample, tmp_path / "a", executor=SerialExecutor(), progress=SilentProgress()
        )
        assert made.deals == 10_000
    assert len(read_foreign_deals(tmp_path / "a").owner) == 10_000


def test_a_cut_import_is_mended_by_the_same_import(tmp_path: Path, deals: SolvedDeals):
    foreign = importers.ForeignDeals(deals.owner, deals.tricks)
    path = tmp_path / "a.deals"

    def again(what: importers.ForeignDeals):
        return import_deals(what, path, executor=SerialExecutor(), progress=SilentProgress())

    again(foreign)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert len(read_solved_deals(path)) < len(deals.owner)
    again(foreign)
    assert path.read_bytes() == whole
    wrong = deals.tricks.copy()
    wrong[0] = (wrong[0] + 1) % 14
    with pytest.raises(UsageError, match="holds other deals"):
        again(importers.ForeignDeals(deals.owner, wrong))


def test_tables_may_be_ignored(deals: SolvedDeals):
    bare = importers.ForeignDeals(deals.owner, deals.tricks).without_tables()
    assert not bare.solved.any()
    assert (bare.owner == deals.owner).all()


def test_a_table_in_another_order_is_noticed(deals: SolvedDeals):
    pytest.importorskip("endplay")
    few = deals.take(np.arange(3))
    check_tables(importers.ForeignDeals(few.owner, few.tricks), 1)
    other = few.tricks.reshape(-1, 5, 4)[:, ::-1].reshape(-1, 20)
    with pytest.raises(CheckFailed, match="1 of 1 tables are not what the solver says"):
        check_tables(importers.ForeignDeals(few.owner, other), 1)


def test_broken_sources(tmp_path: Path, deals: SolvedDeals):
    cases = {
        "record 1: not a solved deal": _jps(tmp_path / "1.db", ['{"pbn": "N:AK"}']),
        "record 2: not a solved deal": _jps(
            tmp_path / "2.db",
            [json.dumps({"pbn": DEAL, "ddt": [6] * n}) for n in (20, 19)],
        ),
        "has no records": _jps(tmp_path / "3.db", []),
        "is not a database of deals": tmp_path / "4.db",
        "is not a whole npy file": tmp_path / "5.npy",
        r"holds float64 \[3\]; accepted": tmp_path / "6.npy",
        "holds numbers that are no deals": tmp_path / "7.npy",
        r"deal 1 gives the seats N E S W \[52, 0, 0, 0\]": tmp_path / "8.npy",
        "the table of deal 1 has 14 tricks": tmp_path / "9.npy",
    }
    (tmp_path / "4.db").write_bytes(b"SQLite format 3\0 and no more")
    (tmp_path / "5.npy").write_bytes(_pgx(tmp_path / "x.npy", deals).read_bytes()[:-9])
    np.save(tmp_path / "6.npy", np.zeros(3))
    np.save(tmp_path / "7.npy", np.full((2, 1, 4), -1))
    np.save(tmp_path / "8.npy", np.zeros((2, 1, 4), dtype=np.int64))
    high = SolvedDeals(deals.owner[:1], np.full((1, 20), 14, dtype=np.uint8))
    _pgx(tmp_path / "9.npy", high)
    for message, path in cases.items():
        with pytest.raises(DataError, match=message):
            read_foreign_deals(path)
