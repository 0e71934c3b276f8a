"""Batched products: equal to PyTorch's by every route, on one thread of NumPy's library."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import ThreadpoolController

from trine.dynamics import products
from trine.dynamics.products import add_transposed_product_, product, product_transposed

SIZES = st.integers(1, 9)
KINDS = st.sampled_from([torch.float32, torch.float64])


def same(found: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


@given(SIZES, SIZES, SIZES, SIZES, KINDS, st.booleans())
def test_every_route_gives_the_same(count, batch, fan_in, width, kind, watched):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(count, batch, fan_in, dtype=kind, generator=generator)
    weights = torch.randn(count, width, fan_in, dtype=kind, generator=generator)
    bias = torch.randn(count, width, dtype=kind, generator=generator)
    weights.requires_grad_(watched)  # then PyTorch does it
    forward = product_transposed(inputs, weights, bias)
    wanted = torch.einsum("rbm,rnm->rbn", inputs, weights) + bias[:, None]
    same(forward, wanted)
    same(product_transposed(inputs, weights, None), wanted - bias[:, None])
    back = product(forward, weights)
    same(back, torch.einsum("rbn,rnm->rbm", forward, weights))
    target = torch.zeros(count, width, fan_in, dtype=kind)
    add_transposed_product_(target, forward.detach(), inputs)
    wanted = torch.einsum("rbn,rbm->rnm", forward.detach(), inputs)
    same(target, wanted)


def test_numpys_products_are_made_on_one_thread(monkeypatch: pytest.MonkeyPatch):
    blas = ThreadpoolController().select(internal_api="openblas")
    if not blas.info():
        pytest.skip("this NumPy has another library than OpenBLAS")
    products._several_threads.cache_clear()
    seen: list[int] = []
    matmul = np.matmul

    def watched(*arguments, **options):
        seen.append(blas.info()[0]["num_threads"])
        return matmul(*arguments, **options)

    monkeypatch.setattr(np, "matmul", watched)
    with blas.limit(limits=2):
        several = blas.info()[0]["num_threads"]  # 1 where the machine has one core
        product(torch.ones(1, 2, 3), torch.ones(1, 3, 4))
        assert blas.info()[0]["num_threads"] == several
    assert seen == [1]
    products._several_threads.cache_clear()
