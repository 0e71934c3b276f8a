"""Joint policy search inside self-play: one file a strategy, one registry.

    none        plain self-play
    jps2020     the online form of Tian, Gong and Jiang 2020 (spec 6.4): search changes which call
                self-play makes
    density     reach-weighted advantages of a joint change over two partners' information sets,
                as a second policy gradient

To add one: a module with a subclass of `SearchStrategy`, a line in `STRATEGIES`, a test.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from trine.core.errors import UsageError

if TYPE_CHECKING:
    from trine.bridge.config import SearchConfig
    from trine.bridge.search.strategy import SearchStrategy

__all__ = ["STRATEGIES", "make_strategy"]

STRATEGIES: dict[str, str] = {
    "none": "trine.bridge.search.strategy:SearchStrategy",
    "jps2020": "trine.bridge.search.jps2020:Jps2020",
    "density": "trine.bridge.search.density:Density",
}


def make_strategy(config: SearchConfig) -> SearchStrategy:
    """The strategy of a recipe.

    Raises:
      UsageError: an unknown name.
    """
    if config.strategy not in STRATEGIES:
        raise UsageError.unknown("search strategy", config.strategy, list(STRATEGIES))
    module, _, name = STRATEGIES[config.strategy].partition(":")
    return getattr(importlib.import_module(module), name)(config)
