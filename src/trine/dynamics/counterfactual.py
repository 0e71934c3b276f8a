"""Is a node lucky *because* it was near? Change the start, train again, and look who wins.

The student node nearest to a teacher node at the start is its *predicted winner*, the next one the
*runner-up*. If nearness decides (Tian et al. 2019, section on lucky nodes), taking it away must
take the win away, leaving it alone must leave the win, and giving it to another node must give the
win to that one. For every teacher node of a layer, from the same data in the same order:

    original    nothing changed
    other data  nothing changed, but other inputs in another order: does the start alone decide?
    redraw      incoming weights and bias of the predicted winner(s) drawn anew
    redraw, as near   (layer 0) incoming weights of the predicted winner(s) drawn anew but for their
                part along the teacher node's: same length, same cosine with it, same bias. On
                Gaussian inputs the correlation is the same, and everything else is new
    swap        those of the predicted winner exchanged with those of another node: does the win go
                with the incoming weights, or does it stay with the place (its fan-out weights)?
    control     as redraw, for as many nodes that no teacher node predicts

That a redrawn node does not win again shows that its incoming weights matter, and no more: all of
them are new, and by chance it wins once in n times. What speaks of nearness is the difference
between the two redraws.

All students of a seed are trained together in one stack. What is counted: how often the winner of
the original run wins again, how often the predicted winner and the runner-up win, and after a swap
how often the win went along with the weights. Intervals resample seeds, whose teacher nodes share a
student and are not independent.

Nearness is not all: of two nodes that are equally near, the one whose fan-out weights agree more
with the teacher node's is pulled harder (beta* of spec 2; v_j . v*_j' at the top hidden layer).
`predictors` says how well nearness, this overlap and both together foresee the winner.

Letters: `m` teacher nodes and `n` student nodes of the layer, `K` networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.dynamics.assembly import (
    batches_of,
    descent_of,
    evaluation_inputs,
    pick_device,
    students_of,
    teachers_of,
)
from trine.dynamics.config import RunConfig
from trine.dynamics.measures.luck import initial_ranks
from trine.dynamics.measures.matching import match_stacks
from trine.dynamics.stack import Stack
from trine.dynamics.training import train

__all__ = [
    "AS_NEAR",
    "CONDITIONS",
    "Case",
    "Condition",
    "as_near_cases",
    "change_starts",
    "make_cases",
    "outcomes",
    "predictors",
    "redraw_around",
    "run_counterfactuals",
]

Condition = Literal["original", "other data", "redraw", "swap", "control", "redraw, as near"]
AS_NEAR: Condition = "redraw, as near"
CONDITIONS: tuple[Condition, ...] = (
    "original", "other data", "redraw", "swap", "control", AS_NEAR,
)  # fmt: skip

PREDICTORS = ("rank_nearness", "rank_overlap", "rank_both")

OVERLAP_WEIGHT = 0.25
"""Of the fan-out overlap beside nearness, both standardised over the student nodes; chosen on seeds
100 to 115 of two-layer students, which no result uses."""


@dataclass(frozen=True, slots=True)
class Case:
    """One student of the stack.

    Attributes:
      condition: what was done to its start.
      node: the teacher node in question; -1 where all are (`original`, `other data`).
      touched: student nodes that were changed; for `swap` the predicted winner, then its partner.
    """

    condition: Condition
    node: int = -1
    touched: tuple[int, ...] = ()


def make_cases(
    nearness: ArrayLike, generator: np.random.Generator, *, alive: ArrayLike, top: int = 1
) -> list[Case]:
    """The students to train for one seed.

    Args:
      nearness: `[m, n]`, correlations at the start.
      generator: chooses partners and controls.
      alive: `[m]`, teacher nodes that are asked about.
      top: how many of the nearest nodes are predicted winners and redrawn.

    Raises:
      UsageError: too few student nodes to choose others from.
    """
    near, living = np.asarray(nearness), np.asarray(alive, dtype=bool)
    students = near.shape[1]
    order = np.argsort(-near, axis=1, kind="stable")
    taken = set(order[living, :top].ravel().tolist())  # predicted by some teacher node
    cases = [Case("original"), Case("other data")]
    for node in np.flatnonzero(living).tolist():
        predicted = tuple(order[node, :top].tolist())
        next_best = int(order[node, top]) if students > top else -1
        free = [k for k in range(students) if k not in taken and k != next_best]
        if len(free) < top:
            raise UsageError(
                f"{students} student nodes: {len(free)} are nobody's predicted winner",
                accepted=f"at least {top}",
                hint="a wider student (a larger over), or a smaller top",
            )
        partner = int(generator.choice(free))
        others = tuple(sorted(generator.choice(free, top, replace=False).tolist()))
        cases += [
            Case("redraw", node, predicted),
            Case("swap", node, (predicted[0], partner)),
            Case("control", node, others),
        ]
    return cases


def as_near_cases(cases: Sequence[Case]) -> list[Case]:
    """For every `redraw` one that keeps the nearness of the nodes that it touches."""
    return [Case(AS_NEAR, c.node, c.touched) for c in cases if c.condition == "redraw"]


def change_starts(
    student: Stack,
    cases: Sequence[Case],
    layer: int,
    fresh: Callable[[int], Stack],
    teacher: Stack | None = None,
) -> Stack:
    """The students of the cases at their start, as a stack `[K]`.

    Args:
      student: one network at its start; stays as it is.
      cases: what to change.
      layer: hidden layer whose incoming weights are changed.
      fresh: case number to a newly drawn student, from which rows are taken.
      teacher: one network, for cases that keep nearness.

    Raises:
      UsageError: a case that keeps nearness above layer 0, where teacher and student have no
        common inputs, or without a teacher.
    """
    stack = student.select([0] * len(cases))
    tensors = [stack.weights[layer], *([stack.biases[layer]] if stack.biases else [])]
    for number, case in enumerate(cases):
        if case.condition == "swap":
            pair = list(case.touched)
            for tensor in tensors:
                tensor[number, pair] = tensor[number, pair[::-1]].clone()
        elif case.condition == AS_NEAR:
            if layer or teacher is None:
                raise UsageError(f"nearness kept in layer {layer}", accepted="layer 0, a teacher")
            rows = list(case.touched)
            old, new = tensors[0][number, rows], fresh(number).weights[0][0, rows]
            target = teacher.weights[0][0, case.node].to(old)
            tensors[0][number, rows] = redraw_around(old, new.to(old), target)
        elif case.touched:
            other = fresh(number)
            rows = list(case.touched)
            drawn = [other.weights[layer], *([other.biases[layer]] if other.biases else [])]
            for tensor, new in zip(tensors, drawn, strict=True):
                tensor[number, rows] = new[0, rows].to(tensor)
    return stack


def redraw_around(old: Tensor, new: Tensor, target: Tensor) -> Tensor:
    """Rows as long as the old ones and as near to a direction, otherwise along the new ones.

    Args:
      old: `[k, d]`.
      new: `[k, d]`, gives the direction at right angles to the target.
      target: `[d]`.

    Returns:
      `[k, d]`, with the lengths and the inner products with the target of `old`.
    """
    unit = target / target.norm()
    along = (old @ unit).unsqueeze(1) * unit
    across = new - (new @ unit).unsqueeze(1) * unit
    length = (old - along).norm(dim=1, keepdim=True)
    return along + across / across.norm(dim=1, keepdim=True) * length


def outcomes(
    cases: Sequence[Case],
    initial: ArrayLike,
    final: ArrayLike,
    *,
    alive: ArrayLike,
    top: int = 1,
) -> pl.DataFrame:
    """Who won, case by case and teacher node by teacher node.

    Args:
      cases: of one seed, `original` among them.
      initial: `[K, m, n]`, correlations at the start of each case.
      final: at the end, likewise.
      alive: `[m]`, teacher nodes that are asked about.
      top: as in `make_cases`.

    Returns:
      Rows `condition`, `node`, `winner`, `best` (its correlation), `rank` (of the winner at the
      start of this very case), `lucky` (whether a predicted winner won in the original run),
      `again` (the original winner won), `predicted` (a predicted winner won), `runner_up`,
      `carrier` (after a swap: the node that was given the predicted winner's weights won).
    """
    start, end = np.asarray(initial), np.asarray(final)
    living = np.asarray(alive, dtype=bool)
    base = next(n for n, case in enumerate(cases) if case.condition == "original")
    order = np.argsort(-start[base], axis=1, kind="stable")  # [m, n]
    winners = end.argmax(2)  # [K, m]
    ranks = initial_ranks(start, end)
    rows: list[dict[str, Any]] = []
    for number, case in enumerate(cases):
        for node in [case.node] if case.node >= 0 else np.flatnonzero(living).tolist():
            winner = int(winners[number, node])
            predicted = order[node, :top].tolist()
            rows.append(
                {
                    "condition": case.condition,
                    "node": node,
                    "winner": winner,
                    "best": float(end[number, node, winner]),
                    "rank": int(ranks[number, node]),
                    "lucky": int(winners[base, node]) in predicted,
                    "again": winner == int(winners[base, node]),
                    "predicted": winner in predicted,
                    "runner_up": order.shape[1] > top and winner == int(order[node, top]),
                    "carrier": case.condition == "swap" and winner == case.touched[1],
                }
            )
    return pl.DataFrame(rows)


def predictors(nearness: ArrayLike, overlap: ArrayLike, final: ArrayLike) -> dict[str, Any]:
    """Rank of the winner by what is known at the start, 0 the first choice.

    Args:
      nearness: `[m, n]`, correlations at the start.
      overlap: `[m, n]`, fan-out overlaps at the start.
      final: `[m, n]`, correlations at the end.

    Returns:
      `rank_nearness`, `rank_overlap` and `rank_both`, `[m]` each.
    """
    near, pull = np.asarray(nearness, np.float64), np.asarray(overlap, np.float64)
    both = _standardised(near) + OVERLAP_WEIGHT * _standardised(pull)
    named = {"rank_nearness": near, "rank_overlap": pull, "rank_both": both}
    return {name: initial_ranks(score, final) for name, score in named.items()}


def _standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = values.std(1, keepdims=True)
    return (values - values.mean(1, keepdims=True)) / np.where(spread > 0, spread, 1.0)


def run_counterfactuals(
    config: RunConfig, number: int, *, layer: int = 0, top: int = 1
) -> pl.DataFrame:
    """All cases of one seed, trained together.

    Args:
      config: teacher, student and training.
      number: the seed.
      layer: hidden layer in question.
      top: how many of the nearest nodes are predicted winners.

    Returns:
      The rows of `outcomes`, with `seed`, and the columns of `predictors`: empty but for the
      condition `original`, at the top hidden layer.
    """
    seeds = Seeds(number)
    own = seeds.child("counterfactual", layer)
    teacher = teachers_of(config, [seeds])
    student = students_of(config, [seeds], teacher)
    inputs = evaluation_inputs(config, [seeds])
    before = match_stacks(teacher, student, inputs, layers=[layer])
    alive = before.alive(0)[0].numpy()
    cases = make_cases(
        before.correlation[0][0].numpy(), own.generator("choice"), alive=alive, top=top
    )
    if layer == 0:  # at the end, so that the other cases draw what they would draw without
        cases += as_near_cases(cases)
    changed = change_starts(
        student,
        cases,
        layer,
        lambda case: students_of(config, [own.child("redraw", case)], teacher),
        teacher,
    )
    device = pick_device(config.device)
    changed, inputs = changed.to(device), inputs.to(device)
    there = teacher.to(device)
    # Data set 1 is the other one: same teacher, inputs and order from other streams.
    source = [int(case.condition == "other data") for case in cases]
    batches = batches_of(config, there.select([0, 0]), [seeds, own.child("other data")], source)
    same = [0] * len(cases)
    initial = match_stacks(there, changed, inputs, same, layers=[layer]).correlation[0]
    for _ in train(changed, batches, descent_of([config] * len(cases)), epochs=config.epochs):
        pass
    final = match_stacks(there, changed, inputs, same, layers=[layer]).correlation[0]
    frame = outcomes(cases, initial.numpy(), final.numpy(), alive=alive, top=top)
    frame = frame.with_columns(pl.lit(number).alias("seed"))
    known: dict[str, Any] = dict.fromkeys(PREDICTORS)
    if layer == teacher.architecture.depth - 1:
        overlap = torch.bmm(teacher.weights[-1].transpose(1, 2), student.weights[-1])[0].numpy()
        known = predictors(before.correlation[0][0].numpy(), overlap, final[0].numpy())
    # The original is the first case: its rows come first, one a teacher node alive.
    count = int(alive.sum())
    rest = [None] * (len(frame) - count)
    return frame.with_columns(
        pl.lit(None, pl.Int64).alias(name)
        if ranks is None
        else pl.Series(name, [*ranks[alive].tolist(), *rest], dtype=pl.Int64)
        for name, ranks in known.items()
    )
