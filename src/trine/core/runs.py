"""Run directories: plain files that anyone can read without us.

    runs/games-solve-comm-3-1a2b3c4d/
      config.toml      the resolved configuration, written before any work
      run.json         command, versions, revision, seed, times, status
      metrics.jsonl    one row a measurement
      log.txt          what the library logged
      checkpoints/  tables/  figures/  report.html

The name is made of system, verb, a short description and the hash of the configuration, so the same
configuration finds its own directory again: a finished run is recognised and returned at once, an
unfinished one goes on. Each stage asks whether its output exists (`Run.stage`); outputs are written
atomically, so existing means whole.

One process at a time works in a directory (see `trine.core.locks`); a killed run never has to be
unlocked by hand.
"""

import logging
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

import trine
from trine.core.artifacts import make_directory, read_json, writable, write_json, write_toml
from trine.core.config import config_hash, to_plain
from trine.core.errors import ConfigError, DataError, Interrupted, UsageError
from trine.core.locks import LOCK, is_locked, take_lock
from trine.core.records import MetricsWriter
from trine.core.seeding import Seeds

__all__ = [
    "Run",
    "RunInfo",
    "Status",
    "find_run",
    "list_runs",
    "load_run",
    "open_run",
    "remove_run",
    "runs_root",
]

Status = Literal["new", "running", "finished", "failed", "interrupted"]
Result = TypeVar("Result")

_SCHEMA = 1


class RunInfo(BaseModel):
    """The content of `run.json`.

    Attributes:
      name: name of the directory.
      system: e.g. `games`.
      verb: e.g. `solve`.
      status: as last written; `Run.status` and `list_runs` correct it for a killed process.
      config_hash: of the configuration beside it.
      seed: the one seed, None if the run draws no random number.
      command: the command line that started it.
      version: of trine.
      revision: git commit of the source tree, with `+changes` if it had any; empty if unknown.
      python: version.
      libraries: versions of the numerical libraries.
      created: UTC, ISO 8601.
      updated: time of the last change of status.
      seconds: wall-clock time spent, over all attempts.
      attempts: how often the run was started.
      schema_number: of this file.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    system: str
    verb: str
    status: Status
    config_hash: str
    seed: int | None = None
    command: str = ""
    version: str = ""
    revision: str = ""
    python: str = ""
    libraries: dict[str, str] = {}
    created: str = ""
    updated: str = ""
    seconds: float = 0.0
    attempts: int = 0
    schema_number: int = _SCHEMA


class Run:
    """One run directory; enter it to work in it.

    Leaving the block normally marks the run finished; an error marks it failed; Ctrl-C marks it
    interrupted and raises `Interrupted`, which says how to go on.
    """

    def __init__(self, directory: Path, info: RunInfo) -> None:
        self.directory = directory
        self._info = info
        self._lock: IO[str] | None = None
        self._started = datetime.now(UTC)
        self._log: logging.Handler | None = None

    @property
    def info(self) -> RunInfo:
        """The record as last written."""
        return self._info

    @property
    def status(self) -> Status:
        """The status now: a run marked running whose process is gone counts as interrupted."""
        if self._info.status == "running" and self._lock is None and not is_locked(self.directory):
            return "interrupted"
        return self._info.status

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self._info.status == "finished"

    @property
    def seeds(self) -> Seeds:
        """Named generators of this run's seed (seed 0 if it was opened without one)."""
        return Seeds(self._info.seed or 0)

    @property
    def checkpoints(self) -> Path:
        """Directory of binary results."""
        return self.directory / "checkpoints"

    @property
    def tables(self) -> Path:
        """Directory of tables."""
        return self.directory / "tables"

    @property
    def figures(self) -> Path:
        """Directory of figures."""
        return self.directory / "figures"

    @property
    def report(self) -> Path:
        """The HTML page."""
        return self.directory / "report.html"

    @property
    def metrics_path(self) -> Path:
        """The rows of measurements; read them with `trine.core.records.read_metrics`."""
        return self.directory / "metrics.jsonl"

    def metrics(self) -> MetricsWriter:
        """A writer that appends to `metrics.jsonl`."""
        return MetricsWriter(self.metrics_path)

    def stage(
        self,
        path: Path,
        compute: Callable[[], Result],
        save: Callable[[Path, Result], object],
        load: Callable[[Path], Result],
    ) -> Result:
        """A step that is done once: returns the stored result if its file exists.

        Args:
          path: the file; a relative one is taken from the run directory.
          compute: makes the result.
          save: writes it atomically (see `trine.core.artifacts`).
          load: reads it back.
        """
        target = self.directory / path
        if target.exists():
            return load(target)
        result = compute()
        save(target, result)
        return result

    def __enter__(self) -> Self:
        self._lock = take_lock(self.directory)
        try:
            # Of a process that was killed while writing; a list, since folders go with their files.
            for leftover in list(self.directory.rglob(".*.tmp*")):
                if leftover.is_dir():
                    shutil.rmtree(leftover)
                else:
                    leftover.unlink(missing_ok=True)
            self._started = datetime.now(UTC)
            self._write(status="running", attempts=self._info.attempts + 1)
            with writable(self.directory):
                self._log = _LogFile(self.directory / "log.txt", encoding="utf-8")
        except BaseException:
            self._unlock()
            raise
        self._log.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        logging.getLogger("trine").addHandler(self._log)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        interrupted = isinstance(error, KeyboardInterrupt | Interrupted)
        status: Status = "interrupted" if interrupted else "failed" if error else "finished"
        spent = (datetime.now(UTC) - self._started).total_seconds()
        if self._log is not None:
            logging.getLogger("trine").removeHandler(self._log)
            self._log.close()
        try:
            self._write(status=status, seconds=self._info.seconds + spent)
        except DataError:
            if error is None:  # a full disk has been reported already by the error that got us here
                raise
        finally:
            self._unlock()
        if interrupted:
            raise Interrupted(
                f"interrupted; everything finished so far is in {self.directory}",
                hint="run the same command again to go on",
            ) from error

    def _write(self, **changes: object) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._info = self._info.model_copy(update={**changes, "updated": now})
        write_json(self.directory / "run.json", self._info.model_dump(mode="json"))

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


