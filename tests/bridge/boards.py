"""Random boards for tests of what reads and writes them."""

import numpy as np
from hypothesis import strategies as st

from trine.bridge.auction import Auction
from trine.bridge.board_record import BoardRecord
from trine.bridge.cards import Vulnerability, parse_deal
from trine.bridge.deals import random_owner

DEAL = "N:A743.K8632.74.42 92.QT54.Q862.K76 Q65.AJ9.AK5.QT83 KJT8.7.JT93.AJ95"

_WORD = st.text(alphabet="abcXYZ 0-9=;{}[]\"'\\%#.äé", max_size=12).map(
    # What tells nothing, or repeats the game before, is no text of its own.
    lambda text: " ".join(text.split()).lstrip("#?-% ")
)


def deal_text(owner: np.ndarray) -> str:
    """A deal as PBN by plain loops."""
    hands = [
        ".".join(
            "".join("23456789TJQKA"[r] for r in range(12, -1, -1) if owner[13 * suit + r] == seat)
            for suit in (3, 2, 1, 0)
        )
        for seat in range(4)
    ]
    return "N:" + " ".join(hands)


@st.composite
def auctions(draw: st.DrawFn, dealer: int) -> tuple[int, ...]:
    """Legal calls, mostly to the end."""
    generator = np.random.default_rng(draw(st.integers(0, 10**9)))
    auction = Auction(dealer, ())
    for _ in range(draw(st.integers(0, 40))):
        if auction.over:
            break
        legal = list(auction.legal())
        low = [call for call in legal if call >= 35] + legal[:3]  # mostly the small steps
        auction = auction.after(int(generator.choice(low)))
    return tuple(auction.calls)


@st.composite
def board_records(draw: st.DrawFn, *, plain: bool = False) -> BoardRecord:
    """Boards; `plain` ones have only what LIN can say."""
    generator = np.random.default_rng(draw(st.integers(0, 10**9)))
    dealer = draw(st.integers(0, 3))
    calls = draw(auctions(dealer))
    alerted = draw(st.sets(st.integers(0, len(calls) - 1), max_size=3)) if calls else set()
    played = bool(calls) and Auction(dealer, calls).over
    played = played and Auction(dealer, calls).contract() is not None
    word = _WORD if not plain else _WORD.map(lambda text: text.replace(",", " "))
    record = BoardRecord(
        deal=parse_deal(deal_text(random_owner(1, generator)[0])),
        dealer=dealer,
        vulnerability=Vulnerability.parse(draw(st.sampled_from(["None", "NS", "EW", "Both"]))),
        calls=calls,
        board=str(draw(st.integers(1, 200))),
        names=(draw(word), draw(word), draw(word), draw(word)),
        explanations={place: draw(word) for place in sorted(alerted)},
        taken=draw(st.integers(0, 13)) if played else None,
    )
    if plain:
        return record
    return BoardRecord(
        **{name: getattr(record, name) for name in record.__slots__ if name not in _EXTRAS},
        tricks=tuple(generator.integers(0, 14, 20).tolist()) if draw(st.booleans()) else None,
        par=draw(st.none() | st.integers(-7600, 7600)),
        tags={"Event": text} if (text := draw(word)) else {},
    )


_EXTRAS = ("tricks", "par", "tags")
