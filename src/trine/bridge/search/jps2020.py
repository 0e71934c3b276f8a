"""Joint policy search as Tian, Gong and Jiang 2020 used it for bridge: online, inside self-play.

In a share of the deals, at every decision of the learner (spec 6.4):

1. candidates are the calls with probability above a minimum; fewer than two: the drawn call stands;
2. each candidate is followed by some rollouts with the current policies of all four players, all
   cards known to the simulator but not to the policies;
3. a rollout branches at the partner's next decision over the partner's candidates;
4. a candidate's score is the mean of the table's points over rollouts and branches (or the mean
   over rollouts of the best branch);
5. the best candidate is called and stored, and the policy gradient learns from the games as played.

Differences from the paper: the learner is PPO, whose probability ratio starts at 1 for a searched
call too (the paper's A2C clips π/μ at 2); the opponent in rollouts is whoever plays at the table,
a past self included.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trine.bridge.config import SearchConfig
from trine.bridge.search.rollouts import candidates, joint_rollouts
from trine.bridge.search.strategy import Decisions, SearchStrategy

__all__ = ["Jps2020"]


class Jps2020(SearchStrategy):
    """See the module."""

    def __init__(self, config: SearchConfig) -> None:
        super().__init__(config)
        self._searched = torch.zeros(0, dtype=torch.bool)
        self.changed = 0
        """Calls that search replaced since the batch began."""

    def begin(self, deals: int, generator: torch.Generator, device: torch.device) -> None:
        """Draws which deals are searched."""
        drawn = torch.rand(deals, generator=generator, device=device)
        self._searched = drawn < self.config.share
        self.changed = 0

    def choose(self, decisions: Decisions, generator: torch.Generator) -> Tensor:
        """The best candidates where a deal is searched, else what was drawn."""
        many = (decisions.p > self.config.min_probability).sum(1) >= 2
        where = (self._searched[decisions.deal] & decisions.mine & many).nonzero()[:, 0]
        if not len(where):
            return decisions.calls
        rows, calls = candidates(decisions.p[where], self.config.min_probability)
        scores = self._scores(decisions, where, rows, calls, generator)
        best = _best_of_each(scores, rows, calls, len(where))
        made = decisions.calls.clone()
        made[where] = best
        self.changed += int((made != decisions.calls).sum())
        return made

    def _scores(
        self,
        decisions: Decisions,
        where: Tensor,
        rows: Tensor,
        calls: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """`[P]` mean points of the caller's side for each candidate."""
        times = self.config.rollouts
        each = where[rows].repeat_interleave(times)  # [P * times]: a rollout is a tree of its own
        found = joint_rollouts(
            decisions.tables.select(each),
            decisions.players.select(each),
            calls.repeat_interleave(times),
            generator,
            minimum=self.config.min_probability,
            rollouts=1,
            branch=self.config.partner_branch,
        )
        sign = 1 - 2 * (decisions.tables.seat[each] % 2).float()
        points = found.points[:, 0] * sign[found.pair]
        total = torch.zeros(len(each), device=points.device)
        if self.config.best_on_best:
            total = total.scatter_reduce(0, found.pair, points, "amax", include_self=False)
        else:
            total = total.scatter_reduce(0, found.pair, points, "mean", include_self=False)
        return total.view(-1, times).mean(1)


def _best_of_each(scores: Tensor, rows: Tensor, calls: Tensor, count: int) -> Tensor:
    """`[count]` the call with the highest score of each row; the lower call if two are equal."""
    table = torch.full((count, 38), -torch.inf, device=scores.device)
    table[rows, calls] = scores
    return table.argmax(1)
