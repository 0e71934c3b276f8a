import numpy as np
import pytest
import torch

from trine.bridge.auction import Contract
from trine.bridge.cards import Deal, format_deal
from trine.bridge.deals import read_solved_deals
from trine.bridge.rewards import Rewards, contract_points, imps_of, par_points
from trine.bridge.scoring import imps, score
from trine.core.errors import UsageError


def _tables(count, seed=1):
    generator = np.random.default_rng(seed)
    tricks = torch.from_numpy(generator.integers(0, 14, size=(count, 20)).astype(np.uint8))
    return tricks, torch.from_numpy(generator.integers(4, size=count))


def test_points_are_those_of_the_scalar_rules():
    tricks, vulnerability = _tables(6)
    points = contract_points(tricks, vulnerability).points
    for deal in range(6):
        for side in range(2):
            for doubled in range(2):
                for bid in range(35):
                    best = [
                        score(
                            Contract(bid // 5 + 1, bid % 5, doubled, declarer),
                            int(tricks[deal, bid % 5 * 4 + declarer]),
                            int(vulnerability[deal]),
                        )
                        for declarer in (side, side + 2)
                    ]
                    wanted = max(best) if side == 0 else min(best)  # the side's better declarer
                    assert float(points[deal, side, doubled, bid]) == wanted


def test_imps_are_those_of_the_scalar_rules():
    differences = torch.arange(-15200, 15210, 10)
    found = imps_of(differences).tolist()
    assert found == [imps(int(difference)) for difference in differences]


def _par_by_search(points, dealer):
    """Par as a game tree: a side may pass, or bid higher; its opponents may double or outbid."""

    memory: dict[tuple[int, int], float] = {}

    def held(side, bid):
        if (side, bid) not in memory:
            accepted = list(map(float, points[side, :, bid]))
            answers = [held(1 - side, higher) for higher in range(bid + 1, 35)]
            memory[side, bid] = (min if side == 0 else max)(accepted + answers)
        return memory[side, bid]

    def first(side, passed):
        options = [held(side, bid) for bid in range(35)]
        options.append(0.0 if passed else first(1 - side, True))
        return (max if side == 0 else min)(options)

    return first(dealer % 2, False)


def test_par_is_the_value_of_the_game_of_bidding():
    tricks, vulnerability = _tables(20, seed=2)
    dealer = torch.arange(20) % 4
    contracts = contract_points(tricks, vulnerability)
    found = par_points(contracts, dealer).tolist()
    expected = [_par_by_search(contracts.points[i], int(dealer[i])) for i in range(20)]
    assert found == expected


def test_duplicate_rewards_of_the_two_halves_cancel():
    points = torch.tensor([420.0, -50.0, 0.0, 140.0, 430.0, -50.0, 620.0, -100.0])  # 2 deals, K = 4
    rewards = Rewards.make("duplicate", 24.0, points, 4)
    found = rewards.of(points).view(4, 2)
    torch.testing.assert_close(found[:2].sum(0), -found[2:].sum(0))
    # Table 0 of deal 0: 420 against 430 and 620: 0 and -5 IMPs (difference 200).
    assert float(found[0, 0]) == pytest.approx((imps(-10) + imps(-200)) / 2 / 24)


def test_rewards_of_some_tables_and_other_kinds():
    points = torch.tensor([420.0, -50.0])
    rewards = Rewards.make("duplicate", 24.0, points, 2)
    one = rewards.of(torch.tensor([[100.0, 420.0]]), torch.tensor([1]))
    assert one[0].tolist() == pytest.approx([imps(-320) / 24, 0.0])
    own = Rewards.make("own_score", 7600.0, points, 2)
    assert own.of(points).tolist() == pytest.approx([420 / 7600, -50 / 7600])
    par = Rewards.make("minus_par", 24.0, points, 2, torch.tensor([400.0, 400.0]))
    assert par.of(points).tolist() == pytest.approx([imps(20) / 24, imps(-450) / 24])
    with pytest.raises(UsageError, match="unknown reward"):
        Rewards.make("butler", 24.0, points, 2)


def test_par_is_that_of_the_double_dummy_solver():
    pytest.importorskip("endplay")
    from endplay.dds import par
    from endplay.types import Deal as TheirDeal
    from endplay.types import Player, Vul

    deals = read_solved_deals("sample:random-10k").take(np.arange(8))
    vulnerability, dealer = np.arange(8) % 4, np.array([0, 1, 2, 3, 3, 2, 1, 0])
    contracts = contract_points(
        torch.from_numpy(deals.tricks).long(), torch.from_numpy(vulnerability)
    )
    found = par_points(contracts, torch.from_numpy(dealer)).tolist()
    theirs = (Vul.none, Vul.ns, Vul.ew, Vul.both)
    for row in range(8):
        deal = TheirDeal(format_deal(Deal(deals.owner[row])))
        assert par(deal, theirs[vulnerability[row]], Player(int(dealer[row]))).score == found[row]
