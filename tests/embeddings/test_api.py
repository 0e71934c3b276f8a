"""An endpoint that fails in every way, on a real port; what was fetched is kept."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trine.core.errors import DataError, UsageError
from trine.embeddings import api
from trine.embeddings.api import ApiModel

SECRET = "sk-very-secret-0123456789"


def vector(text: str) -> list[float]:
    return [float(len(text)), 1.0, 0.0]


class Fake:
    """Answers well unless the next thing in `plan` says otherwise."""

    def __init__(self) -> None:
        self.plan: list[str] = []
        self.batches: list[list[str]] = []
        self.keys: list[str] = []

    def answer(self, texts: list[str]) -> tuple[int, bytes]:
        step = self.plan.pop(0) if self.plan else "good"
        if step == "slow":
            time.sleep(1.0)
        if step == "500":
            return 500, b'{"error": {"message": "try later"}}'
        if step == "400":
            return 400, json.dumps({"error": {"message": f"bad key {SECRET}"}}).encode()
        if step == "long 400":  # where a message is cut, the key is in the way
            message = "x" * 90 + f" Incorrect API key provided: {SECRET}"
            return 400, json.dumps({"error": {"message": message}}).encode()
        if step == "small" and len(texts) > 1:
            self.plan.insert(0, "small")
            return 413, b'{"error": {"message": "at most 1 text"}}'
        if step == "long" and any("endless" in text for text in texts):
            self.plan.insert(0, "long")
            message = f"at most 8192 tokens, Bearer {SECRET}"
            return 400, json.dumps({"error": {"message": message}}).encode()
        if step == "long":
            self.plan.insert(0, "long")
        if step == "html":
            return 200, b"<html>hello</html>"
        if step == "other":
            return 200, b'{"answer": 42}'
        self.batches.append(texts)
        data = [{"object": "embedding", "index": i, "embedding": vector(t)}
                for i, t in enumerate(texts)]  # fmt: skip
        if step == "few":
            data = data[:-1]
        if step == "ragged":
            data[0]["embedding"] = [1.0]
        if step == "words":
            data[0]["embedding"] = ["a", "b", "c"]
        if step == "key":
            data[0]["embedding"] = [SECRET, "b", "c"]
        if step == "null":
            data[0]["embedding"] = None
        if step == "sevens":
            data = [{**one, "index": 7} for one in data]
        if step == "wide":
            data = [{**one, "embedding": [1.0, 2.0, 3.0, 4.0]} for one in data]
        if step == "nan":
            data[0]["embedding"] = [float("nan"), 1.0, 0.0]
        if step == "reversed":
            data = data[::-1]
        document = {"object": "list", "data": data, "model": "m",
                    "usage": {"prompt_tokens": 1, "total_tokens": 1}}  # fmt: skip
        return 200, json.dumps(document).encode()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    made = Fake()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            made.keys.append(self.headers["authorization"])
            status, content = made.answer(body["input"])
            try:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                pass  # the client had enough of waiting

        def log_message(self, *_: object, **__: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv(api.KEY, SECRET)
    # The package's own pauses between retries are half a second and more.
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.02)
    made.url = f"http://127.0.0.1:{server.server_port}/v1"  # type: ignore[attr-defined]
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def model(fake: Any, folder: Path, **options: Any) -> ApiModel:
    return ApiModel(fake.url, "m", folder / "vectors.sqlite", batch=2, **options)


def test_vectors_come_in_order_and_are_fetched_once(fake: Any, tmp_path: Path) -> None:
    texts = ["a", "bbb", "a", "cc", "dddd"]
    fake.plan = ["reversed"]
    first = model(fake, tmp_path).encode(texts)
    np.testing.assert_array_equal(first, np.array([vector(t) for t in texts], dtype=np.float32))
    assert fake.batches == [["a", "bbb"], ["cc", "dddd"]]
    again = model(fake, tmp_path)  # a new process would do the same
    assert again.estimate([*texts, "eeeee" * 8]).texts == 1
    np.testing.assert_array_equal(again.encode(texts), first)
    assert len(fake.batches) == 2
    assert model(fake, tmp_path).encode([]).shape == (0, 0)


def test_what_passes_is_tried_again(fake: Any, tmp_path: Path) -> None:
    fake.plan = ["500", "500"]
    assert model(fake, tmp_path).encode(["a"]).tolist() == [vector("a")]
    fake.plan = ["slow"]
    assert model(fake, tmp_path, timeout=0.3).encode(["bb"]).tolist() == [vector("bb")]


def test_a_batch_that_is_too_large_for_them_is_halved(fake: Any, tmp_path: Path) -> None:
    asked = ApiModel(fake.url, "m", tmp_path / "vectors.sqlite", batch=4)
    fake.plan = ["small"]  # until a single text is sent
    texts = ["a", "bb", "ccc", "dddd"]
    assert asked.encode(texts).tolist() == [vector(text) for text in texts]
    assert fake.batches == [["a"], ["bb"], ["ccc", "dddd"]]


def test_of_a_batch_with_a_text_that_is_refused_the_others_are_kept(
    fake: Any, tmp_path: Path
) -> None:
    asked = ApiModel(fake.url, "m", tmp_path / "vectors.sqlite", batch=8)
    texts = ["a", "bb", "ccc", "an endless text", "dddd"]
    fake.plan = ["long"]
    with pytest.raises(DataError, match=r"refused a text \(400\): at most 8192 tokens") as caught:
        asked.encode(texts)
    assert "the text begins 'an endless text'; " in str(caught.value)
    assert str(caught.value).endswith("what was fetched is kept")
    assert "check the key" not in str(caught.value)
    assert SECRET[:10] not in str(caught.value)
    assert fake.batches == [["a", "bb"], ["ccc"]]
    assert asked.missing(texts) == ["an endless text", "dddd"]


def test_long_texts_are_cut_said_and_kept_as_they_were_sent(
    fake: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = ApiModel(fake.url, "m", tmp_path / "vectors.sqlite")
    start = "é" * (api.LONGEST // 2)  # two bytes each
    texts = [start + " and more", start, "x" + start, "x" + start + "y", "short"]
    with caplog.at_level("WARNING"):
        got = asked.encode(texts)
    # A letter is not cut in two: one byte of the last is left out.
    sent = [start, "x" + start[:-1], "short"]
    assert fake.batches == [sent]
    lengths = [[float(len(sent[i]))] for i in (0, 0, 1, 1, 2)]
    np.testing.assert_array_equal(got[:, :1], lengths)
    assert "m: 3 texts of more than 24000 bytes cut there" in caplog.text
    assert asked.missing(texts) == []
    assert asked.estimate(["z" * 10 * api.LONGEST]).tokens == api.LONGEST // 4
    asked.encode(texts)
    assert len(fake.batches) == 1


def test_a_request_is_bounded_by_bytes_too(fake: Any, tmp_path: Path) -> None:
    asked = ApiModel(fake.url, "m", tmp_path / "vectors.sqlite")
    texts = [f"{i:03}" + "x" * (api.LONGEST - 3) for i in range(20)]
    asked.encode(texts)
    assert [len(batch) for batch in fake.batches] == [16, 4]  # 16 of 24,000 bytes are 384,000
    assert [text for batch in fake.batches for text in batch] == texts


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("500", "InternalServerError 500"), ("slow", "APITimeoutError"), ("400", "400"),
        ("html", "did not answer with embeddings"), ("other", "did not answer with embeddings"),
        ("few", "1 vectors for 2 texts"), ("ragged", "did not answer"), ("words", "did not answer"),
        ("nan", "not finite"), ("long 400", r"API key provided: \*"), ("key", r"'\*\*\*'"),
        ("null", "no list of numbers"), ("sevens", "an index that is missing or there twice"),
        ("wide", "3 numbers, then one of 4"),
    ],
)  # fmt: skip
def test_a_failure_for_good_keeps_what_was_fetched(
    fake: Any, tmp_path: Path, step: str, words: str
) -> None:
    fake.plan = ["good", *[step] * 2]
    asked = model(fake, tmp_path, retries=1, timeout=0.3)
    with pytest.raises(DataError, match=words) as caught:
        asked.encode(["a", "bb", "ccc", "dddd"])
    assert "--cache" in str(caught.value) or "what was fetched is kept" in str(caught.value)
    assert SECRET[:10] not in str(caught.value)
    assert asked.missing(["a", "bb", "ccc", "dddd"]) == ["ccc", "dddd"]
    fake.plan = []
    assert asked.encode(["a", "ccc"]).tolist() == [vector("a"), vector("ccc")]
    for file in tmp_path.iterdir():
        assert SECRET.encode() not in file.read_bytes()
    assert set(fake.keys) == {f"Bearer {SECRET}"}


def test_an_endpoint_of_another_width_is_not_mixed_in(fake: Any, tmp_path: Path) -> None:
    model(fake, tmp_path).encode(["a"])
    fake.plan = ["wide"]
    for texts in (["a", "bb"], ["a", "bb"]):  # not once only: nothing of it was kept
        again = model(fake, tmp_path)
        with pytest.raises(DataError, match=r"remove .*vectors\.sqlite, or name another file"):
            again.encode(texts)
        fake.plan = ["wide"]
    assert model(fake, tmp_path).missing(["a", "bb"]) == ["bb"]
    # What an older version kept of both is said too.
    fake.plan = ["wide"]
    model(fake, tmp_path).encode(["bb"])
    with pytest.raises(DataError, match="3 numbers, then one of 4"):
        model(fake, tmp_path).encode(["a", "bb"])


def test_a_password_in_the_address_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(api.KEY, raising=False)
    here = ApiModel("http://me:pa55@127.0.0.1:9/v1?key=pa55", "m", tmp_path / "v.sqlite", retries=0)
    assert here.shown == "http://127.0.0.1:9/v1"
    with pytest.raises(DataError, match=r"http://127.0.0.1:9/v1 failed") as failed:
        here.encode(["a"])
    assert "pa55" not in str(failed.value)
    for url in ("http://me:pa55/x@host/v1", "me:pa55@host/v1", "htp://me:pa55@host/v1"):
        with pytest.raises(UsageError, match="host/v1'; accepted: http") as wrong:
            ApiModel(url, "m", tmp_path / "v.sqlite")
        assert "pa55" not in str(wrong.value)


def test_no_server_is_an_error_of_one_line(tmp_path: Path) -> None:
    nowhere = ApiModel("http://127.0.0.1:9/v1", "m", tmp_path / "v.sqlite", retries=0)
    with pytest.raises(DataError, match=r"127.0.0.1:9/v1 failed: APIConnectionError"):
        nowhere.encode(["a"])


def test_another_model_or_address_is_not_mistaken(fake: Any, tmp_path: Path) -> None:
    model(fake, tmp_path).encode(["a"])
    other = ApiModel(fake.url, "another", tmp_path / "vectors.sqlite")
    assert other.missing(["a"]) == ["a"]


def test_cost_is_known_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(api.KEY, SECRET)
    paid = ApiModel("https://example.org/v1", "text-embedding-ada-002", tmp_path / "v.sqlite")
    estimate = paid.estimate(["x" * 400] * 3 + ["y" * 400])
    # Two distinct texts of 100 tokens at $0.10 a million.
    assert (estimate.texts, estimate.tokens) == (2, 200)
    assert estimate.dollars == pytest.approx(2e-5)
    assert str(estimate) == "2 texts to fetch, about 200 tokens, about $0.0000"
    unknown = ApiModel("https://example.org/v1", "m", tmp_path / "v.sqlite")
    assert "price unknown" in str(unknown.estimate(["a"]))


def test_addresses_and_keys_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(api.KEY, raising=False)
    for url in ("example.org/v1", "ftp://example.org", "http://", "http://a:b/v1", "http://[::1"):
        with pytest.raises(UsageError, match="accepted: http"):
            ApiModel(url, "m", tmp_path / "v.sqlite")
    with pytest.raises(UsageError, match="set OPENAI_API_KEY"):
        ApiModel("https://example.org/v1", "m", tmp_path / "v.sqlite")
    assert ApiModel("http://localhost:1/v1", "m", tmp_path / "v.sqlite").is_local


def test_a_cache_that_is_no_cache_is_said(tmp_path: Path) -> None:
    (tmp_path / "v.sqlite").write_text("something else, long enough to be looked at by SQLite" * 9)
    with pytest.raises(DataError, match=r"v\.sqlite"):
        ApiModel("http://localhost:1/v1", "m", tmp_path / "v.sqlite")
