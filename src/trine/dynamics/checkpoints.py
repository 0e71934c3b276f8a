"""Arrays out of checkpoints that other programs wrote, without running any code of theirs.

What a file is, is told from its content, not from its suffix:

* PyTorch, new (a zip with `data.pkl`) and old form: read with `weights_only=True`, which builds
  tensors and containers and refuses everything else;
* safetensors;
* `.npz`, read with `allow_pickle=False`.

Names are either those of a state dict (`layer1.0.bn1.bias`) or `MODEL/LAYER/KIND` with a KIND of
`KINDS`, the layout in which BatchNorm arrays of several networks share one file.

A state dict may lie inside others (`{"state_dict": ...}`, `{"model": ...}`); prefixes that wrappers
put before every name (`module.`, `_orig_mod.`) are taken off.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from trine.core.errors import DataError
from trine.core.extras import available, require

__all__ = [
    "KINDS",
    "BatchNormLayer",
    "Network",
    "find_batch_norms",
    "read_checkpoint",
    "read_state",
]

KINDS = ("weight", "bias", "running_mean", "running_var")
"""The arrays of a BatchNorm layer."""

_NESTED = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "module",
    "weights", "params", "ema", "model_ema", "state_dict_ema",
)  # fmt: skip
"""Where programs keep a state dict inside a checkpoint, the most usual first."""

_WRAPPERS = ("module.", "_orig_mod.")
_ACCEPTED = "a PyTorch state dict, a safetensors file, or .npz arrays named MODEL/LAYER/KIND"
_HARMLESS = re.compile(
    r"collections\.OrderedDict|torch\._utils\._rebuild\w+|torch\.(storage\.)?\w*Storage"
    r"|torch\.(Size|device|Tensor|u?int\d+|b?float\d+|bool|serialization\._get_layout)"
)
"""What an honest state dict looks up."""

_CORRUPT = (
    EOFError, KeyError, IndexError, TypeError, ValueError, RuntimeError, AttributeError, OSError,
    pickle.UnpicklingError, zipfile.BadZipFile,
)  # fmt: skip
"""What readers of zips, arrays and pickles raise on a file that is cut short or is noise."""

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class BatchNormLayer:
    """One affine BatchNorm layer of `C` channels.

    Attributes:
      layer: its name in the network, e.g. `layer1.0.bn1`.
      bias: `[C]` float64.
      weight: `[C]` float64, or None if the file has none.
    """

    layer: str
    bias: NDArray[np.float64]
    weight: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """The BatchNorm layers of one network.

    Attributes:
      name: of the network; the stem of the file's name if the file does not tell.
      layers: in the order of the file.
      keys: every name in the state dict, also of what is no BatchNorm; they tell the family.
    """

    name: str
    layers: tuple[BatchNormLayer, ...]
    keys: frozenset[str] = field(default=frozenset(), repr=False)


def read_checkpoint(path: Path) -> list[Network]:
    """The networks in a file, each with its affine BatchNorm layers.

    Raises:
      DataError: no such file; not one of the three kinds; truncated; a pickle with code; no
        BatchNorm layer; none with a bias.
    """
    return find_batch_norms(read_state(path), path.stem, where=str(path))


def read_state(path: Path) -> dict[str, Any]:
    """Every named array or tensor in a file, prefixes of wrappers taken off.

    Raises:
      DataError: no such file; not one of the three kinds; truncated; a pickle with code.
    """
    return _plain_names(_read(path))


def find_batch_norms(
    arrays: Mapping[str, Any], name: str, *, where: str = "the state dict"
) -> list[Network]:
    """The affine BatchNorm layers among named arrays: those with a bias and running statistics.

    Args:
      arrays: by state-dict name, or by `MODEL/LAYER/KIND`; arrays or tensors.
      name: of the network where the names do not tell.
      where: what to call the source in an error.

    Raises:
      DataError: there is none.
    """
    networks: dict[str, dict[str, dict[str, Any]]] = {}
    for key, value in arrays.items():
        model, layer, kind = _split(key, name)
        networks.setdefault(model, {}).setdefault(layer, {})[kind] = value
    found: list[Network] = []
    without_bias = 0
    for model, layers in networks.items():
        norms = {n: a for n, a in layers.items() if {"running_mean", "running_var"} <= set(a)}
        affine = {n: a for n, a in norms.items() if "bias" in a}
        without_bias += len(norms) - len(affine)
        keys = frozenset(f"{n}.{kind}" for n, kinds in layers.items() for kind in kinds)
        if affine:
            made = tuple(_layer(n, a, where) for n, a in affine.items())
            found.append(Network(model, made, keys))
    if not found:
        what = (
            f"{without_bias} BatchNorm layers, none of them with a bias (affine=False)"
            if without_bias
            else f"no BatchNorm layer among {len(arrays)} arrays"
        )
        raise DataError(
            f"{where} has {what}",
            accepted="a network with BatchNorm that has biases and running statistics",
            hint="give the checkpoint of such a network, e.g. vgg16_bn instead of vgg16",
        )
    return found


def _split(key: str, name: str) -> tuple[str, str, str]:
    """Model, layer and kind of an array's name."""
    if "/" in key and key.rpartition("/")[2] in KINDS:
        path, _, kind = key.rpartition("/")
        model, _, layer = path.partition("/")
        return (model, layer, kind) if layer else (name, model, kind)
    layer, _, kind = key.rpartition(".")
    return name, layer, kind


