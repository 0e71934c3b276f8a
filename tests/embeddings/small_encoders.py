"""A random encoder of a few thousand weights, and words it knows, for tests of training."""

from __future__ import annotations

from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    Normalize,
    Pooling,
    Transformer,
)
from transformers import BertConfig, BertModel, BertTokenizerFast  # pyright: ignore[reportAttributeAccessIssue] (lazy)

WORDS = (
    "bank card loan rate pay money cash fee cat dog bird fish horse cow sheep goat rain snow wind "
    "sun storm cloud ice fog heat red blue green black white grey pink gold one two three four "
    "five six seven eight the a my is was not very and to of in"
).split()


def small_encoder(folder: Path, *, width: int = 16, dropout: float = 0.0) -> SentenceTransformer:
    """Transformer (2 layers), mean pooling, Normalize, Dense of full width, Normalize."""
    place = folder / f"bert-{width}-{dropout}"
    if not place.is_dir():
        place.mkdir(parents=True)
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
        (place / "vocab.txt").write_text("\n".join(words) + "\n")
        BertTokenizerFast(vocab=str(place / "vocab.txt")).save_pretrained(place)
        config = BertConfig(
            vocab_size=len(words),
            hidden_size=width,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=2 * width,
            max_position_embeddings=64,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            initializer_range=0.3,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            BertModel(config).save_pretrained(place)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        encoder = Transformer(str(place))
        head = Dense(width, width, activation_function=torch.nn.Identity())
    return SentenceTransformer(
        modules=[encoder, Pooling(width, "mean"), Normalize(), head, Normalize()], device="cpu"
    )


def sentence(*numbers: int) -> str:
    """Words by number."""
    return " ".join(WORDS[n % len(WORDS)] for n in numbers)
