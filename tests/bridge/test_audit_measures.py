"""Every measure of the audit: what it counts, once and for the right side, and near misses.

The auctions are written out; the double-dummy tricks are set for the purpose.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.bridge.scripted import bid_by_hand, board_of, found
from trine.bridge.audit.registry import MEASURES

# A deal where North has only one club, so that the defenders cash no second one against a suit.
SHORT = "N:A7432.K8632.74.4 9.QT54.Q862.K762 Q65.AJ9.AK5.QT83 KJT8.7.JT93.AJ95"

# measure, side at fault ("": must not count), calls, what is told of the board
CASES = [
    # Dealer North, nobody vulnerable, seven tricks for N/S and six for E/W where not told.
    ("double-made", "EW", "1S P 2S X P P P", {"tricks": {"S": (8, 5)}}),
    ("double-made", "EW", "1S P 4S X P P P", {"tricks": {"S": (10, 3)}}),
    ("double-made", "", "1S P 2S X P P P", {}),  # down one
    ("doubled-part-score-made", "EW", "1S P 2S X P P P", {"tricks": {"S": (8, 5)}}),
    ("doubled-part-score-made", "NS", "P 1S P 2S X P P P", {"tricks": {"S": (5, 8)}}),
    ("doubled-part-score-made", "EW", "1S P 2S X XX P P P", {"tricks": {"S": (8, 5)}}),
    ("doubled-part-score-made", "", "1S P 2S P P P", {"tricks": {"S": (8, 5)}}),  # not doubled
    ("doubled-part-score-made", "", "1S X 2S P P P", {"tricks": {"S": (8, 5)}}),  # bid again
    ("doubled-part-score-made", "", "1S P 4S X P P P", {"tricks": {"S": (10, 3)}}),  # a game
    ("doubled-game-made", "EW", "1S P 4S X P P P", {"tricks": {"S": (10, 3)}}),
    ("doubled-game-made", "EW", "1S P 6S X P P P", {"tricks": {"S": (12, 1)}}),
    ("doubled-game-made", "", "1S P 4S X P P P", {"tricks": {"S": (9, 4)}}),
    # 3S is a game only because it is doubled.
    ("doubled-game-made", "", "1S P 3S X P P P", {"tricks": {"S": (9, 4)}}),
    ("doubled-not-run", "NS", "2H X P P P", {"tricks": {"H": (4, 9), "S": (8, 5)}}),
    ("doubled-not-run", "NS", "2H X XX P P P", {"tricks": {"H": (4, 9), "S": (8, 5)}}),
    # 500 for 2H, and nothing better than 500 elsewhere.
    ("doubled-not-run", "", "2H X P P P",
     {"tricks": {"H": (5, 8), "S": (5, 8), "C": (5, 8), "D": (5, 8), "NT": (5, 8)}}),
    ("doubled-not-run", "", "2H X P P P", {}),  # down one for 100; so are 2S and 2NT, 3C for 300
    ("doubled-not-run", "", "2H P P P", {"tricks": {"H": (4, 9), "S": (8, 5)}}),
    ("doubled-not-run", "", "4H X P P P", {"tricks": {"H": (4, 9), "S": (10, 3)}}),  # no part-score
    ("redoubled", "EW", "1S P 2S X XX P P P", {"tricks": {"S": (8, 5)}}),
    ("redoubled", "NS", "1S P 2S X XX P P P", {}),
    ("redoubled", "", "1S X XX 2C P P P", {}),  # run from
    ("phantom-sacrifice", "NS", "P 1S P 4S 5C P P P", {"tricks": {"S": (4, 9), "C": (9, 4)}}),
    ("phantom-sacrifice", "NS", "P 1S P 4S 5C X P P P", {"tricks": {"S": (4, 9), "C": (9, 4)}}),
    # East named the spades first, and would take nine tricks where West takes ten.
    ("phantom-sacrifice", "NS", "P 1S P 4S 5C P P P", {"tricks": {"S": (4, 9, 3, 10)}}),
    ("phantom-sacrifice", "", "P 1S P 4S 5C P P P", {"tricks": {"S": (3, 10, 4, 9)}}),
    ("phantom-sacrifice", "", "P 1S P 4S 5C P P P", {"tricks": {"C": (11, 2)}}),  # it makes
    ("phantom-sacrifice", "", "P 1S P 3S 4C P P P", {"tricks": {"S": (5, 8)}}),  # over no game
    ("cue-bid-passed", "NS", "1C 1H 2H P P P", {}),
    ("cue-bid-passed", "EW", "1H 2H P P P", {}),
    ("cue-bid-passed", "", "1C 1H 2H X P P P", {}),  # partner may wait after the double
    ("cue-bid-passed", "", "1C 1H 2H P 3C P P P", {}),  # partner has answered
    ("cue-bid-passed", "", "1H P 2H P P P", {}),  # the own suit
    ("cue-bid-passed", "", "1C 1H 1NT P P P", {}),
    # North has five hearts: it may be natural.
    ("cue-bid-passed", "", "1H P P 2H P P P", {"dealer": "E"}),
    # Their second naming of a suit that they had named first is no cue-bid.
    ("cue-bid-passed", "", "1H 2H 3H P P P", {}),
    ("new-suit-passed", "NS", "1D P 1S P P P", {}),
    ("new-suit-passed", "NS", "1S P 2C P P P", {}),
    ("new-suit-passed", "EW", "P 1D P 1S P P P", {}),
    ("new-suit-passed", "NS", "1D P 1S P P X P P P", {}),  # passed, whatever follows
    ("new-suit-passed", "", "P P 1D P 1S P P P", {}),  # North had passed
    ("new-suit-passed", "", "1D P 1NT P P P", {}),
    ("new-suit-passed", "", "1D P 2D P P P", {}),
    ("new-suit-passed", "", "1D 1H 1S P P P", {}),  # not with a bid between
    ("new-suit-passed", "", "1D P 1S P 1NT P P P", {}),
    ("new-suit-passed", "", "1D P 2S P P P", {}),  # a jump
    ("new-suit-passed", "", "1NT P 2C P P P", {}),
    ("new-suit-passed", "", "2D P 2S P P P", {}),  # over no opening of one
    ("jump-shift-passed", "NS", "1D P 2S P P P", {}),
    ("jump-shift-passed", "NS", "1H P 3C P P P", {}),
    ("jump-shift-passed", "NS", "1D P 1H P 2S P P P", {}),
    ("jump-shift-passed", "EW", "P 1D P 1NT P 3C P P P", {}),
    ("jump-shift-passed", "", "1D P 3S P P P", {}),  # two levels higher
    ("jump-shift-passed", "", "1D P 1S P P P", {}),
    ("jump-shift-passed", "", "P P 1D P 2S P P P", {}),  # North had passed
    ("jump-shift-passed", "", "1D P 1H P 3D P P P", {}),  # opener's own suit
    ("jump-shift-passed", "", "1D P 1H P 3H P P P", {}),  # a raise
    ("jump-shift-passed", "", "1D P 2D P 3S P P P", {}),  # after a raise
    ("jump-shift-passed", "", "1D P 1H P 2C P P P", {}),  # no jump
    ("jump-shift-passed", "", "1D P 1H P 2S P 2NT P P P", {}),
    ("jump-shift-passed", "", "1D P 1H 1S 3C P P P", {}),
    ("two-clubs-passed", "NS", "2C P P P", {}),
    ("two-clubs-passed", "EW", "P 2C P P P", {}),
    ("two-clubs-passed", "", "2C P 2D P P P", {}),
    ("two-clubs-passed", "", "2C X P P P", {}),
    ("two-clubs-passed", "", "1C P 2C P P P", {}),
    # West has the ace of clubs, East the king; the other three aces are North-South's.
    ("slam-off-two-aces", "EW", "P 6S P P P", {}),
    ("slam-off-two-aces", "EW", "P 7C P P P", {}),
    ("slam-off-two-aces", "", "6S P P P", {}),  # one
    ("slam-off-two-aces", "", "P 5S P P P", {}),
    ("slam-off-two-aces", "", "P 6NT P P P", {}),  # no suit contract
    ("slam-off-two-tops", "NS", "6S P P P", {}),  # ace and king of clubs
    ("slam-off-two-tops", "EW", "P 6NT P P P", {}),
    ("slam-off-two-tops", "NS", "6NT P P P", {"deal": SHORT}),
    ("slam-off-two-tops", "", "6S P P P", {"deal": SHORT}),  # North ruffs the second club
    ("slam-off-two-tops", "", "5S P P P", {}),
    ("part-score-too-high", "NS", "1S P 3S P P P", {}),
    ("part-score-too-high", "EW", "P 1S P 3S P P P", {"tricks": {"S": (5, 8)}}),
    ("part-score-too-high", "", "1S P 3S P P P", {"tricks": {"S": (9, 4)}}),  # it makes
    ("part-score-too-high", "", "1S P 3S P P P", {"tricks": {"S": (6, 7)}}),  # 1S fails as well
    # 2S would have been enough tricks, but not enough over 3H.
    ("part-score-too-high", "", "1S 2H 2S 3H 3S P P P", {"tricks": {"S": (8, 5)}}),
    # East-West make a game: down two is better than par.
    ("part-score-too-high", "", "1S P 3S P P P", {"tricks": {"H": (3, 10)}}),
    ("part-score-too-high", "", "1S P 4S P P P", {}),  # a game
    ("game-too-high", "NS", "1S P 4S P P P", {"tricks": {"S": (8, 5)}}),
    ("game-too-high", "NS", "3NT P P P", {"tricks": {"NT": (8, 5)}}),
    ("game-too-high", "", "1S P 4S P P P", {"tricks": {"S": (10, 3)}}),
    ("slam-too-high", "NS", "6S P P P", {"tricks": {"S": (11, 2)}}),
    ("slam-too-high", "", "6S P P P", {"tricks": {"S": (12, 1)}}),
    ("slam-too-high", "", "6S P P P", {"tricks": {"S": (6, 7)}}),
    ("grand-too-high", "NS", "7S P P P", {"tricks": {"S": (12, 1)}}),
    ("grand-too-high", "", "7S P P P", {"tricks": {"S": (13, 0)}}),
    ("grand-too-high", "", "6S P P P", {"tricks": {"S": (11, 2)}}),
    ("missed-game", "NS", "1S P 2S P P P", {"tricks": {"S": (10, 3)}}),
    ("missed-game", "NS", "P P P P", {"tricks": {"S": (10, 3)}}),
    ("missed-game", "EW", "P 1S P 2S P P P", {"tricks": {"S": (3, 10)}}),
    ("missed-game", "", "1S P 4S P P P", {"tricks": {"S": (10, 3)}}),
    ("missed-game", "", "1S P 3NT P P P", {"tricks": {"S": (10, 3)}}),  # another game
    ("missed-game", "", "1S P 2S X P P P", {"tricks": {"S": (10, 3)}}),  # doubled it is one
    ("missed-game", "", "1S 2H P P P", {"tricks": {"S": (10, 3)}}),  # the opponents' contract
    ("missed-game", "", "1S P 2S P P P", {"tricks": {"S": (12, 1)}}),  # a slam was missed
    # Par is 4H doubled, a sacrifice of East-West.
    ("missed-game", "", "1S P 2S P P P",
     {"tricks": {"S": (10, 3), "H": (4, 9)}, "vulnerability": "NS"}),
    ("missed-slam", "NS", "1S P 4S P P P", {"tricks": {"S": (12, 1)}}),
    ("missed-slam", "NS", "1S P 2S P P P", {"tricks": {"S": (12, 1)}}),
    ("missed-slam", "", "6S P P P", {"tricks": {"S": (12, 1)}}),
    ("missed-slam", "", "1S P 4S P P P", {"tricks": {"S": (11, 2)}}),
    ("missed-grand", "NS", "6S P P P", {"tricks": {"S": (13, 0)}}),
    ("missed-grand", "", "7S P P P", {"tricks": {"S": (13, 0)}}),
    ("missed-grand", "", "1S P 4S P P P", {"tricks": {"S": (12, 1)}}),
    # The 21st call is the dealer's again.
    ("long-auction", "NS", "1C 1D 1H 1S 1NT 2C 2D 2H 2S 2NT 3C 3D 3H 3S 3NT 4C 4D 4H P P P", {}),
    ("long-auction", "EW", "1C 1D 1H 1S 1NT 2C 2D 2H 2S 2NT 3C 3D 3H 3S 3NT 4C 4D 4H P P P",
     {"dealer": "W"}),
    ("long-auction", "", "1C 1D 1H 1S 1NT 2C 2D 2H 2S 2NT 3C 3D 3H 3S 3NT 4C 4D P P P", {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "side", "calls", "told"),
    CASES,
    ids=[f"{number}-{name}-{side or 'no'}" for number, (name, side, *_) in enumerate(CASES, 1)],
)
def test_measure(name: str, side: str, calls: str, told: dict):
    assert found(bid_by_hand(calls, board_of(**told))).get(name, "") == side


def test_every_measure_has_cases_of_both_kinds():
    for measure in MEASURES:
        sides = [side for name, side, *_ in CASES if name == measure.name]
        assert any(sides) and "" in sides, measure.name
    assert {name for name, *_ in CASES} == {measure.name for measure in MEASURES}
    assert len({measure.name for measure in MEASURES}) == len(MEASURES)


def test_a_quiet_board_counts_nowhere():
    assert found(bid_by_hand("1S P 2S P P P", board_of({"S": (8, 5)}))) == {}
    assert found(bid_by_hand("P P P P")) == {}


def test_the_docs_have_a_row_for_each_measure():
    page = Path(__file__).parents[2] / "docs" / "bridge" / "audit.md"
    rows = re.findall(r"^\| `([a-z-]+)` \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [measure.name for measure in MEASURES]
