"""The bidder that calls anything legal, each call as likely as any other.

The draw is a function of the position and the seed (a hash of both), not of a stream: the same
position gets the same call in any batch, in any order, and on a second look.
"""

import numpy as np
from numpy.typing import NDArray

from trine.bridge.bots.base import Observations

__all__ = ["RandomBot", "position_uniforms"]

_MIX = np.uint64(0x9E3779B97F4A7C15)


def position_uniforms(observations: Observations, seed: int) -> NDArray[np.float64]:
    """`[n]` numbers in [0, 1), one a position, that depend on nothing but position and seed.

    Mixing is that of SplitMix64 (Steele, Lea and Flood 2014), word after word.
    """
    n = len(observations)
    with np.errstate(over="ignore"):
        bits = np.packbits(observations.hands, axis=1)  # [n, 7]
        hand = np.zeros((n, 8), np.uint8)
        hand[:, :7] = bits
        state = np.full(n, np.uint64(seed) * _MIX)
        state = _mixed(state ^ hand.view(np.uint64)[:, 0])
        state = _mixed(state ^ (observations.dealer * 4 + observations.vulnerability).astype("u8"))
        for column in observations.calls.T:
            # The padding leaves the state as it is: a batch of longer auctions changes nothing.
            word = _mixed(state ^ (column.astype(np.int64) + 1).astype(np.uint64))
            state = np.where(column >= 0, word, state)
    return (state >> np.uint64(11)).astype(np.float64) / 2**53


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = state + _MIX
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


class RandomBot:
    """Any legal call.

    Args:
      seed: of the draws.
    """

    name = "random"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def probabilities(self, observations: Observations) -> NDArray[np.float64]:
        """`[n, 38]`, the same for each legal call."""
        legal = observations.legal
        return legal / legal.sum(1, keepdims=True)

    def calls(self, observations: Observations) -> NDArray[np.int64]:
        """`[n]` calls."""
        counts = observations.legal.cumsum(1)  # [n, 38]
        wanted = (position_uniforms(observations, self._seed) * counts[:, -1]).astype(np.int64)
        return (counts > wanted[:, None]).argmax(1)
