"""Joining requests: what goes in one pass, and what happens to failures and to the rest."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from trine.embeddings.serving.batching import Batcher, QueueFullError


class Lengths:
    """A model whose vector is the text's length; passes wait until they are let go."""

    def __init__(self) -> None:
        self.passes: list[list[str]] = []
        self.go = threading.Event()
        self.entered = threading.Event()

    def __call__(self, texts: Sequence[str]) -> tuple[np.ndarray, list[int]]:
        self.entered.set()
        self.go.wait(30)
        self.passes.append(list(texts))
        if "bad" in texts:
            raise ValueError("bad")
        lengths = [len(text) for text in texts]
        return np.array(lengths, dtype=np.float32)[:, None], lengths


async def _gather(model: Lengths, requests: list[list[str]], **options: int) -> list[Any]:
    batcher = Batcher(model, **options)  # pyright: ignore[reportArgumentType] (all are numbers)
    batcher.start()
    tasks = [asyncio.create_task(batcher.encode(requests[0]))]
    await asyncio.to_thread(model.entered.wait, 30)  # the first is in the model, the others wait
    tasks += [asyncio.create_task(batcher.encode(texts)) for texts in requests[1:]]
    await asyncio.sleep(0.02)
    model.go.set()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert batcher.waiting == 0
    await batcher.stop()
    return done


def run(model: Lengths, requests: list[list[str]], **options: int) -> list[Any]:
    return asyncio.run(_gather(model, requests, **options))


def test_what_gathers_while_the_model_is_busy_goes_in_one_pass() -> None:
    model = Lengths()
    answers = run(model, [["a"], ["bb", "ccc"], ["dddd"]])
    assert model.passes == [["a"], ["bb", "ccc", "dddd"]]
    assert [list(counts) for _, counts in answers] == [[1], [2, 3], [4]]
    assert [vectors.ravel().tolist() for vectors, _ in answers] == [[1], [2, 3], [4]]


def test_a_pass_is_closed_when_it_is_large_enough() -> None:
    model = Lengths()
    run(model, [["a"], ["b"], ["c"], ["d"], ["e"]], most_texts=2)
    assert model.passes == [["a"], ["b", "c"], ["d", "e"]]


def test_without_batching_every_request_has_its_own_pass() -> None:
    model = Lengths()
    run(model, [["a"], ["b"], ["c", "d"]], most_texts=0)
    assert model.passes == [["a"], ["b"], ["c", "d"]]


def test_a_failure_is_told_to_those_who_asked_and_the_next_pass_works() -> None:
    model = Lengths()
    answers = run(model, [["bad"], ["b"], ["c"]], most_texts=1)
    assert isinstance(answers[0], ValueError)
    assert not isinstance(answers[1], Exception)


def test_more_than_the_queue_holds_is_refused() -> None:
    model = Lengths()
    answers = run(model, [["a", "b"], ["c"], ["d"]], most_waiting=3)
    assert isinstance(answers[2], QueueFullError)
    assert not isinstance(answers[1], Exception)


def test_who_went_away_is_not_encoded() -> None:
    async def scene(model: Lengths) -> None:
        batcher = Batcher(model)
        batcher.start()
        first = asyncio.create_task(batcher.encode(["a"]))
        await asyncio.to_thread(model.entered.wait, 30)
        gone = asyncio.create_task(batcher.encode(["gone"]))
        await asyncio.sleep(0.02)
        gone.cancel()
        await asyncio.sleep(0)
        model.go.set()
        await first
        await batcher.stop()
        assert batcher.waiting == 0

    model = Lengths()
    asyncio.run(scene(model))
    assert model.passes == [["a"]]


def test_at_the_end_those_who_wait_are_told() -> None:
    async def scene(model: Lengths) -> None:
        batcher = Batcher(model, most_texts=1)
        batcher.start()
        tasks = [asyncio.create_task(batcher.encode([text])) for text in "abc"]
        await asyncio.to_thread(model.entered.wait, 30)
        model.go.set()
        await batcher.stop()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(done[2], asyncio.CancelledError)

    asyncio.run(scene(Lengths()))
