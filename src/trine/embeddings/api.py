"""Vectors of any OpenAI-compatible embeddings endpoint, with every answer kept.

Answers are stored in one SQLite file as they come, keyed by endpoint, model and text, so that a
failure loses nothing and nothing is paid for twice. The key is read from the environment and is
neither printed nor stored, nor is a password in the address. The `openai` package retries with
growing pauses.

A text is sent up to `LONGEST` bytes; what is kept is keyed by the text as it was sent. A request
holds a number of texts and at most `_REQUEST` bytes of them; one that is refused is sent again in
halves, until the text is found that the endpoint does not take.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from trine.core.artifacts import make_directory
from trine.core.errors import DataError, UsageError
from trine.core.extras import require

if TYPE_CHECKING:
    import openai

__all__ = ["KEY", "LONGEST", "ApiModel", "Estimate"]

KEY = "OPENAI_API_KEY"
LONGEST = 24_000
"""UTF-8 bytes of a text that are sent: about 6,000 tokens of English, and most endpoints take 8,000
tokens. What follows is cut off, and said."""
_REQUEST = 400_000
"""UTF-8 bytes of the texts of one request: about 100,000 tokens; OpenAI takes 300,000."""
_REFUSED = (400, 413, 422)
"""What endpoints answer to a text, or to texts together, that are too long for them."""
_LOG = logging.getLogger(__name__)

# US dollars per million tokens, as published by the maker in 2024 and 2025.
PRICES = {
    "text-embedding-3-small": 0.02,
    "text-embedding-3-large": 0.13,
    "text-embedding-ada-002": 0.10,
}


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a call would cost.

    Attributes:
      texts: not yet kept.
      tokens: about; a quarter of the UTF-8 bytes.
      dollars: at the published price; None: no price is known.
    """

    texts: int
    tokens: int
    dollars: float | None

    def __str__(self) -> str:
        """One line for the user."""
        price = "price unknown" if self.dollars is None else f"about ${self.dollars:.4f}"
        return f"{self.texts:,} texts to fetch, about {self.tokens:,} tokens, {price}"


