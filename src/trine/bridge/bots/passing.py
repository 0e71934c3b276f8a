"""The bidder that always passes: what a board is worth to the others alone."""

import numpy as np
from numpy.typing import NDArray

from trine.bridge.bots.base import CALLS, Observations
from trine.bridge.calls import PASS

__all__ = ["PassBot"]


class PassBot:
    """Passes."""

    name = "pass"

    def calls(self, observations: Observations) -> NDArray[np.int64]:
        """`[n]` passes."""
        return np.full(len(observations), PASS)

    def probabilities(self, observations: Observations) -> NDArray[np.float64]:
        """`[n, 38]`, all on the pass."""
        table = np.zeros((len(observations), CALLS))
        table[:, PASS] = 1.0
        return table
