"""The boards of a match from every kind of file; what has no table is solved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.bridge.boards import deal_text
from trine.bridge import match_deals
from trine.bridge.deal_generation import block_owner
from trine.bridge.deals import SolvedDeals, pack_deals, read_solved_deals
from trine.bridge.deals_file import DealsFile, Header, write_deals
from trine.bridge.evaluation_sets import evaluation_set
from trine.bridge.match import Boards
from trine.bridge.match_deals import match_boards, read_match_deals
from trine.bridge.symmetry import is_evaluation
from trine.core.errors import CheckFailed, DataError, UsageError
from trine.core.executors import SerialExecutor
from trine.core.progress import EventProgress, ProgressEvent, SilentProgress


@pytest.fixture(scope="module")
def deals() -> SolvedDeals:
    return read_solved_deals("sample:random-10k").take(np.arange(30))


@pytest.fixture
def solver(deals: SolvedDeals, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A solver that knows the deals; the numbers of deals that it was asked for."""
    asked: list[int] = []

    def known(owner: np.ndarray) -> np.ndarray:
        asked.append(len(owner))
        rows = [int(np.flatnonzero((deals.owner == row).all(1))[0]) for row in owner]
        return deals.tricks[rows]

    monkeypatch.setattr(match_deals, "solve_tables", known)
    return asked


def _boards(source: Path | str, count: int | None = None, **more: object) -> Boards:
    return match_boards(
        read_match_deals(str(source)), count, 5,
        executor=SerialExecutor(), progress=SilentProgress(), **more,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip


def _pbn(path: Path, deals: SolvedDeals, solved: range = range(0)) -> Path:
    games = []
    for number, (owner, tricks) in enumerate(zip(deals.owner, deals.tricks, strict=True)):
        lines = [f'[Board "{number + 1}"]', '[Dealer "W"]', '[Vulnerable "EW"]',
                 f'[Deal "{deal_text(owner)}"]']  # fmt: skip
        if number in solved:
            by_declarer = tricks.reshape(5, 4)[::-1, [0, 2, 1, 3]].T.ravel()
            lines.append(f'[DoubleDummyTricks "{"".join(f"{t:x}" for t in by_declarer)}"]')
        games.append("\n".join(lines))
    path.write_text("\n\n".join(games))
    return path


def test_solved_files_are_the_same_boards(tmp_path: Path, deals: SolvedDeals):
    records = pack_deals(deals.owner, deals.tricks)
    write_deals(tmp_path / "a.deals", records)
    np.savez(tmp_path / "a.npz", owner_packed=records[:, :13], tricks_packed=records[:, 13:])
    sample = _boards("sample:random-10k", 30)
    for name in ("a.deals", "a.npz"):
        found = _boards(tmp_path / name, 30)
        assert read_match_deals(str(tmp_path / name)).name == name
        for part in ("owner", "tricks", "dealer", "vulnerability", "deal"):
            assert (getattr(found, part) == getattr(sample, part)).all()
    assert (sample.tricks == deals.tricks).all()
    assert len(np.unique(sample.dealer * 4 + sample.vulnerability)) > 8


def test_a_text_tells_dealer_and_vulnerability(
    tmp_path: Path, deals: SolvedDeals, solver: list[int]
):
    found = _boards(_pbn(tmp_path / "a.pbn", deals, range(30)))
    assert solver == []
    assert (found.owner == deals.owner).all() and (found.tricks == deals.tricks).all()
    assert (found.dealer == 3).all() and (found.vulnerability == 2).all()


def test_missing_tables_of_the_boards_that_are_played_are_solved(
    tmp_path: Path, deals: SolvedDeals, solver: list[int]
):
    source = read_match_deals(str(_pbn(tmp_path / "a.pbn", deals, range(4, 8))))
    events: list[ProgressEvent] = []
    said: list[str] = []
    found = match_boards(
        source, 20, 5, executor=SerialExecutor(), progress=EventProgress(events.append),
        say=said.append, say_every=0.0,
    )  # fmt: skip
    assert (found.tricks == deals.tricks[:20]).all()
    assert solver == [8, 8]
    assert (events[-1].done, events[-1].total) == (16, 16)
    assert said == [
        "16 of 20 deals have no double-dummy table; solving them",
        "8 of 16 deals solved", "16 of 16 deals solved",
    ]  # fmt: skip


def test_deals_that_come_again_keep_what_the_text_tells_once(
    tmp_path: Path, deals: SolvedDeals, solver: list[int]
):
    found = _boards(_pbn(tmp_path / "a.pbn", deals), 90, permute=True)
    assert (found.dealer[:30] == 3).all() and len(np.unique(found.dealer[30:])) == 4
    assert (found.deal == np.tile(np.arange(30), 3)).all()
    assert sum(solver) == 30


def test_both_rooms_are_one_board(tmp_path: Path, deals: SolvedDeals, solver: list[int]):
    path = _pbn(tmp_path / "a.pbn", deals)
    solved = _pbn(tmp_path / "b.pbn", deals, range(30)).read_text()
    path.write_text(path.read_text() + "\n\n" + solved + '\n\n[Deal "N:AK"]\n')
    source = read_match_deals(str(path))
    assert len(source) == 30 and len(source.problems) == 1
    assert (_boards(path).tricks == deals.tricks).all()
    assert solver == []


def test_a_named_set_is_known_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    chosen = evaluation_set("evaluation-500")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"no file evaluation-500\.deals here for the set"):
        read_match_deals("evaluation-500")
    header = Header(chosen.count, 40, chosen.seed, chosen.part)
    owner = np.concatenate([block_owner(n, seed=chosen.seed, part=chosen.part) for n in range(2)])
    records = pack_deals(owner, np.full((80, 20), 6, np.uint8))
    with DealsFile.create(Path("evaluation-500.deals"), header) as file:
        for block in range(2):
            file.write_block(block, records[40 * block : 40 * block + 40])
    for source in ("evaluation-500", "evaluation-500.deals"):
        found = read_match_deals(source)
        assert found.name == "80 of the 500 deals of evaluation-500"
        assert (found.owner == owner).all()


