"""Lottery tickets in teacher and student: are the nodes that can be kept the lucky ones?

Tian et al. 2019 read lottery tickets (Frankle and Carbin 2019, arXiv 1803.03635) as lucky nodes: an
over-parameterised student holds, by chance, some nodes near each teacher node, these win, and a
network of the winners alone, put back to its start, learns. Their protocol is not at hand; this one
is ours:

1. Train the wide student.
2. Choose a *ticket*: in each layer as many nodes as the teacher has (times `keep`),
     fan-out      those with the largest norm of outgoing weights,
     influence    those with the largest sqrt(E beta_jj) (`measures.l_shape.Downstream`),
     winners      those that correlate most with a teacher node each (asks the teacher),
     predicted    those nearest to a teacher node each *at the start* (asks the teacher, too; no
                  training).
3. Rewind: the kept nodes at their initial weights, in and out, nothing else.
4. Train again on the same data in the same order, beside controls of the same shape,
     random       random nodes of the same student with their initial weights,
     redrawn      the places of `winners`, in another draw of the wide student,
     fresh        an ordinary start of the narrow shape.

A start draws weights within 1/sqrt(fan-in), so that those of a narrow network are larger. `random`
and `redrawn` have the scale of a ticket and differ from it in luck only. To compare with `fresh`
on equal terms, `winners, rescaled` and `fan-out, rescaled` are tickets whose layers are multiplied
by sqrt(fan-in before / fan-in after).

Letters: `R` networks (seeds), `n` and `k` nodes of a layer before and after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.core.stats import bootstrap_interval
from trine.dynamics.architecture import Architecture
from trine.dynamics.assembly import (
    batches_of,
    descent_of,
    evaluation_inputs,
    pick_device,
    students_of,
    teachers_of,
)
from trine.dynamics.config import RunConfig
from trine.dynamics.measures.l_shape import Downstream, fan_out_norms
from trine.dynamics.measures.loss import evaluation_loss
from trine.dynamics.measures.matching import Matching, match_stacks
from trine.dynamics.stack import Stack
from trine.dynamics.training import train

__all__ = [
    "CONTROLS",
    "TICKETS",
    "LotteryRun",
    "Overlap",
    "influences",
    "keep_of_stack",
    "nearest_nodes",
    "overlap",
    "rescale_like",
    "run_lottery",
    "top_nodes",
    "winning_nodes",
]

TICKETS = ("fan-out", "influence", "winners", "predicted")
RESCALED = ("winners", "fan-out")
CONTROLS = ("random", "redrawn", "fresh")

INFLUENCE_SAMPLES = 4096
SIMULATIONS = 10_000


def influences(student: Stack, inputs: Tensor, generator: np.random.Generator) -> list[Tensor]:
    """sqrt(E beta_jj) of every node, per hidden layer `[R, n]`, without bias from random signs.

    Args:
      student: R networks.
      inputs: `[R, N, d]`.
      generator: draws the signs.
    """
    measure = Downstream(student, generator)
    for start in range(0, inputs.shape[1], 512):
        measure.update(student.forward(inputs[:, start : start + 512]))
    return [mean.sqrt() for mean in measure.result()]


def top_nodes(scores: Tensor, count: int) -> Tensor:
    """The nodes with the largest scores, `[R, k]`, ascending numbers.

    Args:
      scores: `[R, n]`.
      count: k.

    Raises:
      UsageError: more nodes than there are.
    """
    if not 0 < count <= scores.shape[1]:
        raise UsageError(f"a ticket of {count} of {scores.shape[1]} nodes")
    return scores.topk(count, dim=1).indices.sort(dim=1).values


def nearest_nodes(correlation: Tensor, alive: Tensor) -> Tensor:
    """Which student nodes are the most correlated one for a teacher node alive, `[R, n]` booleans.

    Args:
      correlation: `[R, m, n]`.
      alive: `[R, m]`.
    """
    chosen = torch.zeros(correlation.shape[0], correlation.shape[2], dtype=torch.int64)
    # Dead teacher nodes add nothing to the node that they point at.
    chosen.scatter_add_(1, correlation.argmax(2), alive.long())
    return chosen > 0


def winning_nodes(matching: Matching, layer: int, count: int) -> Tensor:
    """A ticket of the winners of a layer, `[R, k]`.

    Two teacher nodes may share a winner, and dead ones have none: the ticket is filled up with the
    nodes that correlate most with any teacher node.

    Raises:
      UsageError: fewer places than winners.
    """
    correlation, alive = matching.correlation[layer], matching.alive(layer)
    won = nearest_nodes(correlation, alive)
    if int(won.sum(1).max()) > count:
        raise UsageError(f"a ticket of {count} nodes for {int(won.sum(1).max())} winners")
    living = torch.where(alive.unsqueeze(2), correlation, -1.0)
    return top_nodes(living.amax(1) + 4.0 * won, count)  # correlations differ by 2 at most


def keep_of_stack(stack: Stack, kept: Sequence[Tensor]) -> Stack:
    """Networks that consist of some of the nodes of each hidden layer, as a copy.

    Args:
      stack: R networks without BatchNorm.
      kept: per hidden layer the nodes to keep, `[R, k]`.

    Raises:
      UsageError: networks with BatchNorm, or nodes for another number of layers.
    """
    shape = stack.architecture
    if shape.batch_norm != "none":
        raise UsageError("tickets of networks with BatchNorm", accepted="networks without")
    if len(kept) != shape.depth:
        raise UsageError(f"nodes of {len(kept)} hidden layers", accepted=f"{shape.depth}")
    narrow = replace(shape, hidden=tuple(nodes.shape[1] for nodes in kept))
    weights: list[Tensor] = []
    biases: list[Tensor] = []
    for layer, weight in enumerate(stack.weights):
        if layer:
            columns = kept[layer - 1].to(weight.device).unsqueeze(1)
            weight = weight.gather(2, columns.expand(-1, weight.shape[1], -1))
        rows = kept[layer].to(weight.device) if layer < shape.depth else None
        if rows is not None:
            weight = weight.gather(1, rows.unsqueeze(2).expand(-1, -1, weight.shape[2]))
        weights.append(weight.clone())
        if stack.biases:
            bias = stack.biases[layer]
            biases.append((bias if rows is None else bias.gather(1, rows)).clone())
    return Stack(narrow, weights, biases)


def rescale_like(narrow: Stack, wide: Stack) -> Stack:
    """A copy of a ticket with the scale of an ordinary start of its shape.

    Args:
      narrow: the ticket.
      wide: the networks that it was taken from, which give the fan-in before.
    """
    copy = narrow.clone()
    before, after = wide.architecture.widths, narrow.architecture.widths
    for layer, (had, has) in enumerate(zip(before[:-1], after[:-1], strict=True)):
        factor = (had / has) ** 0.5
        copy.weights[layer].mul_(factor)
        if copy.biases:
            copy.biases[layer].mul_(factor)
    return copy


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much of one set of nodes is in another, over seeds.

    Attributes:
      share: share of the set that is in the ticket, mean over seeds.
      chance: the same for a ticket chosen at random, k / n.
      low: lower end of the 95 % interval of `share`, seeds resampled; NaN for one seed.
      high: upper end.
      p_value: of as many hits in tickets chosen at random; one-sided, hypergeometric.
    """

    share: float
    chance: float
    low: float
    high: float
    p_value: float


