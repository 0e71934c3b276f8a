"""Search at the table against one deal at a time, and where the better call is known."""

import math

import numpy as np
import pytest

from tests.bridge.positions import small_network
from trine.bridge import table_search
from trine.bridge.auction import Auction
from trine.bridge.bots.base import CALLS, Observations
from trine.bridge.bots.fast_neural import FastNeuralBot
from trine.bridge.bots.passing import PassBot
from trine.bridge.bots.registry import make_bot
from trine.bridge.calls import PASS, parse_auction, parse_call
from trine.bridge.cards import parse_hand
from trine.bridge.deals import random_owner
from trine.bridge.network import save_network
from trine.bridge.scoring import imps, score
from trine.bridge.table_rollouts import DoubleDummyTricks, EstimatedTricks, score_candidates
from trine.bridge.table_search import SearchBot, SearchSettings, search_call

SLAM = parse_hand("AKQJT98765432...")


class Coin:
    """Thinks first of a pass, then of 7S; after that everybody passes."""

    name = "coin"

    def probabilities(self, observations: Observations) -> np.ndarray:
        p = np.zeros((len(observations), CALLS))
        p[:, PASS] = 1
        first = (observations.calls >= 0).sum(1) == 0
        p[first, parse_call("7S")] = 0.4
        p[first, PASS] = 0.6
        return p

    def calls(self, observations: Observations) -> np.ndarray:
        return self.probabilities(observations).argmax(1)


def test_a_lay_down_grand_slam_is_found():
    found = search_call(Coin(), SLAM, (), 1, 0, SearchSettings(samples=20))
    assert (found.own, found.call) == (PASS, parse_call("7S"))
    assert [each.call for each in found.candidates] == [PASS, parse_call("7S")]
    passed, grand = found.candidates
    assert grand.contracts == (("7S E", 1.0),) and passed.contracts == (("P", 1.0),)
    assert passed.points == 0
    # 7S at other tables in 40 of 100, else passed out; not all sampled tricks are thirteen.
    assert grand.imps > 0.5 * 0.6 * imps(1510)
    assert passed.imps == pytest.approx(-grand.imps * 0.4 / 0.6)


def test_the_own_call_stands_where_nothing_is_clearly_better():
    hand = parse_hand("5432.432.432.432")
    found = search_call(Coin(), hand, (), 0, 3, SearchSettings(samples=20))
    assert found.call == found.own == PASS
    assert found.candidates[1].imps < -5
    alone = search_call(PassBot(), hand, (), 0, 3)
    assert len(alone.candidates) == 1 and math.isnan(alone.candidates[0].imps)
    noise = np.random.default_rng(1).normal(size=(2, 40))
    noise += (0.1 - noise.mean(1)[:, None]) * [[0], [1]]  # ahead by little, with the error known
    ahead = noise[1] - noise[0]
    errors = ahead.mean() / (ahead.std(ddof=1) / 40**0.5)
    assert table_search._choice(noise, [PASS, 0], PASS, 1.01 * errors) == PASS
    assert table_search._choice(noise, [PASS, 0], PASS, 0.99 * errors) == 0
    # What is valued for its interest alone is not chosen.
    likely = np.array([True, False])
    assert table_search._choice(noise, [PASS, 0], PASS, 0.99 * errors, likely) == PASS


@pytest.fixture
def network(tmp_path):
    return FastNeuralBot(save_network(tmp_path / "small.safetensors", small_network(3, scale=2.0)))


class _Known:
    """Tricks by a rule that needs no solver."""

    def tricks(self, owner, strain, declarer, deal):
        trumps = owner.reshape(-1, 4, 13)[np.arange(len(owner)), np.minimum(strain, 3)]
        return ((trumps - declarer[:, None].astype(np.uint8)) % 2 == 0).sum(1)


def test_scores_are_those_of_each_deal_bid_alone(network):
    owner = random_owner(12, np.random.default_rng(2))
    calls, dealer, vulnerability = parse_auction("P 1C"), 3, 1
    candidates = [PASS, parse_call("1H"), parse_call("2N")]
    points, names = score_candidates(
        network, owner, candidates, calls, dealer, vulnerability, _Known()
    )
    for row, candidate in enumerate(candidates):
        for k in range(len(owner)):
            auction = Auction(dealer, (*calls, candidate))
            while not auction.over:
                seen = Observations.same_auction(
                    (owner[k] == auction.turn)[None], auction.calls, dealer, vulnerability
                )
                auction = auction.after(int(network.calls(seen)[0]))
            contract = auction.contract()
            wanted = 0
            if contract is not None:
                one = (np.array([x]) for x in (contract.strain, contract.declarer, 0))
                taken = int(_Known().tricks(owner[k : k + 1], *one)[0])
                wanted = score(contract, taken, vulnerability)
            assert points[row, k] == wanted
            assert names[row][str(contract) if contract else "P"] > 0
    assert len({tuple(row) for row in points.tolist()}) > 1


def test_the_seed_fixes_the_answer_and_time_bounds_it(network):
    hand = parse_hand("AKQ52.K83.A4.J72")
    settings = SearchSettings(samples=24, particles=64, least_probability=0.02)
    first = search_call(network, hand, parse_auction("1C P"), 1, 2, settings)
    again = search_call(network, hand, parse_auction("1C P"), 1, 2, settings)
    assert first.candidates == again.candidates
    assert first.used == first.wanted == 24
    hurried = SearchSettings(samples=24, particles=64, least_probability=0.02, seconds=1e-9)
    assert search_call(network, hand, parse_auction("1C P"), 1, 2, hurried).used == 8


def test_both_ways_to_tricks_speak_of_the_same_contracts():
    pytest.importorskip("endplay")
    owner = random_owner(3, np.random.default_rng(4))[[0, 0, 1, 2]]
    strain, declarer = np.array([4, 4, 3, 1]), np.array([0, 0, 1, 2])
    deal = np.array([0, 0, 1, 2])
    solved = DoubleDummyTricks().tricks(owner, strain, declarer, deal)
    guess = EstimatedTricks(np.random.default_rng(1)).tricks(owner, strain, declarer, deal)
    assert solved[0] == solved[1] and guess[0] == guess[1]
    assert np.abs(solved - guess).max() <= 4


def test_a_bot_that_searches():
    bot = SearchBot(Coin(), SearchSettings(samples=8))
    assert bot.name == "search:coin"
    hands = np.stack([SLAM, parse_hand("5432.432.432.432")])
    seen = Observations.same_auction(hands, (), 2, 0)
    assert bot.calls(seen).tolist() == [parse_call("7S"), PASS]
    later = Observations.same_auction(hands, (PASS,), 2, 0)
    assert bot.calls(later).tolist() == [PASS, PASS]
    assert make_bot("search:pass").name == "search:pass"
