"""The two passes of a minibatch: networks and everything elementwise around them.

Tensors in, tensors out, so that torch can compile each as a whole: a step is some two hundred small
operations, and on a GPU their launches take longer than their work.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from trine.bridge.critic_view import CriticView
from trine.bridge.network import PolicyNetwork, PrivilegedCritic, mask_illegal
from trine.bridge.packed_bits import unpack_bits
from trine.bridge.players import autocast

__all__ = ["compiled", "critic_pass", "policy_pass"]


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """One compiled copy of a function for all sizes of a minibatch."""
    return torch.compile(function, dynamic=True)


def policy_pass(
    policy: PolicyNetwork,
    bits: Tensor,
    inputs: int,
    legal: Tensor,
    call: Tensor,
    old: Tensor,
    advantage: Tensor,
    temperature: float,
    clip: float,
    normalise: bool,
    bf16: bool,
) -> tuple[Tensor, ...]:
    """The policy on a minibatch.

    Args:
      policy: the network.
      bits: `[n, ⌈F/8⌉]` packed observations.
      inputs: `F`.
      legal: `[n, 38]`.
      call: `[n]` made.
      old: `[n]` log probability with which it was made.
      advantage: `[n]`.
      temperature: of the play.
      clip: of the ratio.
      normalise: whether the advantages are brought to mean 0 and deviation 1.
      bf16: whether matrix products run in bfloat16.

    Returns:
      log probabilities `[n, 38]`, value head `[n]`; surrogate loss, entropy, divergence from the
      policy that played and share of clipped ratios, each a mean over the decisions.
    """
    x = unpack_bits(bits, inputs)
    with autocast(x.device, bf16):
        logits, head = policy(x)
    # At the temperature of the play, so that the ratio is 1 where nothing has changed.
    log_p = torch.log_softmax(mask_illegal(logits / temperature, legal), -1)
    log_ratio = log_p.gather(1, call[:, None])[:, 0] - old
    ratio = log_ratio.exp()
    if normalise:
        advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)
    cut = ratio.clamp(1 - clip, 1 + clip)
    loss = -torch.minimum(ratio * advantage, cut * advantage).mean()
    entropy = -(log_p.exp() * log_p.clamp_min(-50)).sum(-1).mean()
    # Schulman's estimator of the divergence from the policy that played: never negative.
    kl = (ratio - 1 - log_ratio).mean()
    clipped = ((ratio - 1).abs() > clip).float().mean()
    return log_p, head, loss, entropy, kl, clipped


def critic_pass(
    critic: PrivilegedCritic,
    bits: Tensor,
    inputs: int,
    view: CriticView,
    table: Tensor,
    seat: Tensor,
    now: Tensor,
    bf16: bool,
) -> Tensor:
    """Values `[n]` of decisions, for the side that calls.

    Args:
      critic: the network.
      bits: `[n, ⌈F/8⌉]` packed observations.
      inputs: `F`.
      view: of the batch's tables.
      table: `[n]` of the decisions.
      seat: `[n]` that call.
      now: `[n]` reward of North-South if all pass from here on.
      bf16: whether matrix products run in bfloat16.
    """
    x = view.inputs(unpack_bits(bits, inputs), table, seat, now)
    with autocast(x.device, bf16):
        return critic(x).float()
