"""F2: winners were near at the start, and that is why they won (Tian et al. 2019; spec 7.1).

Two parts. *Ranks*: deep students of random teachers; the initial rank of the final winners, layer
by layer, against chance. *Counterfactuals*: in students of the same kind, the predicted winner of
every teacher node of a layer is redrawn or swapped, and the student is trained again from the same
data in the same order (`trine.dynamics.counterfactual`).

Verdict, seeds pooled:
  bottom   mean initial rank in layer 0 at most a tenth of the width, permutation p < 0.01;
  fading   the rank, as a share of the width, grows with the layer: slope over layers p < 0.05;
  weights  the winner's incoming weights matter: it wins again less often when it was redrawn than
           when others were, where the nearest node had won. Nearly true by construction, since a
           node with other weights wins again by chance only, and no word on nearness;
  nearness the same node wins again more often when it was redrawn as near as it was than when it
           was redrawn altogether.
Of the last two: the 95 % interval of the difference, seeds resampled, is above 0.
All four: holds. Only some: holds in part. None: does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from trine.core.figures import Palette, house_style, new_figure, save_figure
from trine.core.report import picture
from trine.core.seeding import Seeds
from trine.core.stats import Interval, clustered_difference, clustered_interval
from trine.core.sweep import Cell, CellResult, read_cell, sweep
from trine.core.tables import Column, Table, save_table
from trine.dynamics.assembly import (
    batches_of,
    descent_of,
    evaluation_inputs,
    pick_device,
    students_of,
    teachers_of,
)
from trine.dynamics.config import RunConfig, flat_settings, make_run_config
from trine.dynamics.counterfactual import (
    AS_NEAR,
    CONDITIONS,
    run_counterfactuals,
)
from trine.dynamics.experiments.base import ExperimentContext, Finding, Verdict
from trine.dynamics.experiments.ranks import (
    fading,
    pooled_rows,
    rank_figure,
    rank_rows,
    rank_table,
)
from trine.dynamics.measures.loss import evaluation_loss
from trine.dynamics.measures.matching import match_stacks
from trine.dynamics.training import train

__all__ = ["PLANS", "Plan", "experiment"]

CLAIM = (
    "Winning student nodes were near their teacher node at the start, far below chance at the "
    "bottom and less so higher up, and being near is why they win (Tian et al. 2019, lucky nodes)."
)


@dataclass(frozen=True, slots=True)
class Question:
    """One set of counterfactuals: setting, layer, predicted winners a teacher node, seeds."""

    setting: RunConfig
    layer: int
    top: int
    seeds: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to compute.

    Attributes:
      ranks: setting of the deep students.
      seeds: how many of them.
      together: seeds in one stack.
      questions: counterfactuals by name; the verdict rests on the first.
    """

    ranks: RunConfig
    seeds: int
    together: int
    questions: Mapping[str, Question]


def _deep(samples: int = 100_000, epochs: int = 40, over: int = 10) -> RunConfig:
    return make_run_config("deep", over=over, data={"samples": samples}, epochs=epochs)


def _two(samples: int, epochs: int) -> RunConfig:
    """The lowest layer of the reference teacher with an output layer on it."""
    return make_run_config("deep", teacher="10", data={"samples": samples}, epochs=epochs)


PLANS: Mapping[str, Plan] = {
    "demo": Plan(
        _deep(25_000, 2, over=5), 4, 2,
        {"two layers, layer 0": Question(_two(8_000, 2), 0, 1, 4)},
    ),
    "quick": Plan(
        _deep(50_000, 4), 8, 2,
        {"two layers, layer 0": Question(_two(20_000, 2), 0, 1, 8)},
    ),
    "paper": Plan(
        _deep(), 8, 2,
        {
            "deep, layer 0": Question(_deep(epochs=4, over=5), 0, 1, 8),
            "two layers, layer 0": Question(_two(50_000, 4), 0, 1, 16),
            "two layers, layer 0, three nearest": Question(_two(50_000, 4), 0, 3, 16),
            "deep, layer 1": Question(_deep(epochs=4, over=5), 1, 1, 8),
        },
    ),
}  # fmt: skip


