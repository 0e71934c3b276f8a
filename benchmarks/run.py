"""Speed of CFR and joint policy search, and how time and memory grow with the game.

    make benchmark                          all of it, a few minutes; rewrites benchmarks/
    .venv/bin/python benchmarks/run.py --quick    small sizes and few seeds, prints only

Two parts. *Speed*: CPU seconds per seed of 1000 iterations of CFR and joint policy search to
convergence. *Growth*: seconds per iteration and per search step, bytes per state and peak memory
over sizes, each size in a process of its own. Starting up, compiling and (except for peak memory)
building the tree are left out. Every number comes with its standard error over seeds.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure

import trine
from trine.core.artifacts import write_json, write_text
from trine.core.figures import PALETTE, house_style, save_figure
from trine.core.seeding import Seeds
from trine.core.stats import Summary, summarise
from trine.core.tables import Column, Table, save_table, to_markdown
from trine.games.catalog import make_game
from trine.games.cfr import PAPER_CFR, cfr
from trine.games.jps import joint_policy_search
from trine.games.tree import Tree, build_tree

HERE = Path(__file__).parent
RECORDS = HERE / "records"
COMMAND = "make benchmark"
MOST_STEPS = 10_000
"""No search comes near: the benchmark is to convergence."""


@dataclass(frozen=True, slots=True)
class SpeedCase:
    """A row of the speed table; seconds as (total, search alone).

    Attributes:
      name: of the game.
      size: of the game.
      depth: search depth D, 0 to the end.
      ceilings: what must not be exceeded, CPU seconds.
      authors: what the authors' C++ took on a loaded core, CPU seconds in words.
    """

    name: str
    size: int
    depth: int
    ceilings: tuple[float, float | None]
    authors: str


SPEED_CASES = (
    SpeedCase("simple-bidding", 16, 3, (5, 4), "66 / 64"),
    SpeedCase("comm", 6, 0, (12, 4), "173 / 164"),
    SpeedCase("comm", 7, 0, (120, 20), "search unfinished after 129"),
    SpeedCase("two-suit-bridge", 5, 3, (8, 3), "38 / 17"),
    SpeedCase("simple-bidding", 32, 3, (120, None), "one search step took 34"),
)

# Game and depth -> sizes, smallest first.
GROWTH_CASES = {
    ("comm", 0): (3, 4, 5, 6, 7, 8),
    ("simple-bidding", 3): (4, 8, 16, 32, 64),
    ("two-suit-bridge", 3): (3, 4, 5, 6, 7),
}
GROWTH_ITERATIONS, GROWTH_STEPS = 200, 10
QUICK_SIZES = 3
"""With `--quick` only so many of the sizes are run."""


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process (all threads), and the result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def solve(
    tree: Tree, depth: int, seed: int, iterations: int, steps: int
) -> tuple[float, float, float, int]:
    """CFR, then joint policy search; returns seconds of both, the value and the steps taken."""
    seeds = Seeds(seed)
    start, result = cpu_seconds(
        lambda: cfr(tree, iterations, variant=PAPER_CFR, generator=seeds.generator("cfr"))
    )
    search, found = cpu_seconds(
        lambda: joint_policy_search(
            tree, result.current, depth=depth, iterations=steps, generator=seeds.generator("jps")
        )
    )
    return start, search, found.value, len(found.predicted_gains)


def warm_up() -> None:
    """Compile everything, so that no row pays for it."""
    for depth in (0, 3):
        solve(build_tree(make_game("simple-bidding", 4)), depth, 0, 2, 2)


def speed_row(case: SpeedCase, num_seeds: int) -> dict[str, Any]:
    """Solve one game from several seeds.

    Returns:
      The record: summaries of CPU seconds per seed (total and search alone), mean value, ceilings.
    """
    tree = build_tree(make_game(case.name, case.size))
    solved = [solve(tree, case.depth, seed, 1000, MOST_STEPS) for seed in range(num_seeds)]
    start, search, value, steps = (np.array(column) for column in zip(*solved, strict=True))
    return {
        "metric": "CPU seconds per seed of CFR1k + JPS to convergence",
        "game": f"{case.name}:{case.size}",
        "depth": case.depth,
        "seeds": num_seeds,
        "total": as_record(summarise(start + search)),
        "search": as_record(summarise(search)),
        "value": as_record(summarise(value)),
        "steps": as_record(summarise(steps)),
        "ceilings": list(case.ceilings),
        "authors": case.authors,
    }


def growth_row(name: str, size: int, depth: int, num_seeds: int) -> dict[str, Any]:
    """Time and memory of one size. Run it in a fresh process: peak memory is the process's."""
    warm_up()
    before = peak_memory()
    build, tree = cpu_seconds(lambda: build_tree(make_game(name, size)))
    solved = [
        solve(tree, depth, seed, GROWTH_ITERATIONS, GROWTH_STEPS) for seed in range(num_seeds)
    ]
    return {
        "metric": "seconds per iteration and step, bytes per state, peak memory",
        "game": f"{name}:{size}",
        "depth": depth,
        "seeds": num_seeds,
        "states": tree.num_states,
        "info_sets": tree.num_info_sets,
        "build_seconds": build,
        "cfr_iteration": as_record(summarise([s[0] / GROWTH_ITERATIONS for s in solved])),
        "jps_step": as_record(summarise([s[1] / s[3] for s in solved])),
        "bytes_per_state": tree.nbytes / tree.num_states,
        "peak_bytes": peak_memory(),
        "peak_bytes_before": before,
    }