def overlap(ticket: NDArray[Any], wanted: NDArray[Any], generator: np.random.Generator) -> Overlap:
    """How many of the wanted nodes are in the tickets, against chance.

    Args:
      ticket: `[R, k]` numbers of nodes.
      wanted: `[R, n]` booleans, at least one true each.
      generator: simulates random tickets and resamples seeds.

    Raises:
      UsageError: nothing wanted in some network.
    """
    mask = np.asarray(wanted, dtype=bool)
    sizes = mask.sum(1)
    if not sizes.all():
        raise UsageError("overlap with an empty set of nodes")
    size, nodes = ticket.shape[1], mask.shape[1]
    hits = np.take_along_axis(mask, np.asarray(ticket), 1).sum(1)
    interval = bootstrap_interval(hits / sizes, generator)
    drawn = generator.hypergeometric(
        sizes, nodes - sizes, size, size=(SIMULATIONS, len(sizes))
    ).sum(1)  # random tickets of all seeds
    return Overlap(
        share=interval.estimate,
        chance=size / nodes,
        low=interval.low,
        high=interval.high,
        p_value=(int((drawn >= hits.sum()).sum()) + 1) / (SIMULATIONS + 1),
    )


@dataclass(frozen=True, slots=True)
class LotteryRun:
    """Tickets and controls of some seeds, trained again.

    Attributes:
      conditions: names of tickets and controls, repeated where there are several draws, `[C]`.
      steps: at which the loss was looked at, `[M]`; the first is 0.
      loss: evaluation loss, mean over outputs, `[C, R, M]`.
      best: at the end, per hidden layer, best correlation of teacher nodes, mean over those alive,
        `[C, R, depth]`.
      wide_loss: evaluation loss of the wide student at the end, `[R]`.
      tickets: by name of the ticket, per hidden layer `[R, k]`.
      predicted: per hidden layer which nodes were nearest to a teacher node at the start, `[R, n]`.
      won: the same at the end.
    """

    conditions: list[str]
    steps: list[int]
    loss: NDArray[np.float64]
    best: NDArray[np.float64]
    wide_loss: NDArray[np.float64]
    tickets: dict[str, list[NDArray[np.int64]]]
    predicted: list[NDArray[np.bool_]]
    won: list[NDArray[np.bool_]]


