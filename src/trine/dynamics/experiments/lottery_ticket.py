"""F7: are lottery tickets lucky nodes? (Tian et al. 2019; protocol in `trine.dynamics.lottery`).

The paper's protocol is not at hand; ours trains a wide student, keeps as many nodes as the teacher
has, puts them back to their start and trains again, beside controls of the same shape.

Verdict, on the deep setting; losses are log10 of the evaluation loss at the end, seed by seed:
  winners  the rewound winners end below random tickets of the same student: the 95 % interval of
           the mean difference, seeds resampled, is below 0;
  found    so does a ticket found without asking the teacher (fan-out norm or sqrt(E beta_jj));
  fresh    the winners end below an ordinary start of the same shape when rescaled to its scale;
  unscaled and with the scale that they had in the wide student. If they do so only rescaled, the
           scale of the start decides, not luck alone;
  lucky    in layer 0 these tickets hold more of the initially nearest nodes than chance, p < 0.01.
All five: holds. Only some: holds in part. None: does not hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from numpy.typing import NDArray

from trine.core.figures import Palette, house_style, new_figure, save_figure
from trine.core.report import picture
from trine.core.seeding import Seeds
from trine.core.stats import Interval, bootstrap_interval, summarise
from trine.core.sweep import Cell, CellResult, read_cell, sweep
from trine.core.tables import Column, Table, save_table
from trine.dynamics.config import RunConfig, flat_settings, make_run_config
from trine.dynamics.experiments.base import ExperimentContext, Finding, Verdict
from trine.dynamics.lottery import TICKETS, overlap, run_lottery

__all__ = ["PLANS", "Plan", "experiment"]

CLAIM = (
    "A lottery ticket is a set of lucky nodes: the winners alone, put back to their start, learn "
    "better than other nodes, and pruning finds them (Tian et al. 2019; protocol and claim are "
    "recalled: a target to test)."
)

EARLY = 200
"""Step at which the table also compares tickets with controls: who is faster, not only better."""

DEEP, TWO_LAYERS = "deep", "two layers"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to compute.

    Attributes:
      settings: by name; the verdict rests on the first.
      seeds: how many.
      together: seeds in one stack.
      keep: nodes of a ticket over those of the teacher.
      draws: of each control.
      marks: steps of the second training at which the loss is looked at, besides ends of epochs.
    """

    settings: Mapping[str, RunConfig]
    seeds: int
    together: int
    keep: int = 1
    draws: int = 2
    marks: tuple[int, ...] = (50, 100, 200, 400, 800)


def _deep(samples: int = 100_000, epochs: int = 40, over: int = 10) -> RunConfig:
    return make_run_config("deep", over=over, data={"samples": samples}, epochs=epochs)


def _two(samples: int, epochs: int) -> RunConfig:
    return make_run_config("deep", teacher="10", data={"samples": samples}, epochs=epochs)


PLANS: Mapping[str, Plan] = {
    "demo": Plan(
        {DEEP: _deep(25_000, 2, over=5), TWO_LAYERS: _two(10_000, 2)}, 4, 2
    ),
    "quick": Plan(
        {DEEP: _deep(50_000, 4), TWO_LAYERS: _two(20_000, 3)}, 8, 4
    ),
    "paper": Plan({DEEP: _deep(), TWO_LAYERS: _two(100_000, 10)}, 8, 2),
}  # fmt: skip


def experiment(context: ExperimentContext) -> Finding:
    """F7."""
    plan = PLANS[context.scale]
    curves, best, overlaps = _measured(context, plan)
    return _finding(context, plan, curves, best, overlaps)


def lottery_cell(setting: RunConfig, plan: Plan, cell: Cell) -> CellResult:
    """Some seeds of a setting."""
    numbers = range(cell.seed, cell.seed + int(cell.parameters["count"]))
    run = run_lottery(setting, numbers, keep=plan.keep, draws=plan.draws, marks=plan.marks)
    arrays: dict[str, NDArray[Any]] = {
        "loss": run.loss, "best": run.best, "wide_loss": run.wide_loss,
    }  # fmt: skip
    for layer in range(len(run.won)):
        arrays[f"predicted.{layer}"] = run.predicted[layer].astype(np.uint8)
        for name in TICKETS:
            arrays[f"ticket.{name}.{layer}"] = run.tickets[name][layer]
    return CellResult({"conditions": run.conditions, "steps": run.steps}, arrays)


