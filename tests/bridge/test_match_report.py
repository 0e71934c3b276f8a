"""The page of a match: its numbers against the boards one by one, its pictures, the command."""

from __future__ import annotations

import csv
import html.parser
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest

from tests.bridge.test_match import Bold
from trine.bridge.auction import Auction
from trine.bridge.bots.passing import PassBot
from trine.bridge.calls import parse_auction
from trine.bridge.deals import read_solved_deals
from trine.bridge.diagram import board_diagram, contract_text
from trine.bridge.match import Match, boards_of, play_match
from trine.bridge.match_report import (
    board_frame,
    contract_frame,
    side_frame,
    write_match_report,
)
from trine.bridge.scoring import imps, score


@pytest.fixture(scope="module")
def match() -> Match:
    deals = read_solved_deals("sample:random-10k").take(np.arange(40))
    return play_match(Bold("bold", 1), Bold("<b>ad", 5), boards_of(deals, 120, 3, permute=True))


def test_rows_of_boards_score_again_to_the_same_imps(match: Match):
    frame = board_frame(match)
    for row, board in enumerate(frame.iter_rows(named=True)):
        points = []
        for room in ("open", "closed"):
            auction = Auction("NESW".index(board["dealer"]))
            for call in parse_auction(board[f"auction_{room}"]):
                auction = auction.after(call)
            contract = auction.contract()
            vulnerability = int(match.boards.vulnerability[row])
            tricks = board[f"tricks_{room}"]
            points.append(0 if contract is None else score(contract, tricks, vulnerability))
            assert board[f"points_{room}"] == points[-1]
        assert board["imps"] == imps(points[0] - points[1])


def test_groups_are_parts_of_the_whole(match: Match):
    frame = side_frame(match)
    assert frame["value"].to_list() == ["None", "NS", "EW", "Both", "N", "E", "S", "W"]
    for kind in ("vulnerability", "dealer"):
        rows = frame.filter(pl.col("kind") == kind)
        assert rows["boards"].sum() == 120
        assert (rows["boards"] * rows["imps"]).sum() == pytest.approx(match.imps.sum())
    contracts = contract_frame(match)
    assert contracts["contracts"].sum() == 240
    for bot, found in enumerate(match.document()["contracts"]):
        rows = contracts.slice(7 * bot, 7)
        assert rows["contracts"].sum() == found["declared"]
        assert rows["made"].sum() == found["made"]
        assert rows["doubled"].sum() == found["doubled"]


class Page(html.parser.HTMLParser):
    """Headings, and every attribute through which a page can fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.pictures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.pictures += tag == "svg"
        outside = (n for n, value in attrs if not str(value).startswith("#"))
        self.fetched += [name for name in outside if name in ("src", "href", "srcset")]


def test_the_page_is_whole_and_opens_offline(match: Match, tmp_path: Path):
    path = write_match_report(tmp_path / "page.html", match, facts={"seed": 3}, swings=3)
    text = path.read_text()
    page = Page()
    page.feed(text)
    assert page.fetched == []
    assert page.pictures == 4 + 3
    assert "<b>ad" not in text
    assert f"{match.document()['imps_per_board']:+.2f}" in text
    assert "120 boards come from 40 deals" in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["page.csv", "page.html"]
    with (tmp_path / "page.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["imps"]) for row in rows] == match.imps.tolist()
    again = write_match_report(tmp_path / "again.html", match, facts={"seed": 3}, swings=3)
    assert again.read_text() == text


def test_a_page_of_ties_and_of_one_board(tmp_path: Path):
    boards = boards_of(read_solved_deals("sample:random-10k"), 1, 0)
    match = play_match(PassBot(), PassBot(), boards)
    text = write_match_report(tmp_path / "page.html", match).read_text()
    assert "Every board was tied." in text
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)


def test_a_diagram_shows_every_card_and_call_once(match: Match):
    row = int(match.largest(1)[0])
    both = [match.record(row, place) for place in (0, 1)]
    svg = ElementTree.fromstring(board_diagram(both, ["a < b", "b & a"], "title"))
    texts = ["".join(t.itertext()) for t in svg.iter("{http://www.w3.org/2000/svg}text")]
    holdings = [t[1:].replace("10", "T") for t in texts if re.fullmatch(r"[♣♦♥♠][\dAKQJ—]+", t)]
    assert len(holdings) == 16
    assert sorted("".join(holdings).replace("—", "")) == sorted("23456789TJQKA" * 4)
    assert texts.count("Pass") == sum(list(board.calls).count(35) for board in both)
    bids = [t for t in texts if re.fullmatch(r"[1-7](?:[♣♦♥♠]|NT)", t)]
    assert len(bids) == sum(call < 35 for board in both for call in board.calls)
    assert {"a < b", "b & a"} <= set(texts)
    assert all(contract_text(board) in texts for board in both)


def test_the_command_writes_a_page(trine, tmp_path: Path):
    done = trine("bridge", "match", "random", "pass", "--boards", "20", "--report", "m.html",
                 "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["boards"] == 20
    assert "<h1>random against pass</h1>" in (tmp_path / "m.html").read_text()
    wrong = trine("bridge", "match", "random", "pass", "--report", "m.pdf")
    assert wrong.returncode == 2
    assert "a report at m.pdf; accepted: a name that ends with .html" in wrong.stderr
