from dataclasses import replace

import pytest
import torch

from tests.bridge.positions import CODEC, actor, made_up_deals
from trine.bridge.config import NetworkConfig, PpoConfig, RewardConfig, SearchConfig
from trine.bridge.critic_view import EXTRA_INPUTS
from trine.bridge.network import PolicyNetwork, PrivilegedCritic, copy_of, mask_illegal
from trine.bridge.packed_bits import unpack_bits
from trine.bridge.ppo import Learner, ppo_update
from trine.bridge.ppo_passes import critic_pass, policy_pass
from trine.bridge.search import make_strategy
from trine.bridge.self_play import play_batch


def _setting(privileged=True, strategy="none", past=None, temperature=1.0):
    search = make_strategy(SearchConfig(strategy=strategy, share=0.2, rollouts=1))
    learner = actor(temperature=temperature)
    batch = play_batch(
        made_up_deals(60), learner, past, 0.5, RewardConfig(), search,
        torch.Generator().manual_seed(5),
    )  # fmt: skip
    critic = None
    if privileged:
        critic = PrivilegedCritic(CODEC.size + EXTRA_INPUTS, 2, 32)
        critic.reset(torch.Generator().manual_seed(6))
    policy = learner.network
    made = Learner(
        policy=policy,
        critic=critic,
        policy_optimiser=torch.optim.Adam(policy.parameters()),
        critic_optimiser=torch.optim.Adam(critic.parameters()) if critic is not None else None,
    )
    return made, batch, search


def _update(learner, batch, search, warmup=False, rate=1e-3, critic_rate=1e-3, **changes):
    config = PpoConfig(minibatch=256, kl_target=0.0).model_copy(update=changes)
    return ppo_update(
        learner, batch, search, config, rate=rate, critic_rate=critic_rate, entropy=config.entropy,
        search_weight=1.0, warmup=warmup, generator=torch.Generator().manual_seed(7),
    )  # fmt: skip


def _log_p(learner, batch):
    x = unpack_bits(batch.bits, batch.inputs)
    with torch.no_grad():
        log_p = torch.log_softmax(mask_illegal(learner.policy.logits(x), batch.legal), -1)
    return log_p.gather(1, batch.call[:, None])[:, 0]


@pytest.mark.parametrize("privileged", [True, False], ids=["privileged", "own-hand"])
def test_an_update_makes_rewarded_calls_more_probable(privileged):
    learner, batch, search = _setting(privileged)
    before = _log_p(learner, batch)
    torch.testing.assert_close(before, batch.log_p, atol=1e-4, rtol=1e-4)
    _update(learner, batch, search, epochs=5, gae_lambda=1.0, entropy=0.0)
    gain = _log_p(learner, batch) - before
    reward = batch.reward[batch.table] * batch.sign
    assert float((gain * reward).mean()) > 0


def test_settled_decisions_are_not_learnt_from():
    learner, batch, search = _setting()
    found = _update(learner, batch, search, settled=float(batch.highest.median()))
    assert found["looked_at"] == pytest.approx(0.5, abs=0.02)
    # A threshold above every probability is the same update as none.
    one, _, _ = _setting()
    other, _, _ = _setting()
    _update(one, batch, search, settled=1.0)
    _update(other, batch, search, settled=float(batch.highest.max()) + 1e-3)
    for first, second in zip(one.policy.parameters(), other.policy.parameters(), strict=True):
        assert torch.equal(first, second)


def test_whether_a_decision_is_settled_does_not_hang_on_the_call_drawn():
    # The critic would learn the value of a mistake where it only sees the states whose mistake was
    # drawn: rows are chosen by the policy's probabilities, which the call does not change.
    learner, batch, search = _setting()
    rare = replace(batch, log_p=torch.full_like(batch.log_p, -20.0))
    settled = float(batch.highest.median())
    first = _update(learner, batch, search, rate=0.0, settled=settled)
    again, _, _ = _setting()
    second = _update(again, rare, search, rate=0.0, settled=settled)
    assert first["looked_at"] == second["looked_at"]
    assert first["value_loss"] == second["value_loss"]


def test_the_critic_may_learn_from_longer_returns_than_the_advantages_trust():
    def values(**changes):
        learner, batch, search = _setting()
        found = _update(learner, batch, search, warmup=True, **changes)
        assert learner.critic is not None
        return found, torch.cat([p.flatten() for p in learner.critic.parameters()])

    long, after_long = values(gae_lambda=0.2, critic_lambda=1.0)
    plain, after_plain = values(gae_lambda=1.0)
    short, after_short = values(gae_lambda=0.2)
    assert torch.equal(after_long, after_plain)  # the same targets
    assert not torch.equal(after_long, after_short)
    assert long["policy_loss"] != plain["policy_loss"]  # other advantages
    assert short["explained"] != plain["explained"]


def test_the_rate_of_the_critic_is_told():
    learner, batch, search = _setting()
    assert learner.critic is not None
    before = [p.clone() for p in learner.critic.parameters()]
    _update(learner, batch, search, critic_rate=0.0)
    for old, new in zip(before, learner.critic.parameters(), strict=True):
        assert torch.equal(old, new)


def test_the_critic_learns_the_rewards():
    learner, batch, search = _setting()
    first = _update(learner, batch, search, epochs=20, warmup=True)
    later = _update(learner, batch, search, epochs=1, warmup=True)
    assert later["explained"] > max(0.5, first["explained"])


