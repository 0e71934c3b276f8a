"""A teacher that knows something: a small convolutional network, trained on CIFAR-10 labels.

As in Tian et al. 2019 (arXiv 1905.13405; spec 7.3): four layers of 3x3 convolutions without padding
or pooling, trained on labels; in each layer the given share of nodes (channels) with the smallest
mean |fan-out weight| is pruned; the rest is fine-tuned and is the teacher. A student with `over`
times as many channels as survived then learns the teacher's outputs from the same images.

Pruned channels are taken out, not multiplied by a mask: without BatchNorm after the ReLU a masked
channel hands on 0, so that both compute the same function, and the smaller network is faster. Which
channels survived is kept with the teacher (`ConvTeacher.kept`).

A channel is a node; its activations are taken over images and positions together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from trine.core.artifacts import write_arrays
from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.dynamics.conv_training import ConvRecipe, Images, accuracy, train_conv
from trine.dynamics.measures.base import measure_modules
from trine.dynamics.measures.matching import Matching, NodeMatching
from trine.dynamics.networks import ConvArchitecture, ConvReluNetwork

__all__ = [
    "PRUNED",
    "ConvTeacher",
    "fan_out",
    "keep_nodes",
    "make_conv",
    "match_modules",
    "surviving_nodes",
    "train_conv_student",
    "train_conv_teacher",
    "wider_conv",
]

PRUNED = (0.3, 0.5, 0.5, 0.7)
"""Share of nodes pruned per layer: 64-64-64-64 becomes 45-32-32-20 (spec 7.3, recalled)."""


@dataclass(frozen=True, slots=True)
class ConvTeacher:
    """A teacher and how it came about.

    Attributes:
      network: pruned and fine-tuned, in evaluation mode.
      kept: per layer the channels of the unpruned network that survived, `[k]`.
      accuracy: test accuracy `trained`, right after pruning (`pruned`) and `fine_tuned`.
    """

    network: ConvReluNetwork
    kept: list[Tensor]
    accuracy: dict[str, float]


def make_conv(architecture: ConvArchitecture, generator: np.random.Generator) -> ConvReluNetwork:
    """A network with PyTorch's default start, U(+-1/sqrt(fan-in)), from a named stream.

    Args:
      architecture: of the network.
      generator: draws weights and biases, layer by layer.
    """
    network = ConvReluNetwork(architecture)
    with torch.no_grad():
        for layer in (*convolutions(network), network.output):
            bound = 1 / np.sqrt(layer.weight[0].numel())
            for parameter in (layer.weight, layer.bias):
                if parameter is not None:
                    drawn = generator.uniform(-bound, bound, tuple(parameter.shape))
                    parameter.copy_(torch.from_numpy(drawn))
    return network


def convolutions(network: ConvReluNetwork) -> list[nn.Conv2d]:
    """The convolutions, bottom first."""
    return [cast("nn.Conv2d", cast("nn.Sequential", block)[0]) for block in network.hidden]


def wider_conv(architecture: ConvArchitecture, over: int) -> ConvArchitecture:
    """The same with `over` times as many channels in every hidden layer.

    Raises:
      UsageError: a factor below 1.
    """
    if over < 1:
        raise UsageError(
            f"over {over}: the student would be narrower than the teacher",
            accepted="an integer from 1 upward",
        )
    return replace(architecture, channels=tuple(over * n for n in architecture.channels))


def fan_out(network: ConvReluNetwork) -> list[Tensor]:
    """Mean |weight| with which each channel is read by the layer above; per layer `[k]`."""
    above = [layer.weight.detach().transpose(0, 1).flatten(1) for layer in convolutions(network)]
    last = network.output.weight.detach()
    channels = network.architecture.channels[-1]
    top = last.view(last.shape[0], channels, -1).transpose(0, 1).flatten(1)
    return [weights.abs().mean(1) for weights in (*above[1:], top)]


def surviving_nodes(network: ConvReluNetwork, ratios: Sequence[float]) -> list[Tensor]:
    """The channels that remain when the least read are pruned; per layer `[k]`, ascending.

    Args:
      network: unpruned.
      ratios: share to prune per layer; `floor(ratio * n)` channels go.

    Raises:
      UsageError: ratios outside [0, 1), or not one a layer.
    """
    sizes = fan_out(network)
    if len(ratios) != len(sizes) or not all(0 <= ratio < 1 for ratio in ratios):
        raise UsageError(
            f"pruning ratios {list(ratios)}", accepted=f"{len(sizes)} numbers from 0 to below 1"
        )
    kept: list[Tensor] = []
    for size, ratio in zip(sizes, ratios, strict=True):
        # The small amount keeps e.g. 0.7 * 10 = 7.000...1 or 6.999... from deciding.
        gone = int(np.floor(ratio * len(size) + 1e-9))
        kept.append(size.argsort(stable=True)[gone:].sort().values)
    return kept


def keep_nodes(network: ConvReluNetwork, kept: Sequence[Tensor]) -> ConvReluNetwork:
    """A copy that consists of some of the channels only.

    Args:
      network: stays as it is.
      kept: per layer the channels to keep, `[k]`.
    """
    architecture = replace(network.architecture, channels=tuple(len(rows) for rows in kept))
    smaller = ConvReluNetwork(architecture).to(next(network.parameters()).device)
    below: Tensor | None = None
    with torch.no_grad():
        for old, new, rows in zip(network.hidden, smaller.hidden, kept, strict=True):
            for mine, theirs in zip(
                cast("nn.Sequential", old), cast("nn.Sequential", new), strict=True
            ):
                for name, tensor in mine.state_dict().items():
                    value = tensor
                    if tensor.dim() > 0:
                        value = tensor[rows]
                    if isinstance(mine, nn.Conv2d) and name == "weight" and below is not None:
                        value = value[:, below]
                    theirs.state_dict()[name].copy_(value)
            below = rows
        assert below is not None  # an architecture has at least one layer
        outputs = architecture.outputs
        top = network.output.weight.view(outputs, network.architecture.channels[-1], -1)
        smaller.output.weight.copy_(top[:, below].flatten(1))
        if architecture.bias:
            smaller.output.bias.copy_(network.output.bias)
    return smaller


def train_conv_teacher(
    architecture: ConvArchitecture,
    train: Images,
    test: Images,
    seeds: Seeds,
    *,
    recipe: ConvRecipe,
    fine_tuning: ConvRecipe,
    ratios: Sequence[float] = PRUNED,
    directory: Path | None = None,
    device: torch.device | str = "cpu",
) -> ConvTeacher:
    """Trains on labels, prunes, fine-tunes; goes on from what is in `directory`.

    Args:
      architecture: before pruning.
      train: images to learn from.
      test: images for accuracies; they choose nothing.
      seeds: the streams `start`, `labels` and `fine-tuning` are used.
      recipe: of the first training.
      fine_tuning: of the second.
      ratios: share of nodes pruned per layer.
      directory: where checkpoints are kept.
      device: where to compute.
    """

    def place(name: str) -> Path | None:
        return None if directory is None else directory / f"{name}.safetensors"

    network = make_conv(architecture, seeds.generator("start")).to(device)
    train_conv(network, train, recipe, seeds.child("labels"), checkpoint=place("labels"))
    network.eval()
    found = {"trained": accuracy(network, test)}
    kept = surviving_nodes(network, ratios)
    teacher = keep_nodes(network, kept)
    teacher.eval()
    found["pruned"] = accuracy(teacher, test)
    teacher.train()
    train_conv(
        teacher, train, fine_tuning, seeds.child("fine-tuning"), checkpoint=place("fine-tuning")
    )
    teacher.eval()
    found["fine_tuned"] = accuracy(teacher, test)
    masks = place("kept")
    if masks is not None:
        write_arrays(masks, {f"layer.{n}": rows.cpu().numpy() for n, rows in enumerate(kept)})
    return ConvTeacher(teacher, kept, found)


def match_modules(teacher: nn.Module, student: nn.Module, images: Images) -> Matching:
    """Correlation of all pairs of channels over images and positions, both in evaluation mode."""
    device = next(student.parameters()).device
    was_training = student.training
    student.eval()
    matching = NodeMatching()
    measure_modules([matching], teacher, student, (x.to(device) for x, _ in images.in_order()))
    student.train(was_training)
    return matching.result()


@dataclass(frozen=True, slots=True)
class ConvRun:
    """A student's training.

    Attributes:
      network: the student at the end.
      history: one row an epoch (see `train_conv`); `best_mean.L`, `best_min.L`, `best_max.L`,
        `dead.L` for hidden layer L, teacher nodes that are alive.
      initial: correlations at the start, per layer `[1, m, n]`.
      final: correlations at the end, per layer `[1, m, n]`.
      alive: teacher nodes that are ever active, per layer `[1, m]`.
    """

    network: ConvReluNetwork
    history: list[dict[str, Any]]
    initial: list[Tensor]
    final: list[Tensor]
    alive: list[Tensor]


def train_conv_student(
    teacher: ConvReluNetwork,
    over: int,
    train: Images,
    test: Images,
    seeds: Seeds,
    *,
    recipe: ConvRecipe,
    checkpoint: Path | None = None,
    device: torch.device | str = "cpu",
) -> ConvRun:
    """Trains a student on a teacher's outputs and measures both, epoch by epoch.

    Args:
      teacher: in evaluation mode.
      over: channels of the student over those of the teacher.
      train: images to learn from; labels are not used.
      test: images on which activations are compared.
      seeds: the streams `start` and `outputs` are used.
      recipe: how it is trained.
      checkpoint: file to go on from.
      device: where to compute.
    """
    network = make_conv(wider_conv(teacher.architecture, over), seeds.generator("start")).to(device)
    first = match_modules(teacher, network, test)

    def look(epoch: int, student: nn.Module) -> dict[str, float]:
        matching = first if epoch == 0 else match_modules(teacher, student, test)
        row: dict[str, float] = {}
        for summary in matching.summaries(0):
            row[f"best_mean.{summary.layer}"] = summary.mean_alive
            row[f"best_min.{summary.layer}"] = summary.minimum
            row[f"best_max.{summary.layer}"] = summary.maximum
            row[f"dead.{summary.layer}"] = summary.dead
        return row

    history = train_conv(
        network, train, recipe, seeds.child("outputs"),
        teacher=teacher, checkpoint=checkpoint, on_epoch=look,
    )  # fmt: skip
    last = match_modules(teacher, network, test)
    alive = [last.alive(layer) for layer in range(last.depth)]
    return ConvRun(network, history, first.correlation, last.correlation, alive)
