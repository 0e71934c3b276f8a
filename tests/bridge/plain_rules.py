"""The rules of bidding and scoring written out one board at a time: the second route of tests."""

import bisect
from typing import NamedTuple

_STEPS = [
    20, 50, 90, 130, 170, 220, 270, 320, 370, 430, 500, 600,
    750, 900, 1100, 1300, 1500, 1750, 2000, 2250, 2500, 3000, 3500, 4000,
]  # fmt: skip


class Contract(NamedTuple):
    level: int
    strain: int
    doubled: int
    declarer: int


def imps(difference: int) -> int:
    size = bisect.bisect_right(_STEPS, abs(difference))
    return size if difference > 0 else -size


def score(contract: Contract, tricks: int, vulnerability: int) -> int:
    """Points of North-South, as one would add them up with a pencil."""
    vulnerable = bool(vulnerability & (1 if contract.declarer % 2 == 0 else 2))
    over = tricks - 6 - contract.level
    points = _lost(contract, -over, vulnerable) if over < 0 else _won(contract, over, vulnerable)
    return points if contract.declarer % 2 == 0 else -points


def _lost(contract: Contract, down: int, vulnerable: bool) -> int:
    if contract.doubled == 0:
        return -down * (100 if vulnerable else 50)
    steps = [200] + [300] * 12 if vulnerable else [100, 200, 200] + [300] * 10
    return -sum(steps[:down]) * contract.doubled


def _won(contract: Contract, over: int, vulnerable: bool) -> int:
    minor = contract.strain < 2
    trick = 20 if minor else 30
    below = (trick * contract.level + (10 if contract.strain == 4 else 0)) * 2**contract.doubled
    points = below + ((500 if vulnerable else 300) if below >= 100 else 50)
    if contract.level == 6:
        points += 750 if vulnerable else 500
    if contract.level == 7:
        points += 1500 if vulnerable else 1000
    if contract.doubled:
        return points + 50 * contract.doubled + over * 100 * contract.doubled * (1 + vulnerable)
    return points + over * trick


class Auction:
    def __init__(self, dealer: int, calls: tuple[int, ...] = ()) -> None:
        self.dealer, self.calls = dealer, calls

    @property
    def turn(self) -> int:
        return (self.dealer + len(self.calls)) % 4

    def _state(self):
        bid, side, doubled, passes = -1, -1, 0, 0
        first: dict[tuple[int, int], int] = {}
        for place, call in enumerate(self.calls):
            seat = (self.dealer + place) % 4
            if call < 35:
                bid, side, doubled, passes = call, seat % 2, 0, 0
                first.setdefault((side, call % 5), seat)
            elif call == 35:
                passes += 1
            else:
                doubled, passes = call - 35, 0
        return bid, side, doubled, passes, first

    def legal(self) -> list[int]:
        bid, side, doubled, _, _ = self._state()
        calls = [*range(bid + 1, 35), 35]
        if bid >= 0 and side != self.turn % 2 and doubled == 0:
            calls.append(36)
        if bid >= 0 and side == self.turn % 2 and doubled == 1:
            calls.append(37)
        return calls

    def after(self, call: int) -> "Auction":
        return Auction(self.dealer, (*self.calls, call))

    @property
    def over(self) -> bool:
        bid, _, _, passes, _ = self._state()
        return passes >= (3 if bid >= 0 else 4)

    def contract(self) -> Contract | None:
        bid, side, doubled, _, first = self._state()
        if bid < 0:
            return None
        return Contract(bid // 5 + 1, bid % 5, doubled, first[side, bid % 5])
