"""A batch of self-play: many deals, each at several tables, from the first call to the last.

Symbols: `B` deals, `K` tables a deal, `N = K·B` tables (order in `trine.bridge.rewards`), `M`
decisions in all, `T` calls of the longest auction.

Whole auctions rather than a fixed number of steps: every reward is the true one, no value is needed
at a cut, the tables of a deal can be compared, and nothing but weights and seeds passes from one
batch to the next, so that a training goes on after a kill exactly where it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trine.bridge.advantages import generalised_advantages
from trine.bridge.config import RewardConfig
from trine.bridge.critic_view import CriticView
from trine.bridge.packed_bits import pack_bits
from trine.bridge.players import Actor, Players, Tables, draw
from trine.bridge.rewards import Rewards, contract_points, par_points
from trine.bridge.search.strategy import Decisions, SearchStrategy

__all__ = ["Batch", "Deals", "play_batch", "seat_controls"]


@dataclass(frozen=True, slots=True)
class Deals:
    """Solved deals on the device of play.

    Attributes:
      owner: `[B, 52]` uint8 seats.
      tricks: `[B, 20]` uint8.
      dealer: `[B]` seats.
      vulnerability: `[B]` bits.
      deal: `[B]` which solved deal each is a guise of; None: all are different ones.
    """

    owner: Tensor
    tricks: Tensor
    dealer: Tensor
    vulnerability: Tensor
    deal: Tensor | None = None

    def __len__(self) -> int:
        return len(self.owner)

    def tables(self, times: int) -> Tables:
        """Every deal at `times` tables, before the first call."""
        return Tables.start(
            self.owner.repeat(times, 1),
            self.tricks.repeat(times, 1),
            self.dealer.repeat(times),
            self.vulnerability.repeat(times),
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything that an update learns from; rows are decisions in the order they were made.

    Attributes:
      bits: `[M, ⌈F/8⌉]` packed observations.
      inputs: `F`.
      legal: `[M, 38]`.
      call: `[M]` the call made.
      log_p: `[M]` its log probability under the policy that played (before search).
      highest: `[M]` the probability of the most probable call.
      table: `[M]`.
      step: `[M]` calls made before it at its table.
      seat: `[M]` who called.
      mine: `[M]` whether the learner called.
      now: `[M]` reward of North-South if all had passed from here on.
      lengths: `[N]` calls of each auction.
      points: `[N]` of North-South.
      reward: `[N]` of North-South.
      view: for the privileged critic.
      rewards: how points become rewards.
      against_past: `[N]` whether the opponents are a past self.
      examples: of the search's own loss.
    """

    bits: Tensor
    inputs: int
    legal: Tensor
    call: Tensor
    log_p: Tensor
    highest: Tensor
    table: Tensor
    step: Tensor
    seat: Tensor
    mine: Tensor
    now: Tensor
    lengths: Tensor
    points: Tensor
    reward: Tensor
    view: CriticView
    rewards: Rewards
    against_past: Tensor
    examples: int

    @property
    def sign(self) -> Tensor:
        """`[M]` +1 where North-South called, else -1."""
        return 1.0 - 2.0 * (self.seat % 2).float()

    def advantages(
        self, rows: Tensor, values: Tensor, *, discount: float, gae_lambda: float, stride: int
    ) -> tuple[Tensor, Tensor]:
        """Advantages and targets of the values, both `[n]` for the side that called.

        Decisions that are not among `rows` are passed over, as if they were forced: the value that
        follows a decision is that of the next chosen one.

        Args:
          rows: `[n]` decisions that are valued.
          values: `[n]` for the side that called.
          discount: see `generalised_advantages`.
          gae_lambda: the same.
          stride: the same, in chosen decisions.
        """
        step, table, sign = self.step[rows], self.table[rows], self.sign[rows]
        shape = (int(self.lengths.max()), len(self.lengths))
        chosen = torch.zeros(shape, dtype=torch.int32, device=values.device)
        chosen[step, table] = 1
        place = (chosen.cumsum(0) - 1)[step, table]  # [n] chosen decisions before it at its table
        lengths = chosen.sum(0)
        grid = torch.zeros((int(lengths.max()), shape[1]), device=values.device)
        grid[place, table] = values * sign
        found = generalised_advantages(
            grid, self.reward, lengths, discount=discount, gae_lambda=gae_lambda, stride=stride
        )
        own = found[place, table] * sign
        return own, own + values