def _layer(name: str, arrays: Mapping[str, Any], where: str) -> BatchNormLayer:
    bias = _numbers(arrays["bias"])
    weight = _numbers(arrays["weight"]) if "weight" in arrays else None
    if bias.ndim != 1 or not len(bias) or not np.isfinite(bias).all():
        raise DataError(
            f"{where}: the bias of {name} has shape {bias.shape}"
            + ("" if np.isfinite(bias).all() else " and values that are no finite numbers"),
            accepted="one finite number for each channel",
            hint="the checkpoint is broken, or its training was",
        )
    return BatchNormLayer(name, bias, weight)


def _numbers(value: Any) -> NDArray[np.float64]:
    if hasattr(value, "detach"):  # a tensor; float64 first, since numpy knows no bfloat16
        value = value.detach().cpu().double().numpy()
    return np.asarray(value, dtype=np.float64)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(f"no file {path}", accepted=_ACCEPTED, hint="check the path")
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror}", hint="check its permissions"
        ) from error
    if not head:
        raise _broken(path, "it is empty")
    if head.startswith(b"PK"):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, OSError) as error:
            raise _broken(path, str(error)) from error
        if not names:
            raise _broken(path, "it is an archive with nothing in it")
        if any(n.endswith(".npy") for n in names):
            return _read_npz(path)
        return _read_torch(path, mapped=True)
    if path.suffix == ".safetensors" or head[8:9] == b"{":
        return _read_safetensors(path)
    return _read_torch(path, mapped=False)


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework=_framework()) as file:
            # The format keeps no order of layers; numbers in their names give it back.
            return {name: file.get_tensor(name) for name in sorted(file.keys(), key=_natural)}
    except SafetensorError as error:
        raise _broken(path, str(error)) from error
    except (TypeError, AttributeError) as error:  # a number format that numpy lacks, as bfloat16
        require("dynamics", f"{path.name} holds numbers that numpy lacks ({error}); reading it")
        raise _broken(path, str(error)) from error


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sorts `features.9` before `features.16`."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts if p]


def _framework() -> str:
    # Numpy lacks bfloat16, which half the checkpoints of today are in.
    return "pt" if available("dynamics") else "numpy"


