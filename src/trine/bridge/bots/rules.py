"""A plain natural bidder by rules, close to the ACBL SAYC booklet: readable, not strong."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from trine.bridge.bots.base import CALLS, Observations
from trine.bridge.rules.hand_features import hand_features
from trine.bridge.rules.language import Option, describe
from trine.bridge.rules.system import options_of
from trine.bridge.rules.table import Table

__all__ = ["RulesBot"]

_Key = tuple[bool, bool, tuple[int, ...]]
_REMEMBERED = 60_000
"""Positions whose tables are kept: an auction is read from its last position known."""


class RulesBot:
    """Bids by `trine.bridge.rules`.

    Besides `calls`, `explain(observations)` says for each position what the call that it makes
    shows, e.g. `limit raise: 3+ hearts, 10-12 points for hearts`: the alert text of `trine bridge
    bid` and `trine bridge auction`. It is read from the rule that made the call, so the two cannot
    differ.
    """

    name = "rules"

    def __init__(self) -> None:
        self._tables: OrderedDict[_Key, Table] = OrderedDict()
        self._options: OrderedDict[_Key, list[Option]] = OrderedDict()

    def calls(self, observations: Observations) -> NDArray[np.int64]:
        """`[n]` calls."""
        return np.array([option.call for option in self._chosen(observations)], dtype=np.int64)

    def probabilities(self, observations: Observations) -> NDArray[np.float64]:
        """`[n, 38]`, all on the call."""
        found = np.zeros((len(observations), CALLS))
        found[np.arange(len(found)), self.calls(observations)] = 1.0
        return found

    def explain(self, observations: Observations) -> list[str]:
        """`n` texts: what each of the calls shows."""
        return [describe(option) for option in self._chosen(observations)]

    def _chosen(self, observations: Observations) -> list[Option]:
        features = hand_features(observations.hands).tolist()
        # By dealer's side and the other one, so that equal auctions share a table.
        side = observations.dealer % 2
        vulnerable = observations.vulnerability[:, None] >> np.stack([side, 1 - side], 1) & 1
        chosen: list[Option] = []
        for row, (calls, (first, second)) in enumerate(
            zip(observations.calls.tolist(), vulnerable.astype(bool).tolist(), strict=True)
        ):
            made = tuple(call for call in calls if call >= 0)
            options = self._options_at((first, second, made))
            chosen.append(next(o for o in options if o.fits(features[row])))
        return chosen

    def _options_at(self, key: _Key) -> list[Option]:
        found = self._options.get(key)
        if found is None:
            found = self._options[key] = options_of(self._table(key))
            if len(self._options) > _REMEMBERED // 16:
                self._options.popitem(last=False)
        return found

    def _table(self, key: _Key) -> Table:
        table = self._tables.get(key)
        if table is None:
            first, second, calls = key
            if calls:
                before = (first, second, calls[:-1])
                table = self._table(before).after(calls[-1], self._options_at(before))
            else:
                table = Table((first, second))
            self._tables[key] = table
            if len(self._tables) > _REMEMBERED:
                self._tables.popitem(last=False)
        return table
