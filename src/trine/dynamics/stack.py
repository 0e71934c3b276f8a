"""Many networks of one shape as stacked tensors: one batched matrix product for all of them.

Symbols, here and in all of `trine.dynamics` (Tian et al. 2019, section 2; starred: the teacher's):

    symbol   code                  shape         meaning
    R                                            networks (seeds, settings) in the stack
    B                                            samples in a batch
    L        architecture.depth                  hidden layers, from 0 (bottom) to L - 1
    W_l      weights[l]            [R, n_l, n_{l-1}]   weights, PyTorch's orientation; W_L: output
    b_l      biases[l]             [R, n_l]      biases
    f_l      trace.post[l]         [R, B, n_l]   what the layer hands on (after BatchNorm, if after)
             trace.active[l]       [R, B, n_l]   after the ReLU (the same, unless BatchNorm follows)
    g_l                            [R, B, n_l]   *descent* direction: minus the loss gradient

The backward pass is written by hand: all gradients are linear in the residual, so that a different
learning rate for every network is a factor on its residual, and a weight gradient is added to the
weights by the very product that computes it, never stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trine.core.errors import DataError, UsageError
from trine.dynamics.architecture import Architecture
from trine.dynamics.products import add_transposed_product_, product, product_transposed

__all__ = ["Stack", "Trace"]

BATCH_NORM_EPSILON = 1e-5
BATCH_NORM_MOMENTUM = 0.1
"""Both as in PyTorch."""


@dataclass(slots=True)
class Trace:
    """What a forward pass leaves behind, for measures and for the backward pass.

    Attributes:
      inputs: `[R, B, d]`.
      active: per hidden layer `[R, B, n_l]`, right after the ReLU.
      post: per hidden layer `[R, B, n_l]`, what the next layer reads; the same tensors as `active`
        unless BatchNorm stands after the ReLU.
      output: `[R, B, c]`.
      normalised: per hidden layer `[R, B, n_l]`, BatchNorm's z-hat; empty without BatchNorm.
      scale: per hidden layer `[R, 1, n_l]`, one over BatchNorm's standard deviation; likewise.
      slope: of the ReLU below zero.
    """

    inputs: Tensor
    active: list[Tensor]
    post: list[Tensor]
    output: Tensor
    normalised: list[Tensor] = field(default_factory=list)
    scale: list[Tensor] = field(default_factory=list)
    slope: float = 0.0

    def gate(self, layer: int) -> Tensor:
        """D_l(x): 1 where the pre-activation is positive, else the slope; `[R, B, n_l]`."""
        on = self.active[layer] > 0
        gate = on.to(self.inputs.dtype)
        # Not slope * (~on): that is a product in single precision.
        return gate if self.slope == 0 else gate + self.slope * (1 - gate)


class Stack:
    """R networks of one `Architecture`.

    Args:
      architecture: of every network.
      weights: per layer `[R, n_l, n_{l-1}]`, the output layer last.
      biases: per layer `[R, n_l]`; empty without biases.
      norm_scale: BatchNorm's gamma per hidden layer `[R, n_l]`; empty unless affine.
      norm_shift: BatchNorm's bias per hidden layer `[R, n_l]`; empty unless affine.
      running_mean: per hidden layer `[R, n_l]`; empty without BatchNorm.
      running_var: likewise.

    Raises:
      UsageError: if shapes do not fit the architecture.
    """

    def __init__(
        self,
        architecture: Architecture,
        weights: Sequence[Tensor],
        biases: Sequence[Tensor] = (),
        norm_scale: Sequence[Tensor] = (),
        norm_shift: Sequence[Tensor] = (),
        running_mean: Sequence[Tensor] = (),
        running_var: Sequence[Tensor] = (),
    ) -> None:
        self.architecture = architecture
        self.weights = list(weights)
        self.biases = list(biases)
        if architecture.batch_norm != "none" and not running_mean:
            like = [weights[0].new_ones(weights[0].shape[0], n) for n in architecture.hidden]
            running_mean = [torch.zeros_like(t) for t in like]
            running_var = [t.clone() for t in like]
            if architecture.affine and not norm_scale:
                norm_scale = [t.clone() for t in like]
                norm_shift = [torch.zeros_like(t) for t in like]
        self.norm_scale, self.norm_shift = list(norm_scale), list(norm_shift)
        self.running_mean, self.running_var = list(running_mean), list(running_var)
        self._check()

    def _check(self) -> None:
        widths = self.architecture.widths
        count = self.weights[0].shape[0] if self.weights else 0
        wanted = [(count, n, m) for m, n in pairwise(widths)]
        given = [tuple(weight.shape) for weight in self.weights]
        if given != wanted:
            raise UsageError(f"weights of shapes {given}", accepted=f"{wanted}")
        if self.architecture.bias:
            wanted_biases = [(count, n) for n in widths[1:]]
            if [tuple(b.shape) for b in self.biases] != wanted_biases:
                raise UsageError(
                    f"biases of shapes {[tuple(b.shape) for b in self.biases]}",
                    accepted=f"{wanted_biases}",
                )
        elif self.biases:
            raise UsageError("biases for an architecture without", hint="set bias=True")

    @property
    def count(self) -> int:
        """R."""
        return self.weights[0].shape[0]

    @property
    def dtype(self) -> torch.dtype:
        """Of all tensors."""
        return self.weights[0].dtype

    @property
    def device(self) -> torch.device:
        """Of all tensors."""
        return self.weights[0].device

    def _named(self) -> dict[str, list[Tensor]]:
        return {
            "weight": self.weights,
            "bias": self.biases,
            "norm_scale": self.norm_scale,
            "norm_shift": self.norm_shift,
            "running_mean": self.running_mean,
            "running_var": self.running_var,
        }

    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """All numbers by name (`weight.0`, `bias.0`, ...), for a checkpoint."""
        return {
            f"{name}.{layer}": tensor.detach().cpu().numpy().copy()
            for name, tensors in self._named().items()
            for layer, tensor in enumerate(tensors)
        }

    @classmethod
    def from_arrays(
        cls,
        architecture: Architecture,
        arrays: Mapping[str, np.ndarray[Any, Any]],
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
    ) -> Stack:
        """The stack that `arrays` was taken from.

        Raises:
          DataError: if a layer is missing; UsageError: if shapes do not fit.
        """

        def layers(name: str, count: int) -> list[Tensor]:
            missing = [k for k in range(count) if f"{name}.{k}" not in arrays]
            if missing:
                raise DataError(f"no array {name}.{missing[0]}", accepted="a checkpoint of a Stack")
            return [
                torch.as_tensor(arrays[f"{name}.{k}"], dtype=dtype, device=device).clone()
                for k in range(count)
            ]

        depth = architecture.depth
        normed = depth if architecture.batch_norm != "none" else 0
        affine = normed if architecture.affine else 0
        return cls(
            architecture,
            layers("weight", depth + 1),
            layers("bias", depth + 1) if architecture.bias else (),
            layers("norm_scale", affine),
            layers("norm_shift", affine),
            layers("running_mean", normed),
            layers("running_var", normed),
        )

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Stack:
        """A copy on another device, perhaps of another precision."""
        return self._map(lambda t: t.to(device=device, dtype=dtype or t.dtype, copy=True))

    def clone(self) -> Stack:
        """A copy."""
        return self._map(Tensor.clone)

    def select(self, networks: Sequence[int]) -> Stack:
        """A copy of some of the networks, in the given order (repetition allowed)."""
        index = torch.as_tensor(list(networks), device=self.device)
        return self._map(lambda t: t.index_select(0, index))

    @classmethod
    def concatenate(cls, stacks: Sequence[Stack]) -> Stack:
        """Several stacks of one architecture as one, e.g. one a seed.

        Raises:
          UsageError: if architectures differ.
        """
        first = stacks[0]
        if any(stack.architecture != first.architecture for stack in stacks):
            raise UsageError("stacks of different architectures", accepted="equal ones")
        named = [stack._named() for stack in stacks]
        return cls(
            first.architecture,
            *(
                [torch.cat([n[name][k] for n in named]) for k in range(len(tensors))]
                for name, tensors in named[0].items()
            ),
        )

    def _map(self, change: Any) -> Stack:
        parts = ([change(t) for t in tensors] for tensors in self._named().values())
        return Stack(self.architecture, *parts)

    def affine(self, layer: int, inputs: Tensor) -> Tensor:
        """`W_l inputs + b_l`, `[R, B, n_l]`, of `inputs` `[R, B, n_{l-1}]`."""
        bias = self.biases[layer] if self.architecture.bias else None
        return product_transposed(inputs, self.weights[layer], bias)

    def forward(self, inputs: Tensor, *, training: bool = False) -> Trace:
        """All activations.

        Args:
          inputs: `[R, B, d]`.
          training: BatchNorm by the statistics of this batch, which also move the running ones.
        """
        place = self.architecture.batch_norm
        trace = Trace(inputs, [], [], inputs, slope=self.architecture.slope)
        handed = inputs
        for layer in range(self.architecture.depth):
            pre = self.affine(layer, handed)
            if place == "before_relu":
                pre = self._normalise(layer, pre, trace, training)
            active = self._relu_(pre)
            handed = active
            if place == "after_relu":
                handed = self._normalise(layer, active, trace, training)
            trace.active.append(active)
            trace.post.append(handed)
        trace.output = self.affine(self.architecture.depth, handed)
        return trace

    def _relu_(self, pre: Tensor) -> Tensor:
        slope = self.architecture.slope
        return pre.relu_() if slope == 0 else torch.nn.functional.leaky_relu_(pre, slope)

    def _normalise(self, layer: int, values: Tensor, trace: Trace, training: bool) -> Tensor:
        if training:
            mean = values.mean(1)
            var = values.var(1, correction=0)
            size = values.shape[1]
            unbiased = var * (size / max(size - 1, 1))  # PyTorch keeps this one
            self.running_mean[layer].lerp_(mean, BATCH_NORM_MOMENTUM)
            self.running_var[layer].lerp_(unbiased, BATCH_NORM_MOMENTUM)
        else:
            mean, var = self.running_mean[layer], self.running_var[layer]
        scale = (var + BATCH_NORM_EPSILON).rsqrt().unsqueeze(1)
        normalised = (values - mean.unsqueeze(1)) * scale
        trace.normalised.append(normalised)
        trace.scale.append(scale)
        if not self.architecture.affine:
            return (
                normalised.clone() if self.architecture.batch_norm == "before_relu" else normalised
            )
        shift = self.norm_shift[layer].unsqueeze(1)
        return torch.addcmul(shift, normalised, self.norm_scale[layer].unsqueeze(1))

    def descend(
        self,
        trace: Trace,
        residual: Tensor,
        *,
        frozen: Sequence[int] = (),
    ) -> None:
        """One step of gradient descent, in place.

        Args:
          trace: of a forward pass with `training=True`.
          residual: `[R, B, c]`, minus the gradient of the loss with respect to the output, times
            the learning rate of each network. It is used up.
          frozen: layers whose parameters stay (the output layer is number `depth`); BatchNorm
            belongs to its hidden layer.
        """
        descent = residual
        for layer in range(self.architecture.depth, -1, -1):
            below = trace.post[layer - 1] if layer else trace.inputs
            # The direction below must be computed with the weights before their step.
            lower = product(descent, self.weights[layer]) if layer else None
            if layer not in frozen:
                add_transposed_product_(self.weights[layer], descent, below)
                if self.architecture.bias:
                    self.biases[layer].add_(descent.sum(1))
            if lower is not None:
                descent = self._through_node(layer - 1, trace, lower, layer - 1 in frozen)

    def _through_node(self, layer: int, trace: Trace, descent: Tensor, frozen: bool) -> Tensor:
        """From what a hidden layer hands on to its pre-activations W f + b: g_l."""
        place = self.architecture.batch_norm
        if place == "after_relu":
            descent = self._through_batch_norm(layer, trace, descent, frozen)
        descent = _through_relu(descent, trace.active[layer], trace.slope)
        if place == "before_relu":
            descent = self._through_batch_norm(layer, trace, descent, frozen)
        return descent

    def _through_batch_norm(
        self, layer: int, trace: Trace, descent: Tensor, frozen: bool
    ) -> Tensor:
        normalised, scale = trace.normalised[layer], trace.scale[layer]
        along = descent * normalised
        if self.architecture.affine:
            gamma = self.norm_scale[layer].unsqueeze(1)
            scale = scale * gamma
            if not frozen:
                # Out of place: the direction below is taken at the old gamma.
                self.norm_scale[layer] = self.norm_scale[layer] + along.sum(1)
                self.norm_shift[layer].add_(descent.sum(1))
        # Spec: projection on the complement of span{1, z} within the batch.
        centred = descent - descent.mean(1, keepdim=True)
        return scale * (centred - normalised * along.mean(1, keepdim=True))

    def directions(self, trace: Trace, residual: Tensor) -> list[Tensor]:
        """g_l at the pre-activations of every hidden layer and at the output, nothing changed.

        Args:
          trace: of a forward pass (with BatchNorm: `training=True`).
          residual: `[R, B, c]`, y* - y for the papers' loss.

        Returns:
          `depth + 1` tensors `[R, B, n_l]`, bottom first.
        """
        found = [residual]
        for layer in range(self.architecture.depth, 0, -1):
            lower = product(found[0], self.weights[layer])
            found.insert(0, self._through_node(layer - 1, trace, lower, True))
        return found

    def normalise_rows_(self) -> None:
        """Divides every hidden node's incoming weights, and its bias, by the weights' norm."""
        for layer in range(self.architecture.depth):
            norm = self.weights[layer].norm(dim=2).clamp_min(torch.finfo(self.dtype).tiny)
            self.weights[layer].div_(norm.unsqueeze(2))
            if self.architecture.bias:
                self.biases[layer].div_(norm)


def _through_relu(descent: Tensor, active: Tensor, slope: float) -> Tensor:
    if slope == 0:
        return torch.ops.aten.threshold_backward(descent, active, 0.0)
    return torch.ops.aten.leaky_relu_backward(descent, active, slope, True)
