"""One update of proximal policy optimisation (Schulman et al. 2017) on a batch of whole auctions.

In reading order: values, advantages, then passes over minibatches with policy loss, entropy, value
loss, and what a search strategy adds. `trine.bridge.self_play` made the batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trine.bridge.config import PpoConfig
from trine.bridge.network import PolicyNetwork, PrivilegedCritic, mask_illegal
from trine.bridge.packed_bits import unpack_bits
from trine.bridge.players import autocast
from trine.bridge.ppo_passes import compiled, critic_pass, policy_pass
from trine.bridge.search.strategy import SearchStrategy
from trine.bridge.self_play import Batch

__all__ = ["Learner", "ppo_update"]

_CHUNK = 16_384
_CHUNK_ON_GPU = 262_144


@dataclass(frozen=True, slots=True)
class Learner:
    """What learns.

    Attributes:
      policy: the bidding network.
      critic: the privileged critic; None: the policy's value head.
      policy_optimiser: of the policy network.
      critic_optimiser: of the critic, if there is one.
      anchor: the policy at the start of self-play, if the recipe keeps near it.
      bf16: whether matrix products run in bfloat16.
      compiled: whether torch compiles the passes, see `trine.bridge.ppo_passes`.
    """

    policy: PolicyNetwork
    critic: PrivilegedCritic | None
    policy_optimiser: torch.optim.Optimizer
    critic_optimiser: torch.optim.Optimizer | None
    anchor: PolicyNetwork | None = None
    bf16: bool = False
    compiled: bool = False


def ppo_update(
    learner: Learner,
    batch: Batch,
    strategy: SearchStrategy,
    config: PpoConfig,
    *,
    rate: float,
    critic_rate: float,
    entropy: float,
    search_weight: float,
    warmup: bool,
    generator: torch.Generator,
) -> dict[str, float]:
    """Trains on a batch.

    Args:
      learner: changed in place.
      batch: of self-play.
      strategy: its loss is added if the batch has examples of it.
      config: the recipe's.
      rate: Adam's step of the policy now.
      critic_rate: of the critic now.
      entropy: weight of the entropy now.
      search_weight: weight of the strategy's loss.
      warmup: whether only the critic learns.
      generator: of the order of the decisions, on any device.

    Returns:
      means over the update: `policy_loss`, `value_loss`, `entropy`, `kl`, `clipped`,
      `looked_at` (share of the decisions that are not settled), `explained` (share of the variance
      of the targets that the values explain), `search_loss`, `passes` (epochs made before
      `kl_target` stopped them).
    """
    device = batch.bits.device
    # Where one call is all but certain there is next to no gradient, and the value before it is the
    # value after it: three of four decisions. Told by the policy, not by the call that was drawn:
    # of the states whose rare call was drawn alone the critic would learn a wrong value.
    rows = torch.arange(len(batch.call), device=device)
    if config.settled < 1:
        rows = rows[batch.highest < config.settled]
    values = _values(learner, batch, rows)
    # A critic that sees all hands values the same state at every call; one that sees one hand, its
    # own seat's decisions only, which are four calls apart.
    stride = 1 if learner.critic is not None else 4
    advantages, targets = batch.advantages(
        rows, values, discount=config.discount, gae_lambda=config.gae_lambda, stride=stride
    )
    if config.critic_lambda is not None:
        _, targets = batch.advantages(
            rows, values, discount=config.discount, gae_lambda=config.critic_lambda, stride=stride
        )
    own = batch.mine[rows].nonzero()[:, 0]  # places in `rows`
    # The opponents' decisions teach the critic too.
    seen = torch.arange(len(rows), device=device) if learner.critic is not None else own
    lesson = _Lesson(rows, advantages, targets, values)
    for optimiser, now in (
        (learner.policy_optimiser, rate),
        (learner.critic_optimiser, critic_rate),
    ):
        for group in optimiser.param_groups if optimiser is not None else ():
            group["lr"] = now
    means = _Means()
    passes = 0
    examples = _Rounds(batch.examples, len(own), config, generator, device)
    for _ in range(config.epochs):
        for chosen in _minibatches(own, config.minibatch, generator):
            parts, loss = _policy_terms(
                learner, batch, strategy, config, lesson.of(chosen), entropy, search_weight,
                examples,
            )  # fmt: skip
            if not warmup:
                _descend(learner.policy, learner.policy_optimiser, loss, config.gradient_norm)
            means.add(parts)
        if learner.critic is not None and learner.critic_optimiser is not None:
            for chosen in _minibatches(seen, config.minibatch, generator):
                part = lesson.of(chosen)
                value = _critic_values(learner, batch, part.rows)
                value_loss = _value_loss(value, part.targets, part.values, config.value_clip)
                _descend(learner.critic, learner.critic_optimiser, value_loss, config.gradient_norm)
                means.add({"value_loss": value_loss.detach()})
        passes += 1
        # Asked once a pass, not once a step: on a GPU every question is a pause.
        if config.kl_target and not warmup and means.of("kl") > config.kl_target:
            break
    error = math.nan
    if len(seen) > 1:
        error = float((targets - values)[seen].var() / targets[seen].var().clamp_min(1e-12))
    return {
        **means.all(),
        "looked_at": len(rows) / len(batch.call),
        "explained": 1 - error,
        "passes": float(passes),
    }


@dataclass(frozen=True, slots=True)
class _Lesson:
    """Decisions of a batch and what is to be learnt from them, all `[n]`."""

    rows: Tensor
    advantages: Tensor
    targets: Tensor
    values: Tensor

    def of(self, chosen: Tensor) -> _Lesson:
        """Some of them, by place."""
        return _Lesson(
            self.rows[chosen], self.advantages[chosen], self.targets[chosen], self.values[chosen]
        )


class _Means:
    """Means of what the steps report, kept on the device until they are asked for."""

    def __init__(self) -> None:
        self._totals: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, parts: dict[str, Tensor]) -> None:
        """Of one step."""
        for name, part in parts.items():
            self._totals[name] = self._totals[name] + part if name in self._totals else part
            self._counts[name] = self._counts.get(name, 0) + 1

    def of(self, name: str) -> float:
        """0 for what no step reported."""
        return float(self._totals[name]) / self._counts[name] if name in self._totals else 0.0

    def all(self) -> dict[str, float]:
        """By name."""
        return {name: self.of(name) for name in self._totals}


def _minibatches(places: Tensor, size: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """All of them in random order, at most `size` at a time."""
    device = generator.device
    order = torch.randperm(len(places), generator=generator, device=device).to(places.device)
    return places[order].split(size) if len(places) else ()


def _policy_terms(
    learner: Learner,
    batch: Batch,
    strategy: SearchStrategy,
    config: PpoConfig,
    lesson: _Lesson,
    entropy_weight: float,
    search_weight: float,
    examples: _Rounds,
) -> tuple[dict[str, Tensor], Tensor]:
    """What is recorded of the learner's decisions of a minibatch, and the policy network's loss."""
    rows = lesson.rows
    pass_ = compiled(policy_pass) if learner.compiled else policy_pass
    log_p, head, policy_loss, entropy, kl, clipped = pass_(
        learner.policy, batch.bits[rows], batch.inputs, batch.legal[rows], batch.call[rows],
        batch.log_p[rows], lesson.advantages, config.temperature, config.clip,
        config.normalise_advantages, learner.bf16,
    )  # fmt: skip
    parts = {
        "policy_loss": policy_loss.detach(),
        "entropy": entropy.detach(),
        "kl": kl.detach(),
        "clipped": clipped.detach(),
    }
    loss = policy_loss - entropy_weight * entropy
    if learner.critic is None:
        value_loss = _value_loss(head.float(), lesson.targets, lesson.values, config.value_clip)
        parts["value_loss"] = value_loss.detach()
        loss = loss + config.value_weight * value_loss
    if learner.anchor is not None:
        x, legal = unpack_bits(batch.bits[rows], batch.inputs), batch.legal[rows]
        with torch.no_grad(), autocast(x.device, learner.bf16):
            anchored = learner.anchor.logits(x)
        old = torch.log_softmax(mask_illegal(anchored / config.temperature, legal), -1)
        distance = (log_p.exp() * (log_p - old).clamp(-50, 50)).sum(-1).mean()
        parts["kl_start"] = distance.detach()
        loss = loss + config.kl_start * distance
    wanted = examples.next()
    if wanted is not None:
        search_loss = strategy.loss(
            learner.policy, wanted, clip=config.clip, temperature=config.temperature,
            bf16=learner.bf16,
        )  # fmt: skip
        parts["search_loss"] = search_loss.detach()
        loss = loss + search_weight * search_loss
    return parts, loss


class _Rounds:
    """Deals a search's examples out over the minibatches, every one about once a pass."""

    def __init__(
        self,
        examples: int,
        rows: int,
        config: PpoConfig,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        self._parts: list[Tensor] = []
        self._place = 0
        if examples:
            minibatches = max(1, -(-rows // config.minibatch))
            order = torch.randperm(examples, generator=generator, device=generator.device)
            order = order.to(device)
            size = -(-examples // minibatches)
            self._parts = [part.sort().values for part in order.split(size)]

    def next(self) -> Tensor | None:
        """The examples of the next minibatch, if there are any."""
        if not self._parts:
            return None
        part = self._parts[self._place % len(self._parts)]
        self._place += 1
        return part


def _values(learner: Learner, batch: Batch, rows: Tensor) -> Tensor:
    """`[n]` values of decisions before the update, for the side that called."""
    found: list[Tensor] = []
    with torch.no_grad():
        for chosen in rows.split(_CHUNK_ON_GPU if rows.is_cuda else _CHUNK):
            if learner.critic is not None:
                found.append(_critic_values(learner, batch, chosen))
            else:
                x = unpack_bits(batch.bits[chosen], batch.inputs)
                with autocast(x.device, learner.bf16):
                    found.append(learner.policy(x)[1].float())
    return torch.cat(found) if found else torch.zeros(0, device=rows.device)


def _critic_values(learner: Learner, batch: Batch, rows: Tensor) -> Tensor:
    assert learner.critic is not None
    pass_ = compiled(critic_pass) if learner.compiled else critic_pass
    return pass_(
        learner.critic, batch.bits[rows], batch.inputs, batch.view, batch.table[rows],
        batch.seat[rows], batch.now[rows], learner.bf16,
    )  # fmt: skip


def _value_loss(value: Tensor, target: Tensor, old: Tensor, clip: float) -> Tensor:
    """Half the squared error; with `clip`, the pessimistic one of the moved and the cut value."""
    error = (value - target) ** 2
    if clip:
        cut = old + (value - old).clamp(-clip, clip)
        error = torch.maximum(error, (cut - target) ** 2)
    return 0.5 * error.mean()


def _descend(
    module: nn.Module, optimiser: torch.optim.Optimizer, loss: Tensor, norm: float
) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(module.parameters(), norm)
    optimiser.step()