def experiment(context: ExperimentContext) -> Finding:
    """F2."""
    plan = PLANS[context.scale]
    pooled, single, trend, matched = _ranks(context, plan)
    cases = _counterfactuals(context, plan)
    shares = _share_rows(cases, Seeds(context.seed).child("clusters"))
    return _finding(context, plan, pooled, single, trend, matched, cases, shares)


def _ranks(
    context: ExperimentContext, plan: Plan
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, float], Table]:
    directory = context.directory / "ranks"
    firsts = range(context.seed, context.seed + plan.seeds, plan.together)
    last = context.seed + plan.seeds
    setting = plan.ranks
    named = {"over": setting.over, "samples": setting.data.samples, "epochs": setting.epochs}
    cells = [Cell({**named, "count": min(plan.together, last - n)}, n) for n in firsts]
    sweep(
        partial(rank_cell, setting), cells, directory, executor=context.executor,
        progress=context.progress, description="deep students",
        note=lambda values: f"layer 0 {values['layer_0']:.4f}",
    )  # fmt: skip
    results = [read_cell(cell, directory) for cell in cells]
    depth = setting.teacher_architecture.depth

    def joined(kind: str) -> list[np.ndarray[Any, Any]]:
        return [np.concatenate([r.arrays[f"{kind}.{k}"] for r in results]) for k in range(depth)]

    start, end = joined("initial"), joined("final")
    alive = [a.astype(bool) for a in joined("alive")]
    numbers = list(range(context.seed, last))
    seeds = Seeds(context.seed).child("initial-rank")
    single = rank_rows(start, end, alive, numbers, seeds)
    pooled = pooled_rows(start, end, alive, numbers, seeds)
    rows = [
        {
            "layer": k, "start": float(start[k].max(2)[alive[k]].mean()),
            "end": float(end[k].max(2)[alive[k]].mean()),
            "lowest": float(end[k].max(2)[alive[k]].min()),
            "dead": int((~alive[k]).sum()), "nodes": alive[k].size,
        }
        for k in range(depth)
    ]  # fmt: skip
    loss = np.concatenate([r.arrays["loss"] for r in results])
    matched = Table(
        pl.DataFrame(rows), "Best correlation of the same students' teacher nodes",
        (
            Column("layer"), Column("start", "at the start", ".3f"),
            Column("end", "at the end", ".4f", highlight=True),
            Column("lowest", "lowest node", ".3f"), Column("dead", "dead teacher nodes"),
            Column("nodes", "teacher nodes"),
        ),
        f"Mean over teacher nodes alive, {len(numbers)} seeds; mean evaluation loss "
        f"{loss.mean():.2e}.",
    )  # fmt: skip
    return pooled, single, fading(single, seeds), matched


def rank_cell(setting: RunConfig, cell: Cell) -> CellResult:
    """Trains some seeds of a setting in one stack; correlations at the start and the end."""
    seeds = [Seeds(cell.seed + k) for k in range(int(cell.parameters["count"]))]
    teachers = teachers_of(setting, seeds)
    device = pick_device(setting.device)
    students = students_of(setting, seeds, teachers).to(device)
    teachers, inputs = teachers.to(device), evaluation_inputs(setting, seeds).to(device)
    before = match_stacks(teachers, students, inputs)
    batches, descent = batches_of(setting, teachers, seeds), descent_of([setting] * len(seeds))
    for _ in train(students, batches, descent, epochs=setting.epochs):
        pass
    after = match_stacks(teachers, students, inputs)
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "loss": evaluation_loss(teachers, students, inputs).numpy()
    }
    for layer in range(setting.teacher_architecture.depth):
        arrays[f"initial.{layer}"] = before.correlation[layer].numpy()
        arrays[f"final.{layer}"] = after.correlation[layer].numpy()
        arrays[f"alive.{layer}"] = after.alive(layer).numpy().astype(np.uint8)
    best = after.best(0)[after.alive(0)]
    return CellResult({"layer_0": float(best.mean())}, arrays)


