"""`trine runs`: what has been computed, and where it is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trine.cli.output import emit, say

if TYPE_CHECKING:
    from trine.core.runs import Run

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

RootOption = Annotated[
    Path | None,
    typer.Option("--runs", help="Where the runs are.  [default: $TRINE_RUNS, else runs/]"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="Directory, name, unique beginning or end of a name, or: latest."
    ),
]


@app.callback()
def options() -> None:
    """List, show and open run directories."""


@app.command("list")
def list_command(runs: RootOption = None, as_json: JsonOption = False) -> None:
    """List the runs, newest first.

    Example: trine runs list --json
    """
    import polars as pl

    from trine.core.runs import list_runs, runs_root
    from trine.core.tables import Column, Table

    rows = [_row(run) for run in list_runs(runs)]
    if not rows and not as_json:
        say(f"no runs in {runs_root(runs)}; make one, e.g.: trine demo")
        return
    columns = [
        Column("name", highlight=True),
        Column("status"),
        Column("seconds", format=".1f"),
        Column("updated", "last change (UTC)"),
        Column("version"),
    ]
    table = Table(pl.DataFrame(rows), columns=columns) if rows else None
    emit(rows, as_json=as_json, tables=[table] if table else [])


@app.command()
def show(run: RunArgument, runs: RootOption = None, as_json: JsonOption = False) -> None:
    """Show one run: status, configuration, versions and files.

    Example: trine runs show latest
    """
    import polars as pl

    from trine.core.artifacts import read_toml
    from trine.core.runs import find_run
    from trine.core.tables import Column, Table

    found = find_run(run, runs)
    config = read_toml(found.directory / "config.toml")
    files = sorted(p for p in found.directory.rglob("*") if p.is_file() and p.name[0] != ".")
    names = [str(path.relative_to(found.directory)) for path in files]
    record = {**_row(found), **found.info.model_dump(mode="json"), "status": found.status}
    facts = {name: value for name, value in record.items() if name != "libraries"}
    facts |= {f"config.{name}": value for name, value in _flat(config)}
    facts |= dict(found.info.libraries)
    facts["files"] = _file_summary(names)
    rows = [{"name": name, "value": str(value)} for name, value in facts.items() if value != ""]
    table = Table(pl.DataFrame(rows), columns=[Column("name"), Column("value", highlight=True)])
    document = {**record, "config": config, "files": names}
    emit(document, as_json=as_json, tables=[table])


@app.command("open")
def open_command(run: RunArgument, runs: RootOption = None, as_json: JsonOption = False) -> None:
    """Print the path of a run's report, and open it in a browser if there is a display.

    Example: trine runs open latest
    """
    from trine.core.errors import DataError
    from trine.core.runs import find_run

    found = find_run(run, runs)
    if not found.report.is_file():
        raise DataError(
            f"{found.directory.name} has no report (status: {found.status})",
            hint="run its command again to finish it",
        )
    path = found.report.resolve()
    opened = open_in_browser(path)
    emit({"report": str(path), "opened": opened}, as_json=as_json, text=str(path))


def open_in_browser(path: Path) -> bool:
    """Opens a page if a person sits at a terminal with a display; says whether it did."""
    import os
    import sys
    import webbrowser

    display = sys.platform == "darwin" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    return display and sys.stdout.isatty() and webbrowser.open(path.as_uri())


def _row(run: "Run") -> dict[str, Any]:
    info = run.info
    return {
        "name": run.directory.name,
        "status": run.status,
        "system": info.system,
        "verb": info.verb,
        "seconds": info.seconds,
        "updated": info.updated,
        "version": info.version,
        "run_dir": str(run.directory),
    }


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            flat.extend(_flat(value, f"{prefix}{key}."))
        else:
            flat.append((prefix + key, value))
    return flat


def _file_summary(names: list[str]) -> str:
    top = [name for name in names if "/" not in name]
    folders: dict[str, int] = {}
    for name in names:
        if "/" in name:
            folder = name.split("/")[0]
            folders[folder] = folders.get(folder, 0) + 1
    return ", ".join([*top, *(f"{folder}/ ({count})" for folder, count in folders.items())])
