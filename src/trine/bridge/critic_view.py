"""What the privileged critic sees: everything that is true about a table (spec 6.8).

It is used in training only, so it may see what no player sees. Relative seats: the player to call,
left-hand opponent, partner, right-hand opponent. After the numbers of the player's own observation:

    156   hands of the other three, 52 cards each
     20   double-dummy tricks / 13: strain C D H S NT, declarer by relative seat
    140   reward of each contract: by own side or theirs, undoubled or doubled, 35 each
      2   exact reward if all pass from here on; reward of a passed-out deal

Rewards of the duplicate kind are IMPs against what happened at the deal's other tables. These are
independent of what this table does from here on, so a baseline may know them: given them the value
of a state depends on the policy alone, which removes most of the variance of an advantage.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trine.bridge.rewards import ContractPoints, Rewards

__all__ = ["EXTRA_INPUTS", "CriticView"]

EXTRA_INPUTS = 3 * 52 + 20 + 140 + 2


@dataclass(frozen=True, slots=True)
class CriticView:
    """Facts of a batch's tables, from which the critic's inputs are put together.

    Attributes:
      owner: `[N, 52]` seat of each card.
      tricks: `[N, 20]`.
      contracts: `[N, 2, 70]` rewards of North-South by declaring side.
      passed_out: `[N]` reward of North-South.
    """

    owner: Tensor
    tricks: Tensor
    contracts: Tensor
    passed_out: Tensor

    @classmethod
    def make(
        cls, owner: Tensor, tricks: Tensor, points: ContractPoints, rewards: Rewards
    ) -> CriticView:
        """Of a finished batch."""
        contracts = rewards.of(points.points.flatten(2))
        zero = torch.zeros(len(owner), device=owner.device)
        return cls(owner, tricks, contracts, rewards.of(zero))

    def inputs(self, x: Tensor, table: Tensor, seat: Tensor, now: Tensor) -> Tensor:
        """`[n, F + EXTRA_INPUTS]`.

        Args:
          x: `[n, F]` observations of the players to call.
          table: `[n]` their tables.
          seat: `[n]` their seats.
          now: `[n]` reward of North-South if all pass from here on.
        """
        relative = (self.owner[table].int() - seat[:, None].int()) % 4  # [n, 52]
        hands = [(relative == other) for other in (1, 2, 3)]
        order = (seat[:, None] + torch.arange(4, device=seat.device)) % 4  # [n, 4]
        tricks = self.tricks[table].view(-1, 5, 4).gather(2, order[:, None].expand(-1, 5, -1))
        side = seat % 2
        sign = (1 - 2 * side).to(now.dtype)[:, None]
        contracts = self.contracts[table]  # [n, 2, 70]
        own = contracts.gather(1, side.view(-1, 1, 1).expand(-1, 1, contracts.shape[2]))[:, 0]
        theirs = contracts.sum(1) - own
        parts = [
            x,
            *(hand.to(x.dtype) for hand in hands),
            tricks.flatten(1).to(x.dtype) / 13,
            (torch.cat([own, theirs], 1) * sign).to(x.dtype),
            (torch.stack([now, self.passed_out[table]], 1) * sign).to(x.dtype),
        ]
        return torch.cat(parts, 1)
