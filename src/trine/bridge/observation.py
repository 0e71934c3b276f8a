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
from functools import cache
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
        turn, count = auctions.turn, len(auctions.turn)
        # Four seats are a word of four bytes: turning them to the player is turning the word.
        x = torch.empty((count, self.size), dtype=torch.uint8, device=turn.device)
        words, history = x.view(torch.int32), auctions.history.view(torch.int32)
        turned = words[:, 1:107]  # [N, 106], written in place: these rows are most of the work
        torch.bitwise_right_shift(history, 8 * turn[:, None].int(), out=turned)
        round_to_end = _round_to_end(turn.device).index_select(0, turn)[:, None]
        torch.addcmul(turned, history, round_to_end, out=turned)
        ours = auctions.vulnerability >> (turn % 2) & 1
        theirs = auctions.vulnerability >> ((turn + 1) % 2) & 1
        words[:, 0] = ((1 << 8 * ours) | (1 << 8 * theirs + 16)).int()
        x[:, 428:] = hand
        return x


@cache
def _round_to_end(device: torch.device) -> Tensor:
    """`[4]` by turn: 2 ** (32 - 8 turn) moves the seats before the player to the end; 0: none."""
    return torch.tensor([0, 1 << 24, 1 << 16, 1 << 8], dtype=torch.int32, device=device)


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
