"""Forcing bids that partner passed.

What is forcing is a matter of agreement; these are so in nearly all systems that people play. A
bidder with a language of its own may pass them with reason: the IMPs that were lost tell.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trine.bridge.audit.base import GAME, Audited, by_side, kind_of
from trine.bridge.calls import NUM_BIDS, PASS, bid

__all__ = ["cue_bid_passed", "jump_shift_passed", "new_suit_passed", "two_clubs_passed"]

_NATURAL = 5
_TWO_CLUBS = bid(2, 0)


def cue_bid_passed(seen: Audited) -> NDArray[np.bool_]:
    """A cue-bid of the opponents' suit is passed out.

    The contract is undoubled, in a suit that the opponents had named before the declaring side did;
    the last bid was that side's first in the suit, and its bidder holds at most four cards there
    (with five it may be natural). At fault is the declaring side.
    """
    auction, rows = seen.auction, np.arange(len(seen))
    suit, side = np.clip(seen.strain, 0, 3), np.maximum(seen.side, 0)
    own = auction.first_place[rows, side, suit]
    theirs = auction.first_place[rows, 1 - side, suit]
    found = (seen.strain >= 0) & (seen.strain < 4) & (seen.table.doubled == 0)
    found &= (own == auction.final) & (theirs >= 0) & (theirs < own)
    bidder = (seen.boards.dealer + np.maximum(auction.final, 0)) % 4
    held = (seen.boards.owner.reshape(-1, 4, 13)[rows, suit] == bidder[:, None]).sum(1)
    return by_side(found & (held < _NATURAL), seen.side)


def new_suit_passed(seen: Audited) -> NDArray[np.bool_]:
    """A new suit of an unpassed responder is passed by opener.

    One of a suit, pass, another suit at its lowest level by a hand that had not passed, pass, pass.
    How the auction goes on does not matter. At fault is opener's side.
    """
    response = seen.auction.after_opening(2)
    found = _suit_opening(seen) & _unpassed(seen)
    found &= response == _lowest(seen.auction.after_opening(0), response)
    found &= _new_suit(response, seen.auction.after_opening(0)) & _passed_after(seen, 2)
    return by_side(found, seen.auction.opening_side)


def jump_shift_passed(seen: Audited) -> NDArray[np.bool_]:
    """A jump shift of opener, or of an unpassed responder, is passed by partner.

    Responder's: one of a suit, pass, another suit one level higher than necessary, pass, pass.
    Opener's: one of a suit, pass, a suit or notrump at its lowest level, pass, a third suit one
    level higher than necessary, pass, pass. Below game. At fault is opener's side.
    """
    auction = seen.auction
    opening, response, rebid = (auction.after_opening(step) for step in (0, 2, 4))
    jump = response == _lowest(opening, response) + 5
    responder = _unpassed(seen) & jump & _new_suit(response, opening) & _passed_after(seen, 2)
    simple = _is_bid(response) & (response == _lowest(opening, response))
    simple &= (auction.after_opening(3) == PASS) & (response % 5 != opening % 5)
    jump = (rebid == _lowest(response, rebid) + 5) & (kind_of(rebid) < GAME)
    new = _new_suit(rebid, opening) & (rebid % 5 != response % 5)
    opener = simple & jump & new & _passed_after(seen, 4)
    return by_side(_suit_opening(seen) & (responder | opener), auction.opening_side)


def two_clubs_passed(seen: Audited) -> NDArray[np.bool_]:
    """An opening of two clubs is passed: 2C, pass, pass. At fault is opener's side."""
    opened = seen.auction.after_opening(0) == _TWO_CLUBS
    passed = (seen.auction.after_opening(1) == PASS) & (seen.auction.after_opening(2) == PASS)
    return by_side(opened & passed, seen.auction.opening_side)


def _suit_opening(seen: Audited) -> NDArray[np.bool_]:
    """One of a suit, and the next hand passed."""
    opening = seen.auction.after_opening(0)
    return (opening >= 0) & (opening < 4) & (seen.auction.after_opening(1) == PASS)


def _unpassed(seen: Audited) -> NDArray[np.bool_]:
    """Responder had no turn before the opening bid."""
    return seen.auction.opening < 2


def _passed_after(seen: Audited, step: int) -> NDArray[np.bool_]:
    """Both the next hand and partner passed the bid."""
    return (seen.auction.after_opening(step + 1) == PASS) & (
        seen.auction.after_opening(step + 2) == PASS
    )


def _is_bid(call: NDArray[np.int64]) -> NDArray[np.bool_]:
    return (call >= 0) & (call < NUM_BIDS)


def _new_suit(call: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.bool_]:
    return _is_bid(call) & (call % 5 < 4) & (call % 5 != other % 5)


def _lowest(before: NDArray[np.int64], call: NDArray[np.int64]) -> NDArray[np.int64]:
    """The lowest bid over `before` that names the strain of `call`."""
    return before + 1 + (call - before - 1) % 5
