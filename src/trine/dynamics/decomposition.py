"""Who pulls whom in any two modules with ReLU units, through hooks, batch by batch.

The identity needs no more than the Jacobian V_l(x) = dy/df_l of each network at the output of each
ReLU, at fixed gates: then y = V_l f_l + c_l, with all that does not pass through the layer (biases
above it, skip connections around it) in c_l, and g_l = D_l V_l^T (V*_l f*_l - V_l f_l + c*_l - c_l)
holds as it stands, in convolutions, with BatchNorm in evaluation mode and across residual branches.
V is taken by reverse-mode differentiation, one output at a time, and summed over the positions of a
channel at once, so that neither V nor activations of more than one batch are ever stored.

What is logged has the form of `pull.pull_of`, but in the space of pre-activations instead of
weights: the pull of a teacher node on student node j is projected on g_j itself,

    teacher_pull_jj' = E_x[ g_j (D_j V_j^T V*_j' f*_j') ] / rms(g_j),   total_j = rms(g_j),

so that pulls of all nodes sum to the total. `attraction` and `drift`, which need the weights, are
empty.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from trine.core.errors import UsageError
from trine.dynamics.pull import LayerPull, Pull

__all__ = ["gradient_decomposition"]

_MIXES_SAMPLES = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


@dataclass(slots=True)
class _Seen:
    """One forward pass with its graph: output `[B, c]`, and per ReLU call its output and slope."""

    output: Tensor
    post: list[Tensor] = field(default_factory=list)
    slopes: list[float] = field(default_factory=list)

    def gates(self) -> list[Tensor]:
        on = [(values > 0).to(values.dtype) for values in self.post]
        return [gate + s * (1 - gate) for gate, s in zip(on, self.slopes, strict=True)]

    def gradients(self, along: Tensor) -> list[Tensor]:
        """V^T along at every ReLU, `along` `[B, c]`."""
        found = torch.autograd.grad(
            self.output, self.post, along, retain_graph=True, allow_unused=True
        )
        pairs = zip(found, self.post, strict=True)
        return [torch.zeros_like(p) if g is None else g for g, p in pairs]


def gradient_decomposition(
    teacher: nn.Module, student: nn.Module, inputs: Iterable[Tensor]
) -> Pull:
    """Each teacher node's and each student node's share of the gradient on every student node.

    Nodes of a convolution are its channels. The loss is 1/2 ||y* - y||^2, mean over samples.

    Args:
      teacher: a module with `nn.ReLU` or `nn.LeakyReLU` units, BatchNorm and dropout in evaluation
        mode; its parameters are not touched.
      student: likewise, with the same number of ReLU calls and the same outputs.
      inputs: batches of samples, e.g. a data loader's; one tensor is one batch. Time: c + 1
        backward passes of each network a batch.

    Returns:
      A `Pull` of one network (R = 1), layers in the order in which ReLUs are called.

    Raises:
      UsageError: no ReLU, modules in training mode that mix samples, or networks that do not fit.
    """
    batches = [inputs] if isinstance(inputs, Tensor) else inputs
    sums: list[dict[str, Tensor]] = []
    samples = 0
    for batch in batches:
        seen, shown = _run(teacher, batch), _run(student, batch)
        _check(seen, shown)
        found = _batch_sums(seen, shown)
        sums = [_added(a, b) for a, b in zip(sums, found, strict=True)] if sums else found
        samples += len(batch)
    if not samples:
        raise UsageError("gradient decomposition of no samples", hint="give at least one batch")
    return Pull([_layer(total, samples) for total in sums], samples)


def _added(first: dict[str, Tensor], second: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: first[name] + second[name] for name in first}


def _run(module: nn.Module, batch: Tensor) -> _Seen:
    if any(m.training for m in module.modules() if isinstance(m, _MIXES_SAMPLES)):
        raise UsageError(
            f"{type(module).__name__} with BatchNorm or dropout in training mode",
            hint="call eval() first: the identity is about single samples",
        )
    units = [unit for unit in module.modules() if isinstance(unit, nn.ReLU | nn.LeakyReLU)]
    post: list[Tensor] = []
    slopes: list[float] = []

    def keep(unit: nn.Module, _: Any, output: Tensor) -> None:
        post.append(output)
        slopes.append(float(unit.negative_slope) if isinstance(unit, nn.LeakyReLU) else 0.0)

    handles = [unit.register_forward_hook(keep) for unit in units]
    try:
        with torch.enable_grad():
            # A graph is wanted also where no parameter asks for gradients.
            output = module(batch.detach().clone().requires_grad_())
    finally:
        for handle in handles:
            handle.remove()
    if not post:
        raise UsageError(
            f"{type(module).__name__} called no nn.ReLU or nn.LeakyReLU module",
            hint="use modules instead of torch.relu, so that they can be observed",
        )
    return _Seen(output.flatten(1), post, slopes)


def _check(seen: _Seen, shown: _Seen) -> None:
    for name, ours, theirs in (
        ("hidden layers", len(seen.post), len(shown.post)),
        ("outputs", seen.output.shape[1], shown.output.shape[1]),
    ):
        if ours != theirs:
            raise UsageError(
                f"{name}: teacher {ours}, student {theirs}", accepted="the same in both"
            )


def _per_channel(values: Tensor) -> Tensor:
    """Sum over positions, `[B, n]`."""
    return values.flatten(2).sum(2) if values.dim() > 2 else values


def _batch_sums(seen: _Seen, shown: _Seen) -> list[dict[str, Tensor]]:
    """Per layer, sums over the samples of a batch."""
    residual = (seen.output - shown.output).detach()
    gates = shown.gates()
    post = [values.detach() for values in shown.post]
    post_star = [values.detach() for values in seen.post]
    directions = [d * v for d, v in zip(gates, shown.gradients(residual), strict=True)]  # g_l
    gated = [d * g for d, g in zip(gates, directions, strict=True)]
    sums = [{"squares": _per_channel(g.square()).sum(0)} for g in directions]
    for number in range(residual.shape[1]):
        along = torch.zeros_like(residual)
        along[:, number] = 1
        paths, paths_star = shown.gradients(along), seen.gradients(along)
        for layer, total in enumerate(sums):
            left = _per_channel(paths[layer] * gated[layer]).T  # [n, B]
            own = _per_channel(paths[layer] * post[layer])  # [B, n]
            theirs = _per_channel(paths_star[layer] * post_star[layer])  # [B, m]
            constant = residual[:, number] - theirs.sum(1) + own.sum(1)
            new = {
                "teacher_pull": left @ theirs,
                "student_pull": -(left @ own),
                "constant_pull": left @ constant,
                "beta": _per_channel(paths[layer].square()).sum(0),
            }
            for name, value in new.items():
                total[name] = total[name] + value if name in total else value
    return sums


def _layer(sums: dict[str, Tensor], samples: int) -> LayerPull:
    total = (sums["squares"] / samples).sqrt()
    norm = samples * total.clamp_min(torch.finfo(total.dtype).tiny)
    none = total.new_zeros(1, len(total), 0)
    return LayerPull(
        teacher_pull=(sums["teacher_pull"] / norm.unsqueeze(1)).unsqueeze(0),
        student_pull=(sums["student_pull"] / norm.unsqueeze(1)).unsqueeze(0),
        constant_pull=(sums["constant_pull"] / norm).unsqueeze(0),
        total=total.unsqueeze(0),
        beta=(sums["beta"] / samples).unsqueeze(0),
        attraction=none,
        drift=none,
    )