def run_lottery(
    config: RunConfig,
    numbers: Sequence[int],
    *,
    keep: int = 1,
    draws: int = 2,
    marks: Sequence[int] = (),
) -> LotteryRun:
    """Steps 1 to 4 of the protocol for some seeds together.

    Args:
      config: teacher, wide student and training, of both trainings.
      numbers: the seeds.
      keep: nodes of a ticket over those of the teacher, in each layer.
      draws: of each control.
      marks: steps at which the loss is looked at, besides 0 and the ends of epochs.
    """
    seeds = [Seeds(number) for number in numbers]
    teachers = teachers_of(config, seeds)
    start = students_of(config, seeds, teachers)
    inputs = evaluation_inputs(config, seeds)
    first = match_stacks(teachers, start, inputs)
    device = pick_device(config.device)  # starts stay on the CPU, where nodes are chosen
    teachers, inputs, trained = teachers.to(device), inputs.to(device), start.to(device)
    batches, descent = batches_of(config, teachers, seeds), descent_of([config] * len(seeds))
    for _ in train(trained, batches, descent, epochs=config.epochs):
        pass
    last = match_stacks(teachers, trained, inputs)
    shape = config.teacher_architecture.wider(keep)
    chosen = _choose(trained, first, last, inputs, shape, seeds[0].child("lottery"))
    stacks = [(name, keep_of_stack(start, chosen[name])) for name in TICKETS]
    stacks += [
        (f"{name}, rescaled", rescale_like(keep_of_stack(start, chosen[name]), start))
        for name in RESCALED
    ]
    stacks += _controls(config, start, seeds, chosen["winners"], shape, draws)
    together = Stack.concatenate([stack for _, stack in stacks]).to(device)
    source = list(range(len(seeds))) * len(stacks)
    steps, losses = _train_again(config, together, teachers, seeds, source, inputs, marks)
    matching = match_stacks(teachers, together, inputs, source)
    layers = range(matching.depth)
    living = [_mean_alive(matching, layer) for layer in layers]
    grid = (len(stacks), len(seeds))
    return LotteryRun(
        conditions=[name for name, _ in stacks],
        steps=steps,
        loss=torch.stack(losses, 1).numpy().reshape(*grid, len(steps)),
        best=np.stack(living, 1).reshape(*grid, matching.depth),
        wide_loss=evaluation_loss(teachers, trained, inputs).numpy(),
        tickets={name: [t.numpy() for t in nodes] for name, nodes in chosen.items()},
        predicted=[nearest_nodes(first.correlation[n], first.alive(n)).numpy() for n in layers],
        won=[nearest_nodes(last.correlation[n], last.alive(n)).numpy() for n in layers],
    )


def _choose(
    trained: Stack,
    first: Matching,
    last: Matching,
    inputs: Tensor,
    shape: Architecture,
    seeds: Seeds,
) -> dict[str, list[Tensor]]:
    """The tickets, per hidden layer `[R, k]`."""
    sizes = list(enumerate(shape.hidden))
    influence = influences(trained, inputs[:, :INFLUENCE_SAMPLES], seeds.generator("signs"))
    return {
        "fan-out": [top_nodes(fan_out_norms(trained, n).cpu(), size) for n, size in sizes],
        "influence": [top_nodes(influence[n], size) for n, size in sizes],
        "winners": [winning_nodes(last, n, size) for n, size in sizes],
        "predicted": [winning_nodes(first, n, size) for n, size in sizes],
    }


def _controls(
    config: RunConfig,
    start: Stack,
    seeds: Sequence[Seeds],
    places: Sequence[Tensor],
    shape: Architecture,
    draws: int,
) -> list[tuple[str, Stack]]:
    widths = start.architecture.hidden
    narrow = config.model_copy(update={"student": shape.label})
    found: list[tuple[str, Stack]] = []
    for draw in range(draws):
        own = [s.child("lottery", draw) for s in seeds]
        generators = [s.generator("random ticket") for s in own]
        nodes = [
            torch.as_tensor(np.stack([np.sort(g.permutation(n)[:k]) for g in generators]))
            for n, k in zip(widths, shape.hidden, strict=True)
        ]
        found += [
            ("random", keep_of_stack(start, nodes)),
            ("redrawn", keep_of_stack(students_of(config, own), places)),
            ("fresh", students_of(narrow, own)),
        ]
    return found


def _train_again(
    config: RunConfig,
    together: Stack,
    teachers: Stack,
    seeds: Sequence[Seeds],
    source: Sequence[int],
    inputs: Tensor,
    marks: Sequence[int],
) -> tuple[list[int], list[Tensor]]:
    """Trains in place; steps and evaluation losses `[C * R]` at each of them."""
    steps, losses = [0], [evaluation_loss(teachers, together, inputs, source)]
    batches = batches_of(config, teachers, seeds, source)
    descent = descent_of([config] * together.count)
    for point in train(together, batches, descent, epochs=config.epochs, marks=marks):
        steps.append(point.step)
        losses.append(evaluation_loss(teachers, together, inputs, source))
    return steps, losses


def _mean_alive(matching: Matching, layer: int) -> NDArray[np.float64]:
    best, alive = matching.best(layer), matching.alive(layer)
    total = torch.where(alive, best, 0.0).sum(1)
    return (total / alive.sum(1).clamp_min(1)).numpy()
