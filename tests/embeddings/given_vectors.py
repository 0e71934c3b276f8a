"""Vectors by text, for tests of measures: what is encoded is known, and so is how often."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.embeddings.evaluation.vectors import KnownVectors, TextVectors


class Given:
    """An encoder that looks texts up and counts how often each was asked for."""

    def __init__(self, vectors: dict[str, np.ndarray]) -> None:
        self.vectors = vectors
        self.asked: dict[str, int] = {}

    def __call__(self, texts: list[str]) -> np.ndarray:
        for text in texts:
            self.asked[text] = self.asked.get(text, 0) + 1
        return np.stack([self.vectors[text] for text in texts]).astype(np.float32)

    def known(self, width: int | None = None) -> KnownVectors:
        """As the measures take it."""
        return KnownVectors(TextVectors(self), width)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length one."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def clouds(labels: Sequence[int], width: int = 6, noise: float = 0.6, seed: int = 0) -> np.ndarray:
    """`[n, width]` unit vectors around a centre for each label."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(labels) + 1, width))
    return unit(centres[list(labels)] + noise * rng.standard_normal((len(labels), width)))


def named(vectors: np.ndarray, prefix: str = "t") -> tuple[list[str], Given]:
    """Texts with these vectors, and their encoder."""
    texts = [f"{prefix}{i}" for i in range(len(vectors))]
    return texts, Given(dict(zip(texts, vectors, strict=True)))