def peak_memory() -> int:
    """Largest resident size of this process so far, bytes."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Not `ru_maxrss`, which on Linux begins at the size of the process that started this one.
        (line,) = (x for x in status.read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def as_record(summary: Summary) -> dict[str, float | int | None]:
    """A summary as JSON: no standard error with one seed."""
    error = summary.standard_error
    return {
        "mean": summary.mean,
        "standard_error": None if np.isnan(error) else error,
        "minimum": summary.minimum,
        "maximum": summary.maximum,
    }


def circumstances() -> dict[str, str]:
    """What a number depends on besides the code: versions, hardware in words, command."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        lines = information.read_text().splitlines()
        model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), model)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    import numba

    return {
        "version": trine.__version__,
        "python": platform.python_version(),
        "numba": numba.__version__,
        "numpy": np.__version__,
        "hardware": f"{os.cpu_count()} cores of an {model}, {memory:.0f} GiB; one core used",
        "command": COMMAND,
    }


def in_fresh_process(*arguments: Any) -> dict[str, Any]:
    """`growth_row` in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(growth_row, *arguments).result()


def speed_table(rows: list[dict[str, Any]]) -> Table:
    """Ours beside ceilings and the authors' figures."""

    def text(record: dict[str, Any]) -> str:
        error = record["standard_error"]
        return f"{record['mean']:.2f}" + ("" if error is None else f" ± {error:.2f}")

    frame = pl.DataFrame(
        {
            "game": [r["game"] for r in rows],
            "depth": [r["depth"] for r in rows],
            "seeds": [r["seeds"] for r in rows],
            "total": [text(r["total"]) for r in rows],
            "search": [text(r["search"]) for r in rows],
            "slowest": [r["total"]["maximum"] for r in rows],
            "ceilings": [" / ".join("-" if c is None else f"{c:g}" for c in r["ceilings"])
                         for r in rows],
            "authors": [r["authors"] for r in rows],
            "value": [r["value"]["mean"] for r in rows],
        }
    )  # fmt: skip
    columns = (
        Column("game"), Column("depth", "D"), Column("seeds"),
        Column("total", "CFR1k + JPS, CPU s"), Column("search", "of it JPS"),
        Column("slowest", "slowest seed", ".2f"), Column("ceilings", "ceilings: total / search"),
        Column("authors", "authors' C++: total / search"), Column("value", "value reached", ".3f"),
    )  # fmt: skip
    return Table(
        frame, "CPU seconds per seed", columns,
        "Mean ± standard error over seeds. The authors' figures are single runs on a loaded core.",
    )  # fmt: skip


