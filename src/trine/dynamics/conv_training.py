"""Training of convolutional networks on CIFAR-10: on labels, or on a teacher's outputs.

Images are windows of `side` pixels about the centre. In training a window is moved by up to four
pixels each way and mirrored with probability 1/2; for `side` 32 that is the crop of an image padded
by four zeros of the paper's recipe (spec 7.3), for smaller sides real pixels come in instead of
zeros. Training is resumable epoch by epoch: each epoch draws from a stream of its own, and a
checkpoint holds parameters, momentum and the history.

Letters: `B` images of a batch, `c` outputs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from trine.core.artifacts import read_arrays, read_metadata, write_arrays
from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.dynamics.cifar import normalise
from trine.dynamics.training import Diverged

__all__ = ["ConvRecipe", "Images", "accuracy", "train_conv", "windows"]

JITTER = 4
"""Pixels by which a training window moves, each way (crop of an image padded by 4)."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ConvRecipe:
    """How a convolutional network is trained: SGD, perhaps with momentum and decay.

    Attributes:
      epochs: passes through the images.
      rate: learning rate.
      batch: images of a step.
      momentum: of SGD.
      decay: weight decay.
      schedule: `constant`, or `cosine`: half a cosine from `rate` to 0.
    """

    epochs: int
    rate: float = 0.05
    batch: int = 64
    momentum: float = 0.9
    decay: float = 0.0
    schedule: Literal["constant", "cosine"] = "cosine"

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1:
            raise UsageError(f"{self.epochs} epochs of batches of {self.batch}", accepted=">= 1")
        if not 0 < self.rate < math.inf:
            raise UsageError(f"learning rate {self.rate}", accepted="a positive number")

    def rate_at(self, share: float) -> float:
        """The learning rate after a share (0 to 1) of all steps."""
        if self.schedule == "constant":
            return self.rate
        return self.rate * 0.5 * (1 + math.cos(math.pi * share))


def windows(
    images: NDArray[np.uint8], side: int, generator: np.random.Generator | None = None
) -> NDArray[np.float32]:
    """Normalised windows of images: at the centre, or moved and mirrored at random.

    Args:
      images: `[B, 32, 32, 3]` uint8.
      side: of the window in pixels, even, at most that of the images.
      generator: draws offsets and mirrorings; without it, the windows at the centre.

    Returns:
      `[B, 3, side, side]`, about zero mean and unit deviation per channel.

    Raises:
      UsageError: a side that does not fit.
    """
    count, whole = len(images), images.shape[1]
    if not 0 < side <= whole or (whole - side) % 2:
        raise UsageError(f"windows of side {side}", accepted=f"an even number up to {whole}")
    start = (whole - side) // 2
    if generator is None:
        centre = images[:, start : start + side, start : start + side]
        return normalise(centre.transpose(0, 3, 1, 2))
    pad = max(0, JITTER - start)
    padded = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    every = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
    moved = generator.integers(-JITTER, JITTER + 1, size=(2, count)) + start + pad
    found = every[np.arange(count), moved[0], moved[1]]  # [B, 3, side, side], a copy
    mirrored = generator.random(count) < 0.5
    found[mirrored] = found[mirrored, :, :, ::-1]
    return normalise(found)


@dataclass(frozen=True, slots=True)
class Images:
    """Labelled images and the windows that networks see of them.

    Attributes:
      images: `[N, 32, 32, 3]` uint8.
      labels: `[N]` int64.
      side: of the windows.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    side: int

    def shuffled(
        self, size: int, generator: np.random.Generator
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Full batches in random order, moved and mirrored: `[B, 3, side, side]` and `[B]`."""
        order = generator.permutation(len(self.images))
        for start in range(0, len(order) - size + 1, size):
            chosen = np.sort(order[start : start + size])  # reads a memory-mapped file forward
            pixels = windows(np.asarray(self.images[chosen]), self.side, generator)
            yield torch.from_numpy(pixels), torch.from_numpy(self.labels[chosen])

    def in_order(self, size: int = 250) -> Iterator[tuple[Tensor, Tensor]]:
        """All images once, windows at the centre."""
        for start in range(0, len(self.images), size):
            pixels = windows(np.asarray(self.images[start : start + size]), self.side)
            labels = np.asarray(self.labels[start : start + size])
            yield torch.from_numpy(pixels), torch.from_numpy(labels)


def accuracy(network: nn.Module, images: Images) -> float:
    """Share of the images, seen at the centre, that a network puts in the right class."""
    device = next(network.parameters()).device
    right = 0
    with torch.no_grad():
        for pixels, labels in images.in_order():
            right += int((network(pixels.to(device)).argmax(1).cpu() == labels).sum())
    return right / len(images.images)


