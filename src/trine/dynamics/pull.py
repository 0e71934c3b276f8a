"""Who pulls whom: every teacher node's and every student node's share of every student gradient.

By the identity (`identity`), the update of the incoming weights of student node j of layer l (its
bias included) is a sum over nodes:

    dW_j = E_x[ g_j f_{l-1}^T ] = sum_j' T_jj' + sum_k S_jk + C_j
    T_jj' =  E_x[ D_j A_jj' f*_j' f_{l-1}^T ]     teacher node j' attracts
    S_jk  = -E_x[ D_j B_jk f_k f_{l-1}^T ]        student node k (j itself too) repels
    C_j   =  E_x[ D_j (V^T (c* - c))_j f_{l-1}^T ]  biases above the layer

Each is a vector. Logged are numbers:

    teacher_pull   [R, n, m]  T_jj' . u_j, u_j the unit vector along dW_j
    student_pull   [R, n, n]  S_jk . u_j
    constant_pull  [R, n]     C_j . u_j
    total          [R, n]     ||dW_j||: the sum of the three over all nodes, exactly

A share is one of these over the total; shares sum to 1, and a negative one works against the move
that is made. u_j is where the node goes, which need not be where a teacher node is. Therefore also

    attraction     [R, n, m]  T_jj' . q_j', what teacher node j' itself does for the move to it
    drift          [R, n, m]  dW_j . q_j', the whole move to it

with q_j' the unit vector along E_x[ f*_j' f_{l-1} ], the direction in which the pre-activation of
a student node gains most covariance with the activity of j'. A lucky node has a large drift to its
teacher node, and attraction - drift is what all the others take away from it.

Loss: 1/2 ||y* - y||^2, mean over samples. The trick that makes it cheap: with s_j(x) = u_j .
f_{l-1}(x), the sum of T_jj'(x) . u_j over samples is a product of (s D V) `[R, n, B c]` and (V* f*)
`[R, B c, m]`; no vector T is ever made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trine.dynamics.identity import (
    MOST_PATHS,
    GradientIdentity,
    downstream_of_stack,
    gradient_identity,
    parts,
    with_one,
)
from trine.dynamics.projection import fold_batch_norm
from trine.dynamics.stack import Stack, Trace

__all__ = ["LayerPull", "Pull", "contributions", "pull_of"]


@dataclass(frozen=True, slots=True)
class LayerPull:
    """The pulls on the nodes of one hidden layer; see the module.

    Attributes:
      teacher_pull: `[R, n, m]`.
      student_pull: `[R, n, n]`; entry (j, k) is what student node k does to student node j.
      constant_pull: `[R, n]`.
      total: `[R, n]`.
      beta: `[R, n]`, E_x beta_jj, squared downstream influence of the node.
      attraction: `[R, n, m]`; empty where it is not defined (`gradient_decomposition`).
      drift: `[R, n, m]`; likewise.
    """

    teacher_pull: Tensor
    student_pull: Tensor
    constant_pull: Tensor
    total: Tensor
    beta: Tensor
    attraction: Tensor
    drift: Tensor

    @property
    def teacher_share(self) -> Tensor:
        """`[R, n, m]`: with `student_share` and `constant_share`, sums to 1 for every node j."""
        return _over(self.teacher_pull, self.total.unsqueeze(2))

    @property
    def student_share(self) -> Tensor:
        """`[R, n, n]`."""
        return _over(self.student_pull, self.total.unsqueeze(2))

    @property
    def constant_share(self) -> Tensor:
        """`[R, n]`."""
        return _over(self.constant_pull, self.total)

    def to_winner(self, winners: Tensor) -> tuple[Tensor, Tensor]:
        """Attraction and drift between each teacher node and its winner.

        Args:
          winners: `[R, m]`, student nodes, e.g. `Matching.winners(layer)` at the end of training.

        Returns:
          Two `[R, m]`: compare with the median over student nodes, `attraction.median(1)`.
        """
        index = winners.to(self.drift.device).unsqueeze(1)
        return self.attraction.gather(1, index).squeeze(1), self.drift.gather(1, index).squeeze(1)


def _over(values: Tensor, total: Tensor) -> Tensor:
    """A node that does not move has no shares: 0."""
    return torch.where(total > 0, values / total.clamp_min(torch.finfo(total.dtype).tiny), 0.0)


@dataclass(frozen=True, slots=True)
class Pull:
    """The pulls of all hidden layers at one moment of training.

    Attributes:
      layers: bottom first.
      samples: how many it is the mean of.
    """

    layers: list[LayerPull]
    samples: int

    def arrays(self, *, full: bool = False) -> dict[str, np.ndarray[Any, Any]]:
        """Single-precision arrays by name (`teacher_pull.0`, ...), for a checkpoint or log.

        Args:
          full: with `student_pull` `[R, n, n]`; else only its diagonal `self_pull` `[R, n]` and
            the sum of the others `others_pull` `[R, n]`.
        """
        found: dict[str, np.ndarray[Any, Any]] = {}

        def put(name: str, layer: int, values: Tensor) -> None:
            found[f"{name}.{layer}"] = values.detach().float().cpu().numpy().copy()

        for number, layer in enumerate(self.layers):
            own = layer.student_pull.diagonal(dim1=1, dim2=2)
            if full:
                put("student_pull", number, layer.student_pull)
            else:
                put("self_pull", number, own)
                put("others_pull", number, layer.student_pull.sum(2) - own)
            for name in (
                "teacher_pull",
                "constant_pull",
                "total",
                "beta",
                "attraction",
                "drift",
            ):
                values: Tensor = getattr(layer, name)
                if values.numel():
                    put(name, number, values)
        return found


def pull_of(teacher: Stack, student: Stack, inputs: Tensor) -> Pull:
    """The pulls on every hidden node, at any moment of training, on any samples.

    Networks with BatchNorm are taken in evaluation mode, with BatchNorm folded into the weights
    (`fold_batch_norm`): the pulls are then on the folded weights.

    Args:
      teacher: R networks.
      student: R networks of the same depth; unchanged.
      inputs: `[R, B, d]` or `[1, B, d]`, e.g. 256 evaluation samples. Cost is about 2 R B c n
        (n + 2 m) operations a layer (without the factor c at the top); V is bounded by `parts`.

    Raises:
      UsageError: stacks that do not fit each other.
    """
    teacher.architecture.check_student(student.architecture)
    teacher, student = fold_batch_norm(teacher), fold_batch_norm(student)
    inputs = inputs.expand(student.count, -1, -1)
    samples = inputs.shape[1]
    seen, shown = teacher.forward(inputs), student.forward(inputs)
    directions = student.directions(shown, seen.output - shown.output)
    updates: list[Tensor] = []  # dW_l, bias last, [R, n, k]
    units: list[Tensor] = []
    toward: list[Tensor] = []  # q, [R, m, k]
    for layer in range(student.architecture.depth):
        below = _below(student, shown, layer)
        updates.append(directions[layer].transpose(1, 2) @ below / samples)
        units.append(_unit(updates[-1]))
        toward.append(_unit(seen.post[layer].transpose(1, 2) @ below))
    sums: list[dict[str, Tensor]] = [{} for _ in units]
    for part in parts(samples, teacher, student, most=MOST_PATHS):
        some = inputs[:, part]
        trace = student.forward(some)
        identity = GradientIdentity(
            downstream_of_stack(teacher, teacher.forward(some)), downstream_of_stack(student, trace)
        )
        for layer, total in enumerate(sums):
            below = _below(student, trace, layer)
            moved = below @ units[layer].transpose(1, 2)  # u_j . f_{l-1}(x), [R, B, n]
            drawn = below @ toward[layer].transpose(1, 2)  # q_j' . f_{l-1}(x), [R, B, m]
            for name, value in _layer_sums(identity, layer, moved, drawn).items():
                total[name] = total[name] + value if name in total else value
    return Pull(
        [
            LayerPull(
                **{name: value / samples for name, value in total.items()},
                total=update.norm(dim=2),
                drift=update @ direction.transpose(1, 2),
            )
            for total, update, direction in zip(sums, updates, toward, strict=True)
        ],
        samples,
    )


def _below(stack: Stack, trace: Trace, layer: int) -> Tensor:
    """What the layer reads, with a 1 for its bias if it has one: `[R, B, k]`."""
    return with_one(trace.post[layer - 1] if layer else trace.inputs, stack)


def _unit(vectors: Tensor) -> Tensor:
    norm = vectors.norm(dim=2, keepdim=True)
    return torch.where(norm > 0, vectors / norm.clamp_min(torch.finfo(norm.dtype).tiny), 0.0)


def _layer_sums(
    identity: GradientIdentity, layer: int, moved: Tensor, drawn: Tensor
) -> dict[str, Tensor]:
    """Sums over samples of the projected pulls on one layer."""
    teacher, student = identity.teacher, identity.student
    v, v_star = student.columns[layer], teacher.columns[layer]
    constant = identity.residual_constant(layer)
    gate, post, post_star = student.gate[layer], student.post[layer], teacher.post[layer]
    weighted = gate * moved
    if v.shape[1] == 1:  # the top: A and B do not depend on the sample
        v, v_star = v.squeeze(1), v_star.squeeze(1)
        cross, own = v.transpose(1, 2) @ v_star, v.transpose(1, 2) @ v
        left = weighted.transpose(1, 2)
        return {
            "teacher_pull": cross * (left @ post_star),
            "student_pull": -own * (left @ post),
            "constant_pull": weighted.sum(1) * (constant @ v).squeeze(1),
            "beta": v.square().sum(1) * len(gate[0]),
            "attraction": cross * (gate.transpose(1, 2) @ (post_star * drawn)),
        }
    gated = v * gate.unsqueeze(2)  # [R, B, c, n]
    left = (gated * moved.unsqueeze(2)).flatten(1, 2).transpose(1, 2)  # [R, n, B c]
    paths = v_star * post_star.unsqueeze(2)  # [R, B, c, m]
    return {
        "teacher_pull": left @ paths.flatten(1, 2),
        "student_pull": -left @ (v * post.unsqueeze(2)).flatten(1, 2),
        "constant_pull": (left @ constant.expand(v.shape[:3]).reshape(len(v), -1, 1)).squeeze(2),
        "beta": student.beta(layer).sum(1),
        "attraction": gated.flatten(1, 2).transpose(1, 2)
        @ (paths * drawn.unsqueeze(2)).flatten(1, 2),
    }


def contributions(
    teacher: Stack, student: Stack, inputs: Tensor, layer: int
) -> tuple[Tensor, Tensor, Tensor]:
    """T, S and C of the module as vectors, from A and B: the obvious way, for small networks.

    Args:
      teacher: R networks without BatchNorm.
      student: likewise.
      inputs: `[R, B, d]`; A and B of all samples are held at once.
      layer: from 0.

    Returns:
      `[R, n, m, k]`, `[R, n, n, k]` and `[R, n, k]`, k the incoming weights and, if there is one,
      the bias, which comes last. They sum to the gradient step of node j.
    """
    identity = gradient_identity(teacher, student, inputs)
    below = _below(student, student.forward(inputs), layer)
    mine = identity.student
    gated_below = mine.gate[layer].unsqueeze(3) * below.unsqueeze(2) / inputs.shape[1]
    attracted = identity.student_teacher(layer) * identity.teacher.post[layer].unsqueeze(2)
    repelled = -identity.student_student(layer) * mine.post[layer].unsqueeze(2)
    constant = (mine.columns[layer] * identity.residual_constant(layer).unsqueeze(3)).sum(2)
    return (
        torch.einsum("rbji,rbjk->rjik", attracted, gated_below),
        torch.einsum("rbji,rbjk->rjik", repelled, gated_below),
        torch.einsum("rbj,rbjk->rjk", constant.expand(mine.gate[layer].shape), gated_below),
    )
