"""Joint changes of two partners, tried out at the table: the tree that both searches share.

    decision of one player   ──call a──▶ opponent calls ──▶ partner's decision ──call b──▶ ... end

Symbols: `n` decisions, `P` pairs (decision, candidate a), `L` leaves (pair, candidate b). The
simulator knows all hands and plays the rest with the current policies; the players' policies see
only their own hands.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trine.bridge.players import Players, Tables, draw, play_out

__all__ = ["JointRollouts", "candidates", "joint_rollouts"]


@dataclass(frozen=True, slots=True)
class JointRollouts:
    """Results of the tree.

    Attributes:
      pair: `[L]` the pair of each leaf.
      partner_call: `[L]` the partner's call b; -1 if the partner did not branch (the auction was
        over before, or branching is off).
      points: `[L, rollouts]` points of North-South of each of the leaf's rollouts. They are not
        averaged here, because IMPs of a mean are not the mean of IMPs; a leaf where the auction is
        over has the same number throughout.
      partner_rows: `[Q]` pairs whose partner had a decision.
      partner_x: `[Q, F]` the partner's observations there.
      partner_legal: `[Q, 38]` legality.
      partner_p: `[Q, 38]` probabilities.
    """

    pair: Tensor
    partner_call: Tensor
    points: Tensor
    partner_rows: Tensor
    partner_x: Tensor
    partner_legal: Tensor
    partner_p: Tensor


def candidates(p: Tensor, minimum: float) -> tuple[Tensor, Tensor]:
    """Rows and calls of more than the minimal probability, by row; the most probable one always.

    Args:
      p: `[n, 38]`.
      minimum: probability.
    """
    wanted = p > minimum
    wanted.scatter_(1, p.argmax(1, keepdim=True), True)
    rows, calls = wanted.nonzero(as_tuple=True)
    return rows, calls


def joint_rollouts(
    tables: Tables,
    players: Players,
    calls: Tensor,
    generator: torch.Generator,
    *,
    minimum: float,
    rollouts: int,
    branch: bool,
) -> JointRollouts:
    """Makes a candidate call at each table, branches at the partner's next decision, bids on.

    Args:
      tables: `P` decisions (a decision is there once for each candidate).
      players: who bids at them.
      calls: `[P]` the candidates.
      generator: of the draws.
      minimum: probability of the partner's candidates.
      rollouts: from each leaf.
      branch: whether the partner branches; if not, a leaf is a pair.
    """
    tables = tables.after(calls)
    # The opponent between the partners; an auction may be over before or after its call.
    pair = torch.arange(len(calls), device=calls.device)
    ended: list[tuple[Tensor, Tensor]] = []
    for stage in range(2):
        done = tables.auctions.done
        where = done.nonzero()[:, 0]
        ended.append((pair[where], tables.points()[where]))
        keep = (~done).nonzero()[:, 0]
        pair, tables, players = pair[keep], tables.select(keep), players.select(keep)
        if stage == 0 and len(pair):
            _, _, p = players.policy(tables)
            tables = tables.after(draw(p, generator))
    x, legal, p = players.policy(tables)
    if branch:
        rows, second = candidates(p, minimum)
    else:
        rows, second = torch.arange(len(pair), device=pair.device), None
    leaves = rows.repeat_interleave(rollouts)
    leaf_tables, leaf_players = tables.select(leaves), players.select(leaves)
    if second is not None:
        leaf_tables = leaf_tables.after(second.repeat_interleave(rollouts))
    points = _to_the_end(leaf_tables, leaf_players, generator)
    unbranched = -torch.ones_like(pair[rows])
    return JointRollouts(
        pair=torch.cat([*(rows_ for rows_, _ in ended), pair[rows]]),
        partner_call=torch.cat(
            [
                *(-torch.ones_like(rows_) for rows_, _ in ended),
                unbranched if second is None else second,
            ]
        ),
        points=torch.cat(
            [
                *(points_[:, None].expand(-1, rollouts) for _, points_ in ended),
                points.view(-1, rollouts),
            ]
        ),
        partner_rows=pair,
        partner_x=x,
        partner_legal=legal,
        partner_p=p,
    )


def _to_the_end(tables: Tables, players: Players, generator: torch.Generator) -> Tensor:
    """As `play_out`, where some auctions may be over already."""
    done = tables.auctions.done
    points = tables.points()
    keep = (~done).nonzero()[:, 0]
    if len(keep):
        points[keep] = play_out(tables.select(keep), players.select(keep), generator)
    return points
