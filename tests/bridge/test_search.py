import pytest
import torch

from tests.bridge.positions import actor, made_up_deals
from trine.bridge.config import RewardConfig, SearchConfig
from trine.bridge.network import mask_illegal
from trine.bridge.packed_bits import unpack_bits
from trine.bridge.players import Players, draw, play_out
from trine.bridge.rewards import Rewards
from trine.bridge.search import STRATEGIES, make_strategy
from trine.bridge.search.density import Density
from trine.bridge.search.jps2020 import Jps2020
from trine.bridge.search.rollouts import candidates, joint_rollouts
from trine.bridge.search.strategy import Decisions
from trine.bridge.self_play import play_batch
from trine.core.errors import UsageError

COUNT = 60


def _start(temperature=1.0, scale=1.0):
    tables = made_up_deals(COUNT).tables(1)
    learner = actor(scale=scale, temperature=temperature)
    return tables, Players(learner, None, torch.ones((COUNT, 2), dtype=torch.bool))


def _decisions(tables, players):
    _, _, p = players.policy(tables)
    rows = torch.arange(len(tables))
    mine = torch.ones(len(tables), dtype=torch.bool)
    calls = draw(p, torch.Generator().manual_seed(3))
    return Decisions(tables, players, rows, rows, p, calls, mine)


def test_candidates_are_the_probable_calls_and_always_one():
    p = torch.tensor([[0.5, 0.3, 0.2], [0.04, 0.9, 0.06], [0.34, 0.33, 0.33]])
    rows, calls = candidates(p, 0.25)
    assert list(zip(rows.tolist(), calls.tolist(), strict=True)) == [
        (0, 0), (0, 1), (1, 1), (2, 0), (2, 1), (2, 2)
    ]  # fmt: skip
    rows, calls = candidates(p, 0.95)
    assert calls.tolist() == [0, 1, 0]


def test_without_a_branch_and_without_chance_a_rollout_is_the_auction_itself():
    tables, players = _start(temperature=0.0)
    _, _, p = players.policy(tables)
    calls = p.argmax(1)
    generator = torch.Generator().manual_seed(1)
    found = joint_rollouts(
        tables, players, calls, generator, minimum=0.05, rollouts=2, branch=False
    )
    points = torch.zeros((COUNT, 2))
    points[found.pair] = found.points
    assert sorted(found.pair.tolist()) == list(range(COUNT))
    for rollout in range(2):
        assert torch.equal(points[:, rollout], play_out(tables, players, generator))


def test_branches_are_the_partners_candidates():
    tables, players = _start()
    _, _, p = players.policy(tables)
    rows, calls = candidates(p, 0.05)
    generator = torch.Generator().manual_seed(1)
    found = joint_rollouts(
        tables.select(rows), players.select(rows), calls, generator,
        minimum=0.05, rollouts=1, branch=True,
    )  # fmt: skip
    assert set(found.pair.tolist()) == set(range(len(rows)))  # each candidate has a leaf
    for place, pair in enumerate(found.partner_rows.tolist()):
        wanted = candidates(found.partner_p[place : place + 1], 0.05)[1].tolist()
        assert found.partner_call[found.pair == pair].tolist() == wanted
    # The partner has called once the caller and one opponent have: two calls later, same side.
    assert found.partner_legal.shape == found.partner_p.shape
    assert (found.partner_p[~found.partner_legal] == 0).all()


