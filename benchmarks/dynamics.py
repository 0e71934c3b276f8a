"""Training speed of stacked networks against the obvious loop, one network at a time.

    .venv/bin/python -m benchmarks.dynamics            all of it, minutes; rewrites records/
    .venv/bin/python -m benchmarks.dynamics --quick    few steps, two cases, prints only

Both routes train the same students on the same samples in the same order; tests hold their
trajectories to each other. The obvious loop is `trine.dynamics.reference.train_one`: a data loader,
the teacher's forward pass, autograd, `torch.optim.SGD`. Both run on one thread of this process, in
turns; a ratio is taken within each turn, and its spread is over turns. The matrix peak is that of a
large product of the same precision, measured in the same turns.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from benchmarks.run import RECORDS, as_record, circumstances, peak_memory, quick_wanted

from trine.core.artifacts import write_json, write_text
from trine.core.executors import ProcessExecutor
from trine.core.seeding import Seeds
from trine.core.stats import summarise
from trine.core.tables import Column, Table, save_table, to_markdown
from trine.dynamics.architecture import Architecture
from trine.dynamics.batches import Batches, Order, gaussian_inputs
from trine.dynamics.initialise import (
    PAPER_TEACHER,
    TWO_LAYER_TEACHER,
    StudentOptions,
    TeacherOptions,
    make_student,
    make_teacher,
)
from trine.dynamics.networks import ReluNetwork
from trine.dynamics.reference import train_one
from trine.dynamics.stack import Stack
from trine.dynamics.training import Descent, Loss, train

HERE = Path(__file__).parent
COMMAND = "python -m benchmarks.dynamics"


@dataclass(frozen=True, slots=True)
class Case:
    """A row: one setting of the papers.

    Attributes:
      name: of the setting.
      teacher: its architecture.
      over: student width over teacher width.
      count: networks in the stack.
      samples: of each data set.
      batch_size: B.
      std: of the inputs.
      rate: learning rate.
      loss: see `trine.dynamics.training`.
      order: see `trine.dynamics.batches`.
      dtype: precision.
      options: of the teacher.
      start: of the student.
      wanted: the least ratio asked for.
      steps: of the obvious loop, of the stack, in each turn.
    """

    name: str
    teacher: Architecture
    over: int
    count: int
    samples: int
    batch_size: int
    std: float
    rate: float
    loss: Loss
    order: Order
    dtype: torch.dtype
    options: TeacherOptions
    start: StudentOptions
    wanted: float
    steps: tuple[int, int]

    @property
    def student(self) -> Architecture:
        """Architecture of the students."""
        return self.teacher.wider(self.over)

    @property
    def flops(self) -> float:
        """Multiplications and additions of one student step: forward 2, backward 4 a weight.

        The bottom layer passes nothing further down, so it has 4.
        """
        weights, first = self.student.num_weights, self.student.inputs * self.student.hidden[0]
        return self.batch_size * (6.0 * weights - 2.0 * first)


def two_layer(m: int, over: int, count: int = 32, dtype: torch.dtype = torch.float64) -> Case:
    """Tian 2020, two layers (spec 7.5)."""
    nodes = m * over
    precision = str(dtype).removeprefix("torch.")
    return Case(
        name=f"two layers, {nodes} student nodes, {precision}",
        teacher=Architecture(100, (m,), 50),
        over=over,
        count=count,
        samples=10_000,
        batch_size=16,
        std=1.5,
        rate=0.01,
        loss="half_sum",
        order="replacement",
        dtype=dtype,
        options=TWO_LAYER_TEACHER,
        start=StudentOptions("gaussian", noise=0.005),
        wanted=15.0 if nodes <= 50 else 4.0,
        steps=(400, 100),
    )


def deep(over: int = 10, count: int = 4) -> Case:
    """Tian et al. 2019, the reference deep run (spec 7.1)."""
    return Case(
        name=f"deep 10-15-20-25 x {over}, float32",
        teacher=Architecture(20, (10, 15, 20, 25), 100),
        over=over,
        count=count,
        samples=100_000,
        batch_size=64,
        std=10.0,
        rate=0.05,
        loss="mean",
        order="shuffle",
        dtype=torch.float32,
        options=PAPER_TEACHER,
        start=StudentOptions(),
        wanted=2.0,
        steps=(200, 200),
    )


SWEEP_NODES = (5, 10, 20, 25, 40, 50, 100, 200)
CASES = (
    *(two_layer(5, nodes // 5) for nodes in SWEEP_NODES),
    *(two_layer(5, nodes // 5, dtype=torch.float32) for nodes in SWEEP_NODES),
    deep(),
)

SWEEP = [m * over for m in (5, 10, 20) for over in (1, 2, 5, 10) for _ in range(6)]
"""Student nodes of the 72 configurations of Tian 2020's sweep; p does not change the shape."""
SWEEP_SEEDS, SWEEP_STEPS, CORES = 32, 100_000, 2


