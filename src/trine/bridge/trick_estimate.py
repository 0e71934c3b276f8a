"""Double-dummy tricks estimated from the four hands by a linear formula, in microseconds.

Tricks of a declarer in a strain are a weighted sum of what a player counts: honours and their
combinations suit by suit, lengths, the lie of the defenders' honours and suits, ruffs, points. One
set of weights is for suit contracts (trumps and side suits apart), one for no trumps; they are the
least-squares fit to solved deals and stand in `data/trick_estimate.json`, written by
`fit_estimate`. The error is normal with the spread found in the fit. On one deal the errors of the
two partners in a strain are nearly the same (correlation 0.95), those of the opponents the other
way round (-0.73), those of two strains alike (0.34): a drawn error is one number of the deal and
one of the strain, with the sign of the side.

Use: expected scores over many deals. For a single deal ask the solver.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.bridge.deals import SolvedDeals

__all__ = ["Estimate", "fit_estimate", "load_estimate"]

_FILE = Path(__file__).parent / "data" / "trick_estimate.json"
_SHARED = 0.34
"""Correlation of the errors of two strains of a side (measured on the solved deals)."""

_NOTRUMP = 4
_ACE, _KING, _QUEEN, _JACK, _TEN = 12, 11, 10, 9, 8
_COMBINATIONS = (
    (_ACE, _KING), (_ACE, _QUEEN), (_KING, _QUEEN), (_ACE, _KING, _QUEEN), (_QUEEN, _JACK),
    (_KING, _JACK), (_ACE, _JACK), (_JACK, _TEN), (_QUEEN, _TEN), (_ACE, _KING, _QUEEN, _JACK),
)  # fmt: skip
_LACKING = ((_ACE, _KING), (_ACE, _KING, _QUEEN), (_ACE, _KING, _QUEEN, _JACK))


@dataclass(frozen=True, slots=True)
class Estimate:
    """The formula.

    Attributes:
      weights: of suit contracts and of no trumps.
      spread: standard deviation of the error of both, tricks.
    """

    weights: tuple[NDArray[np.float64], NDArray[np.float64]]
    spread: tuple[float, float]

    def mean(
        self, owner: NDArray[np.uint8], strain: NDArray[np.int64], declarer: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """`[n]` expected tricks, not rounded.

        Args:
          owner: `[n, 52]` seats.
          strain: `[n]` 0..4.
          declarer: `[n]` seats.
        """
        found = np.zeros(len(owner))
        for kind, rows in enumerate((strain != _NOTRUMP, strain == _NOTRUMP)):
            places = np.flatnonzero(rows)
            if len(places):
                counted = _counted(owner[places], strain[places], declarer[places])
                found[places] = counted @ self.weights[kind]
        return found

    def draw(
        self,
        owner: NDArray[np.uint8],
        strain: NDArray[np.int64],
        declarer: NDArray[np.int64],
        deal: NDArray[np.int64],
        generator: np.random.Generator,
    ) -> NDArray[np.int64]:
        """`[n]` tricks 0..13 with errors drawn; rows of the same `deal` `[n]` share theirs."""
        z = generator.standard_normal((int(deal.max(initial=-1)) + 1, 6))
        error = np.sqrt(_SHARED) * z[deal, 5] + np.sqrt(1 - _SHARED) * z[deal, strain]
        spread = np.where(strain == _NOTRUMP, self.spread[1], self.spread[0])
        sign = np.where(declarer % 2 == 0, 1, -1)
        tricks = self.mean(owner, strain, declarer) + sign * spread * error
        return np.clip(np.rint(tricks), 0, 13).astype(np.int64)

    def document(self) -> dict[str, Any]:
        """For the file."""
        rounded = [[round(float(weight), 5) for weight in part] for part in self.weights]
        return {
            "suit": {"spread": round(self.spread[0], 4), "weights": rounded[0]},
            "notrump": {"spread": round(self.spread[1], 4), "weights": rounded[1]},
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Estimate:
        """From what `document` gave."""
        parts = document["suit"], document["notrump"]
        weights = [np.array(part["weights"], dtype=np.float64) for part in parts]
        return cls((weights[0], weights[1]), (parts[0]["spread"], parts[1]["spread"]))


@cache
def load_estimate() -> Estimate:
    """The formula that comes with the package."""
    return Estimate.of(json.loads(_FILE.read_text()))


def fit_estimate(deals: SolvedDeals) -> Estimate:
    """The least-squares fit to solved deals, all strains and declarers."""
    n = len(deals)
    weights: list[NDArray[np.float64]] = []
    spread: list[float] = []
    for strains in (range(4), (_NOTRUMP,)):
        counted, tricks = [], []
        for strain in strains:
            for declarer in range(4):
                counted.append(_counted(deals.owner, np.full(n, strain), np.full(n, declarer)))
                tricks.append(deals.tricks[:, strain * 4 + declarer])
        x, y = np.concatenate(counted), np.concatenate(tricks).astype(np.float64)
        # A little ridge: some counts are nearly sums of others.
        fitted = np.linalg.solve(x.T @ x + 1e-3 * np.eye(x.shape[1]), x.T @ y)
        weights.append(fitted.astype(np.float64))
        spread.append(float((y - x @ fitted).std()))
    return Estimate((weights[0], weights[1]), (spread[0], spread[1]))


def _counted(
    owner: NDArray[np.uint8], strain: NDArray[np.int64], declarer: NDArray[np.int64]
) -> NDArray[np.float64]:
    """`[n, F]` what is counted; all suit contracts, or all no trumps."""
    rows = np.arange(len(owner))
    suits = owner.reshape(-1, 4, 13)
    is_suit = bool(len(strain)) and int(strain[0]) != _NOTRUMP
    if is_suit:  # trumps first; the order of the others does not matter
        order = (strain[:, None] + np.arange(4)) % 4
        suits = suits[rows[:, None], order]
    relative = (suits - declarer[:, None, None].astype(np.uint8)) % 4  # 0 declarer, 1 left, ...
    hands = [(relative == place).astype(np.float64) for place in range(4)]
    groups = ((0,), (1, 2, 3)) if is_suit else ((0, 1, 2, 3),)
    columns = [np.ones(len(owner))]
    for group in groups:
        columns += _suit_counts([hand[:, list(group)] for hand in hands])
    own = hands[0] + hands[2]
    if is_suit:
        columns += _ruffs(hands)
    else:
        columns += _weak_suits(hands, own)
    points = (own[:, :, _JACK:] @ np.array([1.0, 2.0, 3.0, 4.0])).sum(1)
    columns += [points**2, np.maximum(0, points - 28) ** 2, np.abs(points - 20)]
    return np.stack(columns, 1)


def _suit_counts(hands: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Sums over some suits of what counts in each; hands `[n, k, 13]` from declarer clockwise."""
    declarer, left, dummy, right = hands
    own = declarer + dummy
    length = [hand.sum(2) for hand in hands]
    longer = np.maximum(length[0], length[2])
    apart = np.maximum(length[1], length[3])
    both = length[0] + length[2]
    counts = [own[:, :, rank] for rank in range(7, 13)]
    counts += [longer, longer**2, both, both**2, np.abs(length[1] - length[3]), apart**2]
    counts += [(held == short).astype(float) for short in range(3) for held in length]
    held = [own[:, :, list(ranks)].prod(2) for ranks in _COMBINATIONS]
    held += [(1 - own[:, :, list(ranks)]).prod(2) for ranks in _LACKING]
    for value in held:
        counts += [value, value * longer]
    for rank in (_KING, _QUEEN):  # the lie of a missing honour to the ace
        for ace in (declarer, dummy):
            counts += [left[:, :, rank] * ace[:, :, _ACE], right[:, :, rank] * ace[:, :, _ACE]]
    return [count.sum(1) for count in counts]


def _ruffs(hands: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Shortness beside trumps."""
    length = [hand.sum(2) for hand in hands]
    short = [np.maximum(0, 2 - held[:, 1:]).sum(1) for held in length]
    trumps = [held[:, 0] for held in length]
    columns: list[NDArray[np.float64]] = []
    for place in (0, 2):
        both = trumps[0] + trumps[2]
        columns += [short[place] * trumps[place], short[place] * both, short[place] ** 2]
    return columns + [short[place] * trumps[place] for place in (1, 3)]


def _weak_suits(
    hands: list[NDArray[np.float64]], own: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """What the defenders can run in no trumps."""
    strength = own[:, :, _TEN:] @ np.array([0.5, 1.0, 2.0, 3.0, 4.0])
    theirs = np.maximum(hands[1].sum(2), hands[3].sum(2))
    columns = [strength.min(1), (strength <= 2).sum(1), (strength <= 4).sum(1)]
    columns += [
        (theirs * open_suit).max(1)
        for open_suit in (own[:, :, _ACE] == 0, strength <= 3, strength <= 5)
    ]
    return [column.astype(np.float64) for column in columns]
