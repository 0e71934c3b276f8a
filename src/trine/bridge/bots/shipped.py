"""The bot `trine`: the network that comes with the package."""

from __future__ import annotations

from importlib.resources import as_file, files

from trine.bridge.bots.fast_neural import FastNeuralBot
from trine.core.errors import DataError

__all__ = ["WEIGHTS", "shipped_bot"]

WEIGHTS = files("trine.bridge") / "weights" / "trine.safetensors"


def shipped_bot() -> FastNeuralBot:
    """The bot.

    Raises:
      DataError: this copy of the package came without its network.
    """
    if not WEIGHTS.is_file():
        raise DataError(
            "the bot 'trine' has no network in this installation",
            accepted="--bot with another bot or the file of a network",
            hint="train one with: trine bridge train",
        )
    with as_file(WEIGHTS) as path:
        return FastNeuralBot(path, "trine")