def test_more_boards_than_deals_are_refused_before_solving(
    tmp_path: Path, deals: SolvedDeals, solver: list[int]
):
    path = _pbn(tmp_path / "a.pbn", deals)
    with pytest.raises(UsageError, match="31 boards of 30 deals; accepted: 1 to 30") as caught:
        _boards(path, 31)
    assert "--permute-suits" in str(caught.value)
    assert solver == []
    assert len(_boards(path)) == 30


def test_what_is_no_deals_is_refused(tmp_path: Path):
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "empty.pbn").write_text("")
    for name, message in (
        ("none.deals", "none.deals"), ("a.txt", "in no notation known here"),
        ("empty.pbn", "is empty"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=message):
            read_match_deals(str(tmp_path / name))


def test_the_command_solves_a_pbn(trine, tmp_path: Path, deals: SolvedDeals):
    pytest.importorskip("endplay")
    _pbn(tmp_path / "two.pbn", deals.take(np.arange(2)))
    done = trine("bridge", "match", "random", "pass", "--deals", "two.pbn", "--workers", "1",
                 "--swings", "s.pbn")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 of 2 deals have no double-dummy table; solving them" in done.stderr
    assert "over 2 boards" in done.stdout
    from trine.bridge.records import read_records

    assert read_records(tmp_path / "s.pbn").boards[0].tricks in {
        tuple(row) for row in deals.tricks[:2].tolist()
    }


def test_tables_of_others_are_not_believed_unseen(tmp_path: Path, deals: SolvedDeals):
    pytest.importorskip("endplay")
    two = deals.take(np.arange(2))
    right = _pbn(tmp_path / "right.pbn", two, range(2))
    assert (read_match_deals(str(right)).tricks == two.tricks).all()
    wrong = SolvedDeals(two.owner, np.full_like(two.tricks, 13))
    with pytest.raises(CheckFailed, match=r"2 of 2 tables are not what the solver says.*ignore-t"):
        read_match_deals(str(_pbn(tmp_path / "wrong.pbn", wrong, range(2))))


def test_where_nothing_can_be_written_nothing_is_played(trine, tmp_path: Path):
    (tmp_path / "file").write_text("")
    for option, name in (("--swings", "file/s.pbn"), ("--report", "file/r.html")):
        done = trine("bridge", "match", "random", "pass", "--boards", "20", option, name)
        assert done.returncode == 3
        assert "cannot write" in done.stderr
        assert done.stdout == ""


def test_the_commands_say_what_may_have_been_trained_on(trine, tmp_path: Path):
    sample = read_solved_deals("sample:random-10k")
    held = sample.take(np.flatnonzero(is_evaluation(sample.owner))[:20])
    write_deals(tmp_path / "held.deals", pack_deals(held.owner, held.tricks))
    for command in (("match", "random", "pass"), ("audit", "random")):
        for deals, clean in (("sample:random-10k", False), (str(tmp_path / "held.deals"), True)):
            ran = trine("bridge", *command, "--boards", "20", "--deals", deals, "--json")
            assert json.loads(ran.stdout)["never_trained_on"] is clean
            assert ("of deals that a training may use" in ran.stderr) is not clean
