"""The released agents: features by another route, golden calls, files of another kind."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.bridge.test_bots import positions
from trine.bridge.auction import Auction
from trine.bridge.bots.base import Observations
from trine.bridge.bots.jps2020 import _SHAPES, Jps2020Bot, features_268, features_1653
from trine.bridge.calls import PASS, format_call, parse_call
from trine.bridge.cards import RANKS, SUITS, Vulnerability, parse_hand, parse_seat
from trine.core.artifacts import write_arrays
from trine.core.errors import DataError


def _hand(cards: np.ndarray) -> list[float]:
    return [
        float(cards[SUITS.index(suit) * 13 + RANKS.index(rank)])
        for suit in "CDHS"
        for rank in "AKQJT98765432"
    ]


def _one_268(auction: Auction, cards: np.ndarray, vulnerability: int) -> list[float]:
    """One position after the text of the specification."""
    me = auction.turn
    made = [(i, (auction.dealer + i) % 4, call) for i, call in enumerate(auction.calls)]
    numbers = _hand(cards)
    for seat in (me, (me + 2) % 4, (me + 3) % 4, (me + 1) % 4):
        own = {call for _, who, call in made if who == seat}
        numbers += [float(bid in own) for bid in range(35)]
    doubled = set()
    for i, _, call in made:
        if call > PASS:
            doubled.add([other for other in auction.calls[:i] if other < 35][-1])
    numbers += [float(bid in doubled) for bid in range(35)]
    numbers += [float(vulnerability in (1, 3)), float(vulnerability in (2, 3))]
    legal = auction.legal()
    return numbers + [float(call in legal) for call in range(39)]


def _one_1653(auction: Auction, cards: np.ndarray, vulnerability: int) -> list[float]:
    me = auction.turn
    numbers = _hand(cards)
    slots: list[int] = [-1] * ((auction.dealer - me) % 4) + list(auction.calls)
    slots = (slots + [-1] * 40)[:40]
    for call in slots:
        numbers += [float(call == other) for other in range(39)]
    ours, theirs = (1, 2) if me % 2 == 0 else (2, 1)
    numbers += [float(bool(vulnerability & ours)), float(bool(vulnerability & theirs))]
    legal = auction.legal()
    return numbers + [float(call in legal) for call in range(39)]


def test_features_are_those_of_one_position_at_a_time() -> None:
    auctions, seen = positions()
    small, large = features_268(seen), features_1653(seen)
    assert small.shape[1] == 268 and large.shape[1] == 1653
    for row, auction in enumerate(auctions):
        vulnerability = int(seen.vulnerability[row])
        assert small[row].tolist() == _one_268(auction, seen.hands[row], vulnerability)
        assert large[row].tolist() == _one_1653(auction, seen.hands[row], vulnerability)


def _weights(inputs: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    arrays = {}
    for name, (rows, columns) in _SHAPES.items():
        columns = columns or (inputs if name == "linear1" else inputs + 52)
        arrays[f"{name}.weight"] = 0.1 * draw.standard_normal((rows, columns)).astype(np.float32)
        arrays[f"{name}.bias"] = np.zeros(rows, np.float32)
    return arrays


@pytest.mark.parametrize("inputs", [268, 1653])
def test_a_network_plays_legal_calls(tmp_path: Path, inputs: int) -> None:
    write_arrays(tmp_path / "own.safetensors", _weights(inputs))
    bot = Jps2020Bot(tmp_path / "own.safetensors")
    _, seen = positions()
    shares = bot.probabilities(seen)
    np.testing.assert_allclose(shares.sum(1), 1)
    assert not shares[~seen.legal].any()
    assert seen.legal[np.arange(len(seen)), bot.calls(seen)].all()
    assert bot.name == "jps2020:own"


def test_files_of_another_kind_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "wrong.safetensors"
    with pytest.raises(DataError, match="no file"):
        Jps2020Bot(path)
    path.write_text("no weights")
    with pytest.raises(DataError, match="cannot be read as weights; accepted: safetensors of"):
        Jps2020Bot(path)
    write_arrays(path, {"layer": np.zeros((2, 2), np.float32)})
    with pytest.raises(DataError, match=r"no tensor 'linear1\.weight'; accepted: a released JPS"):
        Jps2020Bot(path)
    write_arrays(path, _weights(480))
    with pytest.raises(DataError, match=r"a network of 480 numbers .*; accepted: 268 or 1653"):
        Jps2020Bot(path)
    arrays = _weights(268)
    arrays["linear2.weight"] = arrays["linear2.weight"][:, :100]
    write_arrays(path, arrays)
    with pytest.raises(DataError, match=r"linear2\.weight of .* has shape \[52, 100\]"):
        Jps2020Bot(path)
    write_arrays(path, {**_weights(268), "linear2.bias": np.zeros(51, np.float32)})
    with pytest.raises(DataError, match=r"linear2\.bias of .* \[51\]; accepted: \[52\]"):
        Jps2020Bot(path)
    for name, array, message in (
        ("linear1.weight", np.float32(1.0), r"0 numbers \(linear1\.weight: \[\]\)"),
        ("linear2.bias", np.full(52, np.nan, np.float32), "linear2 of .* are not finite"),
    ):
        write_arrays(path, {**_weights(268), name: np.asarray(array)})
        with pytest.raises(DataError, match=message):
            Jps2020Bot(path)


@pytest.mark.data
@pytest.mark.parametrize("agent", ["agent-1610-0.63", "baseline-15-189"])
def test_the_released_agents_give_their_reference_calls(agent: str) -> None:
    root = os.environ.get("TRINE_DATA")
    folder = Path(root or "/nowhere") / "bridge" / "opponents"
    if not (folder / f"{agent}.safetensors").is_file():
        pytest.skip("needs the released weights in $TRINE_DATA/bridge/opponents")
    bot = Jps2020Bot(folder / f"{agent}.safetensors")
    lines = (folder / "reference_calls.jsonl").read_text(encoding="utf-8").splitlines()
    told = [record for record in map(json.loads, lines) if record["agent"] == agent]
    assert len(told) == 50
    for record in told:
        calls = [parse_call(word) for word in record["auction"]]
        seen = Observations.same_auction(
            parse_hand(record["hand"])[None], calls, parse_seat(record["dealer"]),
            int(Vulnerability.parse(record["vul"])),
        )  # fmt: skip
        assert int(seen.seat[0]) == parse_seat(record["seat"])
        shares = bot.probabilities(seen)[0]
        assert format_call(int(shares.argmax())).replace("NT", "N") == record["call"]
        for word, share in record["top"].items():
            assert shares[parse_call(word)] == pytest.approx(share, abs=1e-4)
        assert bot.values(seen)[0] / 24 == pytest.approx(record["value"], abs=1e-4)
