"""The auction, the obvious way: one auction, plain Python, straight from the Laws.

Source: Laws of Duplicate Bridge, Laws 17 to 22. Its fast twin, thousands of auctions at once, is
`trine.bridge.lockstep`; tests hold the two to each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from trine.bridge.calls import DOUBLE, NUM_BIDS, PASS, REDOUBLE, format_call
from trine.bridge.cards import SEATS, STRAINS
from trine.core.errors import DataError

__all__ = ["Auction", "Contract"]


class Contract(NamedTuple):
    """What the auction ended in.

    Attributes:
      level: 1..7.
      strain: C D H S NT = 0..4.
      doubled: 0, 1 doubled, 2 redoubled.
      declarer: seat.
    """

    level: int
    strain: int
    doubled: int
    declarer: int

    def __str__(self) -> str:
        return f"{self.level}{STRAINS[self.strain]}{'X' * self.doubled} {SEATS[self.declarer]}"


@dataclass(frozen=True, slots=True)
class Auction:
    """An auction under way, or over.

    Attributes:
      dealer: seat 0..3.
      calls: from the dealer on; each was legal.

    Raises:
      DataError: a call that is not legal: which, whose, and why.
    """

    dealer: int
    calls: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "calls", tuple(self.calls))
        for place in range(len(self.calls)):
            before = _unchecked(self.dealer, self.calls[:place])
            why = before._why_not(self.calls[place])
            if why:
                raise DataError(
                    f"call {place + 1} of the auction, {_word(self.calls[place])} by "
                    f"{SEATS[before.turn]}, is not legal: {why}"
                )

    @property
    def turn(self) -> int:
        """The seat to call; who would be next if it is over."""
        return (self.dealer + len(self.calls)) % 4

    @property
    def standing(self) -> int:
        """Place in `calls` of the last bid, or -1."""
        places = [place for place, call in enumerate(self.calls) if call < NUM_BIDS]
        return places[-1] if places else -1

    @property
    def doubled(self) -> int:
        """0, 1 doubled, 2 redoubled."""
        since = self.calls[self.standing + 1 :]
        return 2 if REDOUBLE in since else int(DOUBLE in since)

    @property
    def over(self) -> bool:
        """Three passes after a call that is none, or four passes at the start (Law 22)."""
        passes = 0
        for call in reversed(self.calls):
            if call != PASS:
                break
            passes += 1
        return passes >= (3 if self.standing >= 0 else 4)

    def legal(self) -> list[int]:
        """Every call that the seat to call may make, ascending; none if it is over."""
        return [call for call in range(NUM_BIDS + 3) if not self._why_not(call)]

    def after(self, call: int) -> Auction:
        """The auction with one more call.

        Raises:
          DataError: it is not legal.
        """
        why = self._why_not(call)
        if why:
            raise DataError(f"{_word(call)} by {SEATS[self.turn]} is not legal: {why}")
        return _unchecked(self.dealer, (*self.calls, call))

    def contract(self) -> Contract | None:
        """What it ended in, or what all passing would make of it; None: passed out.

        Declarer is the first of the side to have named the strain, not the last bidder (Law 22).
        """
        place = self.standing
        if place < 0:
            return None
        call = self.calls[place]
        first = next(
            i for i, other in enumerate(self.calls)
            if other < NUM_BIDS and other % 5 == call % 5 and i % 2 == place % 2
        )  # fmt: skip
        return Contract(call // 5 + 1, call % 5, self.doubled, (self.dealer + first) % 4)

    def _why_not(self, call: int) -> str:
        """Why a call is not legal; empty if it is."""
        if not 0 <= call < NUM_BIDS + 3:
            return "there is no such call"
        if self.over:
            return "the auction is over"
        if call == PASS:
            return ""
        place = self.standing
        if call < NUM_BIDS:
            if place < 0 or call > self.calls[place]:
                return ""
            return f"it is not higher than {format_call(self.calls[place])}"
        if place < 0:
            return "nobody has bid yet"
        own_side = (len(self.calls) - place) % 2 == 0
        if call == DOUBLE:
            if own_side:
                return "the last bid is of the own side"
            return "it is doubled already" if self.doubled else ""
        if not own_side:
            return "the last bid is of the opponents"
        if self.doubled == 2:
            return "it is redoubled already"
        return "" if self.doubled == 1 else "it is not doubled"


def _unchecked(dealer: int, calls: tuple[int, ...]) -> Auction:
    auction = object.__new__(Auction)
    object.__setattr__(auction, "dealer", dealer)
    object.__setattr__(auction, "calls", calls)
    return auction


def _word(call: int) -> str:
    return format_call(call) if 0 <= call < NUM_BIDS + 3 else f"number {call}"
