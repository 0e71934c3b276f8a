"""A model as one ONNX graph for ONNX Runtime: encoder, pooling, head and length in one file.

Two steps may follow the export. Fusing replaces attention, GELU and layer norm by ONNX Runtime's
own kernels (its transformer optimiser); `int8` stores the matrices in 8 bits and quantises
activations as they come (dynamic quantisation). Without the VNNI instructions int8 pays less and
its products must stay within 7 bits (`reduce_range`) to be exact.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trine.core.artifacts import atomic_folder, write_json
from trine.core.errors import DataError
from trine.core.extras import require
from trine.embeddings.inference import TOKEN_BUDGET, Encoder, first_module
from trine.embeddings.quiet import quiet_export

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedTokenizerFast

    from trine.embeddings.tasks import Task

__all__ = ["GRAPH", "OnnxBackend", "export_onnx", "has_onnx", "open_onnx", "quality_loss"]

GRAPH = "model.onnx"
_SETTINGS = "trine_onnx.json"
_TOKENIZER = "tokenizer.json"
_FILES = frozenset({GRAPH, _SETTINGS, _TOKENIZER})
_AGAIN = "export the model again: trine embeddings export MODEL --onnx"
_LOG = logging.getLogger(__name__)


class OnnxBackend:
    """An ONNX Runtime session.

    Args:
      graph: the file.
      threads: inside one operation; None: one for each core.

    Raises:
      DataError: if the file cannot be read as a graph.
    """

    def __init__(self, graph: Path, threads: int | None = None) -> None:
        require("onnx", "running an ONNX model")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
            options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                str(graph), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own errors have no common base but this
            raise DataError(
                f"{graph} is not an ONNX graph that can be run: {error}",
                hint=_AGAIN,
            ) from error
        self._inputs = [entry.name for entry in self._session.get_inputs()]

    @property
    def width(self) -> int:
        """Of the vectors."""
        return int(self._session.get_outputs()[0].shape[1])

    def run(self, tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """See `trine.embeddings.inference.Backend`."""
        given = dict(zip(self._inputs, (tokens, mask), strict=True))
        return np.asarray(self._session.run(None, given)[0], dtype=np.float32)


def has_onnx(folder: Path) -> bool:
    """Whether a folder is an export, be it a damaged one."""
    if (folder / _SETTINGS).is_file():
        return True
    return (folder / GRAPH).is_file() and not (folder / "config.json").is_file()


def open_onnx(
    folder: Path, *, threads: int | None = None, token_budget: int = TOKEN_BUDGET
) -> Encoder:
    """The encoder of an exported folder.

    Raises:
      DataError: if the folder is not one, or a file of it is missing or damaged.
    """
    for name in (GRAPH, _SETTINGS):
        if not (folder / name).is_file():
            raise DataError(f"{folder} has no {name}", hint=_AGAIN)
    settings = _settings(folder / _SETTINGS)
    return Encoder(
        _tokenizer(folder / _TOKENIZER, settings["pad_token"]),
        OnnxBackend(folder / GRAPH, threads),
        max_tokens=settings["max_tokens"],
        prefix=settings["prefix"],
        token_budget=token_budget,
    )


def _settings(path: Path) -> dict[str, Any]:
    try:
        settings: Any = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error})", hint=_AGAIN) from error
    for name, kind in (("max_tokens", int), ("prefix", str), ("pad_token", str)):
        value = settings.get(name) if isinstance(settings, dict) else None
        if type(value) is not kind or (isinstance(value, int) and value < 1):
            raise DataError(f"{path} has no {name} that can be used", hint=_AGAIN)
    return settings


def _tokenizer(path: Path, pad_token: str) -> PreTrainedTokenizerFast:
    from transformers import PreTrainedTokenizerFast

    if not path.is_file():
        raise DataError(f"{path.parent} has no {path.name}", hint=_AGAIN)
    try:
        return PreTrainedTokenizerFast(tokenizer_file=str(path), pad_token=pad_token)
    except Exception as error:  # the reader's own errors have no common base but this
        raise DataError(f"{path} is not a tokenizer: {str(error)[:160]}", hint=_AGAIN) from error


def export_onnx(model: SentenceTransformer, folder: Path, *, int8: bool = False) -> Path:
    """Writes `model.onnx`, the tokenizer and their settings into a folder; returns the graph.

    Args:
      model: Transformer, Pooling and what follows.
      folder: whole or not at all; an older export there is replaced.
      int8: matrices in 8 bits.

    Raises:
      MissingExtra: without the extra `onnx`.
      DataError: if the graph gives other vectors than the model (float32: more than 1e-3), or the
        folder holds something else.
    """
    require("onnx", "trine embeddings export --onnx")
    # In a model's own folder the graph would from then on be run under the model's name.
    others = sorted(path.name for path in folder.glob("*") if path.name not in _FILES)
    if others or (folder.exists() and not folder.is_dir()):
        raise DataError(
            f"{folder} exists and is not an export", hint="choose another folder: --out"
        )
    encoder = Encoder.of(model.cpu())  # the graph is traced and compared there
    with tempfile.TemporaryDirectory(prefix="trine-onnx-") as name:
        scratch = Path(name)
        plain = _trace(model, scratch / "plain.onnx")
        fused = _fuse(model, plain, scratch / "fused.onnx")
        _same(model, encoder, fused)
        final = _quantise(fused, scratch / "int8.onnx") if int8 else fused
        # A graph beside the tokenizer or the settings of an older one would give wrong vectors.
        with atomic_folder(folder) as made:
            made.mkdir()
            shutil.copyfile(final, made / GRAPH)
            model.tokenizer.backend_tokenizer.save(str(made / _TOKENIZER))
            write_json(
                made / _SETTINGS,
                {
                    "max_tokens": int(model.max_seq_length or 512),
                    "prefix": encoder.prefix,
                    "pad_token": str(model.tokenizer.pad_token),
                    "width": encoder.width,
                    "int8": int8,
                },
            )
    return folder / GRAPH


def _trace(model: SentenceTransformer, target: Path) -> Path:
    import torch

    class Whole(torch.nn.Module):
        """The modules as one function of token ids and mask."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            call: Any = self.model
            return call({"input_ids": input_ids, "attention_mask": attention_mask})[
                "sentence_embedding"
            ]

    tokens = torch.ones((2, 7), dtype=torch.int64)
    rows = {0: "batch", 1: "length"}
    inner = first_module(model).auto_model
    usual = inner.config._attn_implementation
    # Attention written out as products, traced by the older exporter, is the form that the
    # optimiser knows how to fuse into one kernel; the newer exporter's graph stays unfused.
    inner.set_attn_implementation("eager")
    try:
        with quiet_export():
            torch.onnx.export(
                Whole().eval(),
                (tokens, torch.ones_like(tokens)),
                str(target),
                input_names=["input_ids", "attention_mask"],
                output_names=["sentence_vectors"],
                dynamic_axes={
                    "input_ids": rows, "attention_mask": rows, "sentence_vectors": {0: "batch"}
                },
                dynamo=False,
                opset_version=17,
            )  # fmt: skip
    finally:
        inner.set_attn_implementation(usual)
    return target


