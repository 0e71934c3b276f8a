"""The solved deals of a training, on its device, and how a batch is drawn from them.

Permuting the suits of a deal together with the first four rows of its table gives another true deal
of the same distribution: 24 from each; dealer and vulnerability make 16 boards of each of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from trine.bridge.deals import read_solved_deals
from trine.bridge.self_play import Deals
from trine.bridge.symmetry import SUIT_ORDERS, is_evaluation
from trine.core.errors import DataError

__all__ = ["DealSource", "load_deals", "permute_suits"]


@dataclass(frozen=True, slots=True)
class DealSource:
    """Deals of one purpose.

    Attributes:
      owner: `[D, 52]` uint8.
      tricks: `[D, 20]` uint8.
    """

    owner: Tensor
    tricks: Tensor

    def __len__(self) -> int:
        return len(self.owner)

    def draw(self, count: int, generator: torch.Generator, *, permute: bool) -> Deals:
        """Deals with random dealer and vulnerability.

        Args:
          count: how many; without repetition as far as there are enough.
          generator: on the device of the deals.
          permute: whether suits are permuted.
        """
        device = self.owner.device
        rows = torch.cat(
            [
                torch.randperm(len(self), generator=generator, device=device)
                for _ in range(-(-count // len(self)))
            ]
        )[:count]
        owner, tricks = self.owner[rows], self.tricks[rows]
        if permute:
            which = torch.randint(24, (count,), generator=generator, device=device)
            owner, tricks = permute_suits(
                owner, tricks, torch.from_numpy(SUIT_ORDERS).to(device)[which]
            )
        dealer, vulnerability = torch.randint(4, (2, count), generator=generator, device=device)
        return Deals(owner, tricks, dealer, vulnerability, rows)


def permute_suits(owner: Tensor, tricks: Tensor, orders: Tensor) -> tuple[Tensor, Tensor]:
    """`trine.bridge.symmetry.permute_suits` on tensors, wherever they live.

    Args:
      owner: `[n, 52]`.
      tricks: `[n, 20]`.
      orders: `[n, 4]`.
    """
    cards = owner.view(-1, 4, 13).gather(1, orders[:, :, None].expand(-1, -1, 13))
    table = tricks.view(-1, 5, 4)
    suits = table.gather(1, orders[:, :, None].expand(-1, -1, 4))
    return cards.flatten(1), torch.cat([suits, table[:, 4:]], 1).flatten(1)


def load_deals(
    sources: Sequence[Path | str], device: torch.device
) -> tuple[DealSource, DealSource]:
    """Deals to train on, and deals to measure on; no deal is in one and permuted in the other.

    Raises:
      DataError: a broken file, or nothing left to train or to measure on.
    """
    owners, tables = [], []
    for source in sources:
        deals = read_solved_deals(source)
        owners.append(deals.owner)
        tables.append(deals.tricks)
    owner = torch.cat([torch.as_tensor(part) for part in owners])
    tricks = torch.cat([torch.as_tensor(part) for part in tables])
    held = torch.as_tensor(is_evaluation(owner.numpy()))
    if bool(held.all()) or not bool(held.any()):
        raise DataError(
            f"{len(owner)} deals leave none to {'train' if held.all() else 'measure'} on",
            hint="make more: trine bridge deals generate",
        )
    return (
        DealSource(owner[~held].to(device), tricks[~held].to(device)),
        DealSource(owner[held].to(device), tricks[held].to(device)),
    )
