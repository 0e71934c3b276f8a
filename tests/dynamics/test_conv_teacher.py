"""Convolutional teachers: windows, training on labels and outputs, pruning by nodes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from trine.core.artifacts import read_arrays
from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.dynamics import conv_training
from trine.dynamics.cifar import crop_and_flip, normalise
from trine.dynamics.conv_teacher import (
    PRUNED,
    convolutions,
    fan_out,
    keep_nodes,
    make_conv,
    match_modules,
    surviving_nodes,
    train_conv_student,
    train_conv_teacher,
    wider_conv,
)
from trine.dynamics.conv_training import ConvRecipe, Images, accuracy, train_conv, windows
from trine.dynamics.networks import ConvArchitecture, ConvReluNetwork
from trine.dynamics.training import Diverged

SMALL = ConvArchitecture((6, 5), image=8, outputs=2)


def photographs(count: int, seed: int = 0) -> Images:
    """Two kinds of noise that a network can tell apart: bright above, bright below."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 120, (count, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(count) % 2
    for label, rows in enumerate((slice(0, 16), slice(16, 32))):
        pixels[labels == label, rows] += 100
    return Images(pixels, labels, 8)


def test_windows_of_whole_images_are_the_crops_of_padded_ones() -> None:
    images = photographs(7).images

    class Offsets:
        """Draws the same offsets for both, whatever range they are asked in."""

        def __init__(self, low: int) -> None:
            self.low = low

        def integers(self, *bounds: int, size: tuple[int, int]) -> np.ndarray:
            return np.arange(2 * size[1]).reshape(size) % 9 + self.low

        def random(self, count: int) -> np.ndarray:
            return np.arange(count) % 2 * 0.9

    ours = windows(images, 32, Offsets(-4))  # pyright: ignore[reportArgumentType] (a double)
    theirs = normalise(crop_and_flip(images, Offsets(0)))  # pyright: ignore[reportArgumentType] (a double)
    np.testing.assert_array_equal(ours, theirs)


def test_windows_at_the_centre_and_moved_ones_hold_real_pixels() -> None:
    images = photographs(5).images
    centre = windows(images, 8)
    np.testing.assert_array_equal(
        centre, normalise(images.transpose(0, 3, 1, 2))[..., 12:20, 12:20]
    )
    moved = windows(images, 8, np.random.default_rng(0))
    assert moved.shape == (5, 3, 8, 8)
    every = set(np.unique(normalise(images.transpose(0, 3, 1, 2))).tolist())
    assert set(np.unique(moved).tolist()) <= every  # no padding with zeros needed
    assert not np.array_equal(moved, centre)


@pytest.mark.parametrize("side", [0, 7, 34])
def test_a_window_that_does_not_fit_is_refused(side: int) -> None:
    with pytest.raises(UsageError, match=f"side {side}"):
        windows(photographs(1).images, side)


def test_fan_out_is_the_mean_absolute_weight_of_the_layer_above() -> None:
    network = make_conv(SMALL, np.random.default_rng(0))
    first, second = fan_out(network)
    above = convolutions(network)[1].weight
    assert first[3].item() == pytest.approx(above[:, 3].abs().mean().item())
    top = network.output.weight.view(2, 5, 4, 4)
    assert second[1].item() == pytest.approx(top[:, 1].abs().mean().item())


def test_the_papers_ratios_leave_45_32_32_20() -> None:
    network = make_conv(ConvArchitecture((64,) * 4, image=10), np.random.default_rng(0))
    kept = surviving_nodes(network, PRUNED)
    assert [len(rows) for rows in kept] == [45, 32, 32, 20]
    size = fan_out(network)[0]
    gone = torch.ones(64, dtype=torch.bool)
    gone[kept[0]] = False
    assert size[gone].max() < size[kept[0]].min()


def test_pruning_ratios_that_do_not_fit_are_refused() -> None:
    network = make_conv(SMALL, np.random.default_rng(0))
    for ratios in ((0.5,), (0.5, 1.0), (-0.1, 0.5)):
        with pytest.raises(UsageError, match="pruning ratios"):
            surviving_nodes(network, ratios)


@pytest.mark.parametrize("place", ["none", "before_relu"])
def test_taking_channels_out_equals_a_mask(place: str) -> None:
    architecture = replace(SMALL, batch_norm=place)
    network = make_conv(architecture, np.random.default_rng(1))
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(9, 3, 8, 8, generator=generator)
    network.train()
    network(pixels)  # moves running statistics away from their start
    network.eval()
    kept = surviving_nodes(network, (0.5, 0.4))
    smaller = keep_nodes(network, kept).eval()
    assert smaller.architecture.channels == (3, 3)

    masks = [torch.zeros(n).index_fill(0, rows, 1.0) for n, rows in zip((6, 5), kept, strict=True)]
    handed = pixels
    for block, mask in zip(network.hidden, masks, strict=True):
        handed = block(handed) * mask.view(1, -1, 1, 1)
    expected = network.output(handed.flatten(1))
    torch.testing.assert_close(smaller(pixels), expected)


