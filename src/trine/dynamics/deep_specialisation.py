"""The deep setting of Tian 2020 (arXiv 1909.13458; spec 7.6).

    teacher 50-75-100-125 from a finer grid, 20 inputs of std 10, 100 outputs, student ten times as
    wide and scaled by 0.1 at the start, rate 0.2, then 0.1 from epoch 20, batches of 64, 100
    epochs, 200,000 samples; teacher biases such that each node is active on half of the data,
    outputs standardised

The teacher is fitted to inputs of its own stream (`calibration`), so that it does not change with
the size of the training set. Options: `teacher_start.decay` (strength decay), `network.slope`
(leaky), `data.distribution` (`gaussian`, `uniform`), and those of `two_layer`.
"""

# Set-ups override fields by subclasses; safe, because configurations are frozen.
# pyright: reportIncompatibleVariableOverride=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trine.core.config import make_config
from trine.core.errors import UsageError
from trine.dynamics.config import DeepLargeConfig
from trine.dynamics.two_layer import Setting, TwoLayerSetting

__all__ = ["SETTINGS", "DeepSetting", "deep", "make_setting"]


class DeepSetting(DeepLargeConfig, Setting):
    """One configuration of the deep experiment (spec 7.6)."""

    setup: str = "deep-large"
    snapshots: tuple[int, ...] = (1, 5, 20)


def deep(**values: Any) -> DeepSetting:
    """A configuration of the deep experiment; nested tables are dicts.

    deep(teacher="10-15-20-25", over=5, epochs=20)

    Raises:
      ConfigError: a key or value that cannot be used.
    """
    return make_config(DeepSetting, values)


SETTINGS: Mapping[str, type[Setting]] = {
    "two-layer": TwoLayerSetting,
    "deep-large": DeepSetting,
    "deep": Setting,
}
"""By the names of `trine.dynamics.config.SETUPS`."""


def make_setting(
    setup: str, values: Mapping[str, Any], sources: Mapping[str, str] | None = None
) -> Setting:
    """A setting of a set-up.

    Args:
      setup: a key of `SETTINGS`.
      values: nested mapping of what differs from its defaults.
      sources: where each dotted key came from, for the message.

    Raises:
      UsageError: no such set-up.
      ConfigError: a key or value that cannot be used.
    """
    if setup not in SETTINGS:
        raise UsageError.unknown("set-up", setup, list(SETTINGS))
    return make_config(SETTINGS[setup], {**values, "setup": setup}, sources)
