import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trine.core.errors import UsageError
from trine.core.seeding import Seeds

names = st.lists(st.text(max_size=8), max_size=3).map(tuple)


def test_the_numbers_never_change():
    # Printed once by this code: a change here changes every published result.
    assert Seeds(7).generator("init").integers(1000, size=4).tolist() == [647, 345, 409, 895]
    assert Seeds(7).integer("torch") == 5036813246697531804


@given(st.integers(0, 2**70), names, names)
def test_different_names_are_different_streams(seed: int, first: tuple, second: tuple):
    seeds = Seeds(seed)
    same = seeds.integer(*first) == seeds.integer(*second)
    assert same == (first == second)


@given(st.integers(0, 2**40), names, names)
def test_a_child_is_the_path_to_it(seed: int, path: tuple, rest: tuple):
    direct = Seeds(seed).generator(*path, *rest).random(3)
    np.testing.assert_array_equal(Seeds(seed).child(*path).generator(*rest).random(3), direct)


def test_numbers_and_their_texts_are_the_same_name():
    assert Seeds(1).integer("restart", 3) == Seeds(1).integer("restart", "3")


def test_negative_seeds_are_refused():
    with pytest.raises(UsageError, match="seed -1; accepted: an integer from 0 upward"):
        Seeds(-1)
