import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bridge.boards import DEAL, board_records
from trine.bridge.board_record import BoardRecord
from trine.bridge.calls import DOUBLE, PASS, parse_auction, parse_call
from trine.bridge.cards import Vulnerability, format_deal, parse_deal
from trine.bridge.pbn import format_pbn, parse_pbn
from trine.core.errors import DataError, UserError

HANDS = DEAL.removeprefix("N:").split()


def _only(text: str) -> BoardRecord:
    (board,) = parse_pbn(text).require("the text")
    return board


def _calls(text: str) -> tuple[int, ...]:
    return tuple(int(parse_call(word)) for word in text.split())


@given(st.lists(board_records(), max_size=3))
def test_boards_survive_pbn(boards: list[BoardRecord]):
    found = parse_pbn(format_pbn(boards))
    assert found.problems == ()
    assert list(found.boards) == boards


GAME = f"""% PBN 2.1
[Event "Club evening"]
[Site "?"]
[Board "3"]
[North "Ann"]
[Dealer "S"]
[Vulnerable "All"]
[Deal "{DEAL}"]
[Scoring "IMP"]
[Auction "S"]
1NT =1= ; fifteen to seventeen
Pass 2C! =2= X$4 {{ a
comment
over lines }}
2H Pass 4H AP
[Note "1:15-17"]
[Note "2:Stayman"]
[Play "W"]
SA S2 S3 S4
[Note "1:about the play"]
[DoubleDummyTricks "76767565658a8a8a7a76"]
[OptimumScore "EW 420"]
"""


def test_a_game_with_everything():
    board = _only(GAME)
    assert format_deal(board.deal) == DEAL
    assert board.dealer == 2
    assert int(board.vulnerability) == 3
    assert board.calls == _calls("1N P 2C X 2H P 4H P P P")
    assert board.explanations == {0: "15-17", 2: "Stayman"}
    assert board.names == ("Ann", "", "", "")
    assert board.tags == {"Event": "Club evening", "Scoring": "IMP"}
    assert board.par == -420
    assert board.tricks is not None
    # North's five digits come first, notrump to clubs, then South's: 7 6 7 6 7, 5 6 5 6 5.
    table = np.reshape(board.tricks, (5, 4))
    assert table[::-1, 0].tolist() == [7, 6, 7, 6, 7]
    assert table[::-1, 2].tolist() == [5, 6, 5, 6, 5]
    contract = board.contract
    assert contract is not None
    # The hearts were South's first.
    assert (contract.level, contract.strain, contract.doubled, contract.declarer) == (4, 2, 0, 2)


def test_files_of_other_systems():
    plain = _only(GAME)
    assert _only(GAME.replace("\n", "\n ")) == plain
    assert _only(GAME.replace("[Event", "\n\n[Event")) == plain
    assert _only(GAME.replace("NT", "N").replace("Pass", "p").replace("X$4", "dbl")) == plain
    assert _only(GAME.replace('[Scoring "IMP"]', '[Scoring "IMP"]\n\n')) == plain


@pytest.mark.parametrize("first", range(4), ids=list("NESW"))
def test_a_deal_may_begin_with_any_seat(first: int):
    hands = [HANDS[(first + place) % 4] for place in range(4)]
    text = f'[Deal "{"NESW"[first]}:{" ".join(hands)}"]'
    assert format_deal(_only(text).deal) == DEAL
    hands[1] = "-"  # one hidden hand is what is left over
    assert format_deal(_only(f'[Deal "{"NESW"[first]}:{" ".join(hands)}"]').deal) == DEAL


def test_dealer_and_vulnerability_follow_from_the_board():
    board = _only(f'[Board "7"][Deal "{DEAL}"]')
    assert (board.dealer, int(board.vulnerability)) == (2, 3)
    board = _only(f'[Deal "{DEAL}"]')
    assert (board.dealer, int(board.vulnerability)) == (0, 0)


def test_a_dash_is_nobody_vulnerable():
    # PBN 2.1 writes None, Love or a dash; board 4 alone would be both.
    for nobody in ("None", "Love", "-"):
        board = _only(f'[Board "4"][Vulnerable "{nobody}"][Deal "{DEAL}"]')
        assert int(board.vulnerability) == 0
    assert int(_only(f'[Board "4"][Vulnerable "?"][Deal "{DEAL}"]').vulnerability) == 3


