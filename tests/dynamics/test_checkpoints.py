"""Reading what other programs wrote, and refusing what could run code."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from trine.core import extras
from trine.core.errors import DataError, MissingExtra
from trine.dynamics import checkpoints
from trine.dynamics.checkpoints import KINDS, find_batch_norms, read_checkpoint


def network() -> nn.Sequential:
    made = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4))
    norm = made[1]
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        norm.bias.copy_(torch.tensor([-1.0, 2.0, -3.0, 0.0]))
    return made


BIAS = [-1.0, 2.0, -3.0, 0.0]


class Code:
    """A pickle of this runs a command when it is read."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, ("touch was-run",)


def wrapped(state: dict[str, Any]) -> dict[str, Any]:
    return {f"module._orig_mod.{name}": value for name, value in state.items()}


SAVED: dict[str, Callable[[Path, dict[str, Any]], object]] = {
    "plain.pt": lambda p, s: torch.save(s, p),
    "old.th": lambda p, s: torch.save(s, p, _use_new_zipfile_serialization=False),
    "nested.tar": lambda p, s: torch.save(
        {"epoch": 3, "optimizer": {"state": {0: {"b": torch.ones(2)}}}, "state_dict": s}, p
    ),
    "model.pth": lambda p, s: torch.save({"model": s, "loss": torch.tensor(0.5)}, p),
    "deep.pth": lambda p, s: torch.save({"checkpoint": {"net": s}}, p),
    "old-nested.tar": lambda p, s: torch.save(
        {"state_dict": wrapped(s), "best": 0.9}, p, _use_new_zipfile_serialization=False
    ),
    "wrapped.pt": lambda p, s: torch.save(wrapped(s), p),
    "half.pt": lambda p, s: torch.save({k: v.to(torch.bfloat16) for k, v in s.items()}, p),
    "tensors.safetensors": lambda p, s: save_file(s, p),
    "half.safetensors": lambda p, s: save_file({k: v.bfloat16() for k, v in s.items()}, p),
    "wrong-suffix.pt": lambda p, s: save_file(s, p),
}


@pytest.mark.parametrize("name", SAVED)
def test_every_kind_of_checkpoint_gives_the_same_layers(name: str, tmp_path: Path) -> None:
    SAVED[name](tmp_path / name, dict(network().state_dict()))
    (found,) = read_checkpoint(tmp_path / name)
    assert found.name == Path(name).stem
    assert [layer.layer for layer in found.layers] == ["1", "3"]
    assert found.layers[0].bias.tolist() == BIAS
    assert found.layers[0].weight is not None
    assert found.layers[0].weight.tolist() == [1.0] * 4
    assert "0.weight" in found.keys


def test_the_ema_copy_does_not_hide_the_network(tmp_path: Path) -> None:
    # Both hold BatchNorm layers; the usual name wins over the rarer one, whatever their order.
    other = {k: v + 1 for k, v in network().state_dict().items()}
    torch.save({"ema": other, "state_dict": network().state_dict()}, tmp_path / "both.pt")
    (found,) = read_checkpoint(tmp_path / "both.pt")
    assert found.layers[0].bias.tolist() == BIAS


def test_arrays_of_several_networks_in_one_file(tmp_path: Path) -> None:
    arrays = {
        f"{model}/{layer}/{kind}": np.full(size, value, np.float32)
        for model, layer, size, value in (
            ("a", "f.9", 2, -1),
            ("a", "f.16", 3, 1),
            ("b", "n", 4, 2),
        )
        for kind in KINDS
    }
    np.savez(tmp_path / "arrays.npz", **arrays)  # pyright: ignore[reportArgumentType] (names are no keywords of savez)
    save_file({k: torch.from_numpy(v) for k, v in arrays.items()}, tmp_path / "arrays.safetensors")
    for file in ("arrays.npz", "arrays.safetensors"):
        networks = {n.name: n for n in read_checkpoint(tmp_path / file)}
        # safetensors sorts names as text; 9 still comes before 16.
        assert [layer.layer for layer in networks["a"].layers] == ["f.9", "f.16"]
        assert networks["b"].layers[0].bias.tolist() == [2.0] * 4


BAD: dict[str, Callable[[Path], object]] = {
    "code.pt": lambda p: torch.save({"x": Code()}, p),
    "code.th": lambda p: torch.save({"x": Code()}, p, _use_new_zipfile_serialization=False),
    "code.pkl": lambda p: p.write_bytes(pickle.dumps(Code())),
    "code-0.pkl": lambda p: p.write_bytes(pickle.dumps(Code(), protocol=0)),
    "whole-module.pt": lambda p: torch.save(network(), p),
    "objects.npz": lambda p: np.savez(p, x=np.array([Code()], dtype=object)),
    "script.pt": lambda p: script(p),
}


def script(path: Path) -> None:
    # The members of a saved TorchScript program; torch.jit itself warns that it is going away.
    saved = io.BytesIO()
    torch.save(network().state_dict(), saved)
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name.replace("archive/", "program/"), old.read(name))
        new.writestr("program/constants.pkl", b"")


