"""VGG with BatchNorm for 32 by 32 images: every BatchNorm is followed directly by a ReLU.

Simonyan and Zisserman 2015 (arXiv 1409.1556), table 1, columns A, B, D, E, with BatchNorm between
convolution and ReLU. Parameters are named as in torchvision (`features.0.weight`, ...), so what
reads one reads the other. Differences: a `width` multiplier on all channels, and one linear layer
as classifier, since five poolings leave one position of a 32 by 32 image.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

from trine.core.errors import UsageError

__all__ = ["LAYERS", "VGG", "make_vgg"]

LAYERS: Mapping[int, tuple[tuple[int, ...], ...]] = MappingProxyType(
    {
        11: ((64,), (128,), (256, 256), (512, 512), (512, 512)),
        13: ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512)),
        16: ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3),
        19: ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4),
    }
)
"""Channels of the convolutions by depth; each group ends in a pooling by 2."""


class VGG(nn.Module):
    """Convolutions of 3 by 3, BatchNorm, ReLU, poolings, and a linear classifier.

    Args:
      depth: 11, 13, 16 or 19 (layers with weights in the original).
      width: factor on the number of channels, rounded, at least 1 channel.
      classes: number of outputs.
    """

    def __init__(self, depth: int, *, width: float = 1.0, classes: int = 10) -> None:
        super().__init__()
        if depth not in LAYERS:
            raise UsageError(f"VGG depth {depth}", accepted=", ".join(map(str, LAYERS)))
        if not width > 0:
            raise UsageError(f"width {width}", accepted="a factor above 0, e.g. 0.25")
        self.features = nn.Sequential()
        channels = 3
        for group in LAYERS[depth]:
            for full in group:
                wide = max(1, round(full * width))
                self.features.append(nn.Conv2d(channels, wide, 3, padding=1))
                self.features.append(nn.BatchNorm2d(wide))
                self.features.append(nn.ReLU(inplace=True))
                channels = wide
            self.features.append(nn.MaxPool2d(2))
        self.classifier = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[B, classes]` of images `[B, 3, 32, 32]`."""
        return self.classifier(torch.flatten(self.features(images), 1))


def make_vgg(
    depth: int, generator: torch.Generator, *, width: float = 1.0, classes: int = 10
) -> VGG:
    """A VGG with fresh weights from a generator.

    Convolutions: normal, variance `2 / (9 * out channels)` (He et al. 2015, arXiv 1502.01852, eq.
    14, fan-out, as torchvision does); linear: normal, deviation 0.01; all biases 0, BatchNorm
    weights 1. BatchNorm biases therefore start at exactly 0 and their signs are all learned.
    """
    with torch.device("meta"):  # the framework's own draws would touch the global generator
        network = VGG(depth, width=width, classes=classes)
    network = network.to_empty(device="cpu")
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(
                module.weight, mode="fan_out", nonlinearity="relu", generator=generator
            )
            nn.init.zeros_(_bias(module))
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()  # constants only: weight 1, bias 0, running 0 and 1
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01, generator=generator)
            nn.init.zeros_(_bias(module))
    return network


def _bias(module: nn.Conv2d | nn.Linear) -> Tensor:
    assert module.bias is not None
    return module.bias
