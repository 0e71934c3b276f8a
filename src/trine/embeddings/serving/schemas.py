"""Requests and answers of `/v1/embeddings`, as the OpenAI reference describes them."""

from __future__ import annotations

import base64
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["EmbeddingRequest", "Limits", "encoded"]


class Limits(BaseModel):
    """What one request may ask for.

    Attributes:
      texts: in one request.
      characters: of one text; longer ones are refused (shorter ones are cut by the tokenizer).
      body: bytes of a request.
      waiting: texts that may wait in all before requests are refused with 503.
    """

    model_config = ConfigDict(frozen=True)

    texts: int = Field(default=2048, ge=1)
    characters: int = Field(default=200_000, ge=1)
    body: int = Field(default=8 * 2**20, ge=1024)
    waiting: int = Field(default=20_000, ge=1)


class EmbeddingRequest(BaseModel):
    """The body of a request.

    Attributes:
      input: a text or several.
      model: a name; answered by the one model that is served, whatever is said.
      encoding_format: numbers, or little-endian float32 in base 64.
      dimensions: leading numbers to keep; None: all.
      user: ignored.
    """

    # Strict: true is no number of dimensions, and "5" is none either.
    model_config = ConfigDict(extra="ignore", strict=True)

    input: str | list[str]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(default=None, ge=1)
    user: str | None = None

    @field_validator("input", mode="before")
    @classmethod
    def _texts_only(cls, value: object) -> object:
        many = value if isinstance(value, list) else [value]
        if isinstance(value, list) and value and isinstance(value[0], int | list):
            raise ValueError("token ids are not accepted, because tokenizers differ; send texts")
        if not all(isinstance(one, str) for one in many):
            raise ValueError("should be a text or a list of texts")
        return value

    @property
    def texts(self) -> list[str]:
        """The texts, one or several."""
        return [self.input] if isinstance(self.input, str) else self.input


def encoded(vector: np.ndarray, form: Literal["float", "base64"] | None) -> list[float] | str:
    """One vector in the form that was asked for."""
    if form == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
    return [float(number) for number in vector]
