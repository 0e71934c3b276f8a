"""Figures F1 to F12 and tables T1 and T2 of the papers, recomputed, in one report.

Each is an experiment of `trine.dynamics.experiments`: it tests one claim and returns a `Finding`.
One that lacks data or an optional package is reported as not tested, and the others go on. Every
experiment keeps what it computed in its own directory, so that a stopped reproduction goes on.
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from trine.core.artifacts import read_json, write_json
from trine.core.config import Config, make_config
from trine.core.errors import DataError, Interrupted, UsageError, UserError
from trine.core.executors import Executor, SerialExecutor
from trine.core.progress import Progress, SilentProgress
from trine.core.report import Section, write_report
from trine.core.runs import Run, open_run
from trine.core.tables import Column, Table, save_table
from trine.dynamics.experiments import EXPERIMENTS
from trine.dynamics.experiments.base import SCALES, ExperimentContext, Finding, Scale

__all__ = ["Outcome", "ReproduceConfig", "finding_section", "parse_ids", "reproduce"]

_logger = logging.getLogger(__name__)


class ReproduceConfig(Config):
    """What `trine dynamics reproduce` computes."""

    experiments: tuple[str, ...]
    scale: Scale
    seed: int = 0
    data: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One experiment and what came of it.

    Attributes:
      identity: e.g. `F1`.
      finding: what it found.
      seconds: wall-clock time, over all attempts.
    """

    identity: str
    finding: Finding
    seconds: float

    @property
    def title(self) -> str:
        """Of the figure or table."""
        return EXPERIMENTS[self.identity].title


def parse_ids(names: Sequence[str]) -> tuple[str, ...]:
    """Experiments by name, case ignored, in the order of the register; `all` or none: every one.

    Raises:
      UsageError: an unknown name.
    """
    wanted = {name.upper() for name in names if name.strip()}
    for name in sorted(wanted - {"ALL"}):
        if name not in EXPERIMENTS:
            raise UsageError.unknown("experiment", name, [*EXPERIMENTS, "all"])
    if not wanted or "ALL" in wanted:
        return tuple(EXPERIMENTS)
    return tuple(name for name in EXPERIMENTS if name in wanted)


def reproduce(
    names: Sequence[str] = (),
    scale: Scale = "quick",
    *,
    seed: int = 0,
    root: Path | None = None,
    directory: Path | None = None,
    data: Path | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = _logger.info,
) -> tuple[Run, list[Outcome]]:
    """Computes figures and tables in a run directory, with one report of all.

    Args:
      names: experiments, e.g. `["F1", "T2"]`; all by default.
      scale: `demo`, `quick` or `paper`.
      seed: the first seed.
      root: where runs are kept.
      directory: this run's directory, instead of a named one under `root`.
      data: directory that holds `cifar10/` and `vgg_bn/`; without it, what needs them is not
        tested.
      executor: where to compute; serial by default.
      progress: where to tell how far it is.
      say: where to tell what takes time and what is left out.

    Raises:
      UsageError: no such experiment or scale.
      DataError: `data` is no directory.
    """
    identities = parse_ids(names)
    if scale not in SCALES:
        raise UsageError.unknown("scale", scale, SCALES)
    if data is not None and not data.is_dir():
        raise DataError(
            f"no directory {data}",
            accepted="one that holds cifar10/ and vgg_bn/",
            hint="correct --data or $TRINE_DATA, or leave it out to do what works without",
        )
    config = make_config(
        ReproduceConfig,
        {
            "experiments": identities,
            "scale": scale,
            "seed": seed,
            "data": None if data is None else str(data.resolve()),
        },
    )
    short = "all" if identities == tuple(EXPERIMENTS) else "-".join(identities[:4]).lower()
    run = open_run(
        config, system="dynamics", verb="reproduce", name=f"{short}-{scale}", seed=seed,
        root=root, directory=directory,
    )  # fmt: skip
    if run.is_finished:
        say(f"computed before: {run.directory}")
    outcomes: list[Outcome] = []
    with run:
        for identity in identities:
            context = ExperimentContext(
                run.directory / identity, scale, executor or SerialExecutor(),
                progress or SilentProgress(), seed, data,
            )  # fmt: skip
            outcomes.append(_timed(identity, context))
            done = outcomes[-1]
            say(f"{identity} {done.title}: {done.finding.verdict} ({done.seconds:.0f} s)")
        _write(run, config, outcomes)
    return run, outcomes


