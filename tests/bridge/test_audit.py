"""Rates of the audit, its facts against plain loops, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.bridge.scripted import Scripted, bid_by_hand, board_of
from tests.bridge.test_match import Bold
from tests.conftest import Command
from trine.bridge.auction import Auction, Contract
from trine.bridge.audit.base import Audited
from trine.bridge.audit.registry import MEASURES
from trine.bridge.audit.report import audit_bot, count_measures, difference
from trine.bridge.audit.slams import cashable_tricks
from trine.bridge.bots.passing import PassBot
from trine.bridge.calls import NUM_BIDS, parse_auction
from trine.bridge.deals import pack_deals, read_solved_deals
from trine.bridge.deals_file import write_deals
from trine.bridge.match import Boards, bid_out, boards_of
from trine.bridge.par import find_par
from trine.bridge.records import read_records
from trine.bridge.scoring import imps, score

pytest.importorskip("endplay")

BOARDS = 150


@pytest.fixture(scope="module")
def boards() -> Boards:
    return boards_of(read_solved_deals("sample:random-10k"), BOARDS, seed=5)


@pytest.fixture(scope="module")
def seen(boards: Boards) -> Audited:
    return Audited(boards, bid_out(boards, (Bold("a", 1), Bold("b", 5))))


def _auctions(seen: Audited) -> list[Auction]:
    return [
        Auction(int(dealer), tuple(int(call) for call in row if call >= 0))
        for dealer, row in zip(seen.boards.dealer, seen.table.calls, strict=True)
    ]


def test_facts_of_auctions_are_those_of_plain_loops(seen: Audited):
    facts = seen.auction
    for row, auction in enumerate(_auctions(seen)):
        bids = [place for place, call in enumerate(auction.calls) if call < NUM_BIDS]
        assert facts.opening[row] == (bids[0] if bids else -1)
        assert facts.final[row] == auction.standing
        assert facts.length[row] == len(auction.calls)
        for side in range(2):
            own = [place for place in bids if (auction.dealer + place) % 2 == side]
            assert facts.last_bid[row, side] == (auction.calls[own[-1]] if own else -1)
            for strain in range(5):
                named = [place for place in own if auction.calls[place] % 5 == strain]
                assert facts.first_place[row, side, strain] == (named[0] if named else -1)
        for step in range(4):
            place = bids[0] + step if bids else 99
            inside = place < len(auction.calls)
            assert facts.after_opening(step)[row] == (auction.calls[place] if inside else -1)


def test_facts_of_contracts_are_those_of_the_scalar_rules(seen: Audited):
    kinds = set()
    for row, auction in enumerate(_auctions(seen)):
        tricks, vulnerability = seen.boards.tricks[row], int(seen.boards.vulnerability[row])
        par = find_par(tricks, auction.dealer, vulnerability)
        contract = auction.contract()
        if contract is None:
            assert (seen.side[row], seen.level[row], seen.kind[row]) == (-1, 0, -1)
            assert not seen.made[row] and not seen.failed[row]
            points = 0
        else:
            taken = int(tricks[contract.strain * 4 + contract.declarer])
            points = score(contract, taken, vulnerability)
            sign = -1 if contract.declarer % 2 else 1
            assert (seen.side[row], seen.level[row], seen.strain[row]) == (
                contract.declarer % 2, contract.level, contract.strain,
            )  # fmt: skip
            assert seen.made[row] == (taken >= contract.level + 6) != seen.failed[row]
            assert seen.own_points[row] == sign * points
            # What a kind is follows from the bonus for making it exactly.
            exact = score(contract._replace(doubled=0), contract.level + 6, 0) * sign
            bonus = exact - _trick_points(contract)
            assert {50: 0, 300: 1, 800: 2, 1300: 3}[bonus] == seen.kind[row]
            kinds.add(bonus)
        assert seen.par[row] == par.score
        assert seen.imps_lost[row].tolist() == [
            imps(par.score - points), -imps(par.score - points)
        ]  # fmt: skip
    assert {50, 300} <= kinds


def _trick_points(contract: Contract) -> int:
    return contract.level * (20 if contract.strain < 2 else 30) + 10 * (contract.strain == 4)


def test_two_cashable_tricks_beat_a_slam():
    deals = read_solved_deals("sample:random-10k").take(np.arange(3000))
    beaten, cases = 0, 0
    for side in range(2):
        for strain in range(5):
            tricks = cashable_tricks(deals.owner, np.full(3000, side), np.full(3000, strain))
            off = deals.tricks[tricks >= 2][:, [strain * 4 + side, strain * 4 + side + 2]]
            beaten += int((off <= 11).sum())
            cases += off.size
    # The rest are entries that a defender does not have, and blocked suits.
    assert cases > 20_000 and beaten / cases > 0.999


def test_a_board_counts_once_and_its_rate_is_per_thousand():
    board = board_of({"S": (8, 5)})
    audit = audit_bot(Scripted("1S P 4S P P P"), board)
    rates = audit.document()["measures"]
    assert rates["game-too-high"]["count"] == 1
    assert rates["game-too-high"]["per_thousand"] == 1000
    assert rates["game-too-high"]["imps_lost"] == imps(110 + 100)
    assert rates["missed-game"] == {
        "count": 0, "per_thousand": 0, "se": pytest.approx(float("nan"), nan_ok=True),
        "imps_lost": None,
    }  # fmt: skip


def test_against_opponents_only_the_bots_side_counts_at_both_tables():
    # At the first table the bot is North and bids game on eight tricks; at the second it passes.
    board = board_of({"S": (8, 5)})
    bot = Scripted("1S P 4S", "bidder")
    found = audit_bot(bot, board, PassBot())
    assert found.counts[[m.name for m in MEASURES].index("game-too-high")].tolist() == [1]
    other = audit_bot(PassBot(), board, bot)
    assert other.counts.sum() == 0
    assert found.document()["tables"] == 2
    # The double is East's, at the table where the bot sits East-West.
    doubler = Scripted("P P P X", "doubler")
    made = board_of({"S": (10, 3)})
    doubled = audit_bot(doubler, made, bot)
    assert doubled.document()["measures"]["doubled-game-made"]["count"] == 1
    assert audit_bot(bot, made, doubler).document()["measures"]["doubled-game-made"]["count"] == 0


def test_rates_errors_and_differences_are_those_of_plain_numpy(seen: Audited, boards: Boards):
    audit = count_measures(("a", "b"), (seen,))
    other = audit_bot(Bold("c", 3), boards)
    gaps = difference(audit, other)
    most = max(MEASURES, key=lambda m: audit.counts[MEASURES.index(m)].sum())
    flags = most.find(seen).any(1).astype(float)
    figures = audit.document()["measures"][most.name]
    assert figures["count"] == flags.sum() > 5
    assert figures["per_thousand"] == pytest.approx(1000 * flags.mean())
    assert figures["se"] == pytest.approx(1000 * flags.std(ddof=1) / BOARDS**0.5)
    lost = seen.imps_lost[most.find(seen)]
    assert figures["imps_lost"] == pytest.approx(lost.mean())
    theirs = most.find(other.tables[0]).any(1).astype(float)
    assert gaps[most.name]["per_thousand"] == pytest.approx(1000 * (flags - theirs).mean())
    assert gaps[most.name]["se"] == pytest.approx(1000 * (flags - theirs).std(ddof=1) / BOARDS**0.5)


def test_the_worst_boards_come_first_and_tell_their_measure(seen: Audited):
    records = count_measures(("a", "b"), (seen,)).worst(2)
    events = [record.tags["Event"] for record in records]
    for measure in MEASURES:
        mine = [event for event in events if event.startswith(measure.name + ": ")]
        flags = measure.find(seen)
        assert len(mine) == min(2, int(flags.any(1).sum()))
        if mine:
            assert mine[0].endswith(f": {-int(seen.imps_lost[flags].max()):+d} IMPs")
    assert records[0].auction.over and records[0].names == ("a", "b", "a", "b")


def test_a_hand_made_board_as_an_example():
    seen = bid_by_hand("1S P 4S P P P", board_of({"S": (8, 5)}))
    (record,) = count_measures(("x", "x"), (seen,)).worst(3)
    assert record.tags["Event"] == "game-too-high: -5 IMPs"
    assert record.calls == parse_auction("1S P 4S P P P")
    assert (record.par, record.taken, record.board) == (110, 8, "1")


def test_the_command(trine: Command, tmp_path: Path):
    done = trine(
        "bridge", "audit", "random", "--boards", "60", "--against", "pass", "--seed", "2",
        "--examples", "worst.pbn", "--worst", "2", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["bot"], document["boards"], document["tables"]) == ("random", 60, 1)
    assert document["deals_from"] == "sample:random-10k"
    for part in (document["measures"], document["against"]["measures"], document["difference"]):
        assert list(part) == [measure.name for measure in MEASURES]
    name = "game-too-high"
    assert document["against"]["measures"][name]["count"] == 0
    gap = document["measures"][name]["per_thousand"]
    assert document["difference"][name]["per_thousand"] == pytest.approx(gap)
    boards = read_records(tmp_path / "worst.pbn").boards
    assert 5 < len(boards) <= 2 * len(MEASURES)
    assert all(board.auction.over and board.par is not None for board in boards)


def test_the_command_shows_a_table(trine: Command):
    done = trine("bridge", "audit", "pass", "--boards", "40", "--opponents", "random")
    assert done.returncode == 0, done.stderr
    assert "pass over 40 boards against random, both ways" in done.stdout
    for measure in MEASURES:
        assert measure.name in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nobody",), 2, "bot 'nobody'; accepted: pass, random"),
        (("pass", "--opponents", "nobody"), 2, "bot 'nobody'; accepted"),
        (("pass", "--deals", "nothing.deals"), 3, "no file nothing.deals"),
        (("pass", "--deals", "sample:many"), 2, "unknown sample 'sample:many'"),
        (("pass", "--boards", "0"), 2, "--boards"),
        (("pass", "--examples", "worst.txt"), 2, "cannot tell the notation of worst.txt"),
    ],
    ids=["bot", "opponents", "deals", "sample", "boards", "examples"],
)
def test_mistakes_are_one_line(trine: Command, arguments: tuple[str, ...], code: int, message: str):
    done = trine("bridge", "audit", *arguments)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_deals_file_cut_short_is_told_and_the_rest_used(trine: Command, tmp_path: Path):
    deals = read_solved_deals("sample:random-10k").take(np.arange(100))
    path = tmp_path / "cut.deals"
    write_deals(path, pack_deals(deals.owner, deals.tricks))
    path.write_bytes(path.read_bytes()[:-1])
    done = trine("bridge", "audit", "pass", "--deals", "cut.deals", "--json")
    assert done.returncode == 0, done.stderr
    assert "1 of 3 blocks are cut off or damaged" in done.stderr
    assert json.loads(done.stdout)["boards"] == 80
    write_deals(path.with_name("few.deals"), pack_deals(deals.owner, deals.tricks))
    few = trine("bridge", "audit", "pass", "--deals", "few.deals", "--boards", "2000")
    assert few.returncode == 2
    assert "2,000 boards of 100 deals; accepted: 1 to 100" in few.stderr
