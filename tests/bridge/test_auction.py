"""Calls, legality and contracts by the Laws; the obvious engine against the fast one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trine.bridge.auction import Auction, Contract
from trine.bridge.calls import (
    DOUBLE,
    NUM_CALLS,
    PASS,
    REDOUBLE,
    format_call,
    parse_auction,
    parse_call,
)
from trine.bridge.lockstep import LockstepAuctions
from trine.core.errors import DataError


def auction(text: str, dealer: int = 0) -> Auction:
    return Auction(dealer, parse_auction(text))


def test_calls_have_one_number_and_many_spellings() -> None:
    assert [parse_call(w) for w in ("1C", "1D", "1H", "1S", "1NT", "2c", "7N")] == [
        0, 1, 2, 3, 4, 5, 34,
    ]  # fmt: skip
    assert {parse_call(w) for w in ("P", "pass", "Pass", "--")} == {PASS}
    assert {parse_call(w) for w in ("X", "d", "Dbl", "Double")} == {DOUBLE}
    assert {parse_call(w) for w in ("XX", "r", "Rdbl")} == {REDOUBLE}
    assert [parse_call(format_call(call)) for call in range(NUM_CALLS)] == list(range(NUM_CALLS))
    for wrong in ("8C", "1Z", "", "XXX", "0NT"):
        with pytest.raises(DataError, match="accepted: P, X, XX"):
            parse_call(wrong)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1H 1D", "call 2 of the auction, 1D by E, is not legal: it is not higher than 1H"),
        ("1H 1H", "it is not higher than 1H"),
        ("X", "call 1 of the auction, X by N, is not legal: nobody has bid yet"),
        ("1C P X", "the last bid is of the own side"),
        ("1C X P X", "it is doubled already"),
        ("1C XX", "the last bid is of the opponents"),
        ("1C P XX", "it is not doubled"),
        ("1C X XX P XX", "it is redoubled already"),
        ("P P P P 1C", "the auction is over"),
        ("1C P P P P", "call 5 of the auction, P by N, is not legal: the auction is over"),
        ("1C X 1D XX", "the last bid is of the opponents"),
    ],
)
def test_an_illegal_call_says_which_and_why(text: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        auction(text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("P P P P", None),
        ("1H P 2H P 4H P P P", Contract(4, 2, 0, 0)),
        # The last bidder is not the declarer: the responder named hearts first.
        ("1C P 1H P 2H P 4H P P P", Contract(4, 2, 0, 2)),
        # Both sides named hearts; the declaring side's first counts.
        ("P 1H P 2H 3H P P P", Contract(3, 2, 0, 0)),
        ("1NT P P X XX P P P", Contract(1, 4, 2, 0)),
        ("1NT X P P 2C X P P P", Contract(2, 0, 1, 0)),
        ("1NT X 2C P P P", Contract(2, 0, 0, 2)),  # a new bid takes the double off
    ],
)
def test_contracts(text: str, expected: Contract | None) -> None:
    made = auction(text)
    assert made.over
    assert made.contract() == expected
    assert made.legal() == []


def test_the_published_logs_trap_in_the_fast_engine_too() -> None:
    calls = parse_auction("1C P 1H P 2H P 4H P P P")
    fast = LockstepAuctions.start(torch.tensor([0]), torch.tensor([0]))
    for call in calls:
        fast = fast.after(torch.tensor([call]))
    assert int(fast.declarer[0]) == 2


@given(st.integers(0, 3), st.integers(0, 3), st.lists(st.integers(0, 10**6), max_size=60))
def test_both_engines_agree_on_random_auctions(
    dealer: int, vulnerability: int, choices: list[int]
) -> None:
    plain = Auction(dealer)
    fast = LockstepAuctions.start(torch.tensor([dealer]), torch.tensor([vulnerability]))
    for choice in choices:
        assert bool(fast.done[0]) == plain.over
        if plain.over:
            break
        assert int(fast.turn[0]) == plain.turn
        legal = plain.legal()
        assert torch.nonzero(fast.legal()[0])[:, 0].tolist() == legal
        # Mostly low bids, passes and doubles, so that auctions are long.
        low = legal[:3] + [call for call in legal if call >= PASS] * 2
        call = low[choice % len(low)]
        plain, fast = plain.after(call), fast.after(torch.tensor([call]))
        contract = plain.contract()
        if contract is not None:
            assert int(fast.bid[0]) == (contract.level - 1) * 5 + contract.strain
            assert int(fast.doubled[0]) == contract.doubled
            assert int(fast.declarer[0]) == contract.declarer
    assert Auction(dealer, plain.calls) == plain
