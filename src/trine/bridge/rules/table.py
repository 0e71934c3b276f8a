"""A position as all four players see it, with what each seat has shown.

Places are counted from the dealer, 0 to 3, so that a position is the same for every dealer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trine.bridge.calls import DOUBLE, NUM_BIDS, PASS, REDOUBLE, bid
from trine.bridge.rules.knowledge import Known, learn
from trine.bridge.rules.language import NOTRUMP, Option

__all__ = ["Table"]


@dataclass(frozen=True, slots=True)
class Table:
    """A position as all see it.

    Attributes:
      vulnerable: of the sides of places 0 and 2, of 1 and 3.
      calls: from the dealer on.
      known: what each place has shown, place 0 = the dealer.
      bid: the last bid, or -1.
      bidder: its place, or -1.
      doubled: 0, 1, 2.
      opener: the place that bid first, or -1.
      to_game: whether a side may not stop below game.
    """

    vulnerable: tuple[bool, bool] = (False, False)
    calls: tuple[int, ...] = ()
    known: tuple[Known, Known, Known, Known] = (Known(), Known(), Known(), Known())
    bid: int = -1
    bidder: int = -1
    doubled: int = 0
    opener: int = -1
    to_game: tuple[bool, bool] = (False, False)

    @property
    def me(self) -> int:
        """The place to call."""
        return len(self.calls) % 4

    @property
    def mine(self) -> Known:
        """What I have shown."""
        return self.known[self.me]

    @property
    def partner(self) -> Known:
        """What my partner has shown."""
        return self.known[(self.me + 2) % 4]

    @property
    def right(self) -> Known:
        """What the opponent on my right has shown."""
        return self.known[(self.me + 3) % 4]

    @property
    def left(self) -> Known:
        """What the opponent on my left has shown."""
        return self.known[(self.me + 1) % 4]

    @property
    def we_are_vulnerable(self) -> bool:
        """My side."""
        return self.vulnerable[self.me % 2]

    @property
    def level(self) -> int:
        """Of the last bid, 0 before the first."""
        return self.bid // 5 + 1 if self.bid >= 0 else 0

    @property
    def strain(self) -> int:
        """Of the last bid, -1 before the first."""
        return self.bid % 5 if self.bid >= 0 else -1

    @property
    def ours(self) -> bool:
        """Whether the last bid is our side's."""
        return self.bid >= 0 and (self.bidder - self.me) % 2 == 0

    @property
    def theirs(self) -> bool:
        """Whether the last bid is the opponents'."""
        return self.bid >= 0 and not self.ours

    @property
    def we_opened(self) -> bool:
        """Whether our side bid first."""
        return self.opener >= 0 and (self.opener - self.me) % 2 == 0

    @property
    def quiet(self) -> bool:
        """Whether the opponents have only passed."""
        return self.left.acted == 0 and self.right.acted == 0

    @property
    def right_passed(self) -> bool:
        """Whether the opponent on my right has just passed, or nobody has called yet."""
        return not self.calls or self.calls[-1] == PASS

    @property
    def undisturbed(self) -> bool:
        """Whether a question of partner's still stands: passed, or doubled to show the suit."""
        return self.ours and self.bidder != self.me and self.calls[-1] in (PASS, DOUBLE)

    @property
    def last_chance(self) -> bool:
        """Whether my pass would end the auction."""
        return self.bid >= 0 and self.calls[-2:] == (PASS, PASS)

    @property
    def partners_call(self) -> int:
        """The last call of my partner, -1 if there is none."""
        return self.calls[-2] if len(self.calls) >= 2 else -1

    @property
    def forced(self) -> bool:
        """Whether a pass would let a forcing call of partner's stand, or miss the agreed game."""
        if self.bid < 0:
            return False
        if self.undisturbed and self.partner.forcing and self.partner.tag:
            return True  # doubled, a conventional bid is no place to play
        if not self.right_passed:
            return False
        if self.partner.forcing and self.partners_call != PASS:
            return True
        return self.to_game[self.me % 2] and self.ours and self.bid < bid(3, NOTRUMP)

    @property
    def their_suits(self) -> list[int]:
        """Suits in which an opponent has shown three cards, and that of the last bid."""
        found = [s for s in range(4) if max(self.left.shortest[s], self.right.shortest[s]) >= 3]
        if self.theirs and self.strain != NOTRUMP and self.strain not in found:
            found.append(self.strain)
        return found

    def fit(self, suit: int) -> int:
        """Cards of a suit that I need for eight with partner's."""
        return max(8 - self.partner.shortest[suit], 0)

    def shown(self, suit: int) -> int:
        """Cards of a suit that both of us have shown."""
        return self.partner.shortest[suit] + self.mine.shortest[suit]

    def is_legal(self, call: int) -> bool:
        """Whether the place to call may make a call."""
        if call < NUM_BIDS:
            return call > self.bid
        if call == DOUBLE:
            return self.theirs and self.doubled == 0
        return call == PASS or (call == REDOUBLE and self.ours and self.doubled == 1)

    def after(self, call: int, options: Iterable[Option]) -> Table:
        """The table after one more call, which is one of (or not among) the options."""
        me = self.me
        known = list(self.known)
        known[me] = shown = learn(self.mine, call, options)
        forced = list(self.to_game)
        forced[me % 2] = forced[me % 2] or shown.forcing == 2
        is_bid = call < NUM_BIDS
        return Table(
            self.vulnerable,
            (*self.calls, call),
            (known[0], known[1], known[2], known[3]),
            call if is_bid else self.bid,
            me if is_bid else self.bidder,
            0 if is_bid else {DOUBLE: 1, REDOUBLE: 2}.get(call, self.doubled),
            me if is_bid and self.opener < 0 else self.opener,
            (forced[0], forced[1]),
        )
