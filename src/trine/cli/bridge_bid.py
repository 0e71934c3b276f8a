"""`trine bridge bid`: one call, with its alternatives and what it shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from trine.cli.output import emit, say
from trine.cli.runs import JsonOption

if TYPE_CHECKING:
    from trine.bridge.bid_report import Position

__all__ = ["register"]

_T = TypeVar("_T")


def register(app: typer.Typer) -> None:
    """Adds the command to the room's."""
    app.command()(bid)


def bid(
    hand: Annotated[str, typer.Option(help="spades.hearts.diamonds.clubs, - for a void.")],
    auction: Annotated[str, typer.Option(help="The calls so far, from the dealer on.")] = "",
    dealer: Annotated[str, typer.Option(help="N, E, S or W.")] = "N",
    seat: Annotated[
        str | None, typer.Option(help="Who holds the hand.  [default: whose turn it is]")
    ] = None,
    vul: Annotated[str, typer.Option(help="None, NS, EW or Both.")] = "None",
    bot: Annotated[
        str, typer.Option(help="Who bids: trine, rules, jps2020:WEIGHTS, or a network.")
    ] = "trine",
    samples: Annotated[
        int, typer.Option(min=0, max=10_000, help="Deals to look at; 0: only the call.")
    ] = 64,
    search: Annotated[
        bool, typer.Option("--search", help="Take the call with the most expected IMPs.")
    ] = False,
    double_dummy: Annotated[
        bool, typer.Option("--double-dummy", help="Solve the contracts, not estimate their tricks.")
    ] = False,
    seconds: Annotated[
        float | None, typer.Option(min=0.01, help="Stop looking ahead after this time.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the deals.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Say what to call with a hand, what else there is, and what the call shows.

    Example: trine bridge bid --hand AKQ52.K83.A4.J72 --dealer N --vul both --auction "P 1D"
    """
    import math

    from trine.bridge.bid_report import report_bid
    from trine.bridge.bots.registry import make_bot
    from trine.bridge.table_search import SearchSettings
    from trine.core.errors import UsageError

    position = _position(hand, auction, dealer, seat, vul)
    for given, name in ((search, "--search"), (double_dummy, "--double-dummy")):
        if given and not samples:
            raise UsageError(f"{name} with --samples 0", accepted="--samples of at least 1")
    settings = SearchSettings(
        samples=samples,
        double_dummy=double_dummy,
        seconds=math.inf if seconds is None else seconds,
        seed=seed,
    )
    report = report_bid(make_bot(bot), position, settings, search=search)
    emit(report.document(), as_json=as_json, text="" if as_json else report.text())
    say(f"{report.bot}, {report.seconds:.2f} s")


def _position(hand: str, auction: str, dealer: str, seat: str | None, vul: str) -> Position:
    from trine.bridge.auction import Auction
    from trine.bridge.bid_report import Position
    from trine.bridge.calls import parse_auction
    from trine.bridge.cards import SEATS, Vulnerability, parse_hand, parse_seat
    from trine.core.errors import UsageError

    cards = _option("--hand", parse_hand, hand)
    first = _option("--dealer", parse_seat, dealer)
    vulnerability = _option("--vul", Vulnerability.parse, vul)
    calls = _option("--auction", parse_auction, auction)
    so_far = _option("--auction", lambda made: Auction(first, made), calls)
    if so_far.over:
        raise UsageError(
            f"--auction: {auction.strip()!r} is over", accepted="an auction that goes on"
        )
    turn = SEATS[so_far.turn]
    if seat is not None and _option("--seat", parse_seat, seat) != so_far.turn:
        after = f"after {auction.strip()!r}" if so_far.calls else "at the start"
        raise UsageError(
            f"--seat: it is not {seat}'s turn but {turn}'s {after}, with dealer {SEATS[first]}",
            accepted=f"--seat {turn}",
            hint="or mend the dealer or the auction",
        )
    return Position(cards, so_far, vulnerability)


def _option(name: str, read: Callable[..., _T], given: object) -> _T:
    """What an option says; what cannot be read is wrong usage, and named."""
    from trine.core.errors import DataError, UsageError

    try:
        return read(given)
    except DataError as error:
        raise UsageError(f"{name}: {error}") from error
