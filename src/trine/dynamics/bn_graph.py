"""The place of each BatchNorm layer of a module, read from the module's own graph.

The module is traced symbolically (`torch.fx`): what takes a BatchNorm's output is the next node of
the graph, be it a module, a function or a method. Code that cannot be traced, because it branches
on values, is run once on an example instead, and the graph that automatic differentiation records
for the backward pass is read; both ways give the same places where both work.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm  # the base of all, SyncBatchNorm too

from trine.dynamics.bn_roles import UNKNOWN, Place

__all__ = ["roles_of_module"]

_RELU = (
    "relu",
    "relu6",
    "leakyrelu",
    "prelu",
    "rrelu",
    "threshold",
    "hardtanh",
    "clamp",
    "clampmin",
)
_SMOOTH = ("silu", "swish", "gelu", "hardswish", "elu", "selu", "celu", "mish", "softplus")
_ADD = ("add", "iadd", "radd", "sub")
# What leaves every sign as it is and every value where it was, or picks among values, commutes
# with a ReLU: BatchNorm -> MaxPool -> ReLU is BatchNorm -> ReLU -> MaxPool.
_TRANSPARENT = frozenset(
    """
    identity dropout dropout1d dropout2d dropout3d alphadropout featuredropout stochasticdepth
    contiguous clone alias to tocopy view reshape unsafeview flatten unflatten permute transpose t
    squeeze unsqueeze cat concat getitem slice select split chunk channelshuffle
    nativechannelshuffle maxpool1d maxpool2d maxpool3d adaptivemaxpool2d maxpool2dwithindices
    """.split()
)


def roles_of_module(module: nn.Module, example: Tensor | None = None) -> dict[str, Place]:
    """The place of each BatchNorm layer of a module, from its graph.

    Args:
      module: any; its parameters and mode are left as they are.
      example: an input; needed only where symbolic tracing fails (control flow on values).

    Returns:
      By layer name, in the order of `named_modules`; `unknown` for layers that are never called,
      and for all of them if the module cannot be traced and there is no example.
    """
    layers = [name for name, inner in module.named_modules() if isinstance(inner, _BatchNorm)]
    try:
        graph = fx.Tracer().trace(module)
    except Exception:  # tracing runs the module's own code, which may raise anything
        if example is None:
            return dict.fromkeys(layers, UNKNOWN)
        return _from_autograd(module, layers, example)
    nexts: dict[str, set[str]] = {}
    for node in graph.nodes:
        if node.op == "call_module" and node.target in layers:
            nexts.setdefault(str(node.target), set()).update(_next_in_graph(node, module))
    return {name: _place(nexts.get(name, ())) for name in layers}


def _place(operations: Iterable[str]) -> Place:
    """One place from all operations that take a layer's output.

    Where they are of different kinds the place is unknown, with one exception: an output that is
    used as it is and also feeds a shortcut past what follows is linear.
    """
    names = sorted(set(operations))
    roles = {_role(name) for name in names}
    if roles == {"before_addition", "after_relu_or_linear"}:
        roles = {"after_relu_or_linear"}
    role = roles.pop() if len(roles) == 1 else "unknown"
    return Place(role, " and ".join(names))


def _role(operation: str) -> str:
    if operation in _RELU:
        return "before_relu"
    if operation in _SMOOTH:
        return "before_smooth_relu"
    if operation in _ADD:
        return "before_addition"
    if operation in ("sigmoid", "tanh", "hardsigmoid", "logsigmoid", "softmax"):
        return "unknown"  # another nonlinearity: none of the roles
    return "after_relu_or_linear"


def _plain(name: str) -> str:
    """`F.leaky_relu_`, `LeakyReLU`, `LeakyReluBackward0` are one word: `leakyrelu`."""
    return re.sub(r"(backward)?\d*$|_", "", name.lower()) if "backward" in name.lower() else (
        name.lower().replace("_", "")
    )  # fmt: skip


def _next_in_graph(node: fx.Node, module: nn.Module) -> set[str]:
    found: set[str] = set()
    for user in node.users:
        name = _operation(user, module)
        found |= _next_in_graph(user, module) if name in _TRANSPARENT else {name}
    return found


def _operation(node: fx.Node, module: nn.Module) -> str:
    if node.op == "output":
        return "output"
    if node.op == "call_module":
        return _plain(type(module.get_submodule(str(node.target))).__name__)
    if node.op == "call_method":
        return _plain(str(node.target))
    target: Any = node.target
    return "add" if target in (operator.add, operator.iadd) else _plain(target.__name__)


def _from_autograd(module: nn.Module, layers: list[str], example: Tensor) -> dict[str, Place]:
    """The same from the graph that a forward pass leaves for the backward pass."""
    ours: dict[Any, str] = {}

    def remember(name: str) -> Any:
        def hook(_: nn.Module, __: object, output: Tensor) -> None:
            ours[output.grad_fn] = name

        return hook

    handles = [module.get_submodule(n).register_forward_hook(remember(n)) for n in layers]
    modes = {inner: inner.training for inner in module.modules()}
    output: object = None
    try:
        # In evaluation no running statistics move; with a gradient on the input every operation
        # is recorded, even below frozen layers.
        module.eval()
        with torch.enable_grad():
            output = module(example.detach().clone().requires_grad_(example.is_floating_point()))
    finally:
        for handle in handles:
            handle.remove()
        for inner, mode in modes.items():
            inner.training = mode
    users: dict[Any, list[Any]] = {}
    open_nodes = [tensor.grad_fn for tensor in _tensors(output) if tensor.grad_fn is not None]
    ends, seen = set(open_nodes), set[Any]()
    while open_nodes:
        node = open_nodes.pop()
        if node in seen:
            continue
        seen.add(node)
        for parent, _ in node.next_functions:
            if parent is not None:
                users.setdefault(parent, []).append(node)
                open_nodes.append(parent)

    def after(node: Any) -> set[str]:
        found = {"output"} if node in ends else set[str]()
        for user in users.get(node, ()):
            name = _plain(type(user).__name__)
            found |= after(user) if name in _TRANSPARENT else {name}
        return found

    nexts: dict[str, set[str]] = {}
    for node, name in ours.items():
        nexts.setdefault(name, set()).update(after(node))
    return {name: _place(nexts.get(name, ())) for name in layers}


def _tensors(value: object) -> list[Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [t for v in value for t in _tensors(v)] if isinstance(value, list | tuple) else []