def _counterfactuals(context: ExperimentContext, plan: Plan) -> pl.DataFrame:
    """Rows of `outcomes` of all questions and seeds, with `question`."""
    frames: list[pl.DataFrame] = []
    for name, question in plan.questions.items():
        directory = context.directory / "counterfactuals"
        setting = question.setting
        parameters = {
            "question": name, "over": setting.over, "samples": setting.data.samples,
            "epochs": setting.epochs, "layer": question.layer, "top": question.top,
            "conditions": len(CONDITIONS),
        }  # fmt: skip
        cells = [Cell(parameters, context.seed + k) for k in range(question.seeds)]
        sweep(
            partial(counterfactual_cell, question), cells, directory,
            executor=context.executor, progress=context.progress, description=name,
        )  # fmt: skip
        for cell in cells:
            columns = read_cell(cell, directory).values["rows"]
            frames.append(pl.DataFrame(columns).with_columns(pl.lit(name).alias("question")))
    return pl.concat(frames)


def counterfactual_cell(question: Question, cell: Cell) -> CellResult:
    """All counterfactuals of one seed."""
    frame = run_counterfactuals(question.setting, cell.seed, layer=question.layer, top=question.top)
    return CellResult({"rows": frame.to_dict(as_series=False)})


LUCKY, ALL = "the nearest had won", "all teacher nodes"
OUTCOMES = ("again", "predicted", "runner_up", "carrier")


def _share_rows(cases: pl.DataFrame, seeds: Seeds) -> pl.DataFrame:
    """Shares of outcomes by question, condition and whether the nearest node had won before."""
    rows: list[dict[str, Any]] = []
    for lucky in (True, False):
        chosen = cases.filter(pl.col("lucky")) if lucky else cases
        for key, group in chosen.group_by(["question", "condition"], maintain_order=True):
            row: dict[str, Any] = {
                "among": LUCKY if lucky else ALL,
                "question": key[0], "condition": key[1], "cases": len(group),
                "seeds": group["seed"].n_unique(), "rank": float(group["rank"].to_numpy().mean()),
                "best": float(group["best"].to_numpy().mean()),
            }  # fmt: skip
            for outcome in OUTCOMES:
                generator = seeds.generator(outcome, str(key[0]), str(key[1]), int(lucky))
                found = clustered_interval(group[outcome], group["seed"], generator)
                row[outcome] = found.estimate
                row[f"{outcome}_low"], row[f"{outcome}_high"] = found.low, found.high
                row[f"{outcome}_text"] = _text(found)
            rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None)


def _text(found: Interval) -> str:
    return f"{found.estimate:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _predictor_rows(cases: pl.DataFrame, seeds: Seeds) -> pl.DataFrame:
    """How well the start foresees the winner, for questions about a top hidden layer."""
    rows: list[dict[str, Any]] = []
    mine = cases.filter((pl.col("condition") == "original") & pl.col("rank_both").is_not_null())
    for (question,), group in mine.group_by(["question"], maintain_order=True):
        for column, name in PREDICTORS.items():
            generator = seeds.generator("predictors", str(question), column)
            first = clustered_interval(group[column] == 0, group["seed"], generator)
            rows.append(
                {
                    "question": question, "predictor": name, "first_text": _text(first),
                    "first": first.estimate, "rank": float(group[column].to_numpy().mean()),
                    "cases": len(group), "seeds": group["seed"].n_unique(),
                }
            )  # fmt: skip
    return pl.DataFrame(rows, infer_schema_length=None)


PREDICTORS = {
    "rank_nearness": "nearness",
    "rank_overlap": "fan-out overlap",
    "rank_both": "nearness and overlap",
}


def _predictor_table(rows: pl.DataFrame) -> Table:
    return Table(
        rows,
        "What the start tells about the winner",
        (
            Column("question"),
            Column("predictor", highlight=True),
            Column("first_text", "its first choice wins [95 %]", highlight=True),
            Column("rank", "mean rank of the winner", ".2f"),
            Column("cases", "teacher nodes"),
            Column("seeds"),
        ),
        "Nearness: correlation at the start. Fan-out overlap: inner product of outgoing weights. "
        "Both: standardised, overlap at weight 0.25, which was chosen on other seeds.",
    )


