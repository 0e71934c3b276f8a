"""The obvious loop: one network at a time, a data loader, autograd, PyTorch's optimiser.

It is what `training.train` is held to, in tests (equal trajectories in double precision) and in
`benchmarks/dynamics.py` (speed).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from trine.dynamics.networks import ReluNetwork
from trine.dynamics.training import Loss

__all__ = ["obvious_loss", "train_one"]


def obvious_loss(output: Tensor, target: Tensor, loss: Loss) -> Tensor:
    """The loss of one batch `[B, c]`, a scalar; conventions as in `training`."""
    if loss == "mean":
        return nn.functional.mse_loss(output, target)
    if loss == "half_sum":
        return 0.5 * (output - target).square().sum(1).mean()
    return nn.functional.cross_entropy(output, target.argmax(1))


def train_one(
    student: ReluNetwork,
    teacher: nn.Module,
    inputs: Tensor,
    order: Sequence[int],
    *,
    batch_size: int,
    rate: float,
    loss: Loss = "mean",
) -> Iterator[float]:
    """Trains one student in place, one epoch; yields the loss of every step.

    Args:
      student: the network.
      teacher: gives the targets, batch by batch.
      inputs: `[N, d]`.
      order: rows of `inputs` in the order of training; an incomplete last batch is dropped.
      batch_size: B.
      rate: learning rate.
      loss: see `training`.
    """
    loader = DataLoader(
        TensorDataset(inputs), batch_size=batch_size, sampler=list(order), drop_last=True
    )
    optimiser = torch.optim.SGD(student.parameters(), lr=rate)
    student.train()
    for (batch,) in loader:
        with torch.no_grad():
            target = teacher(batch)
        optimiser.zero_grad()
        value = obvious_loss(student(batch), target, loss)
        value.backward()
        optimiser.step()
        yield value.item()
