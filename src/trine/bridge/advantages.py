"""Advantages of the calls of whole auctions.

Auctions of a batch differ in length; `[T, N]` arrays have one row a call and one column a table,
and are padded after an auction's end. All values here are rewards of North-South: what is good for
East-West is their negative.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["generalised_advantages"]


def generalised_advantages(
    values: Tensor,
    rewards: Tensor,
    lengths: Tensor,
    *,
    discount: float,
    gae_lambda: float,
    stride: int = 1,
) -> Tensor:
    """Generalised advantage estimation where the only reward comes at the end.

    Args:
      values: `[T, N]` estimated reward before each call, for North-South.
      rewards: `[N]` of North-South at the end of each auction.
      lengths: `[N]` calls of each auction, int.
      discount: γ, a step of `stride` calls.
      gae_lambda: λ: 0 trusts the next value alone, 1 the reward alone.
      stride: calls from one value to the next in the sum: 1 for a critic that sees all four hands,
        whose values of all seats are about the same state; 4 for one that sees a single hand, which
        is about that seat's decisions only.

    Returns:
      `[T, N]` advantages for North-South; 0 after the end.

    Source: Schulman et al. 2016, High-dimensional continuous control using generalised advantage
    estimation, Eq. 16.
    """
    steps, tables = values.shape
    advantages = torch.zeros((steps + stride, tables), dtype=values.dtype, device=values.device)
    padded = torch.cat([values, values.new_zeros((stride, tables))])
    for t in range(steps - 1, -1, -1):
        inside = t < lengths
        last = t + stride >= lengths  # no further value of this chain: the reward itself follows
        following = torch.where(last, rewards, padded[t + stride])
        error = discount * following - values[t]
        later = torch.where(last, torch.zeros_like(rewards), advantages[t + stride])
        advantages[t] = torch.where(inside, error + discount * gae_lambda * later, 0.0)
    return advantages[:steps]
