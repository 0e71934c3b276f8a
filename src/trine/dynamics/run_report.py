"""Tables, figures, animation and `report.html` of one training run."""

from __future__ import annotations

from typing import Any

import polars as pl

from trine.core.figures import save_figure
from trine.core.report import Picture, Section, picture, write_report
from trine.core.runs import Run
from trine.core.tables import Column, Table, save_table
from trine.dynamics.animation import write_animation
from trine.dynamics.config import flat_settings
from trine.dynamics.films import Reel
from trine.dynamics.pictures import (
    correlation_curves,
    loss_curves,
    matching_matrices,
    pull_curves,
    rank_histograms,
    row_norm_curves,
)
from trine.dynamics.results import (
    correlation_frame,
    loss_frame,
    node_frame,
    pull_frame,
    row_norm_frame,
)

__all__ = ["layer_table", "short_table", "write_run_report"]

LAYER_COLUMNS = (
    Column("layer"),
    Column("mean_best_correlation_alive", "best correlation, alive", ".4f", highlight=True),
    Column("mean_best_correlation_alive_se", "s.e.", ".4f"),
    Column("mean_best_correlation", "dead as 0", ".4f"),
    Column("minimum", "smallest", ".3f"),
    Column("dead_teacher_nodes", "dead"),
    Column("matched_above_95", "above .95"),
    Column("teacher_nodes", "of nodes"),
    Column("initial_rank_mean", "initial rank", ".2f", highlight=True),
    Column("initial_rank_chance", "by chance", ".1f"),
    Column("initial_rank_p", "p", ".2g"),
)


