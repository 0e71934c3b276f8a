from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bridge.boards import DEAL, board_records
from trine.bridge.board_record import BoardRecord, board_number
from trine.bridge.calls import parse_call
from trine.bridge.cards import format_deal
from trine.bridge.records import (
    parse_records,
    parse_viewer_url,
    read_records,
    viewer_url,
    write_records,
)
from trine.core.errors import DataError, UsageError

HANDS = "SQ65HAJ9DAK5CQT83,SKJT8H7DJT93CAJ95,SA743HK8632D74C42,S92HQT54DQ862CK76"


@given(board_records(plain=True))
def test_boards_survive_a_viewer_url(board: BoardRecord):
    url = viewer_url(board)
    assert urlsplit(url).path.endswith("handviewer.html")
    assert " " not in url and "|" not in url
    assert parse_records(url).boards == (board,)


def test_a_viewer_url_of_hands():
    south, west, north, east = HANDS.lower().split(",")
    url = f"http://x.example/handviewer.html?n={north}&e={east}&s={south}&w={west}&d=s&v=b&b=3"
    (board,) = parse_viewer_url(url + "&a=1N(15-17)P2CD2HP4HPPP").boards
    assert format_deal(board.deal) == DEAL
    assert (board.dealer, int(board.vulnerability), board.board) == (2, 3, "3")
    expected = [int(parse_call(word)) for word in "1N P 2C X 2H P 4H P P P".split()]
    assert list(board.calls) == expected
    assert parse_viewer_url(url.replace(f"&e={east}", "")).boards[0].deal == board.deal


@pytest.mark.parametrize(
    "text",
    [
        f'[Deal "{DEAL}"]',
        f"\n  md|3{HANDS}|",
        "https://x.example/v.html?lin=" + quote(f"md|3{HANDS}|"),
        quote(f"md|3{HANDS}|"),
    ],
    ids=["pbn", "lin", "url", "piece of a url"],
)
def test_the_notation_is_found_out(text: str):
    (board,) = parse_records(text).boards
    assert format_deal(board.deal) == DEAL


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text is empty; accepted: PBN, LIN or a viewer URL"),
        ("hello there", "in no notation known here: it begins 'hello there'"),
        ("https://x.example/?a=1", "no deal in 'https://x.example/"),
        ("https://[x/?lin=md|", "not a URL"),
    ],
    ids=["empty", "other", "no deal", "no url"],
)
def test_other_texts(text: str, message: str):
    with pytest.raises(DataError, match=message.replace("?", r"\?").replace("[", r"\[")):
        parse_records(text)


@pytest.mark.parametrize("suffix", [".pbn", ".lin", ".PBN"])
def test_files(tmp_path: Path, suffix: str):
    boards = parse_records(f"md|3{HANDS}|ah|Board 7|mb|1C!|an|über|").boards
    path = write_records(tmp_path / f"a{suffix}", boards)
    assert read_records(path).boards[0].calls == boards[0].calls
    assert read_records(str(path)).boards[0].explanations == {0: "über"}
    path.write_bytes(path.read_bytes().decode().replace("\n", "\r\n").encode("utf-16"))
    assert read_records(path).boards[0].deal == boards[0].deal


def test_a_suffix_that_says_nothing(tmp_path: Path):
    with pytest.raises(UsageError, match=r"accepted: \.pbn, \.lin"):
        write_records(tmp_path / "a.txt", [])


def test_numbers_of_boards():
    names = ["12", "Board 12", "o12", "", "#", "0", "99999999", "4 of 32"]
    assert [board_number(name) for name in names] == [12, 12, 12, None, None, None, None, 32]


@given(st.text(max_size=60))
def test_any_text_is_boards_or_a_clear_error(text: str):
    try:
        parse_records(text)
    except DataError:
        pass
