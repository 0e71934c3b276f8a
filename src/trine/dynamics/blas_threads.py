"""One thread for NumPy's small matrix products, whatever the process was started with.

OpenBLAS shares even a product of 64 by 200 by 250 among all cores, and its threads wait for each
other by spinning: on two busy cores a hundred times as long as on one. Environment variables help
only before NumPy is imported, which in a notebook or a test is long past; the library's own switch
works at any time and costs a fraction of a microsecond.
"""

from __future__ import annotations

import ctypes
from collections.abc import Generator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["one_blas_thread"]

_NAMES = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
)


@lru_cache(maxsize=1)
def _switch() -> tuple[Any, Any] | None:
    """Getter and setter of the OpenBLAS that came with NumPy; None for another library."""
    package = Path(np.__file__).parent
    places = (package.with_name("numpy.libs"), package / ".dylibs")  # wheels of Linux and macOS
    for path in (file for place in places for file in place.glob("*openblas*")):
        try:
            library = ctypes.CDLL(str(path))  # loaded already: the same one
        except OSError:
            continue
        for get, put in _NAMES:
            if hasattr(library, get) and hasattr(library, put):
                return getattr(library, get), getattr(library, put)
    return None


@contextmanager
def one_blas_thread() -> Generator[None]:
    """One thread within the block; does nothing where NumPy has another library than OpenBLAS."""
    switch = _switch()
    if switch is None or (before := int(switch[0]())) == 1:
        yield
        return
    switch[1](1)
    try:
        yield
    finally:
        switch[1](before)