def test_a_network_learns_labels_and_another_its_outputs() -> None:
    train, test = photographs(240), photographs(60, seed=1)
    teacher = train_conv_teacher(
        SMALL, train, test, Seeds(0), recipe=ConvRecipe(3, batch=16),
        fine_tuning=ConvRecipe(1, batch=16), ratios=(0.3, 0.4),
    )  # fmt: skip
    assert teacher.network.architecture.channels == (5, 3)
    assert teacher.accuracy["fine_tuned"] > 0.9
    run = train_conv_student(
        teacher.network, 2, train, test, Seeds(1),
        recipe=ConvRecipe(4, rate=0.01, batch=16, schedule="constant"),
    )  # fmt: skip
    assert run.network.architecture.channels == (10, 6)
    assert [row["epoch"] for row in run.history] == [0, 1, 2, 3, 4]
    assert math.isnan(run.history[0]["loss"])
    assert run.history[-1]["loss"] < run.history[1]["loss"] / 2
    assert [tuple(t.shape) for t in run.final] == [(1, 5, 10), (1, 3, 6)]
    rise = run.final[0].amax(2).mean() - run.initial[0].amax(2).mean()
    assert rise > 0


def test_a_student_that_is_its_teacher_matches_it() -> None:
    images = photographs(20)
    teacher = make_conv(SMALL, np.random.default_rng(0)).eval()
    matching = match_modules(teacher, teacher, images)
    assert matching.samples == [20 * 36, 20 * 16]  # images times positions
    for layer in range(2):
        alive = matching.alive(layer)
        torch.testing.assert_close(
            matching.best(layer)[alive], torch.ones(int(alive.sum()), dtype=torch.float64)
        )


def test_a_stopped_training_goes_on_as_if_it_had_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = photographs(64)
    recipe = ConvRecipe(4, batch=16, rate=0.02)

    def trained(file: Path | None) -> tuple[ConvReluNetwork, list[dict]]:
        network = make_conv(SMALL, Seeds(0).generator("start"))
        return network, train_conv(network, images, recipe, Seeds(0), checkpoint=file)

    whole, rows = trained(None)
    file = tmp_path / "last.safetensors"
    real = conv_training._epoch

    def stops(*arguments: object) -> float:
        if arguments[4] == 2:
            raise KeyboardInterrupt
        return real(*arguments)  # pyright: ignore[reportArgumentType] (handed on as it came)

    with monkeypatch.context() as patch:
        patch.setattr(conv_training, "_epoch", stops)
        with pytest.raises(KeyboardInterrupt):
            trained(file)
    again, history = trained(file)
    assert [row["epoch"] for row in history] == [0, 1, 2, 3, 4]
    assert history[1:] == rows[1:]
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor, rtol=0, atol=0)


def test_surviving_channels_are_kept_beside_the_teacher(tmp_path: Path) -> None:
    images = photographs(32)
    recipe = ConvRecipe(1, batch=16)
    teacher = train_conv_teacher(
        SMALL, images, images, Seeds(0), recipe=recipe, fine_tuning=recipe, ratios=(0.5, 0.2),
        directory=tmp_path,
    )  # fmt: skip
    stored = read_arrays(tmp_path / "kept.safetensors")
    assert [stored[f"layer.{n}"].tolist() for n in range(2)] == [t.tolist() for t in teacher.kept]


def test_a_rate_that_is_too_high_is_said_so() -> None:
    network = make_conv(SMALL, np.random.default_rng(0))
    with pytest.raises(Diverged, match="learning rate 1e\\+06"):
        train_conv(
            network, photographs(64), ConvRecipe(3, rate=1e6, batch=16), Seeds(0),
            teacher=make_conv(SMALL, np.random.default_rng(1)),
        )  # fmt: skip


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="narrower"):
        wider_conv(SMALL, 0)
    with pytest.raises(UsageError, match="epochs"):
        ConvRecipe(0)
    with pytest.raises(UsageError, match="learning rate"):
        ConvRecipe(1, rate=0.0)
    with pytest.raises(UsageError, match="batch size 64 of 3 images"):
        train_conv(
            make_conv(SMALL, np.random.default_rng(0)), photographs(3), ConvRecipe(1), Seeds(0)
        )


def test_accuracy_is_the_share_of_right_classes() -> None:
    network = make_conv(SMALL, np.random.default_rng(0))
    with torch.no_grad():
        network.output.weight.zero_()
        network.output.bias.copy_(torch.tensor([0.0, 1.0]))
    assert accuracy(network, photographs(10)) == 0.5
