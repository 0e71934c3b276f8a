"""Par: what both sides get if they bid perfectly, seeing all cards. By Haglund's DDS, from endplay.

`trine.bridge.rewards.par_points` is the same score for batches in training; here are its contracts
too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.bridge.auction import Contract
from trine.bridge.cards import SEATS
from trine.core.extras import require

__all__ = ["Par", "find_par"]

# DDS counts strains from spades in its tables, and from notrump in its contracts.
_STRAINS = [3, 2, 1, 0, 4]
_DENOMINATIONS = (4, 3, 2, 1, 0)
_VULNERABILITIES = (0, 2, 3, 1)  # ours None NS EW Both; theirs None Both NS EW


@dataclass(frozen=True, slots=True)
class Par:
    """Of one deal with its dealer and vulnerability.

    Attributes:
      score: points of North-South.
      contracts: all that give it, the same side's; empty if the deal is passed out. Either of
        them makes, or is a doubled sacrifice.
      declarers: the seats that may declare each, e.g. `N`, `EW`.
    """

    score: int
    contracts: tuple[Contract, ...] = ()
    declarers: tuple[str, ...] = ()

    def __str__(self) -> str:
        named = (
            f"{str(contract).split()[0]} {seats}"
            for contract, seats in zip(self.contracts, self.declarers, strict=True)
        )
        return ", ".join(named) or "passed out"


def find_par(
    tricks: Sequence[int] | NDArray[np.integer[Any]], dealer: int, vulnerability: int
) -> Par:
    """Par of a deal.

    Args:
      tricks: 20 numbers, strain C D H S NT (major) then declarer N E S W.
      dealer: seat; matters where both sides could make the first contract.
      vulnerability: bits, 1 North-South, 2 East-West.

    Raises:
      MissingExtra: endplay is not installed.
    """
    dds = _solver()
    numbers = np.asarray(tricks, dtype=np.int32)
    table, found = dds.ddTableResults(), dds.parResultsMaster()
    np.ctypeslib.as_array(table.resTable)[:] = numbers.reshape(5, 4)[_STRAINS]
    dds.DealerParBin(table, found, dealer, _VULNERABILITIES[vulnerability])
    contracts: list[Contract] = []
    declarers: list[str] = []
    for given in found.contracts[: found.number]:
        if not given.level:
            continue
        both = given.seats >= 4  # 4: North or South, 5: East or West
        declarer = given.seats - 4 if both else given.seats
        doubled = int(given.underTricks > 0)
        contracts.append(Contract(given.level, _DENOMINATIONS[given.denom], doubled, declarer))
        declarers.append(SEATS[declarer] + (SEATS[declarer + 2] if both else ""))
    return Par(found.score, tuple(contracts), tuple(declarers))


@cache
def _solver() -> Any:
    require("bridge", "par")
    import endplay._dds as dds

    return dds
