"""Which networks are trained together: members of equal shape, in stacks of a good size.

A *member* is a setting with a seed. Members of equal shape (same layers, batches, loss and
schedule; any teacher, data, rate and start) can share a `Stack`.

**Size of a stack.** On a CPU a stack is a piece of work for one core: 4 to 32 networks, as many as
fit 2.5 MiB of weights. What is trained by stacked products (BatchNorm, unit rows, cross-entropy)
then stays in the core's cache; everything else is trained in blocks, one network after the other
(`block`), and the size only sets how evenly cores are loaded. On a GPU it is memory alone.

**Memory** is that of the data: N (d + c) + E d numbers a data set (the two-layer setting in double
precision: 20 MB), at most `memory` bytes a stack.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trine.core.seeding import Seeds
from trine.core.sweep import Cell
from trine.dynamics.assembly import pick_device
from trine.dynamics.deep_specialisation import make_setting
from trine.dynamics.two_layer import Setting

__all__ = [
    "GIB",
    "Member",
    "data_bytes",
    "members_of",
    "plan_stacks",
    "shape_of",
    "stack_size",
]

GIB = 2**30
CACHE = 2.5 * 2**20


@dataclass(frozen=True, slots=True)
class Member:
    """One network to train: a setting and a seed."""

    setting: Setting
    seed: int

    @property
    def seeds(self) -> Seeds:
        """Its named generators."""
        return Seeds(self.seed)


def shape_of(setting: Setting) -> str:
    """Settings with the same text can share a stack."""
    plain = setting.model_dump(mode="json")
    for name in (
        "seeds", "first_seed", "teacher", "over", "student", "teacher_start", "student_start",
        "signs", "augmentation", "label_noise",
    ):  # fmt: skip
        del plain[name]
    del plain["descent"]["rate"], plain["data"]["std"], plain["data"]["distribution"]
    plain["widths"] = [setting.teacher_architecture.widths, setting.student_architecture.widths]
    return json.dumps(plain, sort_keys=True)


def data_bytes(setting: Setting) -> int:
    """Memory of the training and evaluation data of one network that shares them with none."""
    data = setting.data
    numbers = data.samples * (setting.inputs + setting.outputs) + data.evaluation * setting.inputs
    return numbers * _item(setting)


def _item(setting: Setting) -> int:
    return 8 if setting.dtype == "float64" else 4


def stack_size(setting: Setting, *, memory: float = GIB) -> int:
    """How many networks to train together; see the module."""
    fitting = max(1, int(memory // data_bytes(setting)))
    weights = setting.student_architecture.num_weights * _item(setting)
    if pick_device(setting.device) == "cuda":
        return fitting
    return min(fitting, max(4, min(32, int(CACHE // weights))))


def plan_stacks(
    settings: Sequence[Setting], seeds: Sequence[int], *, memory: float = GIB
) -> list[Cell]:
    """Settings times seeds as cells of `trine.core.sweep`, each a stack; the longest first.

    Args:
      settings: of any shapes.
      seeds: the same for all.
      memory: bytes of data a stack may hold.
    """
    shapes: dict[str, list[int]] = {}
    for index, setting in enumerate(settings):
        shapes.setdefault(shape_of(setting), []).append(index)
    cells: list[tuple[float, Cell]] = []
    for indices in shapes.values():
        first = settings[indices[0]]
        size = stack_size(first, memory=memory)
        together = max(1, size // len(seeds))  # settings that are few seeds share a stack
        for start in range(0, len(indices), together):
            some = indices[start : start + together]
            networks = [(index, seed) for index in some for seed in seeds]
            parts = -(-len(networks) // size)
            for part in np.array_split(np.arange(len(networks)), parts):
                chosen = [networks[int(k)] for k in part]
                cells.append((len(chosen) * work_of(first), _cell(settings, chosen)))
    cells.sort(key=lambda pair: -pair[0])
    return [cell for _, cell in cells]


def work_of(setting: Setting) -> float:
    """Floating-point operations of the training of one network."""
    steps = setting.epochs * setting.steps_per_epoch
    batch = setting.data.samples if setting.data.order == "full" else setting.descent.batch
    return 6.0 * batch * setting.student_architecture.num_weights * steps


def _cell(settings: Sequence[Setting], networks: Sequence[tuple[int, int]]) -> Cell:
    used = sorted({index for index, _ in networks})
    places = {index: place for place, index in enumerate(used)}
    first = settings[used[0]]
    parameters = {
        "what": f"{first.label}",
        "settings": [settings[index].text for index in used],
        "networks": [[places[index], seed] for index, seed in networks],
    }
    return Cell(parameters, networks[0][1])


def members_of(cell: Cell) -> list[Member]:
    """The members of a cell of `plan_stacks`, in the order of the arrays."""
    made = [json.loads(text) for text in cell.parameters["settings"]]
    settings = [make_setting(str(values.pop("setup")), values) for values in made]
    return [Member(settings[place], seed) for place, seed in cell.parameters["networks"]]