def count_of(number: int, what: str) -> str:
    """`1 seed`, `8 seeds`."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def layer_table(layers: list[dict[str, Any]], title: str = "") -> Table:
    """The pooled layers of `results.layer_results` as people read them."""
    frame = pl.DataFrame(layers, infer_schema_length=None)
    return Table(frame, title, [c for c in LAYER_COLUMNS if c.name in frame.columns])


def short_table(layers: list[dict[str, Any]], title: str = "") -> Table:
    """The same for a terminal of 80 columns."""
    rows: list[dict[str, Any]] = []
    for row in layers:
        mean, error = row["mean_best_correlation_alive"], row["mean_best_correlation_alive_se"]
        spread = "" if error is None or error != error else f" ± {error:.4f}"
        known = mean is not None and mean == mean
        rows.append(
            {
                "layer": row["layer"],
                "correlation": f"{mean:.4f}{spread}" if known else "all dead",
                "minimum": row["minimum"],
                "above": f"{row['matched_above_95']}/{row['teacher_nodes']}",
                "dead": row["dead_teacher_nodes"],
                "rank": row["initial_rank_mean"],
                "chance": row["initial_rank_chance"],
                "p": row["initial_rank_p"],
            }
        )
    columns = (
        Column("layer"), Column("correlation", highlight=True), Column("minimum", "least", ".2f"),
        Column("above", "> .95"), Column("dead"), Column("rank", "rank", ".1f", highlight=True),
        Column("chance", "chance", ".1f"), Column("p", format=".1g"),
    )  # fmt: skip
    caption = (
        "Best correlation of living teacher nodes, mean over seeds; rank at the start of the "
        "student node that wins, 0 the nearest."
    )
    return Table(pl.DataFrame(rows, infer_schema_length=None), title, columns, caption)


def seed_table(each: list[dict[str, Any]]) -> Table:
    """One row a seed and layer."""
    rows = [
        {
            "seed": one["seed"], "evaluation_loss": one["evaluation_loss"],
            "train_loss": one["train_loss"], **layer,
        }
        for one in each
        for layer in one["layers"]
    ]  # fmt: skip
    frame = pl.DataFrame(rows, infer_schema_length=None)
    columns = [
        Column("seed"), Column("evaluation_loss", "evaluation loss", ".3g"),
        *(column for column in LAYER_COLUMNS if column.name in frame.columns),
    ]  # fmt: skip
    return Table(frame, "Every seed", columns)


def write_run_report(run: Run, reel: Reel, result: dict[str, Any]) -> None:
    """Writes tables, figures, animation and report of a run whose films are there."""
    curves, losses, nodes = correlation_frame(reel), loss_frame(reel), node_frame(reel)
    norms, pulls = row_norm_frame(reel), pull_frame(reel)
    for name, frame in (
        ("correlations", curves), ("losses", losses), ("nodes", nodes), ("row_norms", norms),
        ("pulls", pulls),
    ):  # fmt: skip
        if frame.height:
            _save_csv(run, name, frame)
    layers, seeds = layer_table(result["layers"], "Layers"), seed_table(result["per_seed"])
    save_table(Table(layers.frame), run.tables, "layers")
    save_table(Table(seeds.frame), run.tables, "seeds")
    write_animation(run.directory / "animation.html", reel)
    counted = count_of(len(reel.seeds), "seed")
    first = reel.seeds[0]
    matrices = matching_matrices(
        reel.first.matching, reel.last.matching, 0, f"Who is who, seed {first}"
    )
    pictures = [
        _saved(
            run, "correlations", curves,
            correlation_curves(curves, "Best correlation of teacher nodes"),
            f"Best correlation of each teacher node that is alive with any student node, on "
            f"{result['evaluation_samples']:,} evaluation samples. Mean over {counted}; "
            "band: one standard error over seeds.",
        ),
        _saved(
            run, "initial_ranks", nodes,
            rank_histograms(nodes, result["layers"], "Where winners ranked at the start"),
            f"Living teacher nodes of {counted} together. p: share of 10,000 renumberings of "
            "student nodes whose mean rank is as low.",
        ),
        _saved(
            run, "losses", losses, loss_curves(losses, "Loss"),
            f"Mean over {counted} of the logarithm; band: one standard error.",
        ),
        _saved(
            run, "row_norms", norms, row_norm_curves(norms, "Weights of winners and others"),
            f"Line: median over nodes, mean over {counted}; band: smallest to largest of all.",
        ),
        _saved(
            run, "matrices", nodes, matrices,
            "Correlation of teacher and student nodes; the order is that of the end.",
        ),
    ]  # fmt: skip
    if pulls.height:
        drawn = pull_curves(pulls, "How much teacher nodes attract their later winners")
        caption = (
            "What a teacher node itself adds to the gradient of a student node along its own "
            "direction (gradient units): its later winner, and the median of the others. Mean over "
            f"living teacher nodes and {counted}; band: one standard error over seeds. "
            "`tables/pulls.csv` has every teacher node, and the whole drift too."
        )
        pictures.append(_saved(run, "pulls", pulls, drawn, caption))
    section = Section(
        title=f"{result['setup']}: teacher {result['teacher']}, student {result['student']}",
        paragraphs=[
            "Layers are counted from 0, next to the input. A winner is the student node that "
            "correlates most with a teacher node at the end; its initial rank is its place by "
            "correlation at the start, 0 the nearest; before training has moved anything that is 0 "
            "for all, so that ranks tell of luck once nodes are found (above .95). Dead teacher "
            "nodes are never active on the evaluation samples and are left out of means called "
            "alive.",
            "The whole course of the correlation matrices: open `animation.html` beside this page. "
            "All numbers: `tables/`.",
        ],
        tables=[layers, seeds],
        figures=pictures,
        notes=_notes(result),
    )
    facts = {
        "command": run.info.command,
        "version": run.info.version,
        "revision": run.info.revision or "unknown",
        **run.info.libraries,
        "CPU seconds": f"{reel.cpu_seconds:.0f}",
        **flat_settings(reel.config),
    }
    write_report(run.report, section.title, [section], summary=_summary(result), facts=facts)


def _saved(run: Run, name: str, frame: pl.DataFrame, figure: Any, caption: str) -> Picture:
    return picture(save_figure(figure, frame, run.figures, name), caption)


def _save_csv(run: Run, name: str, frame: pl.DataFrame) -> None:
    from trine.core.artifacts import write_text
    from trine.core.tables import to_csv

    write_text(run.tables / f"{name}.csv", to_csv(Table(frame)))


def _summary(result: dict[str, Any]) -> str:
    values = ", ".join(
        f"L{row['layer']} {row['mean_best_correlation_alive']:.4f}" for row in result["layers"]
    )
    return (
        f"Best correlations of living teacher nodes, mean over {count_of(result['seeds'], 'seed')} "
        f"after {count_of(result['epochs'], 'epoch')}: {values}."
    )


def _notes(result: dict[str, Any]) -> list[str]:
    return [
        f"Effective step (rate times loss factor times mean square of an input): "
        f"{result['effective_step']:.3g}.",
        f"{result['steps']:,} steps a student; {result['student_steps_per_cpu_second']:,.0f} "
        "student steps per CPU second, snapshots included.",
        "A number is missing where all nodes of a layer are dead or there is one seed only.",
    ]