def seat_controls(against_past: Tensor, tables: int) -> Tensor:
    """`[N, 2]` for which side the learner bids.

    Against itself: both. Against a past self: North-South at the first half of a deal's tables,
    East-West at the other half.

    Args:
      against_past: `[B]`.
      tables: `K`.
    """
    half = torch.arange(tables, device=against_past.device) >= tables // 2  # [K] seats exchanged
    controlled = torch.stack([~half, half], -1)[:, None] | ~against_past[None, :, None]
    return controlled.reshape(-1, 2)


def play_batch(
    deals: Deals,
    learner: Actor,
    past: Actor | None,
    past_share: float,
    reward: RewardConfig,
    strategy: SearchStrategy,
    generator: torch.Generator,
) -> Batch:
    """Plays every deal at `reward.tables` tables.

    Args:
      deals: `B`.
      learner: the current policy.
      past: a past self; None: the learner plays all seats.
      past_share: of the deals that are played against it.
      reward: what a table is worth.
      strategy: search inside the play.
      generator: of all draws, on the device of the deals.
    """
    device = deals.owner.device
    times = reward.tables
    tables = deals.tables(times)
    whole = tables
    against_past = torch.rand(len(deals), generator=generator, device=device) < past_share
    if past is None:
        against_past[:] = False
    players = Players(learner, past, seat_controls(against_past, times))
    strategy.begin(len(deals), generator, device)
    count = len(tables)
    points = torch.zeros(count, device=device)
    lengths = torch.zeros(count, dtype=torch.long, device=device)
    rows = torch.arange(count, device=device)
    steps: list[tuple[Tensor, ...]] = []
    inputs = 0
    while len(rows):
        x, legal, p = players.policy(tables)
        inputs = x.shape[1]
        mine = players.mine(tables)
        decisions = Decisions(tables, players, rows, rows % len(deals), p, draw(p, generator), mine)
        calls = strategy.choose(decisions, generator)
        log_p = p.gather(1, calls[:, None])[:, 0].clamp_min(1e-20).log()
        steps.append(
            (pack_bits(x), legal, calls, log_p, p.amax(1), rows, lengths[rows], tables.seat, mine,
             tables.points())
        )  # fmt: skip
        lengths[rows] += 1
        tables = tables.after(calls)
        done = tables.auctions.done
        points[rows[done]] = tables.points()[done]
        keep = (~done).nonzero()[:, 0]
        rows, tables, players = rows[keep], tables.select(keep), players.select(keep)
    bits, legal, call, log_p, highest, table, step, seat, mine, now = (
        torch.cat(parts) for parts in zip(*steps, strict=True)
    )
    contracts = contract_points(deals.tricks, deals.vulnerability).repeat(times)
    par = par_points(contracts, deals.dealer.repeat(times)) if reward.kind == "minus_par" else None
    rewards = Rewards.make(reward.kind, reward.unit, points, times, par)
    return Batch(
        bits=bits,
        inputs=inputs,
        legal=legal,
        call=call,
        log_p=log_p,
        highest=highest,
        table=table,
        step=step,
        seat=seat,
        mine=mine,
        now=rewards.of(now, table),
        lengths=lengths,
        points=points,
        reward=rewards.of(points),
        view=CriticView.make(whole.owner, whole.tricks, contracts, rewards),
        rewards=rewards,
        against_past=against_past.repeat(times),
        examples=strategy.finish(rewards, generator),
    )
