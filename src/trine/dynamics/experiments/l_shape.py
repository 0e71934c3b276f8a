"""F8: the L-shape of two-layer students (Tian 2020, arXiv 1909.13458).

Verdict, at the largest over, student nodes of all seeds together:
  floor    of the nodes that match no teacher node, a share of `SHARE` or more has a fan-out below
           `FLOOR` times the median of the matched ones, at every p: an L;
  decades  else, their median is `DECADES` or more below that of the matched ones, at every p: the
           beginning of an L, as in F11;
  clearer  the decades between the two medians grow from the smallest over that has unmatched nodes
           to the largest, at every p.
Floor and clearer: holds. Floor without clearer, or decades: holds in part. Else: does not hold. How
often a matched node has more fan-out than another (`ordered`) was looked at after the first figure:
it is reported and decides nothing.
"""

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
DECADES = 0.5
"""The beginning of an L: unmatched nodes are this many decades below matched ones, by medians."""

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
    steps = grid.epochs * grid.settings[0].steps_per_epoch
    verdict, because = _judge(frame)
    because = f"After {steps:,} steps: {because}"
    saved = save_figure(
        l_shape_figure(students), students, context.directory / "figures", "l-shape"
    )
    shown = picture(
        saved,
        f"One point a student node, {grid.seeds} seeds, after {steps:,} steps; dashed: "
        f"0.95. m = {grid.nodes}. Correlations on evaluation data.",
        "Fan-out of matched and unmatched students",
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
            f"Tested after {steps:,} steps; the paper trains for 100,000 (scale `paper`).",
            f"Holds: {SHARE:g} of the others on the floor at every p, and more decades with more "
            f"students; in part: the floor alone, or {DECADES:g} decades at every p. That matched "
            "nodes mostly have the larger fan-out was seen after a first look at the figure: it "
            "is described, and does not count.",
        ],
    )


def _judge(frame: pl.DataFrame) -> tuple[Verdict, str]:
    """The verdict by the rule of the module, and the numbers behind it.

    Args:
      frame: of `l_table`, one row a p and over.
    """
    largest = frame["over"].max()
    others = frame.filter(pl.col("unmatched") > 0).sort("decay", "over")
    wide = others.filter(pl.col("over") == largest)
    if not len(wide):
        return "not tested", f"at over {largest:g} every student node matches a teacher node."
    told = ", ".join(
        f"p {row['decay']:g}: {row['floor_share']:.3f} of {row['unmatched']} "
        f"({row['decades']:.2f} decades below the matched; below one of them with probability "
        f"{row['ordered']:.3f})"
        for row in wide.iter_rows(named=True)
    )
    ladders = {
        decay: (group["over"].to_list(), group["decades"].to_list())
        for (decay,), group in others.group_by(["decay"], maintain_order=True)
    }
    compared = [
        decades[-1] > decades[0]
        for overs, decades in ladders.values()
        if len(overs) > 1 and overs[-1] == largest
    ]
    clearer = bool(compared) and all(compared)
    word = ("yes" if clearer else "no") if compared else "not tested"
    climbs = "; ".join(
        f"p {decay:g}: {', '.join(f'{d:.2f}' for d in decades)} for over "
        f"{', '.join(f'{over:g}' for over in overs)}"
        for decay, (overs, decades) in ladders.items()
    )
    verdict: Verdict = "does not hold"
    if (wide["floor_share"] >= SHARE).all():
        verdict = "holds" if clearer else "holds in part"
    elif (wide["decades"] >= DECADES).all():
        verdict = "holds in part"
    return verdict, (
        f"share of unmatched nodes on the floor at over {largest:g}: {told}. Clearer with more "
        f"students: {word} (decades, {climbs})."
    )
