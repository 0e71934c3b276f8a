"""`trine bridge auction` through the real command line, and the library behind it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bridge.boards import DEAL
from tests.bridge.scripted import Scripted
from tests.conftest import Command
from trine.bridge.auction import Auction
from trine.bridge.auction_report import (
    bid_boards,
    choose_boards,
    finished_boards,
    judge,
    read_boards,
)
from trine.bridge.board_record import BoardRecord, Records
from trine.bridge.board_text import auction_text, board_text, hands_text, outcome_text
from trine.bridge.bots.base import Observations
from trine.bridge.bots.passing import PassBot
from trine.bridge.bots.random_bot import RandomBot
from trine.bridge.calls import PASS, parse_auction, parse_call
from trine.bridge.cards import Vulnerability, parse_deal
from trine.bridge.explain import high_card_points
from trine.bridge.meanings import explain_by_sampling
from trine.bridge.records import read_records, viewer_url, write_records
from trine.core.errors import DataError, UsageError

pytest.importorskip("endplay")

# North-South make ten tricks in spades, nine in notrump; nobody else makes anything.
TRICKS = tuple([6] * 12 + [10, 3, 10, 3] + [9, 4, 9, 4])


def board(calls: str = "", **more: Any) -> BoardRecord:
    plain = BoardRecord(
        deal=parse_deal(DEAL),
        dealer=3,
        vulnerability=Vulnerability.EW,
        calls=parse_auction(calls),
        board="4",
        tricks=TRICKS,
    )
    return replace(plain, **more)


class Explaining(Scripted):
    """What it sees must be its own hand: it tells how many cards that has."""

    def explain(self, observations: Observations) -> list[str]:
        calls, held = self.calls(observations), observations.hands.sum(1)
        return [f"{n} cards" if call != 0 else "" for call, n in zip(calls, held, strict=True)]


PBN = f"""[Board "3"]
[Dealer "S"]
[Vulnerable "EW"]
[Deal "{DEAL}"]
[Auction "S"]
1C Pass 1H Pass
1NT Pass 3NT =1= Pass
Pass Pass
[Note "1:to play"]
[DoubleDummyTricks "{"9" * 20}"]

[Board "7"]
[Dealer "N"]
[Vulnerable "None"]
[Deal "{DEAL}"]
[Auction "N"]
1C Pass *
[DoubleDummyTricks "{"9" * 20}"]

