"""The runs behind F12: matrix dynamics against SGD, closed-form flow against SGD, angles.

`overlay_cell`: from one start (spec 7.2), on the same batches, (a) averaged and (b) exact dynamics;
besides, exact on *other* batches (how far sampling alone drives two runs apart), exact without
renormalisation, and plain PyTorch (autograd and the textbook's step) as a check of (b).
`kernel_cell`: the closed-form flow against SGD of several batch sizes, no biases.
`angle_cell`: angles between students and teachers from a random start.

Distances are told as a share of the movement: ||W_x - W_b|| / ||W_b - W_0||, layer by layer. Below
1 the one explains part of where the other goes; at 1 it explains nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trine.core.sweep import Cell, CellResult
from trine.dynamics.architecture import Architecture
from trine.dynamics.experiments.matrix_cells import GaussianStream, log_marks, seeds_of, starts
from trine.dynamics.flow import (
    averaged_velocity,
    difference,
    divergence,
    exact_velocity,
    matrix_flow,
    move,
    normalise_columns,
    tangential,
)
from trine.dynamics.initialise import TeacherOptions, make_student, make_teacher
from trine.dynamics.kernels import expected_loss, kernel_velocity
from trine.dynamics.networks import ReluNetwork
from trine.dynamics.reference import obvious_loss
from trine.dynamics.rich_get_richer import angles
from trine.dynamics.stack import Stack

__all__ = ["BATCH_SIZES", "SERIES", "angle_cell", "kernel_cell", "overlay_cell", "theory_cell"]

BATCH, RATE, NOISE = 64, 0.05, 0.1
EVALUATION = 1_024
OTHER = "other batches"
FREE = "without renormalisation"
SERIES = ("averaged", OTHER, FREE)
"""What is compared with the exact dynamics."""
BATCH_SIZES = (16, 64, 1_024)
PLAIN_STEPS = 200
"""Steps of the comparison with plain PyTorch."""


def theory_cell(cell: Cell) -> CellResult:
    """Whatever part of F12 the cell asks for."""
    parts = {"overlay": overlay_cell, "kernel": kernel_cell, "angles": angle_cell}
    return parts[cell.parameters["part"]](cell)


def overlay_cell(cell: Cell) -> CellResult:
    """Parameters: `widths` (teacher, a list), `over`, `steps`, `bias` (a number or None)."""
    p, seeds = cell.parameters, seeds_of(cell)
    teacher, start = starts(seeds, p["over"], NOISE, widths=tuple(p["widths"]), bias=p["bias"])
    marks = log_marks(p["steps"], 40)
    d = p["widths"][0]

    def flow(variant: Any, name: str = "data", normalise: bool = True) -> Any:
        return matrix_flow(
            teacher,
            start.clone(),
            GaussianStream(seeds, BATCH, d, name=name),
            steps=p["steps"],
            rate=RATE,
            variant=variant,
            marks=marks,
            normalise=normalise,
        )

    flows = (flow("exact"), flow("averaged"), flow("exact", OTHER), flow("exact", "data", False))
    drawn = [s.generator("evaluation").standard_normal((EVALUATION, d)) for s in seeds]
    inputs = torch.as_tensor(np.stack(drawn))
    target = teacher.forward(inputs).output
    kept: dict[str, list[Tensor]] = {"raw": [], "gap": [], "cosine": [], "moved": []}
    for points in zip(*flows, strict=True):
        exact = points[0].student
        velocities = [f(teacher, exact, inputs) for f in (averaged_velocity, exact_velocity)]
        left = [tangential(velocity, exact) for velocity in velocities]
        gap, cosine = divergence(left[0], left[1])
        kept["raw"].append(divergence(velocities[0], velocities[1])[0])
        kept["gap"].append(gap)
        kept["cosine"].append(cosine)
        kept["moved"].append(difference(exact, start))
        for name, point in zip(("exact", *SERIES), points, strict=True):
            output = point.student.forward(inputs).output
            loss = 0.5 * (target - output).square().sum(2).mean(1)
            kept.setdefault(f"loss.{name}", []).append(loss)
            if name != "exact":
                kept.setdefault(f"apart.{name}", []).append(difference(point.student, exact))
    arrays: dict[str, NDArray[Any]] = {k: torch.stack(v).numpy() for k, v in kept.items()}
    arrays["steps"] = np.array(marks)
    plain = _plain_error(teacher, start, GaussianStream(seeds, BATCH, d), p["steps"])
    return CellResult({"plain_error": plain, "layers": start.architecture.depth + 1}, arrays)


def _plain_error(teacher: Stack, start: Stack, batch: GaussianStream, steps: int) -> float:
    """Largest difference between (b) and plain PyTorch, first network, first steps."""
    ours = start.select([0])
    one = teacher.select([0])
    module, judge = ReluNetwork.from_stack(ours), ReluNetwork.from_stack(one)
    for step in range(min(steps, PLAIN_STEPS)):
        inputs = batch(step)[:1]
        move(ours, exact_velocity(one, ours, inputs), RATE)
        normalise_columns(ours)
        with torch.no_grad():
            target = judge(inputs[0])
        parameters = list(module.parameters())
        loss = obvious_loss(module(inputs[0]), target, "half_sum")
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.sub_(gradient, alpha=RATE)
            for linear in module.linears:
                wide = [linear.weight]
                if start.biases:
                    wide.append(linear.bias.unsqueeze(1))
                norm = torch.cat(wide, 1).norm(dim=1, keepdim=True)
                for part in wide:  # a view of the bias
                    part.div_(norm)
    theirs = ReluNetwork.to_stack([module])
    pairs = zip([*ours.weights, *ours.biases], [*theirs.weights, *theirs.biases], strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


def kernel_cell(cell: Cell) -> CellResult:
    """Parameters: `widths`, `over`, `steps`."""
    p, seeds = cell.parameters, seeds_of(cell)
    d, nodes, outputs = p["widths"]
    architecture = Architecture(d, (nodes,), outputs, bias=False)
    teacher = Stack.concatenate([make_teacher(architecture, s) for s in seeds])
    start = Stack.concatenate([make_student(architecture.wider(p["over"]), s) for s in seeds])
    flow = start.clone()
    runs = {
        size: (start.clone(), GaussianStream(seeds, size, d, name=f"data {size}"))
        for size in BATCH_SIZES
    }
    marks = log_marks(p["steps"], 30)
    kept: dict[str, list[NDArray[Any]]] = {}
    for step in range(p["steps"] + 1):
        if step in marks:
            kept.setdefault("loss.flow", []).append(expected_loss(teacher, flow))
            kept.setdefault("moved", []).append(difference(flow, start).numpy())
            for size, (student, _) in runs.items():
                kept.setdefault(f"loss.{size}", []).append(expected_loss(teacher, student))
                kept.setdefault(f"apart.{size}", []).append(difference(student, flow).numpy())
        if step < p["steps"]:
            move(flow, kernel_velocity(teacher, flow), RATE)
            for student, stream in runs.values():
                move(student, exact_velocity(teacher, student, stream(step)), RATE)
    arrays: dict[str, NDArray[Any]] = {k: np.stack(v) for k, v in kept.items()}
    arrays["steps"] = np.array(marks)
    return CellResult({"layers": 2}, arrays)


def angle_cell(cell: Cell) -> CellResult:
    """Parameters: `widths`, `over`, `steps`. Random start, exact gradient, columns of length 1."""
    p, seeds = cell.parameters, seeds_of(cell)
    d, nodes, outputs = p["widths"]
    architecture = Architecture(d, (nodes,), outputs, bias=False)
    options = TeacherOptions()
    teacher = Stack.concatenate([make_teacher(architecture, s, options) for s in seeds])
    student = Stack.concatenate([make_student(architecture.wider(p["over"]), s) for s in seeds])
    normalise_columns(teacher)
    normalise_columns(student)
    marks = [0, *range(20, p["steps"] + 1, 20)]
    found: list[Tensor] = []
    for point in matrix_flow(
        teacher,
        student,
        GaussianStream(seeds, BATCH, d),
        steps=p["steps"],
        rate=RATE,
        variant="exact",
        marks=marks,
    ):
        mine, theirs = point.student.weights[0].unsqueeze(1), teacher.weights[0].unsqueeze(2)
        found.append(angles(mine, theirs))  # [R, m, n]
    table = torch.stack(found)
    winners = table[-1].argmin(2, keepdim=True)  # [R, m, 1]
    path = table.gather(3, winners.expand(len(marks), -1, -1, -1)).squeeze(3)
    rank = (table[0] < table[0].gather(2, winners)).sum(2)
    return CellResult(
        {"students": table.shape[3]},
        {"steps": np.array(marks), "angle": path.numpy(), "rank": rank.numpy()},
    )
