"""F9: which teacher nodes are found, by strength; recovery from noisy labels; augmented inputs.

Tian 2020 (arXiv 1909.13458), two layers. The figure is the success rate by teacher node; the second
table changes one thing at a time: noise on the labels, and the inputs that the theory asks for.

Verdict, differences seed by seed, clear when above two standard errors:
  first  early, a clearly larger share of the stronger half of the teacher nodes is found than of
         the weaker half, at every p > 0 and over where not all nodes are found by then;
  more   at the end, the largest over finds clearly more nodes than the smallest, at every p > 0.
Both: holds; one: holds in part; none: does not hold. One seed has no spread: not tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from trine.core.figures import save_figure
from trine.core.report import picture
from trine.core.stats import paired_difference, summarise
from trine.core.tables import Column, Table
from trine.dynamics.experiments.base import ExperimentContext, Finding, Scale, Verdict
from trine.dynamics.experiments.two_layer_cells import (
    facts_of,
    keep,
    outcomes_of,
    train_settings,
)
from trine.dynamics.joint_results import (
    Outcome,
    matched_name,
    node_frame,
    success_frame,
    summary_frame,
)
from trine.dynamics.measures.success import THRESHOLDS
from trine.dynamics.specialisation_pictures import success_figure
from trine.dynamics.two_layer import Setting, two_layer

__all__ = ["VARIANTS", "experiment"]

CLAIM = (
    "Teacher nodes with a large fan-out are specialised first, weak ones late or never; "
    "over-realisation lets more of them be found (Tian 2020, order of learning)."
)


@dataclass(frozen=True, slots=True)
class Variants:
    """One change at a time, at one strength decay.

    Attributes:
      nodes: m.
      overs: student width over m.
      decay: p.
      seeds: how many.
      epochs: of 1000 steps.
      noise: standard deviations of label noise, relative to the outputs.
    """

    nodes: int
    overs: Sequence[int]
    decay: float
    seeds: int
    epochs: int
    noise: Sequence[float]

    @property
    def changes(self) -> dict[str, dict[str, Any]]:
        """By name: what differs from the plain setting."""
        return {
            "plain": {},
            **{f"label noise {level:g}": {"label_noise": level} for level in self.noise},
            "augmented at teacher boundaries": {"augmentation": "teacher"},
            "augmented, teacher-agnostic": {"augmentation": "agnostic"},
        }

    def settings(self) -> dict[str, Setting]:
        """By name and over, e.g. `plain, over 5`."""
        made: dict[str, Setting] = {}
        for name, change in self.changes.items():
            for over in self.overs:
                made[f"{name}, over {over}"] = two_layer(
                    teacher=str(self.nodes),
                    over=over,
                    epochs=self.epochs,
                    teacher_start={"decay": self.decay},
                    **change,
                )
        return made


VARIANTS: Mapping[Scale, Variants] = {
    "demo": Variants(5, (2,), 1.0, 2, 10, (0.3,)),
    "quick": Variants(10, (1, 5), 1.0, 8, 20, (0.1, 0.3, 1.0)),
    "paper": Variants(10, (1, 5), 1.0, 32, 100, (0.03, 0.1, 0.3, 1.0)),
}


def experiment(context: ExperimentContext) -> Finding:
    """Success rates of the sweep at m = 20 (`paper`, `quick`), and the variants."""
    grid, outcomes = outcomes_of(context, "success")
    success = success_frame(outcomes)
    nodes = node_frame(outcomes)
    saved = save_figure(
        success_figure(success), success, context.directory / "figures", "success-rate"
    )
    early = grid.settings[0].snapshot_epochs[1]
    shown = picture(
        saved,
        f"m = {grid.nodes}, {grid.seeds} seeds; success: a student node correlates above 0.95 on "
        f"evaluation data. Solid: after {grid.epochs} epochs, bars: Wilson's 95 % interval "
        f"(for rates of 0 and 1, not drawn: {success['high'].min():.2f} wide); dotted: after "
        f"{early}.",
        "Success by teacher node, early and at the end",
    )
    order = order_table(nodes, half_frame(outcomes))
    verdict, because = _judge(order)
    variants, noise = _variants(context)
    tables, pictures = keep(
        context,
        {
            "matched": _matched_table(outcomes, nodes),
            "order": Table(order, "Order of learning, and what over-realisation adds", ORDER),
            "variants": variants,
            "success": Table(success, "Success rate by teacher node"),
        },
        [shown],
    )
    return Finding(
        claim=CLAIM,
        verdict=verdict,
        because=because,
        settings=facts_of(grid),
        seeds=grid.seeds,
        tables=tables[:3],
        figures=pictures,
        notes=[
            noise,
            "Augmented inputs are for training only; evaluation inputs are plain.",
            "All rates by node are in `tables/success.csv`.",
        ],
    )


ORDER = (
    Column("decay", "p"),
    Column("over"),
    Column("early_strong", "early, stronger half", ".3f"),
    Column("early_weak", "early, weaker half", ".3f"),
    Column("early_gap", "stronger minus weaker, early", ".3f", highlight=True),
    Column("early_gap_se", "s.e.", ".3f"),
    Column("end_strong", "end, stronger half", ".3f"),
    Column("end_weak", "end, weaker half", ".3f"),
    Column("gain", "more nodes than over 1, end", ".2f", highlight=True),
    Column("gain_se", "s.e.", ".2f"),
    Column("seeds"),
)


def half_frame(outcomes: Sequence[Outcome]) -> pl.DataFrame:
    """Shares of the stronger and of the weaker half of the teacher nodes that are found.

    Returns:
      One row a network and snapshot: `decay`, `over`, `seed`, `epoch`, `strong`, `weak`.
    """
    rows: list[dict[str, Any]] = []
    for outcome in outcomes:
        setting = outcome.member.setting
        for shot, epoch in enumerate(setting.snapshot_epochs):
            found = np.asarray(outcome.arrays["best_teacher.0"][shot]) > THRESHOLDS[-1]  # [m]
            half = len(found) // 2
            rows.append(
                {
                    "decay": setting.teacher_start.decay,
                    "over": setting.over,
                    "seed": outcome.member.seed,
                    "epoch": epoch,
                    "strong": float(found[:half].mean()),
                    "weak": float(found[half:].mean()),
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def order_table(nodes: pl.DataFrame, halves: pl.DataFrame) -> pl.DataFrame:
    """Success of the stronger and the weaker half of the teacher nodes, early and at the end.

    Args:
      nodes: of `node_frame`, two-layer networks.
      halves: of `half_frame`, the same networks.

    Returns:
      One row for each p > 0 and over: the four rates; `early_gap`: the stronger half minus the
      weaker, early, mean over seeds; `gain`: matched teacher nodes at the end more than the
      smallest over of the same p, mean over seeds of the difference by seed; their standard errors.
    """
    epochs = sorted(halves["epoch"].unique().to_list())
    early, end = epochs[1], epochs[-1]
    least = nodes["over"].min()
    rows: list[dict[str, object]] = []
    weakened = halves.filter(pl.col("decay") > 0)
    for key, group in weakened.group_by(["decay", "over"], maintain_order=True):
        decay, over = key
        at = {
            name: group.filter(pl.col("epoch") == e) for name, e in (("early", early), ("end", end))
        }
        gap = paired_difference(at["early"]["weak"], at["early"]["strong"])
        gain = paired_difference(_ends(nodes, decay, least), _ends(nodes, decay, over))
        rows.append(
            {
                "decay": decay,
                "over": over,
                "early_strong": summarise(at["early"]["strong"]).mean,
                "early_weak": summarise(at["early"]["weak"]).mean,
                "early_gap": gap.mean,
                "early_gap_se": gap.standard_error,
                "end_strong": summarise(at["end"]["strong"]).mean,
                "end_weak": summarise(at["end"]["weak"]).mean,
                "gain": gain.mean,
                "gain_se": gain.standard_error,
                "seeds": gain.count,
            }
        )
    return pl.DataFrame(rows)


def _ends(nodes: pl.DataFrame, decay: object, over: object) -> np.ndarray[Any, Any]:
    chosen = nodes.filter(
        (pl.col("decay") == decay)
        & (pl.col("over") == over)
        & (pl.col("epoch") == pl.col("epoch").max())
    )
    return chosen.sort("seed")[matched_name(0.95)].cast(pl.Float64).to_numpy()


def _judge(order: pl.DataFrame) -> tuple[Verdict, str]:
    """The verdict by the rule of the module, and the numbers behind it.

    Args:
      order: of `order_table`.
    """
    wide = order.filter(pl.col("over") == pl.col("over").max())
    open_ = order.filter((pl.col("early_strong") < 1) | (pl.col("early_weak") < 1))
    clear = (open_["early_gap"] > 2 * open_["early_gap_se"]).fill_null(value=False)
    first = bool(clear.all()) and len(clear) > 0
    more = bool((wide["gain"] > 2 * wide["gain_se"]).all())
    told = ", ".join(
        f"p {row['decay']:g}: {row['gain']:+.2f} ± {row['gain_se']:.2f} nodes"
        for row in wide.iter_rows(named=True)
    )
    half = f"{order['early_strong'].mean():.3f} against {order['early_weak'].mean():.3f}"
    unclear = ", ".join(
        f"p {row['decay']:g} over {row['over']:g}: {row['early_gap']:+.3f} ± "
        f"{row['early_gap_se']:.3f}"
        for row, yes in zip(open_.iter_rows(named=True), clear, strict=True)
        if not yes
    )
    because = (
        f"early success of the stronger half against the weaker half {half} (mean over p and over),"
        f" clear in {int(clear.sum())} of {len(clear)} cases where not all nodes are found by then"
        f"{f' (not at {unclear})' if unclear else ''}; "
        f"at the end over {wide['over'][0]:g} finds more than over {order['over'].min():g}: {told}"
    )
    if order["seeds"].min() == 1:
        return "not tested", f"One seed has no spread; {because}"
    verdict: Verdict = (
        "holds" if first and more else "holds in part" if first or more else "does not hold"
    )
    return verdict, because


def _matched_table(outcomes: Sequence[Any], nodes: pl.DataFrame) -> Table:
    """Matched counts at every threshold at the end, mean over seeds."""
    end = nodes.filter(pl.col("epoch") == pl.col("epoch").max())
    names = [matched_name(t) for t in THRESHOLDS]
    means = end.group_by(["decay", "over"], maintain_order=True).agg(
        pl.col("teacher_nodes").first(),
        *(pl.col(name).mean() for name in names[:-1]),
        pl.col("students_95").mean(),
        pl.col("observed").mean(),
    )
    summary = summary_frame(outcomes).drop("nodes", "layer", "teacher_nodes")
    frame = means.join(summary, on=["decay", "over"], maintain_order="left")
    return Table(
        frame,
        "Teacher nodes found at the end, mean over seeds",
        [
            Column("decay", "p"),
            Column("over"),
            Column("teacher_nodes", "of"),
            *(Column(name, f"> {t:g}", ".2f") for t, name in zip(THRESHOLDS, names[:-1])),  # noqa: B905 (the last threshold is `matched`)
            Column("matched", "> 0.95", ".2f", highlight=True),
            Column("matched_se", "s.e.", ".2f"),
            Column("matched_min", "least", ".0f"),
            Column("matched_max", "most", ".0f"),
            Column("students_95", "students a node", ".2f"),
            Column("observed", "least observed", ".3f"),
            Column("seeds"),
            Column("diverged"),
        ],
        "students a node: student nodes above 0.95, mean over teacher nodes; least observed: the "
        "smallest over teacher nodes of the best observability by a student node.",
    )


def _variants(context: ExperimentContext) -> tuple[Table, str]:
    plan = VARIANTS[context.scale]
    named = plan.settings()
    names = {setting.text: name for name, setting in named.items()}
    outcomes = train_settings(
        context, list(named.values()), plan.seeds, context.directory / "variants"
    )

    def axes(setting: Setting) -> dict[str, Any]:
        name, _, _ = names[setting.text].rpartition(", over ")
        return {"variant": name, "over": setting.over}

    frame = summary_frame(outcomes, axes).sort("over", maintain_order=True)
    table = Table(
        frame,
        f"One change at a time: m = {plan.nodes}, p = {plan.decay:g}, {plan.epochs} epochs",
        [
            Column("over"),
            Column("variant"),
            Column("matched", f"matched of {plan.nodes}", ".2f", highlight=True),
            Column("matched_se", "s.e.", ".2f"),
            Column("mean_best", "mean best correlation", ".4f"),
            Column("log10_relative_loss", "log10 relative loss", ".2f"),
            Column("seeds"),
        ],
        "label noise: standard deviation relative to that of the outputs, drawn once; loss against "
        "the clean teacher, relative to a constant student.",
    )
    widest = frame.filter(pl.col("over") == pl.col("over").max())
    told = ", ".join(
        f"{row['variant']}: {row['matched']:.2f} ± {row['matched_se']:.2f}"
        for row in widest.iter_rows(named=True)
    )
    return table, f"Teacher nodes found of {plan.nodes} at over {widest['over'][0]:g}: {told}."
