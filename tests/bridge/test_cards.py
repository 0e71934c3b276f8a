"""Hands, deals, seats and vulnerability as people write them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trine.bridge.cards import (
    RANKS,
    SEATS,
    Deal,
    Vulnerability,
    board_dealer,
    board_vulnerability,
    format_deal,
    format_hand,
    parse_deal,
    parse_hand,
    parse_seat,
)
from trine.core.errors import DataError

DEAL = "N:AKQ52.K83.A4.J72 J94.QJ7.KQ65.AK9 T83.A95.JT92.Q53 76.T642.873.T864"


def test_a_card_is_suit_times_thirteen_plus_rank() -> None:
    hand = parse_hand("AKQ52.K83.A4.J72")
    expected = [39 + RANKS.index(r) for r in "AKQ52"] + [26 + RANKS.index(r) for r in "K83"]
    expected += [13 + RANKS.index(r) for r in "A4"] + [RANKS.index(r) for r in "J72"]
    assert sorted(np.flatnonzero(hand)) == sorted(expected)


@pytest.mark.parametrize("text", ["akq52.k83.a4.jt2", "AKQ52.K83.A4.J102", " AKQ52.K83.A4.JT2 "])
def test_spellings_of_a_hand(text: str) -> None:
    assert format_hand(parse_hand(text)) == "AKQ52.K83.A4.JT2"


def test_voids() -> None:
    for text in ("AKQJT98765432...", "AKQJT98765432.-.-.--"):
        assert format_hand(parse_hand(text)) == "AKQJT98765432..."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("AKQ5.K83.A4.J72", "has 12 cards; accepted: 13"),
        ("AAQ52.K83.A4.J72", "SA is twice in hand"),
        ("AKQ52.K83.A4.J1", "card '1'"),
        ("AKQ52.K83.A4J72", "has 3 suits; accepted: spades.hearts.diamonds.clubs"),
        ("", "has 1 suits"),
    ],
    ids=["twelve", "twice", "rank", "suits", "empty"],
)
def test_a_wrong_hand_is_one_line(text: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        parse_hand(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_deal_round_trip_and_its_rotation() -> None:
    deal = parse_deal(DEAL)
    assert format_deal(deal) == DEAL
    hands = DEAL[2:].split()
    turned = "E:" + " ".join(hands[1:] + hands[:1])
    assert parse_deal(turned) == deal
    assert hash(parse_deal(turned)) == hash(deal)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DEAL.replace("N:", ""), "accepted: N:hand hand hand hand"),
        (DEAL.rpartition(" ")[0], "accepted: N:hand hand hand hand"),
        (DEAL.replace("J94.", "A94."), "SA is in the hands of N and E"),
        (DEAL.replace("N:", "Q:"), "seat 'Q'"),
    ],
    ids=["no-seat", "three-hands", "card-twice", "seat"],
)
def test_a_wrong_deal_is_one_line(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message.replace("(", r"\(")):
        parse_deal(text)


def test_owners_must_have_thirteen_cards_each() -> None:
    with pytest.raises(DataError, match="13 for each seat"):
        Deal(np.zeros(52, np.uint8))


@given(st.permutations(list(np.repeat(np.arange(4, dtype=np.uint8), 13))))
def test_any_deal_is_written_and_read(owner: list[int]) -> None:
    deal = Deal(np.array(owner, dtype=np.uint8))
    assert parse_deal(format_deal(deal)) == deal


def test_boards_go_round_as_law_2_says() -> None:
    # The table of Law 2, written out.
    told = "None NS EW Both NS EW Both None EW Both None NS Both None NS EW".split()
    assert [board_vulnerability(n).text for n in range(1, 17)] == told
    assert [board_vulnerability(n + 16).text for n in range(1, 17)] == told
    assert [SEATS[board_dealer(n)] for n in range(1, 6)] == list("NESWN")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("None", 0), ("-", 0), ("o", 0), ("Love", 0), ("Neither", 0), ("N/S", 1), ("ns", 1),
     ("E-W", 2), ("e", 2), ("All", 3), ("both", 3), ("b", 3)],
)  # fmt: skip
def test_vulnerability_as_files_spell_it(text: str, expected: int) -> None:
    assert Vulnerability.parse(text) == expected


def test_wrong_names() -> None:
    with pytest.raises(DataError, match="vulnerability 'maybe'; accepted: None, NS, EW, Both"):
        Vulnerability.parse("maybe")
    with pytest.raises(DataError, match="vulnerability ''"):
        Vulnerability.parse("")
    with pytest.raises(DataError, match="seat 'X'; accepted: N, E, S, W"):
        parse_seat("X")
    assert [parse_seat(s) for s in ("n", "East", "SOUTH", "w")] == [0, 1, 2, 3]
    assert Vulnerability.EW.of(1) and not Vulnerability.EW.of(2)
