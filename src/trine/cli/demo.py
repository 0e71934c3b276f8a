"""`trine demo`: the main job of every system, on real input, in one page.

Each system adds one public function, `section(context) -> Section`, to `SECTIONS`. A section keeps
what it computes in its own directory, so that a demo that was stopped goes on where it was.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trine.cli.output import emit, make_progress, say, show_section

if TYPE_CHECKING:
    from trine.core.report import Section, SectionContext

__all__ = ["NEEDS", "SECTIONS", "app"]

# Name -> "module:function"; the order is that of the page. Imported when the demo runs.
SECTIONS: dict[str, str] = {
    "games-exact": "trine.games.demo:exact_search",
    "games-sampled": "trine.games.demo:sampled_search",
    "games-convention": "trine.games.demo:convention",
    "bridge": "trine.bridge.demo:section",
    "dynamics": "trine.dynamics.demo:section",
    "embeddings": "trine.embeddings.demo:section",
}

# Sections that need an extra; without it they are left out, with one line.
NEEDS: dict[str, str] = {
    "bridge": "bridge",
    "dynamics": "dynamics",
    "embeddings": "embeddings",
}

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def demo(
    runs: Annotated[
        Path | None,
        typer.Option("--runs", help="Where runs are kept.  [default: $TRINE_RUNS, else runs/]"),
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 means one for each core.")] = 0,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget what an earlier demo computed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Reproduce the papers' main results in a few minutes and write one report.

    Example: trine demo --workers 2
    """
    from trine.core.config import Config
    from trine.core.executors import make_executor
    from trine.core.report import SectionContext, write_report
    from trine.core.runs import open_run, remove_run

    class DemoConfig(Config):
        sections: tuple[str, ...]
        seed: int = 0

    config = DemoConfig(sections=tuple(_possible_sections()))
    run = open_run(config, system="trine", verb="demo", seed=config.seed, root=runs)
    if fresh:
        remove_run(run)
        run = open_run(config, system="trine", verb="demo", seed=config.seed, root=runs)
    elif run.is_finished:
        say(f"computed before ({run.info.updated}, trine {run.info.version}); --fresh starts anew")
    sections: list[Section] = []
    with run:
        for name in config.sections:
            context = SectionContext(
                directory=run.directory / name,
                executor=make_executor(workers),
                progress=make_progress(),
                seed=config.seed,
            )
            sections.append(_load(SECTIONS[name])(context))
        facts = {
            "python": run.info.python,
            **run.info.libraries,
            "revision": run.info.revision or "unknown",
            "seed": config.seed,
            "command": run.info.command,
        }
        write_report(run.report, "Trine: the papers' results, computed here", sections, facts=facts)
    if not as_json:
        for section in sections:
            show_section(section)
    tables = {s.title: [t.frame.to_dicts() for t in s.tables] for s in sections}
    document = {"run_dir": str(run.directory), "report": str(run.report), "tables": tables}
    emit(document, as_json=as_json, text=f"\nreport: {run.report}")


def _possible_sections() -> list[str]:
    from trine.core.extras import available

    missing = [name for name in SECTIONS if name in NEEDS and not available(NEEDS[name])]
    for name in missing:
        extra = NEEDS[name]
        say(
            f"section {name} is left out: it needs the extra {extra!r}; "
            f"pip install 'trine[{extra}]'"
        )
    return [name for name in SECTIONS if name not in missing]


def _load(place: str) -> "Callable[[SectionContext], Section]":
    module, _, function = place.partition(":")
    return getattr(importlib.import_module(module), function)