def test_jps_calls_the_candidate_that_scores_best():
    tables, players = _start(scale=1.0)
    decisions = _decisions(tables, players)
    search = make_strategy(
        SearchConfig(strategy="jps2020", share=1.0, rollouts=1, partner_branch=False)
    )
    assert isinstance(search, Jps2020)
    # Play without chance after the candidate: its score can be computed one by one.
    greedy = Players(actor(scale=1.0, temperature=0.0), None, players.controlled)
    decisions = Decisions(
        tables, greedy, decisions.table, decisions.deal, decisions.p, decisions.calls,
        decisions.mine,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(4)
    search.begin(COUNT, generator, torch.device("cpu"))
    made = search.choose(decisions, generator)
    searched = 0
    for row in range(COUNT):
        calls = (decisions.p[row] > 0.05).nonzero()[:, 0]
        if len(calls) < 2:
            assert made[row] == decisions.calls[row]
            continue
        searched += 1
        each = torch.full((len(calls),), row)
        after = tables.select(each).after(calls)
        points = play_out(after, greedy.select(each), generator)
        sign = 1 - 2 * (int(tables.seat[row]) % 2)
        best = (points * sign).argmax()
        assert made[row] == calls[best]
    assert searched > 5


def test_jps_searches_the_chosen_share_of_deals_only():
    tables, players = _start()
    decisions = _decisions(tables, players)
    search = make_strategy(SearchConfig(strategy="jps2020", share=0.0))
    generator = torch.Generator().manual_seed(4)
    search.begin(COUNT, generator, torch.device("cpu"))
    assert torch.equal(search.choose(decisions, generator), decisions.calls)


def _density_batch(exploration=0.1):
    search = make_strategy(
        SearchConfig(strategy="density", share=0.3, rollouts=2, exploration=exploration)
    )
    assert isinstance(search, Density)
    learner = actor()
    batch = play_batch(
        made_up_deals(COUNT), learner, None, 0.0, RewardConfig(), search,
        torch.Generator().manual_seed(5),
    )  # fmt: skip
    assert search.changes is not None and batch.examples == len(search.changes.first.bits)
    return search, learner.network, batch


def test_the_value_of_a_leaf_is_the_mean_reward_of_its_rollouts_not_the_reward_of_the_mean(
    monkeypatch,
):
    seen = []
    real = Rewards.of

    def noted(self, points, tables=None):
        seen.append(points)
        return real(self, points, tables)

    monkeypatch.setattr(Rewards, "of", noted)
    _density_batch()
    leaves = [points for points in seen if points.ndim == 2 and points.shape[1] == 2]
    assert leaves
    # Every single result is a score, a multiple of ten; a mean of two need not be.
    assert all(bool((points % 10 == 0).all()) for points in leaves)
    assert any(bool((points[:, 0] != points[:, 1]).any()) for points in leaves)


def test_imps_of_a_mean_are_not_the_mean_of_imps():
    rewards = Rewards("duplicate", 1.0, torch.tensor([[420.0]]))
    results = torch.tensor([[420.0, -50.0]])
    assert float(rewards.of(results).mean()) == -5.0
    assert float(rewards.of(results.mean(1))) == -6.0


def test_advantages_of_a_decision_have_mean_zero_under_the_old_policy():
    search, _, _ = _density_batch()
    assert search.changes is not None
    for choices in (search.changes.first, search.changes.second):
        total = torch.zeros(len(choices.bits))
        total.scatter_add_(0, choices.row, choices.old * choices.advantage)
        torch.testing.assert_close(total, torch.zeros_like(total), atol=1e-5, rtol=0)
        assert (choices.row.diff() >= 0).all()


@pytest.mark.parametrize("exploration", [0.0, 0.2])
def test_the_gradient_is_that_of_the_sum_of_densities(exploration):
    search, network, batch = _density_batch(exploration)
    examples = torch.arange(0, batch.examples, 2)
    loss = search.loss(network, examples, clip=0.99, temperature=1.0, bf16=False)
    loss.backward()
    found = [weight.grad.clone() for weight in network.parameters() if weight.grad is not None]
    network.zero_grad()
    assert search.changes is not None
    first, second, parent = search.changes.first, search.changes.second, search.changes.parent

    def probabilities(choices):
        logits = network.logits(unpack_bits(choices.bits, batch.inputs))
        return torch.softmax(mask_illegal(logits, choices.legal), -1)

    # The sum as it stands in the module's text, one decision after another. The factor 1 - ε of the
    # derivative of σ' is left out by the clipped form, which weights by the old probability.
    p, q = probabilities(first), probabilities(second)
    total = torch.zeros(())
    for example in examples.tolist():
        mine = (first.row == example).nonzero()[:, 0].tolist()
        for a in mine:
            own = p[example, first.call[a]]
            reach = (1 - exploration) * own.detach() + exploration / len(mine)
            inner = torch.zeros(())
            for partner in (parent == a).nonzero()[:, 0].tolist():
                for b in (second.row == partner).nonzero()[:, 0].tolist():
                    inner = inner + q[partner, second.call[b]] * second.advantage[b]
            total = total + own * (first.advantage[a] + inner.detach()) + reach * inner
    (-total / len(examples)).backward()
    expected = [weight.grad for weight in network.parameters() if weight.grad is not None]
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_every_strategy_of_the_registry_is_made(name):
    assert make_strategy(SearchConfig(strategy=name)).config.strategy == name


def test_an_unknown_strategy_is_refused():
    with pytest.raises(UsageError, match="did you mean 'jps2020'"):
        make_strategy(SearchConfig(strategy="jps2000"))
