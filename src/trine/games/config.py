"""Configuration of a solve: what `trine games solve` can be told."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from trine.core.config import Config
from trine.core.errors import UsageError
from trine.games.catalog import game_spec, make_game
from trine.games.tree import Tree, build_tree

OPENSPIEL_PREFIX = "openspiel:"
GIB = 2**30


class CfrConfig(Config):
    """Options of counterfactual regret minimisation."""

    iterations: int = Field(default=1000, ge=1)


class JpsConfig(Config):
    """Options of joint policy search; depth 0 searches to the end, none takes the game's own."""

    iterations: int = Field(default=100, ge=1)
    depth: int | None = Field(default=None, ge=0)
    samples: int | None = Field(default=None, ge=1)


class BestConfig(Config):
    """Options of Trine's own search; see `trine.games.best.BestSettings`."""

    climbs: int = Field(default=4000, ge=1)
    moved_sets: float = Field(default=2.0, ge=1)
    patience: int = Field(default=100, ge=0)


class ExactConfig(Config):
    """Options of the exact solver."""

    time_limit: float = Field(default=600.0, gt=0)


class SolveConfig(Config):
    """One game, one method, several seeds.

    Attributes:
      game: a name of the catalog, or `openspiel:NAME`.
      size: the game's size, where it has one.
      method: a name of `trine.games.methods.METHODS`.
      seeds: how many seeds, counted from `first_seed`.
      first_seed: the first of them.
      start: a policy file to start joint policy search from, instead of a random policy.
      memory_limit_gib: refuse trees that need more, GiB.
    """

    game: str
    size: int | None = None
    method: str = "cfr+jps"
    seeds: int = Field(default=10, ge=1)
    first_seed: int = Field(default=0, ge=0)
    start: str | None = None
    memory_limit_gib: float = Field(default=8.0, gt=0)
    cfr: CfrConfig = CfrConfig()
    jps: JpsConfig = JpsConfig()
    best: BestConfig = BestConfig()
    exact: ExactConfig = ExactConfig()

    @property
    def label(self) -> str:
        """Game and size in one word, e.g. `simple-bidding-16`."""
        name = self.game.removeprefix(OPENSPIEL_PREFIX)
        return name if self.size is None else f"{name}-{self.size}"

    @property
    def depth(self) -> int:
        """Search depth D: as configured, else the game's own."""
        if self.jps.depth is not None:
            return self.jps.depth
        if self.game.startswith(OPENSPIEL_PREFIX):
            return 2
        return game_spec(self.game).depth(self.size)


def load_tree(config: SolveConfig) -> Tree:
    """The tree that a configuration asks for.

    Raises:
      UsageError: unknown game or size.
      DataError: the tree is too large.
      MissingExtra: an OpenSpiel game without OpenSpiel.
    """
    limit = int(config.memory_limit_gib * GIB)
    if config.game.startswith(OPENSPIEL_PREFIX):
        from trine.games.openspiel import load_openspiel  # its own extra

        if config.size is not None:
            raise UsageError(
                f"--size {config.size} with {config.game}",
                hint="put parameters into the name, e.g. 'openspiel:trade_comm(num_items=3)'",
            )
        return load_openspiel(config.game.removeprefix(OPENSPIEL_PREFIX), memory_limit=limit)
    return build_tree(make_game(config.game, config.size), memory_limit=limit)


def start_path(config: SolveConfig) -> Path | None:
    """Where the starting policy lies, if one was given."""
    return None if config.start is None else Path(config.start)
