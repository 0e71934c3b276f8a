"""A network of ours as a bot, in numpy: the most probable call, without loading torch.

The same answers as `trine.bridge.bots.neural`, which encodes positions with the engine of
self-play; here the 480 numbers are set call by call. Tests hold the two to each other.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trine.bridge.bots.base import Observations
from trine.bridge.calls import DOUBLE, NUM_BIDS, PASS
from trine.bridge.fast_policy import FastPolicy, read_network_file
from trine.core.errors import DataError

__all__ = ["ENCODINGS", "FastNeuralBot", "encode_lockhart480", "encode_pgx480"]

_CHUNK = 4096
"""Most positions in one product of matrices: more would leave the cache."""


def encode_lockhart480(seen: Observations) -> NDArray[np.float32]:
    """`[n, 480]`; layout and source: `trine.bridge.observation`."""
    n = len(seen)
    x = np.zeros((n, 480), np.float32)
    rows = np.arange(n)
    ours = seen.vulnerability >> (seen.seat % 2) & 1
    theirs = seen.vulnerability >> ((seen.seat + 1) % 2) & 1
    x[rows, ours] = 1
    x[rows, 2 + theirs] = 1
    standing = np.full(n, -1)
    for place, call in enumerate(seen.calls.T.astype(np.int64)):
        relative = (seen.dealer + place - seen.seat) % 4
        made = np.flatnonzero((call == PASS) & (standing < 0))
        x[made, 4 + relative[made]] = 1
        standing = np.where((call >= 0) & (call < NUM_BIDS), call, standing)
        made = np.flatnonzero((call >= 0) & (call != PASS))
        kind = np.where(call[made] < NUM_BIDS, 0, call[made] - DOUBLE + 1)
        x[made, 8 + standing[made] * 12 + kind * 4 + relative[made]] = 1
    x[:, 428:] = seen.hands
    return x


def encode_pgx480(seen: Observations) -> NDArray[np.float32]:
    """`[n, 480]`, the same with the hand by ranks."""
    x = encode_lockhart480(seen)
    x[:, 428:] = seen.hands.reshape(-1, 4, 13).transpose(0, 2, 1).reshape(-1, 52)
    return x


ENCODINGS = {"lockhart480": encode_lockhart480, "pgx480": encode_pgx480}
"""By the name of the codec that a network says it sees with."""


class FastNeuralBot:
    """See the module.

    Args:
      path: a file of `trine.bridge.network.save_network`.
      name: of the bot; the file's if empty.

    Raises:
      DataError: it cannot be read, is no such network, or sees with another codec.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        self.name = name or path.stem
        config, _, arrays = read_network_file(path)
        if config.codec not in ENCODINGS:
            raise DataError(
                f"{path} sees with codec {config.codec!r}", accepted=", ".join(ENCODINGS)
            )
        self._encode = ENCODINGS[config.codec]
        self._policy = FastPolicy(config, arrays)

    def calls(self, observations: Observations) -> NDArray[np.int64]:
        """`[n]` calls."""
        return self.probabilities(observations).argmax(1)

    def probabilities(self, observations: Observations) -> NDArray[np.float64]:
        """`[n, 38]`, 0 for illegal calls."""
        x, legal = self._encode(observations), observations.legal
        parts = [
            self._policy.probabilities(x[start : start + _CHUNK], legal[start : start + _CHUNK])
            for start in range(0, max(len(x), 1), _CHUNK)
        ]
        return np.concatenate(parts).astype(np.float64)
