"""Joint changes over two partners' information sets as a policy gradient of their own.

For a decision h of one player and the partner's next decision h' after the candidate a, the change
of value when the pair's policy goes from σ to σ' at these two information sets is exactly (spec
games.md, section 2: the sum of policy-change densities)

    Δ = π(h) · Σ_a σ'(a|h) · [ A(a) + E Σ_b σ'(b|h') · A'(b) ]
    A(a) = v(ha) - v(h),   A'(b) = v(h'b) - v(h')          old values, from rollouts

π(h) needs no weight, because decisions are sampled from play. The reach of the partner's set is the
*changed* σ'(a|h), not the old one: a call that is rare now, and an answer that would make it good,
are credited together. σ' is the learning policy mixed with an equal share of every candidate
(`exploration`), so that a call which is never made still has a reach.

The gradient of Δ has two parts: a's logits weighted by A(a) plus what the partner's change adds,
and b's logits weighted by A'(b) times the changed reach. Each ratio is clipped as in PPO.

Differences from the tabular search: values are sampled, h is one state of its information set and
the sum over the set is left to the mean over the batch; the changed policy is a gradient step, not
a switch to one action.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trine.bridge.config import SearchConfig
from trine.bridge.network import PolicyNetwork, mask_illegal
from trine.bridge.packed_bits import pack_bits, unpack_bits
from trine.bridge.players import Players, Tables, autocast
from trine.bridge.rewards import Rewards
from trine.bridge.search.rollouts import candidates, joint_rollouts
from trine.bridge.search.strategy import Decisions, SearchStrategy

__all__ = ["Density", "JointChanges"]


@dataclass(frozen=True, slots=True)
class Choices:
    """Decisions with valued candidates: `m` decisions, `c` candidates in all.

    Attributes:
      bits: packed observations of the decisions.
      legal: `[m, 38]`.
      row: `[c]` decision of each candidate, ascending.
      call: `[c]`.
      old: `[c]` probability under the policy that played.
      advantage: `[c]`, in rewards; the mean under the old policy is 0 in each decision.
    """

    bits: Tensor
    legal: Tensor
    row: Tensor
    call: Tensor
    old: Tensor
    advantage: Tensor


@dataclass(frozen=True, slots=True)
class JointChanges:
    """The examples of a batch.

    Attributes:
      first: the decisions h.
      second: the partners' decisions h'.
      parent: `[m of second]` the candidate of `first` that each h' follows.
    """

    first: Choices
    second: Choices
    parent: Tensor


class Density(SearchStrategy):
    """See the module."""

    def __init__(self, config: SearchConfig) -> None:
        super().__init__(config)
        self._sampled: list[tuple[Tables, Players, Tensor, Tensor]] = []
        self._inputs = 0
        self.changes: JointChanges | None = None

    def begin(self, deals: int, generator: torch.Generator, device: torch.device) -> None:
        """Forgets the last batch."""
        self._sampled = []
        self.changes = None

    def choose(self, decisions: Decisions, generator: torch.Generator) -> Tensor:
        """Keeps a share of the decisions that have a choice; changes no call."""
        drawn = torch.rand(len(decisions.p), generator=generator, device=decisions.p.device)
        many = (decisions.p > self.config.min_probability).sum(1) >= 2
        where = ((drawn < self.config.share) & many & decisions.mine).nonzero()[:, 0]
        if len(where):
            self._sampled.append(
                (
                    decisions.tables.select(where),
                    decisions.players.select(where),
                    decisions.table[where],
                    decisions.p[where],
                )
            )
        return decisions.calls

    def finish(self, rewards: Rewards, generator: torch.Generator) -> int:
        """Values the joint changes of the decisions that were kept."""
        parts = [self._value(*sample, rewards, generator) for sample in self._sampled]
        self._sampled = []
        if not parts:
            return 0
        self.changes = _joined(parts)
        return len(self.changes.first.bits)

    def _value(
        self,
        tables: Tables,
        players: Players,
        table: Tensor,
        p: Tensor,
        rewards: Rewards,
        generator: torch.Generator,
    ) -> JointChanges:
        x, legal = players.learner.observe(tables)
        self._inputs = x.shape[1]
        row, call = candidates(p, self.config.min_probability)
        found = joint_rollouts(
            tables.select(row),
            players.select(row),
            call,
            generator,
            minimum=self.config.min_probability,
            rollouts=self.config.rollouts,
            branch=self.config.partner_branch,
        )
        sign = 1 - 2 * (tables.seat % 2).float()
        value = rewards.of(found.points, table[row[found.pair]]).mean(1) * sign[row[found.pair]]
        # The partner's part: old probabilities of its candidates, made to sum to 1 in a decision.
        branched = (found.partner_call >= 0).nonzero()[:, 0]
        place = torch.full((len(row),), -1, device=row.device)
        place[found.partner_rows] = torch.arange(len(found.partner_rows), device=row.device)
        second_row = place[found.pair[branched]]
        second_call = found.partner_call[branched]
        second_old = found.partner_p[second_row, second_call]
        mean, advantage = _advantages(
            value[branched], second_old, second_row, len(found.partner_rows)
        )
        # v(ha): the mean over the partner's candidates, or the rollouts themselves.
        first_value = torch.zeros(len(row), device=value.device)
        first_value[found.pair] = value  # pairs without a branch have one leaf
        if len(branched):
            first_value[found.partner_rows] = mean
        old = p[row, call]
        _, first_advantage = _advantages(first_value, old, row, len(p))
        return JointChanges(
            Choices(pack_bits(x), legal, row, call, old, first_advantage),
            Choices(
                pack_bits(found.partner_x),
                found.partner_legal,
                second_row,
                second_call,
                second_old,
                advantage,
            ),
            found.partner_rows,
        )

    def loss(
        self,
        network: PolicyNetwork,
        examples: Tensor,
        *,
        clip: float,
        temperature: float,
        bf16: bool,
    ) -> Tensor:
        """Minus the clipped Δ of some decisions (`examples`, ascending), mean over them."""
        assert self.changes is not None

        def ratios(choices: Choices, rows: Tensor, picked: Tensor) -> tuple[Tensor, Tensor]:
            x = unpack_bits(choices.bits[rows], self._inputs)
            with autocast(x.device, bf16):
                logits = network.logits(x) / temperature
            return _ratios(logits, choices, rows, picked)

        first, second, parent = self.changes.first, self.changes.second, self.changes.parent
        chosen = _chosen(first.row, examples, len(first.bits))  # candidates of these decisions
        chosen_mask = torch.zeros(len(first.row), dtype=torch.bool, device=first.row.device)
        chosen_mask[chosen] = True
        partners = chosen_mask[parent].nonzero()[:, 0]
        leaves = _chosen(second.row, partners, len(second.bits))
        ratio, new = ratios(first, examples, chosen)
        share = torch.zeros(len(first.bits), device=first.old.device)
        share.scatter_add_(0, first.row[chosen], torch.ones_like(first.old[chosen]))
        reach = torch.zeros(len(first.row), device=first.old.device)
        mix = self.config.exploration
        reach[chosen] = (1 - mix) * new.detach() + mix / share[first.row[chosen]]
        gain = torch.zeros(len(first.row), device=first.old.device)
        joint = first.advantage.new_zeros(())
        if len(leaves):
            second_ratio, _ = ratios(second, partners, leaves)
            terms = second.old[leaves] * _clipped(second_ratio, second.advantage[leaves], clip)
            after = parent[second.row[leaves]]
            joint = (reach[after] * terms).sum()
            gain.scatter_add_(0, after, terms.detach())
        total = first.advantage[chosen] + gain[chosen]
        alone = (first.old[chosen] * _clipped(ratio, total, clip)).sum()
        return -(alone + joint) / max(len(examples), 1)


def _ratios(
    logits: Tensor, choices: Choices, rows: Tensor, picked: Tensor
) -> tuple[Tensor, Tensor]:
    """New over old probability, and the new one, of the picked candidates of some decisions."""
    log_p = torch.log_softmax(mask_illegal(logits, choices.legal[rows]), -1)
    place = torch.zeros(len(choices.bits), dtype=torch.long, device=logits.device)
    place[rows] = torch.arange(len(rows), device=logits.device)
    new = log_p[place[choices.row[picked]], choices.call[picked]].exp()
    return new / choices.old[picked], new


def _clipped(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """The pessimistic of the plain and the clipped product, as in PPO."""
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def _advantages(value: Tensor, old: Tensor, row: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Mean value of each decision under its old policy, and what each candidate adds to it."""
    zeros = torch.zeros(count, device=value.device)
    weight = zeros.scatter_add(0, row, old).clamp_min(1e-9)
    mean = zeros.scatter_add(0, row, old * value) / weight
    return mean, value - mean[row]


def _chosen(row: Tensor, wanted: Tensor, count: int) -> Tensor:
    """Places in `row` whose decision is wanted."""
    mask = torch.zeros(count, dtype=torch.bool, device=row.device)
    mask[wanted] = True
    return mask[row].nonzero()[:, 0]


def _joined(parts: list[JointChanges]) -> JointChanges:
    """The examples of all steps as one, rows and parents moved along."""
    parents: list[Tensor] = []
    candidates_before = 0
    for part in parts:
        parents.append(part.parent + candidates_before)
        candidates_before += len(part.first.row)
    return JointChanges(
        _stacked([part.first for part in parts]),
        _stacked([part.second for part in parts]),
        torch.cat(parents),
    )


def _stacked(parts: list[Choices]) -> Choices:
    before, rows = 0, []
    for part in parts:
        rows.append(part.row + before)
        before += len(part.bits)
    return Choices(
        torch.cat([part.bits for part in parts]),
        torch.cat([part.legal for part in parts]),
        torch.cat(rows),
        torch.cat([part.call for part in parts]),
        torch.cat([part.old for part in parts]),
        torch.cat([part.advantage for part in parts]),
    )
