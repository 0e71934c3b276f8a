"""The training inputs that the theory of student specialisation asks for (Tian 2020).

Tian 2020 (arXiv 1909.13458) bounds the number of samples after which a small gradient forces
specialisation, for samples that lie on both sides of every teacher node's boundary, close to it.
For each of the m teacher nodes of the lowest layer, with unit weight w and boundary
{x: w . x + b = 0}:

1. Gaussian points N(0, std^2 I) are projected on the boundary, the bias included;
2. copies of them are moved by +a w and by -a w, a uniform in [mean, mean + sigma], one a point;
3. every point is scaled to the length std sqrt(d).

A third of the samples lies on, a third above and a third below the boundaries, N / (3 m) a node.
Step 3 moves the points along rays, hence off a boundary that does not go through the origin; it is
what the authors' program does, and keeps the scale of the inputs equal to that of N(0, std^2 I).

`agnostic_inputs` does without the teacher: the copies are moved along a random direction, one a
point. That variant is recalled from the paper, not checked against it.

Both return a `Draw`, for `Batches` or by hand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.core.errors import UsageError
from trine.dynamics.batches import Draw
from trine.dynamics.stack import Stack

__all__ = ["agnostic_inputs", "teacher_inputs"]

Array = NDArray[np.float64]

_SIDES = np.array([0.0, 1.0, -1.0])


def teacher_inputs(teacher: Stack, std: float, *, mean: float = 1.0, sigma: float = 1.0) -> Draw:
    """Inputs on, above and below the boundaries of a teacher's lowest layer.

    Args:
      teacher: a stack of one network.
      std: the length of every input is `std * sqrt(d)`.
      mean: least distance of a moved point from its boundary, before the scaling.
      sigma: the distance is uniform in [mean, mean + sigma].

    Returns:
      A draw of `[N, d]` in random order. N need not divide by 3 m: nodes and sides take turns.

    Raises:
      UsageError: more than one teacher, a node without weights, or wrong numbers.

    Source: Tian 2020, the theorem on finite samples; details from the authors' program (spec 5.2).
    """
    _check(std, mean, sigma)
    if teacher.count != 1:
        raise UsageError(f"a stack of {teacher.count} teachers", accepted="one")
    weight: Any = teacher.weights[0][0].detach().cpu().double().numpy()
    norm = np.linalg.norm(weight, axis=1)
    if not (norm > 0).all():
        raise UsageError("a teacher node without weights has no boundary")
    unit = weight / norm[:, None]  # [m, d]
    offset = np.zeros(len(norm))
    if teacher.architecture.bias:
        bias: Any = teacher.biases[0][0].detach().cpu().double().numpy()
        offset = bias / norm

    def draw(generator: np.random.Generator, count: int) -> Array:
        nodes = len(unit)
        points = -(-count // 3)  # each is used up to three times
        node = np.arange(points) % nodes
        base = std * generator.standard_normal((points, unit.shape[1]))
        normal = unit[node]
        base -= ((base * normal).sum(1) + offset[node])[:, None] * normal
        return _moved(base, normal, count, std, (mean, sigma), generator)

    return draw


def agnostic_inputs(dimension: int, std: float, *, mean: float = 1.0, sigma: float = 1.0) -> Draw:
    """The same without looking at a teacher: points, and copies moved along random directions.

    Args:
      dimension: d.
      std: the length of every input is `std * sqrt(d)`.
      mean: least distance by which a copy is moved, before the scaling.
      sigma: the distance is uniform in [mean, mean + sigma].

    Raises:
      UsageError: wrong numbers.
    """
    _check(std, mean, sigma)
    if dimension < 1:
        raise UsageError(f"{dimension} input dimensions", accepted="an integer from 1 upward")

    def draw(generator: np.random.Generator, count: int) -> Array:
        points = -(-count // 3)
        base = std * generator.standard_normal((points, dimension))
        normal = generator.standard_normal((points, dimension))
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        return _moved(base, normal, count, std, (mean, sigma), generator)

    return draw


def _moved(
    base: Array,
    normal: Array,
    count: int,
    std: float,
    distance: tuple[float, float],
    generator: np.random.Generator,
) -> Array:
    points, dimension = base.shape
    mean, sigma = distance
    far = generator.uniform(mean, mean + sigma, points)[:, None, None]
    made = base[:, None, :] + _SIDES[None, :, None] * far * normal[:, None, :]  # [points, 3, d]
    chosen = made.reshape(-1, dimension)[:count]
    length = np.linalg.norm(chosen, axis=1, keepdims=True)
    # A projected point can be the origin where d = 1.
    chosen = np.divide(chosen, length, out=np.zeros_like(chosen), where=length > 0)
    return chosen[generator.permutation(count)] * (std * np.sqrt(dimension))


def _check(std: float, mean: float, sigma: float) -> None:
    for name, value, low in (("std", std, 0.0), ("mean", mean, 0.0), ("sigma", sigma, -1.0)):
        if not (np.isfinite(value) and value > low):
            raise UsageError(
                f"augmentation {name} {value}",
                accepted="a positive number" if name != "sigma" else "a number from 0 upward",
            )
    if sigma < 0:
        raise UsageError(f"augmentation sigma {sigma}", accepted="a number from 0 upward")
