"""A network of ours as a bot: the most probable call."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from trine.bridge.bots.base import CALLS, Observations
from trine.bridge.lockstep import LockstepAuctions
from trine.bridge.network import load_network, mask_illegal
from trine.bridge.observation import make_observation

__all__ = ["NeuralBot", "replay"]


def replay(seen: Observations) -> LockstepAuctions:
    """The auctions of positions that have equally many calls, in the engine of self-play."""
    auctions = LockstepAuctions.start(
        torch.from_numpy(seen.dealer.astype(np.int64)),
        torch.from_numpy(seen.vulnerability.astype(np.int64)),
    )
    for call in seen.calls.T.astype(np.int64):
        if (call < 0).all():
            break
        auctions = auctions.after(torch.from_numpy(call))
    return auctions


class NeuralBot:
    """See the module.

    Args:
      path: a file of `trine.bridge.network.save_network`.

    Raises:
      DataError: it cannot be read, or is no such network.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self._network = load_network(path).eval()
        self._observation = make_observation(self._network.config.codec)

    def calls(self, observations: Observations) -> NDArray[np.int64]:
        """`[n]` calls."""
        return self.probabilities(observations).argmax(1)

    def probabilities(self, observations: Observations) -> NDArray[np.float64]:
        """`[n, 38]`, 0 for illegal calls."""
        found = np.zeros((len(observations), CALLS))
        lengths = (observations.calls >= 0).sum(1)
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            found[rows] = self._same_length(observations.take(rows))
        return found

    @torch.no_grad()
    def _same_length(self, seen: Observations) -> NDArray[np.float64]:
        auctions = replay(seen)
        x = self._observation.encode(auctions, torch.from_numpy(seen.hands))
        logits = mask_illegal(self._network.logits(x.float()), auctions.legal())
        return logits.double().softmax(1).numpy()
