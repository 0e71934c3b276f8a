"""One call with its reasons: what `trine bridge bid` answers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.bridge.auction import Auction
from trine.bridge.bots.base import Bot, Observations
from trine.bridge.calls import format_call
from trine.bridge.cards import SEATS, Deal, Vulnerability, format_deal, format_hand
from trine.bridge.consistent_deals import call_probabilities
from trine.bridge.explain import Meaning, explain_auction
from trine.bridge.table_search import Candidate, Search, SearchSettings, search_call

__all__ = ["BidReport", "Position", "report_bid"]

_SHOWN = 0.01
"""Least probability of a call that is named."""

_VALUED = 3
"""Calls that are named and valued, however improbable: what if I had called something else?"""

_EXAMPLES = 3
"""Sampled deals in the JSON."""

_READ = 256
"""Deals from which the meanings of calls are read."""


@dataclass(frozen=True, slots=True)
class Position:
    """Whose turn it is, and what it sees.

    Attributes:
      hand: `[52]` own cards.
      auction: so far, not over.
      vulnerability: of both sides.
    """

    hand: NDArray[np.bool_]
    auction: Auction
    vulnerability: Vulnerability


@dataclass(frozen=True, slots=True)
class BidReport:
    """The call and its reasons.

    Attributes:
      bot: its name.
      position: that was asked about.
      call: the call.
      probabilities: of the likely calls, most probable first.
      search: what they lead to; None without sampling.
      meanings: what the calls so far and the call show; empty without sampling.
      explanation: what the bot itself says of its call; empty if it says nothing.
      settings: of the sampling.
      searched: whether the call was chosen by expected IMPs.
      seconds: it took.
    """

    bot: str
    position: Position
    call: int
    probabilities: tuple[tuple[int, float], ...]
    search: Search | None
    meanings: tuple[Meaning, ...]
    explanation: str
    settings: SearchSettings
    searched: bool
    seconds: float

    def document(self) -> dict[str, Any]:
        """For JSON."""
        auction = self.position.auction
        return {
            "call": format_call(self.call),
            "bot": self.bot,
            "hand": format_hand(self.position.hand),
            "seat": SEATS[auction.turn],
            "dealer": SEATS[auction.dealer],
            "vulnerability": self.position.vulnerability.text,
            "auction": [format_call(call) for call in auction.calls],
            "alternatives": [self._alternative(call, p) for call, p in self.probabilities],
            "shows": self.meanings[-1].document() if self.meanings else None,
            "shown_before": [meaning.document() for meaning in self.meanings[:-1]],
            "explanation": self.explanation or None,
            "searched": self.searched,
            "sampling": self._sampling(),
            "seconds": round(self.seconds, 4),
        }

    def text(self) -> str:
        """For people."""
        lines = [format_call(self.call)]
        if self.explanation:
            lines.append(f"the bot says: {self.explanation}")
        if self.meanings:
            lines.append(f"shows: {self.meanings[-1].text}")
        lines += ["", *self._table()]
        if len(self.meanings) > 1:
            lines += ["", "so far:"]
            lines += [
                f"  {SEATS[meaning.seat]} {format_call(meaning.call):<4} {meaning.text}"
                for meaning in self.meanings[:-1]
            ]
        if self.search is not None:
            lines += ["", *self._notes(self.search)]
        return "\n".join(lines)

    def _table(self) -> list[str]:
        lines: list[str] = []
        for call, p in self.probabilities:
            share = f"{100 * p:5.1f} %" if p >= 0.0005 else "< 0.1 %"
            line = f"  {format_call(call):<4} {share}"
            found = self._candidate(call)
            if found is not None and not math.isnan(found.imps):
                line += f"  {round(found.imps, 2) + 0.0:+6.2f} ± {found.error:.2f} IMPs"
            if found is not None:
                ends = (f"{name} {100 * share:.0f} %" for name, share in found.contracts)
                line += f"  ends in {', '.join(ends)}"
            lines.append(line)
        return lines

    def _notes(self, search: Search) -> list[str]:
        tricks = "by the double-dummy solver" if self.settings.double_dummy else "estimated"
        lines = [
            f"{search.used} deals that fit the auction, drawn from {len(search.deals.owner)} "
            f"({search.deals.effective:.0f} effective); tricks {tricks}"
        ]
        if search.used < search.wanted:
            lines.append(f"the time was up: {search.used} of {search.wanted} deals were bid out")
        auction = self.position.auction
        for place in search.deals.ignored:
            lines.append(
                f"hardly any hand makes call {place + 1}, {format_call(auction.calls[place])} by "
                f"{SEATS[(auction.dealer + place) % 4]}: nothing is concluded from it"
            )
        if self.searched and self.call != search.own:
            lines.append(f"without search: {format_call(search.own)}")
        return lines

    def _alternative(self, call: int, p: float) -> dict[str, Any]:
        found = self._candidate(call)
        return {
            "call": format_call(call),
            "probability": p,
            "expected_imps": None if found is None else found.imps,
            "standard_error": None if found is None else found.error,
            "points": None if found is None else found.points,
            "contracts": {} if found is None else dict(found.contracts),
        }

    def _candidate(self, call: int) -> Candidate | None:
        candidates = () if self.search is None else self.search.candidates
        return next((each for each in candidates if each.call == call), None)

    def _sampling(self) -> dict[str, Any] | None:
        if self.search is None:
            return None
        return {
            "deals": self.search.used,
            "wanted": self.search.wanted,
            "effective": self.search.deals.effective,
            "ignored_calls": [place + 1 for place in self.search.deals.ignored],
            "tricks": "double dummy" if self.settings.double_dummy else "estimated",
            "seed": self.settings.seed,
            "examples": [format_deal(Deal(owner)) for owner in self.search.drawn[:_EXAMPLES]],
        }


def report_bid(
    bot: Bot, position: Position, settings: SearchSettings, *, search: bool = False
) -> BidReport:
    """What a bot calls, and why.

    Args:
      bot: the bidder.
      position: not over.
      settings: with no samples, nothing is sampled.
      search: whether the call with the most expected IMPs is taken.
    """
    started = time.monotonic()
    auction, vulnerability = position.auction, int(position.vulnerability)
    seen = Observations.same_auction(
        position.hand[None], auction.calls, auction.dealer, vulnerability
    )
    own = call = int(bot.calls(seen)[0])
    found = None
    if settings.samples:
        found = search_call(
            bot, position.hand, auction.calls, auction.dealer, vulnerability,
            replace(settings, valued=max(settings.valued, _VALUED)),
        )  # fmt: skip
        call = found.call if search else call
    meanings: Sequence[Meaning] = ()
    if settings.samples:
        meanings = explain_auction(
            bot, (*auction.calls, call), auction.dealer, vulnerability,
            settings.seed, _READ, started + settings.seconds,
        )  # fmt: skip
    p = call_probabilities(bot, seen)[0]
    valued = [] if found is None else [candidate.call for candidate in found.candidates]
    order = [int(each) for each in np.argsort(-p, kind="stable")]
    likely = [each for each in order if p[each] >= _SHOWN or each in (call, *valued)]
    # A bot that can say what its calls show has a third optional method, as `rules` has.
    explain: Callable[[Observations], list[str]] | None = getattr(bot, "explain", None)
    explanation = explain(seen)[0] if explain is not None and call == own else ""
    return BidReport(
        bot=bot.name,
        position=position,
        call=call,
        probabilities=tuple((each, float(p[each])) for each in likely),
        search=found,
        meanings=tuple(meanings),
        explanation=explanation,
        settings=settings,
        searched=search,
        seconds=time.monotonic() - started,
    )