def _timed(identity: str, context: ExperimentContext) -> Outcome:
    """One experiment; its time is added up over attempts, kept beside what it computed."""
    clock = context.directory / "seconds.json"
    spent = float(read_json(clock)["seconds"]) if clock.is_file() else 0.0
    begun = time.perf_counter()
    # Another attempt at something finished only reads; that is no time of the experiment.
    whole = clock.is_file() and bool(read_json(clock)["finished"])
    finished = False
    try:
        finding = _found(identity, context)
        finished = finding.verdict != "not tested"
    finally:
        seconds = spent if whole else spent + time.perf_counter() - begun
        write_json(clock, {"seconds": round(seconds, 3), "finished": whole or finished})
    return Outcome(identity, finding, seconds)


def _found(identity: str, context: ExperimentContext) -> Finding:
    module, _, function = EXPERIMENTS[identity].place.partition(":")
    try:
        experiment = getattr(importlib.import_module(module), function)
        return experiment(context)
    except Interrupted:
        raise
    except UserError as error:
        return Finding(
            claim=EXPERIMENTS[identity].title,
            verdict="not tested",
            because=str(error),
            settings={},
            seeds=0,
        )


def summary_table(outcomes: Sequence[Outcome], *, short: bool = False) -> Table:
    """One row an experiment; with the reasons and without titles if `short`, as in a terminal."""
    rows = [
        {
            "experiment": o.identity, "title": o.title, "verdict": o.finding.verdict,
            "because": o.finding.because, "seeds": o.finding.seeds, "seconds": o.seconds,
        }
        for o in outcomes
    ]  # fmt: skip
    columns = (
        Column("experiment"), Column("title"), Column("verdict", highlight=True), Column("because"),
        Column("seeds"), Column("seconds", "s", ".0f"),
    )  # fmt: skip
    left_out = ("title", "seeds") if short else ("because",)
    columns = tuple(column for column in columns if column.name not in left_out)
    return Table(pl.DataFrame(rows), "Verdicts", columns)


def finding_section(outcome: Outcome) -> Section:
    """A finding as a part of the report."""
    finding = outcome.finding
    settings = ", ".join(f"{name} {_text(value)}" for name, value in finding.settings.items())
    paragraphs = [
        f"Claim: {finding.claim}",
        f"Verdict: {finding.verdict}. {finding.because}",
        *([f"Settings: {settings}. Seeds: {finding.seeds}."] if settings else []),
    ]
    return Section(
        title=f"{outcome.identity}: {outcome.title}",
        paragraphs=paragraphs,
        tables=finding.tables,
        figures=finding.figures,
        notes=[*finding.notes, f"Computed in {outcome.seconds:.0f} s."],
    )


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(inner) for inner in value)
    return str(value)


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """A finding as `--json` prints it."""
    finding = outcome.finding
    return {
        "experiment": outcome.identity,
        "title": outcome.title,
        "claim": finding.claim,
        "verdict": finding.verdict,
        "because": finding.because,
        "settings": finding.settings,
        "seeds": finding.seeds,
        "seconds": outcome.seconds,
        "tables": {
            table.title or f"table {number}": table.frame.to_dicts()
            for number, table in enumerate(finding.tables, 1)
        },
        "notes": list(finding.notes),
    }


def _write(run: Run, config: ReproduceConfig, outcomes: Sequence[Outcome]) -> None:
    save_table(summary_table(outcomes), run.tables, "verdicts")
    for outcome in outcomes:
        for number, table in enumerate(outcome.finding.tables, 1):
            save_table(table, run.tables, f"{outcome.identity}-{number}")
    verdicts = [outcome.finding.verdict for outcome in outcomes]
    counts = {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(verdicts)}
    total = sum(outcome.seconds for outcome in outcomes)
    summary = (
        f"{len(outcomes)} experiments at scale {config.scale} in {total / 60:.1f} minutes: "
        + ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        + "."
    )
    sections = [
        Section("What holds", tables=[summary_table(outcomes)]),
        *(finding_section(outcome) for outcome in outcomes),
    ]
    facts = {
        "command": run.info.command,
        "version": run.info.version,
        "revision": run.info.revision or "unknown",
        "seed": config.seed,
        "python": run.info.python,
        **run.info.libraries,
    }
    title = "Training dynamics of deep ReLU networks: the papers' figures and tables"
    write_report(run.report, title, sections, summary=summary, facts=facts)
    write_json(
        run.directory / "result.json",
        [
            {"experiment": o.identity, "verdict": o.finding.verdict, "seconds": round(o.seconds, 1)}
            for o in outcomes
        ],
    )
