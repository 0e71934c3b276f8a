"""Texts to vectors, fast on a CPU: batches of equal length under a token budget.

Padding is wasted work. Texts are tokenised first, sorted by their number of tokens, and cut into
batches of like length whose *padded* size stays under a budget of tokens, so that short texts go
many at a time and long ones few. Any back end that maps token arrays to vectors can stand behind
it: PyTorch here, ONNX Runtime in `trine.embeddings.onnx_export`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = [
    "PASS_COST",
    "TOKEN_BUDGET",
    "Backend",
    "Encoder",
    "TorchBackend",
    "batches_by_length",
    "encoder_named",
    "first_module",
    "model_prefix",
    "open_encoder",
]

# Padded tokens in a batch. Measured on two AVX2 cores: flat between 1,000 and 4,000.
TOKEN_BUDGET = 2_048

# What one more batch costs, in tokens: the fixed work of a pass.
PASS_COST = 96

# The same two for an accelerator, which is idle with small batches.
_GPU_TOKEN_BUDGET = 65_536
_GPU_PASS_COST = 4_096

# Texts tokenised at once: bounds the memory of a long stream.
_CHUNK = 8_192


class Backend(Protocol):
    """What turns one padded batch into vectors."""

    @property
    def width(self) -> int:
        """Of the vectors."""
        ...

    def run(self, tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """`[B, L]` int64 token ids and mask (1: a token, 0: padding) to `[B, width]` float32."""
        ...


def batches_by_length(
    lengths: Sequence[int], budget: int, cost: int = PASS_COST
) -> Iterator[np.ndarray]:
    """Indices of texts in batches of like length, longest first.

    Sorted by length, the texts are cut where that saves padding (exactly: see
    `trine.embeddings.losses.packing.length_pieces`), then where a batch outgrows the budget.

    Args:
      lengths: tokens of each text.
      budget: most rows times the longest row; a single longer text is a batch of its own.
      cost: of one batch more, in tokens.
    """
    from trine.embeddings.losses.packing import length_pieces

    sizes = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(sizes, kind="stable")
    for begin, end in reversed(length_pieces(sizes[order], cost)):
        longest = int(sizes[order[end - 1]])
        rows = max(1, budget // max(1, longest))
        for stop in range(end, begin, -rows):
            yield order[max(begin, stop - rows) : stop][::-1]


def first_module(model: SentenceTransformer) -> Any:
    """The transformer of a model (typed loosely: its class differs between bases)."""
    return model[0]


def model_prefix(model: SentenceTransformer) -> str:
    """What the model puts before every text unless told otherwise."""
    prompts = dict(model.prompts or {})
    return str(prompts.get(model.default_prompt_name or "", "") or "")


class TorchBackend:
    """A sentence-transformers model, its modules called directly.

    Args:
      model: Transformer, Pooling and what follows; put in evaluation mode.
      modules: what is called; None: the whole model.
    """

    def __init__(self, model: SentenceTransformer, modules: Any = None) -> None:
        self._model: Any = model.eval()
        self._modules = self._model if modules is None else modules

    @property
    def width(self) -> int:
        """Of the vectors."""
        return int(self._model.get_embedding_dimension() or 0)

    def run(self, tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """See `Backend`."""
        import torch

        with torch.inference_mode():
            features: dict[str, Any] = {
                "input_ids": torch.from_numpy(tokens).to(self._model.device),
                "attention_mask": torch.from_numpy(mask).to(self._model.device),
            }
            return self._modules(features)["sentence_embedding"].float().cpu().numpy()


class Encoder:
    """Texts to vectors with a tokenizer and a back end.

    Args:
      tokenizer: a fast Hugging Face tokenizer.
      backend: see `Backend`.
      max_tokens: texts are cut here.
      prefix: put before every text.
      token_budget: padded tokens in a batch.
      pass_cost: of one batch more, in tokens.
    """

    def __init__(
        self,
        tokenizer: Any,
        backend: Backend,
        *,
        max_tokens: int,
        prefix: str = "",
        token_budget: int = TOKEN_BUDGET,
        pass_cost: int = PASS_COST,
    ) -> None:
        self._tokenizer = tokenizer
        self._backend = backend
        self._max_tokens = max_tokens
        self._pad = int(tokenizer.pad_token_id or 0)
        self.prefix = prefix
        self.token_budget = token_budget
        self.pass_cost = pass_cost

    @classmethod
    def of(
        cls,
        model: SentenceTransformer,
        *,
        token_budget: int | None = None,
        modules: Any = None,
    ) -> Encoder:
        """The encoder of a model, in PyTorch, with the model's own prefix and limit.

        Args:
          model: its tokenizer and settings count.
          token_budget: padded tokens in a batch; None: what suits the model's device.
          modules: the part of the model that makes the vectors; None: all of it.
        """
        prefix = model_prefix(model)
        is_cpu = model.device.type == "cpu"
        usual = TOKEN_BUDGET if is_cpu else _GPU_TOKEN_BUDGET
        return cls(
            model.tokenizer,
            TorchBackend(model, modules),
            max_tokens=int(model.max_seq_length or 512),
            prefix=prefix,
            token_budget=usual if token_budget is None else token_budget,
            pass_cost=PASS_COST if is_cpu else _GPU_PASS_COST,
        )

    def with_prefix(self, prefix: str | None) -> Encoder:
        """The same encoder with another text put before every text; None: itself."""
        if prefix is None:
            return self
        other = copy.copy(self)
        other.prefix = prefix
        return other

    @property
    def width(self) -> int:
        """Of the vectors."""
        return self._backend.width

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """`[n, width]` float32 vectors, in the order of the texts."""
        return self.encode_counted(texts)[0]

    def encode_counted(self, texts: Sequence[str]) -> tuple[np.ndarray, list[int]]:
        """The vectors and the number of tokens of each text, special ones included."""
        found = np.zeros((len(texts), self.width), dtype=np.float32)
        counts: list[int] = []
        for start in range(0, len(texts), _CHUNK):
            chunk = texts[start : start + _CHUNK]
            rows = self._tokens(chunk)
            lengths = [len(row) for row in rows]
            counts += lengths
            for chosen in batches_by_length(lengths, self.token_budget, self.pass_cost):
                tokens, mask = self._pad_batch([rows[i] for i in chosen])
                found[start + chosen] = self._backend.run(tokens, mask)
        return found, counts

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        # A text of megabytes must not cost its whole length, so it is cut before tokenising. At a
        # blank, where no token goes across: the first tokens are then those of the whole text, if
        # there are enough of them. Blanks and what is unknown to a tokenizer (a word of more than
        # 100 characters is one token of WordPiece) give few; such a text is tokenised whole.
        short = [_until_blank(text, 32 * self._max_tokens) for text in texts]
        rows = self._tokenized(short)
        again = [
            i
            for i, (row, text) in enumerate(zip(rows, texts, strict=True))
            if len(short[i]) < len(text) and len(row) < self._max_tokens
        ]
        if again:
            for i, row in zip(again, self._tokenized([texts[i] for i in again]), strict=True):
                rows[i] = row
        return rows

    def _tokenized(self, texts: Sequence[str]) -> list[list[int]]:
        return self._tokenizer(
            [self.prefix + text for text in texts],
            truncation=True,
            max_length=self._max_tokens,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]

    def _pad_batch(self, rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
        longest = max(len(row) for row in rows)
        tokens = np.full((len(rows), longest), self._pad, dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for i, row in enumerate(rows):
            tokens[i, : len(row)] = row
            mask[i, : len(row)] = 1
        return tokens, mask


def _until_blank(text: str, limit: int) -> str:
    """A text that is too long up to its last blank before the limit; whole if it has none there.

    Only blanks and ends of lines count: of other white space some is no border of words to BERT.
    """
    if len(text) <= limit:
        return text
    end = max(text.rfind(" ", 0, limit), text.rfind("\n", 0, limit))
    return text if end < 0 else text[:end]


def open_encoder(path: Path, *, threads: int | None = None) -> Encoder:
    """The encoder of a saved model: its ONNX file if the folder has one, else PyTorch.

    Args:
      path: a folder that `trine embeddings train` or `export` wrote.
      threads: of the back end; None: the library's choice.
    """
    from trine.embeddings import onnx_export
    from trine.embeddings.encoder import load_model

    if onnx_export.has_onnx(path):
        return onnx_export.open_onnx(path, threads=threads)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    return Encoder.of(load_model(path))


def encoder_named(model: str, threads: int | None = None) -> Encoder:
    """The encoder that a user named: a folder (ONNX or not), a base, or a name on the hub.

    Args:
      model: see above, and `trine.embeddings.bases.folder_named`.
      threads: of the back end; None: the library's choice.

    Raises:
      UsageError, DataError: a name or folder that cannot be used.
    """
    from trine.embeddings.bases import folder_named

    folder = folder_named(model)
    if folder is not None:
        return open_encoder(folder, threads=threads)
    from trine.embeddings.config import ModelConfig
    from trine.embeddings.encoder import load_base

    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    return Encoder.of(load_base(ModelConfig(base=model))[0])
