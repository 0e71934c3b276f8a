"""ReLU networks as ordinary PyTorch modules: one network, readable, differentiable by autograd.

`ReluNetwork` has the same architectures as `Stack` and converts to and from it;
`ConvReluNetwork` is the convolutional form of the papers' CIFAR-10 experiments (3x3, no padding, no
pooling, a linear layer on the flattened map). Every hidden unit is an `nn.ReLU` or `nn.LeakyReLU`
module, so that `trace_module` finds it, as it does in any other module built that way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from trine.core.errors import UsageError
from trine.dynamics.architecture import Architecture, BatchNormPlace
from trine.dynamics.stack import Stack

__all__ = ["ConvArchitecture", "ConvReluNetwork", "ReluNetwork"]


def _relu(slope: float) -> nn.Module:
    return nn.ReLU() if slope == 0 else nn.LeakyReLU(slope)


def _block(linear: nn.Module, norm: nn.Module, place: BatchNormPlace, slope: float) -> nn.Module:
    """One hidden layer: `linear`, then ReLU and BatchNorm in the order of `place`."""
    if place == "none":
        return nn.Sequential(linear, _relu(slope))
    if place == "before_relu":
        return nn.Sequential(linear, norm, _relu(slope))
    return nn.Sequential(linear, _relu(slope), norm)


class ReluNetwork(nn.Module):
    """A fully connected ReLU network.

    Args:
      architecture: widths, biases, slope, BatchNorm.
      dtype: of the parameters.
    """

    def __init__(self, architecture: Architecture, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.architecture = architecture
        place, bias = architecture.batch_norm, architecture.bias
        widths = architecture.widths
        self.hidden = nn.ModuleList(
            _block(
                nn.Linear(fan_in, width, bias=bias, dtype=dtype),
                nn.BatchNorm1d(width, affine=architecture.affine, dtype=dtype),
                place,
                architecture.slope,
            )
            for fan_in, width in pairwise(widths[:-1])
        )
        self.output = nn.Linear(widths[-2], widths[-1], bias=bias, dtype=dtype)

    def forward(self, inputs: Tensor) -> Tensor:
        """`[B, d]` to `[B, c]`."""
        for block in self.hidden:
            inputs = block(inputs)
        return self.output(inputs)

    @property
    def linears(self) -> list[nn.Linear]:
        """The linear layers, bottom first, the output last."""
        hidden = [cast("nn.Linear", cast("nn.Sequential", block)[0]) for block in self.hidden]
        return [*hidden, self.output]

    @property
    def norms(self) -> list[nn.BatchNorm1d]:
        """The BatchNorm layers, bottom first."""
        return [module for module in self.modules() if isinstance(module, nn.BatchNorm1d)]

    @classmethod
    def from_stack(cls, stack: Stack, network: int = 0) -> ReluNetwork:
        """One network of a stack, as a copy."""
        module = cls(stack.architecture, stack.dtype).to(stack.device)
        with torch.no_grad():
            for layer, linear in enumerate(module.linears):
                linear.weight.copy_(stack.weights[layer][network])
                if stack.biases:
                    linear.bias.copy_(stack.biases[layer][network])
            for layer, norm in enumerate(module.norms):
                if stack.norm_scale:
                    norm.weight.copy_(stack.norm_scale[layer][network])
                    norm.bias.copy_(stack.norm_shift[layer][network])
                cast("Tensor", norm.running_mean).copy_(stack.running_mean[layer][network])
                cast("Tensor", norm.running_var).copy_(stack.running_var[layer][network])
        return module

    @staticmethod
    def to_stack(modules: Sequence[ReluNetwork]) -> Stack:
        """Several networks of one architecture as a stack of copies.

        Raises:
          UsageError: no network, or different architectures.
        """
        if not modules or any(m.architecture != modules[0].architecture for m in modules):
            raise UsageError("networks to stack", accepted="at least one, all of one architecture")
        first = modules[0]

        def stacked(tensors: list[list[Tensor]]) -> list[Tensor]:
            return [torch.stack([t.detach() for t in layer]) for layer in tensors]

        def per_layer(pick: str, norms: bool) -> list[list[Tensor]]:
            groups = [(m.norms if norms else m.linears) for m in modules]
            return [[getattr(part, pick) for part in layer] for layer in zip(*groups, strict=True)]

        bias = per_layer("bias", False) if first.architecture.bias else []
        normed, affine = bool(first.norms), bool(first.norms) and first.architecture.affine
        return Stack(
            first.architecture,
            stacked(per_layer("weight", False)),
            stacked(bias),
            stacked(per_layer("weight", True)) if affine else (),
            stacked(per_layer("bias", True)) if affine else (),
            stacked(per_layer("running_mean", True)) if normed else (),
            stacked(per_layer("running_var", True)) if normed else (),
        )


@dataclass(frozen=True, slots=True)
class ConvArchitecture:
    """A convolutional ReLU network (spec 7.3): 3x3 convolutions, no padding, no pooling.

    Attributes:
      channels: of the hidden layers, bottom first.
      image: side of the square input.
      image_channels: of the input.
      outputs: c.
      bias: whether layers have biases.
      slope: of the ReLU below zero.
      batch_norm: where BatchNorm stands.
      affine: whether it has a scale and a shift.

    Raises:
      UsageError: an image too small for the number of layers.
    """

    channels: tuple[int, ...] = (64, 64, 64, 64)
    image: int = 32
    image_channels: int = 3
    outputs: int = 10
    bias: bool = True
    slope: float = 0.0
    batch_norm: BatchNormPlace = "none"
    affine: bool = True

    def __post_init__(self) -> None:
        if not self.channels or self.map_side < 1:
            raise UsageError(
                f"{len(self.channels)} layers of 3x3 convolutions on {self.image} x {self.image}",
                accepted="at least one layer, and at most one for every two pixels",
            )

    @property
    def map_side(self) -> int:
        """Side of the map of the last hidden layer: each convolution takes two pixels off."""
        return self.image - 2 * len(self.channels)

    @property
    def flattened(self) -> int:
        """Inputs of the output layer."""
        return self.channels[-1] * self.map_side**2


class ConvReluNetwork(nn.Module):
    """A convolutional ReLU network of a `ConvArchitecture`."""

    def __init__(self, architecture: ConvArchitecture, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.architecture = architecture
        place, bias = architecture.batch_norm, architecture.bias
        channels = (architecture.image_channels, *architecture.channels)
        self.hidden = nn.ModuleList(
            _block(
                nn.Conv2d(fan_in, width, 3, bias=bias, dtype=dtype),
                nn.BatchNorm2d(width, affine=architecture.affine, dtype=dtype),
                place,
                architecture.slope,
            )
            for fan_in, width in pairwise(channels)
        )
        self.output = nn.Linear(
            architecture.flattened, architecture.outputs, bias=bias, dtype=dtype
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """`[B, channels, side, side]` to `[B, c]`."""
        for block in self.hidden:
            inputs = block(inputs)
        return self.output(inputs.flatten(1))
