"""The results tables of the paper, recomputed: printed figure, authors' code, ours, optimum.

A *plan* says which games, methods and seeds; `exact_section` and `sampled_section` compute one and
return it as a report section. `trine games reproduce` and the demo both call them, with plans of
different size. Every cell is a file in the run directory, so a stopped reproduction goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from trine.core.config import Config, make_config
from trine.core.errors import UsageError
from trine.core.executors import Executor, SerialExecutor
from trine.core.figures import save_figure
from trine.core.progress import Progress, SilentProgress
from trine.core.report import Picture, Section, SectionContext, picture, write_report
from trine.core.runs import Run, open_run
from trine.core.stats import summarise
from trine.core.sweep import Cell, read_cell, sweep
from trine.core.tables import Column, Table, save_table
from trine.games.config import SolveConfig, load_tree
from trine.games.exact import solve_exact
from trine.games.methods import METHODS
from trine.games.paper import AUTHORS_CODE, PAPER, PAPER_SAMPLED, PROVED, Key, label
from trine.games.pictures import curve_table, method_scores, value_curves
from trine.games.solve import cell_parameters, kernels_are_compiled, solve_cell, warm_up

_logger = logging.getLogger(__name__)

Plan = Mapping[tuple[Key, str], int]
"""Seeds by (game, method)."""

SAMPLES = (1, 2, 5, 8, 15, 20, 25, 30)


class ReproduceConfig(Config):
    """What `trine games reproduce` computes."""

    table: str
    scale: str


@dataclass(frozen=True, slots=True)
class Scale:
    """How much to compute.

    Attributes:
      exact: seeds of the exact table by game and method; `cfr+jps` also gives the row of CFR1k.
      sampled: seeds of the sampled table by game.
    """

    exact: Plan
    sampled: Mapping[Key, int]


def _plan(keys: Sequence[Key], methods: Sequence[str], seeds: int, hanabi: int, large: int) -> Plan:
    """More seeds for Mini-Hanabi, whose scores are a mixture; fewer for the largest games."""
    many: dict[Key, int] = {("mini-hanabi", None): hanabi}
    few: dict[Key, int] = {key: large for key in (("comm", 6), ("comm", 7), ("two-suit-bridge", 5))}
    return {(k, m): many.get(k, few.get(k, seeds)) for k in keys for m in methods}


_ALL = tuple(PAPER)
_QUICK = tuple(key for key in _ALL if key != ("comm", 7))
_BEYOND: tuple[Key, ...] = (
    ("comm", 8), ("simple-bidding", 32), ("simple-bidding", 64), ("two-suit-bridge", 6),
    ("two-suit-bridge", 7),
)  # fmt: skip

SCALES: dict[str, Scale] = {
    "quick": Scale(
        exact=_plan(_QUICK, ("jps", "cfr+jps", "best"), 10, 100, 4),
        sampled={("mini-hanabi", None): 100, ("simple-bidding", 16): 10},
    ),
    "paper": Scale(
        exact={
            **_plan(_ALL, ("jps", "cfr+jps", "best"), 100, 400, 20),
            **_plan(_ALL, ("a2c", "bad"), 20, 20, 5),
            **{(("comm", 7), m): 5 for m in ("jps", "cfr+jps", "best", "a2c", "bad")},
            **{(key, m): 5 for key in _BEYOND for m in ("cfr+jps", "best")},
        },
        sampled={("mini-hanabi", None): 400, ("simple-bidding", 16): 100},
    ),
}
TABLES = ("exact", "sampled")


def _config(key: Key, method: str, samples: int | None = None) -> SolveConfig:
    name, size = key
    values = {"game": name, "size": size, "method": method, "jps": {"samples": samples}}
    return make_config(SolveConfig, values)


def reproduce(
    table: str,
    scale: str,
    *,
    root: Path | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = _logger.info,
) -> tuple[Run, Section]:
    """Compute one results table in a run directory.

    Args:
      table: `exact` or `sampled`.
      scale: `quick` or `paper`.
      root: where runs are kept.
      executor: where to compute; serial by default.
      progress: where to tell how far it is.
      say: where to tell what takes time.

    Raises:
      UsageError: no such table or scale.
    """
    if table not in TABLES:
        raise UsageError.unknown("table", table, TABLES)
    if scale not in SCALES:
        raise UsageError.unknown("scale", scale, list(SCALES))
    config = make_config(ReproduceConfig, {"table": table, "scale": scale})
    run = open_run(
        config, system="games", verb="reproduce", name=f"{table}-{scale}", seed=0, root=root
    )
    if run.is_finished:
        say(f"computed before: {run.directory}")
    with run:
        context = SectionContext(
            run.directory, executor or SerialExecutor(), progress or SilentProgress()
        )
        if table == "exact":
            section = exact_section(context, SCALES[scale].exact, say=say)
        else:
            section = sampled_section(context, SCALES[scale].sampled, say=say)
        facts = {"command": run.info.command, "version": run.info.version, **run.info.libraries}
        write_report(run.report, section.title, [section], facts=facts)
    return run, section


def _computed(
    context: SectionContext,
    configs: Sequence[tuple[SolveConfig, int]],
    description: str,
    say: Callable[[str], None],
) -> list[tuple[SolveConfig, list[Cell], pl.DataFrame]]:
    """All cells of several configurations as one sweep, then one frame per configuration."""
    if not kernels_are_compiled():
        say("compiling kernels (about a minute, this once)")
    warm_up(sorted({config.method for config, _ in configs}))
    groups = [
        (config, [Cell(cell_parameters(config), context.seed + seed) for seed in range(seeds)])
        for config, seeds in configs
    ]
    # One group after another: a worker keeps the tree of its present game only.
    cells = [cell for _, group in groups for cell in group]
    frame = sweep(
        partial(solve_cell, keep_policy=False), cells, context.directory / "cells",
        executor=context.executor, progress=context.progress, description=description,
        note=lambda values: f"value {values['value']:.3f}",
    )  # fmt: skip
    frames: list[tuple[SolveConfig, list[Cell], pl.DataFrame]] = []
    start = 0
    for config, group in groups:
        frames.append((config, group, frame.slice(start, len(group))))
        start += len(group)
    return frames


def exact_section(
    context: SectionContext, plan: Plan, *, say: Callable[[str], None] = _logger.info
) -> Section:
    """The table of exact search, its curves and its optima.

    Args:
      context: where to compute and keep results.
      plan: seeds by game and method.
      say: where to tell what takes time.
    """
    configs = [(_config(key, method), seeds) for (key, method), seeds in plan.items()]
    computed = _computed(context, configs, "exact search", say)
    optima = {key: proved_optimum(key) for key in dict.fromkeys(key for key, _ in plan)}
    rows: list[dict[str, object]] = []
    for config, _, frame in computed:
        key = (config.game, config.size)
        if config.method == "cfr+jps":
            rows.append(_row(key, "cfr", frame["cfr_value"], frame, optima[key]))
        rows.append(_row(key, config.method, frame["value"], frame, optima[key]))
    order = {key: n for n, key in enumerate(dict.fromkeys([*PAPER, *_BEYOND]))}
    methods = ["cfr", *METHODS]
    keys = {label(key): n for key, n in order.items()}
    rows.sort(key=lambda r: (keys[str(r["game"])], methods.index(str(r["method"]))))
    frame = pl.DataFrame(rows, infer_schema_length=None)
    table = Table(frame, "Exact search: mean score over seeds, game points", EXACT_COLUMNS)
    save_table(table, context.directory / "tables", "exact")
    figures = [_scores_picture(context, frame)]
    for key in (("simple-bidding", 16), ("two-suit-bridge", 4), ("comm", 5), ("mini-hanabi", None)):
        runs = {c.method: cells for c, cells, _ in computed if (c.game, c.size) == key}
        figures += _curves_picture(context, key, runs, optima.get(key))
    return Section(
        title="Teammates: joint policy search on tabular games",
        paragraphs=[
            "Two players with hidden cards and one shared payoff must find a convention. CFR stops "
            "where no single player can improve; joint policy search (Tian, Gong and Jiang 2020) "
            "changes both players at once along a chain of information sets and never lowers the "
            "value; `best` is Trine's own search. Optima are proved by exact dynamic programming "
            "or by a bound.",
        ],
        tables=[table],
        figures=figures,
        notes=[
            "`cfr` is CFR1k of the paper: mean over 1000 iterations of the current policy's value. "
            "`jps` starts from a random policy; the paper prints no such row.",
            "Authors' code: score of their published log (seed 1), and CPU seconds of their C++ on "
            "one loaded core; ours are CPU seconds per seed on one core, without start-up and "
            "compilation, measured while other seeds ran on the other core.",
            "Depth D: to the end for Comm and Mini-Hanabi, 3 for Simple Bidding 16 and larger and "
            "2-Suit Bridge, 4 for smaller Simple Bidding (the paper states D for Simple Bidding 16 "
            "and Mini-Hanabi only).",
        ],
    )


EXACT_COLUMNS = (
    Column("game"),
    Column("method", highlight=True),
    Column("paper", format=".2f"),
    Column("authors_code", "authors' code", ".4f"),
    Column("ours", "ours: mean ± s.e.", highlight=True),
    Column("maximum", "best seed", ".4f"),
    Column("seeds"),
    Column("best_known", "best known", ".2f"),
    Column("optimum", "proved optimum", ".4f"),
    Column("cpu_seconds", "CPU s/seed", ".3f"),
    Column("authors_cpu_seconds", "authors' CPU s", ".0f"),
)


def _row(
    key: Key, method: str, values: pl.Series, frame: pl.DataFrame, optimum: float | None
) -> dict[str, object]:
    score = summarise(values)
    paper, authors = PAPER.get(key), AUTHORS_CODE.get(key)
    seconds = frame["cpu_seconds"]
    if method == "cfr":
        seconds = seconds - frame["search_cpu_seconds"]
    whole = method == "cfr+jps"
    return {
        "game": label(key),
        "method": method,
        "paper": None if paper is None else paper.of(method),
        "authors_code": authors.value if authors and whole else None,
        "ours": score.text(4),
        "mean": score.mean,
        "standard_error": score.standard_error if score.count > 1 else None,
        "maximum": score.maximum,
        "seeds": score.count,
        "best_known": None if paper is None else paper.best_known,
        "optimum": optimum,
        "cpu_seconds": summarise(seconds).mean,
        "authors_cpu_seconds": authors.cpu_seconds if authors and whole else None,
    }


PROOF_SECONDS = 20.0
"""Optima that take longer to prove are taken from the record in `paper.PROVED`."""


def proved_optimum(key: Key) -> float | None:
    """The optimum of a game: proved here and now if that is quick, else from the record."""
    if key in PROVED:
        return PROVED[key]
    tree = load_tree(_config(key, "exact"))
    result = solve_exact(tree, time_limit=PROOF_SECONDS)
    return result.value if result.proved else None


def _scores_picture(context: SectionContext, frame: pl.DataFrame) -> Picture:
    shown = frame.with_columns(
        top=pl.coalesce("optimum", "best_known", pl.col("mean").max().over("game"))
    )
    optima = dict(zip(shown["game"], shown["top"], strict=True))
    figure = method_scores(shown, optima, "How close to the best joint policy each method comes")
    saved = save_figure(figure, shown, context.directory / "figures", "scores")
    return picture(saved, "1 is the proved optimum; bars: one standard error; ticks: the paper.")


def _curves_picture(
    context: SectionContext, key: Key, runs: Mapping[str, Sequence[Cell]], optimum: float | None
) -> list[Picture]:
    curves: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for method in ("jps", "cfr+jps", "best"):
        for cell in runs.get(method, ()):
            arrays = read_cell(cell, context.directory / "cells").arrays
            curves.setdefault(method, []).append((arrays["curve_at"], arrays["curve"]))
    if not curves:
        return []
    table = curve_table(curves)
    lines = {} if optimum is None else {"proved optimum": optimum}
    if key in PAPER:
        lines["paper CFR1k+JPS"] = PAPER[key].cfr_jps
    figure = value_curves(
        table, f"{label(key)}: value as the search goes on", lines=lines, logarithmic=True,
        x_label="search step (jps) or climb (best), from 1",
    )  # fmt: skip
    name = "curves-" + label(key).lower().replace(" ", "-")
    saved = save_figure(figure, table, context.directory / "figures", name)
    return [picture(saved, "Mean over seeds; band: one standard error.")]


def sampled_section(
    context: SectionContext,
    plan: Mapping[Key, int],
    *,
    samples: Sequence[int] = SAMPLES,
    say: Callable[[str], None] = _logger.info,
) -> Section:
    """The table of sampled search from CFR1k.

    Args:
      context: where to compute and keep results.
      plan: seeds by game.
      samples: the numbers of samples k.
      say: where to tell what takes time.
    """
    configs = [
        (_config(key, "cfr+jps", k), seeds) for key, seeds in plan.items() for k in (None, *samples)
    ]
    computed = _computed(context, configs, "sampled search", say)
    rows: list[dict[str, object]] = []
    for config, _, frame in computed:
        key = (config.game, config.size)
        score, last = summarise(frame["value"]), summarise(frame["last_value"])
        k = config.jps.samples
        rows.append(
            {
                "game": label(key),
                "samples": "all" if k is None else str(k),
                "paper": PAPER_SAMPLED.get(key, {}).get(k),
                "ours": score.text(4),
                "mean": score.mean,
                "standard_error": score.standard_error if score.count > 1 else None,
                "maximum": score.maximum,
                "last": last.mean,
                "seeds": score.count,
                "best_known": PAPER[key].best_known if key in PAPER else None,
                "search_cpu_seconds": summarise(frame["search_cpu_seconds"]).mean,
            }
        )
    frame = pl.DataFrame(rows, infer_schema_length=None)
    table = Table(
        frame, "CFR1k + sampled search, k states per information set, game points", SAMPLED_COLUMNS
    )
    save_table(table, context.directory / "tables", "sampled")
    return Section(
        title="Sampled joint policy search",
        paragraphs=[
            "Looking at k sampled states of each starting information set makes a step cheaper and "
            "lets it lower the value now and then, which is how it leaves local optima. The score "
            "is the best exact value seen in 100 iterations, as in the paper.",
        ],
        tables=[table],
        notes=["The rows from a BAD start are left out: the authors' BAD policies are not public."],
    )


SAMPLED_COLUMNS = (
    Column("game"),
    Column("samples", "k", highlight=True),
    Column("paper", format=".2f"),
    Column("ours", "ours: mean ± s.e.", highlight=True),
    Column("maximum", "best seed", ".4f"),
    Column("last", "last iterate", ".4f"),
    Column("seeds"),
    Column("best_known", "best known", ".2f"),
    Column("search_cpu_seconds", "search CPU s", ".4f"),
)
