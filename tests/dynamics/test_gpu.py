"""The same stack trained on the CPU and on a GPU, where there is one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trine.core.seeding import Seeds
from trine.dynamics.assembly import (
    batches_of,
    descent_of,
    evaluation_inputs,
    students_of,
    teachers_of,
)
from trine.dynamics.config import make_run_config
from trine.dynamics.counterfactual import run_counterfactuals
from trine.dynamics.measures.matching import match_stacks
from trine.dynamics.training import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
]

# Double precision and few steps: rounding of another order of sums stays small.
SMALL = make_run_config(
    "deep", teacher="3-4", inputs=6, outputs=20, over=6, epochs=1, dtype="float64",
    data={"std": 3.0, "samples": 640, "evaluation": 300}, descent={"batch": 32},
)  # fmt: skip


def test_a_stack_trains_on_a_gpu_as_on_the_cpu() -> None:
    seeds = [Seeds(0), Seeds(1)]

    def trained(device: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
        teachers, inputs = teachers_of(SMALL, seeds), evaluation_inputs(SMALL, seeds)
        students = students_of(SMALL, seeds, teachers).to(device)
        teachers, inputs = teachers.to(device), inputs.to(device)
        batches = batches_of(SMALL, teachers, seeds)
        for _ in train(students, batches, descent_of([SMALL] * 2), epochs=SMALL.epochs):
            pass
        assert students.device.type == device
        matching = match_stacks(teachers, students, inputs)
        return students.arrays(), matching.correlation[1].numpy()

    (here, near), (there, far) = trained("cpu"), trained("cuda")
    for name, array in here.items():
        np.testing.assert_allclose(there[name], array, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(far, near, atol=1e-6)


def test_counterfactuals_on_a_gpu_are_those_of_the_cpu() -> None:
    here, there = (
        run_counterfactuals(SMALL.model_copy(update={"device": device}), 0)
        for device in ("cpu", "cuda")
    )
    assert there["winner"].to_list() == here["winner"].to_list()