def train_conv(
    network: nn.Module,
    images: Images,
    recipe: ConvRecipe,
    seeds: Seeds,
    *,
    teacher: nn.Module | None = None,
    checkpoint: Path | None = None,
    on_epoch: Callable[[int, nn.Module], Mapping[str, Any]] | None = None,
) -> list[Row]:
    """Trains a network in place, or goes on from its checkpoint.

    Args:
      network: changed; its device is where it is trained.
      images: what it sees.
      recipe: how.
      seeds: the stream `order` of these is used.
      teacher: its outputs are the targets of a mean squared error over batch and outputs, as in
        the loss `mean`; without a teacher, the labels are, with cross-entropy.
      checkpoint: safetensors file that is written after every epoch and read at the start.
      on_epoch: (epochs completed, network) to further entries of the row; also called once before
        training, with 0.

    Returns:
      One row an epoch, and one before training: `epoch`, `loss` (mean over the epoch, NaN before
      training), and what `on_epoch` adds.

    Raises:
      Diverged: at a loss that is not finite; checkpoints of earlier epochs stay.
      UsageError: a batch larger than the data.
    """
    if recipe.batch > len(images.images):
        raise UsageError(f"batch size {recipe.batch} of {len(images.images)} images")
    optimizer = torch.optim.SGD(
        network.parameters(), lr=recipe.rate, momentum=recipe.momentum, weight_decay=recipe.decay
    )
    look = on_epoch or (lambda epoch, network: {})
    history = _restore(checkpoint, network, optimizer)
    if not history:
        history.append({"epoch": 0, "loss": math.nan, **look(0, network)})
    for epoch in range(int(history[-1]["epoch"]), recipe.epochs):
        loss = _epoch(network, images, recipe, seeds, epoch, optimizer, teacher)
        history.append({"epoch": epoch + 1, "loss": loss, **look(epoch + 1, network)})
        if checkpoint is not None:
            _save(checkpoint, network, optimizer, history)
    return history


def _epoch(
    network: nn.Module,
    images: Images,
    recipe: ConvRecipe,
    seeds: Seeds,
    epoch: int,
    optimizer: torch.optim.Optimizer,
    teacher: nn.Module | None,
) -> float:
    device = next(network.parameters()).device
    steps = len(images.images) // recipe.batch
    total = torch.zeros((), device=device)
    # The epoch's own stream: a resumed training draws what an uninterrupted one would.
    batches = images.shuffled(recipe.batch, seeds.generator("order", epoch))
    for step, (pixels, labels) in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate_at((epoch * steps + step) / (recipe.epochs * steps))
        seen = pixels.to(device)
        outputs = network(seen)
        if teacher is None:
            loss = functional.cross_entropy(outputs, labels.to(device))
        else:
            with torch.no_grad():
                targets = teacher(seen)
            loss = functional.mse_loss(outputs, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.detach()
        if step % 50 == 49 or step == steps - 1:
            _check(float(total), epoch * steps + step + 1, recipe)
    return float(total) / steps


def _check(total: float, step: int, recipe: ConvRecipe) -> None:
    if not math.isfinite(total):
        raise Diverged(
            f"the loss is not finite at step {step} or a little before "
            f"(learning rate {recipe.rate:g})",
            hint=f"try a learning rate of {recipe.rate / 4:.2g} or less; "
            "what was written before is kept",
        )


def _save(
    path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, history: list[Row]
) -> None:
    arrays = {f"state/{k}": v.detach().cpu().numpy() for k, v in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        momentum: Tensor | None = optimizer.state[parameter].get("momentum_buffer")
        if momentum is not None:
            arrays[f"momentum/{name}"] = momentum.cpu().numpy()
    write_arrays(path, arrays, {"history": json.dumps(history)})


def _restore(path: Path | None, network: nn.Module, optimizer: torch.optim.Optimizer) -> list[Row]:
    """Fills both from a checkpoint and returns its history; nothing without one."""
    if path is None or not path.is_file():
        return []
    arrays = {name: torch.from_numpy(array) for name, array in read_arrays(path).items()}
    network.load_state_dict(
        {k.removeprefix("state/"): v for k, v in arrays.items() if k.startswith("state/")}
    )
    for name, parameter in network.named_parameters():
        if f"momentum/{name}" in arrays:
            moved = torch.empty_like(parameter).copy_(arrays[f"momentum/{name}"])
            optimizer.state[parameter]["momentum_buffer"] = moved
    return json.loads(read_metadata(path)["history"])
