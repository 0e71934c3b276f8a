"""What a network sees of an auction in lock-step: own hand, vulnerability, all calls.

`lockhart480` are the 480 zeros and ones of Lockhart et al. 2020 (Human-agent cooperation in bridge
bidding, section 3), seats relative to the player: self, left-hand opponent, partner, right-hand
opponent.

    0     own side not vulnerable, vulnerable; their side not vulnerable, vulnerable
    4     who passed before the first bid, 4 seats
    8     for each bid 1C .. 7N: who bid it, who doubled it, who redoubled it, 4 seats each
    428   own hand, card = suit (C D H S) * 13 + rank (2 .. A)

`pgx480` are the same numbers but for the order of the hand: card = rank * 4 + suit, as in pgx's
`bridge_bidding` and in the auction part of OpenSpiel's `bridge`, so that weights trained on either
find their inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from trine.bridge.lockstep import LockstepAuctions
from trine.core.errors import UsageError

__all__ = ["OBSERVATIONS", "Lockhart480", "Observation", "Pgx480", "make_observation"]


class Observation(Protocol):
    """A codec of what a player may see."""

    size: int

    def encode(self, auctions: LockstepAuctions, hand: Tensor) -> Tensor:
        """`[N, size]` zeros and ones, uint8, of the players to call with hands `[N, 52]`."""
        ...


class Lockhart480:
    """See the module."""

    size = 480

    def encode(self, auctions: LockstepAuctions, hand: Tensor) -> Tensor:
        """`[N, 480]` uint8."""
        turn = auctions.turn
        relative = (turn[:, None] + torch.arange(4, device=turn.device)) % 4  # [N, 4] seats
        ours = auctions.vulnerability >> (turn % 2) & 1
        theirs = auctions.vulnerability >> ((turn + 1) % 2) & 1
        vulnerable = torch.stack([1 - ours, ours, 1 - theirs, theirs], 1)
        made = auctions.made.flatten(1, 2)  # [N, 105, 4 seats]
        seen = made.gather(2, relative[:, None].expand(-1, made.shape[1], -1))
        parts = (vulnerable, auctions.passed.gather(1, relative), seen.flatten(1), hand)
        return torch.cat([part.to(torch.uint8) for part in parts], 1)


class Pgx480:
    """See the module."""

    size = 480

    def encode(self, auctions: LockstepAuctions, hand: Tensor) -> Tensor:
        """`[N, 480]` uint8."""
        by_rank = hand.view(-1, 4, 13).transpose(1, 2).flatten(1)
        return Lockhart480().encode(auctions, by_rank)


OBSERVATIONS: dict[str, Callable[[], Observation]] = {
    "lockhart480": Lockhart480,
    "pgx480": Pgx480,
}


def make_observation(name: str) -> Observation:
    """The codec of a name.

    Raises:
      UsageError: there is none.
    """
    if name not in OBSERVATIONS:
        raise UsageError.unknown("observation codec", name, list(OBSERVATIONS))
    return OBSERVATIONS[name]()
