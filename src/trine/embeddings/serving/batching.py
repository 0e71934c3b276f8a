"""Dynamic batching: texts of many clients in one pass of the model.

While the model is busy, requests gather in a queue; when it is free, all that has gathered (up to a
number of texts) goes in one pass, sorted by length inside the encoder. A lone request waits for
nobody: there is no timer. One worker thread runs the model, so that the event loop stays free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

__all__ = ["Batcher", "Encoded", "QueueFullError"]


Encoded = tuple[np.ndarray, Sequence[int]]
"""`[n, width]` vectors, and the number of tokens of each text."""


class QueueFullError(Exception):
    """More texts are waiting than allowed."""


@dataclass
class _Job:
    texts: Sequence[str]
    answer: asyncio.Future[Encoded]


class Batcher:
    """Joins requests for one encoder; start it in a running event loop.

    Args:
      encode: texts to vectors and numbers of tokens; called in one thread of its own.
      most_texts: joined in one pass; 0: every request has a pass of its own (no batching).
      most_waiting: texts in the queue before `QueueFullError`.
      observe: told the number of texts and of requests of each pass.
    """

    def __init__(
        self,
        encode: Callable[[Sequence[str]], Encoded],
        *,
        most_texts: int = 256,
        most_waiting: int = 20_000,
        observe: Callable[[int, int], None] | None = None,
    ) -> None:
        self._encode = encode
        self._most_texts = most_texts
        self._most_waiting = most_waiting
        self._observe = observe
        self._queue: asyncio.Queue[_Job] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="encoder")
        self._worker: asyncio.Task[None] | None = None
        self.waiting = 0

    def start(self) -> None:
        """Begins to take requests."""
        self._worker = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """Ends the worker; requests that still wait are cancelled."""
        if self._worker is not None:
            self._worker.cancel()
            with suppress(asyncio.CancelledError):
                await self._worker
        while not self._queue.empty():
            self._queue.get_nowait().answer.cancel()
        self._thread.shutdown(wait=True)

    async def encode(self, texts: Sequence[str]) -> Encoded:
        """Vectors and numbers of tokens of the texts of one request.

        Raises:
          QueueFullError: if too many texts wait already.
        """
        if self.waiting + len(texts) > self._most_waiting:
            raise QueueFullError
        self.waiting += len(texts)
        try:
            job = _Job(texts, asyncio.get_running_loop().create_future())
            await self._queue.put(job)
            return await job.answer
        finally:
            self.waiting -= len(texts)

    async def _work(self) -> None:
        while True:
            jobs = [await self._queue.get()]
            size = len(jobs[0].texts)
            while size < self._most_texts and not self._queue.empty():
                jobs.append(self._queue.get_nowait())
                size += len(jobs[-1].texts)
            await self._run([job for job in jobs if not job.answer.cancelled()])

    async def _run(self, jobs: Sequence[_Job]) -> None:
        if not jobs:
            return
        texts = [text for job in jobs for text in job.texts]
        loop = asyncio.get_running_loop()
        try:
            vectors, counts = await loop.run_in_executor(self._thread, self._encode, texts)
        except asyncio.CancelledError:  # stopped in the middle of a pass: nobody waits for ever
            for job in jobs:
                job.answer.cancel()
            raise
        except Exception as error:  # whatever the model raises belongs to those who asked
            for job in jobs:
                if not job.answer.done():
                    job.answer.set_exception(error)
            return
        if self._observe is not None:
            self._observe(len(texts), len(jobs))
        start = 0
        for job in jobs:
            end = start + len(job.texts)
            if not job.answer.done():
                job.answer.set_result((vectors[start:end], counts[start:end]))
            start = end
