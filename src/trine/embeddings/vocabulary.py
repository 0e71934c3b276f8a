"""Pruning: only the tokens that the user's texts need stay in the table.

Of multilingual-e5-small's 118 million weights 96 are the table of 250,000 tokens in about 100
languages; a corpus in a few of them uses a small part. The tokenizer and the table lose the others
together, and ids are numbered anew.

Texts all of whose tokens stay get the same tokens, hence the same vectors. WordPiece takes the
longest match at each place, which is still there and still the longest. Unigram takes the best
path, which is still there and still the best: pieces that went away can only take paths away, and
the score of an unknown character is derived from the lowest of all, so that piece stays too.
Other texts fall apart into smaller tokens; all single characters stay, so that few become unknown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from trine.core.errors import UsageError
from trine.embeddings.inference import first_module, model_prefix

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["Pruning", "prune_vocabulary", "used_tokens"]

_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token",
            "mask_token")  # fmt: skip
_CONFIG_IDS = ("pad_token_id", "bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id",
               "unk_token_id", "mask_token_id")  # fmt: skip
_CHUNK = 2_048


@dataclass(frozen=True, slots=True)
class Pruning:
    """What pruning did.

    Attributes:
      tokens_before: rows of the table.
      tokens_after: the same, now.
      weights_before: of the whole model.
      weights_after: the same, now.
    """

    tokens_before: int
    tokens_after: int
    weights_before: int
    weights_after: int

    @property
    def megabytes_saved(self) -> float:
        """Of float32 weights; 1 MB is a million bytes."""
        return 4 * (self.weights_before - self.weights_after) / 1e6

    def __str__(self) -> str:
        """One line to say."""
        return (
            f"vocabulary of {self.tokens_after:,} of {self.tokens_before:,} tokens; "
            f"{self.weights_after / 1e6:.1f} of {self.weights_before / 1e6:.1f} million weights, "
            f"{self.megabytes_saved:.0f} MB less"
        )


def used_tokens(model: SentenceTransformer, texts: Iterable[str]) -> set[int]:
    """Ids of all tokens of the texts, whole, behind the model's prefix and behind none."""
    tokenizer: Any = model.tokenizer
    prefix = model_prefix(model)
    found: set[int] = set()
    chunk: list[str] = []

    def take() -> None:
        for row in tokenizer(chunk, truncation=False, padding=False, verbose=False)["input_ids"]:
            found.update(row)

    for text in texts:
        chunk += [text, prefix + text] if prefix else [text]
        if len(chunk) >= _CHUNK:
            take()
            chunk.clear()
    if chunk:
        take()
    return found


def prune_vocabulary(
    model: SentenceTransformer, texts: Iterable[str], *, keep_characters: bool = True
) -> Pruning:
    """Takes the tokens that none of the texts uses out of the tokenizer and the table, in place.

    Args:
      model: whose first module is a transformer with a fast tokenizer.
      texts: whose tokens are kept; a recipe gives those that it may train on
        (`trine.embeddings.building.training_texts`), none that are scored.
      keep_characters: whether every token of a single character stays.

    Raises:
      UsageError: a tokenizer of another kind than WordPiece and Unigram.
    """
    transformer = first_module(model)
    content = _tokenizer_content(transformer.tokenizer)
    kind = content["model"]["type"]
    pieces = _pieces(content["model"])
    keep = used_tokens(model, texts) | _needed(content, pieces, kind)
    if keep_characters:
        marks = (content["model"].get("continuing_subword_prefix") or "##", "▁")
        keep |= {i for piece, i in pieces if len(_bare(piece, marks)) == 1}
    inner = transformer.auto_model
    table: nn.Embedding = inner.get_input_embeddings()
    rows = sorted(i for i in keep if i < table.num_embeddings)
    new = {old: place for place, old in enumerate(rows)}
    before = sum(p.numel() for p in model.parameters())

    transformer.processor = _renumbered(transformer.tokenizer, content, new)
    _shrink(inner, table, rows, new)
    return Pruning(
        table.num_embeddings, len(rows), before, sum(p.numel() for p in model.parameters())
    )


