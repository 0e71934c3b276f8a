"""Files as people have them: other encodings and line ends, cut short, damaged in one place.

What is held: the boards are the same, or what is wrong is said and every other board is kept.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bridge.boards import board_records
from trine.bridge.auction import Auction
from trine.bridge.board_record import BoardRecord, Records
from trine.bridge.deals import pack_deals, read_solved_deals
from trine.bridge.deals_file import RECORD_BYTES, write_deals
from trine.bridge.match import boards_of
from trine.bridge.records import format_lin, format_pbn, parse_lin, parse_pbn, parse_records
from trine.bridge.text_input import decode_text
from trine.core.errors import DataError, UserError

_ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "utf-8": lambda text: text.encode(),
    "utf-8 with a mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "utf-16 with a mark": lambda text: text.encode("utf-16"),
    "utf-16-le": lambda text: text.encode("utf-16-le"),
    "utf-16-be": lambda text: text.encode("utf-16-be"),
    "latin-1": lambda text: text.encode("latin-1", errors="replace"),
    "cp1252": lambda text: text.encode("cp1252", errors="replace"),
}


@st.composite
def line_ends(draw: st.DrawFn, text: str) -> str:
    r"""The text with `\n`, `\r\n` or `\r`, or a mixture, as of files that were put together."""
    lines = text.split("\n")
    ends = draw(
        st.sampled_from(["\n", "\r\n", "\r"]).map(lambda end: [end] * len(lines))
        | st.lists(st.sampled_from(["\n", "\r\n"]), min_size=len(lines), max_size=len(lines))
    )
    return "".join(line + end for line, end in zip(lines, ends, strict=True))


@pytest.mark.parametrize("encoding", _ENCODINGS)
@settings(max_examples=15)
@given(data=st.data())
def test_encodings_and_line_ends_change_nothing(encoding: str, data: st.DataObject):
    boards = data.draw(st.lists(board_records(plain=True), min_size=1, max_size=3))
    for write in (format_pbn, format_lin):
        plain = write(boards)
        raw = _ENCODINGS[encoding](data.draw(line_ends(plain)))
        assert parse_records(decode_text(raw)) == parse_records(plain)


@settings(max_examples=40)
@given(st.lists(board_records(plain=True), min_size=1, max_size=3), st.data())
def test_lin_may_break_its_lines_anywhere(boards: list[BoardRecord], data: st.DataObject):
    text = format_lin(boards).replace("\n", "")
    places = data.draw(st.sets(st.integers(0, len(text)), max_size=12))
    broken = "".join(
        ("\n" if place in places else "") + character for place, character in enumerate(text)
    )
    assert parse_lin(broken) == parse_lin(text)
    assert len(parse_lin(text).boards) == len(boards)


@settings(max_examples=40)
@given(st.lists(board_records(), min_size=2, max_size=3), st.data())
def test_games_of_several_files_put_together(boards: list[BoardRecord], data: st.DataObject):
    parts = [data.draw(line_ends(format_pbn([board]))) for board in boards]
    gaps = data.draw(st.lists(st.sampled_from(["\n", "\r\n\r\n", " \n\n"]), min_size=3, max_size=3))
    # A mark in the midst, as copying files together leaves it.
    marks = data.draw(st.lists(st.sampled_from(["", "\ufeff"]), min_size=3, max_size=3))
    text = "".join(
        mark + part + "\n" + gap for mark, part, gap in zip(marks, parts, gaps, strict=False)
    )
    assert parse_pbn(decode_text(text.encode())).boards == tuple(boards)


def _check(found: Records) -> None:
    """Boards are boards, whatever the text was."""
    for board in found.boards:
        assert (np.bincount(board.deal.owner, minlength=4) == 13).all()
        auction = Auction(board.dealer)
        for call in board.calls:
            auction = auction.after(call)
    assert all(problem and "\n" not in problem for problem in found.problems)


@settings(max_examples=60)
@given(st.lists(board_records(), min_size=2, max_size=3), st.data())
def test_a_text_cut_short_keeps_the_boards_before_the_cut(
    boards: list[BoardRecord], data: st.DataObject
):
    parts = [format_pbn([board]) for board in boards]
    text = "\n".join(parts)
    cut = data.draw(st.integers(0, len(text)))
    found = parse_pbn(text[:cut])
    _check(found)
    whole = 0
    while whole < len(parts) and cut >= len("\n".join(parts[: whole + 1])):
        whole += 1
    assert found.boards[:whole] == tuple(boards[:whole])


@settings(max_examples=60)
@given(st.lists(board_records(plain=True), min_size=3, max_size=3), st.data())
def test_a_damaged_deal_costs_that_board_only(boards: list[BoardRecord], data: st.DataObject):
    parts = [format_pbn([board]) for board in boards]
    start = parts[1].index('[Deal "') + 7
    place = data.draw(st.integers(start, start + 66))
    other = data.draw(st.sampled_from("AKQJT98765432.- :NESWx"))
    parts[1] = parts[1][:place] + other + parts[1][place + 1 :]
    found = parse_pbn("\n".join(parts))
    _check(found)
    assert len(found.boards) + len(found.problems) == 3
    assert found.boards[0] == boards[0] and found.boards[-1] == boards[2]


@settings(max_examples=100)
@given(st.lists(board_records(plain=True), min_size=1, max_size=2), st.data())
def test_any_damage_gives_boards_problems_or_a_clear_error(
    boards: list[BoardRecord], data: st.DataObject
):
    raw = bytearray(data.draw(st.sampled_from([format_pbn, format_lin]))(boards).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw)))
        end = at + data.draw(st.sampled_from([0, 1, 7, 60]))
        raw[at:end] = data.draw(st.binary(max_size=4) | st.just(bytes(raw[at:end]) * 2))
    try:
        _check(parse_records(decode_text(bytes(raw))))
    except DataError as error:
        assert str(error)
    except UserError as error:  # every other one would be the wrong exit code
        raise AssertionError(error) from error


@settings(max_examples=40)
@given(st.integers(64, 64 + 3 * 8 + 12 * RECORD_BYTES))
def test_a_deals_file_cut_anywhere_is_played_as_far_as_it_is_whole(
    tmp_path_factory: pytest.TempPathFactory, size: int
):
    deals = read_solved_deals("sample:random-10k").take(np.arange(12))
    path = tmp_path_factory.mktemp("cut") / "a.deals"
    write_deals(path, pack_deals(deals.owner, deals.tricks), block=4)
    path.write_bytes(path.read_bytes()[:size])
    whole = max(0, (size - 64 - 3 * 8) // (4 * RECORD_BYTES)) * 4
    if not whole:
        with pytest.raises(DataError):
            read_solved_deals(path)
        return
    found = read_solved_deals(path)
    assert (found.owner == deals.owner[:whole]).all()
    assert (boards_of(found, whole, 0).tricks == deals.tricks[:whole]).all()
