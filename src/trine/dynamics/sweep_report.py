"""What a finished sweep leaves besides its cells: tables, figures and the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from trine.core.artifacts import write_text
from trine.core.figures import save_figure
from trine.core.report import Section, picture, write_report
from trine.core.runs import Run
from trine.core.tables import Column, Table, save_table, to_csv
from trine.dynamics.joint_results import Outcome, loss_frame, success_frame
from trine.dynamics.specialisation_pictures import matched_figure
from trine.dynamics.two_layer import Setting

__all__ = ["SUMMARY_COLUMNS", "write_sweep_report"]

SUMMARY_COLUMNS = (
    Column("layer"),
    Column("teacher_nodes", "teacher nodes"),
    Column("matched", "matched > .95", ".2f", highlight=True),
    Column("matched_se", "s.e.", ".2f"),
    Column("matched_min", "least", ".0f"),
    Column("matched_max", "most", ".0f"),
    Column("mean_best", "mean best correlation", ".4f"),
    Column("log10_loss", "log10 loss", ".2f"),
    Column("log10_loss_se", "s.e.", ".2f"),
    Column("log10_relative_loss", "log10 relative loss", ".2f"),
    Column("seeds"),
    Column("diverged"),
)


def write_sweep_report(
    run: Run,
    axes: Callable[[Setting], Mapping[str, Any]],
    outcomes: Sequence[Outcome],
    nodes: pl.DataFrame,
    rows: pl.DataFrame,
    document: Mapping[str, Any],
) -> None:
    """Writes `networks.csv` (tidy), `summary`, `success.csv`, `losses.csv` and the page.

    Args:
      run: in whose directory.
      axes: the columns that tell settings apart.
      outcomes: of all networks.
      nodes: of `node_frame`.
      rows: of `summary_frame`.
      document: facts of the sweep.
    """
    names = list(axes(outcomes[0].member.setting))
    for name, frame in (
        ("networks", nodes),
        ("success", success_frame(outcomes, axes)),
        ("losses", loss_frame(outcomes, axes)),
    ):
        write_text(run.tables / f"{name}.csv", to_csv(Table(frame)))  # too long to be read as text
    summary = Table(
        rows,
        "At the end of training, mean over seeds",
        [*(Column(name) for name in names), *SUMMARY_COLUMNS],
        "matched: teacher nodes with a student node that correlates above 0.95 on evaluation data;"
        " loss: on evaluation data; relative: over that of a constant student.",
    )
    save_table(summary, run.tables, "summary")
    saved = save_figure(matched_figure(rows, names), rows, run.figures, "matched")
    lost = document["diverged"]
    notes = [
        f"{document['networks']} networks in {document['stacks']} stacks, "
        f"{document['cpu_seconds']:.0f} CPU seconds; all numbers by network in "
        "`tables/networks.csv`, `success.csv` and `losses.csv`.",
        *(
            f"diverged: {', '.join(f'{k} {v}' for k, v in one.items())}; try a rate of "
            f"{one['rate'] / 4:.2g}"
            for one in lost
        ),
    ]
    section = Section(
        f"Sweep of {document['configurations']} configurations, {document['seeds']} seeds each",
        tables=[summary],
        figures=[
            picture(
                saved,
                f"Lowest hidden layer, mean over {document['seeds']} seeds; bars: standard error.",
                "Teacher nodes found",
            )
        ],
        notes=notes,
    )
    facts = {
        "command": run.info.command,
        "version": run.info.version,
        "seconds": document["seconds"],
        "projected seconds": document["projected_seconds"],
        **run.info.libraries,
    }
    write_report(run.report, section.title, [section], facts=facts)
