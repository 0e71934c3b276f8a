"""Sampled deals against exact probabilities and against plain importance sampling."""

import numpy as np
import pytest

from trine.bridge.bots.base import CALLS, Observations
from trine.bridge.bots.passing import PassBot
from trine.bridge.calls import PASS, parse_auction, parse_call
from trine.bridge.cards import parse_hand
from trine.bridge.consistent_deals import call_probabilities, read_auction, sample_deals
from trine.bridge.deals import random_owner
from trine.bridge.explain import high_card_points
from trine.core.errors import DataError

HAND = parse_hand("AKQ52.K83.A4.J72")
SPADE_ACE, SPADE_KING = 51, 50


class AceBot:
    """Opens 1C with the spade ace and else passes."""

    name = "ace"

    def calls(self, observations: Observations) -> np.ndarray:
        opens = observations.hands[:, SPADE_ACE] & observations.legal[:, 0]
        return np.where(opens, 0, PASS)


class SoftBot:
    """Bids the next step, the more probably the more points it has; else passes."""

    name = "soft"

    def probabilities(self, observations: Observations) -> np.ndarray:
        p = np.zeros((len(observations), CALLS))
        step = observations.public.bid + 1
        points = high_card_points(observations.hands)
        bids = 1 / (1 + np.exp(-(points - 11) / 1.5))
        p[:, PASS] = 1
        rows = np.flatnonzero(step < PASS)
        p[rows, step[rows]], p[rows, PASS] = bids[rows], 1 - bids[rows]
        return p

    def calls(self, observations: Observations) -> np.ndarray:
        return self.probabilities(observations).argmax(1)


def test_what_a_call_says_of_a_card_is_certain_and_the_rest_is_chance():
    found = sample_deals(AceBot(), parse_auction("1C P P"), 1, 0, count=2000)
    owner, weights = found.owner, found.weights
    assert weights @ (owner[:, SPADE_ACE] == 1) > 0.99  # but for mistakes
    # The other cards are as they come: 12 of the 51 are with East.
    assert weights @ (owner[:, SPADE_KING] == 1) == pytest.approx(12 / 51, abs=0.04)
    assert (np.bincount(owner.ravel(), minlength=4) == 13 * len(owner)).all()
    assert found.shares == pytest.approx((0.25, 1.0, 1.0), abs=0.04)
    assert found.ignored == ()


@pytest.mark.parametrize("known", [True, False], ids=["own hand", "no hand"])
def test_the_same_hands_as_by_plain_weighting_of_many_random_deals(known: bool):
    bot, calls, dealer, seat = SoftBot(), parse_auction("1C P 1D P"), 0, 0
    generator = np.random.default_rng(5)
    owner = random_owner(60_000, generator)
    if known:  # the other cards at random
        owner[:, HAND] = seat
        others = np.repeat(np.array([1, 2, 3], np.uint8), 13)
        owner[:, ~HAND] = generator.permuted(np.tile(others, (len(owner), 1)), axis=1)
    weights = np.ones(len(owner))
    for place, call in enumerate(calls):
        caller = (dealer + place) % 4
        if known and caller == seat:
            continue
        seen = Observations.same_auction(owner == caller, calls[:place], dealer, 0)
        weights *= bot.probabilities(seen)[:, call]
    weights /= weights.sum()
    found = sample_deals(
        bot, calls, dealer, 0,
        seat=seat if known else None, hand=HAND if known else None, count=3000,
    )  # fmt: skip
    assert (found.owner[:, HAND] == seat).all() == known
    for other in range(4):
        for value in (high_card_points, lambda hands: hands[:, 39:].sum(1)):
            wanted = weights @ value(owner == other)
            assert found.weights @ value(found.owner == other) == pytest.approx(wanted, abs=0.3)
            spread = np.sqrt(weights @ (value(owner == other) - wanted) ** 2)
            got = found.weights @ (value(found.owner == other) - wanted) ** 2
            assert np.sqrt(got) == pytest.approx(spread, abs=0.3)
    assert found.effective > 500


def test_calls_that_the_bot_would_not_make_are_ignored_and_named():
    found = sample_deals(PassBot(), parse_auction("P 7N X"), 2, 0, count=200)
    assert found.ignored == (1, 2)
    assert found.shares == pytest.approx((1.0, 0.0, 0.0))
    np.testing.assert_allclose(found.weights, 1 / len(found.owner))
    assert found.effective == pytest.approx(len(found.owner))


def test_the_seed_fixes_the_deals_and_reading_on_changes_nothing():
    calls = parse_auction("1C 1D P")
    first = sample_deals(SoftBot(), calls, 3, 0, count=100, seed=4)
    again = list(read_auction(SoftBot(), calls, 3, 0, count=100, seed=4))
    other = sample_deals(SoftBot(), calls, 3, 0, count=100, seed=5)
    assert len(again) == 4
    assert (first.owner == again[-1].owner).all() and (first.weights == again[-1].weights).all()
    assert first.owner.shape != other.owner.shape or (first.owner != other.owner).any()
    drawn = first.draw(30, np.random.default_rng(1))
    assert drawn.shape == (30, 52)
    assert {deal.tobytes() for deal in drawn} <= {deal.tobytes() for deal in first.owner}


def test_own_calls_say_nothing_and_bots_without_probabilities_are_read():
    found = sample_deals(AceBot(), parse_auction("1C"), 1, 0, seat=1, hand=HAND, count=50)
    assert np.isnan(found.shares[0]) and found.ignored == ()
    np.testing.assert_allclose(found.weights, 1 / len(found.weights))
    seen = Observations.same_auction(HAND[None], (), 0, 0)
    assert call_probabilities(AceBot(), seen)[0, parse_call("1C")] == 1
    with pytest.raises(DataError, match="a hand of 52 cards; accepted: 13"):
        sample_deals(AceBot(), (), 0, 0, seat=0, hand=np.ones(52, bool))