class _LogFile(logging.FileHandler):
    """`log.txt`. A line that finds no space is lost in silence: what must be written complains."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass

    def close(self) -> None:
        with suppress(OSError):
            super().close()


def runs_root(given: Path | None = None) -> Path:
    """Where runs live: the given path, else `$TRINE_RUNS`, else `runs/` here."""
    return given or Path(os.environ.get("TRINE_RUNS") or "runs")


def open_run(
    config: BaseModel,
    *,
    system: str,
    verb: str,
    name: str = "",
    seed: int | None = None,
    root: Path | None = None,
    directory: Path | None = None,
) -> Run:
    """Finds the run of a configuration or makes its directory.

    Args:
      config: the resolved configuration; saved as `config.toml`.
      system: e.g. `"games"`.
      verb: e.g. `"solve"`.
      name: a few words for the directory name, e.g. `"simple-bidding-16"`.
      seed: the one seed; part of the configuration if it is to be part of the identity.
      root: where runs live, see `runs_root`.
      directory: this very directory instead of the one named after the configuration.

    Returns:
      The run; check `is_finished` before entering it.

    Raises:
      ConfigError: if the directory belongs to another configuration.
      DataError: if it cannot be written or is not a run directory.
    """
    identity = config_hash(config)
    slug = "-".join(part for part in (system, verb, _slug(name), identity) if part)
    path = directory or runs_root(root) / slug
    if (path / "run.json").is_file():
        run = load_run(path)
        same = (run.info.system, run.info.verb, run.info.config_hash) == (system, verb, identity)
        if not same:
            raise ConfigError(
                f"{path} belongs to another run ({run.info.system} {run.info.verb} "
                f"{run.info.config_hash}; this one is {system} {verb} {identity})",
                hint="choose another directory, or compare with its config.toml",
            )
        return run
    if path.exists() and not _is_abandoned(path):
        raise DataError(f"{path} exists and is not a run directory", hint="choose another one")
    make_directory(path)
    write_toml(path / "config.toml", to_plain(config))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    info = RunInfo(
        name=path.name,
        system=system,
        verb=verb,
        status="new",
        config_hash=identity,
        seed=seed,
        command=" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        version=trine.__version__,
        revision=_revision(),
        python=platform.python_version(),
        libraries=_library_versions(),
        created=now,
        updated=now,
    )
    write_json(path / "run.json", info.model_dump(mode="json"))
    return Run(path, info)


def _library_versions() -> dict[str, str]:
    # From the installed metadata: recording a version must not import a library.
    versions = {name: metadata.version(name) for name in ("numpy", "scipy", "numba", "polars")}
    with suppress(metadata.PackageNotFoundError):
        versions["torch"] = metadata.version("torch")
    return versions


def _is_abandoned(path: Path) -> bool:
    # Empty, or left by a process that was killed between config.toml and run.json.
    ours = {"config.toml", LOCK}
    return path.is_dir() and all(
        entry.name in ours or ".tmp" in entry.name for entry in path.iterdir()
    )


def load_run(directory: Path) -> Run:
    """The run in a directory, for reading.

    Raises:
      DataError: if there is none, or `run.json` is not readable.
    """
    if not (directory / "run.json").is_file():
        raise DataError(
            f"{directory} is not a run directory (no run.json)", hint="try: trine runs list"
        )
    try:
        info = RunInfo.model_validate(read_json(directory / "run.json"))
    except ValidationError as error:
        raise DataError(
            f"{directory / 'run.json'} is not a run record ({error.error_count()} wrong fields)",
            hint="delete the directory and run its command again",
        ) from error
    return Run(directory, info)


def list_runs(root: Path | None = None) -> list[Run]:
    """All runs below a root, newest first; directories that are no runs are passed over."""
    base = runs_root(root)
    if not base.is_dir():
        return []
    runs = list(_readable(base.glob("*/run.json")))
    return sorted(runs, key=lambda run: run.info.updated, reverse=True)


def find_run(name: str, root: Path | None = None) -> Run:
    """A run by directory path, name, unique beginning or ending of a name, or `latest`.

    Raises:
      UsageError: if no run or more than one has that name.
    """
    if (Path(name) / "run.json").is_file():
        return load_run(Path(name))
    runs = list_runs(root)
    if name == "latest" and runs:
        return runs[0]
    names = [run.directory.name for run in runs]
    if name not in names:
        fits = [n for n in names if n.startswith(name) or n.endswith(name)]
        if len(fits) > 1:
            raise UsageError(f"{len(fits)} runs are called {name!r}", accepted=", ".join(fits))
        if not fits:
            raise UsageError.unknown("run", name, names[:10], hint="try: trine runs list")
        name = fits[0]
    return runs[names.index(name)]


def remove_run(run: Run) -> None:
    """Deletes a run directory with everything in it.

    Raises:
      UsageError: if a living process works in it.
    """
    with take_lock(run.directory):
        shutil.rmtree(run.directory)


def _readable(records: Iterator[Path]) -> Iterator[Run]:
    for record in records:
        try:
            yield load_run(record.parent)
        except DataError as error:
            logging.getLogger(__name__).warning("%s", error)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")


def _revision() -> str:
    source = Path(trine.__file__).parents[2]
    if not (source / ".git").exists():  # installed as a wheel: the version says it all
        return ""

    def git(*arguments: str) -> str:
        command: Sequence[str] = ("git", "-C", str(source), *arguments)
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        revision = git("rev-parse", "--short=12", "HEAD")
        changes = git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return ""
    return revision + ("+changes" if changes else "")
