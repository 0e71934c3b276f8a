"""An update of self-play on a GPU, where there is one; and going on there after a stop."""

from __future__ import annotations

import pytest
import torch

from tests.bridge.positions import CODEC
from trine.bridge.config import NetworkConfig, PpoConfig, RewardConfig, SearchConfig
from trine.bridge.critic_view import EXTRA_INPUTS
from trine.bridge.deals import read_solved_deals
from trine.bridge.network import PolicyNetwork, PrivilegedCritic
from trine.bridge.packed_bits import pack_bits, unpack_bits
from trine.bridge.players import Actor
from trine.bridge.ppo import Learner, ppo_update
from trine.bridge.search import make_strategy
from trine.bridge.self_play import Deals, play_batch
from trine.bridge.training_loop import adam
from trine.bridge.training_state import load_state, save_state

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
]
GPU = torch.device("cuda")


def _learner() -> Learner:
    chance = torch.Generator().manual_seed(1)
    policy = PolicyNetwork(NetworkConfig(layers=2, width=32), CODEC.size).reset(chance).to(GPU)
    critic = PrivilegedCritic(CODEC.size + EXTRA_INPUTS, 1, 32).reset(chance).to(GPU)
    return Learner(policy, critic, adam(policy, 1e-3), adam(critic, 1e-3))


def _deals(count: int) -> Deals:
    solved = read_solved_deals("sample:random-10k")
    owner = torch.as_tensor(solved.owner[:count]).to(GPU)
    tricks = torch.as_tensor(solved.tricks[:count]).to(GPU)
    dealer = torch.arange(count, device=GPU) % 4
    return Deals(owner, tricks, dealer, dealer)


def _update(learner: Learner, seed: int, search: str = "none") -> dict[str, float]:
    generator = torch.Generator(GPU).manual_seed(seed)
    strategy = make_strategy(SearchConfig(strategy=search, share=0.5))
    batch = play_batch(
        _deals(64), Actor(learner.policy, CODEC), None, 0.0, RewardConfig(), strategy, generator
    )
    return ppo_update(
        learner, batch, strategy, PpoConfig(boards=64, minibatch=256, epochs=1), rate=1e-3,
        critic_rate=1e-3, entropy=0.01, search_weight=1.0, warmup=False, generator=generator,
    )  # fmt: skip


@pytest.mark.parametrize("search", ["none", "jps2020", "density"])
def test_an_update_runs_and_moves_the_network(search):
    learner = _learner()
    before = learner.policy.policy.weight.detach().clone()
    found = _update(learner, 3, search)
    assert found["entropy"] > 0
    assert not torch.equal(before, learner.policy.policy.weight)


def test_a_training_goes_on_from_its_state(tmp_path):
    whole, first, second = _learner(), _learner(), _learner()
    for seed in range(4):
        _update(whole, seed)

    def parts(learner):
        modules = {"policy": learner.policy, "critic": learner.critic}
        return modules, {"policy": learner.policy_optimiser, "critic": learner.critic_optimiser}

    for seed in range(2):
        _update(first, seed)
    save_state(tmp_path / "state.safetensors", *parts(first), {})
    load_state(tmp_path / "state.safetensors", *parts(second))
    for seed in range(2, 4):
        _update(second, seed)
    # Sums on a GPU are not in a fixed order, so nearly.
    for one, other in zip(whole.policy.parameters(), second.policy.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-3)


def test_bits_come_back():
    x = torch.randint(2, (50, 37), device=GPU)
    assert torch.equal(unpack_bits(pack_bits(x), 37), x.float())
