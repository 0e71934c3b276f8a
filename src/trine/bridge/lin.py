"""LIN, the notation of Bridge Base Online: boards from text, and text from boards.

There is no official description. A text is pairs `cc|value|`, line ends mean nothing; seats run
S W N E; `md|` holds the dealer's digit and the hands, of which the last may be left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from trine.bridge.board_record import (
    BoardRecord,
    Records,
    board_number,
    checked_auction,
    complete_hands,
    dealer_and_vulnerability,
)
from trine.bridge.calls import DOUBLE, PASS, REDOUBLE, format_call, parse_call
from trine.bridge.cards import SEATS, Vulnerability, format_deal, parse_deal
from trine.core.errors import DataError, UserError

__all__ = ["format_lin", "lin_of_board", "parse_lin"]

# LIN counts seats from South; ours from North.
_FROM_SOUTH = (2, 3, 0, 1)
_VULNERABILITIES = {"o": "None", "0": "None", "-": "None", "": "None"}
_VULNERABILITIES |= {"n": "NS", "e": "EW", "b": "Both"}
_LETTERS = "oneb"
_CALL = re.compile(r"([1-7](?:NT|[CDHSN])|XX|X|DBL|D|RDBL|R|PASS|P)(!?)", re.IGNORECASE)


@dataclass(slots=True)
class _Board:
    """The pairs of one board, as far as they were read."""

    deal: str = ""
    board: str = ""
    vulnerability: str | None = None
    names: tuple[str, ...] = ()
    calls: list[tuple[str, bool]] = field(default_factory=list)
    explanations: dict[int, str] = field(default_factory=dict)
    taken: int | None = None
    tags: dict[str, str] = field(default_factory=dict)


def parse_lin(text: str, *, auctions: bool = True) -> Records:
    """The boards of a LIN text; those that cannot be read are problems, the others are kept.

    Args:
      text: any line ends; see `trine.bridge.text_input`.
      auctions: False leaves them unread.
    """
    boards: list[BoardRecord] = []
    problems: list[str] = []
    for number, raw in enumerate(_split(text), 1):
        label = f"board {raw.board}" if raw.board else f"board no. {number}"
        try:
            boards.append(_record(raw, auctions))
        except UserError as error:
            problems.append(f"{label}: {error}")
    return Records(tuple(boards), tuple(problems))


def _split(text: str) -> Iterator[_Board]:
    current = _Board()
    event: dict[str, str] = {}
    names: tuple[str, ...] = ()
    cells = re.sub(r"[\n\r]", "", text).split("|")
    for key, value in zip(cells[::2], cells[1::2], strict=False):
        key = key.strip().lower()
        if key == "vg":
            event = {"Event": value.split(",")[0].strip()}
        elif key == "pn" and not current.deal:
            names = tuple(name.strip() for name in value.split(","))
        if current.deal and key in ("qx", "md", "pn"):
            yield current
            current = _Board()
            if key == "pn":
                names = tuple(name.strip() for name in value.split(","))
        current.tags |= event
        current.names = names
        _take(current, key, value.strip())
    if current.deal:
        yield current


def _take(board: _Board, key: str, value: str) -> None:
    if key == "md":
        board.deal = value
    elif key == "qx":
        board.board = re.sub(r"\D", "", value)
        room = {"o": "Open", "c": "Closed"}.get(value[:1].lower())
        if room is not None:
            board.tags["Room"] = room
    elif key == "ah" and not board.board:
        board.board = re.sub(r"(?i)^board\s*", "", value)
    elif key == "sv":
        board.vulnerability = value
    elif key == "mb":
        board.calls += _words(value)
    elif key == "an" and board.calls:
        board.explanations[len(board.calls) - 1] = value
    elif key == "mc" and re.fullmatch(r"1[0-3]|\d", value):
        board.taken = int(value)


def _words(value: str) -> list[tuple[str, bool]]:
    """Calls of one `mb`, each with whether it is alerted; one that is none stays as it is."""
    compact = re.sub(r"\s", "", value)
    if re.fullmatch(rf"(?:{_CALL.pattern})+", compact, re.IGNORECASE):
        return [(match[1], match[2] == "!") for match in _CALL.finditer(compact)]
    return [(value, False)] if value else []


def _record(raw: _Board, auctions: bool) -> BoardRecord:
    digit, hands = raw.deal[:1], raw.deal[1:]
    if not digit.isascii() or not digit.isdigit() or int(digit) > 4:
        raise DataError(f"md {raw.deal!r}", accepted="the dealer's digit 1 to 4, then hands")
    told = None if digit == "0" else _FROM_SOUTH[int(digit) - 1]
    dealer, vulnerability = dealer_and_vulnerability(
        raw.board, told, None if raw.vulnerability is None else _vulnerability(raw.vulnerability)
    )
    calls: tuple[int, ...] = ()
    explanations: dict[int, str] = {}
    if auctions:
        calls = checked_auction(dealer, [int(parse_call(word)) for word, _ in raw.calls])
        alerts = {place: "" for place, (_, alerted) in enumerate(raw.calls) if alerted}
        explanations = alerts | raw.explanations
    return BoardRecord(
        deal=parse_deal(_whole_deal(hands)),
        dealer=dealer,
        vulnerability=vulnerability,
        calls=calls,
        board=raw.board,
        names=_names(raw),
        explanations=dict(sorted(explanations.items())),
        taken=raw.taken,
        tags=raw.tags,
    )


def _vulnerability(text: str) -> Vulnerability:
    letter = text.strip().lower()[:1]
    if letter not in _VULNERABILITIES:
        raise DataError(f"sv {text!r}", accepted="o, n, e or b")
    return Vulnerability.parse(_VULNERABILITIES[letter])


def _names(raw: _Board) -> tuple[str, str, str, str]:
    """N E S W; a match lists the four of the open room, then those of the closed one."""
    closed = raw.tags.get("Room") == "Closed" and len(raw.names) >= 8
    four = [*raw.names[4 if closed else 0 :][:4], "", "", "", ""]
    south, west, north, east = four[:4]
    return (north, east, south, west)


def _whole_deal(text: str) -> str:
    parts = text.split(",")
    if len(parts) > 4 and any(part.strip() for part in parts[4:]):
        raise DataError(f"md with {len(parts)} hands", accepted="three or four")
    hands = {
        _FROM_SOUTH[place]: _hand(part) for place, part in enumerate(parts[:4]) if part.strip()
    }
    return complete_hands(hands)


def _hand(text: str) -> str:
    """`SAKHQJDT9C8` to spades.hearts.diamonds.clubs."""
    suits = {"S": "", "H": "", "D": "", "C": ""}
    suit = ""
    for letter in text.upper().replace("10", "T"):
        if letter in suits:
            suit = letter
        elif letter.isspace():
            continue
        elif suit and letter in "AKQJT98765432":
            suits[suit] += letter
        else:
            raise DataError(f"md hand {text!r}", accepted="e.g. SAKQHJT9D8765C432")
    return ".".join(suits.values())


def format_lin(boards: Iterable[BoardRecord]) -> str:
    """Boards as LIN, one a line; those without a number are counted."""
    return "".join(
        f"qx|{_room(board)}{board_number(board.board) or number}|{lin_of_board(board)}pg||\n"
        for number, board in enumerate(boards, 1)
    )


def _room(board: BoardRecord) -> str:
    return "c" if board.tags.get("Room") == "Closed" else "o"


def lin_of_board(board: BoardRecord) -> str:
    """One board without line end, as it stands in a viewer URL."""
    names = ",".join(_plain(board.names[seat]).replace(",", " ") for seat in _FROM_SOUTH)
    first = _FROM_SOUTH.index(board.dealer) + 1
    hands = ",".join(_lin_hand(board, seat) for seat in _FROM_SOUTH)
    title = f"ah|Board {_plain(board.board)}|" if board.board else ""
    letter = _LETTERS[int(board.vulnerability)]
    pairs = [f"pn|{names}|st||md|{first}{hands}|rh||{title}sv|{letter}|"]
    for place, call in enumerate(board.calls):
        alerted = place in board.explanations
        pairs.append(f"mb|{_lin_call(call)}{'!' if alerted else ''}|")
        if alerted and board.explanations[place]:
            pairs.append(f"an|{_plain(board.explanations[place])}|")
    if board.taken is not None:
        pairs.append(f"mc|{board.taken}|")
    return "".join(pairs)


def _lin_hand(board: BoardRecord, seat: int) -> str:
    hands = format_deal(board.deal).partition(":")[2].split()
    first = SEATS.index(format_deal(board.deal)[0])
    suits = hands[(seat - first) % 4].split(".")
    return "".join(f"{name}{suit}" for name, suit in zip("SHDC", suits, strict=True))


def _lin_call(call: int) -> str:
    return {PASS: "p", DOUBLE: "d", REDOUBLE: "r"}.get(call) or format_call(call)


def _plain(text: str) -> str:
    """Without the bar, which would end the value."""
    return " ".join(text.replace("|", "/").split())