class ApiModel:
    """An embeddings endpoint.

    Args:
      base_url: e.g. `https://api.openai.com/v1` or `http://127.0.0.1:8000/v1`.
      model: name of the model there.
      cache: the SQLite file.
      batch: most texts in one request.
      timeout: seconds for one request.
      retries: after failures that may pass.

    Raises:
      UsageError: if the address is no address, or the key is missing for a host that is not here.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        cache: Path,
        *,
        batch: int = 128,
        timeout: float = 60.0,
        retries: int = 5,
    ) -> None:
        require("api", "an embeddings endpoint")
        self.shown = _without_secrets(base_url)
        host = _host(base_url)
        if not host:
            raise UsageError(f"endpoint {self.shown!r}", accepted="http(s)://HOST/v1")
        self.is_local = host in ("localhost", "127.0.0.1", "::1")
        if not os.environ.get(KEY) and not self.is_local:
            raise UsageError(f"no key for {host}", hint=f"set {KEY} in the environment")
        self.base_url, self.model, self.batch = base_url.rstrip("/"), model, batch
        self._timeout, self._retries = timeout, retries
        self._width = 0
        make_directory(cache.parent)
        self._cache = cache
        try:
            with closing(self._open()) as store, store:
                store.execute(
                    "create table if not exists vectors (key text primary key, vector blob)"
                )
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"{cache} is not a file of kept vectors: {error}", hint="name another: --cache"
            ) from error

    def _open(self) -> sqlite3.Connection:
        try:
            return sqlite3.connect(self._cache)
        except sqlite3.Error as error:
            raise DataError(f"cannot open {self._cache}: {error}") from error

    def _key(self, text: str) -> str:
        whole = "\0".join((self.base_url, self.model, text))
        return hashlib.sha256(whole.encode()).hexdigest()

    def missing(self, texts: Iterable[str]) -> list[str]:
        """The distinct texts, as they would be sent, that are not kept yet."""
        distinct = list(dict.fromkeys(map(_cut, texts)))
        with closing(self._open()) as store:
            kept = {row[0] for row in store.execute("select key from vectors")}
        return [text for text in distinct if self._key(text) not in kept]

    def estimate(self, texts: Iterable[str]) -> Estimate:
        """What fetching the texts that are not kept would take."""
        missing = self.missing(texts)
        tokens = sum(max(1, len(text.encode()) // 4) for text in missing)
        price = 0.0 if self.is_local else PRICES.get(self.model)
        dollars = None if price is None else tokens / 1e6 * price
        return Estimate(len(missing), tokens, dollars)

    def encode(
        self, texts: Sequence[str], advance: Callable[[int], None] | None = None
    ) -> np.ndarray:
        """`[n, width]` vectors; what is not kept is fetched and kept batch by batch.

        Raises:
          DataError: if the endpoint fails for good, refuses a text, answers something else, or
            changes the width of its vectors; what was fetched before is kept.
        """
        import openai

        whole, texts = texts, [_cut(text) for text in texts]
        if cut := len({given for given, sent in zip(whole, texts, strict=True) if given != sent}):
            _LOG.warning(
                "%s: %d text%s of more than %d bytes cut there",
                self.model, cut, "s" * (cut > 1), LONGEST,
            )  # fmt: skip
        missing = self.missing(texts)
        # Before anything is fetched: what a changed endpoint sends must not join what is kept.
        kept = self._kept(texts)
        client = openai.OpenAI(
            base_url=self.base_url,
            api_key=os.environ.get(KEY) or "none",
            timeout=self._timeout,
            max_retries=self._retries,
        )
        with client:
            for batch in _batches(missing, self.batch):
                for part, vectors in self._fetched(client, batch):
                    self._same_width(vectors)
                    self._keep(part, vectors)
                    kept.update(zip(part, vectors, strict=True))
                    if advance is not None:
                        advance(len(part))
        return np.stack([kept[text] for text in texts]) if texts else np.zeros((0, 0), np.float32)

    def _kept(self, texts: Iterable[str]) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        with closing(self._open()) as store:
            for text in dict.fromkeys(texts):
                query = store.execute(
                    "select vector from vectors where key = ?", (self._key(text),)
                )
                for (vector,) in query:
                    found[text] = np.frombuffer(vector, dtype="<f4")
        self._same_width(found.values())
        return found

    def _same_width(self, vectors: Iterable[np.ndarray]) -> None:
        for vector in vectors:
            self._width = self._width or len(vector)
            if len(vector) != self._width:
                raise DataError(
                    f"{self.shown}, model {self.model}: vectors of {self._width} numbers, then "
                    f"one of {len(vector)}",
                    hint=f"is it another model now? remove {self._cache}, or name another file: "
                    "--cache",
                )

    def _keep(self, batch: Sequence[str], vectors: Sequence[np.ndarray]) -> None:
        rows = [
            (self._key(t), v.astype("<f4").tobytes()) for t, v in zip(batch, vectors, strict=True)
        ]
        with closing(self._open()) as store, store:
            store.executemany("insert or replace into vectors values (?, ?)", rows)

    def _fetched(
        self, client: openai.OpenAI, batch: Sequence[str]
    ) -> Iterator[tuple[Sequence[str], list[np.ndarray]]]:
        """The batch in as many parts as the endpoint wants, each with its vectors."""
        import openai

        try:
            yield batch, self._fetch(client, batch)
        except openai.APIStatusError as error:
            if len(batch) == 1:
                start = _masked(batch[0])[:60]
                raise DataError(
                    f"{self.shown} refused a text ({error.status_code}): {_answer(error)}",
                    hint=f"the text begins {start!r}; if it looks well, check the model's name; "
                    "what was fetched is kept",
                ) from None  # the cause may carry the request with its key
            half = len(batch) // 2
            yield from self._fetched(client, batch[:half])
            yield from self._fetched(client, batch[half:])

    def _fetch(self, client: openai.OpenAI, batch: Sequence[str]) -> list[np.ndarray]:
        """The vectors of a batch; raises `openai.APIStatusError` if the batch itself is refused."""
        import openai

        try:
            answer: Any = client.embeddings.create(
                model=self.model, input=list(batch), encoding_format="float"
            )
            ordered = sorted(answer.data, key=lambda item: item.index)
            places = [item.index for item in ordered]
            vectors = [np.asarray(item.embedding, dtype=np.float32) for item in ordered]
        except openai.OpenAIError as error:
            status = getattr(error, "status_code", None)
            if status in _REFUSED:
                raise
            wrong = isinstance(status, int) and 400 <= status < 500 and status not in (408, 429)
            then = (
                "check the key, the model's name and the address"
                if wrong
                else ("run the same command again to go on")
            )
            raise DataError(
                f"{self.shown} failed: {_reason(error)}", hint=f"what was fetched is kept; {then}"
            ) from None  # the cause may carry the request with its key
        except (AttributeError, TypeError):
            raise self._garbage("an answer of another form") from None
        except ValueError as error:
            raise self._garbage(str(error)) from None
        if any(vector.ndim != 1 for vector in vectors):
            raise self._garbage("an embedding that is no list of numbers")
        widths = {len(vector) for vector in vectors}
        if len(vectors) != len(batch) or len(widths) != 1 or 0 in widths:
            raise self._garbage(f"{len(vectors)} vectors for {len(batch)} texts")
        if places != list(range(len(batch))):
            raise self._garbage("an index that is missing or there twice")
        if not all(np.isfinite(vector).all() for vector in vectors):
            raise self._garbage("numbers that are not finite")
        return vectors

    def _garbage(self, what: str) -> DataError:
        return DataError(
            f"{self.shown} did not answer with embeddings ({_masked(what)[:120]})",
            hint="is it an OpenAI-compatible /v1 address? what was fetched is kept",
        )


def _reason(error: Exception) -> str:
    status = getattr(error, "status_code", None)
    text = _masked(str(error)).strip()
    first = text.splitlines()[0][:160] if text else ""
    return f"{type(error).__name__}{f' {status}' if status else ''}: {first}"


def _answer(error: openai.APIStatusError) -> str:
    """What the server said, in its own words."""
    said = error.body.get("message") if isinstance(error.body, dict) else None
    return _masked(str(said or error))[:300]


def _masked(text: str) -> str:
    # Before anything is cut off: of a key that the cut goes through, the rest would stay.
    secret = os.environ.get(KEY)
    return text.replace(secret, "***") if secret else text


def _cut(text: str) -> str:
    if 4 * len(text) <= LONGEST:
        return text
    return text.encode()[:LONGEST].decode(errors="ignore")


def _batches(texts: Iterable[str], most: int) -> Iterator[list[str]]:
    """Texts in their order, at most so many together and at most `_REQUEST` bytes."""
    batch: list[str] = []
    size = 0
    for text in texts:
        length = len(text.encode())
        if batch and (len(batch) == most or size + length > _REQUEST):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += length
    if batch:
        yield batch


def _host(url: str) -> str:
    """The host of an address; empty: it is none."""
    try:
        address = urlsplit(url)
        _ = address.port  # read here: a wrong one raises only when it is asked for
    except ValueError:
        return ""
    return (address.hostname or "") if address.scheme in ("http", "https") else ""


def _without_secrets(url: str) -> str:
    """The address without its user and password, nor its query; also one that is not whole."""
    start, there, rest = url.partition("?")[0].rpartition("@")
    scheme, slashes, _ = start.partition("//")
    return _masked(f"{scheme}//{rest}" if there and slashes else rest)
