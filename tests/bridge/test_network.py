import numpy as np
import pytest
import torch

from trine.bridge.config import NetworkConfig
from trine.bridge.network import (
    FastPolicy,
    PolicyNetwork,
    copy_of,
    load_network,
    mask_illegal,
    save_network,
)
from trine.core.artifacts import read_arrays, read_metadata, write_arrays
from trine.core.errors import DataError


def _network(residual=False):
    config = NetworkConfig(layers=3, width=16, residual=residual)
    return PolicyNetwork(config, 20).reset(torch.Generator().manual_seed(3))


def _inputs(count=7):
    generator = torch.Generator().manual_seed(4)
    x = torch.randint(2, (count, 20), generator=generator).float()
    legal = torch.rand((count, 38), generator=generator) < 0.5
    legal[:, 35] = True
    return x, legal


@pytest.mark.parametrize("residual", [False, True], ids=["plain", "residual"])
def test_a_file_gives_the_same_network_back(tmp_path, residual):
    network = _network(residual)
    path = save_network(tmp_path / "n.safetensors", network, {"why": "test"})
    x, _ = _inputs()
    again = load_network(path)
    assert again.config == network.config
    assert torch.equal(again.logits(x), network.logits(x))
    assert '"why": "test"' in read_metadata(path)["about"]


def test_half_the_numbers_play_alike(tmp_path):
    network = _network()
    whole = save_network(tmp_path / "whole.safetensors", network)
    half = save_network(tmp_path / "half.safetensors", network, half=True)
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    x, legal = _inputs()
    assert torch.allclose(load_network(half).logits(x), network.logits(x), atol=1e-2)
    assert load_network(half).logits(x).dtype == torch.float32
    fast = FastPolicy.load(half).logits(x.numpy(), legal.numpy())
    assert fast.dtype == np.float32


@pytest.mark.parametrize("residual", [False, True], ids=["plain", "residual"])
def test_numpy_and_torch_agree(tmp_path, residual):
    network = _network(residual)
    fast = FastPolicy.load(save_network(tmp_path / "n.safetensors", network))
    x, legal = _inputs()
    with torch.no_grad():
        p = torch.softmax(mask_illegal(network.logits(x), legal), -1).numpy()
    np.testing.assert_allclose(fast.probabilities(x.numpy(), legal.numpy()), p, atol=1e-6)
    assert (fast.greedy(x.numpy(), legal.numpy()) == p.argmax(-1)).all()


def test_illegal_calls_have_no_probability_and_no_gradient():
    network = _network()
    x, legal = _inputs()
    p = torch.softmax(mask_illegal(network.logits(x), legal), -1)
    assert (p[~legal] == 0).all()
    assert torch.allclose(p.sum(-1), torch.ones(len(x)))
    torch.log_softmax(mask_illegal(network.logits(x), legal), -1)[legal].sum().backward()
    assert all(torch.isfinite(w.grad).all() for w in network.parameters() if w.grad is not None)


def test_a_copy_does_not_follow():
    network = _network()
    x, _ = _inputs()
    twin = copy_of(network)
    before = twin.logits(x).clone()
    with torch.no_grad():
        network.policy.bias.add_(1)
    assert torch.equal(twin.logits(x), before)
    assert not any(w.requires_grad for w in twin.parameters())


def test_files_that_do_not_fit_are_refused(tmp_path):
    path = save_network(tmp_path / "n.safetensors", _network())
    arrays, metadata = read_arrays(path), read_metadata(path)
    narrow = {**arrays, "policy.weight": arrays["policy.weight"][:, :3].copy()}
    write_arrays(tmp_path / "narrow.safetensors", narrow, metadata)
    with pytest.raises(DataError, match=r"policy.weight has shape \(38, 3\)"):
        load_network(tmp_path / "narrow.safetensors")
    write_arrays(tmp_path / "other.safetensors", arrays)
    with pytest.raises(DataError, match="not a bidding network"):
        load_network(tmp_path / "other.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="safetensors"):
        load_network(tmp_path / "cut.safetensors")
    broken = {**arrays, "policy.bias": np.full_like(arrays["policy.bias"], np.nan)}
    write_arrays(tmp_path / "nan.safetensors", broken, metadata)
    with pytest.raises(DataError, match=r"policy\.bias has numbers that are not finite"):
        load_network(tmp_path / "nan.safetensors")
