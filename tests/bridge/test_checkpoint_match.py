"""The match of a training: every deal at two tables, guises of one deal in one cluster."""

import dataclasses

import numpy as np
import torch

from tests.bridge.positions import actor, made_up_deals
from trine.bridge.checkpoint_match import duplicate_match
from trine.bridge.self_play import Deals


def test_a_deal_that_comes_four_times_says_no_more_than_once():
    once = made_up_deals(300)
    four = Deals(
        once.owner.repeat(4, 1), once.tricks.repeat(4, 1), once.dealer.repeat(4),
        once.vulnerability.repeat(4), torch.arange(300).repeat(4),
    )  # fmt: skip
    first, second = actor(1, temperature=0.0), actor(2, temperature=0.0)
    alone, repeated = duplicate_match(first, second, once), duplicate_match(first, second, four)
    assert repeated["imps_per_board"] == alone["imps_per_board"] != 0
    np.testing.assert_allclose(repeated["se"], alone["se"], rtol=1e-9)
    assert repeated["boards"] == 1200 and repeated["wins"] == 4 * alone["wins"]
    # Without the names of the deals the error would be half of it.
    blind = duplicate_match(first, second, dataclasses.replace(four, deal=None))
    assert blind["se"] < 0.51 * alone["se"]
