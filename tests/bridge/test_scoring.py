"""Scores and IMPs: check values, tables of batches, and OpenSpiel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trine.bridge.auction import Contract
from trine.bridge.rewards import imps_of, score_table
from trine.bridge.scoring import IMP_STEPS, imps, score
from trine.core.extras import available

C, D, H, S, NT = range(5)


@pytest.mark.parametrize(
    ("contract", "tricks", "vulnerable", "expected"),
    [
        # Check values of the scoring table (Law 77), computed by hand.
        (Contract(1, NT, 0, 0), 7, False, 90),
        (Contract(2, H, 0, 0), 9, False, 140),
        (Contract(3, NT, 0, 0), 9, False, 400),
        (Contract(3, NT, 0, 0), 9, True, 600),
        (Contract(4, S, 0, 0), 11, True, 650),
        (Contract(2, C, 1, 0), 8, False, 180),
        (Contract(2, H, 1, 0), 8, True, 670),
        (Contract(1, NT, 2, 0), 9, True, 1560),
        (Contract(6, NT, 0, 0), 12, True, 1440),
        (Contract(7, S, 0, 0), 13, False, 1510),
        (Contract(7, NT, 2, 0), 13, True, 2980),
        (Contract(5, D, 1, 0), 7, False, -800),
        (Contract(3, S, 1, 0), 6, True, -800),
        (Contract(1, C, 2, 0), 0, True, -4000),
        (Contract(7, NT, 2, 0), 0, True, -7600),
    ],
    ids=str,
)
def test_check_values(contract: Contract, tricks: int, vulnerable: bool, expected: int) -> None:
    assert score(contract, tricks, 1 if vulnerable else 2) == expected
    west = contract._replace(declarer=3)
    assert score(west, tricks, 2 if vulnerable else 1) == -expected


def test_passed_out_is_nothing_and_equal_scores_are_no_imps() -> None:
    assert score(None, 0, 3) == 0
    assert imps(0) == imps(10) == imps(-10) == 0
    assert (imps(20), imps(-20), imps(40), imps(50)) == (1, -1, 1, 2)
    assert (imps(3990), imps(4000), imps(-15_000)) == (23, 24, -24)
    assert len(IMP_STEPS) == 24


def test_the_tables_of_batches_are_these_scores() -> None:
    table = score_table()
    for doubled in range(3):
        for vulnerable in range(2):
            for bid in range(35):
                contract = Contract(bid // 5 + 1, bid % 5, doubled, 0)
                expected = [score(contract, tricks, vulnerable) for tricks in range(14)]
                assert table[doubled, vulnerable, bid].tolist() == expected
    differences = np.arange(-15_200, 15_201, 10)
    assert imps_of(torch.from_numpy(differences)).tolist() == [imps(int(d)) for d in differences]


@pytest.mark.oracle
@pytest.mark.skipif(not available("oracle"), reason="needs the extra `oracle`")
@pytest.mark.parametrize("vulnerability", range(4))
def test_every_contract_scores_as_in_open_spiel(vulnerability: int) -> None:
    # 421 contracts: passed out, and 35 bids x 3 x 4 declarers, on 10 deals for each vulnerability.
    import pyspiel

    game = pyspiel.load_game(
        "bridge",
        {
            "use_double_dummy_result": True,
            "dealer_vul": bool(vulnerability & 1),
            "non_dealer_vul": bool(vulnerability & 2),
        },
    )
    draw = np.random.default_rng(vulnerability)
    for _ in range(10):
        state = game.new_initial_state()
        for card in draw.permutation(52):
            state.apply_action(int(card))
        theirs = list(state.score_by_contract())
        assert len(theirs) == 421
        # Their order: passed out, then for each bid, each declarer, each doubling.
        tricks = _tricks(theirs, vulnerability)
        assert theirs[0] == 0
        place = 1
        for bid in range(35):
            for declarer in range(4):
                for doubled in range(3):
                    contract = Contract(bid // 5 + 1, bid % 5, doubled, declarer)
                    ours = score(contract, tricks[bid % 5][declarer], vulnerability)
                    assert ours == theirs[place], str(contract)
                    place += 1


def _tricks(scores: list[int], vulnerability: int) -> list[list[int]]:
    """Tricks by strain and declarer, read off the scores of undoubled contracts at every level."""
    found = []
    for strain in range(5):
        row = []
        for declarer in range(4):
            told = [scores[1 + (level * 5 + strain) * 12 + declarer * 3] for level in range(7)]
            fitting = [
                tricks
                for tricks in range(14)
                if all(
                    score(Contract(level + 1, strain, 0, declarer), tricks, vulnerability) == one
                    for level, one in enumerate(told)
                )
            ]
            assert len(fitting) == 1
            row.append(fitting[0])
        found.append(row)
    return found