def _fuse(model: SentenceTransformer, plain: Path, target: Path) -> Path:
    from onnxruntime.transformers import optimizer

    config: Any = first_module(model).auto_model.config
    with quiet_export():
        fused = optimizer.optimize_model(
            str(plain),
            model_type="bert",
            num_heads=int(config.num_attention_heads),
            hidden_size=int(config.hidden_size),
            opt_level=1,
        )
        fused.save_model_to_file(str(target))
    _LOG.info("fused operators: %s", fused.get_fused_operator_statistics())
    return target


def _quantise(graph: Path, target: Path) -> Path:
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with quiet_export():
        quantize_dynamic(
            str(graph),
            str(target),
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            # Shapes and types are not known behind the fused operators; all of them are float32.
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )
    return target


def _same(model: SentenceTransformer, encoder: Encoder, graph: Path) -> None:
    texts = ["one", "two words", "a sentence that is somewhat longer than the others, at last"]
    expected = encoder.encode(texts)
    other = Encoder(
        model.tokenizer,
        OnnxBackend(graph),
        max_tokens=int(model.max_seq_length or 512),
        prefix=encoder.prefix,
    )
    worst = float(np.abs(other.encode(texts) - expected).max())
    if worst > 1e-3:
        raise DataError(
            f"the exported graph differs from the model by {worst:.2g}",
            hint="this model cannot be exported; serve it with PyTorch",
        )


def quality_loss(
    model: SentenceTransformer,
    folder: Path,
    tasks: Sequence[Task],
    *,
    max_rows: int | None = None,
    draws: int = 10,
) -> dict[str, Any]:
    """What an export costs: each task's main measure by the model and by its exported graph.

    Args:
      model: that was exported.
      folder: of the export.
      tasks: that are scored, all on the same rows and draws both times.
      max_rows: scored rows a task and language; None: all.
      draws: of classifications.

    Returns:
      `tasks`, a list of `{task, metric, before, after, loss}` in points of 0 to 100, where `loss`
      is positive if the export is worse; and `mean`, the mean loss (None without any score).
    """
    before = _main_scores(Encoder.of(model), tasks, max_rows, draws)
    after = _main_scores(open_onnx(folder), tasks, max_rows, draws)
    rows = [
        {
            "task": task, "metric": metric, "before": score, "after": after[task][1],
            "loss": score - after[task][1],
        }
        for task, (metric, score) in before.items()
    ]  # fmt: skip
    losses = [row["loss"] for row in rows]
    return {"tasks": rows, "mean": float(np.mean(losses)) if losses else None}


def _main_scores(
    encoder: Encoder, tasks: Sequence[Task], max_rows: int | None, draws: int
) -> dict[str, tuple[str, float]]:
    from trine.embeddings.evaluation.suite import MAIN_METRIC, evaluate_model

    order = list(MAIN_METRIC.values())
    found: dict[str, tuple[str, float]] = {}
    rows = evaluate_model(encoder, tasks, max_rows=max_rows, draws=draws)
    for task in tasks:
        mine = [row for row in rows if row.task == task.name and row.metric in order]
        whole = [row for row in mine if row.language == "all"] or mine
        if whole:
            best = min(whole, key=lambda row: order.index(row.metric))
            found[task.name] = (best.metric, best.score)
    return found
