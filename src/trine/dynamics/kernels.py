"""Arc-cosine kernels, and gradient flow of two-layer networks on Gaussian inputs in closed form.

For x ~ N(0, s^2 I), nodes a(x) = w.x + b and a'(x) = w'.x + b', angle theta between w and w':

    E[1_a 1_a']      = (pi - theta) / (2 pi)                                        without biases
    E[a_+ a'_+]      = s^2 |w| |w'| (sin theta + (pi - theta) cos theta) / (2 pi)
    E[1_a a'_+ x]    = s^2 (|w'| sin theta w/|w| + (pi - theta) w') / (2 pi)

the first two are the arc-cosine kernels of order 0 and 1 (Cho and Saul 2009, eq. 1 and 6, halved).
With biases the same quantities are moments of a truncated bivariate normal (Rosenbaum 1961) and
its distribution function (Owen 1956, through Owen's T): closed as well, in error functions and T.
A leaky slope only adds moments of lower order, leaky(a) = slope a + (1 - slope) a_+.

`kernel_velocity` is the expected gradient step of 1/2 ||y* - y||^2 for teacher and student with one
hidden layer: what `flow.exact_velocity` estimates from a batch, without a batch. It follows Tian
2017 (arXiv 1703.00560), where such closed forms were used first for one hidden layer.

    symbol    code         shape             meaning
    K         values       [R, n, m]         E[f_j f*_j']
    E f       means        [R, n]            E[f_j]
    G, G0     pulls        [R, n, m, d + 1]  E[D_j f*_j' (x, 1)]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special

from trine.core.errors import UsageError
from trine.dynamics.flow import Velocity
from trine.dynamics.stack import Stack

__all__ = [
    "Nodes",
    "arc_cosine",
    "both_positive",
    "expected_loss",
    "kernel_velocity",
    "pulls",
    "values",
]

Array = NDArray[np.float64]

LEAST = 1e-300


@dataclass(frozen=True, slots=True)
class Nodes:
    """A layer of nodes on Gaussian inputs.

    Attributes:
      weight: `[R, n, d]`.
      bias: `[R, n]`, or None for no biases, which is much faster.
      slope: of the ReLU below zero.
      std: of the inputs, s.
    """

    weight: Array
    bias: Array | None = None
    slope: float = 0.0
    std: float = 1.0

    @property
    def spread(self) -> Array:
        """Standard deviation of w.x, `[R, n]`."""
        return self.std * np.linalg.norm(self.weight, axis=2)


def arc_cosine(order: int, first: Array, second: Array) -> Array:
    """Arc-cosine kernel between rows: 1/pi J_0 or 1/pi |w| |w'| J_1.

    It is twice E[1_a 1_a'] (order 0) and twice E[a_+ a'_+] (order 1) for x ~ N(0, I).

    Args:
      order: 0 or 1.
      first: `[..., n, d]`.
      second: `[..., m, d]`.

    Returns:
      `[..., n, m]`.

    Raises:
      UsageError: another order.

    Source: Cho and Saul 2009, Kernel Methods for Deep Learning, eq. 3 to 6.
    """
    if order not in (0, 1):
        raise UsageError(f"arc-cosine kernel of order {order}", accepted="0 or 1")
    angle, sizes = _angles(first, second)
    if order == 0:
        return (np.pi - angle) / np.pi
    return sizes * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / np.pi


def _angles(first: Array, second: Array) -> tuple[Array, Array]:
    """Angles and products of lengths, `[..., n, m]`."""
    a, b = np.linalg.norm(first, axis=-1), np.linalg.norm(second, axis=-1)
    sizes = a[..., :, None] * b[..., None, :]
    cosine = first @ np.swapaxes(second, -1, -2) / np.maximum(sizes, LEAST)
    return np.arccos(np.clip(cosine, -1, 1)), sizes


def both_positive(h: Array, k: Array, rho: Array) -> Array:
    """P(z > -h, z' > -k) of standard normals of correlation rho: Phi_2(h, k; rho).

    Source: Owen 1956, Tables for computing bivariate normal probabilities, eq. 3.1.
    """
    h, k, rho = np.broadcast_arrays(h, k, rho)
    root = np.sqrt(np.maximum((1 - rho) * (1 + rho), 1e-30))
    # A bias of 0 is taken as 0+: both terms then have their limits.
    h, k = (np.where(np.abs(z) < 1e-30, 1e-30, z) for z in (h, k))
    first = special.owens_t(h, (k - rho * h) / (h * root))
    second = special.owens_t(k, (h - rho * k) / (k * root))
    apart = np.where((h > 0) == (k > 0), 0.0, 0.5)
    return (special.ndtr(h) + special.ndtr(k)) / 2 - first - second - apart


def _density(z: Array) -> Array:
    return np.exp(-0.5 * np.square(z)) / np.sqrt(2 * np.pi)


@dataclass(frozen=True, slots=True)
class _Moments:
    """Moments of a = w.x + b and a' = w'.x + b'; each `[R, n, m]`, or `[R, n, 1]`, `[R, 1, m]`.

    Attributes:
      both: E[1_a 1_a'].
      positive: E[a_+ a'_+].
      gated: E[1_a a'_+].
      at_edge: E[delta(a) a'_+], the density of a at 0 times the mean of a'_+ there.
      edge: E[delta(a) a'].
      on: E[1_a].
      on_other: E[1_a'].
      ramp: E[a_+].
      ramp_other: E[a'_+].
    """

    both: Array
    positive: Array
    gated: Array
    at_edge: Array
    edge: Array
    on: Array
    on_other: Array
    ramp: Array
    ramp_other: Array


def _moments(first: Nodes, second: Nodes) -> _Moments:
    p = np.maximum(first.spread, LEAST)[:, :, None]
    q = np.maximum(second.spread, LEAST)[:, None, :]
    angle, _ = _angles(first.weight, second.weight)
    rho, root = np.cos(angle), np.sin(angle)
    if first.bias is None or second.bias is None:
        half = np.full_like(p, 0.5), np.full_like(q, 0.5)
        c = 1 / np.sqrt(2 * np.pi)
        return _Moments(
            both=(np.pi - angle) / (2 * np.pi),
            positive=p * q * (root + (np.pi - angle) * rho) / (2 * np.pi),
            gated=q * c * (1 + rho) / 2,
            at_edge=q * root / (p * 2 * np.pi),
            edge=np.zeros_like(rho),
            on=half[0],
            on_other=half[1],
            ramp=p * c,
            ramp_other=q * c,
        )
    h, k = first.bias[:, :, None] / p, second.bias[:, None, :] / q
    both = both_positive(h, k, rho)
    # Where one variable is at its edge, the other is normal with spread `root`.
    there, here = k - rho * h, h - rho * k
    safe = np.maximum(root, 1e-15)
    at_first = _density(h) * special.ndtr(there / safe)
    at_second = _density(k) * special.ndtr(here / safe)
    ramp_there = there * special.ndtr(there / safe) + root * _density(there / safe)
    # root^2 times the bivariate density; Rosenbaum 1961, first and second moments.
    joint = root * _density(h) * _density(there / safe)
    e_first, e_second = at_first + rho * at_second, at_second + rho * at_first
    e_both = rho * both - rho * (h * at_first + k * at_second) + joint
    on, on_other = special.ndtr(h), special.ndtr(k)
    return _Moments(
        both=both,
        positive=p * q * (e_both + h * e_second + k * e_first + h * k * both),
        gated=q * (e_second + k * both),
        at_edge=q * _density(h) * ramp_there / p,
        edge=q * _density(h) * there / p,
        on=on,
        on_other=on_other,
        ramp=p * (h * on + _density(h)),
        ramp_other=q * (k * on_other + _density(k)),
    )


def _inner(first: Nodes, second: Nodes) -> Array:
    """Covariance of w.x and w'.x, `[R, n, m]`."""
    return first.std**2 * (first.weight @ second.weight.transpose(0, 2, 1))


def _bias(nodes: Nodes) -> Array:
    return np.zeros(nodes.weight.shape[:2]) if nodes.bias is None else nodes.bias


def values(first: Nodes, second: Nodes) -> tuple[Array, Array, Array]:
    """K = E[f f'], E f and E f'; `[R, n, m]`, `[R, n]`, `[R, m]`.

    Args:
      first: n nodes.
      second: m nodes, of the same slope, on the same inputs.
    """
    return _values(first, second, _moments(first, second))


def _values(first: Nodes, second: Nodes, m: _Moments) -> tuple[Array, Array, Array]:
    slope, rest = first.slope, 1 - first.slope
    b, c = _bias(first)[:, :, None], _bias(second)[:, None, :]
    inner = _inner(first, second)
    mixed = inner * m.on_other + b * m.ramp_other + inner * m.on + c * m.ramp
    k = slope**2 * (inner + b * c) + slope * rest * mixed + rest**2 * m.positive
    mean = slope * b + rest * m.ramp
    mean_other = slope * c + rest * m.ramp_other
    return k, mean[:, :, 0], mean_other[:, 0, :]


def pulls(first: Nodes, second: Nodes) -> Array:
    """G = E[D_j f'_j' (x, 1)], D_j the gate of node j of `first`: `[R, n, m, d + 1]`.

    By Stein's lemma E[x g(x)] = s^2 E[grad g]: each G is a combination of w_j and w'_j'.
    """
    own, other, constant = _pull_parts(first, second, _moments(first, second))
    vector = own[..., None] * first.weight[:, :, None, :]
    vector = vector + other[..., None] * second.weight[:, None, :, :]
    return np.concatenate([vector, constant[..., None]], 3)


def _pull_parts(first: Nodes, second: Nodes, m: _Moments) -> tuple[Array, Array, Array]:
    """Coefficients of w_j and w'_j' in G, and its last entry; `[R, n, m]` each."""
    slope, rest = first.slope, 1 - first.slope
    b, c = _bias(first)[:, :, None], _bias(second)[:, None, :]
    own = slope * rest * m.edge + rest**2 * m.at_edge
    other = slope**2 + slope * rest * (m.on_other + m.on) + rest**2 * m.both
    # E[1_a a'] = c P(a > 0) + cov(a, a') times the density of a at 0.
    p = np.maximum(first.spread, LEAST)[:, :, None]
    linear = c * m.on + _inner(first, second) / p * _density(b / p)
    constant = slope**2 * c + slope * rest * (m.ramp_other + linear) + rest**2 * m.gated
    return first.std**2 * own, first.std**2 * other, constant


def _summed_pulls(overlap: Array, first: Nodes, second: Nodes, m: _Moments) -> Array:
    """Sum over j' of overlap_jj' G_jj', `[R, n, d + 1]`, without G."""
    own, other, constant = _pull_parts(first, second, m)
    vector = (overlap * own).sum(2)[:, :, None] * first.weight
    vector = vector + (overlap * other) @ second.weight
    return np.concatenate([vector, (overlap * constant).sum(2)[:, :, None]], 2)


def _nodes(stack: Stack, std: float) -> Nodes:
    weight = cast("Any", stack.weights[0].detach().cpu().double().numpy())
    bias = None
    if stack.biases:
        bias = cast("Any", stack.biases[0].detach().cpu().double().numpy())
    return Nodes(weight, bias, stack.architecture.slope, std)


def _checked(teacher: Stack, student: Stack) -> None:
    teacher.architecture.check_student(student.architecture)
    ours, theirs = student.architecture, teacher.architecture
    for name, wrong in (
        (f"{ours.depth} hidden layers", ours.depth != 1),
        ("BatchNorm", ours.batch_norm != "none" or theirs.batch_norm != "none"),
        ("different slopes", ours.slope != theirs.slope),
        ("biases in one network only", ours.bias != theirs.bias),
    ):
        if wrong:
            raise UsageError(
                f"closed-form flow with {name}",
                accepted="one hidden layer, no BatchNorm, one slope, biases in both or none",
            )


def _fan_out(stack: Stack) -> Array:
    return cast("Any", stack.weights[1].detach().cpu().double().numpy())


def _output_gap(teacher: Stack, student: Stack) -> Array:
    """c* - c, the difference of the output biases, `[R, c]`."""
    gap = teacher.biases[1] - student.biases[1]
    return cast("Any", gap.detach().cpu().double().numpy())


def expected_loss(teacher: Stack, student: Stack, std: float = 1.0) -> Array:
    """1/2 E ||y* - y||^2 of two-layer networks on x ~ N(0, std^2 I), `[R]`, without any sample.

    Args:
      teacher: R networks with one hidden layer and no BatchNorm.
      student: likewise.
      std: of the inputs.

    Raises:
      UsageError: as `kernel_velocity`.
    """
    _checked(teacher, student)
    mine, seen = _nodes(student, std), _nodes(teacher, std)
    v, v_star = _fan_out(student), _fan_out(teacher)
    cross, mean, mean_star = values(mine, seen)
    own, theirs = values(mine, mine)[0], values(seen, seen)[0]

    def weighed(left: Array, k: Array, right: Array) -> Array:
        return ((left @ k) * right).sum((1, 2))

    loss = weighed(v_star, theirs, v_star) + weighed(v, own, v) - 2 * weighed(v, cross, v_star)
    if student.biases:
        gap = _output_gap(teacher, student)
        hidden = (v_star @ mean_star[:, :, None] - v @ mean[:, :, None])[:, :, 0]
        loss = loss + (gap * (gap + 2 * hidden)).sum(1)
    return np.maximum(loss, 0) / 2  # a difference of large numbers near the end


def kernel_velocity(teacher: Stack, student: Stack, std: float = 1.0) -> Velocity:
    """Expected gradient step of two-layer networks on x ~ N(0, std^2 I), without any sample.

    Args:
      teacher: R networks with one hidden layer and no BatchNorm.
      student: likewise.
      std: of the inputs.

    Returns:
      dW_l with its bias last, in double precision, as `flow.exact_velocity`.

    Raises:
      UsageError: another depth, BatchNorm, or slopes and biases that differ.
    """
    _checked(teacher, student)
    mine, seen = _nodes(student, std), _nodes(teacher, std)
    v, v_star = _fan_out(student), _fan_out(teacher)  # [R, c, n], [R, c, m]
    to_teacher, to_self = _moments(mine, seen), _moments(mine, mine)
    cross, mean, mean_star = _values(mine, seen, to_teacher)
    own = _values(mine, mine, to_self)[0]
    up = v.transpose(0, 2, 1)
    lower = _summed_pulls(up @ v_star, mine, seen, to_teacher)  # weighted by A
    lower -= _summed_pulls(up @ v, mine, mine, to_self)  # and by B
    upper = v_star @ cross.transpose(0, 2, 1) - v @ own
    if student.biases:
        shift = _output_gap(teacher, student)
        lower += (up @ shift[:, :, None]) * _gate_means(mine)
        upper += shift[:, :, None] * mean[:, None, :]
        last = v_star @ mean_star[:, :, None] - v @ mean[:, :, None] + shift[:, :, None]
        upper = np.concatenate([upper, last], 2)
    else:
        lower = lower[:, :, :-1]
    return [torch.as_tensor(part, device=student.device) for part in (lower, upper)]


def _gate_means(nodes: Nodes) -> Array:
    """E[D_j (x, 1)], `[R, n, d + 1]`."""
    p = np.maximum(nodes.spread, LEAST)
    h = _bias(nodes) / p
    rest = 1 - nodes.slope
    vector = rest * nodes.std**2 * (_density(h) / p)[:, :, None] * nodes.weight
    return np.concatenate([vector, (nodes.slope + rest * special.ndtr(h))[:, :, None]], 2)