def test_in_the_warm_up_the_policy_stays():
    learner, batch, search = _setting()
    before = copy_of(learner.policy)
    _update(learner, batch, search, warmup=True)
    for old, new in zip(before.parameters(), learner.policy.parameters(), strict=True):
        assert torch.equal(old, new)


def test_an_update_that_goes_too_far_ends_early():
    learner, batch, search = _setting()
    found = _update(learner, batch, search, rate=1e-2, epochs=10, kl_target=1e-3)
    assert found["passes"] < 10


def test_the_opponents_calls_teach_the_critic_only():
    past = actor(seed=2)
    learner, batch, search = _setting(past=past)
    x = unpack_bits(batch.bits, batch.inputs)
    # If every call of the learner is taken out, the policy has nothing to learn from.
    silent = batch.__class__(
        **{
            **{name: getattr(batch, name) for name in batch.__dataclass_fields__},
            "mine": torch.zeros_like(batch.mine),
        }
    )
    assert bool(batch.mine.any()) and len(x) == len(batch.mine)
    before = copy_of(learner.policy)
    _update(learner, silent, search, entropy=0.0)
    for old, new in zip(before.parameters(), learner.policy.parameters(), strict=True):
        assert torch.equal(old, new)


def test_what_a_search_adds_is_learned_too():
    learner, batch, search = _setting(strategy="density")
    found = _update(learner, batch, search)
    assert batch.examples > 0 and "search_loss" in found


def test_the_start_holds_the_policy_back():
    moved = []
    for weight in (0.0, 100.0):
        learner, batch, search = _setting()
        anchored = Learner(
            policy=learner.policy,
            critic=learner.critic,
            policy_optimiser=learner.policy_optimiser,
            critic_optimiser=learner.critic_optimiser,
            anchor=copy_of(learner.policy),
        )
        _update(anchored, batch, search, epochs=6, kl_start=weight)
        moved.append(float((_log_p(anchored, batch) - batch.log_p).abs().mean()))
    assert moved[1] < 0.8 * moved[0]


def test_the_ratios_of_a_search_start_at_one_at_any_temperature():
    learner, batch, search = _setting(strategy="density", temperature=1.6)
    assert batch.examples
    everything = torch.arange(batch.examples)

    def loss(temperature, clip):
        found = search.loss(
            learner.policy, everything, clip=clip, temperature=temperature, bf16=False
        )
        return float(found.detach())

    # Where every ratio is 1, the clip changes nothing.
    assert loss(1.6, 1e-3) == pytest.approx(loss(1.6, 0.99), abs=1e-6)
    assert loss(1.0, 1e-3) != pytest.approx(loss(1.0, 0.99), abs=1e-3)


@pytest.mark.filterwarnings("error")
def test_a_batch_in_which_all_is_settled_teaches_nothing():
    learner, batch, search = _setting(strategy="density")
    before = copy_of(learner.policy)
    found = _update(learner, batch, search, settled=1e-3)
    assert found["looked_at"] == 0
    for old, new in zip(before.parameters(), learner.policy.parameters(), strict=True):
        assert torch.equal(old, new)


def test_the_ratio_starts_at_one_at_any_temperature():
    learner, batch, search = _setting(temperature=1.6)
    found = _update(learner, batch, search, rate=1e-12, epochs=1, temperature=1.6)
    assert found["clipped"] == 0 and abs(found["kl"]) < 1e-5
    assert _update(learner, batch, search, rate=1e-12, epochs=1)["clipped"] > 0


@pytest.mark.parametrize("rows", [5, 9])
def test_a_traced_pass_is_the_pass(rows):
    # What `compile = true` traces, without the compiler: every operation and every size.
    generator = torch.Generator().manual_seed(rows)
    policy = PolicyNetwork(NetworkConfig(layers=2, width=16), CODEC.size).reset(generator)
    bits = torch.randint(256, (rows, 60), generator=generator, dtype=torch.uint8)
    legal = torch.rand((rows, 38), generator=generator) < 0.7
    legal[:, 35] = True
    call = torch.full((rows,), 35)
    old, advantage = -torch.rand(rows, generator=generator), torch.randn(rows, generator=generator)
    arguments = (policy, bits, CODEC.size, legal, call, old, advantage, 1.0, 0.2, True, False)
    traced = torch.compile(policy_pass, dynamic=True, backend="aot_eager")
    for found, expected in zip(traced(*arguments), policy_pass(*arguments), strict=True):
        assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("rows", [5, 9])
def test_a_traced_pass_of_the_critic_is_the_pass(rows):
    generator = torch.Generator().manual_seed(rows)
    critic = PrivilegedCritic(CODEC.size + EXTRA_INPUTS, 1, 16).reset(generator)
    batch = play_batch(
        made_up_deals(4),
        actor(),
        None,
        0.0,
        RewardConfig(),
        make_strategy(SearchConfig()),
        generator,
    )
    chosen = torch.arange(rows)
    arguments = (
        critic, batch.bits[chosen], batch.inputs, batch.view, batch.table[chosen],
        batch.seat[chosen], batch.now[chosen], False,
    )  # fmt: skip
    traced = torch.compile(critic_pass, dynamic=True, backend="aot_eager")
    assert torch.allclose(traced(*arguments), critic_pass(*arguments), atol=1e-6)