def cpu_seconds(work: Callable[[], Any]) -> float:
    """CPU seconds of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def matrix_peak(dtype: torch.dtype, size: int = 1024) -> float:
    """Flops a second of one large matrix product."""
    first, second = torch.randn(size, size, dtype=dtype), torch.randn(size, size, dtype=dtype)
    result = torch.empty(size, size, dtype=dtype)
    return (
        2
        * size**3
        * 2
        / cpu_seconds(lambda: [torch.mm(first, second, out=result) for _ in range(2)])
    )


def row(case: Case, turns: int) -> dict[str, Any]:
    """Measure one case.

    Returns:
      The record: student steps per CPU second both ways, their ratio, and the share of the peak.
    """
    torch.set_num_threads(1)
    before = peak_memory()
    seeds = [Seeds(seed) for seed in range(case.count)]
    teachers = Stack.concatenate(
        [make_teacher(case.teacher, s, case.options, dtype=case.dtype) for s in seeds]
    )
    students = Stack.concatenate(
        [make_student(case.student, s, case.start, dtype=case.dtype) for s in seeds]
    )
    kind = np.float32 if case.dtype == torch.float32 else np.float64
    batches = Batches(
        gaussian_inputs(case.teacher.inputs, case.std, kind), teachers, seeds,
        samples=case.samples, batch_size=case.batch_size, order=case.order,
    )  # fmt: skip
    inputs, order = batches.inputs(), batches.indices(0)
    alone, teacher = ReluNetwork.from_stack(students, 0), ReluNetwork.from_stack(teachers, 0)
    chosen = order[0, : case.steps[0] * case.batch_size].tolist()
    marks = [case.steps[1] * turn for turn in range(1, 10 * turns)]

    def obvious() -> None:
        for _ in train_one(
            alone, teacher, inputs[0], chosen, batch_size=case.batch_size, rate=case.rate,
            loss=case.loss,
        ):  # fmt: skip
            pass

    stacked = train(students, batches, Descent(case.rate, case.loss), epochs=10**6, marks=marks)
    next(stacked)  # memory is touched, kernels are compiled; the same for the other
    obvious()
    plain: list[float] = []
    ours: list[float] = []
    peak: list[float] = []
    last = next(stacked).step
    for _ in range(turns):
        plain.append(case.steps[0] / cpu_seconds(obvious))
        points: list[int] = []
        spent = cpu_seconds(lambda kept=points: kept.append(next(stacked).step))
        ours.append((points[0] - last) * case.count / spent)
        last = points[0]
        peak.append(matrix_peak(case.dtype))
    plain_rate, our_rate, best = np.array(plain), np.array(ours), np.array(peak)
    return {
        "metric": "student steps per CPU second of one core",
        "case": case.name,
        "nodes": sum(case.student.hidden),
        "precision": str(case.dtype).removeprefix("torch."),
        "count": case.count,
        "turns": turns,
        "plain": as_record(summarise(plain_rate)),
        "ours": as_record(summarise(our_rate)),
        "ratio": as_record(summarise(our_rate / plain_rate)),
        "wanted": case.wanted,
        "gigaflops": as_record(summarise(our_rate * case.flops / 1e9)),
        "peak_gigaflops": as_record(summarise(best / 1e9)),
        "peak_share": as_record(summarise(our_rate * case.flops / best)),
        "memory_bytes": peak_memory() - before,
    }


def table(rows: list[dict[str, Any]]) -> Table:
    """One line a case."""

    def text(record: dict[str, Any], digits: int) -> str:
        error = record["standard_error"]
        tail = "" if error is None else f" ± {error:,.{digits}f}"
        return f"{record['mean']:,.{digits}f}{tail}"

    frame = pl.DataFrame(
        {
            "case": [r["case"] for r in rows],
            "count": [r["count"] for r in rows],
            "plain": [text(r["plain"], 0) for r in rows],
            "ours": [text(r["ours"], 0) for r in rows],
            "ratio": [text(r["ratio"], 2) for r in rows],
            "wanted": [r["wanted"] for r in rows],
            "gigaflops": [text(r["gigaflops"], 1) for r in rows],
            "share": [text(r["peak_share"], 2) for r in rows],
            "memory": [r["memory_bytes"] / 2**20 for r in rows],
        }
    )
    columns = (
        Column("case"), Column("count", "networks"),
        Column("plain", "obvious loop, steps/s"), Column("ours", "stack, student steps/s"),
        Column("ratio", highlight=True), Column("wanted", "asked for", ".0f"),
        Column("gigaflops", "Gflop/s"), Column("share", "share of matrix peak"),
        Column("memory", "memory, MiB", ",.0f"),
    )  # fmt: skip
    return Table(
        frame, "Student steps per CPU second of one core", columns,
        f"Mean ± standard error over {rows[0]['turns']} turns. Memory: data sets, targets and "
        "networks of the whole stack, above an empty process.",
    )  # fmt: skip


def sweep_hours(rows: list[dict[str, Any]], way: str, precision: str = "float64") -> float:
    """Hours that Tian 2020's whole two-layer sweep takes on two cores at the measured rates."""
    rates = {
        r["nodes"]: r[way]["mean"]
        for r in rows
        if r["case"].startswith("two layers") and r["precision"] == precision
    }
    seconds = sum(SWEEP_SEEDS * SWEEP_STEPS / rates[nodes] for nodes in SWEEP)
    return seconds / CORES / 3600


