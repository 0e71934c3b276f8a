"""Several models on one suite: bases, trained folders, bases cut by PCA, an endpoint.

A model is named as the user gives it: a base (`minilm`), a folder, a hub name, or `BASE+pca50`:
that base cut to 50 numbers by principal directions fitted on training texts (never on scored ones):
those of the suite, or of the recipe that a model beside it was trained on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from trine.core.errors import UsageError
from trine.core.progress import Progress
from trine.core.seeding import Seeds
from trine.embeddings.api import ApiModel
from trine.embeddings.bases import BASES, base_size, folder_named
from trine.embeddings.config import HeadConfig, ModelConfig
from trine.embeddings.evaluation.suite import DRAWS, evaluate_model, evaluate_vectors, texts_of
from trine.embeddings.evaluation.vectors import TextVectors
from trine.embeddings.inference import Encoder
from trine.embeddings.onnx_export import has_onnx, open_onnx
from trine.embeddings.tasks import ScoreRow, Task

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["api_scores", "api_texts", "compare", "open_model", "open_scored", "shown_names"]

_PCA = re.compile(r"^(?P<base>.+)\+pca(?P<width>\d+)$")


def open_model(name: str, tasks: Sequence[Task]) -> SentenceTransformer:
    """The model of a name; see the module.

    Args:
      name: a base, a folder, a hub name, or one of these with `+pcaN`.
      tasks: whose training texts the PCA is fitted on.

    Raises:
      UsageError, DataError: a name, width or folder that cannot be used.
    """
    from trine.embeddings.encoder import add_head, cut, load_base, load_model

    match = _PCA.match(name)
    if match:
        _check_pca(name, tasks)
        model, _ = load_base(ModelConfig(base=match["base"]))
        add_head(model, tasks, HeadConfig(start="pca"), Seeds(0).child("head"))
        return cut(model, int(match["width"]))
    if name in BASES:
        return load_base(ModelConfig(base=name))[0]
    return load_model(name)


def _check_pca(name: str, tasks: Sequence[Task]) -> None:
    """What can be told of `BASE+pcaN` before the base is read; nothing of other names."""
    if (match := _PCA.match(name)) is None:
        return
    if not any(task.config.role == "train" and task.train.height for task in tasks):
        raise UsageError(
            f"{name}: the suite has no training texts to fit the directions on",
            hint="name the recipe that has them: --mixture recipe.toml",
        )
    most, _ = base_size(match["base"])
    if int(match["width"]) < 1 or (most is not None and int(match["width"]) > most):
        raise UsageError(
            f"{name}: {match['width']} directions", accepted=f"1 to {most or 'its width'}"
        )


def open_scored(name: str, tasks: Sequence[Task]) -> SentenceTransformer | Encoder:
    """The same for scoring: an exported folder is run as what it is, by ONNX Runtime."""
    folder = folder_named(name)
    if folder is not None and has_onnx(folder):
        return open_onnx(folder)
    return open_model(name, tasks)


def compare(
    names: Sequence[str],
    tasks: Sequence[Task],
    *,
    shown: Sequence[str] | None = None,
    mixture: Sequence[Task] | None = None,
    widths: Sequence[int] | None = None,
    max_rows: int | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[ScoreRow]:
    """Scores of every model on every task.

    Args:
      names: see `open_model`, or the folder of an export; each once.
      tasks: of the suite.
      shown: what each model is called in the rows; None: see `shown_names`.
      mixture: tasks whose training texts a PCA is fitted on; None: the suite's.
      widths: of the vectors; None: each model's own.
      max_rows: see `evaluate_model`.
      draws: see `evaluate_model`.
      seed: of choices.
      progress: where to tell how far it is.

    Raises:
      UsageError: a name given twice, or two that would look the same; more directions than a base
        has.
    """
    from trine.embeddings.encoder import check_name

    shown = shown_names(names) if shown is None else shown
    rows: list[ScoreRow] = []
    fitted = tasks if mixture is None else mixture
    for name in names:  # before hours of others
        _check_pca(name, fitted)
        if not (_PCA.match(name) or name in BASES or folder_named(name)):
            check_name(name)
    for name, called in zip(names, shown, strict=True):
        rows += evaluate_model(
            open_scored(name, fitted), tasks, model_name=called, widths=widths,
            max_rows=max_rows, draws=draws, seed=seed, progress=progress,
        )  # fmt: skip
    return rows


def shown_names(names: Sequence[str], api_model: str = "") -> list[str]:
    """What each model is called in tables, in the given order, a model of an endpoint at the end.

    Short where that is clear; of folders with the same last name the path as it was given, and of
    an endpoint's model with the name of another `api:NAME`.

    Raises:
      UsageError: a name given twice, or two that would look the same.
    """
    if len(set(names)) < len(names):
        raise UsageError("a model is given twice", accepted="each once")
    ends = [api_model] if api_model else []
    short = [*map(_short, names), *ends]
    whole = [*names, *(f"api:{name}" for name in ends)]
    count = Counter(short)
    shown = [s if count[s] == 1 else w for s, w in zip(short, whole, strict=True)]
    for name, times in Counter(shown).items():
        if times > 1:
            raise UsageError(
                f"{times} models would be called {name!r}", hint="give one of them by another path"
            )
    return shown


def _short(name: str) -> str:
    # A folder is called by its last part; `model` alone says nothing, so with its run before it.
    folder = folder_named(name)
    if folder is None:
        return name
    path = folder.resolve()
    return f"{path.parent.name}/{path.name}" if path.name.startswith("model") else path.name


def api_texts(
    tasks: Sequence[Task],
    *,
    max_rows: int | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[str]:
    """The distinct texts that an endpoint would be asked for: all that is scored or drawn from."""
    return texts_of(tasks, max_rows=max_rows, draws=draws, seed=seed)


def api_scores(
    api: ApiModel,
    tasks: Sequence[Task],
    *,
    model_name: str = "",
    widths: Sequence[int] | None = None,
    max_rows: int | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Progress | None = None,
    advance: Callable[[int], None] | None = None,
) -> list[ScoreRow]:
    """Scores of an endpoint; every answer is kept (see `trine.embeddings.api`).

    It gets the texts without prefixes: these are for the encoders of this house. In the rows it is
    called `model_name`; empty: as its model is called there.
    """

    def encode(texts: list[str]) -> np.ndarray:
        return api.encode(texts, advance)

    store = TextVectors(encode)
    return evaluate_vectors(
        lambda task: store, tasks, model_name=model_name or api.model, widths=widths,
        max_rows=max_rows, draws=draws, seed=seed, progress=progress,
    )  # fmt: skip
