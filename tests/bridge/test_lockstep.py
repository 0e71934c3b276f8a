import numpy as np
import pytest
import torch

from trine.bridge.auction import Auction, Contract
from trine.bridge.lockstep import LockstepAuctions
from trine.bridge.observation import make_observation
from trine.bridge.rewards import auction_points, score_table
from trine.bridge.scoring import score
from trine.core.errors import UsageError


def _random_auctions(count=150, seed=1):
    """Random legal play by the plain rules, the lock-step engine beside it; yields every state."""
    generator = np.random.default_rng(seed)
    dealers = generator.integers(4, size=count)
    plain = [Auction(int(dealer)) for dealer in dealers]
    vulnerability = torch.from_numpy(generator.integers(4, size=count))
    lockstep = LockstepAuctions.start(torch.from_numpy(dealers), vulnerability)
    while plain:
        yield plain, lockstep
        calls = []
        for auction in plain:
            legal = auction.legal()
            # Low calls, doubles and passes often: otherwise everybody is at the seven level.
            calls.append(legal[min(int(generator.geometric(0.3)) - 1, len(legal) - 1)])
            if generator.random() < 0.4:
                calls[-1] = int(generator.choice([c for c in legal if c >= 35]))
        plain = [auction.after(call) for auction, call in zip(plain, calls, strict=True)]
        lockstep = lockstep.after(torch.tensor(calls))
        going = [place for place, auction in enumerate(plain) if not auction.over]
        assert (~lockstep.done).nonzero()[:, 0].tolist() == going
        yield plain, lockstep
        plain = [plain[place] for place in going]
        lockstep = lockstep.select(torch.tensor(going, dtype=torch.long))


def test_the_engine_keeps_the_plain_rules():
    seen_late_declarer = 0
    tricks = torch.from_numpy(np.random.default_rng(2).integers(14, size=(150, 20)))
    for plain, lockstep in _random_auctions():
        legal, points = lockstep.legal(), auction_points(lockstep, tricks[: len(plain)])
        for place, auction in enumerate(plain):
            assert int(lockstep.turn[place]) == auction.turn
            if not auction.over:
                assert legal[place].nonzero()[:, 0].tolist() == auction.legal()
            contract, expected = auction.contract(), 0
            if contract is not None:
                assert int(lockstep.declarer[place]) == contract.declarer
                taken = int(tricks[place, contract.strain * 4 + contract.declarer])
                expected = score(contract, taken, int(lockstep.vulnerability[place]))
                bids = [c for c in auction.calls if c < 35]
                last = auction.calls.index(bids[-1])
                seen_late_declarer += (auction.dealer + last) % 4 != contract.declarer
            assert float(points[place]) == expected
    assert seen_late_declarer > 20  # the last bidder is often not the declarer


def test_points_of_every_contract():
    table = score_table()
    for doubled in range(3):
        for vulnerable in range(2):
            for bid in range(35):
                contract = Contract(bid // 5 + 1, bid % 5, doubled, 0)
                expected = [score(contract, tricks, vulnerable) for tricks in range(14)]
                assert table[doubled, vulnerable, bid].tolist() == expected


@pytest.mark.parametrize(
    ("bid", "doubled", "vulnerable", "tricks", "points"),
    [
        (4, 0, 0, 7, 90),  # 1NT=
        (7, 0, 0, 9, 140),  # 2H+1
        (14, 0, 1, 9, 600),  # 3NT=
        (18, 0, 1, 11, 650),  # 4S+1
        (5, 1, 0, 8, 180),  # 2Cx=
        (7, 1, 1, 8, 670),  # 2Hx=
        (4, 2, 1, 9, 1560),  # 1NTxx+2
        (29, 0, 1, 12, 1440),  # 6NT=
        (33, 0, 0, 13, 1510),  # 7S=
        (34, 2, 1, 13, 2980),  # 7NTxx=
        (21, 1, 0, 7, -800),  # 5Dx-4
        (13, 1, 1, 6, -800),  # 3Sx-3
        (0, 2, 1, 0, -4000),  # 1Cxx-7
        (34, 2, 1, 0, -7600),  # 7NTxx-13
    ],
)
def test_golden_scores_of_the_laws(bid, doubled, vulnerable, tricks, points):
    # Law 77; the list of check values of the project's specification of bridge scoring.
    assert float(score_table()[doubled, vulnerable, bid, tricks]) == points


def test_what_a_player_sees_is_the_auction_from_its_seat():
    codec = make_observation("lockhart480")
    generator = np.random.default_rng(3)
    for plain, lockstep in _random_auctions(40, seed=4):
        hand = torch.from_numpy(generator.integers(2, size=(len(plain), 52))).bool()
        x = codec.encode(lockstep, hand)
        assert x.shape == (len(plain), 480)
        for place, auction in enumerate(plain):
            expected = np.zeros(480, dtype=np.uint8)
            me, bits = auction.turn, int(lockstep.vulnerability[place])
            for side in range(2):
                expected[2 * side + (bits >> ((me + side) % 2) & 1)] = 1
            bid = -1
            for number, call in enumerate(auction.calls):
                relative = (auction.dealer + number - me) % 4
                if call == 35:
                    if bid < 0:
                        expected[4 + relative] = 1
                    continue
                bid = call if call < 35 else bid
                kind = 0 if call < 35 else call - 35
                expected[8 + bid * 12 + kind * 4 + relative] = 1
            expected[428:] = hand[place].numpy()
            assert x[place].tolist() == expected.tolist()


def test_an_unknown_codec_is_refused():
    with pytest.raises(UsageError, match="did you mean 'lockhart480'"):
        make_observation("lockhart408")
