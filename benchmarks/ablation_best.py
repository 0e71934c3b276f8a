"""Ablation of Trine's own search (`docs/methods/best.md`): what each part of it is worth.

    .venv/bin/python benchmarks/ablation_best.py --seeds 20
    .venv/bin/python benchmarks/ablation_best.py --large --seeds 5

Each row runs `best_search` from the seeds 0, 1, ... with one setting changed, at most 4000 climbs,
and stops at the proved optimum. Prints one Markdown table; CPU seconds leave out compilation and
the building of the tree.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import polars as pl

from trine.core.artifacts import write_text
from trine.core.seeding import Seeds
from trine.core.stats import summarise
from trine.core.tables import Column, Table, to_markdown
from trine.games.best import BestSettings, best_search
from trine.games.catalog import make_game
from trine.games.tree import Tree, build_tree

# Proved in docs/methods/exact.md.
OPTIMA = {
    ("simple-bidding", 16): 2752 / 256,
    ("two-suit-bridge", 4): 46 / 25,
    ("two-suit-bridge", 5): 104 / 36,
}

# Simple Bidding 32 has no proof yet: its bound is never reached, and the mean value is what counts.
LARGE = {
    ("two-suit-bridge", 6): 226 / 49,
    ("simple-bidding", 32): 22.5215,
}

DEFAULT = BestSettings()

# Two rows may spend more climbs: without the fan a climb is cheaper, so that the same number of
# them is not the same effort.
VARIANTS = {
    "default": DEFAULT,
    "best responses only (fan=False)": replace(DEFAULT, fan=False),
    "best responses only, 20000 climbs": replace(DEFAULT, fan=False, climbs=20_000),
    "no restarts (patience=0)": replace(DEFAULT, patience=0),
    "patience=50": replace(DEFAULT, patience=50),
    "patience=200": replace(DEFAULT, patience=200),
    "restarts only (patience=1)": replace(DEFAULT, patience=1),
    "moved_sets=1": replace(DEFAULT, moved_sets=1.0),
    "moved_sets=4": replace(DEFAULT, moved_sets=4.0),
}

LARGE_VARIANTS = (
    "default",
    "best responses only (fan=False)",
    "no restarts (patience=0)",
    "restarts only (patience=1)",
    "moved_sets=1",
    "moved_sets=4",
)

COLUMNS = (
    Column("game"),
    Column("setting"),
    Column("reached", "seeds at the optimum"),
    Column("mean", "mean value", ".4f"),
    Column("standard_error", "± s.e.", ".4f"),
    Column("climbs", "climbs to the optimum", ".0f"),
    Column("seconds", "CPU s to the optimum", ".2f"),
    Column("seconds_per_success", "CPU s per success", ".2f"),
)


def measure(tree: Tree, optimum: float, settings: BestSettings, seeds: int) -> dict[str, object]:
    """One row: the mean climbs and seconds are those of the seeds that reach the optimum."""
    values, climbs, seconds = [], [], []
    spent = 0.0
    for seed in range(seeds):
        began = time.process_time()
        found = best_search(
            tree, generator=Seeds(seed).generator("best"), settings=settings, stop_at=optimum
        )
        took = time.process_time() - began
        spent += took
        values.append(found.value)
        if found.value >= optimum - 1e-9:
            climbs.append(len(found.values))
            seconds.append(took)
    score = summarise(values)
    return {
        "reached": f"{len(climbs)} of {seeds}",
        "mean": score.mean,
        "standard_error": score.standard_error,
        "climbs": summarise(climbs).mean if climbs else None,
        "seconds": summarise(seconds).mean if seconds else None,
        "seconds_per_success": spent / len(climbs) if climbs else None,
    }


def main() -> None:
    """Run all rows and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="seeds per row (default: 20)")
    parser.add_argument("--large", action="store_true", help="the larger games instead")
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    # The first call compiles; keep that out of the first row.
    small = build_tree(make_game("simple-bidding", 2))
    best_search(small, generator=Seeds(0).generator("best"), settings=replace(DEFAULT, climbs=2))
    rows: list[dict[str, object]] = []
    for (name, size), optimum in (LARGE if options.large else OPTIMA).items():
        tree = build_tree(make_game(name, size))
        for setting in LARGE_VARIANTS if options.large else VARIANTS:
            row = measure(tree, optimum, VARIANTS[setting], options.seeds)
            rows.append({"game": f"{name} {size}", "setting": setting, **row})
            sys.stderr.write(f"{name} {size}, {setting}: {row['reached']}\n")
    table = to_markdown(Table(pl.DataFrame(rows, infer_schema_length=None), columns=COLUMNS))
    print(table)
    if options.output is not None:
        write_text(options.output, table)


if __name__ == "__main__":
    main()
