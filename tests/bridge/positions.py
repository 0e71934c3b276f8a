"""Small boards and networks shared by the tests of self-play."""

import numpy as np
import torch

from trine.bridge.config import NetworkConfig
from trine.bridge.deals import random_owner
from trine.bridge.network import PolicyNetwork
from trine.bridge.observation import make_observation
from trine.bridge.players import Actor
from trine.bridge.self_play import Deals

CODEC = make_observation("lockhart480")


def made_up_deals(count: int, seed: int = 1) -> Deals:
    """Random deals whose tables are plausible numbers: partners take about the same tricks."""
    generator = np.random.default_rng(seed)
    owner = random_owner(count, generator)
    north = generator.integers(2, 12, size=(count, 5, 1))
    tricks = np.concatenate([north, 13 - north] * 2, 2).reshape(count, 20)
    dealer, vulnerability = generator.integers(4, size=(2, count))
    return Deals(
        torch.from_numpy(owner),
        torch.from_numpy(tricks.astype(np.uint8)),
        torch.from_numpy(dealer),
        torch.from_numpy(vulnerability),
    )


def small_network(seed: int = 1, scale: float = 1.0) -> PolicyNetwork:
    """Random weights; a larger scale makes its choices sharper."""
    network = PolicyNetwork(NetworkConfig(layers=2, width=32), CODEC.size)
    network.reset(torch.Generator().manual_seed(seed))
    with torch.no_grad():
        network.policy.weight *= 500 * scale
        network.policy.bias[35] += 3  # passes enough for auctions to stay short
    return network


def actor(seed: int = 1, scale: float = 1.0, temperature: float = 1.0) -> Actor:
    """A small network that bids."""
    return Actor(small_network(seed, scale), CODEC, temperature)
