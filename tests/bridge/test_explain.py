"""What calls show, against policies whose meaning is known."""

import time

import numpy as np
import pytest

from trine.bridge.bots.base import Observations
from trine.bridge.bots.passing import PassBot
from trine.bridge.calls import PASS, parse_auction, parse_call
from trine.bridge.cards import parse_hand
from trine.bridge.explain import RARE, explain_auction, explain_call, high_card_points


class PlainBot:
    """1NT with 15 to 17 balanced, 1S with five spades and 12 to 19, else passes."""

    name = "plain"

    def calls(self, observations: Observations) -> np.ndarray:
        points = high_card_points(observations.hands)
        lengths = observations.hands.reshape(-1, 4, 13).sum(2)
        shape = np.sort(lengths, 1)
        even = (shape[:, 0] >= 2) & (shape[:, 1] >= 3) & (shape[:, 3] <= 5)
        notrump, spade = parse_call("1N"), parse_call("1S")
        call = np.where((lengths[:, 3] >= 5) & (points >= 12) & (points <= 19), spade, PASS)
        call = np.where(even & (points >= 15) & (points <= 17), notrump, call)
        legal = observations.legal[np.arange(len(call)), call]
        return np.where(legal, call, PASS)


def test_points_are_counted():
    hands = np.stack([parse_hand(text) for text in ("AKQ52.K83.A4.J72", "T98.765.432.5432")])
    assert high_card_points(hands).tolist() == [17, 0]


def test_a_notrump_and_a_suit_opening_say_what_they_are():
    notrump = explain_call(PlainBot(), parse_auction("P 1N"), 2, 0)
    assert notrump.hcp == (15, 17)
    assert notrump.text == "15-17 HCP, balanced"
    assert notrump.share == pytest.approx(0.047, abs=0.02)
    spade = explain_call(PlainBot(), parse_auction("1S"), 2, 3)
    assert 12 <= spade.hcp[0] <= 13 and 15 <= spade.hcp[1] <= 19
    assert spade.lengths[3][0] == 5
    assert spade.text.startswith(f"{spade.hcp[0]}-{spade.hcp[1]} HCP, 5+ spades")
    assert spade.document()["lengths"]["S"] == list(spade.lengths[3])


def test_percentiles_are_those_of_the_hands_that_make_the_call():
    generator = np.random.default_rng(2)
    hands = generator.permuted(np.tile(np.arange(52) < 13, (40_000, 1)), axis=1)
    made = PlainBot().calls(Observations.same_auction(hands, (), 0, 0)) == parse_call("1S")
    low, high = np.percentile(high_card_points(hands[made]), [10, 90])
    found = explain_call(PlainBot(), parse_auction("1S"), 0, 0, count=2000)
    assert found.hcp == pytest.approx((low, high), abs=1)
    assert found.share == pytest.approx(made.mean(), abs=0.01)


def test_every_call_of_an_auction_is_explained_as_it_was_made():
    calls = parse_auction("1S P P P")
    all_of_it = explain_auction(PlainBot(), calls, 1, 0, seed=3)
    assert [meaning.call for meaning in all_of_it] == list(calls)
    assert [meaning.seat for meaning in all_of_it] == [1, 2, 3, 0]
    assert all_of_it[0] == explain_call(PlainBot(), calls[:1], 1, 0, seed=3)


def test_a_call_that_no_hand_makes_says_so():
    found = explain_call(PassBot(), parse_auction("7N"), 0, 0)
    assert not found.known
    assert found.text == "hardly any hand makes this call"
    assert found.share == 0


def test_copies_of_one_deal_are_not_taken_for_many():
    # No time at all: particles are resampled and never moved apart.
    calls = parse_auction("1N P 2H")
    found = explain_auction(PlainBot(), calls, 0, 0, 3, 64, time.monotonic() - 1)
    for meaning in found:
        assert meaning.rare or meaning.effective >= RARE


def test_a_rare_call_says_that_it_is():
    class Monster(PlainBot):
        def calls(self, observations: Observations) -> np.ndarray:
            strong = high_card_points(observations.hands) >= 24
            return np.where(strong, parse_call("2C"), PASS)

    found = explain_call(Monster(), parse_auction("2C"), 1, 0, count=128, seed=2)
    assert found.rare and found.known
    assert found.text.startswith("rare, perhaps 24-")
    assert not explain_call(Monster(), parse_auction("P"), 1, 0, count=128).rare