def main(arguments: list[str]) -> int:
    """Run the cases; returns the exit code."""
    quick = quick_wanted(arguments)
    if quick is None:
        return 2
    rows: list[dict[str, Any]] = []
    for case in (CASES[0], CASES[-1]) if quick else CASES:
        # A process of its own: its memory is the case's, and its libraries use one thread.
        measure = partial(row, turns=2 if quick else 10)
        rows += [made for _, made in ProcessExecutor(1).run(measure, [case])]
        print(f"{case.name}: {rows[-1]['ratio']['mean']:.1f} times", file=sys.stderr)
    made = table(rows)
    print(to_markdown(made))
    if quick:
        return 0
    ours, plain = sweep_hours(rows, "ours"), sweep_hours(rows, "plain")
    single = sweep_hours(rows, "ours", "float32")
    sentence = (
        f"The two-layer sweep of Tian 2020 (72 settings x {SWEEP_SEEDS} seeds x {SWEEP_STEPS:,} "
        f"steps) at these rates: {ours:.2f} hours on {CORES} cores in double precision, "
        f"{single:.2f} in single; {plain:.1f} with the obvious loop. Evaluation is left out."
    )
    print(sentence)
    shared = circumstances() | {"command": COMMAND, "torch": torch.__version__}
    shared |= {"sweep_hours": f"{ours:.3f}", "sweep_hours_obvious_loop": f"{plain:.3f}"}
    for record in rows:
        name = record["case"].replace(",", "").replace(" ", "-")
        write_json(RECORDS / f"dynamics-{name}.json", record | shared)
    save_table(made, RECORDS, "dynamics")
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    begin, end = "<!-- dynamics -->\n", "<!-- end of dynamics -->\n"
    head, rest = readme.split(begin)
    text = head + begin + "\n" + to_markdown(made) + "\n" + sentence + "\n\n" + end
    write_text(HERE / "README.md", text + rest.split(end)[1])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
