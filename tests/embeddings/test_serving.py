"""The real server on a real port: the official client, and every kind of bad request."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx2 as httpx
import numpy as np
import openai
import pytest
import uvicorn
from prometheus_client.parser import text_string_to_metric_families

from tests.embeddings.tiny import tiny_encoder
from trine.embeddings.inference import Encoder
from trine.embeddings.serving.app import create_app
from trine.embeddings.serving.schemas import Limits

# One for all: reading the certificates for each request is slow.
CLIENT = httpx.Client(timeout=30, verify=False, trust_env=False)

TEXTS = ["the bank card", "a red bird", "rain and snow and wind and storm", "one"]


@contextmanager
def server(encoder: Any, **options: Any) -> Iterator[str]:
    """The address of a running server."""
    app = create_app(encoder, "tiny", **options)
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="on")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        until = time.monotonic() + 30
        while not running.started and time.monotonic() < until:
            time.sleep(0.01)
        port = running.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        running.should_exit = True
        thread.join(timeout=30)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder.of(tiny_encoder(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def address(encoder: Encoder) -> Iterator[str]:
    with server(encoder, limits=Limits(texts=8, characters=1000, body=4096)) as found:
        yield found


def test_the_official_client_gets_the_models_own_vectors(encoder: Encoder, address: str) -> None:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none") as client:
        by_default = client.embeddings.create(model="tiny", input=TEXTS)  # asks for base 64
        numbers = client.embeddings.create(model="tiny", input=TEXTS, encoding_format="float")
        single = client.embeddings.create(model="tiny", input=TEXTS[0], dimensions=4)
        models = client.models.list()
    expected = encoder.encode(TEXTS)
    for answer in (by_default, numbers):
        assert [item.index for item in answer.data] == [0, 1, 2, 3]
        got = np.array([item.embedding for item in answer.data])
        np.testing.assert_allclose(got, expected, atol=1e-6)
    short = np.array(single.data[0].embedding)
    np.testing.assert_allclose(short, expected[0, :4] / np.linalg.norm(expected[0, :4]), atol=1e-6)
    # [CLS] the bank card [SEP], and so on: every word of the tiny vocabulary is one token.
    assert by_default.usage.prompt_tokens == 5 + 5 + 9 + 3
    assert by_default.model == "tiny"
    assert [model.id for model in models.data] == ["tiny"]


@pytest.fixture(scope="module", autouse=True)
def _close() -> Iterator[None]:
    yield
    CLIENT.close()


def post(address: str, **request: Any) -> httpx.Response:
    return CLIENT.post(f"{address}/v1/embeddings", **request)


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({"content": b"not json"}, 400, "not JSON"),
    ({"content": b"\xff\xfe"}, 400, "not JSON"),
    ({"content": b"[" * 3000}, 400, "not JSON"),
    ({"json": ["a"]}, 400, "the body is not a JSON object"),
    ({"json": {"model": "tiny"}}, 400, "input"),
    ({"json": {"input": 3}}, 400, "input: should be a text or a list of texts"),
    ({"json": {"input": {"text": "a"}}}, 400, "input: should be a text"),
    ({"json": {"input": ["a", None]}}, 400, "input: should be a text"),
    ({"json": {"input": None}}, 400, "input: should be a text"),
    ({"json": {"input": [1, 2, 3]}}, 400, "input: token ids are not accepted"),
    ({"json": {"input": [[1, 2], [3]]}}, 400, "token ids are not accepted"),
    ({"json": {"input": ""}}, 400, "empty"),
    ({"json": {"input": []}}, 400, "no text"),
    ({"json": {"input": ["a", "  "]}}, 400, "empty"),
    ({"content": b'{"input": "half \\ud800"}'}, 400, "surrogate"),
    ({"json": {"input": "a", "dimensions": 0}}, 400, "dimensions"),
    ({"json": {"input": "a", "dimensions": 17}}, 400, "at most 16"),
    ({"json": {"input": "a", "dimensions": "many"}}, 400, "dimensions"),
    ({"json": {"input": "a", "dimensions": "5"}}, 400, "dimensions: Input should be a valid int"),
    ({"json": {"input": "a", "dimensions": True}}, 400, "dimensions: Input should be a valid int"),
    ({"json": {"input": "a", "dimensions": 3.0}}, 400, "dimensions: Input should be a valid int"),
    ({"json": {"input": "a", "user": 5}}, 400, "user: Input should be a valid string"),
    ({"json": {"input": "a", "encoding_format": "hex"}}, 400, "encoding_format"),
    ({"json": {"input": ["a"] * 9}}, 413, "at most 8"),
    ({"json": {"input": "a" * 1001}}, 413, "at most 1000"),
    ({"content": b"x" * 5000}, 413, "5000 bytes; at most 4096"),
    ({"content": iter([b"x" * 3000, b"x" * 3000])}, 413, "more than 4096"),
]


@pytest.mark.parametrize(("request_", "status", "words"), BAD)
def test_bad_requests_say_what_is_wrong(
    address: str, request_: dict[str, Any], status: int, words: str
) -> None:
    answer = post(address, **request_)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert words in error["message"]
    assert error["type"] == "invalid_request_error"
    assert not any(word in error["message"] for word in ("Value error", "EmbeddingRequest"))


def test_no_page_is_served_that_loads_from_elsewhere(address: str) -> None:
    for page in ("docs", "redoc", "openapi.json", "docs/oauth2-redirect"):
        assert CLIENT.get(f"{address}/{page}").status_code == 404


def test_unknown_places_and_methods_have_the_same_form(address: str) -> None:
    assert CLIENT.get(f"{address}/v1/nothing").json()["error"]["message"] == "Not Found"
    assert CLIENT.get(f"{address}/v1/embeddings").status_code == 405


def test_health_and_metrics(address: str) -> None:
    assert post(address, json={"input": TEXTS}).status_code == 200
    assert post(address, json={"input": 3}).status_code == 400
    health = CLIENT.get(f"{address}/healthz").json()
    assert health == {"status": "ok", "model": "tiny", "width": 16, "waiting": 0}
    page = CLIENT.get(f"{address}/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {f.name: f for f in text_string_to_metric_families(page.text)}
    requests = {s.labels["status"]: s.value for s in families["trine_requests"].samples
                if s.name == "trine_requests_total"}  # fmt: skip
    assert requests["200"] >= 1
    assert requests["400"] >= 1
    assert families["trine_tokens"].samples[0].value >= 22
    counts = {s.name: s.value for s in families["trine_pass_texts"].samples}
    assert counts["trine_pass_texts_sum"] >= 4
    assert {"trine_request_seconds", "trine_pass_requests"} <= set(families)


def test_a_key_is_asked_for(encoder: Encoder) -> None:
    with server(encoder, key="sesame") as address:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer sésame"}):
            raw = {k: v.encode() for k, v in headers.items()}
            answer = post(address, json={"input": "a"}, headers=raw)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"
            assert "sesame" not in answer.text
        assert CLIENT.get(f"{address}/v1/models").status_code == 401
        assert CLIENT.get(f"{address}/healthz").status_code == 200
        lower = {"authorization": "bearer sesame"}
        assert post(address, json={"input": "a"}, headers=lower).status_code == 200
        basic = {"authorization": "sesame"}
        assert post(address, json={"input": "a"}, headers=basic).status_code == 401
        with openai.OpenAI(base_url=f"{address}/v1", api_key="sesame") as client:
            assert len(client.embeddings.create(model="tiny", input="a").data) == 1
        with (
            openai.OpenAI(base_url=f"{address}/v1", api_key="other") as client,
            pytest.raises(openai.AuthenticationError, match="wrong or missing API key"),
        ):
            client.embeddings.create(model="tiny", input="a")


class Slow:
    """Waits for permission; fails on a certain text. Gives ones, or what an encoder gives."""

    def __init__(self, encoder: Encoder | None = None) -> None:
        self.go = threading.Event()
        self.passes: list[int] = []
        self.width = 2 if encoder is None else encoder.width
        self._encoder = encoder

    def encode_counted(self, texts: Sequence[str]) -> tuple[np.ndarray, list[int]]:
        self.go.wait(30)
        if "bad" in texts:
            raise RuntimeError("a secret of the model")
        self.passes.append(len(texts))
        if self._encoder is not None:
            return self._encoder.encode_counted(texts)
        return np.ones((len(texts), 2), dtype=np.float32), [1] * len(texts)


def waiting(address: str) -> int:
    return int(CLIENT.get(f"{address}/healthz").json()["waiting"])


def test_when_too_much_waits_requests_are_refused_and_the_others_answered() -> None:
    slow = Slow()
    with server(slow, limits=Limits(waiting=4)) as address, ThreadPoolExecutor(4) as pool:
        first = pool.submit(post, address, json={"input": ["a", "b"]})
        second = pool.submit(post, address, json={"input": ["c", "d"]})
        until = time.monotonic() + 20
        while waiting(address) < 4 and time.monotonic() < until:
            time.sleep(0.01)
        refused = post(address, json={"input": "e"})
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["error"]["type"] == "server_error"
        slow.go.set()
        assert first.result().status_code == second.result().status_code == 200
        assert post(address, json={"input": "e"}).status_code == 200
        assert waiting(address) == 0


def test_a_failing_model_is_an_answer_and_not_the_end(caplog: pytest.LogCaptureFixture) -> None:
    slow = Slow()
    slow.go.set()
    with server(slow) as address:
        answer = post(address, json={"input": "bad"})
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert post(address, json={"input": "good"}).status_code == 200
    assert "the model failed on a request of 1 texts" in caplog.text


def test_a_client_that_goes_in_the_middle_of_its_body_leaves_no_trace(
    encoder: Encoder, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with server(encoder) as address:
        port = int(address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(
                b'POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{"in'
            )
        until = time.monotonic() + 20
        gone = 'trine_requests_total{status="400"} 1.0'
        while gone not in CLIENT.get(f"{address}/metrics").text and time.monotonic() < until:
            time.sleep(0.01)
        assert gone in CLIENT.get(f"{address}/metrics").text
        assert post(address, json={"input": "a", "model": None}).status_code == 200
    assert "Traceback" not in caplog.text
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("batch_texts", [256, 0])
def test_joined_requests_get_the_vectors_of_single_ones(encoder: Encoder, batch_texts: int) -> None:
    generator = np.random.default_rng(0)
    words = "bank card loan rate cat dog bird rain snow red blue".split()
    asked = [
        [" ".join(generator.choice(words, int(n))) for n in generator.integers(1, 12, size=3)]
        for _ in range(24)
    ]
    slow = Slow(encoder)
    with server(slow, batch_texts=batch_texts) as address, ThreadPoolExecutor(24) as pool:
        sent = [pool.submit(post, address, json={"input": texts}) for texts in asked]
        until = time.monotonic() + 20
        while waiting(address) < 72 and time.monotonic() < until:
            time.sleep(0.01)
        slow.go.set()  # the first pass was held until all had come
        answers = [one.result().json() for one in sent]
        page = CLIENT.get(f"{address}/metrics").text
    for texts, answer in zip(asked, answers, strict=True):
        got = np.array([item["embedding"] for item in answer["data"]])
        alone = np.concatenate([encoder.encode([text]) for text in texts])
        np.testing.assert_allclose(got, alone, atol=1e-5)
        assert answer["usage"]["total_tokens"] == sum(len(text.split()) + 2 for text in texts)
    passes = float(page.split("trine_pass_requests_count ")[1].split()[0])
    assert passes == len(slow.passes)
    assert passes == 24 if batch_texts == 0 else passes < 24
