import pytest
import torch

from tests.bridge.positions import CODEC, actor, made_up_deals
from trine.bridge.auction import Auction
from trine.bridge.config import RewardConfig, SearchConfig
from trine.bridge.critic_view import EXTRA_INPUTS
from trine.bridge.packed_bits import unpack_bits
from trine.bridge.players import Players, draw, match_points, play_out
from trine.bridge.rewards import imps_of
from trine.bridge.scoring import score
from trine.bridge.search.strategy import SearchStrategy
from trine.bridge.self_play import play_batch, seat_controls


def _batch(past=None, tables=2, count=40):
    deals = made_up_deals(count)
    generator = torch.Generator().manual_seed(5)
    reward = RewardConfig(tables=tables)
    strategy = SearchStrategy(SearchConfig())
    return deals, play_batch(deals, actor(), past, 0.5, reward, strategy, generator)


def test_a_batch_is_auctions_of_the_rules_with_their_scores():
    deals, batch = _batch()
    for table in range(80):
        rows = (batch.table == table).nonzero()[:, 0]
        assert batch.step[rows].tolist() == list(range(len(rows)))
        deal = table % 40
        auction = Auction(int(deals.dealer[deal]))
        for row in rows.tolist():
            assert int(batch.seat[row]) == auction.turn
            legal = batch.legal[row].nonzero()[:, 0].tolist()
            assert legal == sorted(auction.legal())
            auction = auction.after(int(batch.call[row]))
        assert auction.over and len(rows) == int(batch.lengths[table])
        contract, points = auction.contract(), 0
        if contract is not None:
            tricks = int(deals.tricks[deal, contract.strain * 4 + contract.declarer])
            points = score(contract, tricks, int(deals.vulnerability[deal]))
        assert float(batch.points[table]) == points


def test_observations_wait_as_bits():
    deals, batch = _batch()
    first = batch.step == 0
    x = unpack_bits(batch.bits[first], batch.inputs)
    expected = deals.tables(2)
    seen = actor().observe(expected)[0]
    torch.testing.assert_close(x, seen.float())


def test_rewards_of_the_two_tables_of_a_deal_cancel():
    _, batch = _batch()
    torch.testing.assert_close(batch.reward[:40], -batch.reward[40:])
    expected = imps_of(batch.points[:40] - batch.points[40:]) / 24
    torch.testing.assert_close(batch.reward[:40], expected)


def test_the_last_pass_is_worth_what_happens():
    # Before the last call, "all pass from here on" is the outcome itself.
    _, batch = _batch()
    last = batch.step == batch.lengths[batch.table] - 1
    torch.testing.assert_close(batch.now[last], batch.reward[batch.table[last]])


@pytest.mark.parametrize("tables", [2, 4])
def test_the_learner_sits_once_in_each_direction_against_a_past_self(tables):
    past = torch.tensor([True, False])
    controls = seat_controls(past, tables).view(tables, 2, 2)
    assert controls[:, 1].all()  # against itself: everywhere
    assert controls[: tables // 2, 0].tolist() == [[True, False]] * (tables // 2)
    assert controls[tables // 2 :, 0].tolist() == [[False, True]] * (tables // 2)


def test_the_past_self_is_asked_for_its_own_calls_only():
    past = actor(seed=2)
    _, batch = _batch(past)
    assert 0 < past.decisions == int((~batch.mine).sum())
    against = batch.against_past[batch.table]
    assert batch.mine[~against].all()
    side = torch.where(batch.table < 40, 0, 1)
    assert torch.equal(batch.mine[against], (batch.seat % 2 == side)[against])


def test_advantages_with_a_perfect_memory_are_rewards():
    _, batch = _batch()
    rows = torch.arange(len(batch.call))
    own, targets = batch.advantages(
        rows, torch.zeros(len(rows)), discount=1.0, gae_lambda=1.0, stride=1
    )
    torch.testing.assert_close(own, batch.reward[batch.table] * batch.sign)
    torch.testing.assert_close(targets, own)


@pytest.mark.parametrize("gae_lambda", [0.0, 0.6, 1.0])
def test_decisions_that_are_passed_over_count_as_forced(gae_lambda):
    _, batch = _batch()
    generator = torch.Generator().manual_seed(8)
    rows = (torch.rand(len(batch.call), generator=generator) < 0.3).nonzero()[:, 0]
    values = torch.randn(len(rows), generator=generator)
    _, targets = batch.advantages(rows, values, discount=1.0, gae_lambda=gae_lambda, stride=1)
    north_south = (values * batch.sign[rows]).tolist()
    wanted = []
    for row in rows.tolist():
        same = (batch.table[rows] == batch.table[row]) & (batch.step[rows] > batch.step[row])
        later = same.nonzero()[:, 0].tolist()
        # From the last chosen decision back: what follows is mixed of its value and of its target.
        target = float(batch.reward[batch.table[row]])
        for other in sorted(later, key=lambda k: -int(batch.step[rows[k]])):
            target = gae_lambda * target + (1 - gae_lambda) * north_south[other]
        wanted.append(target * float(batch.sign[row]))
    torch.testing.assert_close(targets, torch.tensor(wanted), atol=1e-5, rtol=1e-5)


def test_the_critic_sees_the_table_from_the_seat_of_the_caller():
    deals, batch = _batch()
    rows = torch.arange(0, len(batch.call), 7)
    x = unpack_bits(batch.bits[rows], batch.inputs)
    seat, table = batch.seat[rows], batch.table[rows]
    seen = batch.view.inputs(x, table, seat, batch.now[rows])
    assert seen.shape == (len(rows), CODEC.size + EXTRA_INPUTS)
    extra = seen[:, CODEC.size :]
    for place, row in enumerate(rows.tolist()):
        deal, own = int(batch.table[row]) % 40, int(batch.seat[row])
        for other in range(3):
            hand = deals.owner[deal] == (own + 1 + other) % 4
            assert torch.equal(extra[place, 52 * other : 52 * (other + 1)], hand.float())
        tricks = extra[place, 156:176].view(5, 4) * 13
        for strain in range(5):
            turned = [int(deals.tricks[deal, strain * 4 + (own + k) % 4]) for k in range(4)]
            assert tricks[strain].round().int().tolist() == turned
        sign = 1 if own % 2 == 0 else -1
        assert float(extra[place, -2]) == pytest.approx(sign * float(batch.now[row]))
        reward = batch.view.contracts[int(batch.table[row])]  # 1NT by the caller's side, undoubled
        assert float(extra[place, 176 + 4]) == pytest.approx(sign * float(reward[own % 2, 4]))


def test_draws_follow_the_probabilities():
    p = torch.tensor([0.0, 0.2, 0.0, 0.7, 0.1]).repeat(20_000, 1)
    drawn = draw(p, torch.Generator().manual_seed(1))
    share = torch.bincount(drawn, minlength=5) / len(p)
    torch.testing.assert_close(share, p[0], atol=0.01, rtol=0)
    assert share[0] == share[2] == 0


def test_a_match_of_a_bot_against_itself_is_even():
    tables = made_up_deals(30).tables(1)
    greedy = actor(temperature=0.0)
    north, east = match_points(greedy, greedy, tables, torch.Generator().manual_seed(1))
    assert torch.equal(north, east)
    players = Players(greedy, None, torch.ones((30, 2), dtype=torch.bool))
    assert torch.equal(play_out(tables, players, torch.Generator().manual_seed(2)), north)
