"""Runs of a second or less, and films made of given numbers, for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from trine.dynamics.config import RunConfig, make_run_config
from trine.dynamics.films import Reel
from trine.dynamics.measures.matching import Matching
from trine.dynamics.trial import Snapshot

SMALL: dict[str, Any] = {
    "teacher": "3-4", "inputs": 5, "outputs": 6, "epochs": 3, "seeds": 2,
    "data": {"samples": 512, "evaluation": 300, "std": 3.0}, "descent": {"batch": 16},
}  # fmt: skip


def small_config(**changes: Any) -> RunConfig:
    """Teacher 3-4, 32 steps an epoch; nested tables are merged."""
    values: dict[str, Any] = {**SMALL, **({} if "student" in changes else {"over": 2})}
    for name, value in changes.items():
        values[name] = {**values.get(name, {}), **value} if isinstance(value, dict) else value
    return make_run_config("deep", **values)


def small_options(**changes: Any) -> list[str]:
    """The same for the command line."""
    values = {**SMALL, "over": 2, **changes}
    options: list[str] = []
    for name, value in values.items():
        table = value if isinstance(value, dict) else {"": value}
        for inner, one in table.items():
            options += ["--set", f"{name}.{inner}={one}".replace(".=", "=")]
    return options


def made_reel(start: list[Any], end: list[Any], active: list[Any], **changes: Any) -> Reel:
    """A film of two moments with given correlations.

    Args:
      start: per layer, `[R, m, n]`.
      end: likewise.
      active: per layer, share of samples on which teacher nodes are active, `[R, m]`.
      changes: see `small_config`.
    """
    config = small_config(**changes)

    def shot(matrices: list[Any], epoch: float, step: int) -> Snapshot:
        correlation = [torch.as_tensor(m, dtype=torch.float64) for m in matrices]
        count = correlation[0].shape[0]
        matching = Matching(
            correlation, [torch.as_tensor(a, dtype=torch.float64) for a in active],
            [torch.ones(m.shape[0], m.shape[2]) for m in correlation], [300] * len(correlation),
        )  # fmt: skip
        norms = [np.full((m.shape[0], m.shape[2]), 1 + epoch, np.float32) for m in correlation]
        loss = np.full(count, 1 / (1 + epoch), np.float32)
        return Snapshot(epoch, step, loss, loss, matching, norms, norms)

    shots = [shot(start, 0.0, 0), shot(end, 3.0, 96)]
    return Reel(config, list(range(len(start[0]))), shots, cpu_seconds=1.0)
