"""Warm start: learn the calls of recorded auctions, one decision at a time.

The loss is the cross-entropy of the recorded call, some of it spread over the legal calls if the
recipe says so. Suits are never permuted: they rank in bidding, so a permuted auction is no auction
of the same system. What is reported is the agreement on deals that are held out, by type of call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trine.bridge.calls import DOUBLE, PASS, REDOUBLE
from trine.bridge.config import ImitationConfig
from trine.bridge.network import PolicyNetwork, mask_illegal
from trine.bridge.observation import Observation
from trine.bridge.packed_bits import pack_bits, unpack_bits
from trine.bridge.players import Actor, Tables, autocast
from trine.bridge.recorded_auctions import RecordedAuctions, held_out_mask
from trine.bridge.symmetry import is_evaluation
from trine.bridge.training_state import load_state, save_state
from trine.core.errors import DataError
from trine.core.progress import Progress, SilentProgress
from trine.core.records import MetricsWriter
from trine.core.seeding import Seeds

__all__ = ["CALL_TYPES", "RecordedDecisions", "agreement", "decisions_of", "imitate"]

_AUCTIONS_AT_ONCE = 8192
_WARMUP = 0.02
_LAST_RATE = 0.01
_CHUNK = 8192

CALL_TYPES = ("pass", "double", "redouble", *(f"bid at {level}" for level in range(1, 8)))


@dataclass(frozen=True, slots=True)
class RecordedDecisions:
    """Decisions of recorded auctions, `M` of them.

    Attributes:
      bits: packed observations.
      inputs: `F`.
      legal: packed legality, `[M, 5]`.
      call: `[M]` uint8.
      source: `[M]` uint8, which file.
      dropped: auctions that were left out because of an illegal call.
    """

    bits: Tensor
    inputs: int
    legal: Tensor
    call: Tensor
    source: Tensor
    dropped: int

    def __len__(self) -> int:
        return len(self.call)

    def rows(self, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Observations, legality and calls of some decisions."""
        legal = unpack_bits(self.legal[chosen], 38).bool()
        return unpack_bits(self.bits[chosen], self.inputs), legal, self.call[chosen].long()


def decisions_of(
    auctions: RecordedAuctions, source: Tensor, codec: Observation, device: torch.device
) -> RecordedDecisions:
    """Replays auctions in lock-step and keeps every decision.

    Args:
      auctions: `n`.
      source: `[n]` uint8, kept with each decision.
      codec: of the observations.
      device: where to compute and to keep them.
    """
    network = PolicyNetwork.__new__(PolicyNetwork)  # an actor observes without its network
    actor = Actor(network, codec)
    parts: list[tuple[Tensor, ...]] = []
    dropped, inputs = 0, codec.size
    for start in range(0, len(auctions), _AUCTIONS_AT_ONCE):
        end = min(start + _AUCTIONS_AT_ONCE, len(auctions))
        own = auctions.take(slice(start, end))  # pyright: ignore[reportArgumentType] (a slice indexes too)
        calls = torch.from_numpy(own.calls).to(device).long()
        owner = torch.from_numpy(own.owner).to(device)
        tables = Tables.start(
            owner,
            torch.zeros((len(owner), 20), dtype=torch.uint8, device=device),
            torch.from_numpy(own.dealer).to(device).long(),
            torch.from_numpy(own.vulnerability).to(device).long(),
        )
        rows = torch.arange(len(owner), device=device)
        whole = torch.ones(len(owner), dtype=torch.bool, device=device)
        found: list[tuple[Tensor, ...]] = []
        for step in range(calls.shape[1]):
            call = calls[rows, step]
            x, legal = actor.observe(tables)
            allowed = (call >= 0) & legal.gather(1, call.clamp_min(0)[:, None])[:, 0]
            whole[rows[~allowed]] = False  # illegal, or unfinished
            keep = allowed.nonzero()[:, 0]
            call, rows, tables = call[keep], rows[keep], tables.select(keep)
            found.append((pack_bits(x[keep]), pack_bits(legal[keep]), call.to(torch.uint8), rows))
            tables = tables.after(call)
            going = (~tables.auctions.done).nonzero()[:, 0]
            rows, tables = rows[going], tables.select(going)
            if not len(rows):
                break
        whole[rows] = False
        dropped += int((~whole).sum())
        bits, legality, made, table = (torch.cat(p) for p in zip(*found, strict=True))
        good = whole[table]
        parts.append(
            (bits[good], legality[good], made[good], source[start:end].to(device)[table[good]])
        )
    bits, legality, made, origin = (torch.cat(p) for p in zip(*parts, strict=True))
    return RecordedDecisions(bits, inputs, legality, made, origin, dropped)


def split_decisions(
    auctions: RecordedAuctions,
    source: Tensor,
    codec: Observation,
    held_out: float,
    device: torch.device,
) -> tuple[RecordedDecisions, RecordedDecisions]:
    """Decisions to learn from, and those of the deals that are held out.

    Deals of the evaluation part (see `trine.bridge.symmetry`) are in neither.

    Raises:
      DataError: one of the two has none.
    """
    held = held_out_mask(auctions.owner, held_out)
    learnt = ~held & ~is_evaluation(auctions.owner)
    halves = []
    for mask, name in ((learnt, "to learn from"), (held, "to measure agreement on")):
        if not mask.any():
            raise DataError(
                f"{len(auctions)} auctions leave none {name}",
                hint="give more auctions or another imitation.held_out",
            )
        halves.append(
            decisions_of(auctions.take(mask), source[torch.from_numpy(mask)], codec, device)
        )
    return halves[0], halves[1]


