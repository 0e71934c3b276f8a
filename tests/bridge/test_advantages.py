import pytest
import torch

from trine.bridge.advantages import generalised_advantages


def _random(seed=1):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn((9, 6), generator=generator, dtype=torch.float64)
    rewards = torch.randn(6, generator=generator, dtype=torch.float64)
    lengths = torch.tensor([9, 4, 5, 8, 7, 6])
    return values, rewards, lengths


def _obvious(values, rewards, lengths, discount, gae_lambda, stride):
    """The sum of Schulman et al. 2016, Eq. 16, as it is printed."""
    found = torch.zeros_like(values)
    for table in range(values.shape[1]):
        for t in range(int(lengths[table])):
            chain = list(range(t, int(lengths[table]), stride))
            for k, place in enumerate(chain):
                after = rewards[table] if place == chain[-1] else values[place + stride, table]
                error = discount * after - values[place, table]
                found[t, table] += (discount * gae_lambda) ** k * error
    return found


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("gae_lambda", [0.0, 0.7, 1.0])
def test_equals_the_printed_sum(stride, gae_lambda):
    values, rewards, lengths = _random()
    options = {"discount": 0.9, "gae_lambda": gae_lambda, "stride": stride}
    found = generalised_advantages(values, rewards, lengths, **options)
    expected = _obvious(values, rewards, lengths, 0.9, gae_lambda, stride)
    torch.testing.assert_close(found, expected)


def test_with_lambda_one_it_is_the_reward_minus_the_value():
    values, rewards, lengths = _random()
    found = generalised_advantages(values, rewards, lengths, discount=1.0, gae_lambda=1.0)
    for table, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(found[:length, table], rewards[table] - values[:length, table])
        assert (found[length:, table] == 0).all()