def growth_table(rows: list[dict[str, Any]]) -> Table:
    """One row a size."""
    frame = pl.DataFrame(
        [
            {
                "game": r["game"],
                "depth": r["depth"],
                "states": r["states"],
                "info_sets": r["info_sets"],
                "build": r["build_seconds"],
                "cfr": 1e3 * r["cfr_iteration"]["mean"],
                "cfr_se": 1e3 * (r["cfr_iteration"]["standard_error"] or np.nan),
                "jps": 1e3 * r["jps_step"]["mean"],
                "jps_se": 1e3 * (r["jps_step"]["standard_error"] or np.nan),
                "bytes": r["bytes_per_state"],
                # Nothing is seen of games that need less than compiling did.
                "peak": (r["peak_bytes"] - r["peak_bytes_before"]) / 2**20 or None,
                "process": r["peak_bytes"] / 2**20,
            }
            for r in rows
        ]
    )
    columns = (
        Column("game"), Column("depth", "D"), Column("states", "states", ","),
        Column("info_sets", "information sets", ","), Column("build", "build, s", ".2f"),
        Column("cfr", "CFR iteration, ms", ".3f"), Column("cfr_se", "± s.e.", ".3f"),
        Column("jps", "JPS step, ms", ".3f"), Column("jps_se", "± s.e. ", ".3f"),
        Column("bytes", "tree, bytes per state", ".1f"),
        Column("peak", "peak memory of the work, MiB", ",.1f"),
        Column("process", "of the process, MiB", ",.0f"),
    )  # fmt: skip
    return Table(
        frame, "Growth over sizes", columns,
        f"CPU time: means over the first {GROWTH_ITERATIONS} iterations and up to {GROWTH_STEPS} "
        f"steps, standard errors over {rows[0]['seeds']} seeds; a step includes its share of "
        "setting the search up. Peak memory includes building the tree; a dash: not measurable "
        "beside the process itself.",
    )  # fmt: skip


def growth_figure(frame: pl.DataFrame) -> Figure:
    """Four panels over the number of states, both axes logarithmic, one line a game."""
    panels = (
        ("cfr", "cfr_se", "CFR grows more slowly than the states", "ms per iteration"),
        ("jps", "jps_se", "JPS grows fastest with many cards", "ms per step"),
        ("bytes", None, "The tree takes 20 to 40 bytes a state", "bytes per state"),
        ("peak", None, "Peak memory grows with the states", "MiB above an empty process"),
    )
    with house_style():
        figure = Figure(figsize=(9.2, 6.4), layout="constrained")
        axes = figure.subplots(2, 2, sharex=True).reshape(-1)
        for axis, (column, error, title, unit) in zip(axes, panels, strict=True):
            for name, depth in GROWTH_CASES:
                rows = frame.filter(pl.col("game").str.starts_with(f"{name}:"))
                axis.errorbar(
                    rows["states"].to_numpy(), rows[column].to_numpy(),
                    yerr=None if error is None else rows[error].fill_nan(0).to_numpy(),
                    marker=PALETTE.marker(name), markersize=5, capsize=3,
                    **PALETTE.line(f"{name}, D = {depth}"),
                )  # fmt: skip
            axis.set(xscale="log", yscale="log", title=title, ylabel=unit)
            if column == "bytes":
                axis.set(yscale="linear", ylim=(0, None))
        for axis in axes[2:]:
            axis.set_xlabel("states")
        axes[0].legend()
    return figure


def quick_wanted(arguments: list[str]) -> bool | None:
    """Whether a benchmark is asked for small sizes; None: for something else, and that is said."""
    if arguments not in ([], ["--quick"]):
        given = " ".join(arguments)
        print(f"{given!r} is not accepted; accepted: nothing, or --quick", file=sys.stderr)
        return None
    return bool(arguments)


def main(arguments: list[str]) -> int:
    """Run both parts; returns the exit code."""
    quick = quick_wanted(arguments)
    if quick is None:
        return 2
    speed_seeds, growth_seeds = (2, 2) if quick else (10, 5)
    print("Compiling ...", file=sys.stderr)
    warm_up()
    speed, growth = [], []
    for case in SPEED_CASES:
        speed.append(speed_row(case, speed_seeds))
        print(f"{case.name}:{case.size} {speed[-1]['total']['mean']:.2f} s", file=sys.stderr)
    for (name, depth), sizes in GROWTH_CASES.items():
        for size in sizes[: QUICK_SIZES if quick else None]:
            growth.append(in_fresh_process(name, size, depth, growth_seeds))
            print(f"{name}:{size} {growth[-1]['peak_bytes'] / 2**20:.0f} MiB", file=sys.stderr)
    tables = [speed_table(speed), growth_table(growth)]
    print("\n".join(to_markdown(table) for table in tables))
    if quick:
        return 0
    shared = circumstances()
    for kind, rows in (("speed", speed), ("growth", growth)):
        for row in rows:
            write_json(RECORDS / f"{kind}-{row['game'].replace(':', '-')}.json", row | shared)
    save_table(tables[0], RECORDS, "speed")
    save_table(tables[1], RECORDS, "growth")
    save_figure(growth_figure(tables[1].frame), tables[1].frame, RECORDS, "growth")
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    for name, table in zip(("speed", "growth"), tables, strict=True):
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
        head, rest = readme.split(begin)
        readme = head + begin + "\n" + to_markdown(table) + "\n" + end + rest.split(end)[1]
    write_text(HERE / "README.md", readme)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
