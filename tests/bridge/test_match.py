"""Duplicate matches against one board at a time, the networks as bots, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.bridge.test_bots import positions
from trine.bridge.auction import Auction
from trine.bridge.bots.base import CALLS, Observations
from trine.bridge.bots.neural import NeuralBot
from trine.bridge.bots.passing import PassBot
from trine.bridge.bots.random_bot import RandomBot
from trine.bridge.bots.registry import make_bot
from trine.bridge.config import NetworkConfig
from trine.bridge.deals import read_solved_deals
from trine.bridge.lockstep import LockstepAuctions
from trine.bridge.match import Boards, boards_of, play_match
from trine.bridge.network import PolicyNetwork, save_network
from trine.bridge.observation import make_observation
from trine.bridge.records import read_records
from trine.bridge.scoring import imps, score
from trine.bridge.symmetry import canonical_codes
from trine.core.errors import CheckFailed, DataError, UsageError


class Bold:
    """Bids one of the low bids by its hand, so that auctions have a shape; doubles at times."""

    def __init__(self, name: str, salt: int) -> None:
        self.name = name
        self._salt = salt

    def calls(self, observations: Observations) -> np.ndarray:
        legal = observations.legal
        wish = (observations.hands @ np.arange(52) + self._salt * observations.calls.shape[1]) % 7
        order = legal.cumsum(1)
        bids = (order > np.minimum(wish, order[:, -1] - 1)[:, None]).argmax(1)
        return np.where(observations.calls.shape[1] > 9, 35, np.where(wish > 3, 35, bids))


def _boards(count: int = 80) -> Boards:
    return boards_of(read_solved_deals("sample:random-10k"), count, seed=3)


def _obvious(bots: tuple[Bold, Bold], boards: Boards, row: int) -> int:
    """Points of North-South, one call at a time by the obvious engine."""
    auction = Auction(int(boards.dealer[row]))
    while not auction.over:
        seen = Observations.same_auction(
            (boards.owner[row] == auction.turn)[None], auction.calls, auction.dealer,
            int(boards.vulnerability[row]),
        )  # fmt: skip
        auction = auction.after(int(bots[auction.turn % 2].calls(seen)[0]))
    contract = auction.contract()
    if contract is None:
        return 0
    tricks = int(boards.tricks[row, contract.strain * 4 + contract.declarer])
    return score(contract, tricks, int(boards.vulnerability[row]))


def test_a_match_is_its_boards_one_by_one() -> None:
    first, second = Bold("first", 1), Bold("second", 5)
    boards = _boards()
    match = play_match(first, second, boards)
    for row in range(len(boards)):
        points = (
            _obvious((first, second), boards, row),
            _obvious((second, first), boards, row),
        )
        assert (match.tables[0].points[row], match.tables[1].points[row]) == points
        assert match.imps[row] == imps(points[0] - points[1])
    found = match.document()
    assert found["imps_per_board"] == pytest.approx(match.imps.mean())
    assert found["se"] == pytest.approx(match.imps.std(ddof=1) / len(boards) ** 0.5)
    assert found["wins"] + found["ties"] + found["losses"] == found["boards"] == 80
    assert found["wins"] > 5 and found["losses"] > 5
    for made in found["contracts"]:
        assert 0 < made["made"] < made["declared"]
    back = play_match(second, first, boards)
    assert (back.imps == -match.imps).all()


def test_a_bot_against_itself_ties_every_board() -> None:
    match = play_match(RandomBot(2), RandomBot(2), _boards(20))
    assert not match.imps.any()
    passed = play_match(PassBot(), PassBot(), _boards(20))
    assert (passed.tables[0].bid == -1).all() and not passed.tables[0].points.any()
    assert passed.tables[0].calls.shape == (20, 4)


def test_boards_are_fixed_by_the_seed_and_limited_by_the_deals() -> None:
    assert (_boards(80).dealer == _boards(80).dealer).all()
    with pytest.raises(UsageError, match="10,001 boards of 10,000 deals; accepted: 1 to 10,000"):
        boards_of(read_solved_deals("sample:random-10k"), 10_001, 0)


def test_deals_that_come_again_have_their_suits_permuted() -> None:
    deals = read_solved_deals("sample:random-10k").take(np.arange(3))
    boards = boards_of(deals, 72, 0, permute=True)
    assert (boards.deal == np.tile(np.arange(3), 24)).all()
    assert (boards.owner[:3] == deals.owner).all()
    codes = canonical_codes(boards.owner)
    for deal in range(3):
        rows = boards.deal == deal
        assert len(np.unique(boards.owner[rows], axis=0)) == 24
        assert (codes[rows] == codes[deal]).all()
        # The rows of the table go with the suits: here, the notrump row stays.
        assert (boards.tricks[rows, 16:] == deals.tricks[deal, 16:]).all()
    with pytest.raises(UsageError, match="73 boards of 3 deals; accepted: 1 to 72"):
        boards_of(deals, 73, 0, permute=True)
    match = play_match(Bold("first", 1), Bold("second", 5), boards)
    sums = np.bincount(boards.deal, match.imps - match.imps.mean())
    assert match.document()["se"] == pytest.approx((sums @ sums * 3 / 2) ** 0.5 / 72)
    assert match.document()["deals"] == 3


def test_an_illegal_call_ends_the_match_with_a_word() -> None:
    class Doubler:
        name = "doubler"

        def calls(self, observations: Observations) -> np.ndarray:
            return np.full(len(observations), 36)

    with pytest.raises(CheckFailed, match=r"doubler called 36 on board \d+, which is not legal"):
        play_match(Doubler(), PassBot(), _boards(5))


@pytest.fixture
def network(tmp_path: Path) -> Path:
    config = NetworkConfig(layers=2, width=32)
    made = PolicyNetwork(config, make_observation(config.codec).size)
    made.reset(torch.Generator().manual_seed(1))
    return save_network(tmp_path / "own.safetensors", made)


def test_a_network_bids_as_in_self_play(network: Path) -> None:
    bot = NeuralBot(network)
    auctions, seen = positions(60)
    shares = bot.probabilities(seen)
    assert shares.shape == (60, CALLS)
    assert not shares[~seen.legal].any()
    # The engine of self-play, one auction at a time.
    for row, auction in enumerate(auctions[:20]):
        fast = LockstepAuctions.start(
            torch.tensor([auction.dealer]), torch.tensor([int(seen.vulnerability[row])])
        )
        for call in auction.calls:
            fast = fast.after(torch.tensor([call]))
        hand = torch.from_numpy(seen.hands[row : row + 1])
        with torch.no_grad():
            logits = bot._network.logits(bot._observation.encode(fast, hand).float())[0]
        logits[~fast.legal()[0]] = -torch.inf
        np.testing.assert_allclose(shares[row], logits.softmax(0).numpy(), atol=1e-6)


def test_bots_by_name(network: Path) -> None:
    assert make_bot("pass").name == "pass"
    assert make_bot(str(network)).name == "own"
    with pytest.raises(UsageError, match="bot 'wbridge5'; accepted: pass, random, rules, trine"):
        make_bot("wbridge5")
    with pytest.raises(DataError):
        make_bot("jps2020:" + str(network))


def test_the_command_gives_figures_and_swings(trine, network: Path, tmp_path: Path) -> None:
    done = trine(
        "bridge", "match", str(network), "pass", "--boards", "40", "--json",
        "--swings", str(tmp_path / "swings.pbn"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {"imps_per_board", "se", "boards", "wins", "ties", "losses"} <= set(found)
    assert found["boards"] == 40
    boards = read_records(tmp_path / "swings.pbn").boards
    assert len(boards) == 20
    assert boards[0].auction.over
    # Told before the boards are bid: the bots are not even looked at.
    early = trine("bridge", "match", "nobody", "pass", "--swings", "swings.txt")
    assert "cannot tell the notation of swings.txt; accepted: .pbn, .lin" in early.stderr
    wrong = trine("bridge", "match", "nobody", "pass")
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1
