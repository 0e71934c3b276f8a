"""The page of a training: the match at the end, curves over the decisions, agreement by type."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from trine.bridge.config import Recipe
from trine.core.records import read_metrics
from trine.core.report import Picture, Section, picture, write_report
from trine.core.tables import Column, Table, save_table

if TYPE_CHECKING:
    from trine.core.runs import Run

__all__ = ["agreement_table", "write_train_report"]

_WINDOW = 10

# Column of the record -> label of its axis.
_CURVES = {
    "against_start": "IMPs a board against the start",
    "against_past": "IMPs a board against past selves",
    "from_par": "IMPs a board away from par",
    "entropy": "entropy of a call (nats)",
    "explained": "variance explained by the critic",
    "kl": "divergence of an update (nats)",
    "calls": "calls of an auction",
    "decisions_per_second": "decisions a second",
}


def agreement_table(rows: list[dict[str, Any]], key: str, title: str) -> Table:
    """Agreement with recorded calls by type of call or by file."""
    frame = pl.DataFrame(rows).with_columns((100 * pl.col("agreement")).alias("agreement"))
    columns = [
        Column(key),
        Column("decisions", format=","),
        Column("agreement", "agreement (%)", ".1f", highlight=True),
    ]
    return Table(frame, title, columns)


def write_train_report(run: Run, recipe: Recipe, found: dict[str, Any] | None) -> Path:
    """Writes figures, tables and `report.html`.

    Args:
      run: its directory; what it has recorded so far is shown.
      recipe: of the training.
      found: the result; None while it is still under way (live curves).
    """
    metrics = read_metrics(run.metrics_path)
    sections: list[Section] = []
    summary = "Training is under way; this page is written again at every checkpoint."
    if found and "match" in found:
        match = found["match"]
        summary = (
            f"{match['imps_per_board']:+.2f} ± {match['se']:.2f} IMPs a board against the start of "
            f"self-play, over {match['boards']:,} boards that were never trained on."
        )
    elif found and "imitation" in found:
        summary = f"{100 * found['imitation']['agreement']:.1f} % agreement on held-out deals."
    if metrics.height and "stage" in metrics.columns:
        sections += _self_play(metrics, run)
        sections += _imitation(metrics, run, found or {})
    facts = {
        "codec": recipe.network.codec,
        "hidden layers": f"{recipe.network.layers} of {recipe.network.width}",
        "critic": "privileged" if recipe.critic.privileged else "value head",
        "reward": f"{recipe.reward.kind}, {recipe.reward.tables} tables a deal",
        "search": recipe.search.strategy,
        "pool share": recipe.pool.share,
        "seed": recipe.seed,
        **((found or {}).get("self_play") or {}),
    }
    title = f"Bidding network {recipe.title}".strip()
    return write_report(run.report, title, sections, summary=summary, facts=facts)


def _self_play(metrics: pl.DataFrame, run: Run) -> list[Section]:
    rows = metrics.filter(pl.col("stage") == "self_play")
    if not rows.height:
        return []
    figures = [
        _curve(rows, column, label, run.figures)
        for column, label in _CURVES.items()
        if column in rows.columns and rows[column].drop_nulls().len() > 1
    ]
    note = (
        f"Thin: one update; thick: mean of the last {_WINDOW}. Matches against the start are on "
        "held-out deals, most probable calls; those against past selves are the training games."
    )
    return [Section("Self-play", figures=figures, notes=[note])]


def _imitation(metrics: pl.DataFrame, run: Run, found: dict[str, Any]) -> list[Section]:
    rows = metrics.filter(pl.col("stage") == "imitation")
    if not rows.height:
        return []
    figures = []
    if rows.height > 1:
        shown = rows.with_columns((100 * pl.col("agreement")).alias("percent"))
        figures.append(
            _curve(shown, "percent", "agreement on held-out deals (%)", run.figures, "update")
        )
    tables = []
    for kind, key in (("by_type", "call"), ("by_source", "file")):
        listed = found.get("imitation", {}).get(kind)
        if listed:
            table = agreement_table(listed, key, f"Agreement by {key}")
            save_table(table, run.tables, f"agreement-{kind.replace('_', '-')}")
            tables.append(table)
    note = "Agreement: the most probable legal call is the recorded one."
    return [Section("Imitation", tables=tables, figures=figures, notes=[note])]


def _curve(
    rows: pl.DataFrame, column: str, label: str, directory: Path, x: str = "decisions"
) -> Picture:
    from matplotlib.ticker import EngFormatter

    from trine.core.figures import PALETTE, house_style, new_figure, save_figure

    shown = rows.select(x, column).drop_nulls()
    shown = shown.with_columns(
        pl.col(column).rolling_mean(_WINDOW, min_samples=1).alias("mean"),
    )
    figure, axes = new_figure(5.2, 3.0)
    colour = PALETTE.colour(column)
    with house_style():
        sparse = shown.height < 3 * _WINDOW
        axes.plot(shown[x].to_list(), shown[column].to_list(), color=colour,
                  linewidth=1.8 if sparse else 0.5, alpha=1.0 if sparse else 0.5)  # fmt: skip
        if not sparse:
            axes.plot(shown[x].to_list(), shown["mean"].to_list(), color=colour)
        axes.set_xlabel(x)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))  # 700k, 2M: long numbers run together
        axes.set_ylabel(label)
    saved = save_figure(figure, shown, directory, column.replace("_", "-"))
    return picture(saved, label)
