"""F10: evaluation loss over epochs, by strength decay and over-realisation (Tian 2020).

Verdict, on log10 of the evaluation loss at the end, differences seed by seed: the largest over ends
lower than the smallest by more than two standard errors at every p: holds; at some: holds in part;
at none: does not hold. One seed has no spread: not tested.
"""

from __future__ import annotations

import polars as pl

from trine.core.figures import save_figure
from trine.core.report import picture
from trine.core.stats import paired_difference, summarise
from trine.core.tables import Column, Table
from trine.dynamics.experiments.base import ExperimentContext, Finding, Verdict
from trine.dynamics.experiments.two_layer_cells import end_of, facts_of, keep, outcomes_of
from trine.dynamics.joint_results import loss_frame
from trine.dynamics.specialisation_pictures import loss_figure

__all__ = ["experiment", "loss_table"]

CLAIM = (
    "Over-realised students reach a lower evaluation loss, and sooner, at every strength decay "
    "(Tian 2020, two layers; curves: target recalled from the paper)."
)


def loss_table(losses: pl.DataFrame) -> pl.DataFrame:
    """log10 of the evaluation loss at the end, and against the smallest over by seed.

    Args:
      losses: of `loss_frame`, one number of teacher nodes.

    Returns:
      One row a p and over: `log10_loss`, `std` (over seeds), `gain`, `gain_se` (mean over seeds of
      the difference to the smallest over at the same seed, hence the same teacher and data),
      `half_time` (first epoch of the curve at which the mean is within half of its whole fall).
    """
    logs = losses.with_columns(pl.col("evaluation_loss").log10().alias("log"))
    end = end_of(logs).sort("seed")
    least = losses["over"].min()
    rows: list[dict[str, object]] = []
    for key, group in end.group_by(["decay", "over"], maintain_order=True):
        decay, over = key
        base = end.filter((pl.col("decay") == decay) & (pl.col("over") == least))
        gain = paired_difference(base["log"], group["log"])
        summary = summarise(group["log"])
        rows.append(
            {
                "decay": decay,
                "over": over,
                "log10_loss": summary.mean,
                "std": summary.standard_error * summary.count**0.5,
                "gain": gain.mean,
                "gain_se": gain.standard_error,
                "half_time": _half_time(
                    logs.filter((pl.col("decay") == decay) & (pl.col("over") == over))
                ),
                "seeds": summary.count,
            }
        )
    return pl.DataFrame(rows).sort(["decay", "over"])


def _half_time(one: pl.DataFrame) -> int:
    curve = one.group_by("epoch").agg(pl.col("log").mean()).sort("epoch")
    values = curve["log"].to_numpy()
    middle = (values[0] + values[-1]) / 2
    return int(curve["epoch"].to_numpy()[(values <= middle).argmax()])


def experiment(context: ExperimentContext) -> Finding:
    """Loss curves of the networks of F9."""
    grid, outcomes = outcomes_of(context, "success")
    losses = loss_frame(outcomes)
    frame = loss_table(losses)
    verdict, because = _judge(frame)
    saved = save_figure(
        loss_figure(losses), losses, context.directory / "figures", "evaluation-loss"
    )
    shown = picture(
        saved,
        f"Half the summed squared error on {grid.settings[0].data.evaluation:,} evaluation samples,"
        f" m = {grid.nodes}; mean of log10 and standard deviation over {grid.seeds} seeds; an epoch"
        " is 1000 steps.",
        "Evaluation loss, by number of students",
    )
    table = Table(
        frame,
        "log10 of the evaluation loss at the end",
        [
            Column("decay", "p"),
            Column("over"),
            Column("log10_loss", "log10 loss", ".2f"),
            Column("std", "std over seeds", ".2f"),
            Column("gain", "against the smallest over", ".2f", highlight=True),
            Column("gain_se", "s.e.", ".2f"),
            Column("half_time", "epoch of half the fall"),
            Column("seeds"),
        ],
    )
    tables, pictures = keep(context, {"evaluation-loss": table}, [shown])
    return Finding(
        claim=CLAIM,
        verdict=verdict,
        because=because,
        settings=facts_of(grid),
        seeds=grid.seeds,
        tables=tables,
        figures=pictures,
        notes=["The networks are those of F9."],
    )


def _judge(frame: pl.DataFrame) -> tuple[Verdict, str]:
    """The verdict by the rule of the module, and the numbers behind it.

    Args:
      frame: of `loss_table`.
    """
    wide = frame.filter(pl.col("over") == pl.col("over").max())
    lower = wide.filter(pl.col("gain") < -2 * pl.col("gain_se"))
    told = ", ".join(
        f"p {row['decay']:g}: {row['gain']:+.2f} ± {row['gain_se']:.2f}"
        for row in wide.iter_rows(named=True)
    )
    least = frame["over"].min()
    because = (
        f"log10 loss of over {wide['over'][0]:g} minus that of over {least:g}, by seed: {told}"
    )
    if frame["seeds"].min() == 1:
        return "not tested", f"One seed has no spread; {because}"
    verdict: Verdict = (
        "holds" if len(lower) == len(wide) else "holds in part" if len(lower) else "does not hold"
    )
    return verdict, because
