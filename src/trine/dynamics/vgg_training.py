"""Training a VGG with BatchNorm on CIFAR-10 by our own short recipe, resumable epoch by epoch.

Stochastic gradient descent with Nesterov momentum; the learning rate rises linearly to its peak
over the first fifth of the steps and falls to 0 as half a cosine; random crops (pad 4) and mirror
images; plain cross-entropy, no label smoothing. The accuracy reported is that of the last epoch on
the test images, which choose nothing.

Weight decay acts on every parameter by default, BatchNorm weights and biases included, as in the
usual ImageNet recipes. It pulls BatchNorm biases towards 0, not across it; `norm_decay = false`
leaves BatchNorm alone, and is the control that shows whether decay makes their signs.

A finished run directory holds `checkpoints/network.safetensors` (all parameters, torchvision's
names), `checkpoints/bn.safetensors` (`MODEL/LAYER/{weight,bias,running_mean,running_var}`) and
`result.json`.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trine.core.artifacts import (
    read_arrays,
    read_json,
    read_metadata,
    write_arrays,
    write_json,
)
from trine.core.config import Config, to_plain
from trine.core.progress import Progress, SilentProgress
from trine.core.runs import Run, open_run
from trine.core.seeding import Seeds
from trine.dynamics.cifar import Batches, Cifar10
from trine.dynamics.training import Diverged
from trine.dynamics.vgg import VGG, make_vgg

__all__ = ["VggConfig", "bn_arrays", "learning_rate", "test_accuracy", "train_vgg"]

_logger = logging.getLogger(__name__)


_CHECK_EVERY = 50
"""Steps between looks at the loss; each look waits for the device."""


class VggConfig(Config):
    """One training.

    Attributes:
      depth: 11, 13, 16 or 19.
      width: factor on all channels; 1 is the VGG of the paper, 0.25 trains on a CPU.
      epochs: passes through the training images.
      batch: images of a step.
      peak_lr: the highest learning rate.
      warmup: share of the steps in which the rate rises.
      momentum: of Nesterov's kind.
      weight_decay: added to the gradient, times the parameter.
      norm_decay: whether it acts on BatchNorm parameters too.
      precision: of the products; parameters and sums are float32 always.
      images: how many of the training images to use, from the first; None for all.
      device: `auto` takes a GPU if there is one.
      seed: of the weights, the order and the augmentation.
    """

    depth: int = 11
    width: float = Field(default=0.25, gt=0)
    epochs: int = Field(default=10, ge=1)
    batch: int = Field(default=128, ge=2)
    peak_lr: float = Field(default=0.1, gt=0)
    warmup: float = Field(default=0.2, ge=0, lt=1)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    norm_decay: bool = True
    precision: Literal["float32", "bfloat16"] = "float32"
    images: int | None = Field(default=None, ge=2)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = Field(default=0, ge=0)

    @property
    def label(self) -> str:
        """A name for tables, e.g. `vgg11-w0.25-s0`; `-nodecay` without decay on BatchNorm."""
        plain = "" if self.norm_decay else "-nodecay"
        return f"vgg{self.depth}-w{self.width:g}{plain}-s{self.seed}"


def train_vgg(
    config: VggConfig,
    data: Cifar10,
    *,
    root: Path | None = None,
    directory: Path | None = None,
    progress: Progress | None = None,
) -> tuple[Run, dict[str, Any]]:
    """Trains one network in a run directory, or goes on with it, or returns what is done.

    Args:
      config: the recipe.
      data: images and labels.
      root: where runs are kept.
      directory: this very run directory instead.
      progress: where to tell how far it is.

    Returns:
      The run, and its `result.json`: `name`, `test_accuracy`, `train_loss` (mean over the last
      epoch), `epoch`, `images_per_second` (of the last epoch), `parameters`, `recipe`.

    Raises:
      Diverged: if the loss stops being a number; the run is kept.
    """
    run = open_run(
        config, system="dynamics", verb="train-vgg", name=config.label, seed=config.seed,
        root=root, directory=directory,
    )  # fmt: skip
    result = run.directory / "result.json"
    if run.is_finished and result.is_file():
        return run, read_json(result)
    with run:
        network = _train(config, data, run, progress or SilentProgress())
        state = {name: value.cpu().numpy() for name, value in network.state_dict().items()}
        write_arrays(run.checkpoints / "network.safetensors", state)
        write_arrays(run.checkpoints / "bn.safetensors", bn_arrays(network, config.label))
    return run, read_json(result)


def learning_rate(config: VggConfig, share: float) -> float:
    """The rate after a share (0 to 1) of all steps: linear rise, then half a cosine to 0."""
    if share < config.warmup:
        return config.peak_lr * share / config.warmup
    return (
        config.peak_lr
        * 0.5
        * (1 + math.cos(math.pi * (share - config.warmup) / (1 - config.warmup)))
    )


def bn_arrays(network: nn.Module, name: str) -> dict[str, np.ndarray]:
    """The BatchNorm arrays of a network: `NAME/LAYER/{weight,bias,running_mean,running_var}`."""
    kinds = ("weight", "bias", "running_mean", "running_var")
    return {
        f"{name}/{layer}/{kind}": getattr(module, kind).detach().cpu().numpy()
        for layer, module in network.named_modules()
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)
        for kind in kinds
        if getattr(module, kind) is not None
    }


def test_accuracy(network: nn.Module, data: Cifar10, *, batch: int = 500) -> float:
    """Share of the test images that a network puts in the right class, BatchNorm in evaluation."""
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    right = 0
    with torch.no_grad():
        size = min(batch, len(data.test_images))
        for images, labels in Batches(data.test_images, data.test_labels, size).in_order():
            guess = network(torch.from_numpy(images).to(device)).argmax(1)
            right += int((guess.cpu() == torch.from_numpy(labels)).sum())
    network.train(was_training)
    return right / len(data.test_images)


test_accuracy.__test__ = False  # pyright: ignore[reportFunctionMemberAccess] (its name is no test's)


def _train(config: VggConfig, data: Cifar10, run: Run, progress: Progress) -> VGG:
    seeds = Seeds(config.seed).child("vgg")
    device = torch.device(
        "cuda" if config.device == "auto" and torch.cuda.is_available() else
        "cpu" if config.device == "auto" else config.device
    )  # fmt: skip
    start = torch.Generator().manual_seed(seeds.integer("weights"))
    network = make_vgg(config.depth, start, width=config.width)
    network = network.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] (stubs lack this overload)
    optimizer = torch.optim.SGD(
        _groups(network, config), lr=config.peak_lr, momentum=config.momentum,
        nesterov=config.momentum > 0,
    )  # fmt: skip
    batches = Batches(
        data.train_images[: config.images], data.train_labels[: config.images], config.batch
    )
    saved = run.checkpoints / "last.safetensors"
    row = _restore(saved, network, optimizer)
    done = int(row.get("epoch", 0))
    with (
        progress.task(config.label, total=config.epochs) as task,
        run.metrics() as metrics,
    ):
        task.advance(done)
        for epoch in range(done, config.epochs):
            row = _epoch(config, network, optimizer, batches, seeds, epoch)
            row["test_accuracy"] = test_accuracy(network, data)
            metrics.write(**row)
            _save(saved, network, optimizer, row)
            note = f"loss {row['train_loss']:.3f}, test accuracy {row['test_accuracy']:.3f}"
            _logger.info("%s epoch %d: %s", config.label, epoch + 1, note)
            task.advance(note=note)
    count = sum(parameter.numel() for parameter in network.parameters())
    result = {"name": config.label, **row, "parameters": count, "recipe": to_plain(config)}
    write_json(run.directory / "result.json", result)
    return network


def _epoch(
    config: VggConfig,
    network: VGG,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    seeds: Seeds,
    epoch: int,
) -> dict[str, float]:
    device = next(network.parameters()).device
    steps = batches.per_epoch
    total, began = torch.zeros((), device=device), time.perf_counter()
    # The generator is the epoch's own: a resumed run draws what an uninterrupted one would.
    generator = seeds.generator("order", epoch)
    for step, (images, labels) in enumerate(batches.epoch(generator)):
        share = (epoch * steps + step) / (config.epochs * steps)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, share)
        pixels = torch.from_numpy(images).to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            logits = network(pixels)
        loss = functional.cross_entropy(logits.float(), torch.from_numpy(labels).to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.detach()
        look = step % _CHECK_EVERY == _CHECK_EVERY - 1 or step + 1 == steps
        if look and not bool(torch.isfinite(total)):
            raise Diverged(
                f"the loss is not finite any more (epoch {epoch + 1}, by step {step + 1} of it)",
                hint=f"the run is kept; try a peak_lr below {config.peak_lr:g}",
                step=epoch * steps + step,
            )
    seconds = time.perf_counter() - began
    return {
        "epoch": epoch + 1,
        "train_loss": float(total) / steps,
        "images_per_second": steps * config.batch / seconds,
    }


def _groups(network: VGG, config: VggConfig) -> list[dict[str, Any]]:
    norms = [p for m in network.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()]
    known = {id(p) for p in norms}
    others = [p for p in network.parameters() if id(p) not in known]
    decay = config.weight_decay
    return [
        {"params": others, "weight_decay": decay},
        {"params": norms, "weight_decay": decay if config.norm_decay else 0.0},
    ]


def _save(
    path: Path, network: VGG, optimizer: torch.optim.Optimizer, row: Mapping[str, float]
) -> None:
    arrays = {f"state/{k}": v.cpu().numpy() for k, v in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        momentum: Tensor | None = optimizer.state[parameter].get("momentum_buffer")
        if momentum is not None:
            arrays[f"momentum/{name}"] = momentum.cpu().numpy()
    write_arrays(path, arrays, {"row": json.dumps(row)})


def _restore(path: Path, network: VGG, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Fills both from a checkpoint and returns its newest row of metrics; nothing without one."""
    if not path.is_file():
        return {}
    arrays = {name: torch.from_numpy(array) for name, array in read_arrays(path).items()}
    network.load_state_dict(
        {k.removeprefix("state/"): v for k, v in arrays.items() if k.startswith("state/")}
    )
    for name, parameter in network.named_parameters():
        if f"momentum/{name}" in arrays:
            moved = torch.empty_like(parameter).copy_(arrays[f"momentum/{name}"])
            optimizer.state[parameter]["momentum_buffer"] = moved
    return json.loads(read_metadata(path)["row"])
