"""Bars and talk of the libraries while a model is read or written, silenced: Trine has its own."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet_export", "quiet_libraries"]

# Says at every load that a model with a prefix has a prefix.
_TALK = "sentence_transformers.base.model"

_EXPORT_TALK = (
    "onnxruntime.transformers", "fusion_base", "fusion_utils", "onnx_model", "onnx_model_bert",
    "optimizer",
)  # fmt: skip


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


@contextmanager
def quiet_export() -> Iterator[None]:
    """No advice of the ONNX exporter, optimiser and quantiser inside the block.

    They warn that the exporter which the optimiser needs is the older one, that a Python value was
    traced, and that a model should be prepared first; none of it is for users of Trine.
    """
    root = logging.getLogger()
    handlers = list(root.handlers)
    quiet = _Below(logging.ERROR)
    loggers = [root, *(logging.getLogger(name) for name in _EXPORT_TALK)]
    levels = [logger.level for logger in loggers]
    root.addFilter(quiet)  # the quantiser logs on the root logger itself
    for logger in loggers[1:]:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeFilter(quiet)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        for handler in [h for h in root.handlers if h not in handlers]:
            root.removeHandler(handler)  # the first `logging.warning` of a process adds one


class _Below(logging.Filter):
    def __init__(self, level: int) -> None:
        super().__init__()
        self._level = level

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= self._level