def _measured(
    context: ExperimentContext, plan: Plan
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Loss curves, correlations at the end, overlaps; each with `setting`."""
    curves: list[dict[str, Any]] = []
    best: list[dict[str, Any]] = []
    overlaps: list[dict[str, Any]] = []
    last = context.seed + plan.seeds
    for name, setting in plan.settings.items():
        directory = context.directory / "cells"
        parameters = {
            "setting": name, "over": setting.over, "samples": setting.data.samples,
            "epochs": setting.epochs, "keep": plan.keep,
        }  # fmt: skip
        firsts = range(context.seed, last, plan.together)
        cells = [Cell({**parameters, "count": min(plan.together, last - n)}, n) for n in firsts]
        sweep(
            partial(lottery_cell, setting, plan), cells, directory, executor=context.executor,
            progress=context.progress, description=f"tickets, {name}",
        )  # fmt: skip
        results = [read_cell(cell, directory) for cell in cells]
        for cell, result in zip(cells, results, strict=True):
            _add_rows(name, cell.seed, result, curves, best)
        seeds = Seeds(context.seed).child("overlap", name)
        for layer in range(setting.teacher_architecture.depth):
            wanted = _joined(results, f"predicted.{layer}")
            for ticket in TICKETS[:-1]:
                chosen = _joined(results, f"ticket.{ticket}.{layer}")
                found = overlap(chosen, wanted, seeds.generator(ticket, layer))
                overlaps.append(
                    {
                        "setting": name, "layer": layer, "ticket": ticket, "share": found.share,
                        "low": found.low, "high": found.high, "chance": found.chance,
                        "p_value": found.p_value, "seeds": len(chosen),
                    }
                )  # fmt: skip
    return pl.DataFrame(curves), pl.DataFrame(best), pl.DataFrame(overlaps)


def _joined(results: Sequence[CellResult], key: str) -> NDArray[Any]:
    return np.concatenate([result.arrays[key] for result in results])


def _add_rows(
    name: str,
    first: int,
    result: CellResult,
    curves: list[dict[str, Any]],
    best: list[dict[str, Any]],
) -> None:
    """One row a seed and step, the draws of a control averaged (the logarithm of the loss)."""
    conditions, steps = list(result.values["conditions"]), list(result.values["steps"])
    logs = np.log10(result.arrays["loss"])  # [C, R, M]
    for condition in dict.fromkeys(conditions):
        places = [n for n, other in enumerate(conditions) if other == condition]
        mean, layers = logs[places].mean(0), result.arrays["best"][places].mean(0)
        for network in range(mean.shape[0]):
            own = {"setting": name, "condition": condition, "seed": first + network}
            curves += [
                {**own, "step": step, "log10_loss": float(mean[network, k])}
                for k, step in enumerate(steps)
            ]
            best += [
                {**own, "layer": layer, "best": float(value)}
                for layer, value in enumerate(layers[network])
            ]
    wide = np.log10(result.arrays["wide_loss"])
    curves += [
        {
            "setting": name, "condition": "wide student", "seed": first + network,
            "step": steps[-1], "log10_loss": float(value),
        }
        for network, value in enumerate(wide)
    ]  # fmt: skip


def _difference(
    curves: pl.DataFrame, setting: str, condition: str, control: str, step: int, seeds: Seeds
) -> Interval:
    """Condition minus control of log10 loss at a step, mean over seeds with its interval."""

    def at(name: str) -> NDArray[Any]:
        mine = curves.filter(
            (pl.col("setting") == setting) & (pl.col("condition") == name)
            & (pl.col("step") == step)
        )  # fmt: skip
        return mine.sort("seed")["log10_loss"].to_numpy()

    generator = seeds.generator("difference", setting, condition, control, step)
    return bootstrap_interval(at(condition) - at(control), generator)


def _ticket_rows(
    curves: pl.DataFrame, best: pl.DataFrame, plan: Plan, seeds: Seeds
) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for (setting, condition), group in curves.group_by(
        ["setting", "condition"], maintain_order=True
    ):
        last = int(group["step"].max())  # pyright: ignore[reportArgumentType] (an integer column)
        end = summarise(group.filter(pl.col("step") == last)["log10_loss"])
        row: dict[str, Any] = {
            "setting": setting, "condition": condition, "log10_loss": end.mean,
            "standard_error": end.standard_error, "loss_text": end.text(2), "seeds": end.count,
            "early_step": None, "early_text": "", "end_text": "",
            "fresh_text": "", "layer_0": math.nan,
            "mean_best": math.nan,
        }  # fmt: skip
        if condition != "wide student":
            control = "fresh" if "rescaled" in str(condition) else "random"
            early = max((mark for mark in plan.marks if mark <= min(EARLY, last)), default=last)
            row["early_step"] = early
            for key, step in (("early", early), ("end", last)):
                found = _difference(curves, str(setting), str(condition), control, step, seeds)
                row[f"{key}_text"] = "" if condition == control else _text(found)
            if condition != "fresh":
                found = _difference(curves, str(setting), str(condition), "fresh", last, seeds)
                row["fresh_text"] = _text(found)
            mine = best.filter((pl.col("setting") == setting) & (pl.col("condition") == condition))
            row["layer_0"] = float(mine.filter(pl.col("layer") == 0)["best"].to_numpy().mean())
            row["mean_best"] = float(mine["best"].to_numpy().mean())
        rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None)


def _text(found: Interval) -> str:
    return f"{found.estimate:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def _finding(
    context: ExperimentContext,
    plan: Plan,
    curves: pl.DataFrame,
    best: pl.DataFrame,
    overlaps: pl.DataFrame,
) -> Finding:
    seeds = Seeds(context.seed).child("lottery-statistics")
    tickets = Table(
        _ticket_rows(curves, best, plan, seeds),
        "Tickets and controls after the second training",
        (
            Column("setting"),
            Column("condition", highlight=True),
            Column("loss_text", "log10 loss at the end", highlight=True),
            Column("early_step", "early: step"),
            Column("early_text", "against control, early [95 %]"),
            Column("end_text", "against control, end [95 %]"),
            Column("fresh_text", "against fresh, end [95 %]"),
            Column("layer_0", "correlation, layer 0", ".3f"),
            Column("mean_best", "all layers", ".3f"),
            Column("seeds"),
        ),
        "Loss: evaluation mean square, ± one standard error over seeds. Control: `random`; for "
        "rescaled tickets `fresh`. Differences seed by seed, intervals by resampling seeds; below "
        "0 the ticket is better.",
    )
    shared = Table(
        overlaps,
        "How many of the initially nearest nodes a ticket holds",
        (
            Column("setting"),
            Column("layer"),
            Column("ticket"),
            Column("share", "share held", ".2f", highlight=True),
            Column("low", "95 % from", ".2f"),
            Column("high", "to", ".2f"),
            Column("chance", "by chance", ".2f"),
            Column("p_value", "p", ".4f"),
            Column("seeds"),
        ),
        "p: random tickets (hypergeometric), one-sided, 10,000 simulations.",
    )
    tables = context.directory / "tables"
    save_table(tickets, tables, "tickets")
    save_table(shared, tables, "overlap")
    folder = context.directory / "figures"
    drawn = save_figure(loss_figure(curves), curves, folder, "losses")
    held = save_figure(overlap_figure(overlaps), overlaps, folder, "overlap")
    primary = next(iter(plan.settings))
    verdict, because = _judge(curves, overlaps, primary, seeds)
    return Finding(
        claim=CLAIM, verdict=verdict, because=because,
        settings={
            **flat_settings(plan.settings[primary]), "settings": "; ".join(plan.settings),
            "ticket": f"{plan.keep} x the teacher's nodes in each layer",
            "draws of a control": plan.draws,
        },
        seeds=plan.seeds, tables=[tickets, shared],
        figures=[
            picture(
                drawn,
                f"Evaluation loss of the second training; {plan.seeds} seeds; band: ± one standard "
                "error; controls are dashed, mean of their draws; dotted: the wide student.",
                "Rewound tickets and their controls",
            ),
            picture(
                held,
                f"Share of the initially nearest nodes that a ticket holds; {plan.seeds} seeds; "
                "bars: 95 % interval, seeds resampled; black: chance.",
                "Tickets and initial winners",
            ),
        ],
        notes=[
            "The paper's lottery protocol is not at hand; ours is in the documentation of "
            "`trine.dynamics.lottery`. `winners` and `predicted` ask the teacher which nodes to "
            "keep, `fan-out` and `influence` do not.",
            "A ticket keeps the scale of the wide start; `random` and `redrawn` do, too. `fresh` "
            "starts with larger weights, as any narrow network; compare it with rescaled tickets.",
        ],
    )  # fmt: skip


def _judge(
    curves: pl.DataFrame, overlaps: pl.DataFrame, setting: str, seeds: Seeds
) -> tuple[Verdict, str]:
    mine = curves.filter((pl.col("setting") == setting) & (pl.col("condition") != "wide student"))
    last = int(mine["step"].max())  # pyright: ignore[reportArgumentType] (an integer column)

    def against(condition: str, control: str) -> Interval:
        return _difference(curves, setting, condition, control, last, seeds)

    winners = against("winners", "random")
    found = {name: against(name, "random") for name in ("fan-out", "influence")}
    fresh, unscaled = (against(name, "fresh") for name in ("winners, rescaled", "winners"))
    bottom = overlaps.filter(
        (pl.col("setting") == setting) & (pl.col("layer") == 0)
        & pl.col("ticket").is_in(["fan-out", "influence"])
    )  # fmt: skip
    held = [
        winners.high < 0,
        any(interval.high < 0 for interval in found.values()),
        fresh.high < 0,
        unscaled.high < 0,
        bool((bottom["p_value"] < 0.01).any()),
    ]
    number = sum(held)
    verdict: Verdict = (
        "holds" if number == len(held) else "holds in part" if number else "does not hold"
    )
    shares = ", ".join(
        f"{row['ticket']} {row['share']:.2f} (p = {row['p_value']:.4f})"
        for row in bottom.iter_rows(named=True)
    )
    chance = float(bottom["chance"][0])
    decides = " (rescaling decides it)" if fresh.high < 0 <= unscaled.high else ""
    because = (
        f"{setting}, log10 loss at the end against random tickets [95 %]: winners "
        f"{_text(winners)}, fan-out {_text(found['fan-out'])}, "
        f"influence {_text(found['influence'])}; rescaled winners against a fresh start "
        f"{_text(fresh)}, not rescaled {_text(unscaled)}{decides}; share of the initially nearest "
        f"nodes of layer 0 in a ticket: {shares}, "
        f"chance {chance:.2f}."
    )
    return verdict, because


def loss_figure(curves: pl.DataFrame) -> Figure:
    """log10 loss over steps, a panel a setting and scale of the start, controls dashed."""
    settings = curves["setting"].unique(maintain_order=True).to_list()
    plain = ("winners", "fan-out", "influence", "predicted", "random", "redrawn")
    groups = (
        ("scale of the wide start", plain),
        ("scale of a narrow start", ("winners, rescaled", "fan-out, rescaled", "fresh")),
    )  # fmt: skip
    palette = Palette(plain)
    with house_style():
        figure = Figure(figsize=(8.4, 3.3 * len(settings)), layout="constrained")
        panels = figure.subplots(len(settings), 2, squeeze=False, sharey="row")
        for row, setting in enumerate(settings):
            for axes, (title, names) in zip(panels[row], groups, strict=True):
                for name in names:
                    _curve(axes, curves, setting, name, palette)
                wide = curves.filter(
                    (pl.col("setting") == setting) & (pl.col("condition") == "wide student")
                )["log10_loss"].to_numpy()
                axes.axhline(wide.mean(), color="#000000", linestyle=":", linewidth=1)
                axes.set_title(f"{setting}, {title}", fontsize=10)
                axes.set_xlabel("step of the second training")
                axes.set_xscale("symlog", linthresh=100)
                axes.set_xlim(0, None)
                axes.legend(loc="upper right", fontsize=8)
            panels[row][0].set_ylabel("log10 evaluation loss")
    return figure


def _curve(axes: Any, curves: pl.DataFrame, setting: str, name: str, palette: Palette) -> None:
    mine = curves.filter((pl.col("setting") == setting) & (pl.col("condition") == name))
    table = mine.pivot(on="seed", index="step", values="log10_loss").sort("step")
    steps, values = table["step"].to_numpy(), table.drop("step").to_numpy()
    mean = values.mean(1)
    colour = palette.colour(name.removesuffix(", rescaled").replace("fresh", "random"))
    dashed = "--" if name in ("random", "redrawn", "fresh") else "-"
    axes.plot(steps, mean, color=colour, linestyle=dashed, label=name)
    if values.shape[1] > 1:
        error = values.std(1, ddof=1) / math.sqrt(values.shape[1])
        axes.fill_between(steps, mean - error, mean + error, color=colour, alpha=0.15)


def overlap_figure(overlaps: pl.DataFrame) -> Figure:
    """Share of initially nearest nodes held by tickets, layer by layer, of the first setting."""
    setting = overlaps["setting"][0]
    mine = overlaps.filter(pl.col("setting") == setting)
    names = mine["ticket"].unique(maintain_order=True).to_list()
    palette = Palette(names)
    figure, axes = new_figure(6.4, 3.6)
    with house_style():
        for place, name in enumerate(names):
            own = mine.filter(pl.col("ticket") == name)
            x = own["layer"].to_numpy() + 0.14 * (place - (len(names) - 1) / 2)
            y, low, high = (own[key].to_numpy() for key in ("share", "low", "high"))
            spread = np.nan_to_num(np.clip(np.stack([y - low, high - y]), 0, None))
            axes.errorbar(
                x, y, spread, color=palette.colour(name), marker=palette.marker(name),
                linestyle="none", capsize=3, label=name,
            )  # fmt: skip
        layers = sorted(mine["layer"].unique().to_list())
        chance = [float(mine.filter(pl.col("layer") == k)["chance"][0]) for k in layers]
        axes.plot(layers, chance, color="#000000", marker="_", markersize=30, lw=0, label="chance")
        axes.set_xticks(layers)
        axes.set_ylim(0, 1)
        axes.set_xlabel("hidden layer (0: next to the input)")
        axes.set_ylabel("share of initially nearest nodes\nin the ticket")
        axes.legend(fontsize=9)
    return figure