def _effect(cases: pl.DataFrame, name: str, first: str, second: str, seeds: Seeds) -> Interval:
    """First condition minus second of winning again, where the nearest node had won."""
    mine = cases.filter((pl.col("question") == name) & pl.col("lucky"))
    parts = [mine.filter(pl.col("condition") == c) for c in (first, second)]
    if any(part.is_empty() for part in parts):
        return Interval(float("nan"), float("nan"), float("nan"), 0.95)
    return clustered_difference(
        parts[0]["again"], parts[0]["seed"], parts[1]["again"], parts[1]["seed"],
        seeds.generator("effect", name, first, second),
    )  # fmt: skip


def _finding(
    context: ExperimentContext,
    plan: Plan,
    pooled: pl.DataFrame,
    single: pl.DataFrame,
    trend: Mapping[str, float],
    matched: Table,
    cases: pl.DataFrame,
    shares: pl.DataFrame,
) -> Finding:
    ranks = rank_table(pooled, "Initial rank of the winners, by layer")
    causes = _cause_table(shares)
    tables = context.directory / "tables"
    for table, file in ((ranks, "ranks"), (causes, "counterfactuals"), (matched, "correlation")):
        save_table(table, tables, file)
    foretold = _predictor_rows(cases, Seeds(context.seed))
    told = [_predictor_table(foretold)] if len(foretold) else []
    for table in told:
        save_table(table, tables, "predictors")
    folder = context.directory / "figures"
    drawn = save_figure(rank_figure(pooled, single), single, folder, "ranks")
    name = next(iter(plan.questions))
    cause = save_figure(cause_figure(shares, name), shares, folder, "counterfactuals")
    weights = _effect(cases, name, "control", "redraw", Seeds(context.seed))
    nearness = _effect(cases, name, AS_NEAR, "redraw", Seeds(context.seed))
    verdict, because = _judge(pooled, trend, shares, weights, nearness, name)
    first = plan.questions[name].setting
    return Finding(
        claim=CLAIM, verdict=verdict, because=because,
        settings={
            **flat_settings(plan.ranks), "counterfactuals": "; ".join(plan.questions),
            "counterfactual teacher": first.teacher, "counterfactual over": first.over,
            "counterfactual samples": first.data.samples, "counterfactual epochs": first.epochs,
        },
        seeds=plan.seeds, tables=[ranks, causes, *told, matched],
        figures=[
            picture(
                drawn,
                f"Initial rank of final winners over the student's width; {plan.seeds} seeds "
                "(small dots); bars: 95 % interval, seeds resampled.",
                "Luck fades with height",
            ),
            picture(
                cause,
                f"{name}: how often the winner of the original run wins again, and how often the "
                f"runner-up wins, where the nearest node had won; {plan.questions[name].seeds} "
                "seeds; bars: 95 % interval, seeds resampled.",
                "What the win depends on",
            ),
        ],
        notes=[
            "`swap` exchanges incoming weights and leaves fan-out weights in place. `control` "
            "redraws as many nodes that no teacher node predicts. `other data` changes inputs and "
            "order and nothing else. `redraw, as near` (layer 0) keeps length, bias and cosine "
            "with the teacher node, and draws the rest anew.",
            "The papers report ranks; counterfactuals are ours. Ranks with a CIFAR-10 teacher are "
            "in F3.",
        ],
    )  # fmt: skip


def _cause_table(shares: pl.DataFrame) -> Table:
    return Table(
        shares,
        "Who wins when the start is changed",
        (
            Column("question"),
            Column("among"),
            Column("condition", highlight=True),
            Column("again_text", "the same winner again [95 %]", highlight=True),
            Column("predicted_text", "the nearest wins"),
            Column("runner_up_text", "the runner-up wins"),
            Column("carrier_text", "the win went with the weights"),
            Column("rank", "rank of the winner in this start", ".1f"),
            Column("best", "its correlation", ".4f"),
            Column("cases"),
            Column("seeds"),
        ),
        "Share of teacher nodes; intervals by resampling seeds.",
    )


