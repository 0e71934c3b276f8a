"""Observations of bots against the obvious auction; the two simplest bots."""

from __future__ import annotations

import numpy as np

from trine.bridge.auction import Auction
from trine.bridge.bots.base import CALLS, Bot, Observations, PolicyBot
from trine.bridge.bots.passing import PassBot
from trine.bridge.bots.random_bot import RandomBot
from trine.bridge.calls import PASS


def positions(count: int = 120, seed: int = 3) -> tuple[list[Auction], Observations]:
    """Auctions under way by random legal calls, and what the seats to call see."""
    draw = np.random.default_rng(seed)
    auctions: list[Auction] = []
    while len(auctions) < count:
        auction = Auction(int(draw.integers(4)))
        for _ in range(int(draw.integers(14))):
            if auction.over:
                break
            auctions.append(auction)
            legal = auction.legal()
            low = legal[:3] + [call for call in legal if call >= PASS]
            auction = auction.after(int(draw.choice(low)))
    auctions = auctions[:count]
    calls = np.full((count, max(len(a.calls) for a in auctions) + 2), -1, np.int8)
    for row, auction in enumerate(auctions):
        calls[row, : len(auction.calls)] = auction.calls
    hands = np.zeros((count, 52), np.bool_)
    for hand in hands:
        hand[draw.permutation(52)[:13]] = True
    return auctions, Observations(
        hands,
        np.array([a.dealer for a in auctions]),
        np.array([a.turn for a in auctions]),
        draw.integers(4, size=count),
        calls,
    )


def test_what_stands_on_the_table_is_what_the_obvious_auction_says() -> None:
    auctions, seen = positions()
    for row, auction in enumerate(auctions):
        assert np.flatnonzero(seen.legal[row]).tolist() == auction.legal()
        contract = auction.contract()
        if contract is None:
            assert seen.public.bid[row] == -1
        else:
            assert seen.public.bid[row] == (contract.level - 1) * 5 + contract.strain
            assert seen.public.declarer[row] == contract.declarer
            assert seen.public.doubled[row] == contract.doubled
        assert seen.public.length[row] == len(auction.calls)


def test_some_positions_and_one_auction_for_many_hands() -> None:
    auctions, seen = positions()
    rows = np.array([5, 2, 77])
    assert (seen.take(rows).legal == seen.legal[rows]).all()
    one = Observations.same_auction(seen.hands, auctions[9].calls, auctions[9].dealer, 1)
    assert (one.legal == seen.legal[9]).all()
    assert (one.seat == auctions[9].turn).all()


def test_the_random_bot_is_legal_repeatable_and_spread_over_the_calls() -> None:
    _, seen = positions()
    bot = RandomBot(seed=4)
    assert isinstance(bot, Bot) and isinstance(bot, PolicyBot)
    calls = bot.calls(seen)
    assert seen.legal[np.arange(len(seen)), calls].all()
    rows = np.arange(len(seen))[::-3]
    assert (bot.calls(seen.take(rows)) == calls[rows]).all()  # whatever the batch
    np.testing.assert_allclose(bot.probabilities(seen).sum(1), 1)
    hands = np.random.default_rng(0).permuted(np.tile(np.arange(52) < 13, (7200, 1)), axis=1)
    many = Observations.same_auction(hands, (), 0, 0)
    found = np.bincount(RandomBot().calls(many), minlength=CALLS)[: PASS + 1]
    assert found.min() > 120 and found.max() < 290  # 200 each, seven deviations
    assert (RandomBot(1).calls(seen) != calls).any()


def test_the_passing_bot_passes() -> None:
    _, seen = positions()
    assert isinstance(PassBot(), PolicyBot)
    assert (PassBot().calls(seen) == PASS).all()
    assert (PassBot().probabilities(seen)[:, PASS] == 1).all()
