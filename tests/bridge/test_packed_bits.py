import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trine.bridge.packed_bits import by_arithmetic, pack_bits, unpack_bits


@given(st.integers(0, 5), st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_what_is_packed_comes_back(count, length, seed):
    x = torch.from_numpy(np.random.default_rng(seed).integers(2, size=(count, length)))
    packed = pack_bits(x)
    assert packed.shape == (count, -(-length // 8))
    assert torch.equal(unpack_bits(packed, length), x.float())
    shifted = by_arithmetic(packed, torch.float32)  # the route of a GPU
    assert torch.equal(shifted.flatten(1)[:, :length], x.float())


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float32], ids=str)
def test_the_first_number_is_the_lowest_bit(dtype):
    x = torch.tensor([[1, 0, 0, 1, 0, 0, 0, 0, 1]]).to(dtype)
    assert pack_bits(x).tolist() == [[9, 1]]  # 1 + 8, then the ninth alone