def test_a_word_that_is_no_seat():
    assert _only(f'[Dealer "south"][Deal "{DEAL}"]').dealer == 2
    found = parse_pbn(f'[Dealer "Nonsense"][Deal "{DEAL}"]')
    assert "dealer 'Nonsense'; accepted: N, E, S or W" in found.problems[0]


def test_seats_that_are_passed_over():
    board = _only(f'[Dealer "W"][Deal "{DEAL}"][Auction "S"]\n- 1D Pass 1H AP\n')
    assert board.dealer == 3
    assert board.calls == parse_auction("1D P 1H P P P")
    found = parse_pbn(f'[Dealer "S"][Deal "{DEAL}"][Auction "S"]\n1D - 1S 2H AP\n')
    assert "a seat is passed over after 1 calls" in found.problems[0]


def test_several_games_and_repetitions():
    text = f"""[Event "Final"]
[Room "Open"]
[Room "Open"]
[Board "1"]
[Deal "{DEAL}"]
[Auction "N"]
Pass Pass Pass Pass

[Event "#"]
[Room "Closed"]
[Board "#"]
[Deal "#"]
[Auction "N"]
1C *
[Event "##Next"]
[Board "2"]
[Deal "{DEAL}"]

[Board "3"]
[Deal "{DEAL}"]
"""
    boards = parse_pbn(text).boards
    assert [board.board for board in boards] == ["1", "1", "2", "3"]
    assert [board.tags["Event"] for board in boards] == ["Final", "Final", "Next", "Next"]
    assert [board.tags.get("Room") for board in boards] == ["Open", "Closed", None, None]
    assert boards[0].calls == (PASS,) * 4
    assert boards[0].contract is None
    assert boards[1].calls == _calls("1C")
    assert not boards[1].auction.over


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[Board "4"]', "board 4 (line 1): no Deal tag"),
        (f'\n[Deal "{DEAL[:-1]}"]', "game 1 (line 2): "),
        (f'[Deal "N:{HANDS[0]} {HANDS[0]} {HANDS[2]} {HANDS[3]}"]', "game 1 (line 1): "),
        (f'[Deal "N:{HANDS[0]} - - {HANDS[3]}"]', "the hands of E and S are missing"),
        ('[Deal "N:- - - -"]', "the hands of N, E, S and W are missing"),
        ('[Deal "AKQ"]', "Deal 'AKQ'; accepted: a seat, a colon and four hands"),
        (f'[Deal "X{DEAL}"]', "Deal 'X"),
        (f'[Vulnerable "maybe"][Deal "{DEAL}"]', "maybe"),
        (f'[Dealer "Q"][Deal "{DEAL}"]', "dealer 'Q'; accepted: N, E, S or W"),
        (f'[Dealer "N"][Deal "{DEAL}"][Auction "E"] 1C', "Dealer is N and Auction begins with E"),
        (f'[Deal "{DEAL}"][Auction "N"] 1C frog', "'frog' after 1 calls; accepted"),
        (f'[Deal "{DEAL}"][Auction "N"] 2C 1H', "1H"),
        (f'[Deal "{DEAL}"][Auction "N"] 1C Pass X', "X"),
        (f'[Deal "{DEAL}"][Auction "N"] P P P P P', "P"),
        (f'[Deal "{DEAL}"][DoubleDummyTricks "123"]', "accepted: 20 hexadecimal digits"),
        (f'[Deal "{DEAL}"][OptimumResultTable ""] N NT 14', "row 'N NT 14'"),
        (f'[Deal "{DEAL}"][OptimumResultTable ""] N NT 9', "with 1 rows; accepted: 20"),
    ],
    ids=[
        "no deal", "12 cards", "twice", "two hidden", "all hidden", "no deal at all", "first seat",
        "vulnerability", "dealer", "two dealers", "no call", "too low", "own bid", "after the end",
        "digits", "14 tricks", "one row",
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_and_the_rest_is_kept(text: str, message: str):
    found = parse_pbn(f'{text}\n\n[Event ""][Board "9"][Deal "{DEAL}"]')
    assert [board.board for board in found.boards] == ["9"]
    (problem,) = found.problems
    assert message in problem
    with pytest.raises(DataError, match=r"a\.pbn: "):
        parse_pbn(text).require("a.pbn")


def test_deals_of_a_file_with_broken_auctions():
    text = f'[Deal "{DEAL}"][Auction "N"] 2C 1H'
    assert parse_pbn(text, auctions=False).boards[0].calls == ()


def test_what_we_write():
    board = BoardRecord(
        deal=parse_deal(DEAL),
        dealer=3,
        vulnerability=Vulnerability.parse("EW"),
        calls=_calls("1N X P P P"),
        board="12",
        names=("Ann", "", 'Bo "the bold"', ""),
        explanations={0: "15-17"},
        tricks=tuple([7, 6, 7, 6] * 5),
        par=-100,
        taken=6,
    )
    lines = format_pbn([board]).splitlines()
    tags = [line[1:].split()[0] for line in lines if line.startswith("[")]
    assert tags[:15] == [
        "Event", "Site", "Date", "Board", "West", "North", "East", "South", "Dealer", "Vulnerable",
        "Deal", "Scoring", "Declarer", "Contract", "Result",
    ]  # fmt: skip
    for line in (
        '[South "Bo \\"the bold\\""]', '[Vulnerable "EW"]', '[Declarer "W"]', '[Contract "1NTX"]',
        '[Result "6"]', '[DoubleDummyTricks "77777777776666666666"]', '[OptimumScore "NS -100"]',
        "1NT =1= X Pass Pass", "Pass", '[Note "1:15-17"]', "N NT  7", "W  C  6",
    ):  # fmt: skip
        assert line in lines


def test_endplay_reads_what_we_write_and_we_what_it_writes():
    pytest.importorskip("endplay")
    from endplay.parsers import pbn as theirs
    from endplay.types import Board

    board = _only(GAME)
    (read,) = theirs.load(io.StringIO(format_pbn([board])))
    assert isinstance(read, Board)
    assert read.deal is not None
    assert _only(f'[Deal "{read.deal.to_pbn()}"]').deal == board.deal
    assert read.dealer is not None
    assert int(read.dealer) == board.dealer
    assert len(read.auction) == len(board.calls)
    out = io.StringIO()
    theirs.dump([read], out)
    back = _only(out.getvalue())
    assert (back.deal, back.dealer, back.calls) == (board.deal, board.dealer, board.calls)
    assert int(back.vulnerability) == int(board.vulnerability)


@given(st.text(alphabet='[]"%;{}\\=#\n NESWDeal:AKQJT98765432.-Auction1CPX*', max_size=80))
def test_any_text_gives_boards_or_problems(text: str):
    for sample in (
        text,
        f'[Deal "{text}"]',
        f'[Deal "{DEAL}"][Auction "N"]{text}',
        GAME[:60] + text,
    ):
        found = parse_pbn(sample)
        for board in found.boards:
            assert board.auction.legal() or board.auction.over


@given(st.integers(0, len(GAME)), st.integers(0, len(GAME)))
def test_a_game_with_a_piece_cut_out(start: int, length: int):
    found = parse_pbn(GAME[:start] + GAME[start + length :])
    assert len(found.boards) + len(found.problems) <= 2


def test_a_double_dummy_table_survives():
    pytest.importorskip("endplay")
    from trine.bridge.deals import read_solved_deals

    deals = read_solved_deals("sample:random-10k")
    board = BoardRecord(
        deal=parse_deal(DEAL),
        dealer=0,
        vulnerability=Vulnerability.parse("None"),
        tricks=tuple(int(number) for number in deals.tricks[0]),
    )
    text = format_pbn([board])
    assert _only(text).tricks == board.tricks
    without_digits = "\n".join(line for line in text.splitlines() if "DoubleDummy" not in line)
    assert _only(without_digits).tricks == board.tricks


def test_errors_of_an_auction_say_which_call():
    with pytest.raises(UserError):
        parse_pbn(f'[Deal "{DEAL}"][Auction "N"] 1C {DOUBLE}').require("a.pbn")
