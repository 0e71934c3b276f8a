"""MTEB seeds the generators of the process, when imported and when run; here they are kept."""

from __future__ import annotations

import importlib
import random
from collections.abc import Generator
from contextlib import contextmanager

import numpy as np

__all__ = ["import_mteb", "kept_seeds"]


@contextmanager
def kept_seeds() -> Generator[None]:
    """Whatever is seeded inside, `random`, numpy and torch are afterwards as they were before."""
    import torch

    kept = random.getstate(), np.random.get_state()  # noqa: NPY002 (the global one is kept)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            random.setstate(kept[0])
            np.random.set_state(kept[1])  # noqa: NPY002


def import_mteb() -> None:
    """Imports MTEB, which seeds at its first import; call it before anything of it is imported."""
    with kept_seeds():
        importlib.import_module("mteb")
