"""NumPy's products inside training use one thread, and what was set before comes back."""

import numpy as np
import pytest
import torch

from trine.dynamics import blas_threads
from trine.dynamics.blas_threads import one_blas_thread
from trine.dynamics.products import product


def test_one_thread_within_the_block():
    switch = blas_threads._switch()
    if switch is None:
        pytest.skip("this NumPy has another library than OpenBLAS")
    get, put = switch
    before = get()
    try:
        put(2)
        many = get()  # 1 where the machine has one core
        with one_blas_thread():
            assert get() == 1
        assert get() == many
        with pytest.raises(ZeroDivisionError), one_blas_thread():
            raise ZeroDivisionError
        assert get() == many
    finally:
        put(before)


def test_products_are_made_on_one_thread(monkeypatch: pytest.MonkeyPatch):
    state = [2]
    seen: list[int] = []
    fake = (lambda: state[0], lambda count: state.__setitem__(0, count))
    monkeypatch.setattr(blas_threads, "_switch", lambda: fake)
    matmul = np.matmul
    monkeypatch.setattr(np, "matmul", lambda *a, **k: seen.append(state[0]) or matmul(*a, **k))
    product(torch.ones(1, 2, 3), torch.ones(1, 3, 4))
    assert seen == [1]
    assert state == [2]


def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(blas_threads, "_switch", lambda: None)
    with one_blas_thread():
        pass
