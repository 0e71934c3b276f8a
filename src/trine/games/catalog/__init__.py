"""The games that come with Trine.

Adding one: a file here, a line in `GAMES`, a test, a docs row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trine.core.errors import UsageError
from trine.games.catalog.communication import Communication
from trine.games.catalog.kuhn import Kuhn
from trine.games.catalog.leduc import Leduc
from trine.games.catalog.mini_hanabi import MiniHanabi
from trine.games.catalog.simple_bidding import SimpleBidding
from trine.games.catalog.two_suit_bridge import TwoSuitBridge
from trine.games.game import Game, PublicActionGame


@dataclass(frozen=True, slots=True)
class GameSpec:
    """A game of the catalog.

    Attributes:
      name: as typed on the command line.
      summary: one line for `trine games list`.
      make: builds the game, from its size if it has one.
      size_meaning: what the size counts; `None` for a game of one size.
      smallest: smallest legal size.
      largest: size above which even the number of states is not worked out.
      paper_sizes: sizes with published results.
      paper_depth: search depth D of joint policy search, 0 for "to the end" (authors' commands
        where they are published).
      full_depth_up_to: sizes up to this one are searched one link deeper, which costs nothing.
      cooperative: whether all players share one payoff.
    """

    name: str
    summary: str
    make: Callable[..., Game | PublicActionGame]
    size_meaning: str | None = None
    smallest: int = 0
    paper_sizes: tuple[int, ...] = ()
    paper_depth: int = 0
    full_depth_up_to: int = 0
    cooperative: bool = True
    largest: int = 10**6

    def depth(self, size: int | None) -> int:
        """Search depth D that `jps` uses unless told otherwise."""
        deeper = size is not None and size <= self.full_depth_up_to
        return self.paper_depth + 1 if self.paper_depth and deeper else self.paper_depth


GAMES: dict[str, GameSpec] = {
    spec.name: spec
    for spec in (
        GameSpec(
            "comm", "player 1 names a number to player 2 in L bits", Communication,
            "L, bits of the message", 1, (3, 5, 6, 7),
        ),
        GameSpec("mini-hanabi", "two cards, three actions, one hint", MiniHanabi),
        GameSpec(
            "simple-bidding", "bid to the largest power of two that both cards reach",
            SimpleBidding, "N, cards of each player", 2, (4, 8, 16), 3, 8,
        ),
        GameSpec(
            "two-suit-bridge", "bid hearts or spades to the best contract", TwoSuitBridge,
            "N, cards in a hand", 1, (3, 4, 5), 3,
        ),
        GameSpec("kuhn", "three-card poker (zero-sum check)", Kuhn, cooperative=False),
        GameSpec("leduc", "six-card poker, two rounds (zero-sum check)", Leduc, cooperative=False),
    )
}  # fmt: skip


def game_spec(name: str) -> GameSpec:
    """Look a game up.

    Raises:
      UsageError: no game has this name.
    """
    if name not in GAMES:
        raise UsageError.unknown("game", name, list(GAMES), hint="see `trine games list`")
    return GAMES[name]


def make_game(name: str, size: int | None = None) -> Game | PublicActionGame:
    """Build a game of the catalog.

    Args:
      name: a key of `GAMES`.
      size: the game's size; must be given exactly when the game has one.

    Raises:
      UsageError: unknown name, missing or superfluous size, or size below the smallest.
    """
    spec = game_spec(name)
    if spec.size_meaning is None:
        if size is not None:
            raise UsageError(f"{name} has one size only, got --size {size}; leave --size out")
        return spec.make()
    if size is None:
        example = spec.paper_sizes[0]
        raise UsageError(
            f"{name} needs a size ({spec.size_meaning}), at least {spec.smallest}; "
            f"give one, e.g. --size {example}"
        )
    if isinstance(size, bool) or not isinstance(size, int) or size < spec.smallest:
        raise UsageError(
            f"size {size!r} of {name} is not accepted: {spec.size_meaning}, a whole number of at "
            f"least {spec.smallest}; e.g. --size {spec.paper_sizes[0]}"
        )
    if size > spec.largest:
        raise UsageError(
            f"size {size} of {name} is beyond any memory", accepted=f"{spec.smallest} and up",
            hint=f"sizes of the paper: {', '.join(str(known) for known in spec.paper_sizes)}",
        )  # fmt: skip
    return spec.make(size)
