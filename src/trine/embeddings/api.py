"""Vectors of any OpenAI-compatible embeddings endpoint, with every answer kept.

Answers are stored in one SQLite file as they come, keyed by endpoint, model and text, so that a
failure loses nothing and nothing is paid for twice. The key is read from the environment by the
`openai` package and is neither printed nor stored; that package also retries with growing pauses.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
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

__all__ = ["KEY", "ApiModel", "Estimate"]

KEY = "OPENAI_API_KEY"

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
      batch: texts in one request.
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
        address = urlsplit(base_url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise UsageError(f"endpoint {base_url!r}", accepted="http(s)://HOST/v1")
        self.is_local = address.hostname in ("localhost", "127.0.0.1", "::1")
        if not os.environ.get(KEY) and not self.is_local:
            raise UsageError(f"no key for {address.hostname}", hint=f"set {KEY} in the environment")
        self.base_url, self.model, self.batch = base_url.rstrip("/"), model, batch
        self._timeout, self._retries = timeout, retries
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
        """The distinct texts that are not kept yet."""
        distinct = list(dict.fromkeys(texts))
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
          DataError: if the endpoint fails for good or answers something else; what was fetched
            before is kept.
        """
        import openai

        missing = self.missing(texts)
        client = openai.OpenAI(
            base_url=self.base_url,
            api_key=os.environ.get(KEY) or "none",
            timeout=self._timeout,
            max_retries=self._retries,
        )
        with client:
            for start in range(0, len(missing), self.batch):
                batch = missing[start : start + self.batch]
                self._keep(batch, self._fetch(client, batch))
                if advance is not None:
                    advance(len(batch))
        keys = [self._key(text) for text in texts]
        with closing(self._open()) as store:
            kept = {
                key: np.frombuffer(vector, dtype="<f4")
                for key in dict.fromkeys(keys)
                for (vector,) in store.execute("select vector from vectors where key = ?", (key,))
            }
        return np.stack([kept[key] for key in keys]) if keys else np.zeros((0, 0), np.float32)

    def _keep(self, batch: Sequence[str], vectors: Sequence[np.ndarray]) -> None:
        rows = [
            (self._key(t), v.astype("<f4").tobytes()) for t, v in zip(batch, vectors, strict=True)
        ]
        with closing(self._open()) as store, store:
            store.executemany("insert or replace into vectors values (?, ?)", rows)

    def _fetch(self, client: openai.OpenAI, batch: Sequence[str]) -> list[np.ndarray]:
        import openai

        try:
            answer: Any = client.embeddings.create(
                model=self.model, input=list(batch), encoding_format="float"
            )
            ordered = sorted(answer.data, key=lambda item: item.index)
            vectors = [np.asarray(item.embedding, dtype=np.float32) for item in ordered]
        except openai.OpenAIError as error:
            reason = _reason(error)
            raise DataError(
                f"{self.base_url} failed: {reason}",
                hint="what was fetched is kept; run the same command again to go on",
            ) from None  # the cause may carry the request with its key
        except (AttributeError, TypeError, ValueError) as error:
            raise self._garbage(str(error)) from None
        widths = {len(vector) for vector in vectors}
        if len(vectors) != len(batch) or len(widths) != 1 or 0 in widths:
            raise self._garbage(f"{len(vectors)} vectors for {len(batch)} texts")
        if not all(np.isfinite(vector).all() for vector in vectors):
            raise self._garbage("numbers that are not finite")
        return vectors

    def _garbage(self, what: str) -> DataError:
        return DataError(
            f"{self.base_url} did not answer with embeddings ({what[:120]})",
            hint="is it an OpenAI-compatible /v1 address? what was fetched is kept",
        )


def _reason(error: Exception) -> str:
    status = getattr(error, "status_code", None)
    first = str(error).strip().splitlines()[0][:160] if str(error).strip() else ""
    secret = os.environ.get(KEY)
    if secret:
        first = first.replace(secret, "***")
    return f"{type(error).__name__}{f' {status}' if status else ''}: {first}"
