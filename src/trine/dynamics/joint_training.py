"""Many networks of equal shape trained as one stack: the engine of sweeps and of P2's figures.

Members of equal shape (see `stack_plan`) share a `Stack` and are trained by the same batched matrix
products, so that a grid of settings times seeds costs little more than its arithmetic.

A member's numbers do not depend on its company, rounding aside: teacher, data, order and start come
from named streams of its own seed. If the loss of one stops being finite, the epoch is trained
again without it from the epoch's start, and the others do not notice.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trine.core.artifacts import read_arrays, read_metadata, write_arrays
from trine.core.errors import DataError
from trine.core.sweep import Cell, CellResult
from trine.dynamics.assembly import (
    descent_of,
    evaluation_inputs,
    input_draw,
    pick_device,
    student_of,
    teacher_of,
)
from trine.dynamics.augmentation import agnostic_inputs, teacher_inputs
from trine.dynamics.batches import Batches, Draw
from trine.dynamics.snapshots import Evaluation, Records
from trine.dynamics.stack import Stack
from trine.dynamics.stack_plan import Member, members_of
from trine.dynamics.training import Descent, Diverged, train
from trine.dynamics.two_layer import Setting, turn_signs_

__all__ = ["seconds_per_step", "train_cell", "train_together"]

SAVE_EVERY = 60.0  # seconds between checkpoints

_logger = logging.getLogger(__name__)


def train_cell(cell: Cell, checkpoints: Path) -> CellResult:
    """Trains the members of a cell; a function for `trine.core.sweep.sweep`.

    Args:
      cell: of `plan_stacks`.
      checkpoints: directory for the state of an unfinished training.
    """
    members = members_of(cell)
    started = time.process_time()
    place = checkpoints / f"{cell.file_name}.safetensors"
    records = train_together(members, place)
    diverged = int((records.arrays["diverged_step"] >= 0).sum())
    values = {
        "members": len(members),
        "diverged": diverged,
        "cpu_seconds": time.process_time() - started,
    }
    place.unlink(missing_ok=True)
    return CellResult(values, records.arrays)


def train_together(members: Sequence[Member], checkpoint: Path | None = None) -> Records:
    """Trains members of equal shape to the end and returns what was measured.

    Args:
      members: with settings of one shape.
      checkpoint: file for the state, written about once a minute and used to go on.
    """
    setting = members[0].setting
    state = _State.load(members, checkpoint) or _State.fresh(members)
    saved = time.monotonic()
    while state.networks and state.epoch < setting.epochs:
        held = state.student.clone()
        chosen = [members[k] for k in state.networks]
        batches, evaluation = _data(chosen)
        if state.epoch == 0:
            state.look(evaluation, 0, None)
        try:
            for point in train(
                state.student,
                batches,
                _descent(chosen),
                epochs=setting.epochs,
                start=state.epoch,
            ):
                state.epoch = round(point.epoch)
                state.look(evaluation, state.epoch, point.loss)
                held = state.student.clone()
                if checkpoint is not None and time.monotonic() - saved > SAVE_EVERY:
                    state.save(checkpoint)
                    saved = time.monotonic()
        except Diverged as error:
            _logger.warning("%s, seed %d", error, chosen[error.network].seed)
            state.student = held
            state.drop(error.network, error.step)
    return state.records


def seconds_per_step(members: Sequence[Member], *, budget: float = 0.4) -> float:
    """Measured wall-clock seconds of one step of one network, trained in this company.

    Args:
      members: of equal shape; they are trained for about `budget` seconds on small data.
      budget: seconds.
    """
    marks = [4 * 2**k for k in range(10)]
    small: list[Member] = []
    for member in members:
        data, batch = member.setting.data, member.setting.descent.batch
        most = data.samples if data.order == "full" else max(4096, batch)
        steps = {"samples": min(data.samples, most), "steps_per_epoch": marks[-1], "evaluation": 2}
        if data.order != "full":
            steps["order"] = "replacement"
        shorter = {"data": data.model_copy(update=steps), "epochs": 1}
        small.append(Member(member.setting.model_copy(update=shorter), member.seed))
    student = _State.fresh(small).student
    batches, _ = _data(small)
    first: tuple[int, float] | None = None
    last = (0, 0.0)
    # A rate that diverges takes as long as one that does not.
    descent = replace(_descent(small), rate=1e-6)
    for point in train(student, batches, descent, epochs=1, marks=marks):
        now = time.perf_counter()
        last = (point.step, now)
        first = first or last
        if point.step > first[0] and now - first[1] > budget:
            break
    assert first is not None
    return (last[1] - first[1]) / ((last[0] - first[0]) * len(members))


class _State:
    """Where a training is: the networks that are still in it, their weights, what was measured."""

    def __init__(
        self,
        members: Sequence[Member],
        networks: list[int],
        student: Stack,
        epoch: int,
        records: Records,
    ) -> None:
        self.members, self.networks = members, networks
        self.student, self.epoch, self.records = student, epoch, records

    @classmethod
    def fresh(cls, members: Sequence[Member]) -> _State:
        students = [_student(member) for member in members]
        records = Records(members[0].setting, len(members))
        stack = Stack.concatenate(students).to(pick_device(members[0].setting.device))
        return cls(members, list(range(len(members))), stack, 0, records)

    @classmethod
    def load(cls, members: Sequence[Member], path: Path | None) -> _State | None:
        """The state that was saved for these very members, if there is one."""
        if path is None or not path.is_file():
            return None
        setting = members[0].setting
        try:
            facts, arrays = read_metadata(path), read_arrays(path)
            if facts.get("members") != _identity(members):
                return None
            student = {
                name.removeprefix("student."): arrays.pop(name)
                for name in list(arrays)
                if name.startswith("student.")
            }
            networks = [int(k) for k in arrays.pop("networks")]
            device = pick_device(setting.device)
            stack = Stack.from_arrays(setting.student_architecture, student, device=device)
            records = Records(setting, len(members), arrays)
            return cls(members, networks, stack, int(facts["epoch"]), records)
        except (DataError, KeyError, ValueError) as error:
            _logger.warning("starting again, the checkpoint cannot be used: %s", error)
            return None

    def save(self, path: Path) -> None:
        arrays: dict[str, NDArray[Any]] = {
            **{f"student.{name}": array for name, array in self.student.arrays().items()},
            **self.records.arrays,
            "networks": np.asarray(self.networks, dtype=np.int64),
        }
        facts = {"epoch": str(self.epoch), "members": _identity(self.members)}
        write_arrays(path, arrays, facts)

    def look(self, evaluation: Evaluation, epoch: int, loss: torch.Tensor | None) -> None:
        """Measures what this epoch asks for."""
        nodes = epoch in self.records.snapshots
        if epoch not in self.records.curve:
            return
        first = self.members[self.networks[0]]
        losses, compared = evaluation.look(
            self.student, nodes=nodes, seeds=first.seeds.child(epoch)
        )
        self.records.keep_losses(epoch, self.networks, losses, loss)
        if nodes:
            self.records.keep_nodes(epoch, self.networks, compared)

    def drop(self, place: int, step: int) -> None:
        """Takes a network out that has diverged."""
        self.records.arrays["diverged_step"][self.networks.pop(place)] = step
        left = [k for k in range(self.student.count) if k != place]
        if left:
            self.student = self.student.select(left)


def _identity(members: Sequence[Member]) -> str:
    return json.dumps([[member.setting.text, member.seed] for member in members])


def _descent(members: Sequence[Member]) -> Descent:
    return descent_of([member.setting for member in members])


def _student(member: Member) -> Stack:
    teacher = teacher_of(member.setting, member.seeds)
    student = student_of(member.setting, member.seeds, teacher)
    turn_signs_(student, teacher, member.setting.signs)
    return student


def _draw(setting: Setting, teacher: Stack) -> Draw:
    if setting.augmentation == "teacher":
        return teacher_inputs(teacher, setting.data.std)
    if setting.augmentation == "agnostic":
        return agnostic_inputs(setting.inputs, setting.data.std)
    return input_draw(setting)


def _data(members: Sequence[Member]) -> tuple[Batches, Evaluation]:
    """Training and evaluation data; members that can share a data set do."""
    shared = members[0].setting
    device = pick_device(shared.device)
    sets: dict[str, int] = {}
    source: list[int] = []
    firsts: list[Member] = []
    for member in members:
        plain = member.setting.model_dump(mode="json")
        parts = ("data", "teacher_start", "augmentation", "label_noise")
        key = json.dumps([member.seed, *(plain[part] for part in parts)])
        if key not in sets:
            sets[key] = len(firsts)
            firsts.append(member)
        source.append(sets[key])
    single = [teacher_of(member.setting, member.seeds) for member in firsts]
    teachers = Stack.concatenate(single).to(device)
    data = shared.data
    batches = Batches(
        [_draw(member.setting, teacher) for member, teacher in zip(firsts, single, strict=True)],
        teachers,
        [member.seeds for member in firsts],
        samples=data.samples,
        batch_size=shared.descent.batch,
        order=data.order,
        steps_per_epoch=data.steps_per_epoch,
        fresh=data.fresh,
        source=source,
        label_noise=[member.setting.label_noise for member in firsts],
    )
    looked: dict[tuple[int, float, str], int] = {}
    drawn: list[torch.Tensor] = []
    places: list[int] = []
    for member in members:
        kind = member.setting.data
        key = (member.seed, kind.std, kind.distribution)
        if key not in looked:
            looked[key] = len(drawn)
            drawn.append(evaluation_inputs(member.setting, [member.seeds])[0].to(device))
        places.append(looked[key])
    evaluation = Evaluation(
        torch.stack(drawn), places, batches.network_teachers, shared.descent.loss
    )
    return batches, evaluation