def _read_npz(path: Path) -> dict[str, Array]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise _refused(path, "an array of Python objects") from error
        raise _broken(path, str(error)) from error
    except _CORRUPT as error:
        raise _broken(path, str(error)) from error


def _read_torch(path: Path, *, mapped: bool) -> dict[str, Any]:
    require("dynamics", f"reading {path.name}")
    import torch

    try:
        with warnings.catch_warnings():
            # Files of old versions make the framework talk about its own deprecated classes.
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except _CORRUPT as error:
        if "TorchScript" in str(error):
            raise _refused(path, "a TorchScript program") from error
        if code := _code_in(path):
            raise _refused(path, f"it calls {code}") from error
        short = str(error).partition("\n")[0]
        known = short and not short.startswith("Weights only")  # whose advice is not ours
        raise _broken(path, short if known else "unreadable") from error
    return dict(_state_dict(content, path))


def _code_in(path: Path) -> str:
    """The first thing in a pickle that is no tensor and would be called; looks, never runs."""
    try:
        for name in _globals(_pickle_bytes(path)):
            if not _HARMLESS.fullmatch(name):
                return name
    except _CORRUPT:
        pass  # noise, or cut short before anything that could be called
    return ""


def _pickle_bytes(path: Path) -> bytes:
    if not zipfile.is_zipfile(path):
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        return b"".join(archive.read(n) for n in archive.namelist() if n.endswith(".pkl"))


def _globals(data: bytes) -> Iterator[str]:
    """`module.name` of everything that pickles, one after the other, look up."""
    stream = io.BytesIO(data)
    strings: list[str] = []
    while stream.tell() < len(data):  # the old form is several pickles in a row
        for operation, argument, _ in pickletools.genops(stream):
            if operation.name in ("GLOBAL", "INST"):
                yield str(argument).replace(" ", ".")
            elif operation.name == "STACK_GLOBAL":
                yield ".".join(strings[-2:])
            elif isinstance(argument, str):
                strings.append(argument)


def _state_dict(content: Any, path: Path) -> Mapping[str, Any]:
    """The mapping of names to tensors, wherever it lies in what was loaded."""
    found = _search(content, depth=3)
    if found is None:
        raise DataError(
            f"{path} holds a {type(content).__name__} without named tensors",
            accepted=_ACCEPTED,
            hint="save the network with torch.save(network.state_dict(), path)",
        )
    return found


def _search(content: Any, depth: int) -> Mapping[str, Any] | None:
    if not isinstance(content, Mapping) or depth == 0:
        return None
    mapping = cast("Mapping[Any, Any]", content)
    tensors = {str(k): v for k, v in mapping.items() if hasattr(v, "detach")}
    if any(key.endswith("running_mean") for key in tensors):
        return tensors
    ordered = [k for k in _NESTED if k in mapping] + [k for k in mapping if k not in _NESTED]
    inner = [f for k in ordered if (f := _search(mapping[k], depth - 1)) is not None]
    with_norms = [f for f in inner if any(key.endswith("running_mean") for key in f)]
    return next(iter([*with_norms, *inner, *([tensors] if tensors else [])]), None)


def _plain_names(arrays: Mapping[str, Any]) -> dict[str, Any]:
    names = dict(arrays)
    if not names:  # `all` of no names is true, and the loop would not end
        return names
    while prefix := next((w for w in _WRAPPERS if all(n.startswith(w) for n in names)), ""):
        names = {name.removeprefix(prefix): value for name, value in names.items()}
    return names


def _broken(path: Path, reason: str) -> DataError:
    return DataError(
        f"{path} is truncated or no checkpoint ({reason})",
        accepted=_ACCEPTED,
        hint="copy or download it again",
    )


def _refused(path: Path, reason: str) -> DataError:
    return DataError(
        f"{path} is a pickle with code, which could run anything when read ({reason}): refused",
        accepted=_ACCEPTED,
        hint="where you trust it, load it yourself and save network.state_dict()",
    )
