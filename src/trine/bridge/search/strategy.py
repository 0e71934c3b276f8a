"""What a search strategy may do in self-play; the base does none of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trine.bridge.config import SearchConfig
from trine.bridge.network import PolicyNetwork
from trine.bridge.players import Players, Tables
from trine.bridge.rewards import Rewards

__all__ = ["Decisions", "SearchStrategy"]


@dataclass(frozen=True, slots=True)
class Decisions:
    """All decisions of one step of a batch, `n` of them.

    Attributes:
      tables: before the calls.
      players: who bids.
      table: `[n]` which table of the batch each is.
      deal: `[n]` which deal.
      p: `[n, 38]` probabilities of the calls.
      calls: `[n]` what would be called without search.
      mine: `[n]` whether the learner is to call.
    """

    tables: Tables
    players: Players
    table: Tensor
    deal: Tensor
    p: Tensor
    calls: Tensor
    mine: Tensor


class SearchStrategy:
    """Plain self-play, and the seam for everything else.

    Args:
      config: of the search.
    """

    def __init__(self, config: SearchConfig) -> None:
        self.config = config

    def begin(self, deals: int, generator: torch.Generator, device: torch.device) -> None:
        """A new batch of `deals` deals begins; forget the last one."""

    def choose(self, decisions: Decisions, generator: torch.Generator) -> Tensor:
        """The calls `[n]` that are made and stored; here those that were drawn."""
        return decisions.calls

    def finish(self, rewards: Rewards, generator: torch.Generator) -> int:
        """The batch is over and its rewards are known: prepare the loss.

        Returns:
          how many examples `loss` has.
        """
        return 0

    def loss(
        self,
        network: PolicyNetwork,
        examples: Tensor,
        *,
        clip: float,
        temperature: float,
        bf16: bool,
    ) -> Tensor:
        """A further loss of the policy.

        Args:
          network: the policy that learns.
          examples: which of them, int64.
          clip: of probability ratios.
          temperature: of the play.
          bf16: whether matrix products run in bfloat16.
        """
        raise NotImplementedError("this strategy has no examples")
