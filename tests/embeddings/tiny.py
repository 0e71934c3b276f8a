"""Random encoders of a few thousand weights, as folders that the library itself can open.

For tests of what happens to a whole model: saving, cutting, pruning, freezing. Two tokenizers, as
the two kinds of base have: WordPiece and Unigram.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import (  # pyright: ignore[reportAttributeAccessIssue] (lazy)
    BertConfig,
    BertModel,
    PreTrainedTokenizerFast,  # pyright: ignore[reportPrivateImportUsage] (lazy)
)

WORDS = (
    "bank card loan rate money fee cat dog bird horse rain snow wind storm red blue green one two "
    "three the a my is not very and to of in"
).split()
LETTERS = "abcdefghijklmnopqrstuvwxyz"

Kind = Literal["wordpiece", "unigram"]


def tiny_tokenizer(kind: Kind) -> Any:
    """Words, letters and the special tokens of BERT or of XLM-R."""
    if kind == "wordpiece":
        special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]",
                   "sep_token": "[SEP]", "mask_token": "[MASK]"}  # fmt: skip
        pieces = [*special.values(), *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
        pieces += ["##ing", "##er"]
        raw = Tokenizer(
            models.WordPiece(vocab={p: i for i, p in enumerate(pieces)}, unk_token="[UNK]")
        )
        raw.normalizer = normalizers.BertNormalizer()
        raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        first, last = "[CLS]", "[SEP]"
    else:
        special = {"cls_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>",
                   "unk_token": "<unk>"}  # fmt: skip
        scored = [(p, 0.0) for p in special.values()]
        scored += [(f"▁{word}", -3.0 - i / 20) for i, word in enumerate(WORDS)]
        scored += [("▁", -4.0), ("s", -4.5), ("ing", -5.0), ("er", -5.5)]
        scored += [(letter, -7.0 - i / 20) for i, letter in enumerate(LETTERS) if letter != "s"]
        pieces = [piece for piece, _ in scored]
        raw = Tokenizer(models.Unigram(scored, unk_id=3, byte_fallback=False))
        raw.normalizer = normalizers.NFKC()
        raw.pre_tokenizer = pre_tokenizers.Metaspace()
        first, last = "<s>", "</s>"
    raw.add_special_tokens(list(special.values()))
    raw.post_processor = TemplateProcessing(
        single=f"{first} $A {last}",
        special_tokens=[(name, pieces.index(name)) for name in (first, last)],
    )
    return PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=64, **special)


def tiny_encoder(
    folder: Path,
    kind: Kind = "wordpiece",
    *,
    width: int = 16,
    layers: int = 3,
    dropout: float = 0.1,
    prefix: str = "",
) -> SentenceTransformer:
    """A model of Transformer, mean pooling and Normalize; also saved as `folder / "tiny"`.

    The same arguments give the same weights.
    """
    tokenizer = tiny_tokenizer(kind)
    config = BertConfig(
        vocab_size=len(tokenizer) + 3,  # more rows than tokens, as multilingual-e5-small has
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=64,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.3,
    )
    inner = folder / "bert"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        BertModel(config).save_pretrained(inner)
    tokenizer.save_pretrained(inner)
    model = SentenceTransformer(
        modules=[Transformer(str(inner)), Pooling(width, "mean"), Normalize()],
        prompts={"text": prefix} if prefix else None,
        default_prompt_name="text" if prefix else None,
        device="cpu",
    )
    model.save_pretrained(str(folder / "tiny"), create_model_card=False)
    return SentenceTransformer(str(folder / "tiny"), device="cpu")
