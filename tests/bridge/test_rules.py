"""The natural bidder by rules: standard calls, legality, what is forcing, and a match.

The standard calls are those of standard American as the ACBL SAYC booklet has it: each hand is of
our own making, the call is what the booklet's section prescribes for it.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bridge.test_bots import positions
from trine.bridge.auction import Auction
from trine.bridge.bots.base import Bot, Observations, PolicyBot
from trine.bridge.bots.passing import PassBot
from trine.bridge.bots.registry import make_bot
from trine.bridge.bots.rules import RulesBot
from trine.bridge.calls import DOUBLE, NUM_BIDS, PASS, format_call, parse_auction, parse_call
from trine.bridge.cards import parse_hand
from trine.bridge.deals import SolvedDeals, read_solved_deals
from trine.bridge.match import boards_of, play_match
from trine.bridge.rules.hand_features import Feature, hand_features
from trine.bridge.rules.language import Option, describe, hcp, length
from trine.bridge.rules.system import options_of
from trine.bridge.rules.table import Table

BOT = RulesBot()

STANDARD = [
    # Openings.
    ("", "AQ5.KJ4.QT73.A92", "1NT", "15 to 17, balanced"),
    ("", "AKJ5.KQ4.AQ3.K92", "2C", "22 and more"),
    ("", "AK5.KQ4.AQJ3.J92", "2NT", "20 to 21, balanced"),
    ("", "AQ873.K4.K7.J932", "1S", "five-card major"),
    ("", "A4.K873.AQ75.982", "1D", "four hearts are no five: the longer minor"),
    ("", "A43.K873.Q53.A92", "1C", "three-three: clubs"),
    ("", "KQJ973.84.Q73.92", "2S", "weak two"),
    ("", "4.KQJ9732.J73.92", "3H", "preempt"),
    ("", "KJ73.84.Q732.A92", "P", "nothing to open"),
    ("", "AJT73.KQT84.73.2", "1S", "the higher of two five-card suits; rule of twenty"),
    ("P P P", "32.KQ42.A9873.K2", "P", "fourth seat, not fifteen with the spades"),
    # Responses to one of a suit.
    ("1H P", "K973.J84.Q873.92", "2H", "single raise"),
    ("1H P", "K9.KJ84.A873.942", "3H", "limit raise"),
    ("1H P", "K9.KJ84.AQ73.K42", "2NT", "Jacoby, four trumps and a game"),
    ("1H P", "KJ97.84.Q873.K92", "1S", "four spades"),
    ("1H P", "K93.84.Q873.KJ92", "1NT", "6 to 10, no fit"),
    ("1S P", "K9.A4.Q87.AJT932", "2C", "two over one"),
    ("1C P", "KJ97.QT84.873.92", "1H", "four-card majors up the line"),
    ("1D P", "KJ9.QT4.K87.AJ92", "2NT", "13 to 15, balanced"),
    ("1S P", "K93.84.987.J9432", "P", "too weak for anything"),
    # Notrump.
    ("1NT P", "KJ97.QT84.K73.92", "2C", "Stayman"),
    ("1NT P", "KJ972.84.873.T92", "2H", "transfer"),
    ("1NT P", "K9.Q84.AJ873.K92", "3NT", "game"),
    ("1NT P", "K9.Q84.Q9873.Q92", "2NT", "invites"),
    ("1NT P 2H P", "AQ5.KJ4.QT73.A92", "2S", "completes the transfer"),
    ("1NT P 2C P", "AQ5.KJ42.QT7.A92", "2H", "four hearts"),
    ("1NT P 2C P", "AQ5.KJ4.QT73.A92", "2D", "no major"),
    ("1NT P 2H P 2S P", "KJ9732.84.A73.92", "4S", "six spades and a game"),
    ("1NT P 2H P 2S P", "KJ972.84.A73.K92", "3NT", "five: partner chooses"),
    ("1NT P 2H P 2S P 3NT P", "AQ5.KJ4.QT73.A92", "4S", "chooses with three"),
    # The opener's second call.
    ("1D P 1S P", "K43.A873.AQ75.82", "1NT", "least; no reverse without 17"),
    ("1C P 1S P", "KJ84.A8.752.AQ82", "2S", "raise with four"),
    ("1H P 1S P", "4.AKJ874.A75.982", "2H", "six cards"),
    ("1H P 2H P", "K4.AKJ874.AQ5.82", "4H", "game opposite 6 to 9"),
    ("1H P 3H P", "K4.AQJ84.Q75.J82", "P", "least opposite a limit raise"),
    ("1D P 1S P", "K4.A3.AKJ95.AQ82", "3C", "jump shift"),
    ("1C P 1H P", "AQ4.K3.KQ5.AJ982", "2NT", "18 to 19, balanced"),
    ("2C P 2D P", "AKJ5.KQ4.AQ3.K92", "2NT", "22 to 24, balanced"),
    # Both sides bid.
    ("1D", "AQJ73.K84.73.982", "1S", "overcall"),
    ("1D", "KJ73.AQ84.3.K982", "X", "takeout"),
    ("1D", "AQ3.KJ4.KJ7.Q982", "1NT", "15 to 18, stopped"),
    ("1D", "KQJ973.84.73.982", "2S", "weak jump overcall"),
    ("1H", "KQ973.4.KJ973.82", "2H", "Michaels"),
    ("1D 1S", "Q3.KJ84.873.A982", "X", "negative"),
    ("1H 1S", "Q3.KJ84.A873.J82", "2S", "cue-bid: limit raise or better"),
    ("1S X", "QJ84.32.A873.K82", "2NT", "limit raise or better over the double"),
    ("1D X P", "Q973.84.J873.982", "1S", "answers the double"),
    ("1D X P", "KJ973.84.873.AQ2", "2S", "jumps with 9 to 11"),
    ("1S 2H P P", "AKJ84.3.A87.KJ82", "X", "reopens"),
    # Slams.
    ("1H P 3H P", "A4.AKQJ84.KQ5.K2", "4NT", "Blackwood"),
    ("1H P 3H P 4NT P", "K8.Q953.AJ73.872", "5D", "one ace"),
]


def call_of(auction: str, hand: str, dealer: int = 0, vulnerability: int = 0) -> str:
    seen = Observations.same_auction(
        parse_hand(hand)[None], parse_auction(auction), dealer, vulnerability
    )
    return format_call(int(BOT.calls(seen)[0]))


@pytest.mark.parametrize(
    ("auction", "hand", "call", "why"),
    STANDARD,
    ids=[f"{a or 'opening'}-{h}" for a, h, _, _ in STANDARD],
)
def test_the_standard_call(auction: str, hand: str, call: str, why: str) -> None:
    assert call_of(auction, hand) == call, why


def drawn(draw: st.DrawFn) -> tuple[Auction, np.ndarray, int]:
    """An auction under way by calls at random, low ones mostly, and a hand."""
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    auction = Auction(int(random.integers(4)))
    for _ in range(int(random.integers(18))):
        legal = auction.legal()
        low = legal[:4] + [PASS, PASS, PASS] + [c for c in legal if c > PASS]
        after = auction.after(int(random.choice(low if random.random() < 0.9 else legal)))
        if after.over:
            break
        auction = after
    hand = np.zeros(52, np.bool_)
    hand[random.permutation(52)[:13]] = True
    return auction, hand, int(random.integers(4))


@given(st.composite(drawn)())
@settings(deadline=None, max_examples=300)
def test_any_auction_gets_a_legal_call_and_an_explanation(
    position: tuple[Auction, np.ndarray, int],
) -> None:
    auction, hand, vulnerability = position
    seen = Observations.same_auction(hand[None], auction.calls, auction.dealer, vulnerability)
    assert int(BOT.calls(seen)[0]) in auction.legal()
    assert BOT.explain(seen)[0]


def test_every_call_is_legal_in_a_batch_and_does_not_depend_on_it() -> None:
    _, seen = positions(count=400)
    bot = RulesBot()
    calls = bot.calls(seen)
    assert seen.legal[np.arange(len(seen)), calls].all()
    rows = np.arange(len(seen))[::-7]
    assert (RulesBot().calls(seen.take(rows)) == calls[rows]).all()
    assert (bot.probabilities(seen).argmax(1) == calls).all()
    assert isinstance(bot, Bot) and isinstance(bot, PolicyBot)
    assert make_bot("rules").name == "rules"


@pytest.mark.parametrize(
    "auction",
    ["1C P 1H P", "1C P 1D P", "1D P 1S P", "1H P 1S P", "1H P 2C P", "1NT P 2D P", "1NT P 2H P",
     "1NT P 2C P", "1NT P 2D X", "1H P 2NT P", "2C P 2D P", "2C P", "1H P 3H P 4NT P", "1S 2H X P",
     "1C P 1H P 2D P"],
)  # fmt: skip
def test_a_forcing_call_is_not_passed(auction: str) -> None:
    random = np.random.default_rng(5)
    hands = random.permuted(np.tile(np.arange(52) < 13, (2000, 1)), axis=1)
    calls = parse_auction(auction)
    fitting = hands[would_have_bid(hands, calls)]
    if calls[-2:] == parse_auction("X P"):  # turned into penalties with their suit alone
        fitting = fitting[fitting.reshape(-1, 4, 13)[:, 2].sum(1) <= 3]
    assert len(fitting) >= 5
    made = BOT.calls(Observations.same_auction(fitting, calls, 0, 0))
    assert (made != PASS).all()


def would_have_bid(hands: np.ndarray, calls: tuple[int, ...]) -> np.ndarray:
    """Which hands make all earlier calls of the seat to call after `calls`."""
    fits = np.ones(len(hands), np.bool_)
    for place in range(len(calls) % 4, len(calls), 4):
        seen = Observations.same_auction(hands, calls[:place], 0, 0)
        fits &= BOT.calls(seen) == calls[place]
    return fits


def test_what_a_call_shows_is_true_of_the_hands_that_make_it() -> None:
    random = np.random.default_rng(6)
    hands = random.permuted(np.tile(np.arange(52) < 13, (4000, 1)), axis=1)
    lengths = hands.reshape(-1, 4, 13).sum(2)
    features = hand_features(hands)
    table = Table()
    options = options_of(table)
    made = BOT.calls(Observations.same_auction(hands, (), 0, 0))
    for call in set(made.tolist()) - {PASS}:
        known = table.after(call, options).known[0]
        rows = made == call
        assert (lengths[rows] >= np.array(known.shortest)).all(), format_call(call)
        assert (lengths[rows] <= np.array(known.longest)).all(), format_call(call)
        assert (features[rows, Feature.POINTS] >= known.low).all(), format_call(call)
        assert (features[rows, Feature.HCP] <= known.high).all(), format_call(call)


def test_the_texts_of_alerts() -> None:
    option = Option(parse_call("2D"), (length(2, 5),), 1, "transfer2", "transfer")
    assert describe(option) == "transfer: 5+ hearts, forcing"
    assert describe(Option(parse_call("1NT"), (hcp(15, 17),))) == "15-17 HCP"
    assert describe(Option(PASS, fallback=True)) == "for want of a better call"
    seen = Observations.same_auction(parse_hand("KJ972.84.873.T92")[None], (4, PASS), 0, 0)
    assert BOT.explain(seen) == ["transfer: 5+ spades, forcing"]


def sample() -> SolvedDeals:
    return read_solved_deals("sample:random-10k")


def test_a_match_beats_the_passing_bot_and_auctions_end() -> None:
    match = play_match(BOT, PassBot(), boards_of(sample(), 300, 0))
    document = match.document()
    assert document["imps_per_board"] > 5 * document["se"]
    # Nobody drives on without end, or doubles an opponent who never bid.
    assert max((table.calls >= 0).sum(1).max() for table in match.tables) < 40


def test_both_partners_stop_with_little_and_reach_game_with_much() -> None:
    match = play_match(BOT, BOT, boards_of(sample(), 300, 0))
    table = match.tables[0]
    assert (match.imps == 0).all()  # the same bot at both tables
    assert (table.bid < NUM_BIDS).all() and (table.doubled < 2).all()
    owner, rows = match.boards.owner, np.arange(len(match.boards))
    points = np.stack([hand_features(owner == seat)[:, Feature.HCP] for seat in range(4)], axis=1)
    declared = table.declarer >= 0
    side = points[:, :2] + points[:, 2:]
    ours = side[rows, table.declarer % 2]
    game = table.bid >= parse_call("3NT")
    assert game[declared & (ours >= 28)].mean() > 0.85
    assert game[declared & (ours <= 19)].mean() < 0.4  # preempts, and by the law of total tricks


def test_doubles_only_what_is_theirs() -> None:
    _, seen = positions(count=300, seed=9)
    calls = BOT.calls(seen)
    doubled = calls == DOUBLE
    assert ((seen.public.bidder - seen.seat) % 2 == 1)[doubled].all()
