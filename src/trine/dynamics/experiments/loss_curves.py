"""F6: evaluation loss over epochs for students of different width, deep and two layers.

The deep films are those of F1; the two-layer ones are in the setting of Tian 2020 (spec 7.5),
10 teacher nodes of decaying strength, p = 1.

Verdict, on log10 of the evaluation loss, seeds paired, widest against narrowest student: `lower`,
at the end, and `faster`, after a quarter of the training, each in both set-ups by two standard
errors. All four: holds; some: holds in part; none: does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from trine.core.figures import save_figure
from trine.core.report import picture
from trine.core.stats import Summary, paired_difference, summarise
from trine.core.tables import Column, Table, save_table
from trine.dynamics.config import RunConfig, make_run_config
from trine.dynamics.experiments.base import ExperimentContext, Finding, Verdict
from trine.dynamics.experiments.deep_films import DEEP_SCALES, deep_reels, labelled
from trine.dynamics.films import Reel, shoot
from trine.dynamics.pictures import compared_losses
from trine.dynamics.results import loss_frame

__all__ = ["experiment", "verdict_of"]

CLAIM = (
    "Over-parameterised students reach a lower loss, and sooner (Tian et al. 2019 and Tian 2020)."
)

FULL = {"deep": 40, "two-layer": 100}
"""Epochs of the authors' program and of the paper."""

ANCHOR = (
    "At full length the order is another: 32 seeds of 20 teacher nodes, p = 1, 100 epochs end "
    "lowest at over 2 (log10 loss -6.12 ± 0.14), then over 5 (-5.08 ± 0.02), over 10 (-4.67 ± "
    "0.01) and over 1 (-1.96 ± 0.03): docs/dynamics/records/two-layer-anchor.csv."
)

TWO_LAYER_SCALES = {
    "demo": {"over": (1, 10), "seeds": 2, "epochs": 4},
    "quick": {"over": (1, 2, 5, 10), "seeds": 8, "epochs": 12},
    "paper": {"over": (1, 2, 5, 10), "seeds": 32, "epochs": 100},
}


def two_layer_configs(context: ExperimentContext) -> list[RunConfig]:
    """One configuration an `over`."""
    scale = TWO_LAYER_SCALES[context.scale]
    return [
        make_run_config(
            "two-layer", over=over, seeds=scale["seeds"], first_seed=context.seed + 1,
            epochs=scale["epochs"], teacher_start={"decay": 1.0},
        )
        for over in sorted(scale["over"], reverse=True)
    ]  # fmt: skip


def experiment(context: ExperimentContext) -> Finding:
    """Trains both set-ups and compares widths."""
    deep = deep_reels(context)
    two = shoot(
        two_layer_configs(context), context.directory / "two-layer", executor=context.executor,
        progress=context.progress, description="two-layer students", stack=8,
    )  # fmt: skip
    two = sorted(two, key=lambda reel: reel.config.over)
    names = {"deep": _name(deep[0]), "two-layer": _name(two[0])}
    frame = pl.concat(
        labelled(reels, [loss_frame(reel) for reel in reels]).with_columns(setup=pl.lit(name))
        for name, reels in ((names["deep"], deep), (names["two-layer"], two))
    )
    lengths = {
        names[kind]: (reel.config.epochs, FULL[kind])
        for kind, reel in (("deep", deep[0]), ("two-layer", two[0]))
    }
    verdict, because, table = verdict_of(frame, lengths)
    save_table(table, context.directory / "tables", "losses")
    figure = compared_losses(frame, "over", "Loss and over-parameterisation", panel="setup")
    saved = save_figure(figure, frame, context.directory / "figures", "losses")
    seeds = (DEEP_SCALES[context.scale].seeds, TWO_LAYER_SCALES[context.scale]["seeds"])
    return Finding(
        claim=CLAIM,
        verdict=verdict,
        because=because,
        settings={
            "deep epochs": deep[0].config.epochs,
            "deep loss": "mean over batch and outputs",
            "two-layer epochs": two[0].config.epochs,
            "two-layer loss": "half the summed squared error",
            "two-layer teacher": "10 nodes, p = 1",
            "evaluation samples": deep[0].config.data.evaluation,
        },
        seeds=min(seeds),
        tables=[table],
        figures=[
            picture(
                saved,
                f"Mean of log10 loss over seeds ({seeds[0]} deep, {seeds[1]} two-layer); band: one "
                "standard error over seeds.",
            )
        ],
        notes=[ANCHOR],
    )


def _name(reel: Reel) -> str:
    kind = "deep" if reel.config.setup == "deep" else "two layers"
    return f"{kind}, teacher {reel.config.teacher}"


def verdict_of(
    frame: pl.DataFrame, lengths: Mapping[str, tuple[int, int]] | None = None
) -> tuple[Verdict, str, Table]:
    """The verdict, the numbers it rests on, and the table of them; see the module.

    Args:
      frame: losses over time with columns `setup` and `over`.
      lengths: by set-up the epochs trained and those of the paper; unknown ones are not told.
    """
    checks: list[bool] = []
    told: list[str] = []
    rows: list[dict[str, object]] = []
    for setup in frame["setup"].unique(maintain_order=True):
        own = frame.filter(pl.col("setup") == setup).with_columns(
            log=pl.col("evaluation_loss").log10()
        )
        overs = sorted(own["over"].unique(), key=lambda text: float(text.split()[1]))
        last = float(own["epoch"].max())  # pyright: ignore[reportArgumentType] (stubs)
        early = max(e for e in own["epoch"].unique() if e <= max(last / 4, 1.0))
        for name, epoch in (("faster", early), ("lower", last)):
            at = own.filter(pl.col("epoch") == epoch).sort("seed")
            values = {over: at.filter(pl.col("over") == over)["log"].to_numpy() for over in overs}
            for over, logs in values.items():
                found = summarise(logs)
                rows.append(
                    {
                        "setup": setup, "epoch": epoch, "over": over, "log10_loss": found.mean,
                        "standard_error": found.standard_error, "seeds": found.count,
                    }
                )  # fmt: skip
            gain: Summary = paired_difference(values[overs[0]], values[overs[-1]])
            held = gain.mean < -2 * gain.standard_error
            checks.append(held)
            told.append(
                f"{setup}, epoch {epoch:g}: {overs[-1]} {gain.text(2)} in log10 against {overs[0]} "
                f"({name}: {'yes' if held else 'no'})"
            )
    short = [
        f"{setup}: {trained} of {whole} epochs"
        for setup, (trained, whole) in (lengths or {}).items()
        if trained < whole
    ]
    early_words = (
        f"Early in training only ({'; '.join(short)}), which says nothing of the end: "
        if short
        else ""
    )
    count = sum(checks)
    verdict: Verdict = (
        "holds" if count == len(checks) else "holds in part" if count else "does not hold"
    )
    columns = (
        Column("setup", "set-up"), Column("epoch", format=".3g"), Column("over", "student"),
        Column("log10_loss", "log10 evaluation loss", ".3f", highlight=True),
        Column("standard_error", "s.e.", ".3f"), Column("seeds"),
    )  # fmt: skip
    table = Table(pl.DataFrame(rows, infer_schema_length=None), "Evaluation loss", columns)
    return verdict, f"{early_words}{'; '.join(told)}.", table
