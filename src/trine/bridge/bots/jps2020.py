"""The agents released with the paper, from a user's own copy of their weights, to measure against.

Source: Tian, Gong and Jiang 2020 (arXiv 2008.06495) and its released code; the weights are licensed
CC BY-NC 4.0 and do not come with Trine. Two ways of seeing the table belong to them, told apart by
the first layer's width:

* 268 numbers: own hand; contracts ever bid by me, partner, right- and left-hand opponent; the
  contracts that were doubled or redoubled; North-South and East-West vulnerable (of the table, not
  of the player); legal calls. Passes, dealer and order of calls are not seen.
* 1653 numbers: own hand; 40 places of 39 calls, the first place being the player's own first turn
  if it dealt; own side vulnerable, their side vulnerable; legal calls.

Their cards run from the ace down, clubs to spades; their 39th call never happens.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trine.bridge.bots.base import CALLS, Observations
from trine.bridge.calls import DOUBLE, NUM_BIDS
from trine.core.artifacts import read_arrays
from trine.core.errors import DataError

__all__ = ["Jps2020Bot", "features_268", "features_1653"]

_THEIR_CALLS = 39
_PLACES = 40
_LEAST_MASS = 1e-5
"""Legal probability below which they take every legal call as equally likely."""

_BLOCKS = ("enn_partner.fc.0", "enn_partner.fc.1", "pnn.fc.0", "pnn.fc.1")
_SHAPES = {
    "linear1": (200, None), "linear2": (52, 200), "linear3": (200, None),
    "linear_policy": (_THEIR_CALLS, 200), "linear_value": (1, 200),
    **{f"{block}.fc.{layer}": (200, 200) for block in _BLOCKS for layer in (0, 2)},
}  # fmt: skip


def features_268(seen: Observations) -> NDArray[np.float32]:
    """`[n, 268]`, see the module."""
    n = len(seen)
    bid_by = np.zeros((n, 4, NUM_BIDS), np.float32)  # me, partner, right, left
    doubled = np.zeros((n, NUM_BIDS), np.float32)
    place_of = np.array([0, 3, 1, 2])  # of the seat 0, 1, 2, 3 to the player's left
    standing = np.full(n, -1)
    for place, call in enumerate(seen.calls.T.astype(np.int64)):
        seat = (seen.dealer + place - seen.seat) % 4
        is_bid = (call >= 0) & (call < NUM_BIDS)
        rows = np.flatnonzero(is_bid)
        bid_by[rows, place_of[seat[rows]], call[rows]] = 1
        standing = np.where(is_bid, call, standing)
        rows = np.flatnonzero(call >= DOUBLE)
        doubled[rows, standing[rows]] = 1
    sides = np.stack([seen.vulnerability & 1, seen.vulnerability >> 1 & 1], 1)
    parts = (_hands(seen), bid_by.reshape(n, -1), doubled, sides, _legal(seen))
    return np.concatenate(parts, axis=1, dtype=np.float32)


def features_1653(seen: Observations) -> NDArray[np.float32]:
    """`[n, 1653]`, see the module."""
    n = len(seen)
    history = np.zeros((n, _PLACES, _THEIR_CALLS), np.float32)
    first = (seen.dealer - seen.seat) % 4
    for place, call in enumerate(seen.calls.T.astype(np.int64)):
        rows = np.flatnonzero((call >= 0) & (first + place < _PLACES))
        history[rows, first[rows] + place, call[rows]] = 1
    own = seen.vulnerability >> (seen.seat % 2) & 1
    other = seen.vulnerability >> ((seen.seat + 1) % 2) & 1
    parts = (_hands(seen), history.reshape(n, -1), np.stack([own, other], 1), _legal(seen))
    return np.concatenate(parts, axis=1, dtype=np.float32)


def _hands(seen: Observations) -> NDArray[np.float32]:
    return seen.hands.reshape(-1, 4, 13)[:, :, ::-1].reshape(-1, 52).astype(np.float32)


def _legal(seen: Observations) -> NDArray[np.float32]:
    return np.pad(seen.legal, ((0, 0), (0, 1))).astype(np.float32)


class Jps2020Bot:
    """One of them; takes the most probable call.

    Args:
      path: safetensors with the tensors as released.

    Raises:
      DataError: it cannot be read, or is not such a network.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"jps2020:{path.stem}"
        try:
            arrays = read_arrays(path)
        except DataError as error:
            if not path.is_file():
                raise
            raise DataError(  # somebody's own copy: no word of deleting it
                f"{path} cannot be read as weights", accepted="safetensors of a released JPS agent"
            ) from error
        missing = [
            f"{name}.{part}"
            for name in _SHAPES
            for part in ("weight", "bias")
            if f"{name}.{part}" not in arrays
        ]
        if missing:
            raise DataError(
                f"{path} has no tensor {missing[0]!r}", accepted="a released JPS agent of 2020"
            )
        first = arrays["linear1.weight"]
        inputs = int(first.shape[-1]) if first.ndim == 2 else 0
        self._features = {268: features_268, 1653: features_1653}.get(inputs)
        if self._features is None:
            raise DataError(
                f"{path} is a network of {inputs} numbers (linear1.weight: {list(first.shape)})",
                accepted="268 or 1653 (jps2020)",
            )
        self._layers: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        for name, (rows, columns) in _SHAPES.items():
            columns = columns or (inputs if name == "linear1" else inputs + 52)
            weight, bias = arrays[f"{name}.weight"], arrays[f"{name}.bias"]
            for part, found, wanted in (
                ("weight", weight.shape, (rows, columns)),
                ("bias", bias.shape, (rows,)),
            ):
                if found != wanted:
                    raise DataError(
                        f"{name}.{part} of {path} has shape {list(found)}",
                        accepted=f"{list(wanted)} for {inputs} inputs",
                    )
            if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
                raise DataError(f"{name} of {path} has numbers that are not finite")
            self._layers[name] = (weight.astype(np.float32), bias.astype(np.float32))

    def calls(self, observations: Observations) -> NDArray[np.int64]:
        """`[n]` calls."""
        return self.probabilities(observations).argmax(1)

    def probabilities(self, observations: Observations) -> NDArray[np.float64]:
        """`[n, 38]`: their softmax over 39, illegal calls taken out, brought to a sum of 1."""
        return self._play(observations)[0]

    def values(self, observations: Observations) -> NDArray[np.float64]:
        """`[n]` expected IMPs of the side to call: 24 times what their value head says."""
        return self._play(observations)[1] * 24

    def _play(self, seen: Observations) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        assert self._features is not None
        inputs = self._features(seen)
        belief = self._dense("linear1", inputs)
        for block in _BLOCKS[:2]:
            belief = self._block(block, belief)
        belief = np.float32(1) / (np.float32(1) + np.exp(-self._dense("linear2", belief)))
        deep = self._dense("linear3", np.concatenate([inputs, belief], axis=1))
        for block in _BLOCKS[2:]:
            deep = self._block(block, deep)
        logits = self._dense("linear_policy", deep).astype(np.float64)
        shares = np.exp(logits - logits.max(1, keepdims=True))
        shares = (shares / shares.sum(1, keepdims=True))[:, :CALLS] * seen.legal
        lost = shares.sum(1) < _LEAST_MASS
        shares[lost] = seen.legal[lost]
        value = self._dense("linear_value", deep)[:, 0].astype(np.float64)
        return shares / shares.sum(1, keepdims=True), value

    def _dense(self, name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
        weight, bias = self._layers[name]
        return values @ weight.T + bias

    def _block(self, name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
        inner = np.maximum(self._dense(f"{name}.fc.0", values), np.float32(0))
        return values + np.maximum(self._dense(f"{name}.fc.2", inner), np.float32(0))
