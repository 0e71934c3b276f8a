"""How good a policy is while it trains: against another one, and against the par of the deal.

Both on deals that are never trained on, with the most probable call of every player. Matches of any
two bots, with reports, are `trine bridge match`; here both are networks on the training's device.
"""

from __future__ import annotations

from typing import Any

import torch

from trine.bridge.players import Actor, Players, match_points, play_out
from trine.bridge.rewards import contract_points, imps_of, par_points
from trine.bridge.self_play import Deals
from trine.core.stats import summarise_clustered

__all__ = ["distance_from_par", "duplicate_match"]


def duplicate_match(first: Actor, second: Actor, deals: Deals) -> dict[str, Any]:
    """IMPs a board of `first`: every deal at two tables, with the seats exchanged.

    Args:
      first: whose result it is; temperature 0 for the most probable calls.
      second: the opponents.
      deals: the boards.

    Returns:
      `imps_per_board`, `se` (clustered by deal), `boards`, `wins`, `ties`, `losses`.
    """
    generator = torch.Generator(deals.owner.device)  # drawn from, but without effect, if greedy
    north, east = match_points(first, second, deals.tables(1), generator)
    imps = imps_of(north - east).cpu().numpy()
    deal = range(len(deals)) if deals.deal is None else deals.deal.cpu().numpy()
    summary = summarise_clustered(imps, deal)
    return {
        "imps_per_board": summary.mean,
        "se": summary.standard_error,
        "boards": len(deals),
        "wins": int((imps > 0).sum()),
        "ties": int((imps == 0).sum()),
        "losses": int((imps < 0).sum()),
    }


def distance_from_par(actor: Actor, deals: Deals) -> float:
    """Mean IMPs between the score and par, whoever gains by it, with one policy in all seats.

    Perfect bidding of both sides would have 0. It is a measure that needs no opponent.
    """
    tables = deals.tables(1)
    both = torch.ones((len(deals), 2), dtype=torch.bool, device=deals.owner.device)
    generator = torch.Generator(deals.owner.device)
    points = play_out(tables, Players(actor, None, both), generator)
    par = par_points(contract_points(deals.tricks, deals.vulnerability), deals.dealer)
    return float(imps_of(points - par).abs().mean())
