"""A board as plain text: four hands, the auction in four columns, what became of it."""

from __future__ import annotations

from trine.bridge.auction_report import JudgedBoard
from trine.bridge.board_record import BoardRecord
from trine.bridge.calls import format_call
from trine.bridge.cards import RANKS, SEATS
from trine.bridge.records import viewer_url

__all__ = ["auction_text", "board_text", "hands_text", "outcome_text", "summary_text"]

_FROM_WEST = (3, 0, 1, 2)  # printed auctions begin with West
_INDENT, _COLUMN = 14, 8
_VULNERABLE = ("nobody", "N/S", "E/W", "all")


def board_text(judged: JudgedBoard, *, link: bool = True) -> str:
    """Everything of one board, several lines."""
    board = judged.board
    parts = [hands_text(board), auction_text(board), outcome_text(judged)]
    if link:
        parts.append(viewer_url(board))
    return "\n\n".join(parts)


def hands_text(board: BoardRecord) -> str:
    """The head, then North above, West and East beside each other, South below."""
    name = f"Board {board.board}" if board.board else "Board"
    head = f"{name}: dealer {SEATS[board.dealer]}, {_VULNERABLE[board.vulnerability]} vulnerable"
    hands = [_suits(board, seat) for seat in range(4)]
    side = " " * _INDENT
    lines = [side + suit for suit in hands[0]]
    lines += [f"{west:<{2 * _INDENT}}{east}" for west, east in zip(hands[3], hands[1], strict=True)]
    lines += [side + suit for suit in hands[2]]
    return "\n".join([head, "", *lines])


def auction_text(board: BoardRecord) -> str:
    """Four columns from West on; an alerted call has a `!`, with its explanation a number."""
    notes = [place for place, text in board.explanations.items() if text]
    cells = [""] * ((board.dealer + 1) % 4)
    for place, call in enumerate(board.calls):
        mark = "!" if place in board.explanations else ""
        cells.append(
            format_call(call) + (f"[{notes.index(place) + 1}]" if place in notes else mark)
        )
    heads = [SEATS[seat] for seat in _FROM_WEST]
    if len(set(board.names)) == 1 and board.names[0]:
        lines = [f"bid by {board.names[0]}", ""]
    elif any(board.names):
        named = ", ".join(f"{SEATS[seat]} {board.names[seat] or '?'}" for seat in _FROM_WEST)
        lines = [named, ""]
    else:
        lines = []
    rows = [heads, *(cells[start : start + 4] for start in range(0, len(cells), 4))]
    width = max(_COLUMN, *(len(cell) + 2 for cell in cells))
    lines += ["".join(f"{cell:<{width}}" for cell in row).rstrip() for row in rows]
    if notes:
        lines.append("")
    for number, place in enumerate(notes, 1):
        call = format_call(board.calls[place])
        seat = SEATS[(board.dealer + place) % 4]
        lines.append(f"[{number}] {call} by {seat}: {board.explanations[place]}")
    return "\n".join(lines)


def outcome_text(judged: JudgedBoard) -> str:
    """Contract, tricks, score and par, from the side of North-South."""
    contract = judged.board.contract
    if contract is None:
        result = "passed out"
    else:
        assert judged.tricks is not None
        over = judged.tricks - 6 - contract.level
        named, declarer = str(contract).split()
        made = "made" if over == 0 else f"{over:+d}" if over > 0 else f"down {-over}"
        result = f"{named} by {declarer}, {judged.tricks} tricks double-dummy ({made})"
    return (
        f"{result}: N/S {judged.points:+d}\n"
        f"par: N/S {judged.par.score:+d} ({judged.par}); against it {judged.imps:+d} IMPs"
    )


def summary_text(boards: list[JudgedBoard]) -> str:
    """A line a board, and the mean."""
    lines = [f"{'board':<10}{'contract':<12}{'tricks':>6}{'N/S':>8}{'par':>8}{'IMPs':>6}"]
    for judged in boards:
        board, contract = judged.board, judged.board.contract
        named = "passed out" if contract is None else str(contract)
        taken = "" if judged.tricks is None else str(judged.tricks)
        lines.append(
            f"{board.board:<10}{named:<12}{taken:>6}{judged.points:>+8d}{judged.par.score:>+8d}"
            f"{judged.imps:>+6d}"
        )
    total = sum(judged.imps for judged in boards)
    away = sum(abs(judged.imps) for judged in boards) / len(boards)
    lines.append(
        f"{len(boards)} boards: N/S {total:+d} IMPs against par, {away:.2f} away from it on average"
    )
    return "\n".join(lines)


def _suits(board: BoardRecord, seat: int) -> list[str]:
    held = board.deal.hand(seat).reshape(4, 13)
    return [
        f"{name} " + ("".join(RANKS[r] for r in range(12, -1, -1) if held[suit, r]) or "-")
        for suit, name in ((3, "S"), (2, "H"), (1, "D"), (0, "C"))
    ]
