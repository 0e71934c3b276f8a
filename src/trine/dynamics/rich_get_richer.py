"""The rich get richer: a node that starts closer to its teacher node gets there sooner.

The minimal model of Tian et al. 2019 (arXiv 1905.13405; derived, for no overlap with other nodes):
unit vectors with dw/dt = rate P w*, P the projection on the complement of w. Then the angle obeys

    d theta / dt = -rate sin theta,   so   tan(theta / 2) = tan(theta_0 / 2) e^(-rate t).

The time to come within a small angle therefore grows with log tan(theta_0 / 2), and a start at a
right angle costs only a constant more than one at 45 degrees, while a start opposite never ends.
Measured angles are laid on the curve by `fit_rate`: log tan(theta / 2) against time is a line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from trine.core.errors import UsageError

__all__ = ["Fit", "angle_curve", "angles", "fit_rate", "minimal_model", "time_to_reach"]

Array = NDArray[np.float64]


def angle_curve(start: ArrayLike, time: ArrayLike, rate: float = 1.0) -> Array:
    """theta(t) = 2 atan(tan(theta_0 / 2) e^(-rate t)), radians.

    Args:
      start: theta_0, radians in [0, pi).
      time: t, of a shape that broadcasts with `start`.
      rate: of the model.
    """
    return 2 * np.arctan(np.tan(np.asarray(start) / 2) * np.exp(-rate * np.asarray(time)))


def time_to_reach(start: ArrayLike, target: float, rate: float = 1.0) -> Array:
    """When the curve from `start` comes to `target`, both radians; negative if it is past it."""
    return (np.log(np.tan(np.asarray(start) / 2)) - np.log(np.tan(target / 2))) / rate


def minimal_model(start: Tensor, target: Tensor, *, step: float, steps: int) -> Tensor:
    """Euler steps of dw/dt = P w*, w renormalised after each.

    Args:
      start: `[..., d]`, unit vectors.
      target: `[..., d]`, unit vectors.
      step: of time.
      steps: how many.

    Returns:
      Angles to the target, `[steps + 1, ...]`, radians.
    """
    w = start.clone()
    found = [angles(w, target)]
    for _ in range(steps):
        along = (w * target).sum(-1, keepdim=True)
        w = w + step * (target - along * w)
        w = w / w.norm(dim=-1, keepdim=True)
        found.append(angles(w, target))
    return torch.stack(found)


def angles(first: Tensor, second: Tensor) -> Tensor:
    """Angle between vectors `[..., d]`, radians, accurate for small ones too.

    The arc cosine loses half of the digits at 0; 2 atan2(|u - v|, |u + v|) of unit vectors does
    not.
    """
    u = first / first.norm(dim=-1, keepdim=True)
    v = second / second.norm(dim=-1, keepdim=True)
    return 2 * torch.atan2((u - v).norm(dim=-1), (u + v).norm(dim=-1))


@dataclass(frozen=True, slots=True)
class Fit:
    """The curve laid over measured angles.

    Attributes:
      rate: of decay of tan(theta / 2), per unit of time.
      start: theta_0 of the fitted curve, radians.
      r_squared: share of the variance of log tan(theta / 2) that the line explains.
      points: how many angles were used.
    """

    rate: float
    start: float
    r_squared: float
    points: int


def fit_rate(time: ArrayLike, angle: ArrayLike, *, floor: float = 0.0) -> Fit:
    """Least squares of log tan(theta / 2) on time.

    Args:
      time: `[k]`.
      angle: `[k]`, radians, above 0 and below pi.
      floor: angles from the first one below this on are left out: noise, not approach.

    Raises:
      UsageError: fewer than three angles left.
    """
    t, theta = np.asarray(time, dtype=np.float64), np.asarray(angle, dtype=np.float64)
    below = np.flatnonzero(theta < floor)
    if below.size:
        t, theta = t[: below[0]], theta[: below[0]]
    if t.size < 3:
        raise UsageError(f"a curve through {t.size} angles", accepted="at least 3 above the floor")
    logs = np.log(np.tan(theta / 2))
    slope, offset = np.polyfit(t, logs, 1)
    rest = logs - (slope * t + offset)
    spread = float(np.square(logs - logs.mean()).sum())
    explained = 1 - float(np.square(rest).sum()) / spread if spread > 0 else float("nan")
    return Fit(-float(slope), float(2 * np.arctan(np.exp(offset))), explained, int(t.size))