def _tokenizer_content(tokenizer: Any) -> dict[str, Any]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    content: dict[str, Any] = json.loads(backend.to_str()) if backend is not None else {}
    kind = content.get("model", {}).get("type")
    if kind not in ("WordPiece", "Unigram"):
        raise UsageError(
            f"pruning of a tokenizer of kind {kind or type(tokenizer).__name__}",
            accepted="WordPiece and Unigram",
            hint="set model.prune_vocabulary = false",
        )
    return content


def _pieces(model: dict[str, Any]) -> list[tuple[str, int]]:
    if model["type"] == "WordPiece":
        return list(model["vocab"].items())
    return [(piece, i) for i, (piece, _) in enumerate(model["vocab"])]


def _needed(content: dict[str, Any], pieces: Sequence[tuple[str, int]], kind: str) -> set[int]:
    """Special tokens; for Unigram also the unknown one and the piece of the lowest score."""
    needed = {int(token["id"]) for token in content["added_tokens"]}
    model = content["model"]
    if kind == "Unigram":
        scores = [score for _, score in model["vocab"]]
        needed |= {int(model["unk_id"] or 0), scores.index(min(scores))}
    else:
        needed |= {i for piece, i in pieces if piece == model["unk_token"]}
    return needed


def _bare(piece: str, marks: Sequence[str]) -> str:
    for mark in marks:
        if len(piece) > len(mark):
            piece = piece.removeprefix(mark)
    return piece


def _renumbered(tokenizer: Any, content: dict[str, Any], new: dict[int, int]) -> Any:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    model = content["model"]
    if model["type"] == "WordPiece":
        model["vocab"] = {piece: new[i] for piece, i in model["vocab"].items() if i in new}
    else:
        model["vocab"] = [entry for i, entry in enumerate(model["vocab"]) if i in new]
        if model["unk_id"] is not None:
            model["unk_id"] = new[model["unk_id"]]
    for token in content["added_tokens"]:
        token["id"] = new[token["id"]]
    _renumber_template(content.get("post_processor"), new)
    # The lengths of the last call are kept in the file; they are none of the tokenizer's own.
    content["truncation"] = content["padding"] = None
    special = {
        name: str(value)
        for name in _SPECIAL
        if (value := getattr(tokenizer, name, None)) is not None
    }
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(content)),
        model_max_length=tokenizer.model_max_length,
        model_input_names=list(tokenizer.model_input_names),
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
        **special,
    )


def _renumber_template(processor: Any, new: dict[int, int]) -> None:
    if not isinstance(processor, dict):
        return
    parts: dict[str, Any] = processor
    for inner in parts.get("processors", []):
        _renumber_template(inner, new)
    for token in (parts.get("special_tokens") or {}).values():
        token["ids"] = [new[i] for i in token["ids"]]
    for name in ("sep", "cls"):  # of BERT's and RoBERTa's own post-processors
        if name in parts:
            parts[name] = [parts[name][0], new[parts[name][1]]]


def _shrink(inner: Any, table: nn.Embedding, rows: list[int], new: dict[int, int]) -> None:
    padding = table.padding_idx
    weight = table.weight.detach()[torch.tensor(rows, device=table.weight.device)].clone()
    small = nn.Embedding(
        len(rows),
        table.embedding_dim,
        padding_idx=None if padding is None else new[padding],
        _weight=weight,
    )
    small.weight.requires_grad_(table.weight.requires_grad)
    inner.set_input_embeddings(small)
    inner.config.vocab_size = len(rows)
    for name in _CONFIG_IDS:
        old = getattr(inner.config, name, None)
        if isinstance(old, int):
            setattr(inner.config, name, new.get(old))
