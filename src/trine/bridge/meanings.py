"""What is said of calls: by a bot that explains itself, or from hands sampled under its policy."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from trine.bridge.board_record import BoardRecord
from trine.bridge.bots.base import Bot, Observations
from trine.bridge.calls import NUM_CALLS, PASS

__all__ = ["ExplainingBot", "explain_by_sampling", "told_meanings"]


@runtime_checkable
class ExplainingBot(Bot, Protocol):
    """A bidder that says what its calls show."""

    def explain(self, observations: Observations) -> list[str]:
        """Of each position, what the call that it makes there shows; "" for nothing to say."""
        ...


def told_meanings(board: BoardRecord, sides: tuple[Bot, Bot]) -> BoardRecord:
    """The board with what the bots say of their calls.

    Passes are left aside: there would be much to read and little to learn.

    Args:
      board: as the bots bid it.
      sides: North-South and East-West.
    """
    told: dict[int, str] = {}
    for side, bot in enumerate(sides):
        places = [
            place for place, call in enumerate(board.calls)
            if (board.dealer + place) % 2 == side and call != PASS
        ]  # fmt: skip
        if places and isinstance(bot, ExplainingBot):
            told |= dict(zip(places, bot.explain(_positions(board, places)), strict=True))
    return replace(
        board, explanations={place: told[place] for place in sorted(told) if told[place]}
    )


def explain_by_sampling(
    board: BoardRecord, sides: tuple[Bot, Bot], *, seed: int = 0, count: int = 512
) -> BoardRecord:
    """The board with what its calls show, sampled, where the bot does not say it by itself.

    Args:
      board: as the bots bid it.
      sides: North-South and East-West.
      seed: of the hands.
      count: of hands.
    """
    from trine.bridge.explain import explain_auction

    silent = [not isinstance(bot, ExplainingBot) for bot in sides]
    if not any(silent):
        return board
    meanings = explain_auction(
        _BothSides(sides), board.calls, board.dealer, int(board.vulnerability), seed, count
    )
    told = dict(board.explanations)
    for place, meaning in enumerate(meanings):
        if board.calls[place] != PASS and silent[(board.dealer + place) % 2] and meaning.known:
            told[place] = meaning.text
    return replace(board, explanations=dict(sorted(told.items())))


def _positions(board: BoardRecord, places: list[int]) -> Observations:
    """What the callers saw before each of some calls."""
    before = np.full((len(places), len(board.calls)), -1, dtype=np.int8)
    for row, place in enumerate(places):
        before[row, :place] = board.calls[:place]
    seat = (board.dealer + np.array(places, dtype=np.int64)) % 4
    return Observations(
        board.deal.owner == seat[:, None].astype(np.uint8),
        np.full(len(places), board.dealer),
        seat,
        np.full(len(places), int(board.vulnerability)),
        before,
    )


class _BothSides:
    """Two bots as one, each in its own seats."""

    name = "both sides"

    def __init__(self, sides: tuple[Bot, Bot]) -> None:
        self.sides = sides

    def calls(self, observations: Observations) -> NDArray[np.int64]:
        return self.probabilities(observations).argmax(1)

    def probabilities(self, observations: Observations) -> NDArray[np.float64]:
        from trine.bridge.consistent_deals import call_probabilities

        found = np.zeros((len(observations), NUM_CALLS))
        for side, bot in enumerate(self.sides):
            rows = np.flatnonzero(observations.seat % 2 == side)
            if len(rows):
                found[rows] = call_probabilities(bot, observations.take(rows))
        return found
