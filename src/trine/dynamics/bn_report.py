"""`trine dynamics audit-bn`: checkpoints in, a run directory with tables and figures out."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import Field

from trine.core.artifacts import write_json
from trine.core.config import Config, make_config
from trine.core.errors import DataError, MissingExtra, UsageError
from trine.core.extras import require
from trine.core.figures import save_figure
from trine.core.report import Section, picture, write_report
from trine.core.runs import Run, open_run
from trine.core.tables import Table, save_table
from trine.dynamics.bn_audit import (
    POOLED,
    Audited,
    audit,
    audit_frame,
    audit_tables,
    bias_frame,
    shipped_arrays,
    with_overrides,
)
from trine.dynamics.bn_pictures import bias_histograms, negative_fractions
from trine.dynamics.bn_roles import ROLES, Place
from trine.dynamics.checkpoints import Network, find_batch_norms, read_state

__all__ = ["SHIPPED", "audit_section", "parse_roles", "run_audit", "torchvision_network"]

_logger = logging.getLogger(__name__)

SHIPPED = "shipped"
"""The word that stands for the arrays of our own VGGs, which come with the package."""


class AuditConfig(Config):
    """What `trine dynamics audit-bn` is asked.

    Attributes:
      checkpoints: file names as given.
      digests: SHA-256 of each file; another content is another run.
      torchvision: names of torchvision models.
      roles: role by pattern.
    """

    checkpoints: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    torchvision: tuple[str, ...] = ()
    roles: dict[str, str] = Field(default_factory=dict)


def run_audit(
    checkpoints: Sequence[str | Path],
    *,
    torchvision: Sequence[str] = (),
    roles: Sequence[str] | Mapping[str, str] = (),
    root: Path | None = None,
    directory: Path | None = None,
    say: Callable[[str], None] = _logger.info,
) -> tuple[Run, list[dict[str, Any]], list[Table]]:
    """Audits checkpoints into a run directory.

    Args:
      checkpoints: files (`trine.dynamics.checkpoints`), or the word `shipped`.
      torchvision: models whose weights torchvision has on this machine already.
      roles: `PATTERN=ROLE` texts, or a mapping.
      root: where runs are kept.
      directory: this very run directory instead.
      say: where to tell what the tables do not.

    Returns:
      The run; the document for `--json`, one object a layer and a pooled one for each network and
      each role in it, with the keys `name`, `layer`, `role`, `place`, `channels`, `negative`,
      `zero`, `switched_off`, `negative_fraction`, `low`, `high`, `active_share`; the tables to
      print, pooled first.

    Raises:
      UsageError: nothing to audit; a pattern or role that cannot be used.
      DataError: a file that cannot be used; weights that are not on this machine.
      MissingExtra: torchvision is asked for and not installed.
    """
    if not checkpoints and not torchvision:
        raise UsageError(
            "nothing to audit",
            accepted=f"checkpoint files, --torchvision NAME, or the word {SHIPPED!r} for the "
            "arrays that come with Trine",
        )
    overrides = parse_roles(roles) if not isinstance(roles, Mapping) else dict(roles)
    paths = [_path(given) for given in checkpoints]
    found: list[tuple[Network, dict[str, Place]]] = [*audit(paths)]
    found += [torchvision_network(name) for name in torchvision]
    found = with_overrides(found, overrides)
    values = {
        "checkpoints": [str(given) for given in checkpoints],
        "digests": [_digest(path) for path in paths],
        "torchvision": list(torchvision),
        "roles": overrides,
    }
    config = make_config(AuditConfig, values)
    name = found[0][0].name if len(found) == 1 else f"{len(found)}-networks"
    run = open_run(
        config, system="dynamics", verb="audit-bn", name=name, seed=0, root=root,
        directory=directory,
    )  # fmt: skip
    with run:
        section, frame = audit_section(found, run.directory)
        write_json(run.directory / "audit.json", frame.to_dicts())
        facts = {"command": run.info.command, "version": run.info.version, **run.info.libraries}
        write_report(run.report, section.title, [section], facts=facts)
    unknown = frame.filter(pl.col("layer") != POOLED, pl.col("role") == "unknown").height
    if unknown:
        say(
            f"{unknown} layers have an unknown role, for their names do not tell what follows; "
            "say it with --role PATTERN=ROLE"
        )
    return run, frame.to_dicts(), list(section.tables)


def audit_section(audited: Audited, directory: Path) -> tuple[Section, pl.DataFrame]:
    """The audit as a report section, with its tables and figures saved below a directory."""
    frame = audit_frame(audited)
    tables = audit_tables(frame)
    save_table(tables[0], directory / "tables", "pooled")
    save_table(tables[1], directory / "tables", "layers")
    pooled = frame.filter(pl.col("layer") == POOLED, pl.col("role") != "all")
    dots = save_figure(
        negative_fractions(frame, "How many BatchNorm biases are negative, by role"),
        pooled, directory / "figures", "negative-fractions",
    )  # fmt: skip
    biases = bias_frame(audited)
    histograms = save_figure(
        bias_histograms(biases, "BatchNorm biases by network and role"),
        biases, directory / "figures", "bias-histograms",
    )  # fmt: skip
    return Section(
        title="Signs of BatchNorm biases",
        paragraphs=[
            "A unit behind BatchNorm and ReLU is silent on most inputs if its bias is negative; "
            "Tian et al. 2019 report that most biases of trained VGGs are, and take it as support "
            "for the assumption that different nodes rarely fire together. Only layers directly "
            "before a ReLU speak to that; the others are controls.",
        ],
        tables=tables,
        figures=[
            picture(dots, "Bars: 95 % bootstrap over layers; rough where there are few layers."),
            picture(histograms, "One count a channel. The line is 0."),
        ],
        notes=[f"`{role}`: {meaning}." for role, meaning in ROLES.items()],
    ), frame


def parse_roles(texts: Sequence[str]) -> dict[str, str]:
    """`PATTERN=ROLE` texts as a mapping.

    Raises:
      UsageError: a text without `=`.
    """
    roles: dict[str, str] = {}
    for text in texts:
        pattern, equals, role = text.rpartition("=")
        if not equals or not pattern:
            raise UsageError(
                f"--role {text!r}", accepted="PATTERN=ROLE, e.g. --role '*.bn3=before_addition'"
            )
        roles[pattern.strip()] = role.strip()
    return roles


def torchvision_network(name: str) -> tuple[Network, dict[str, Place]]:
    """A pretrained model of torchvision, from weights that are on this machine already.

    Nothing is downloaded. The roles come from the model's graph.

    Raises:
      MissingExtra: torchvision is not installed.
      UsageError: it has no such model.
      DataError: the weights are not where torchvision keeps them.
    """
    if importlib.util.find_spec("torchvision") is None:
        raise MissingExtra(
            f"--torchvision {name} needs the package torchvision, which is not installed",
            hint=f"run: pip install torchvision, or give the checkpoint file of {name} itself",
        )
    require("dynamics", f"--torchvision {name}")
    import torch

    from trine.dynamics.bn_graph import roles_of_module

    models: Any = importlib.import_module("torchvision.models")
    if name not in models.list_models():
        raise UsageError.unknown("torchvision model", name, models.list_models())
    url = str(models.get_model_weights(name).DEFAULT.url)
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.is_file():
        raise DataError(
            f"the weights of {name} are not on this machine ({path}), and nothing is downloaded "
            "without your word",
            hint=f"download {url} to that place, or anywhere and give the file as CHECKPOINT",
        )
    model = models.get_model(name, weights=None)
    state = read_state(path)
    (network,) = find_batch_norms(state, name, where=str(path))
    places = roles_of_module(model)
    return network, {layer.layer: places[layer.layer] for layer in network.layers}


def _path(given: str | Path) -> Path:
    path = Path(given)
    return shipped_arrays() if str(given) == SHIPPED and not path.exists() else path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
