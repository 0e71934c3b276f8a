"""The FastAPI application: `/v1/embeddings`, `/v1/models`, `/healthz`, `/metrics`.

Errors have OpenAI's form, `{"error": {"message", "type", "code"}}`, so that its clients show the
message. The key, if one is set, is compared in constant time and never logged.
"""

# FastAPI reads the annotations of handlers: they must be real names here, not strings.

import hmac
import json
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

import trine
from trine.embeddings.evaluation.vectors import cut
from trine.embeddings.serving.batching import Batcher, QueueFullError
from trine.embeddings.serving.schemas import EmbeddingRequest, Limits, encoded

__all__ = ["create_app"]

_LOG = logging.getLogger(__name__)


class Served(Protocol):
    """What is served: `trine.embeddings.inference.Encoder` is one."""

    @property
    def width(self) -> int:
        """Of the vectors."""
        ...

    def encode_counted(self, texts: Sequence[str]) -> tuple[np.ndarray, list[int]]:
        """`[n, width]` vectors, and the number of tokens of each text."""
        ...


class _Refused(Exception):
    def __init__(self, status: int, message: str, code: str) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


def create_app(
    encoder: Served,
    name: str,
    *,
    key: str = "",
    limits: Limits | None = None,
    batch_texts: int = 256,
) -> FastAPI:
    """The application.

    Args:
      encoder: see `Served`.
      name: of the model in answers.
      key: that clients must send as a bearer token; empty: none.
      limits: of requests.
      batch_texts: texts of different requests joined in one pass; 0: no dynamic batching.
    """
    bounds = limits or Limits()
    meters = _Meters()
    created = int(time.time())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        batcher = Batcher(
            encoder.encode_counted,
            most_texts=batch_texts,
            most_waiting=bounds.waiting,
            observe=meters.passed,
        )
        batcher.start()
        app.state.batcher = batcher
        yield
        await batcher.stop()

    # Without FastAPI's pages: they ask for no key and load their scripts from elsewhere.
    app = FastAPI(
        title="trine embeddings", version=trine.__version__, lifespan=lifespan,
        docs_url=None, redoc_url=None, openapi_url=None,
    )  # fmt: skip

    @app.exception_handler(_Refused)
    async def refused(_: Request, error: _Refused) -> JSONResponse:
        meters.requests.labels(status=str(error.status)).inc()
        return _error(error.status, error.message, error.code)

    @app.exception_handler(HTTPException)
    async def not_found(_: Request, error: HTTPException) -> JSONResponse:
        return _error(error.status_code, str(error.detail), "not_found")

    def check_key(request: Request) -> None:
        scheme, _, sent = request.headers.get("authorization", "").partition(" ")
        sent = sent.strip() if scheme.lower() == "bearer" else ""
        if key and not hmac.compare_digest(sent.encode(), key.encode()):
            raise _Refused(
                401, "wrong or missing API key (Authorization: Bearer ...)", "invalid_api_key"
            )

    @app.post("/v1/embeddings")
    async def embeddings(request: Request) -> JSONResponse:
        check_key(request)
        began = time.perf_counter()
        asked = _parse(await _body(request, bounds.body), bounds, encoder.width)
        texts = asked.texts
        try:
            vectors, counts = await request.app.state.batcher.encode(texts)
        except QueueFullError:
            raise _Refused(
                503, "too many texts are waiting; try again shortly", "overloaded"
            ) from None
        except Exception:
            _LOG.exception("the model failed on a request of %d texts", len(texts))
            raise _Refused(500, "the model failed on these texts", "model_failed") from None
        if asked.dimensions is not None:
            vectors = cut(vectors, asked.dimensions)
        tokens = sum(counts)
        meters.requests.labels(status="200").inc()
        meters.seconds.observe(time.perf_counter() - began)
        meters.tokens.inc(tokens)
        data = [
            {"object": "embedding", "index": i, "embedding": encoded(v, asked.encoding_format)}
            for i, v in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return JSONResponse({"object": "list", "data": data, "model": name, "usage": usage})

    @app.get("/v1/models")
    async def models(request: Request) -> dict[str, Any]:
        check_key(request)
        one = {"id": name, "object": "model", "created": created, "owned_by": "trine"}
        return {"object": "list", "data": [one]}

    @app.get("/healthz")
    async def healthz(request: Request) -> dict[str, Any]:
        batcher = request.app.state.batcher
        return {"status": "ok", "model": name, "width": encoder.width, "waiting": batcher.waiting}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(meters.text(), media_type="text/plain; version=0.0.4")

    return app


def _error(status: int, message: str, code: str) -> JSONResponse:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    content = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return JSONResponse(content, status, {"retry-after": "1"} if status == 503 else None)


async def _body(request: Request, most: int) -> bytes:
    # Counted as it comes: a length that is not declared, or declared wrongly, must not fill memory.
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise _Refused(413, f"the request has {declared} bytes; at most {most}", "too_large")
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise _Refused(413, f"the request has more than {most} bytes", "too_large")
            parts.append(part)
    except ClientDisconnect:  # nobody reads the answer, and it is no fault of ours
        raise _Refused(400, "the request broke off", "incomplete") from None
    return b"".join(parts)


def _parse(body: bytes, bounds: Limits, width: int) -> EmbeddingRequest:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise _Refused(400, "the body is not JSON", "invalid_json") from None
    if not isinstance(content, dict):
        raise _Refused(400, "the body is not a JSON object", "invalid_json")
    try:
        asked = EmbeddingRequest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        words = first["msg"].removeprefix("Value error, ")  # our own, with pydantic's head
        raise _Refused(400, f"{first['loc'][0]}: {words}", "invalid_value") from None
    texts = asked.texts
    if not texts or any(not text.strip() for text in texts):
        raise _Refused(400, "input: no text, or an empty one", "invalid_value")
    if not all(_is_unicode(text) for text in texts):
        raise _Refused(400, "input: half a surrogate pair is no text", "invalid_value")
    if len(texts) > bounds.texts:
        raise _Refused(413, f"input: {len(texts)} texts; at most {bounds.texts}", "too_large")
    longest = max(len(text) for text in texts)
    if longest > bounds.characters:
        raise _Refused(
            413, f"input: a text of {longest} characters; at most {bounds.characters}", "too_large"
        )
    if asked.dimensions is not None and asked.dimensions > width:
        raise _Refused(400, f"dimensions: {asked.dimensions}; at most {width}", "invalid_value")
    return asked


def _is_unicode(text: str) -> bool:
    # JSON can spell half a surrogate pair, which no tokenizer takes.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Meters:
    """Prometheus counters of one application (a registry of its own: tests make many)."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self.registry = CollectorRegistry()
        self.requests = Counter(
            "trine_requests", "Requests by status.", ["status"], registry=self.registry
        )
        self.tokens = Counter("trine_tokens", "Tokens encoded.", registry=self.registry)
        self.seconds = Histogram(
            "trine_request_seconds", "Time of a request, waiting included.", registry=self.registry
        )
        sizes = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
        self.texts = Histogram(
            "trine_pass_texts", "Texts in one pass of the model.", buckets=sizes,
            registry=self.registry,
        )  # fmt: skip
        self.joined = Histogram(
            "trine_pass_requests", "Requests joined in one pass.", buckets=sizes,
            registry=self.registry,
        )  # fmt: skip

    def passed(self, texts: int, requests: int) -> None:
        """One pass of the model."""
        self.texts.observe(texts)
        self.joined.observe(requests)

    def text(self) -> bytes:
        """All counters in Prometheus' text form."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)
