"""F8: the L-shape of two-layer students (Tian 2020, arXiv 1909.13458)."""

from __future__ import annotations

import polars as pl

from trine.core.figures import save_figure
from trine.core.report import picture
from trine.core.tables import Column, Table
from trine.dynamics.experiments.base import ExperimentContext, Finding, Verdict
from trine.dynamics.experiments.two_layer_cells import end_of, facts_of, keep, outcomes_of
from trine.dynamics.joint_results import student_frame
from trine.dynamics.measures.l_shape import FLOOR, l_shape
from trine.dynamics.specialisation_pictures import l_shape_figure

__all__ = ["experiment"]

MATCHED = 0.95
SHARE = 0.9
"""An L has at least this share of its unmatched nodes on the floor."""
ORDERED = 0.9
"""The beginning of an L: a matched node has more influence than another with this probability."""

CLAIM = (
    "Students that match a teacher node keep their fan-out, all others lose theirs: plotted as "
    "best correlation against fan-out norm, students make an L, clearer with more students "
    "(Tian 2020, the theorem on unmatched students; figure: target recalled from the paper)."
)


def l_table(students: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """The numbers of `l_shape` for every group of students, all seeds together."""
    rows: list[dict[str, object]] = []
    for key, group in students.group_by(by, maintain_order=True):
        found = l_shape(group["best"], group["influence"], MATCHED)
        rows.append(
            {
                **dict(zip(by, key, strict=True)),
                "students": len(group),
                "matched_share": found.matched / len(group),
                "matched_influence": found.matched_influence,
                "unmatched_influence": found.unmatched_influence,
                "decades": found.decades,
                "floor_share": found.floor_share,
                "ordered": found.ordered,
                "unmatched": found.unmatched,
                "seeds": group["seed"].n_unique(),
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)


COLUMNS = (
    Column("students"),
    Column("matched_share", "matched", ".3f"),
    Column("unmatched"),
    Column("matched_influence", "influence, matched", ".3g"),
    Column("unmatched_influence", "influence, others", ".3g"),
    Column("decades", "decades between", ".2f"),
    Column("floor_share", "others on the floor", ".3f", highlight=True),
    Column("ordered", "matched above others", ".3f"),
    Column("seeds"),
)


def experiment(context: ExperimentContext) -> Finding:
    """Every student node at the end: its best correlation against its fan-out norm."""
    grid, outcomes = outcomes_of(context, "l-shape")
    students = end_of(student_frame(outcomes))
    frame = l_table(students, ["decay", "over"])
    verdict, because = _judge(frame)
    saved = save_figure(
        l_shape_figure(students), students, context.directory / "figures", "l-shape"
    )
    shown = picture(
        saved,
        f"One point a student node, {grid.seeds} seeds, after "
        f"{grid.epochs * grid.settings[0].steps_per_epoch:,} steps; dashed: 0.95. m = {grid.nodes}."
        " Correlations on evaluation data.",
        "Unmatched students lie on the floor",
    )
    table = Table(
        frame,
        "The L in numbers, medians over student nodes of all seeds",
        [Column("decay", "p"), Column("over"), *COLUMNS],
        f"matched: best correlation above {MATCHED}; floor: fan-out norm below {FLOOR:g} times the "
        "median of the matched nodes; matched above others: probability that a matched node has "
        "the larger fan-out.",
    )
    tables, pictures = keep(context, {"l-shape": table}, [shown])
    return Finding(
        claim=CLAIM,
        verdict=verdict,
        because=because,
        settings=facts_of(grid),
        seeds=grid.seeds,
        tables=tables,
        figures=pictures,
        notes=[
            "The theorem is about zero gradient; after a finite number of steps, nodes on their "
            "way are seen between floor and top, and several students share one teacher node.",
            f"Holds: {SHARE:g} of the others on the floor at every p; in part: a matched node has "
            f"the larger fan-out with probability {ORDERED:g} at every p. The second was added "
            "after a first look at the figure of 30,000 steps.",
        ],
    )


def _judge(frame: pl.DataFrame) -> tuple[Verdict, str]:
    """At the largest over: an L at every p; or at least the beginning of one at every p."""
    largest = frame["over"].max()
    wide = frame.filter((pl.col("over") == largest) & (pl.col("unmatched") > 0))
    if not len(wide):
        return "not tested", f"at over {largest} every student node matches a teacher node"
    told = ", ".join(
        f"p {row['decay']:g}: {row['floor_share']:.3f} of {row['unmatched']} "
        f"({row['decades']:.2f} decades below the matched; below one of them with probability "
        f"{row['ordered']:.3f})"
        for row in wide.iter_rows(named=True)
    )
    verdict: Verdict = "does not hold"
    if (wide["floor_share"] >= SHARE).all():
        verdict = "holds"
    elif (wide["ordered"] >= ORDERED).all():
        verdict = "holds in part"
    return verdict, f"share of unmatched nodes on the floor at over {largest}: {told}"
