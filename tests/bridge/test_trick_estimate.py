"""The estimate against solved deals, and the solver of one contract against whole tables."""

import numpy as np
import pytest

from trine.bridge.deals import read_solved_deals
from trine.bridge.trick_estimate import Estimate, fit_estimate, load_estimate


def _deals(first: int, last: int):
    return read_solved_deals("sample:random-10k").take(np.arange(first, last))


def _all_contracts(deals):
    n = len(deals)
    strain, declarer = np.divmod(np.tile(np.arange(20), n), 4)
    return np.repeat(deals.owner, 20, axis=0), strain, declarer


def test_the_estimate_is_about_a_trick_off_and_not_to_one_side():
    deals = _deals(8000, 8500)
    estimate = load_estimate()
    error = deals.tricks.ravel() - estimate.mean(*_all_contracts(deals))
    notrump = np.tile(np.arange(20) >= 16, len(deals))
    assert error[~notrump].std() == pytest.approx(estimate.spread[0], abs=0.05)
    assert error[notrump].std() == pytest.approx(estimate.spread[1], abs=0.08)
    assert 0.8 < estimate.spread[0] < 0.9 and 1.1 < estimate.spread[1] < 1.2
    assert abs(error.mean()) < 0.05
    # Much better than the average of all deals.
    assert error.std() < 0.4 * deals.tricks.std()


def test_it_was_fitted_to_the_deals_that_come_with_trine():
    some = fit_estimate(_deals(0, 3000))
    owner, strain, declarer = _all_contracts(_deals(9000, 9100))
    shipped = load_estimate().mean(owner, strain, declarer)
    assert np.abs(some.mean(owner, strain, declarer) - shipped).mean() < 0.1
    again = Estimate.of(some.document())
    np.testing.assert_allclose(again.weights[0], some.weights[0], atol=1e-5)


def test_suits_and_seats_are_named_only():
    deals, estimate = _deals(0, 50), load_estimate()
    three = np.full(50, 3)
    turned = ((deals.owner + 1) % 4).astype(np.uint8)
    np.testing.assert_allclose(
        estimate.mean(deals.owner, three, np.full(50, 1)),
        estimate.mean(turned, three, np.full(50, 2)),
    )
    swapped = deals.owner.reshape(-1, 4, 13)[:, [3, 1, 2, 0]].reshape(-1, 52)
    np.testing.assert_allclose(
        estimate.mean(deals.owner, three, np.full(50, 1)),
        estimate.mean(swapped, np.zeros(50, int), np.full(50, 1)),
    )


def test_drawn_tricks_share_their_error_on_a_deal():
    deals, estimate = _deals(0, 400), load_estimate()
    deal = np.tile(np.arange(400), 3)
    owner = np.tile(deals.owner, (3, 1))
    strain, declarer = np.full(1200, 3), np.repeat([0, 2, 1], 400)
    drawn = estimate.draw(owner, strain, declarer, deal, np.random.default_rng(1))
    assert drawn.min() >= 0 and drawn.max() <= 13
    error = (drawn - estimate.mean(owner, strain, declarer)).reshape(3, 400)
    assert np.corrcoef(error[0], error[1])[0, 1] > 0.8  # partners
    assert np.corrcoef(error[0], error[2])[0, 1] < -0.7  # opponents
    again = estimate.draw(owner, strain, declarer, deal, np.random.default_rng(1))
    assert (drawn == again).all()


def test_one_contract_is_solved_as_in_the_whole_table():
    pytest.importorskip("endplay")
    from trine.bridge.double_dummy import solve_contract

    deals = _deals(40, 43)
    for owner, table in zip(deals.owner, deals.tricks, strict=True):
        for place in (0, 5, 10, 15, 16, 19):
            assert solve_contract(owner, place // 4, place % 4) == table[place]
