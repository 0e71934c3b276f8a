"""Tabular games: build a tree once, then search it.

    from trine.games import build_tree, joint_policy_search, make_game, random_policy

Map of the room:

* rules: `game` (protocols), `catalog` (games that come with Trine), `openspiel` (adapter)
* arrays: `tree`, `enumerate_public`, `enumerate_sequential`, `public_view`, `policy`
* measures: `traversal`, `card_values` (values and reach), `best_response`, `density` (value-change
  decomposition), `convention` (a policy as people read it)
* methods: `cfr`, `jps` (joint policy search), `best` (Trine's own search), `bad`, `a2c`,
  `exact` (proved optima); by name in `methods`
* runs: `config`, `solve`, `reproduce`, `paper` (published figures), `report`, `demo`

The names below are imported when they are first used, so that importing this package costs
nothing. Functions named like their module are not among them: `from trine.games.cfr import cfr`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trine.games.best import BestSettings, best_search
    from trine.games.best_response import exploitability, nash_conv
    from trine.games.catalog import GAMES, make_game
    from trine.games.cfr import CFR, CFR_PLUS, PAPER_CFR
    from trine.games.convention import convention_table
    from trine.games.density import policy_change_density
    from trine.games.exact import solve_exact
    from trine.games.game import CHANCE, TERMINAL, Deals, Game, PublicActionGame
    from trine.games.jps import joint_policy_search
    from trine.games.openspiel import load_openspiel
    from trine.games.policy import (
        TabularPolicy,
        load_policy,
        random_policy,
        save_policy,
        uniform_policy,
    )
    from trine.games.tree import Tree, build_tree

__all__ = [
    "CFR",
    "CFR_PLUS",
    "CHANCE",
    "GAMES",
    "PAPER_CFR",
    "TERMINAL",
    "BestSettings",
    "Deals",
    "Game",
    "PublicActionGame",
    "TabularPolicy",
    "Tree",
    "best_search",
    "build_tree",
    "convention_table",
    "exploitability",
    "joint_policy_search",
    "load_openspiel",
    "load_policy",
    "make_game",
    "nash_conv",
    "policy_change_density",
    "random_policy",
    "save_policy",
    "solve_exact",
    "uniform_policy",
]

_HOME = {
    "best": ("BestSettings", "best_search"),
    "best_response": ("exploitability", "nash_conv"),
    "catalog": ("GAMES", "make_game"),
    "cfr": ("CFR", "CFR_PLUS", "PAPER_CFR"),
    "convention": ("convention_table",),
    "density": ("policy_change_density",),
    "exact": ("solve_exact",),
    "game": ("CHANCE", "TERMINAL", "Deals", "Game", "PublicActionGame"),
    "jps": ("joint_policy_search",),
    "openspiel": ("load_openspiel",),
    "policy": ("TabularPolicy", "load_policy", "random_policy", "save_policy", "uniform_policy"),
    "tree": ("Tree", "build_tree"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name from the module where it lives."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
