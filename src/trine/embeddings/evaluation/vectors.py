"""Every text encoded once, then cut to any width: what all measures of an evaluation share.

Evaluations ask for the same texts many times (draws, metrics, widths). `TextVectors` encodes each
distinct text once at full width, sorted by length; `KnownVectors` gives the stored vectors to
MTEB's tasks through its encoder protocol, cut to a width and normalised again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from trine.embeddings.evaluation.kept_seeds import import_mteb

__all__ = ["KnownVectors", "TextVectors", "cut"]

Encode = Callable[[list[str]], np.ndarray]


def cut(vectors: np.ndarray, width: int | None) -> np.ndarray:
    """The first `width` numbers of each row, `[n, width]`, at length one; None: all of them."""
    short = vectors if width is None else vectors[:, :width]
    length = np.linalg.norm(short, axis=1, keepdims=True)
    return (short / np.maximum(length, 1e-12)).astype(np.float32)


class TextVectors:
    """Vectors of texts, made once each.

    Args:
      encode: texts to `[n, width]`.
      width: of the vectors; None: learned from the first call.
    """

    def __init__(self, encode: Encode, width: int | None = None) -> None:
        self._encode = encode
        self._place: dict[str, int] = {}
        self._rows: list[np.ndarray] = []
        self._stacked: np.ndarray | None = None
        self._width = width

    def __len__(self) -> int:
        return len(self._place)

    @property
    def width(self) -> int:
        """Of the stored vectors."""
        if self._width is None:
            self.add(["width"])
        assert self._width is not None
        return self._width

    def add(self, texts: Iterable[str]) -> None:
        """Encodes the texts that are not there yet."""
        new = [text for text in dict.fromkeys(texts) if text not in self._place]
        if not new:
            return
        vectors = np.asarray(self._encode(new), dtype=np.float32)
        self._width = vectors.shape[1]
        start = len(self._place)
        self._place.update({text: start + i for i, text in enumerate(new)})
        self._rows.append(vectors)
        self._stacked = None

    def get(self, texts: Sequence[str], width: int | None = None) -> np.ndarray:
        """`[n, width]` vectors of length one, encoded now if need be."""
        if not len(texts):
            return np.zeros((0, width or self.width), dtype=np.float32)
        self.add(texts)
        if self._stacked is None:
            self._stacked = np.concatenate(self._rows)
            self._rows = [self._stacked]
        return cut(self._stacked[[self._place[text] for text in texts]], width)


class KnownVectors:
    """Stored vectors in the form of an MTEB encoder.

    Args:
      vectors: the store.
      width: of the vectors that MTEB sees.
      name: of the model, for MTEB's records.
    """

    def __init__(self, vectors: TextVectors, width: int | None, name: str = "trine/model") -> None:
        import_mteb()
        from mteb.models.model_meta import ModelMeta

        self._vectors = vectors
        self._width = width
        self._meta = ModelMeta.create_empty({"name": name if "/" in name else f"trine/{name}"})

    def of(self, texts: Sequence[str]) -> np.ndarray:
        """`[n, width]` vectors of texts."""
        return self._vectors.get(texts, self._width)

    def encode(self, inputs: Any, **_: Any) -> np.ndarray:
        """`[n, width]` vectors of the texts of a data loader of MTEB."""
        return self.of([text for batch in inputs for text in batch["text"]])

    def similarity(self, first: Any, second: Any) -> Any:
        """`[n, m]` cosines."""
        from sentence_transformers.util import cos_sim

        return cos_sim(first, second)

    def similarity_pairwise(self, first: Any, second: Any) -> Any:
        """`[n]` cosines of rows."""
        from sentence_transformers.util import pairwise_cos_sim

        return pairwise_cos_sim(first, second)

    @property
    def mteb_model_meta(self) -> Any:
        """What MTEB wants to know of a model."""
        return self._meta
