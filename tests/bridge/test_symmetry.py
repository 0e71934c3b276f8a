from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trine.bridge.deals import random_owner
from trine.bridge.symmetry import (
    EVALUATION_SHARE,
    SUIT_ORDERS,
    canonical_codes,
    canonical_hash,
    in_part,
    is_evaluation,
    permute_suits,
    rotate_seats,
)
from trine.core.errors import UsageError

_NO_TABLE = np.zeros((1, 20), dtype=np.uint8)


def _every_guise(owner: np.ndarray) -> list[bytes]:
    """All 96 deals that are the same but for names, by plain loops."""
    suits = owner.reshape(4, 13)
    return [
        np.concatenate([(suits[suit] + step) % 4 for suit in order]).astype(np.uint8).tobytes()
        for order in permutations(range(4))
        for step in range(4)
    ]


@given(st.integers(0, 10**6), st.integers(0, 23), st.integers(-5, 5))
def test_guises_share_their_canonical_form(seed: int, order: int, steps: int):
    owner = random_owner(1, np.random.default_rng(seed))
    other, _ = rotate_seats(*permute_suits(owner, _NO_TABLE, SUIT_ORDERS[order]), steps)
    assert other[0].tobytes() in _every_guise(owner[0])
    assert (canonical_codes(other) == canonical_codes(owner)).all()
    assert canonical_hash(other) == canonical_hash(owner)


def test_canonical_forms_of_different_deals_differ():
    owner = random_owner(20_000, np.random.default_rng(1))
    assert len(np.unique(canonical_hash(owner))) == 20_000
    # One exchange of two cards between two seats is another deal.
    swapped = owner.copy()
    first = (swapped == 0).argmax(1)
    second = (swapped == 1).argmax(1)
    rows = np.arange(len(owner))
    swapped[rows, first], swapped[rows, second] = 1, 0
    assert (canonical_hash(swapped) != canonical_hash(owner)).all()


def test_the_split_is_fixed_for_ever():
    # Golden values: a change of the hash would let measured deals into training unnoticed.
    owner = random_owner(3, np.random.default_rng(2026))
    assert [hex(value) for value in canonical_hash(owner)] == [
        "0xf2ff8b7dbec42f24",
        "0xfd4816755d0ba7b1",
        "0x51949be89abd834f",
    ]
    share = is_evaluation(random_owner(50_000, np.random.default_rng(0))).mean()
    assert abs(share - EVALUATION_SHARE) < 0.005  # 3.7 standard errors


def test_the_parts_share_nothing():
    owner = random_owner(1000, np.random.default_rng(4))
    assert in_part(owner, "all").all()
    assert (in_part(owner, "train") != in_part(owner, "evaluation")).all()
    with pytest.raises(UsageError, match="unknown part 'test'"):
        in_part(owner, "test")


def test_rows_of_the_table_follow_their_suits_and_declarers():
    owner = np.repeat(np.arange(4, dtype=np.uint8), 13)[None]  # North has the clubs, ...
    tricks = np.arange(20, dtype=np.uint8)[None]
    order = np.array([3, 0, 1, 2])
    moved, table = permute_suits(owner, tricks, order)
    assert moved[0].reshape(4, 13)[:, 0].tolist() == [3, 0, 1, 2]
    assert table[0].reshape(5, 4)[:, 0].tolist() == [12, 0, 4, 8, 16]
    turned, table = rotate_seats(owner, tricks, 1)
    assert turned[0].reshape(4, 13)[:, 0].tolist() == [1, 2, 3, 0]
    assert table[0].reshape(5, 4)[0].tolist() == [3, 0, 1, 2]
