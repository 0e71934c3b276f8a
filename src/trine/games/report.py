"""The report of one solve: numbers, curves and the learned policy on one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from trine.core.figures import save_figure
from trine.core.report import Picture, Section, picture, write_report
from trine.core.runs import Run
from trine.core.sweep import Cell, read_cell
from trine.core.tables import Column, Table, save_table
from trine.games.config import SolveConfig
from trine.games.convention import convention_table
from trine.games.paper import PAPER, label
from trine.games.pictures import convention_picture, curve_table, reference_lines, value_curves
from trine.games.policy import TabularPolicy
from trine.games.tree import Tree

LARGEST_PICTURE = 32
"""Cards of a player above which the grid of deals is not drawn."""

CONVENTION_COLUMNS = (
    Column("player"), Column("history", "calls so far"), Column("cards"), Column("action"),
    Column("probability", "how often", ".1%"),
)  # fmt: skip


def policy_table(tree: Tree, policy: TabularPolicy) -> Table:
    """What a policy does, in the order of play."""
    return Table(convention_table(tree, policy), "The policy", CONVENTION_COLUMNS)


def can_draw_convention(tree: Tree) -> bool:
    """Whether the grid of deals can be drawn: two players with few cards and a shared payoff."""
    public = tree.public
    if public is None or public.deal_index is None or not tree.is_common_payoff:
        return False
    return 1 < min(public.deal_index.shape) and max(public.deal_index.shape) <= LARGEST_PICTURE


def write_solve_report(
    run: Run,
    config: SolveConfig,
    tree: Tree,
    policy: TabularPolicy,
    cells: Sequence[Cell],
    frame: pl.DataFrame,
    result: dict[str, Any],
) -> None:
    """Write tables, figures and `report.html` of a finished solve."""
    seeds = frame.drop("game", "size", "method", "config", strict=False)
    columns = [Column(name, format=_format(name)) for name in seeds.columns]
    seeds_table = Table(seeds, "Every seed", columns)
    save_table(seeds_table, run.tables, "seeds")
    learned = policy_table(tree, policy)
    save_table(learned, run.tables, "policy")
    arrays = [read_cell(cell, run.checkpoints).arrays for cell in cells]
    figures: list[Picture] = []
    curves = {config.method: [(a["curve_at"], a["curve"]) for a in arrays]}
    if all(len(a["curve"]) > 1 for a in arrays):
        table = curve_table(curves)
        name = f"{label((config.game, config.size))}: value per iteration of {config.method}"
        lines = reference_lines(config.game, config.size, None)
        drawn = value_curves(table, name, lines=lines)
        caption = f"Mean over {len(frame)} seeds; band: one standard error."
        figures.append(picture(save_figure(drawn, table, run.figures, "value"), caption))
    if can_draw_convention(tree):
        title = f"What every deal ends in (seed {result['best_seed']}, {result['value_max']:.4g})"
        drawn, data = convention_picture(tree, policy, title)
        saved = save_figure(drawn, data, run.figures, "convention")
        figures.append(picture(saved, "Text: the calls; colour: the payoff."))
    row = PAPER.get((config.game, config.size))
    paper = None if row is None else row.of(config.method)
    summary = (
        f"{label((config.game, config.size))} by {config.method}: "
        f"{result['value_mean']:.4f}"
        + ("" if not result["value_se"] else f" ± {result['value_se']:.4f} s.e.")
        + f" (mean over {len(frame)} seeds), best {result['value_max']:.4f}"
        + ("." if paper is None else f"; the paper prints {paper:.2f}.")
    )
    section = Section(
        title=f"{label((config.game, config.size))}, {config.method}",
        paragraphs=[f"The policy below is that of seed {result['best_seed']}, the best of all."],
        tables=[seeds_table, learned],
        figures=figures,
        notes=["CPU seconds leave out start-up, compilation and the building of the tree."],
    )
    facts = {
        "states": f"{tree.num_states:,}",
        "information sets": f"{result['info_sets']:,}",
        "CPU seconds per seed": f"{result['cpu_seconds_per_seed']:.3f}",
        "command": run.info.command,
        "version": run.info.version,
    }
    write_report(run.report, section.title, [section], summary=summary, facts=facts)


def _format(name: str) -> str:
    if name.endswith("seconds"):
        return ".3f"
    return ".4f" if "value" in name or name in ("nash_conv", "upper_bound") else ""
