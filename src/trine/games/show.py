"""Reading the policy of a finished solve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trine.core.artifacts import read_toml
from trine.core.config import make_config
from trine.core.errors import UsageError
from trine.core.runs import find_run
from trine.core.tables import Table
from trine.games.config import SolveConfig, load_tree
from trine.games.methods import value_of
from trine.games.policy import load_policy
from trine.games.report import policy_table


def shown_policy(name: str, root: Path | None = None) -> tuple[Table, dict[str, Any]]:
    """The best policy of a run as a table.

    Args:
      name: a run directory, its name, the start of it, or `latest`.
      root: where runs are kept.

    Returns:
      The table, and `run_dir`, `game`, `size`, `method`, `value`.

    Raises:
      UsageError: no such run, or one without a policy.
    """
    run = find_run(name, root)
    path = run.checkpoints / "best_policy.safetensors"
    if run.info.system != "games" or not path.is_file():
        raise UsageError(
            f"run {run.info.name} ({run.info.system} {run.info.verb}, {run.status}) has no policy",
            accepted="a finished `trine games solve`",
            hint="see `trine runs list`",
        )
    config = make_config(SolveConfig, read_toml(run.directory / "config.toml"))
    tree = load_tree(config)
    policy = load_policy(path, tree)
    facts = {
        "run_dir": str(run.directory),
        "game": config.game,
        "size": config.size,
        "method": config.method,
        "value": value_of(tree, policy),
    }
    return policy_table(tree, policy), facts
