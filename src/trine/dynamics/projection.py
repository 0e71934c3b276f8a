"""BatchNorm is a projection: what it does to a gradient, and what that conserves (spec 6).

Per node, over the batch: z has mean mu and standard deviation s, zhat = (z - mu) / s, the output is
gamma zhat + b. An incoming direction g goes back as

    g_in = (gamma / s) (g - mean(g) - zhat mean(g zhat)),

the projection on the complement of span{1, z}. So mean(g_in) = 0 and mean(g_in zhat) = 0, a bias
before BatchNorm learns nothing, the incoming weights w_j get a gradient orthogonal to themselves,
and gradient flow conserves ||w_j||; a discrete step of rate r adds r^2 ||gradient||^2 to its
square. That is how BatchNorm supplies the unit-norm assumption of Tian et al. 2019 (arXiv
1905.13405, BatchNorm section). PyTorch adds epsilon to s^2; then the two equalities with zhat and w
hold up to epsilon / s^2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trine.core.errors import UsageError
from trine.dynamics.stack import BATCH_NORM_EPSILON, Stack

__all__ = ["Projected", "batch_norm_backward", "fold_batch_norm", "projection_residuals"]


@dataclass(frozen=True, slots=True)
class Projected:
    """BatchNorm's backward pass.

    Attributes:
      direction: `[..., B, n]`, g_in.
      normalised: `[..., B, n]`, zhat.
    """

    direction: Tensor
    normalised: Tensor


def batch_norm_backward(
    values: Tensor, incoming: Tensor, gamma: Tensor | float = 1.0, epsilon: float = 0.0
) -> Projected:
    """The formula of the module, for batches of any size.

    Args:
      values: `[..., B, n]`, what goes into BatchNorm: z.
      incoming: `[..., B, n]`, the direction at its output.
      gamma: its scale, `[..., 1, n]` or a number.
      epsilon: added to the variance; 0 for the exact projection, 1e-5 for PyTorch's.

    Raises:
      UsageError: shapes that differ, or a node that is constant on the batch with `epsilon` 0.
    """
    if values.shape != incoming.shape:
        raise UsageError(
            f"values {tuple(values.shape)}, direction {tuple(incoming.shape)}", accepted="equal"
        )
    centred = values - values.mean(-2, keepdim=True)
    variance = centred.square().mean(-2, keepdim=True) + epsilon
    if bool((variance == 0).any()):
        raise UsageError(
            "a node is constant on the batch", hint="give an epsilon, e.g. PyTorch's 1e-5"
        )
    scale = variance.rsqrt()
    normalised = centred * scale
    along = (incoming * normalised).mean(-2, keepdim=True)
    projected = incoming - incoming.mean(-2, keepdim=True) - normalised * along
    return Projected(gamma * scale * projected, normalised)


def projection_residuals(projected: Projected) -> tuple[float, float]:
    """Largest |mean(g_in)| and |mean(g_in zhat)| over nodes; both 0 in exact arithmetic."""
    one = projected.direction.mean(-2).abs().max()
    along = (projected.direction * projected.normalised).mean(-2).abs().max()
    return float(one), float(along)


def fold_batch_norm(stack: Stack) -> Stack:
    """The same networks in evaluation mode without BatchNorm: it is an affine map there.

    BatchNorm before the ReLU goes into the weights below it, after the ReLU into those above.
    Where the scale is negative nothing changes in this: the ReLU sees the same numbers.

    Args:
      stack: R networks; returned as a copy if they have no BatchNorm.

    Returns:
      Networks with biases, whose evaluation outputs and activations (before BatchNorm, if it stands
      after the ReLU) are the same.
    """
    architecture = stack.architecture
    if architecture.batch_norm == "none":
        return stack.clone()
    weights = [weight.clone() for weight in stack.weights]
    zeros = [weight.new_zeros(weight.shape[:2]) for weight in weights]
    biases = [bias.clone() for bias in stack.biases] or zeros
    for layer in range(architecture.depth):
        scale = (stack.running_var[layer] + BATCH_NORM_EPSILON).rsqrt()
        shift = torch.zeros_like(scale)
        if architecture.affine:
            scale, shift = scale * stack.norm_scale[layer], stack.norm_shift[layer]
        shift = shift - scale * stack.running_mean[layer]
        if architecture.batch_norm == "before_relu":
            weights[layer] = weights[layer] * scale.unsqueeze(2)
            biases[layer] = biases[layer] * scale + shift
        else:
            above = weights[layer + 1]
            biases[layer + 1] = biases[layer + 1] + (above @ shift.unsqueeze(2)).squeeze(2)
            weights[layer + 1] = above * scale.unsqueeze(1)
    return Stack(replace(architecture, bias=True, batch_norm="none"), weights, biases)
