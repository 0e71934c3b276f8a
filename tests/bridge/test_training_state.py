import pytest
import torch
from torch import nn

from trine.bridge.training_state import load_module, load_state, save_state
from trine.core.errors import DataError


def _made(seed, width=4):
    torch.manual_seed(seed)
    module = nn.Linear(3, width)
    return module, torch.optim.AdamW(module.parameters(), lr=0.1)


def _step(module, optimiser, seed):
    x = torch.randn((5, 3), generator=torch.Generator().manual_seed(seed))
    optimiser.zero_grad()
    (module(x) ** 2).sum().backward()
    optimiser.step()


def test_a_training_goes_on_as_if_it_had_not_stopped(tmp_path):
    module, optimiser = _made(1)
    for seed in range(3):
        _step(module, optimiser, seed)
    save_state(tmp_path / "s.safetensors", {"m": module}, {"o": optimiser}, {"updates": 3})
    again, its_optimiser = _made(2)
    counters = load_state(tmp_path / "s.safetensors", {"m": again}, {"o": its_optimiser})
    assert counters == {"updates": 3}
    for seed in range(3, 6):
        _step(module, optimiser, seed)
        _step(again, its_optimiser, seed)
    assert torch.equal(module.weight, again.weight)


def test_the_state_of_another_network_is_refused(tmp_path):
    module, optimiser = _made(1)
    save_state(tmp_path / "s.safetensors", {"m": module}, {"o": optimiser}, {})
    other, its_optimiser = _made(1, width=5)
    with pytest.raises(DataError, match="does not fit"):
        load_state(tmp_path / "s.safetensors", {"m": other}, {"o": its_optimiser})


def test_one_module_of_an_earlier_training(tmp_path):
    module, optimiser = _made(1)
    path = tmp_path / "s.safetensors"
    save_state(path, {"critic": module}, {"o": optimiser}, {})
    again, _ = _made(2)
    load_module(path, "critic", again)
    assert torch.equal(module.weight, again.weight)
    for name, width in (("critic", 5), ("policy", 4)):
        with pytest.raises(DataError, match=f"no {name} that fits this recipe"):
            load_module(path, name, _made(1, width)[0])
