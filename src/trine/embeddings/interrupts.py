"""Ctrl-C during training: the running step ends, a checkpoint is written, then the run stops.

Checkpoints come every so many steps, which may be a quarter of an hour apart. One in the middle of
a step would not do: a resumed run must end in the weights of one that was never stopped (but for
rounding, where layers are frozen: `trine.embeddings.frozen_layers`).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

from transformers import TrainerCallback

__all__ = ["StopAfterStep"]


class StopAfterStep(TrainerCallback):
    """A callback of the trainer, and the context in which it trains.

    The second Ctrl-C ends it at once. Where another thread or another program's handler is in
    charge of Ctrl-C, it is left to that.

    Args:
      say: told that the step ends first.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._asked = False
        self._holds = False

    def __enter__(self) -> Self:
        """Takes Ctrl-C, if it has Python's own meaning now."""
        main = threading.current_thread() is threading.main_thread()
        self._holds = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._holds:
            signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Gives Ctrl-C back, and lets it do what it does everywhere else.

        Raises:
          KeyboardInterrupt: if it was asked for.
        """
        if self._holds:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._asked and error is None:
            raise KeyboardInterrupt

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        self._say("stopping after this step; Ctrl-C again stops at once and loses it")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Has the trainer write a checkpoint and stop."""
        if self._asked:
            control.should_save = True
            control.should_training_stop = True