def _judge(
    pooled: pl.DataFrame,
    trend: Mapping[str, float],
    shares: pl.DataFrame,
    weights: Interval,
    nearness: Interval,
    name: str,
) -> tuple[Verdict, str]:
    bottom = pooled.filter(pl.col("layer") == 0).row(0, named=True)
    held = [
        bottom["p_value"] < 0.01 and bottom["share"] <= 0.1,
        trend["p_value"] < 0.05,
        weights.low > 0,
        nearness.low > 0,
    ]
    verdict: Verdict = "holds" if all(held) else "holds in part" if any(held) else "does not hold"
    ladder = ", ".join(
        f"{row['rank_mean']:.1f} of {row['students']} (p = {row['p_value']:.4f})"
        for row in pooled.iter_rows(named=True)
    )

    def found(condition: str, outcome: str, among: str = LUCKY) -> str:
        mine = shares.filter(
            (pl.col("question") == name) & (pl.col("condition") == condition)
            & (pl.col("among") == among)
        )  # fmt: skip
        return str(mine[f"{outcome}_text"][0]) if len(mine) else "no case"

    because = (
        f"mean initial rank of winners by layer, {bottom['seeds']} seeds: {ladder}; slope of the "
        f"share over layers {trend['slope']:+.3f}, p = {trend['p_value']:.4f}. {name}, where the "
        f"nearest node had won: it wins again in {found('control', 'again')} after a control, "
        f"{found('redraw', 'again')} after it was redrawn (difference {_text(weights)}: its "
        f"incoming weights matter), {found(AS_NEAR, 'again')} after it was redrawn as near as it "
        f"was (more than redrawn by {_text(nearness)}: nearness); the runner-up takes over in "
        f"{found('redraw', 'runner_up')}; after a swap the win goes with the weights in "
        f"{found('swap', 'carrier')}. Over all teacher nodes: the nearest wins "
        f"{found('original', 'predicted', ALL)}; the winner wins again in "
        f"{found('control', 'again', ALL)} after a control, {found('redraw', 'again', ALL)} after "
        f"the nearest was redrawn."
    )
    return verdict, because


def cause_figure(shares: pl.DataFrame, name: str) -> Figure:
    """Shares of outcomes by condition for one question, where the nearest node had won."""
    mine = shares.filter(
        (pl.col("question") == name) & (pl.col("among") == LUCKY)
        & (pl.col("condition") != "original")
    )  # fmt: skip
    names: Sequence[tuple[str, str]] = (
        ("again", "same winner as before"),
        ("runner_up", "runner-up"),
        ("carrier", "node given its weights"),
    )
    palette = Palette([text for _, text in names])
    figure, axes = new_figure(6.4, 3.6)
    with house_style():
        conditions = mine["condition"].to_list()
        for place, (outcome, text) in enumerate(names):
            shown = [k for k, c in enumerate(conditions) if outcome != "carrier" or c == "swap"]
            y = mine[outcome].to_numpy()[shown]
            low, high = (mine[f"{outcome}_{end}"].to_numpy()[shown] for end in ("low", "high"))
            spread = np.nan_to_num(np.clip(np.stack([y - low, high - y]), 0, None))
            axes.bar(
                np.array(shown) + 0.27 * (place - 1), y, 0.25, color=palette.colour(text),
                label=text,
            )  # fmt: skip
            axes.errorbar(
                np.array(shown) + 0.27 * (place - 1), y, spread, color="#000000", linestyle="none",
                capsize=3, linewidth=1,
            )  # fmt: skip
        axes.set_xticks(range(len(conditions)), [c.replace(", ", ",\n") for c in conditions])
        axes.set_ylim(0, 1.25)
        axes.set_yticks(np.linspace(0, 1, 6))
        axes.set_xlabel("what was changed at the start")
        axes.set_ylabel("share of teacher nodes")
        axes.legend(loc="upper center", ncols=3, fontsize=9)
    return figure
