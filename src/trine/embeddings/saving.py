"""The model as a folder: plain sentence-transformers, safetensors, with its card and its recipe.

`SentenceTransformer(folder)` opens it without Trine. Beside that library's own files stand
`README.md` (the model card), `recipe.toml` and `scores.json`.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from trine.core.artifacts import make_directory, write_json, write_text, write_toml
from trine.core.config import to_plain
from trine.core.errors import DataError
from trine.embeddings.config import Recipe
from trine.embeddings.model_card import model_card
from trine.embeddings.tasks import ScoreRow

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["SCORES", "save_model", "save_scores"]

SCORES = "scores.json"


def save_model(
    model: SentenceTransformer,
    folder: Path,
    recipe: Recipe,
    *,
    scores: Sequence[ScoreRow] = (),
    base_licence: str = "",
    base_source: str = "",
) -> Path:
    """Writes the folder whole or not at all; one that is there is replaced.

    Args:
      model: cut to its width already (see `trine.embeddings.encoder.cut`).
      folder: of the model.
      recipe: that made it.
      scores: for the card.
      base_licence: of the base's weights.
      base_source: where the base is from.

    Raises:
      DataError: if `folder` is there and holds something else than a model.
    """
    if folder.exists() and not (folder / "modules.json").is_file() and any(folder.iterdir()):
        raise DataError(f"{folder} exists and is not a model", hint="choose another place")
    make_directory(folder.parent)
    scratch = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.tmp"
    try:
        model.save_pretrained(str(scratch), create_model_card=False, safe_serialization=True)
        _without_paths(scratch)
        write_toml(scratch / "recipe.toml", to_plain(recipe))
        _write_card(scratch, recipe, scores, base_licence, base_source)
        shutil.rmtree(folder, ignore_errors=True)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def save_scores(
    folder: Path,
    recipe: Recipe,
    scores: Sequence[ScoreRow],
    *,
    base_licence: str = "",
    base_source: str = "",
) -> None:
    """Writes the scores of a saved model and its card anew."""
    _write_card(folder, recipe, scores, base_licence, base_source)


def _write_card(
    folder: Path, recipe: Recipe, scores: Sequence[ScoreRow], licence: str, source: str
) -> None:
    write_json(folder / SCORES, [asdict(row) for row in scores])
    write_text(folder / "README.md", model_card(recipe, scores, licence=licence, source=source))


def _without_paths(folder: Path) -> None:
    # The library writes where the base was loaded from; that place is this machine's.
    for path in folder.rglob("*.json"):
        if path.name in ("tokenizer.json", "vocab.json"):
            continue
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and "_name_or_path" in content:
            del content["_name_or_path"]
            write_json(path, content)
        if isinstance(content, dict) and Path(str(content.get("name_or_path", ""))).is_absolute():
            del content["name_or_path"]
            write_json(path, content)
