"""Pruning: the tokens that are needed stay, and texts of them have the same vectors."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast  # pyright: ignore[reportPrivateImportUsage]

from tests.embeddings.tiny import LETTERS, WORDS, Kind, tiny_encoder
from trine.core.errors import UsageError
from trine.embeddings.inference import first_module
from trine.embeddings.vocabulary import prune_vocabulary, used_tokens

TEXTS = ["the bank card", "a red storm in two", "cats, not dogs"]
KINDS: tuple[Kind, ...] = ("wordpiece", "unigram")


def _models(folder: Path, kind: Kind, **options: Any) -> tuple[SentenceTransformer, ...]:
    whole = tiny_encoder(folder, kind, **options)
    pruned = SentenceTransformer(str(folder / "tiny"), device="cpu")
    return whole, pruned


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prefix", ["", "query: "])
def test_texts_of_kept_tokens_keep_tokens_and_vectors(
    tmp_path: Path, kind: Kind, prefix: str
) -> None:
    whole, pruned = _models(tmp_path, kind, prefix=prefix)
    done = prune_vocabulary(pruned, TEXTS)
    assert done.tokens_after < done.tokens_before
    others = ["red bank", "the cats in the storm"]  # of the same tokens, never seen
    for text in (*TEXTS, *others):
        assert pruned.tokenizer.tokenize(text) == whole.tokenizer.tokenize(text)
    np.testing.assert_allclose(
        pruned.encode([*TEXTS, *others]), whole.encode([*TEXTS, *others]), atol=1e-6
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_told_is_the_size(tmp_path: Path, kind: Kind) -> None:
    whole, pruned = _models(tmp_path, kind)
    done = prune_vocabulary(pruned, TEXTS, keep_characters=False)
    inner = first_module(pruned).auto_model
    table = inner.get_input_embeddings()
    assert table.num_embeddings == done.tokens_after == len(pruned.tokenizer)
    assert inner.config.vocab_size == done.tokens_after
    before = sum(p.numel() for p in whole.parameters())
    after = sum(p.numel() for p in pruned.parameters())
    assert (done.weights_before, done.weights_after) == (before, after)
    assert before - after == 16 * (done.tokens_before - done.tokens_after)
    assert f"{done.tokens_after:,} of {done.tokens_before:,}" in str(done)


@pytest.mark.parametrize("kind", KINDS)
def test_the_saved_folder_opens_with_the_same_vectors(tmp_path: Path, kind: Kind) -> None:
    whole, pruned = _models(tmp_path, kind)
    prune_vocabulary(pruned, TEXTS)
    pruned.save_pretrained(str(tmp_path / "out"), create_model_card=False)
    again = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    np.testing.assert_allclose(again.encode(TEXTS), whole.encode(TEXTS), atol=1e-6)
    assert again.max_seq_length == whole.max_seq_length


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_keep_their_parts(tmp_path: Path, kind: Kind) -> None:
    whole, pruned = _models(tmp_path, kind)
    prune_vocabulary(pruned, ["red"], keep_characters=False)
    for name in ("pad_token", "unk_token", "cls_token", "sep_token"):
        assert getattr(pruned.tokenizer, name) == getattr(whole.tokenizer, name)
    inner = first_module(pruned).auto_model
    assert inner.config.pad_token_id == pruned.tokenizer.pad_token_id
    assert inner.get_input_embeddings().padding_idx == pruned.tokenizer.pad_token_id
    ids: Any = pruned.tokenizer(["red blue", "red"], padding=True)["input_ids"]
    assert pruned.tokenizer.unk_token_id in ids[0]  # blue went, and its letters
    assert ids[1][-1] == pruned.tokenizer.pad_token_id


@pytest.mark.parametrize("kind", KINDS)
def test_single_characters_stay_so_that_other_words_are_spelled(tmp_path: Path, kind: Kind) -> None:
    _, pruned = _models(tmp_path, kind)
    prune_vocabulary(pruned, ["red"])
    assert pruned.tokenizer.unk_token not in pruned.tokenizer.tokenize("blue horse")


@settings(max_examples=40, deadline=None)
@given(
    text=st.lists(
        st.sampled_from([*WORDS, "cats", "raining", "loans", "zoo", "Ä"]), max_size=8
    ).map(" ".join),
    kept=st.lists(st.sampled_from([*WORDS, "rains", *LETTERS[:5]]), max_size=8).map(" ".join),
    kind=st.sampled_from(KINDS),
)
def test_whatever_is_asked_to_stay_is_tokenised_alike(
    tmp_path_factory: pytest.TempPathFactory, text: str, kept: str, kind: Kind
) -> None:
    whole, pruned = _cached(tmp_path_factory, kind)
    before = whole.tokenizer.tokenize(text)
    prune_vocabulary(pruned, [text, kept], keep_characters=False)
    assert pruned.tokenizer.tokenize(text) == before


_MADE: dict[Kind, SentenceTransformer] = {}


def _cached(factory: pytest.TempPathFactory, kind: Kind) -> tuple[SentenceTransformer, ...]:
    if kind not in _MADE:
        _MADE[kind] = tiny_encoder(factory.mktemp(kind), kind)
    return _MADE[kind], copy.deepcopy(_MADE[kind])


def test_used_tokens_are_those_of_the_texts_with_and_without_the_prefix(tmp_path: Path) -> None:
    model = tiny_encoder(tmp_path, prefix="my: ")
    tokens = model.tokenizer.convert_ids_to_tokens(sorted(used_tokens(model, iter(["red dog"]))))
    assert set(tokens) == {"[CLS]", "[SEP]", "my", "[UNK]", "red", "dog"}


def test_other_kinds_of_tokenizer_are_refused(tmp_path: Path) -> None:
    model = tiny_encoder(tmp_path)
    raw = Tokenizer(models.BPE(vocab={"a": 0, "<unk>": 1}, merges=[], unk_token="<unk>"))
    transformer: Any = model[0]
    transformer.processor = PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>")
    with pytest.raises(UsageError, match="kind BPE; accepted: WordPiece and Unigram"):
        prune_vocabulary(model, TEXTS)
