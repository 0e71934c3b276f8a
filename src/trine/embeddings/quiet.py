"""Bars and talk of the libraries while a model is read or written, silenced: Trine has its own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet_libraries"]

# Says at every load that a model with a prefix has a prefix.
_TALK = "sentence_transformers.base.model"


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """No bars of transformers and of the hub inside the block; as it was before after it."""
    from transformers.utils import logging as library

    bars_were_on = library.is_progress_bar_enabled()
    logger = logging.getLogger(_TALK)
    level = logger.level
    library.disable_progress_bar()
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars_were_on:
            library.enable_progress_bar()