[Board "8"]
[Deal "N:AKQ.. - - -"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "boards.pbn"
    path.write_text(PBN, encoding="utf-8")
    return path


def test_a_board_is_judged_by_its_table_and_par():
    judged = judge(board("P 1S P 4S P P P"))
    assert (judged.tricks, judged.points, judged.par.score, judged.imps) == (10, 420, 420, 0)
    assert (judged.board.taken, judged.board.par) == (10, 420)
    judged = judge(board("P 1S P 2S P P P"))
    assert (judged.tricks, judged.points) == (10, 170)
    assert judged.imps == -6  # 250 points (Law 78B)
    # What was taken at the table stays; the score is that of double-dummy play.
    judged = judge(board("P 1S P 2S P P P", taken=7))
    assert (judged.board.taken, judged.tricks, judged.points) == (7, 10, 170)
    passed = judge(board("P P P P"))
    assert (passed.tricks, passed.points, passed.board.taken) == (None, 0, None)
    # East-West are vulnerable: 2H by West, six tricks, two down.
    assert judge(board("2H P P P")).points == 200


def test_bots_bid_in_their_own_seats_and_their_explanations_are_alerts():
    (made,) = bid_boards([board()], (Explaining("P 1S P 4S"), PassBot()))
    assert made.calls == parse_auction("P 1S P 4S P P P")
    assert made.explanations == {1: "13 cards", 3: "13 cards"}
    assert made.names == ("scripted", "pass", "scripted", "pass")
    (both,) = bid_boards([board()], (Explaining("1C P 1H"), Explaining("1C P 1H")))
    assert both.calls == parse_auction("1C P 1H P P P")
    assert both.explanations == {2: "13 cards"}  # of the opening there is nothing to say


def test_meanings_are_sampled_where_a_bot_does_not_give_them():
    class Opener:
        """Opens 1NT with 15 points and more, whatever the hand, and passes otherwise."""

        name = "opener"

        def calls(self, observations: Observations) -> np.ndarray:
            strong = high_card_points(observations.hands) >= 15
            return np.where(strong & (observations.public.bid < 0), parse_call("1NT"), PASS)

    south = "N:T743.T8632.74.42 92.Q954.Q862.KT6 AK65.AKJ.AK5.Q83 QJ8.7.JT93.AJ975"
    silent = (Opener(), Opener())
    (made,) = bid_boards([board(deal=parse_deal(south))], silent)
    assert made.calls == parse_auction("P P P 1NT P P P") and not made.explanations
    told = explain_by_sampling(made, silent, count=128)
    assert told.calls == made.calls
    assert list(told.explanations) == [3]
    said = re.match(r"(\d+)-(\d+) HCP", told.explanations[3])
    assert said is not None
    low, high = said.groups()
    assert low == "15" and int(high) <= 25
    # A bot that explains its calls is taken at its word.
    talking = (Explaining("P P P 1NT"), PassBot())
    (made,) = bid_boards([board(dealer=1)], talking)
    assert explain_by_sampling(made, talking, count=64) == made


def test_boards_together_are_the_boards_one_by_one():
    boards = [replace(read_boards(f"random:{seed}").boards[0], tricks=TRICKS) for seed in range(6)]
    together = bid_boards(boards, (RandomBot(1), RandomBot(2)))
    for one, made in zip(boards, together, strict=True):
        assert bid_boards([one], (RandomBot(1), RandomBot(2))) == [made]
        assert Auction(one.dealer, made.calls).over
        assert made.dealer == one.dealer and made.deal == one.deal


def test_the_picture():
    judged = judge(board("1C P 1H P P P", explanations={0: "strong", 1: ""}))
    assert hands_text(judged.board).splitlines() == [
        "Board 4: dealer W, E/W vulnerable",
        "",
        "              S A743",
        "              H K8632",
        "              D 74",
        "              C 42",
        "S KJT8                      S 92",
        "H 7                         H QT54",
        "D JT93                      D Q862",
        "C AJ95                      C K76",
        "              S Q65",
        "              H AJ9",
        "              D AK5",
        "              C QT83",
    ]
    assert auction_text(judged.board).splitlines() == [
        "W       N       E       S",
        "1C[1]   P!      1H      P",
        "P       P",
        "",
        "[1] 1C by W: strong",
    ]
    assert outcome_text(judged).splitlines() == [
        "1H by E, 6 tricks double-dummy (down 1): N/S +100",
        "par: N/S +420 (4S NS); against it -8 IMPs",
    ]
    assert viewer_url(judged.board) in board_text(judged)


def test_the_first_row_begins_below_the_dealer():
    for dealer, row in ((3, "1C"), (0, "        1C"), (1, " " * 16 + "1C"), (2, " " * 24 + "1C")):
        text = auction_text(board("1C P P P", dealer=dealer, names=("a", "b", "a", "b")))
        assert text.splitlines()[3].startswith(row), dealer
        assert text.splitlines()[0] == "W b, N a, E b, S a"
    assert auction_text(board("1C", names=("a",) * 4)).startswith("bid by a\n")


def test_random_boards_follow_their_seed():
    first, again, other = (read_boards(f"random:{seed}").boards[0] for seed in (3, 3, 4))
    assert first == again and first.deal != other.deal
    with pytest.raises(UsageError, match=r"source 'random:x'; accepted: random:SEED"):
        read_boards("random:x")
    with pytest.raises(UsageError, match="source 'random'"):
        read_boards("random")


def test_boards_are_chosen_by_number():
    records = Records(
        (board(), board(board="Board 12"), board(board="")), ("board 9 (line 3): bad",)
    )
    assert [b.board for b in choose_boards(records, "12", "x")] == ["Board 12"]
    assert [b.board for b in choose_boards(records, "board 12", "x")] == ["Board 12"]
    assert len(choose_boards(records, None, "x")) == 3
    with pytest.raises(UsageError, match=r"no board '5' in x; accepted: 4, Board 12, \(without"):
        choose_boards(records, "5", "x")
    with pytest.raises(DataError, match=r"x: board 9 \(line 3\): bad"):
        choose_boards(records, "9", "x")


def test_unfinished_auctions_are_told():
    whole, problems = finished_boards([board("1C P P P"), board("1C"), board("", board="5")])
    assert len(whole) == 1
    assert problems == [
        "the auction of board 4 stops after 1 calls",
        "the auction of board 5 is not told",
    ]
    with pytest.raises(DataError, match=r"of board 4 stops after 1 calls; let a bot bid it: --bot"):
        finished_boards([board("1C")])


@pytest.mark.parametrize("suffix", [".pbn", ".lin"])
def test_what_is_written_reads_back_to_the_same_auction(tmp_path: Path, suffix: str):
    made = [judge(b).board for b in bid_boards([board()], (Scripted("P 1S P 4S"), PassBot()))]
    (back,) = read_records(write_records(tmp_path / f"a{suffix}", made)).boards
    for name in ("deal", "dealer", "vulnerability", "calls", "explanations", "taken", "names"):
        assert getattr(back, name) == getattr(made[0], name), name
    if suffix == ".pbn":
        assert (back.par, back.tricks) == (420, TRICKS)


def test_the_command_bids_all_boards_of_a_file(trine: Command, file: Path, tmp_path: Path):
    line = ("bridge", "auction", str(file), "--bot", "random", "--opponents", "pass")
    done = trine(*line, "--out", "made.lin", "--json")
    assert done.returncode == 0, done.stderr
    assert "left out: board 8" in done.stderr
    found = json.loads(done.stdout)
    assert [each["board"] for each in found["boards"]] == ["3", "7"]
    assert len(found["left_out"]) == 1
    assert sum(each["imps_against_par"] for each in found["boards"]) == found["imps_against_par"]
    back = read_records(tmp_path / "made.lin").boards
    for each, record in zip(found["boards"], back, strict=True):
        assert parse_auction(" ".join(each["calls"])) == record.calls
        assert {"contract", "declarer", "tricks", "points", "par", "par_contracts", "url"} <= set(
            each
        )
        assert read_records(each["url"]).boards[0].calls == record.calls
    shown = trine(*line)
    assert shown.stdout.count("against it") == 2
    assert "2 boards: N/S" in shown.stdout


def test_the_command_shows_what_a_file_tells(trine: Command, file: Path):
    done = trine("bridge", "auction", str(file), "--as-bid")
    assert done.returncode == 0, done.stderr
    assert "3NT[1]" in done.stdout and "[1] 3NT by N: to play" in done.stdout
    assert "3NT by S, 9 tricks double-dummy (made): N/S +400" in done.stdout
    assert "left out: the auction of board 7 stops after 2 calls" in done.stderr
    one = trine("bridge", "auction", str(file), "--as-bid", "--board", "7")
    assert one.returncode == 3
    assert "the auction of board 7 stops after 2 calls; let a bot bid it" in one.stderr


def test_a_url_and_a_random_board_are_solved(trine: Command):
    lin = "md|3SQ65HAJ9DAK5CQT83,SKJT8H7DJT93CAJ95,SA743HK8632D74C42,|sv|o|mb|1N|mb|p|mb|p|mb|p|"
    url = "https://www.bridgebase.com/tools/handviewer.html?lin=" + lin.replace("|", "%7C")
    done = trine("bridge", "auction", url, "--as-bid", "--json")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["boards"]
    assert found["deal"] == DEAL
    assert len(found["double_dummy"]) == 20
    assert found["contract"] == "1NT" and found["declarer"] == "N"
    done = trine("bridge", "auction", "random:1", "--bot", "pass", "--json")
    (found,) = json.loads(done.stdout)["boards"]
    assert (found["calls"], found["contract"], found["points"]) == (["P"] * 4, None, 0)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nothing.pbn", "--bot", "pass"), 3, "no file nothing.pbn"),
        (("boards.pbn", "--bot", "nobody"), 2, "bot 'nobody'; accepted: pass, random"),
        (("boards.pbn", "--bot", "pass", "--board", "5"), 2,
         "no board '5' in boards.pbn; accepted: 3, 7"),
        (("boards.pbn", "--bot", "pass", "--board", "8"), 3, "boards.pbn: board 8 (line"),
        (("boards.pbn", "--bot", "pass", "--out", "a.txt"), 2, "cannot tell the notation of a.txt"),
        (("boards.pbn", "--bot", "pass", "--as-bid"), 2, "both --as-bid and a bot"),
        (("boards.pbn", "--explain", "--as-bid"), 2, "both --as-bid and --explain"),
        (("cut.pbn", "--bot", "pass"), 3, "cut.pbn: game 1 (line 1)"),
        (("hands.lin", "--bot", "pass"), 3, "the hands of N and E are missing"),
        (("random:", "--bot", "pass"), 2, "source 'random:'; accepted: random:SEED"),
        (("picture.png", "--bot", "pass"), 3, "picture.png is not a text file"),
        (("https://example.org/?lin=", "--bot", "pass"), 3, "no deal in 'https://example.org"),
    ],
    ids=["file", "bot", "board", "broken board", "suffix", "both", "explain", "cut", "hands",
         "seed", "picture", "url"],
)  # fmt: skip
def test_mistakes_are_one_line(
    trine: Command, file: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
):
    (tmp_path / "cut.pbn").write_text(PBN[12:70], encoding="utf-8")
    (tmp_path / "hands.lin").write_text("md|1SQ65HAJ9DAK5CQT83,SKJT8H7DJT93CAJ95,,|", "utf-8")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\0\0\0\rIHDR")
    done = trine("bridge", "auction", *arguments)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