@pytest.mark.parametrize("name", BAD)
def test_a_pickle_with_code_is_refused_and_not_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    BAD[name](tmp_path / name)
    with pytest.raises(DataError, match=r"pickle with code.*refused.*accepted.*save network") as e:
        read_checkpoint(tmp_path / name)
    assert "\n" not in str(e.value)
    assert not (tmp_path / "was-run").exists()


def test_the_refusal_names_the_function(tmp_path: Path) -> None:
    torch.save({"x": Code()}, tmp_path / "code.pt")
    with pytest.raises(DataError, match=r"it calls \w+\.system"):
        read_checkpoint(tmp_path / "code.pt")


@pytest.mark.parametrize("name", ["plain.pt", "old.th", "tensors.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.97])
def test_a_truncated_file_is_one_clear_line(name: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / name
    SAVED[name](path, dict(network().state_dict()))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=r"truncated or no checkpoint.*copy or download") as error:
        read_checkpoint(path)
    assert "\n" not in str(error.value)


def test_a_truncated_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones(1000))
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(whole[:500])
    with pytest.raises(DataError, match="truncated or no checkpoint"):
        read_checkpoint(tmp_path / "a.npz")


def test_a_damaged_npz_member(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones(1000))
    damaged = bytearray((tmp_path / "a.npz").read_bytes())
    damaged[2000] ^= 0xFF  # the directory at the end is whole, the checksum of the array is not
    (tmp_path / "a.npz").write_bytes(damaged)
    with pytest.raises(DataError, match=r"truncated or no checkpoint.*CRC"):
        read_checkpoint(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"hello, this is no checkpoint at all", bytes(range(256)) * 9])
def test_noise_is_one_clear_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "noise.pt").write_bytes(content)
    with pytest.raises(DataError, match="truncated or no checkpoint"):
        read_checkpoint(tmp_path / "noise.pt")


def test_a_safetensors_file_without_tensors_is_one_clear_line(tmp_path: Path) -> None:
    save_file({}, tmp_path / "nothing.safetensors")
    with pytest.raises(DataError, match="no BatchNorm layer among 0 arrays"):
        read_checkpoint(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("torch_there", [True, False])
def test_an_empty_npz_is_called_empty(
    torch_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "nothing.npz")
    if not torch_there:
        without_torch(monkeypatch)
    with pytest.raises(DataError, match=r"an archive with nothing in it") as error:
        read_checkpoint(tmp_path / "nothing.npz")
    assert "mmap" not in str(error.value)


def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    # `available` looks the modules of an extra up in this mapping.
    monkeypatch.setattr(extras, "EXTRAS", {"dynamics": ("a_module_that_is_not_there",)})
    assert not checkpoints.available("dynamics")


def test_half_precision_without_torch_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = dict(network().state_dict())
    SAVED["half.safetensors"](tmp_path / "half.safetensors", state)
    SAVED["tensors.safetensors"](tmp_path / "whole.safetensors", state)
    without_torch(monkeypatch)
    (found,) = read_checkpoint(tmp_path / "whole.safetensors")
    assert found.layers[0].bias.tolist() == BIAS
    with pytest.raises(MissingExtra, match=r"half.*bfloat16.*needs the extra.*pip install") as e:
        read_checkpoint(tmp_path / "half.safetensors")
    assert "\n" not in str(e.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file .*nothing\.pt; accepted: a PyTorch"):
        read_checkpoint(tmp_path / "nothing.pt")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.pt").write_bytes(b"x")

    def deny(self: Path, mode: str = "r") -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)
    with pytest.raises(DataError, match=r"cannot read .*mine\.pt: Permission denied"):
        read_checkpoint(tmp_path / "mine.pt")


def test_a_checkpoint_without_batchnorm(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "linear.pt")
    with pytest.raises(DataError, match=r"no BatchNorm layer among 2 arrays.*instead of vgg16"):
        read_checkpoint(tmp_path / "linear.pt")


def test_batchnorm_without_bias(tmp_path: Path) -> None:
    torch.save(nn.BatchNorm1d(3, affine=False).state_dict(), tmp_path / "plain.pt")
    with pytest.raises(DataError, match="1 BatchNorm layers, none of them with a bias"):
        read_checkpoint(tmp_path / "plain.pt")


def test_a_checkpoint_without_tensors(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "notes": ["a"]}, tmp_path / "empty.pt")
    with pytest.raises(DataError, match="dict without named tensors"):
        read_checkpoint(tmp_path / "empty.pt")
    torch.save([torch.ones(2)], tmp_path / "list.pt")
    with pytest.raises(DataError, match="list without named tensors"):
        read_checkpoint(tmp_path / "list.pt")


def test_biases_that_are_no_numbers() -> None:
    state = network().state_dict()
    state["1.bias"][0] = float("nan")
    with pytest.raises(DataError, match=r"bias of 1.*no finite numbers"):
        find_batch_norms(state, "diverged")
