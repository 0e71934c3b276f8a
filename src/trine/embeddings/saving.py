"""The model as a folder: plain sentence-transformers, safetensors, with its card and its recipe.

`SentenceTransformer(folder)` opens it without Trine. Beside that library's own files stand
`README.md` (the model card), `recipe.toml` and `scores.json`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trine.core.artifacts import atomic_folder, read_json, write_json, write_text, write_toml
from trine.core.config import to_plain
from trine.core.errors import DataError
from trine.embeddings.adapters import has_adapters, merge_adapters
from trine.embeddings.config import Recipe
from trine.embeddings.model_card import model_card
from trine.embeddings.quiet import quiet_libraries
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
    part: str = "",
) -> Path:
    """Writes the folder whole or not at all; one that is there is replaced.

    Args:
      model: cut to its width already (see `trine.embeddings.encoder.cut`).
      folder: of the model.
      recipe: that made it.
      scores: for the card.
      base_licence: of the base's weights.
      base_source: where the base is from.
      part: what was done for one task after the recipe, if anything; for the card.

    Raises:
      DataError: if `folder` is there and holds something else than a model, or the disk is full.
    """
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file", hint="choose another place")
    if folder.exists() and not (folder / "modules.json").is_file() and any(folder.iterdir()):
        raise DataError(f"{folder} exists and is not a model", hint="choose another place")
    if has_adapters(model):
        model = copy.deepcopy(model)
        merge_adapters(model)
    with atomic_folder(folder) as scratch:
        with quiet_libraries():
            model.save_pretrained(str(scratch), create_model_card=False, safe_serialization=True)
        _without_paths(scratch)
        write_toml(scratch / "recipe.toml", to_plain(_portable(recipe)))
        _write_card(scratch, recipe, scores, base_licence, base_source, part)
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
    folder: Path,
    recipe: Recipe,
    scores: Sequence[ScoreRow],
    licence: str,
    source: str,
    part: str = "",
) -> None:
    write_json(folder / SCORES, [asdict(row) for row in scores])
    card = model_card(
        _portable(recipe), scores, width=_width(folder), licence=licence, source=source, part=part
    )
    write_text(folder / "README.md", card)


def _width(folder: Path) -> int | None:
    """Rows of the head of a saved model; None without a head."""
    for module in reversed(read_json(folder / "modules.json")):
        if str(module["type"]).endswith(".Dense"):
            return int(read_json(folder / module["path"] / "config.json")["out_features"])
    return None


def _portable(recipe: Recipe) -> Recipe:
    """The recipe with names in place of this machine's places."""
    tasks = tuple(
        task.model_copy(update={"source": Path(task.source).name})
        if Path(task.source).is_absolute()
        else task
        for task in recipe.tasks
    )
    model = recipe.model
    if Path(model.base).expanduser().is_absolute():
        model = model.model_copy(update={"base": Path(model.base).name})
    return recipe.model_copy(update={"tasks": tasks, "model": model})


def _without_paths(folder: Path) -> None:
    # The libraries write where the base was loaded from; that place is this machine's.
    for path in folder.rglob("*.json"):
        if path.name in ("tokenizer.json", "vocab.json"):  # words, some of which look like paths
            continue
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            continue
        values: dict[str, Any] = content
        places = [
            key
            for key, value in values.items()
            if key in ("_name_or_path", "name_or_path", "base_model_name_or_path")
            or (isinstance(value, str) and Path(value).is_absolute() and Path(value).exists())
        ]
        if places:
            write_json(path, {k: v for k, v in values.items() if k not in places})
