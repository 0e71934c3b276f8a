from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bridge.boards import DEAL, board_records
from trine.bridge.board_record import BoardRecord
from trine.bridge.calls import parse_call
from trine.bridge.cards import Vulnerability, format_deal, parse_deal
from trine.bridge.lin import format_lin, lin_of_board, parse_lin

HANDS = "SQ65HAJ9DAK5CQT83,SKJT8H7DJT93CAJ95,SA743HK8632D74C42,S92HQT54DQ862CK76"


def _calls(text: str) -> tuple[int, ...]:
    return tuple(int(parse_call(word)) for word in text.split())


def _only(text: str) -> BoardRecord:
    (board,) = parse_lin(text).require("the text")
    return board


@given(st.lists(board_records(plain=True), max_size=3))
def test_boards_survive_lin(boards: list[BoardRecord]):
    found = parse_lin("".join(f"{lin_of_board(board)}pg||\n" for board in boards))
    assert found.problems == ()
    assert list(found.boards) == boards


def test_a_board_as_the_server_writes_it():
    text = (
        f"pn|Sue,Will,Ann,Ed|st||md|1{HANDS}|rh||ah|Board 3|sv|b|mb|1N!|an|15-17|mb|p|mb|2C|"
        "mb|d|mb|2H|mb|p|mb|4H|mb|p|mb|p|mb|p|pc|SA|pc|S2|mc|9|pg||"
    )
    board = _only(text)
    assert format_deal(board.deal) == DEAL
    assert (board.dealer, int(board.vulnerability), board.board) == (2, 3, "3")
    assert board.names == ("Ann", "Ed", "Sue", "Will")
    assert board.calls == _calls("1N P 2C X 2H P 4H P P P")
    assert board.explanations == {0: "15-17"}
    assert board.taken == 9
    for ending in ("\n", "\r\n"):  # broken anywhere
        lines = ending.join(text[start : start + 30] for start in range(0, len(text), 30))
        assert _only(lines) == board
    without_east = text.replace("," + HANDS.split(",")[3], "")
    assert _only(without_east) == board
    assert _only(without_east.replace("|rh|", ",|rh|")) == board
    run_together = "mb|1N!|an|15-17|mb|p2Cd2Hp4Hppp|"
    assert _only(text[: text.index("mb|")] + run_together + "mc|9|") == board


def test_a_match_of_two_rooms():
    text = (
        "vg|World Final,Segment 1,I,1,16,Reds,0,Blues,0|\nrs|4HN=,3NS-1|\n"
        "pn|s,w,n,e,S,W,N,E|\npg||\n"
        f"qx|o7|\nmd|3{HANDS}|sv|n|mb|p|mb|p|mb|p|mb|p|pg||\n"
        f"qx|c7|\nmd|3{HANDS}|sv|n|mb|1C|pg||\n"
    )
    open_room, closed_room = parse_lin(text).boards
    assert open_room.board == closed_room.board == "7"
    assert open_room.tags == {"Event": "World Final", "Room": "Open"}
    assert closed_room.tags == {"Event": "World Final", "Room": "Closed"}
    assert open_room.names == ("n", "e", "s", "w")
    assert closed_room.names == ("N", "E", "S", "W")
    assert open_room.dealer == 0
    assert int(closed_room.vulnerability) == 1
    assert closed_room.calls == _calls("1C")


def test_what_is_written_keeps_number_and_room():
    text = f"qx|o7|md|3{HANDS}|sv|n|mb|p|pg||\nqx|c7|md|3{HANDS}|sv|n|mb|1C|pg||\n"
    boards = parse_lin(text).boards
    again = parse_lin(format_lin(boards)).boards
    assert [board.board for board in again] == ["7", "7"]
    assert [board.tags["Room"] for board in again] == ["Open", "Closed"]
    unnumbered = [replace(board, board="") for board in boards]
    assert [board.board for board in parse_lin(format_lin(unnumbered)).boards] == ["1", "2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("md|9SAK|", "md '9SAK'; accepted: the dealer's digit 1 to 4, then hands"),
        ("md|1SAKQ,,HAKQ|", "the hands of E and W are missing"),
        (f"md|1{HANDS},SA|", "md with 5 hands"),
        (f"md|1{HANDS.replace('SQ65', 'SQ6')}|", "board no. 1: "),
        (f"md|1{HANDS.replace('SQ65', 'SQ6')}|".replace(",S92HQT54DQ862CK76", ""), "14 cards"),
        (f"md|1{HANDS.replace('SQ65', 'SQ61')}|", "md hand"),
        (f"md|1{HANDS}|sv|q|", "sv 'q'; accepted: o, n, e or b"),
        (f"md|1{HANDS}|mb|2C|mb|1C|", "1C"),
        (f"md|1{HANDS}|ah|Board 5|mb|frog|", "board 5: "),
    ],
    ids=[
        "dealer", "two hidden", "five", "12 cards", "fourth", "no rank", "vulnerability", "too low",
        "no call",
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_and_the_rest_is_kept(text: str, message: str):
    found = parse_lin(f"{text}pg||\nmd|3{HANDS}|ah|Board 9|")
    assert [board.board for board in found.boards] == ["9"]
    (problem,) = found.problems
    assert message in problem


def test_endplay_reads_what_we_write():
    pytest.importorskip("endplay")
    from endplay.parsers import lin as theirs

    board = BoardRecord(
        deal=parse_deal(DEAL),
        dealer=3,
        vulnerability=Vulnerability.parse("EW"),
        calls=_calls("1N X P P P"),
        board="12",
        names=("Ann", "Ed", "Sue", "Will"),
        explanations={0: "15-17"},
    )
    (read,) = theirs.loads(format_lin([board]))
    assert read.deal is not None
    assert read.dealer is not None
    assert read.vul is not None
    read.deal.first = read.dealer
    back = parse_deal(read.deal.to_pbn())
    assert back == board.deal
    assert int(read.dealer) == 3
    assert read.vul.name.lower() == "ew"
    assert len(read.auction) == 5
    again = _only(theirs.dumps([read]))
    assert (again.deal, again.calls, again.dealer) == (board.deal, board.calls, board.dealer)
    assert again.explanations == board.explanations


@given(st.text(alphabet="|mdsvbanqxpo1234SHDC,AKQJT98765!\n ", max_size=80))
def test_any_text_gives_boards_or_problems(text: str):
    for sample in (text, f"md|{text}|", f"md|1{HANDS}|mb|{text}|", f"md|1{HANDS}|{text}"):
        for board in parse_lin(sample).boards:
            assert board.auction.legal() or board.auction.over
