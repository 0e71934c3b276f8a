"""From the name of a bot to the bot.

Adding one: a file here, a line in `BOTS`, a test, a docs row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from trine.bridge.bots.base import Bot
from trine.bridge.bots.passing import PassBot
from trine.bridge.bots.random_bot import RandomBot
from trine.core.errors import UsageError

__all__ = ["BOTS", "make_bot"]


def _rules() -> Bot:
    from trine.bridge.bots.rules import RulesBot

    return RulesBot()


def _trine() -> Bot:
    from trine.bridge.bots.shipped import shipped_bot

    return shipped_bot()


BOTS: Mapping[str, Callable[[], Bot]] = MappingProxyType(
    {"pass": PassBot, "random": RandomBot, "rules": _rules, "trine": _trine}
)


def make_bot(name: str) -> Bot:
    """The bot of a name.

    Args:
      name: of `BOTS`; `jps2020:WEIGHTS`, an own copy of a released agent; the path of a network
        that `trine bridge train` made; or `search:` and one of these, which then looks ahead.

    Raises:
      UsageError: there is none.
      DataError: its file cannot be used.
    """
    if name in BOTS:
        return BOTS[name]()
    kind, colon, rest = name.partition(":")
    if colon and kind == "jps2020":
        from trine.bridge.bots.jps2020 import Jps2020Bot

        return Jps2020Bot(Path(rest).expanduser())
    if colon and kind == "search":
        from trine.bridge.table_search import SearchBot

        return SearchBot(make_bot(rest))
    path = Path(name).expanduser()
    if path.suffix == ".safetensors" or path.exists():
        from trine.bridge.bots.fast_neural import FastNeuralBot

        return FastNeuralBot(path)
    raise UsageError(
        f"bot {name!r}",
        accepted=f"{', '.join(BOTS)}, jps2020:WEIGHTS.safetensors, the file of a network, "
        "search:BOT",
    )
