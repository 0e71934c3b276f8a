"""Batched products of many small matrices, by whichever library is faster on this device.

On a CPU, PyTorch hands small products to a kernel that reaches about half of the speed of NumPy's
(OpenBLAS): measured in double precision for every shape of the papers, in single precision for the
two products of the backward pass. Elsewhere, and wherever autograd watches, PyTorch does them.
`benchmarks/dynamics.py` measures the whole.

NumPy's are kept to one thread: OpenBLAS would share even a product of 64 by 200 by 250 among all
cores, whose threads wait for each other by spinning, on busy cores a hundred times as long.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.linalg  # noqa: F401  (its library is the one that numba calls; here to be found)
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

__all__ = ["add_transposed_product_", "one_thread", "product", "product_transposed"]

_NUMPY = (torch.float32, torch.float64)

# Numbers that are not finite are `training.train`'s to report, with the step.
_quiet = np.errstate(all="ignore")


@lru_cache(maxsize=1)
def _several_threads() -> ThreadpoolController | None:
    """NumPy's OpenBLAS if this process was started with several threads, as workers are not."""
    blas = ThreadpoolController().select(internal_api="openblas")
    return blas if any(library["num_threads"] > 1 for library in blas.info()) else None


def one_thread() -> AbstractContextManager[Any]:
    """NumPy's and SciPy's (hence numba's) matrix products on one thread within the block."""
    blas = _several_threads()
    return nullcontext() if blas is None else blas.limit(limits=1)


def _by_numpy(*tensors: Tensor) -> bool:
    return all(
        t.device.type == "cpu" and t.dtype in _NUMPY and not t.requires_grad for t in tensors
    )


@_quiet
def product(first: Tensor, second: Tensor) -> Tensor:
    """`[R, B, n]` times `[R, n, m]`: `[R, B, m]`."""
    if not _by_numpy(first, second):
        return torch.bmm(first, second)
    result = first.new_empty(first.shape[0], first.shape[1], second.shape[2])
    with one_thread():
        np.matmul(first.numpy(), second.numpy(), out=result.numpy())
    return result


@_quiet
def product_transposed(inputs: Tensor, weights: Tensor, bias: Tensor | None) -> Tensor:
    """`[R, B, m]` times the transpose of `[R, n, m]`, plus `[R, n]`: `[R, B, n]`."""
    if inputs.dtype == torch.float64 and _by_numpy(inputs, weights):
        result = inputs.new_empty(inputs.shape[0], inputs.shape[1], weights.shape[1])
        with one_thread():
            np.matmul(inputs.numpy(), weights.numpy().swapaxes(1, 2), out=result.numpy())
        return result if bias is None else result.add_(bias.unsqueeze(1))
    if bias is None:
        return torch.bmm(inputs, weights.transpose(1, 2))
    return torch.baddbmm(bias.unsqueeze(1), inputs, weights.transpose(1, 2))


@_quiet
def add_transposed_product_(target: Tensor, first: Tensor, second: Tensor) -> None:
    """Adds the transpose of `[R, B, n]` times `[R, B, m]` to `[R, n, m]`, in place."""
    if not _by_numpy(target, first, second):
        target.baddbmm_(first.transpose(1, 2), second)
        return
    with one_thread():
        change = np.matmul(first.numpy().swapaxes(1, 2), second.numpy())
    target.add_(torch.from_numpy(change))