@torch.no_grad()
def agreement(
    network: PolicyNetwork, decisions: RecordedDecisions, names: Sequence[str], bf16: bool = False
) -> dict[str, Any]:
    """How often the most probable legal call is the recorded one.

    Args:
      network: the policy.
      decisions: held out.
      names: of the sources.
      bf16: whether matrix products run in bfloat16.

    Returns:
      `agreement` and `loss` (nats) over all; `by_type`: rows of type, decisions, agreement;
      `by_source`: the same by file.
    """
    hits, losses = [], []
    rows = torch.arange(len(decisions), device=decisions.call.device)
    for chosen in rows.split(_CHUNK):
        x, legal, call = decisions.rows(chosen)
        with autocast(x.device, bf16):
            logits = network.logits(x)
        log_p = torch.log_softmax(mask_illegal(logits, legal), -1)
        hits.append(log_p.argmax(-1) == call)
        losses.append(-log_p.gather(1, call[:, None])[:, 0])
    hit, call = torch.cat(hits).float(), decisions.call.long()
    kind = torch.where(call < PASS, 3 + call // 5, 0)
    kind[call == DOUBLE], kind[call == REDOUBLE] = 1, 2

    def by(group: Tensor, labels: Sequence[str], key: str) -> list[dict[str, Any]]:
        table: list[dict[str, Any]] = []
        for place, label in enumerate(labels):
            own = hit[group == place]
            if len(own):
                table.append({key: label, "decisions": len(own), "agreement": float(own.mean())})
        return table

    return {
        "agreement": float(hit.mean()),
        "loss": float(torch.cat(losses).mean()),
        "by_type": by(kind, CALL_TYPES, "call"),
        "by_source": by(decisions.source.long(), names, "file"),
    }


def imitate(
    network: PolicyNetwork,
    learn: RecordedDecisions,
    held: RecordedDecisions,
    names: Sequence[str],
    config: ImitationConfig,
    *,
    state: Path,
    seeds: Seeds,
    metrics: Callable[[], MetricsWriter],
    bf16: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Trains a network on recorded decisions; goes on from the state file if there is one.

    Args:
      network: changed in place.
      learn: decisions to learn from.
      held: decisions to measure on.
      names: of the sources.
      config: the recipe's.
      state: file of the newest state, written at every measurement.
      seeds: of the order of the decisions.
      metrics: opens the record.
      bf16: whether matrix products run in bfloat16.
      progress: where to tell how far it is.

    Returns:
      what `agreement` says at the end.
    """
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=config.rate, weight_decay=config.weight_decay
    )
    done = 0
    if state.is_file():
        done = load_state(state, {"policy": network}, {"policy": optimiser})["updates"]
    order = _Order(len(learn), config.minibatch, seeds, learn.call.device)
    network.train()
    with (progress or SilentProgress()).task("imitation", config.updates) as task, metrics() as out:
        task.advance(done)
        while done < config.updates:
            for group in optimiser.param_groups:
                group["lr"] = config.rate * _schedule(done / config.updates)
            x, legal, call = learn.rows(order.batch(done))
            with autocast(x.device, bf16):
                logits = network.logits(x)
            log_p = torch.log_softmax(mask_illegal(logits, legal), -1)
            loss = -log_p.gather(1, call[:, None]).mean()
            if config.smoothing:
                spread = -(log_p * legal).sum(-1) / legal.sum(-1)
                loss = (1 - config.smoothing) * loss + config.smoothing * spread.mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            done += 1
            task.advance()
            if done % config.evaluate_every == 0 or done == config.updates:
                found = agreement(network, held, names, bf16)
                out.write(
                    stage="imitation", update=done, train_loss=float(loss.detach()),
                    loss=found["loss"], agreement=found["agreement"],
                )  # fmt: skip
                task.advance(0, note=f"agreement {100 * found['agreement']:.1f} %")
                save_state(state, {"policy": network}, {"policy": optimiser}, {"updates": done})
    network.eval()
    return agreement(network, held, names, bf16)


class _Order:
    """Minibatches without repetition within a pass; any batch can be asked for at once."""

    def __init__(self, count: int, minibatch: int, seeds: Seeds, device: torch.device) -> None:
        self._count, self._size = count, min(minibatch, count)
        self._per_pass = max(1, count // self._size)
        self._seeds, self._device = seeds, device
        self._pass, self._order = -1, torch.zeros(0, dtype=torch.long)

    def batch(self, update: int) -> Tensor:
        """Rows of the minibatch of an update."""
        which, place = divmod(update, self._per_pass)
        if which != self._pass:
            order = self._seeds.generator("imitation", which).permutation(self._count)
            self._pass, self._order = which, torch.from_numpy(order).to(self._device)
        return self._order[place * self._size : (place + 1) * self._size]


def _schedule(share: float) -> float:
    """Share of the highest rate: up in a line, then down along a half cosine."""
    if share < _WARMUP:
        return max(share / _WARMUP, 0.01)
    rest = (share - _WARMUP) / (1 - _WARMUP)
    return _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * rest))
