"""A board as a picture: four hands, the double-dummy table, and the auctions of both tables.

SVG with text, so that it can be searched and copied, and opens anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from trine.bridge.board_record import BoardRecord
from trine.bridge.calls import DOUBLE, PASS, REDOUBLE
from trine.bridge.cards import RANKS, SEATS
from trine.bridge.scoring import score

__all__ = ["board_diagram", "call_text", "contract_text"]

_SUITS = "♣♦♥♠"
_STRAINS = ("♣", "♦", "♥", "♠", "NT")
_RED = "#c01c28"
_INK, _SOFT, _LINE = "#1d2430", "#5c6675", "#c9d0da"
_STEP = 18  # of lines, in units of the picture: 14 is the size of its letters
_WIDTH, _AUCTIONS = 860, 400
_COLUMN, _BETWEEN = 52, 232
_COLUMNS = (3, 0, 1, 2)  # auctions are printed from West on

_HANDS = {0: (145, 26), 3: (10, 118), 1: (268, 118), 2: (145, 210)}
"""Left upper corner of each hand."""


def call_text(call: int) -> str:
    """As people write it: 1♥, 3NT, Pass, X, XX."""
    if call >= PASS:
        return {PASS: "Pass", DOUBLE: "X", REDOUBLE: "XX"}[call]
    return f"{call // 5 + 1}{_STRAINS[call % 5]}"


def contract_text(board: BoardRecord) -> str:
    """The contract with its result and score: `4♠X N, −1: −200`, from the side of North-South."""
    contract = board.contract
    if contract is None:
        return "passed out"
    named = f"{contract.level}{_STRAINS[contract.strain]}{'X' * contract.doubled}"
    text = f"{named} by {SEATS[contract.declarer]}"
    if board.taken is None:
        return text
    over = board.taken - contract.level - 6
    result = "=" if over == 0 else f"{_signed(over)}"
    return f"{text} {result}, N/S {_signed(score(contract, board.taken, board.vulnerability))}"


def board_diagram(tables: Sequence[BoardRecord], heads: Sequence[str], title: str = "") -> str:
    """The SVG document.

    Args:
      tables: the same board as it was bid at one or more tables.
      heads: a line above each auction.
      title: what is read out in place of the picture.
    """
    board = tables[0]
    rows = max((board.dealer + 1) % 4 + len(table.calls) for table in tables)
    height = max(400, 86 + _STEP * (rows // 4 + 2))
    svg = ElementTree.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {_WIDTH} {height}",
            "role": "img",
            "font-family": "system-ui, 'DejaVu Sans', sans-serif",
            "font-size": "14",
            "fill": _INK,
        },
    )
    if title:
        ElementTree.SubElement(svg, "title").text = title
    for seat, (x, y) in _HANDS.items():
        _hand(svg, board, seat, x, y)
    _middle(svg, board)
    if board.tricks is not None:
        _tricks(svg, board.tricks)
    for number, (table, head) in enumerate(zip(tables, heads, strict=True)):
        _auction(svg, table, head, _AUCTIONS + number * _BETWEEN)
    return ElementTree.tostring(svg, encoding="unicode")


def _hand(svg: ElementTree.Element, board: BoardRecord, seat: int, x: int, y: int) -> None:
    held = board.deal.hand(seat)
    for line, suit in enumerate((3, 2, 1, 0)):
        ranks = [RANKS[r] for r in range(12, -1, -1) if held[suit * 13 + r]]
        cards = "".join(ranks).replace("T", "10") or "—"
        line_text = _write(svg, x, y + line * _STEP, "")
        _coloured(line_text, _SUITS[suit])
        rest = ElementTree.SubElement(line_text, "tspan", {"dx": "5"})
        rest.text = cards


def _middle(svg: ElementTree.Element, board: BoardRecord) -> None:
    """The table with the names of the seats; a red one is vulnerable."""
    x, y, size = 150, 106, 82
    ElementTree.SubElement(
        svg, "rect",
        {"x": str(x), "y": str(y), "width": str(size), "height": str(size), "rx": "4",
         "fill": "none", "stroke": _LINE},
    )  # fmt: skip
    places = {0: (x + 41, y + 16), 2: (x + 41, y + 75), 3: (x + 11, y + 46), 1: (x + 71, y + 46)}
    for seat, (left, down) in places.items():
        text = _write(svg, left, down, SEATS[seat], anchor="middle")
        if seat == board.dealer:
            text.set("font-weight", "700")
            text.set("text-decoration", "underline")
        if board.vulnerability.of(seat):
            text.set("fill", _RED)
    vulnerable = {0: "none vul", 1: "N/S vul", 2: "E/W vul", 3: "all vul"}[board.vulnerability]
    for line, told in enumerate(
        (f"Board {board.board}", f"{SEATS[board.dealer]} deals", vulnerable)
    ):
        _write(svg, 10, 26 + line * 16, told, size=12, fill=_SOFT)


def _tricks(svg: ElementTree.Element, tricks: Sequence[int]) -> None:
    """The double-dummy table, below the hands."""
    x, y = 60, 304
    for column, strain in enumerate((4, 3, 2, 1, 0)):
        place = x + 60 + column * 42
        _coloured(_write(svg, place, y, "", size=12, anchor="middle"), _STRAINS[strain])
        for line, seat in enumerate((0, 2, 1, 3)):
            _write(svg, place, y + 20 + line * _STEP, str(tricks[strain * 4 + seat]),
                   size=12, anchor="middle")  # fmt: skip
    _write(svg, x - 50, y, "tricks", size=12, fill=_SOFT)
    for line, seat in enumerate((0, 2, 1, 3)):
        _write(svg, x, y + 20 + line * _STEP, SEATS[seat], size=12, fill=_SOFT)


def _auction(svg: ElementTree.Element, board: BoardRecord, head: str, x: int) -> None:
    _write(svg, x, 26, head, size=12, fill=_SOFT)
    for column, seat in enumerate(_COLUMNS):
        name = _write(svg, x + column * _COLUMN, 50, SEATS[seat], fill=_SOFT)
        if board.vulnerability.of(seat):
            name.set("fill", _RED)
    ElementTree.SubElement(
        svg, "line", {"x1": str(x), "x2": str(x + 4 * _COLUMN - 12), "y1": "56", "y2": "56",
                      "stroke": _LINE},
    )  # fmt: skip
    start = (board.dealer + 1) % 4
    for number, call in enumerate(board.calls):
        line, column = divmod(start + number, 4)
        text = _write(svg, x + column * _COLUMN, 76 + line * _STEP, "")
        if call >= PASS:
            text.text = call_text(call)
            if call != PASS:
                text.set("font-weight", "700")
        else:
            text.text = str(call // 5 + 1)
            _coloured(text, _STRAINS[call % 5])
    lines = (start + len(board.calls) + 3) // 4
    _write(svg, x, 86 + lines * _STEP, contract_text(board), bold=True)


def _write(
    svg: ElementTree.Element,
    x: int,
    y: int,
    text: str,
    *,
    size: int = 14,
    fill: str = "",
    anchor: str = "",
    bold: bool = False,
) -> ElementTree.Element:
    found = ElementTree.SubElement(svg, "text", {"x": str(x), "y": str(y)})
    found.text = text
    wanted = {
        "fill": fill,
        "text-anchor": anchor,
        "font-size": "" if size == 14 else str(size),
        "font-weight": "700" if bold else "",
    }
    for name, value in wanted.items():
        if value:
            found.set(name, value)
    return found


def _coloured(text: ElementTree.Element, symbol: str) -> None:
    """Appends a suit; hearts and diamonds are red."""
    part = ElementTree.SubElement(text, "tspan", {"fill": _RED} if symbol in "♦♥" else {})
    part.text = symbol


def _signed(number: int) -> str:
    return f"{number:+d}".replace("-", "\N{MINUS SIGN}") if number else "0"
