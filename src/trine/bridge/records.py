"""Boards in and out: PBN, LIN and viewer URLs, whichever a text turns out to be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from trine.bridge.board_record import BoardRecord, Records
from trine.bridge.lin import format_lin, lin_of_board, parse_lin
from trine.bridge.pbn import format_pbn, parse_pbn
from trine.bridge.text_input import read_text
from trine.core.artifacts import check_writable, write_text
from trine.core.errors import DataError, UsageError

__all__ = [
    "BoardRecord",
    "Records",
    "check_target",
    "format_lin",
    "format_pbn",
    "parse_lin",
    "parse_pbn",
    "parse_records",
    "parse_viewer_url",
    "read_records",
    "viewer_url",
    "write_records",
]

_WRITERS = {".pbn": format_pbn, ".lin": format_lin}

_VIEWER = "https://www.bridgebase.com/tools/handviewer.html"


def read_records(source: Path | str, *, auctions: bool = True) -> Records:
    """The boards of a file or of a viewer URL.

    Args:
      source: a path, or a URL with a deal in it.
      auctions: False reads only the deals.

    Raises:
      DataError: no such file, or not a text in one of these notations.
    """
    if isinstance(source, str) and _is_url(source):
        return parse_viewer_url(source, auctions=auctions)
    return parse_records(read_text(Path(source)), auctions=auctions, where=str(source))


def parse_records(text: str, *, auctions: bool = True, where: str = "the text") -> Records:
    """The boards of a text in any of the notations.

    Raises:
      DataError: it is none of them.
    """
    stripped = text.strip()
    if _is_url(stripped):
        return parse_viewer_url(stripped, auctions=auctions)
    if re.search(r'\[\s*\w+\s*"', text):
        return parse_pbn(text, auctions=auctions)
    if re.search(r"(?i)(?:^|[|\s])md\s*\|", text):
        return parse_lin(text, auctions=auctions)
    if re.search(r"(?i)md%7c", text):  # a LIN text cut out of a URL
        return parse_lin(unquote(text), auctions=auctions)
    if not stripped:
        raise DataError(f"{where} is empty", accepted="PBN, LIN or a viewer URL")
    raise DataError(
        f"{where} is in no notation known here: it begins {stripped[:30]!r}",
        accepted="PBN, LIN or a viewer URL",
    )


def check_target(path: Path) -> None:
    """Whether `write_records` could write it; asked before long work whose result goes there.

    Raises:
      UsageError: another suffix than those of PBN and LIN.
      DataError: no file can be made there.
    """
    _check_suffix(path)
    check_writable(path)


def _check_suffix(path: Path) -> None:
    if path.suffix.lower() not in _WRITERS:
        raise UsageError(f"cannot tell the notation of {path}", accepted=", ".join(_WRITERS))


def write_records(path: Path, boards: Iterable[BoardRecord]) -> Path:
    """Writes PBN or LIN, whichever the suffix says, atomically.

    Raises:
      UsageError: another suffix.
    """
    _check_suffix(path)
    return write_text(path, _WRITERS[path.suffix.lower()](boards))


def viewer_url(board: BoardRecord) -> str:
    """A link that shows the board in the viewer of Bridge Base Online."""
    return f"{_VIEWER}?lin={quote(lin_of_board(board), safe=',')}"


def parse_viewer_url(url: str, *, auctions: bool = True) -> Records:
    """The board of a viewer URL: `lin=...`, or hands `n= e= s= w=` with `d= v= a= b=`.

    Raises:
      DataError: no deal in it.
    """
    try:
        query = parse_qs(urlsplit(url.strip()).query, keep_blank_values=True)
    except ValueError as error:
        raise DataError(f"not a URL ({error})", accepted="a viewer URL") from error
    values = {name.lower(): found[0] for name, found in query.items()}
    lin = values.get("lin", "")
    if not lin and any(values.get(seat) for seat in "nesw"):
        lin = _lin_of_hands(values)
    if not lin:
        raise DataError(
            f"no deal in {url[:60]!r}", accepted="a viewer URL with lin=..., or n= e= s= w="
        )
    return parse_lin(lin, auctions=auctions)


def _lin_of_hands(values: Mapping[str, str]) -> str:
    """The other form of viewer URLs, as LIN: `?n=sakq...&d=n&v=b&a=1NP3NPPP`."""
    dealer = "swne".find(values.get("d", "n")[:1].lower()) + 1
    # The viewer counts seats from South, as LIN does; a hidden hand is empty.
    hands = ",".join(values.get(seat, "") for seat in "swne")
    calls = re.sub(r"\([^)]*\)|\{[^}]*\}", "", values.get("a", ""))  # explanations
    auction = f"mb|{calls}|" if calls else ""
    board = values.get("b", "")
    title = f"ah|Board {board}|" if board else ""
    return f"md|{dealer}{hands}|{title}sv|{values.get('v', 'o')}|{auction}"


def _is_url(text: str) -> bool:
    return re.match(r"(?i)https?://", text) is not None and "\n" not in text
