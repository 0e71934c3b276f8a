"""Tables in play and who bids at them: the one rollout engine of self-play, search and matches.

`N` tables bid in lock-step as tensors on one device; a table that has ended leaves the batch, so
the work is proportional to the calls made. Nothing here is a loop over boards.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from trine.bridge.lockstep import LockstepAuctions
from trine.bridge.network import PolicyNetwork, mask_illegal
from trine.bridge.observation import Observation
from trine.bridge.rewards import auction_points

__all__ = ["Actor", "Players", "Tables", "draw", "match_points", "play_out"]

_CHUNK = 16_384
"""Most decisions a network is asked for at once on a CPU: more would leave the cache."""


@dataclass(frozen=True, slots=True)
class Tables:
    """Auctions under way with everything about their deals.

    Attributes:
      auctions: the engine's state of `N` auctions.
      owner: `[N, 52]` uint8, seat of each card.
      tricks: `[N, 20]` uint8 double-dummy tricks.
    """

    auctions: LockstepAuctions
    owner: Tensor
    tricks: Tensor

    @classmethod
    def start(cls, owner: Tensor, tricks: Tensor, dealer: Tensor, vulnerability: Tensor) -> Tables:
        """Before the first call."""
        return cls(LockstepAuctions.start(dealer, vulnerability), owner, tricks)

    def __len__(self) -> int:
        return len(self.owner)

    @property
    def seat(self) -> Tensor:
        """`[N]` seats to call, int64."""
        return self.auctions.turn

    def select(self, rows: Tensor) -> Tables:
        """Some of the tables, by index (which may repeat) or mask; the others are left as is."""
        return Tables(self.auctions.select(rows), self.owner[rows], self.tricks[rows])

    def after(self, calls: Tensor) -> Tables:
        """The tables after one more call each, `[N]`; this object is not changed."""
        return Tables(self.auctions.after(calls), self.owner, self.tricks)

    def points(self) -> Tensor:
        """`[N]` points of North-South if the contract so far is the last, float32."""
        return auction_points(self.auctions, self.tricks)


@dataclass
class Actor:
    """A network that bids.

    Attributes:
      network: the policy.
      codec: what it sees.
      temperature: of its draws; 0: always the most probable call.
      bf16: whether matrix products run in bfloat16.
      decisions: how many it has made (rollouts too).
    """

    network: PolicyNetwork
    codec: Observation
    temperature: float = 1.0
    bf16: bool = False
    decisions: int = field(default=0)

    def observe(self, tables: Tables) -> tuple[Tensor, Tensor]:
        """Observations `[n, F]` of the players to call and legality `[n, 38]`."""
        legal = tables.auctions.legal()
        hand = tables.owner == tables.seat[:, None]
        return self.codec.encode(tables.auctions, hand), legal

    @torch.no_grad()
    def probabilities(self, x: Tensor, legal: Tensor) -> Tensor:
        """`[n, 38]` probabilities of the calls at the actor's temperature, 0 where illegal."""
        self.decisions += len(x)
        size = len(x) if x.is_cuda else _CHUNK
        with autocast(x.device, self.bf16):
            logits = torch.cat([self.network.logits(part) for part in x.float().split(size)])
        if self.temperature == 0:
            best = mask_illegal(logits, legal).argmax(-1)
            return torch.nn.functional.one_hot(best, logits.shape[1]).float()
        return torch.softmax(mask_illegal(logits, legal) / self.temperature, -1)


def autocast(device: torch.device, bf16: bool) -> AbstractContextManager[Any]:
    """Matrix products in bfloat16, if wanted."""
    return torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext()


@dataclass(frozen=True, slots=True)
class Players:
    """Who bids for which side of each table.

    Attributes:
      learner: bids where `controlled`.
      opponent: bids elsewhere; the learner itself if None.
      controlled: `[N, 2]` whether the learner bids for North-South, East-West.
    """

    learner: Actor
    opponent: Actor | None
    controlled: Tensor

    def select(self, rows: Tensor) -> Players:
        """Of some of the tables."""
        return Players(self.learner, self.opponent, self.controlled[rows])

    def mine(self, tables: Tables) -> Tensor:
        """`[N]` whether the learner is to call."""
        side = tables.seat % 2
        return self.controlled.gather(1, side[:, None])[:, 0]

    def policy(self, tables: Tables) -> tuple[Tensor, Tensor, Tensor]:
        """Observations `[n, F]`, legality and probabilities `[n, 38]` of who is to call."""
        x, legal = self.learner.observe(tables)
        if self.opponent is None:
            return x, legal, self.learner.probabilities(x, legal)
        mine = self.mine(tables)
        p = torch.empty(legal.shape, device=legal.device)
        for actor, rows in ((self.learner, mine), (self.opponent, ~mine)):
            where = rows.nonzero()[:, 0]
            if len(where):
                p[where] = actor.probabilities(x[where], legal[where])
        return x, legal, p


def draw(p: Tensor, generator: torch.Generator) -> Tensor:
    """One call a row, with the probabilities `[n, 38]`.

    The exponential race: the smallest of independent waiting times with rates `p` wins with
    probability `p`. Faster on a CPU than sampling by cumulative sums, and without a pause on a GPU.
    """
    waiting = torch.empty_like(p).exponential_(generator=generator)
    return (p / waiting).argmax(-1)


def play_out(tables: Tables, players: Players, generator: torch.Generator) -> Tensor:
    """Bids on to the end at every table.

    Args:
      tables: none of them over.
      players: who bids.
      generator: of the draws.

    Returns:
      `[N]` points of North-South.
    """
    points = torch.zeros(len(tables), device=tables.owner.device)
    rows = torch.arange(len(tables), device=points.device)
    while len(rows):
        _, _, p = players.policy(tables)
        tables = tables.after(draw(p, generator))
        done = tables.auctions.done
        if bool(done.any()):
            points[rows[done]] = tables.points()[done]
            keep = (~done).nonzero()[:, 0]
            rows, tables, players = rows[keep], tables.select(keep), players.select(keep)
    return points


def match_points(
    first: Actor, second: Actor, tables: Tables, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A duplicate match: every table twice, the second time with the seats exchanged.

    Returns:
      `[N]` and `[N]` points of North-South, with `first` sitting North-South, then East-West.
    """
    results = []
    for first_side in range(2):
        controlled = torch.zeros((len(tables), 2), dtype=torch.bool, device=tables.owner.device)
        controlled[:, first_side] = True
        results.append(play_out(tables, Players(first, second, controlled), generator))
    return results[0], results[1]
