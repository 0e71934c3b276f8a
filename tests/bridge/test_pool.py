import numpy as np
import torch

from trine.bridge.config import NetworkConfig, PoolConfig
from trine.bridge.network import PolicyNetwork
from trine.bridge.pool import Pool


def _network(seed):
    network = PolicyNetwork(NetworkConfig(layers=1, width=8), 6)
    return network.reset(torch.Generator().manual_seed(seed))


def test_the_copies_stay_spread_over_time(tmp_path):
    pool = Pool(tmp_path, PoolConfig(size=5))
    for update in range(0, 160, 10):
        pool.add(update, _network(update))
    assert len(pool.members) == 5
    assert pool.members[0] == 0 and pool.members[-1] == 150
    gaps = np.diff(pool.members)
    assert gaps.max() <= 4 * gaps.min()


def test_files_of_copies_that_left_are_removed_and_the_others_play(tmp_path):
    pool = Pool(tmp_path, PoolConfig(size=3))
    for update in range(6):
        pool.add(update, _network(update))
    pool.clean()
    assert sorted(tmp_path.glob("past-*")) == [pool.path(member) for member in pool.members]
    drawn = pool.draw(np.random.default_rng(1), torch.device("cpu"))
    assert drawn is not None
    member, network = drawn
    assert torch.equal(network.policy.weight, _network(member).policy.weight)


def test_an_empty_pool_has_nobody(tmp_path):
    assert Pool(tmp_path, PoolConfig()).draw(np.random.default_rng(1), torch.device("cpu")) is None


def test_hard_opponents_are_drawn_more_often(tmp_path):
    pool = Pool(tmp_path, PoolConfig(choice="hard"), members=[0, 5, 9])
    pool.tell(0, 3.0)
    pool.tell(5, -1.0)
    weights = pool.probabilities()
    assert weights[1] > weights[2] > weights[0]  # not met yet counts as even
    assert np.isclose(weights.sum(), 1)
    uniform = Pool(tmp_path, PoolConfig(), members=[0, 5, 9])
    assert (uniform.probabilities() == 1 / 3).all()


def test_results_are_remembered_with_decay(tmp_path):
    pool = Pool(tmp_path, PoolConfig(), members=[0])
    pool.tell(0, 2.0)
    pool.tell(0, 1.0)
    assert np.isclose(pool.results[0], 0.9 * 2.0 + 0.1 * 1.0)
