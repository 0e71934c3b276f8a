"""Portable Bridge Notation 2.1: boards from text, and text from boards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from trine.bridge.board_record import (
    BoardRecord,
    Records,
    checked_auction,
    complete_hands,
    dealer_and_vulnerability,
)
from trine.bridge.calls import PASS, format_call, parse_call
from trine.bridge.cards import SEATS, Vulnerability, format_deal, parse_deal
from trine.bridge.pbn_text import PbnGame, split_games
from trine.core.errors import DataError, UserError

__all__ = ["format_pbn", "parse_pbn"]

_PLAYERS = ("North", "East", "South", "West")
_STRAINS = ("C", "D", "H", "S", "NT")
# The order of the 20 digits of DoubleDummyTricks: declarer N S E W; NT S H D C within each.
_DIGITS = [strain * 4 + seat for seat in (0, 2, 1, 3) for strain in (4, 3, 2, 1, 0)]
_UNKNOWN = ("", "?", "-")
_READ = frozenset(
    {
        "north", "east", "south", "west", "board", "dealer", "vulnerable", "deal", "declarer",
        "contract", "result", "auction", "play", "doubledummytricks", "optimumscore",
        "optimumresulttable",
    }
)  # fmt: skip
# `1NT!`, `X=2=`, `Pass$14`: a call, its glyphs, its note. Longer names first.
_CALL = re.compile(
    r"(?P<call>[1-7](?:NT|[CDHSN])|XX|REDOUBLE|RDBL|RD|R|X|DOUBLE|DBL|D|PASS|P)"
    r"(?P<glyphs>(?:[!?]+|\$\d+)*)(?P<note>=\w+=)?",
    re.IGNORECASE,
)


def parse_pbn(text: str, *, auctions: bool = True) -> Records:
    r"""The boards of a PBN text; those that cannot be read are problems, the others are kept.

    Args:
      text: with `\n` line ends; see `trine.bridge.text_input`.
      auctions: False leaves them unread, for files of which only the deals are wanted.
    """
    boards: list[BoardRecord] = []
    problems: list[str] = []
    for number, game in enumerate(split_games(text), 1):
        name = game.tags.get("board", "")
        label = f"board {name}" if name not in _UNKNOWN else f"game {number}"
        if game.tags.get("deal", "") in _UNKNOWN:
            problems.append(f"{label} (line {game.line}): no Deal tag")
            continue
        try:
            boards.append(_board(game, auctions))
        except UserError as error:
            problems.append(f"{label} (line {game.line}): {error}")
    return Records(tuple(boards), tuple(problems))


def _board(game: PbnGame, auctions: bool) -> BoardRecord:
    tags = game.tags
    told = {
        name: value
        for name, value in tags.items()
        # A dash is one of the ways to say that nobody is vulnerable (PBN 2.1, section 3.4.8).
        if value.strip() not in _UNKNOWN or (name == "vulnerable" and value.strip() == "-")
    }
    board = told.get("board", "")
    vulnerability = Vulnerability.parse(told["vulnerable"]) if "vulnerable" in told else None
    dealer, vulnerability = dealer_and_vulnerability(
        board, _dealer(told, game.sections.get("auction", [])), vulnerability
    )
    calls: tuple[int, ...] = ()
    explanations: dict[int, str] = {}
    if auctions and "auction" in tags:
        found, explanations = _auction(game)
        calls = checked_auction(dealer, found)
    return BoardRecord(
        deal=parse_deal(_whole_deal(told["deal"])),
        dealer=dealer,
        vulnerability=vulnerability,
        calls=calls,
        board=board,
        names=tuple(told.get(player.lower(), "") for player in _PLAYERS),  # pyright: ignore[reportArgumentType] (four of them)
        explanations=explanations,
        tricks=_tricks(game),
        par=_par(told.get("optimumscore", "")),
        taken=_taken(told.get("result", "")),
        tags={game.names[n]: v for n, v in told.items() if n not in _READ and n in game.names},
    )


def _dealer(told: dict[str, str], words: list[str]) -> int | None:
    given = {name: _seat(told[name], name) for name in ("dealer", "auction") if name in told}
    if "auction" in given:  # dashes before the first call are seats that are passed over
        skipped = next((place for place, word in enumerate(words) if word != "-"), 0)
        given["auction"] = (given["auction"] + skipped) % 4
    if len(set(given.values())) > 1:
        raise DataError(
            f"Dealer is {told['dealer']} and Auction begins with {SEATS[given['auction']]}",
            accepted="the same seat",
        )
    return next(iter(given.values()), None)


def _seat(text: str, tag: str) -> int:
    word = text.strip().lower()
    for seat, name in enumerate(_PLAYERS):
        if word and word in (name[0].lower(), name.lower()):
            return seat
    raise DataError(f"{tag} {text!r}", accepted="N, E, S or W")


def _whole_deal(text: str) -> str:
    """The deal with a single hidden hand filled in, from North."""
    first, colon, rest = text.strip().partition(":")
    hands = rest.split()
    if not colon or len(hands) != 4:
        raise DataError(
            f"Deal {text!r}", accepted="a seat, a colon and four hands: N:h h h h (- hidden)"
        )
    start = _seat(first, "Deal")
    return complete_hands({(start + place) % 4: hand for place, hand in enumerate(hands)})


def _auction(game: PbnGame) -> tuple[list[int], dict[int, str]]:
    calls: list[int] = []
    explanations: dict[int, str] = {}
    skipped = False
    for word in game.sections.get("auction", []):
        if word == "-":
            skipped = bool(calls)
        elif calls and re.fullmatch(r"=\w+=", word):
            explanations[len(calls) - 1] = game.notes.get(word.strip("="), "")
        elif re.fullmatch(r"[*+]|[!?]+|\$\d+|\^\w*", word):
            continue  # unfinished, a glyph, an irregularity
        elif skipped:
            raise DataError(
                f"a seat is passed over after {len(calls)} calls", accepted="a call of every seat"
            )
        elif word.upper() == "AP":
            while len(calls) < 4 or any(call != PASS for call in calls[-3:]):
                calls.append(PASS)
        elif (match := _CALL.fullmatch(word)) is not None:
            calls.append(int(parse_call(match["call"])))
            if match["note"]:
                explanations[len(calls) - 1] = game.notes.get(match["note"].strip("="), "")
        else:
            raise DataError(
                f"{word!r} after {len(calls)} calls", accepted="Pass, X, XX, 1C ... 7NT, AP"
            )
    return calls, explanations


def _tricks(game: PbnGame) -> tuple[int, ...] | None:
    digits = game.tags.get("doubledummytricks", "").strip()
    if digits not in _UNKNOWN:
        return _tricks_of_digits(digits)
    rows = game.sections.get("optimumresulttable", [])
    return _tricks_of_rows(rows) if rows else None


def _tricks_of_digits(digits: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[0-9a-dA-D]{20}", digits):
        raise DataError(f"DoubleDummyTricks {digits!r}", accepted="20 hexadecimal digits of 0 to d")
    tricks = [0] * 20
    for place, digit in zip(_DIGITS, digits, strict=True):
        tricks[place] = int(digit, 16)
    return tuple(tricks)


def _tricks_of_rows(words: list[str]) -> tuple[int, ...]:
    found: dict[int, int] = {}
    rows = [words[start : start + 3] for start in range(0, len(words), 3)]
    for row in rows:
        seat, strain, count = (*row, "", "", "")[:3]
        strain = "NT" if strain.upper() == "N" else strain.upper()
        known = seat.upper() in SEATS and strain in _STRAINS and re.fullmatch(r"\d{1,2}", count)
        if not known or int(count) > 13:
            raise DataError(
                f"OptimumResultTable row {' '.join(row)!r}", accepted="e.g. N NT 9, 0 to 13 tricks"
            )
        found[_STRAINS.index(strain) * 4 + SEATS.index(seat.upper())] = int(count)
    if len(found) != 20:
        raise DataError(f"OptimumResultTable with {len(found)} rows", accepted="20")
    return tuple(found[place] for place in range(20))


def _par(text: str) -> int | None:
    """`NS 420` and `EW -420` are the same."""
    match = re.fullmatch(r"\s*(NS|EW)\s*([+-]?\d{1,5})\s*", text, re.IGNORECASE)
    if match is None:
        return None
    return int(match[2]) if match[1].upper() == "NS" else -int(match[2])


def _taken(text: str) -> int | None:
    digits = text.strip().lstrip("^")
    return int(digits) if re.fullmatch(r"1[0-3]|[0-9]", digits) else None


def format_pbn(boards: Iterable[BoardRecord]) -> str:
    """Boards as PBN 2.1: the fifteen mandatory tags, auction with notes, double-dummy tags."""
    games = ["\n".join(_lines(board)) for board in boards]
    return "% PBN 2.1\n% EXPORT\n\n" + "".join(game + "\n\n" for game in games)


def _lines(board: BoardRecord) -> Iterator[str]:
    tags = dict(board.tags)
    contract = board.contract
    over = bool(board.calls) and board.auction.over
    declarer, result = "", ""
    if contract is not None:
        declarer = SEATS[contract.declarer]
        result = "" if board.taken is None else str(board.taken)
    values = {
        "Event": tags.pop("Event", ""),
        "Site": tags.pop("Site", ""),
        "Date": tags.pop("Date", ""),
        "Board": board.board,
        **{player: board.names[SEATS.index(player[0])] for player in ("West", "North", "East")},
        "South": board.names[2],
        "Dealer": SEATS[board.dealer],
        "Vulnerable": _vulnerable(board.vulnerability),
        "Deal": format_deal(board.deal),
        "Scoring": tags.pop("Scoring", ""),
        "Declarer": declarer,
        "Contract": _contract(board) if over else "",
        "Result": result,
        **tags,
    }
    if board.tricks is not None:
        values["DoubleDummyTricks"] = "".join(f"{board.tricks[place]:x}" for place in _DIGITS)
    if board.par is not None:
        values["OptimumScore"] = f"NS {board.par}"
    for name, value in values.items():
        yield f'[{name} "{_quoted(value)}"]'
    if board.calls:
        yield from _auction_lines(board)
    if board.tricks is not None:
        yield r'[OptimumResultTable "Declarer;Denomination\2R;Result\2R"]'
        for seat in range(4):
            for strain in (4, 3, 2, 1, 0):
                yield f"{SEATS[seat]} {_STRAINS[strain]:>2} {board.tricks[strain * 4 + seat]:>2}"


def _auction_lines(board: BoardRecord) -> Iterator[str]:
    yield f'[Auction "{SEATS[board.dealer]}"]'
    notes = {place: number for number, place in enumerate(sorted(board.explanations), 1)}
    words: list[str] = []
    for place, call in enumerate(board.calls):
        word = _pbn_call(call)
        words.append(f"{word} ={notes[place]}=" if place in notes else word)
    if not board.auction.over:
        words.append("*")
    for start in range(0, len(words), 4):
        yield " ".join(words[start : start + 4])
    for place, number in notes.items():
        yield f'[Note "{number}:{_quoted(board.explanations[place])}"]'


def _pbn_call(call: int) -> str:
    text = format_call(call)
    if call == PASS:
        return "Pass"
    return text + "T" if text.endswith("N") else text


def _contract(board: BoardRecord) -> str:
    contract = board.contract
    if contract is None:
        return "Pass"
    return f"{contract.level}{_STRAINS[contract.strain]}{'X' * contract.doubled}"


def _vulnerable(vulnerability: Vulnerability) -> str:
    return ("None", "NS", "EW", "All")[int(vulnerability)]


def _quoted(text: str) -> str:
    # A line end would end the tag; nothing else needs an escape.
    return " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')
