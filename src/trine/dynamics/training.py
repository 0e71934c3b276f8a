"""Plain stochastic gradient descent on a stack of students.

The loop is the papers': batch, forward, residual, descend. It has two forms with the same numbers:
batched products over the whole stack (`stack`; a GPU, BatchNorm and everything else), and on a CPU
a compiled block of steps for one network after the other (`block`). `reference.py` holds the
obvious version for one network at a time, and tests hold all three to each other.

Loss conventions (spec 1 and 7.5); B samples in a batch, c outputs:

    mean           mean squared error over batch *and* outputs (Tian et al. 2019's program): the
                   residual is 2 (y* - y) / (B c), so that c is part of the effective step
    half_sum       half the summed squared error, mean over the batch (Tian 2020): (y* - y) / B
    cross_entropy  against the teacher's largest output, mean over the batch

`effective_step` tells how far a step goes: rate times the factor on y* - y times the mean square of
an input coordinate. Inputs scaled by s scale first-layer gradients by s^2, and the mean over
outputs divides them by c: comparisons at a fixed learning rate confound these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from trine.core.errors import UsageError, UserError
from trine.dynamics.batches import Batches, EpochPlan
from trine.dynamics.block import descend_block, fits
from trine.dynamics.stack import Stack

__all__ = ["Descent", "Diverged", "Loss", "Point", "effective_step", "train"]

Loss = Literal["mean", "half_sum", "cross_entropy"]

CHECK_EVERY = 256
"""Steps between two looks for losses that are not finite."""


class Diverged(UserError):
    """The loss of a network is not finite any more.

    Attributes:
      network: which one of the stack.
      step: the global step of its first loss that is not finite.
    """

    def __init__(
        self, given: str, *, accepted: str = "", hint: str = "", network: int = 0, step: int = 0
    ) -> None:
        super().__init__(given, accepted=accepted, hint=hint)
        self.network, self.step = network, step


@dataclass(frozen=True, slots=True)
class Descent:
    """How students are trained.

    Attributes:
      rate: learning rate, one for all or one a network.
      loss: see the module.
      schedule: pairs (epoch, rate as a multiple of `rate`) from that epoch on, in order.
      unit_rows: divide every hidden row by its norm after each step.
      frozen: layers that stay as they are; the output layer is number `depth`.
    """

    rate: float | Sequence[float] = 0.01
    loss: Loss = "mean"
    schedule: tuple[tuple[int, float], ...] = ()
    unit_rows: bool = False
    frozen: tuple[int, ...] = ()

    def factor(self, epoch: int) -> float:
        """The multiple of `rate` that holds in an epoch."""
        return next((f for start, f in reversed(self.schedule) if epoch >= start), 1.0)

    def rates(self, count: int) -> list[float]:
        """One rate a network.

        Raises:
          UsageError: rates that are not positive numbers, or not one a network.
        """
        rates = (
            [float(self.rate)] * count if isinstance(self.rate, int | float) else list(self.rate)
        )
        if len(rates) != count:
            raise UsageError(f"{len(rates)} learning rates for {count} networks")
        for rate in rates:
            if not 0 < rate < float("inf"):
                raise UsageError(f"learning rate {rate}", accepted="a positive number")
        return rates


@dataclass(frozen=True, slots=True)
class Point:
    """Where training is.

    Attributes:
      epoch: epochs completed, fractional inside an epoch.
      step: steps completed since the very beginning.
      loss: `[R]` training loss, mean over the steps since the last point.
      ends_epoch: whether an epoch has just been completed; checkpoints belong here.
    """

    epoch: float
    step: int
    loss: Tensor
    ends_epoch: bool


def loss_factor(loss: Loss, outputs: int) -> float:
    """The factor on y* - y in minus the gradient of the loss, mean over the batch left out."""
    return 2.0 / outputs if loss == "mean" else 1.0


def effective_step(rate: float, loss: Loss, outputs: int, std: float) -> float:
    """Rate x loss factor x mean square of an input coordinate; see the module."""
    return rate * loss_factor(loss, outputs) * std**2


def train(
    student: Stack,
    batches: Batches,
    descent: Descent,
    *,
    epochs: int,
    start: int = 0,
    marks: Sequence[int] = (),
) -> Iterator[Point]:
    """Trains a stack in place; yields at the marks and at the end of every epoch.

    Args:
      student: R networks; changed.
      batches: what they learn from.
      descent: how.
      epochs: total number, those before `start` included.
      start: first epoch; with the stack of that moment, training goes on as if never stopped.
      marks: further global steps at which to yield.

    Raises:
      Diverged: at the first loss that is not finite; the message says the step and a rate to try.
      UsageError: a wrong rate, or a student that does not fit the teachers.
    """
    batches.teachers.architecture.check_student(student.architecture)
    if batches.count != student.count:
        raise UsageError(f"{batches.count} data streams for {student.count} networks")
    rates = torch.as_tensor(
        descent.rates(student.count), dtype=student.dtype, device=student.device
    )
    factor = loss_factor(descent.loss, student.architecture.outputs) / batches.batch_size
    length = batches.steps_per_epoch
    checked: list[Tensor] = []  # losses since the last point
    for epoch in range(start, epochs):
        plan, before = batches.plan(epoch), epoch * length
        scale = rates * (factor * descent.factor(epoch))
        points = {length, *(mark - before for mark in marks if before < mark < before + length)}
        number = 0
        while number < length:
            stop = min(number + CHECK_EVERY, *(point for point in points if point > number))
            losses = _advance(student, plan, range(number, stop), scale, descent)
            checked.append(_check(losses, before + number, rates))
            number = stop
            if number in points:
                done = torch.cat(checked).mean(0)
                checked = []
                yield Point(epoch + number / length, before + number, done, number == length)


def _advance(
    student: Stack, plan: EpochPlan, steps: range, scale: Tensor, descent: Descent
) -> Tensor:
    """Some steps of an epoch, in place; the loss of every batch before its step, `[K, R]`."""
    plain = descent.loss != "cross_entropy" and not descent.unit_rows
    if plain and plan.targets is not None and fits(student):
        rows = plan.rows[:, steps.start : steps.stop]
        errors = descend_block(student, plan.inputs, plan.targets, rows, scale, descent.frozen)
        return errors / _error_size(plan.targets.shape[1], rows.shape[2], descent.loss)
    losses: list[Tensor] = []
    for step in steps:
        inputs, targets = plan.step(step)
        trace = student.forward(inputs, training=True)
        residual, loss = _residual(trace.output, targets, descent.loss)
        losses.append(loss)
        student.descend(trace, residual.mul_(scale.view(-1, 1, 1)), frozen=descent.frozen)
        if descent.unit_rows:
            student.normalise_rows_()
    return torch.stack(losses)


def _error_size(outputs: int, batch: int, loss: Loss) -> int:
    """What the summed squared error of a batch is divided by."""
    return outputs * batch if loss == "mean" else 2 * batch


def _residual(output: Tensor, targets: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    """Minus the gradient per sample up to `loss_factor`, and the loss of the batch `[R]`."""
    if loss == "cross_entropy":
        labels = targets.argmax(2, keepdim=True)
        logs = output.log_softmax(2)
        value = -logs.gather(2, labels).mean((1, 2))
        return (-logs.exp()).scatter_add_(2, labels, torch.ones_like(logs[:, :, :1])), value
    residual = targets - output
    flat = residual.flatten(1)
    value = torch.linalg.vector_norm(flat, dim=1).square()
    return residual, value / _error_size(residual.shape[2], residual.shape[1], loss)


def _check(losses: Tensor, done: int, rates: Tensor) -> Tensor:
    """The losses `[K, R]`, if all are finite; `done` steps came before them."""
    broken = ~losses.isfinite()
    if bool(broken.any()):
        first = int(broken.any(1).to(torch.uint8).argmax())
        network = int(broken[first].to(torch.uint8).argmax())
        rate = float(rates[network])
        broken_at = done + first + 1
        raise Diverged(
            f"the loss of network {network} is not finite at step {broken_at} "
            f"(learning rate {rate:g})",
            hint=f"try a learning rate of {rate / 4:.2g} or less; what was written before is kept",
            network=network,
            step=broken_at,
        )
    return losses
