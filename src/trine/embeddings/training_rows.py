"""A task's training rows as the trainer wants them: a `datasets.Dataset` and keys for sampling.

| kind | columns | label |
|---|---|---|
| single | text | id |
| multi | text | `[L]` 0/1 |
| hierarchical | text | `[depth]` ids of each level, -1 where a path ends |
| pairs | text, pair | id of the group; rows without one are groups of their own |
| graded | text, pair | score |
| unlabelled | text | 0 |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trine.core.errors import DataError
from trine.embeddings.config import Kind
from trine.embeddings.tasks import Task

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["TrainingRows", "training_rows"]


@dataclass(frozen=True)
class TrainingRows:
    """What is trained on of one task.

    Attributes:
      name: of the task.
      kind: of the task.
      texts: `[n]`.
      pairs: `[n]` second texts, or nothing.
      labels: `[n, ...]` as in the module's table.
      keys: for each row the numbers of what it can be paired by, the best first: its label, its
        labels, its path and the beginnings of the path, its group; nothing for graded and for
        unlabelled rows.
      names: of the keys.
    """

    name: str
    kind: Kind
    texts: list[str]
    pairs: list[str]
    labels: np.ndarray
    keys: list[tuple[int, ...]]
    names: list[str]

    def __len__(self) -> int:
        """Rows."""
        return len(self.texts)

    def sides(self, row: int) -> tuple[str, ...]:
        """The one or two texts of a row."""
        return (self.texts[row], self.pairs[row]) if self.pairs else (self.texts[row],)

    def dataset(self) -> Dataset:
        """Columns `text`, `pair` (if any) and `label`."""
        from datasets import Dataset

        columns: dict[str, object] = {"text": self.texts}
        if self.pairs:
            columns["pair"] = self.pairs
        columns["label"] = self.labels.tolist()
        return Dataset.from_dict(columns)


def training_rows(task: Task) -> TrainingRows:
    """The rows of the train split without held-out languages.

    Raises:
      DataError: if nothing can be learnt from them: no rows, or fewer than two labels with two
        texts each.
    """
    frame = task.train
    if frame.height < 2:
        raise DataError(
            f"task {task.name!r} has {frame.height} training rows",
            accepted="2 or more",
            hint='check `split` and `languages`, or give it role = "zero_shot"',
        )
    texts = frame["text"].to_list()
    pairs = frame["pair"].to_list() if task.kind in ("pairs", "graded") else []
    if task.kind == "graded":
        scores = frame["score"].to_numpy().astype(np.float64)
        return TrainingRows(task.name, task.kind, texts, pairs, scores, [()] * len(texts), [])
    if task.kind == "unlabelled":
        nothing = np.zeros(len(texts), dtype=np.int64)
        return TrainingRows(task.name, task.kind, texts, [], nothing, [()] * len(texts), [])
    paths = [tuple(own or ()) for own in frame["labels"].to_list()]
    labels, keys, names = _encode(task.kind, paths)
    rows = TrainingRows(task.name, task.kind, texts, pairs, labels, keys, names)
    if task.kind != "pairs":
        _check_labels(rows)
    return rows


def _encode(
    kind: Kind, paths: list[tuple[str, ...]]
) -> tuple[np.ndarray, list[tuple[int, ...]], list[str]]:
    if kind == "hierarchical":
        return _encode_paths(paths)
    if kind == "pairs":
        groups = [path[0] if path else f"row {i}" for i, path in enumerate(paths)]
        names, ids = _numbered(groups)
        return np.array(ids), [(i,) for i in ids], names
    names, flat = _numbered([label for path in paths for label in path])
    it = iter(flat)
    keys = [tuple(next(it) for _ in path) for path in paths]
    if kind == "single":
        return np.array([own[0] for own in keys]), keys, names
    hot = np.zeros((len(keys), len(names)), dtype=np.int64)
    for row, own in enumerate(keys):
        hot[row, list(own)] = 1
    return hot, keys, names


def _encode_paths(
    paths: list[tuple[str, ...]],
) -> tuple[np.ndarray, list[tuple[int, ...]], list[str]]:
    depth = max(len(path) for path in paths)
    levels = np.full((len(paths), depth), -1, dtype=np.int64)
    for level in range(depth):
        rows = [row for row, path in enumerate(paths) if len(path) > level]
        _, ids = _numbered([paths[row][level] for row in rows])
        levels[rows, level] = ids
    beginnings = sorted({path[:n] for path in paths for n in range(1, len(path) + 1)})
    number = {beginning: i for i, beginning in enumerate(beginnings)}
    keys = [tuple(number[path[:n]] for n in range(len(path), 0, -1)) for path in paths]
    return levels, keys, [" / ".join(beginning) for beginning in beginnings]


def _numbered(values: Sequence[str]) -> tuple[list[str], list[int]]:
    names = sorted(set(values))
    number = {name: i for i, name in enumerate(names)}
    return names, [number[value] for value in values]


def _check_labels(rows: TrainingRows) -> None:
    counts = np.bincount([key for own in rows.keys for key in own], minlength=len(rows.names))
    usable = int((counts >= 2).sum())
    if usable == 0 or len(rows.names) < 2:
        count = len(rows.names)
        raise DataError(
            f"task {rows.name!r} has {count} label{'' if count == 1 else 's'} in training, "
            f"{usable} of them with two texts or more",
            accepted="2 labels or more, one of them with two texts or more",
            hint='merge labels, add rows, or give it role = "zero_shot"',
        )
