"""The 480 numbers against those that pgx and OpenSpiel give of the same positions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trine.bridge.lockstep import LockstepAuctions
from trine.bridge.observation import make_observation

_GOLDEN = Path(__file__).parent / "data" / "pgx_observations.json"

# The only difference: where ours has card suit * 13 + rank, they have rank * 4 + suit.
_ORDER = np.concatenate(
    [np.arange(428), [428 + suit * 13 + rank for rank in range(13) for suit in range(4)]]
)


def _golden() -> list[dict[str, Any]]:
    return json.loads(_GOLDEN.read_text(encoding="utf-8"))["positions"]


def _call(number: int) -> int:
    """Ours of pgx's: there, 0 pass, 1 double, 2 redouble, then the bids."""
    return number - 3 if number >= 3 else 35 + number


def _encoded(codec: str, owner: np.ndarray, dealer: int, vulnerability: int, calls: list[int]):
    auctions = LockstepAuctions.start(torch.tensor([dealer]), torch.tensor([vulnerability]))
    for call in calls:
        auctions = auctions.after(torch.tensor([call]))
    hand = torch.from_numpy(owner == (dealer + len(calls)) % 4)[None]
    return make_observation(codec).encode(auctions, hand)[0].numpy()


@pytest.mark.parametrize("codec", ["lockhart480", "pgx480"])
def test_positions_of_pgx(codec: str):
    positions = _golden()
    assert len(positions) >= 30
    # Every kind of number is set somewhere.
    kinds = {call for position in positions for call in position["calls"]}
    assert {0, 1, 2} < kinds
    assert len({(p["dealer"], p["ns_vulnerable"], p["ew_vulnerable"]) for p in positions}) > 6
    for position in positions:
        owner = np.array([int(seat) for seat in position["owners"]]).reshape(4, 13)
        # Theirs: S H D C, A 2 3 .. K.
        owner = np.roll(owner[::-1], -1, axis=1).ravel()
        calls = [_call(number) for number in position["calls"]]
        bits = position["ns_vulnerable"] + 2 * position["ew_vulnerable"]
        theirs = np.unpackbits(np.frombuffer(bytes.fromhex(position["observation"]), np.uint8))
        ours = _encoded(codec, owner, position["dealer"], bits, calls)
        if codec == "lockhart480":
            ours = ours[_ORDER]
        assert ours.tolist() == theirs.tolist()
    assert sorted(_ORDER) == list(range(480))


@pytest.mark.oracle
def test_the_auction_part_of_openspiel():
    pyspiel = pytest.importorskip("pyspiel")
    game = pyspiel.load_game(
        "bridge(dealer_vul=true,non_dealer_vul=false,use_double_dummy_result=false)"
    )
    generator = np.random.default_rng(0)
    for _ in range(10):
        state = game.new_initial_state()
        owner = np.zeros(52, np.int64)
        for place in range(52):  # dealt in turns; their card is rank * 4 + suit
            card = int(generator.choice(state.legal_actions()))
            owner[card % 4 * 13 + card // 4] = place % 4
            state.apply_action(card)
        calls: list[int] = []
        while state.current_phase() == 1 and not state.is_terminal():
            tensor = np.array(state.observation_tensor(state.current_player()))
            # North deals there, and is vulnerable with South; four numbers of the phase come first.
            assert tensor[4:484].tolist() == _encoded("pgx480", owner, 0, 1, calls).tolist()
            legal = state.legal_actions()
            low = [a for a in legal if a < 55] * 3 + [a for a in legal if a >= 55][:4]
            action = int(generator.choice(low))
            calls.append(_call(action - 52))
            state.apply_action(action)
