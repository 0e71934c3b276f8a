import numpy as np
import pytest
import torch

from trine.bridge.auction import Contract
from trine.bridge.deals import read_solved_deals
from trine.bridge.par import find_par
from trine.bridge.rewards import contract_points, par_points
from trine.bridge.scoring import score

pytest.importorskip("endplay")


def test_par_is_that_of_the_batches_and_its_contracts_give_it():
    deals = read_solved_deals("sample:random-10k").take(np.arange(300))
    dealer, vulnerability = np.arange(300) % 4, np.arange(300) // 4 % 4
    points = contract_points(torch.from_numpy(deals.tricks), torch.from_numpy(vulnerability))
    other = par_points(points, torch.from_numpy(dealer)).tolist()
    sacrifices = 0
    for row in range(300):
        tricks = deals.tricks[row]
        par = find_par(tricks, int(dealer[row]), int(vulnerability[row]))
        assert par.score == other[row]
        assert len({contract.declarer % 2 for contract in par.contracts}) == 1
        for contract, seats in zip(par.contracts, par.declarers, strict=True):
            for seat in seats:
                declared = contract._replace(declarer="NESW".index(seat))
                taken = int(tricks[contract.strain * 4 + declared.declarer])
                assert score(declared, taken, int(vulnerability[row])) == par.score
        sacrifices += any(contract.doubled for contract in par.contracts)
    assert 20 < sacrifices < 150


def test_nobody_can_make_anything():
    par = find_par([6] * 20, 0, 3)
    assert (par.score, par.contracts, str(par)) == (0, (), "passed out")


def test_a_game_is_named_with_all_its_declarers():
    tricks = [6] * 20
    tricks[3 * 4 : 3 * 4 + 4] = [10, 3, 10, 3]  # spades
    par = find_par(tricks, 1, 0)
    assert par.score == 420
    assert par.contracts == (Contract(4, 3, 0, 0),)
    assert str(par) == "4S NS"
