"""One board as files tell it: cards, auction, explanations, result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from trine.bridge.auction import Auction, Contract
from trine.bridge.cards import SEATS, Deal, Vulnerability, board_dealer, board_vulnerability
from trine.core.errors import DataError

__all__ = ["BoardRecord", "Records", "board_number", "checked_auction", "complete_hands"]

_RANKS = "AKQJT98765432"


@dataclass(frozen=True, slots=True)
class BoardRecord:
    """A board.

    Attributes:
      deal: the cards.
      dealer: seat 0..3.
      vulnerability: of both sides.
      calls: from the dealer on; empty if none are recorded. Always legal, perhaps unfinished.
      board: its number or name, "" if not told.
      names: of the players N E S W, "" where not told.
      explanations: place in `calls` -> what was said of an alerted call, "" for a bare alert.
      tricks: double-dummy tricks, 20 numbers, strain C D H S NT (major) then declarer N E S W.
      par: score of N/S at best play of the double-dummy game, points.
      taken: tricks that declarer took.
      tags: what else a file says, by its PBN tag: Event, Site, Date, Room, Scoring, ...
    """

    deal: Deal
    dealer: int
    vulnerability: Vulnerability
    calls: tuple[int, ...] = ()
    board: str = ""
    names: tuple[str, str, str, str] = ("", "", "", "")
    explanations: Mapping[int, str] = field(default_factory=dict)
    tricks: tuple[int, ...] | None = None
    par: int | None = None
    taken: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def auction(self) -> Auction:
        """The calls as an auction."""
        return Auction(self.dealer, self.calls)

    @property
    def contract(self) -> Contract | None:
        """Where a finished auction ended; None if it was passed out or is not finished."""
        auction = self.auction
        return auction.contract() if auction.over else None


@dataclass(frozen=True, slots=True)
class Records:
    """The boards of a text.

    Attributes:
      boards: those that could be read, in order.
      problems: one line for each that could not: which, and why.
    """

    boards: tuple[BoardRecord, ...]
    problems: tuple[str, ...] = ()

    def require(self, where: str) -> tuple[BoardRecord, ...]:
        """The boards, if there is at least one.

        Raises:
          DataError: with the first problem.
        """
        if self.boards:
            return self.boards
        reason = self.problems[0] if self.problems else "it holds no deal"
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        # A board that is wrong says itself what is accepted.
        accepted = "" if self.problems else "PBN, LIN or a viewer URL"
        raise DataError(f"{where}: {reason}{more}", accepted=accepted)


def checked_auction(dealer: int, calls: Sequence[int]) -> tuple[int, ...]:
    """The calls, if each is legal in its place.

    Raises:
      UserError: naming the first that is not, its place and why.
    """
    auction = Auction(dealer, ())
    for call in calls:
        auction = auction.after(call)
    return tuple(calls)


def board_number(text: str) -> int | None:
    """The number in a board's name (`Board 12` -> 12), or None."""
    digits = "".join(c if c.isascii() and c.isdigit() else " " for c in text).split()
    number = int(digits[-1]) if digits and len(digits[-1]) < 7 else 0
    return number if number > 0 else None


def dealer_and_vulnerability(
    board: str, dealer: int | None, vulnerability: Vulnerability | None
) -> tuple[int, Vulnerability]:
    """What is not told follows from the board's number, else it is North and nobody."""
    number = board_number(board)
    if dealer is None:
        dealer = 0 if number is None else int(board_dealer(number))
    if vulnerability is None:
        vulnerability = (
            Vulnerability.parse("None") if number is None else board_vulnerability(number)
        )
    return dealer, vulnerability


def complete_hands(hands: Mapping[int, str]) -> str:
    """Four hands as PBN from North, one that is missing filled with the cards left over.

    Args:
      hands: seat -> spades.hearts.diamonds.clubs; a hidden hand is missing or empty.

    Raises:
      DataError: more than one hand is missing, or the others have not 13 cards each.
    """
    told = {seat: hand for seat, hand in hands.items() if hand.strip(" -.")}
    missing = [seat for seat in range(4) if seat not in told]
    if len(missing) > 1:
        raise DataError(
            f"the hands of {_listed(missing)} are missing", accepted="all four hands, or three"
        )
    if missing:
        told[missing[0]] = _left_over(told)
    return "N:" + " ".join(told[seat] for seat in range(4))


def _left_over(hands: Mapping[int, str]) -> str:
    suits = [[suit.upper().replace("10", "T") for suit in h.split(".")] for h in hands.values()]
    if any(len(hand) != 4 for hand in suits):
        raise DataError("a hand has not four suits", accepted="spades.hearts.diamonds.clubs")
    rest: list[str] = []
    for place in range(4):
        held = "".join(hand[place] for hand in suits)
        rest.append("".join(rank for rank in _RANKS if rank not in held))
    if sum(map(len, rest)) != 13:
        raise DataError(
            f"three hands leave {sum(map(len, rest))} cards for the fourth", accepted="13 each"
        )
    return ".".join(rest)


def _listed(seats: Iterable[int]) -> str:
    names = [SEATS[seat] for seat in seats]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
