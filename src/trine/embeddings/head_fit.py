"""A head fitted to what its small vectors are used for: cosines.

Principal directions keep the most variance, but users compare by cosine, after the small vectors
were brought to length one, and near neighbours count for more than far ones. Here the directions
are moved by gradient steps until the cosines of k numbers are those of the whole vectors (squared
differences), and until the neighbours within a batch are the same (divergence of their softmax, as
in `trine.embeddings.losses.distillation`); optionally also until texts of one label, and the two
sides of a pair, are close. A batch of random texts has few near ones; groups of near texts
(`trine.embeddings.head_texts`) bring them in. It needs vectors only, not the encoder: some hundred
steps take seconds.

Our own choice, measured on development splits (docs/embeddings/results.md): for 50 numbers of
multilingual-e5-small it gave 3 to 6 points of STS-B over principal directions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trine.embeddings.losses.distillation import similarity_divergence

__all__ = ["Aim", "fit_head"]

_BATCH = 512
_TEMPERATURE = 0.05
_MOST_LABELS = 48
"""Labels in one batch of a task."""


@dataclass(frozen=True, slots=True)
class Aim:
    """How far small vectors are from the cosines of whole ones.

    Attributes:
      squares: weight of the squared differences of cosines; 30 brings them to the size of a
        divergence.
      neighbours: weight of the divergence of the neighbours within a batch.
      temperature: of their softmax.
    """

    squares: float = 30.0
    neighbours: float = 0.1
    temperature: float = _TEMPERATURE


def fit_head(
    vectors: np.ndarray,
    labels: Sequence[str | None],
    weight: np.ndarray,
    bias: np.ndarray,
    *,
    widths: Sequence[int],
    steps: int,
    rate: float,
    aim: Aim,
    label_weight: float,
    pair_weight: float,
    generator: np.random.Generator,
    groups: np.ndarray | None = None,
    pair_tasks: Collection[str] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Weight `[d, d]` and bias `[d]` moved so that leading numbers have the cosines of all.

    Args:
      vectors: `[n, d]` of the encoder, of length one.
      labels: of each, as `task:label`; None: none known. The cosines aimed at are those of the
        vectors less the point that `weight` and `bias` map to 0.
      weight: `[d, d]` to start from, an orthogonal matrix.
      bias: `[d]` to start from.
      widths: leading numbers that are fitted, together.
      steps: of Adam, with a cosine schedule.
      rate: at the first of them.
      aim: what of the cosines is kept.
      label_weight: of the contrast of each task's labels; 0: labels play no part.
      pair_weight: of the same of `pair_tasks`, whose labels are the two sides of a pair.
      generator: of the batches.
      groups: `[n]` number of the group of near texts that each belongs to, which go into a batch
        together; None: every text is alone.
      pair_tasks: names of the tasks of pairs.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    values = torch.from_numpy(np.asarray(vectors, dtype=np.float32)).to(device)
    # weight is orthogonal: weight @ x + bias = weight @ (x - centre).
    centre = torch.from_numpy((-weight.T @ bias).astype(np.float32)).to(device)
    aims = functional.normalize(values - centre, dim=1)
    matrix = torch.tensor(weight, dtype=torch.float32, device=device, requires_grad=True)
    offset = torch.tensor(bias, dtype=torch.float32, device=device, requires_grad=True)
    tasks = _label_rows(labels) if label_weight or pair_weight else {}
    shares = {name: pair_weight if name in pair_tasks else label_weight for name in tasks}
    contrasts = [(task, name in pair_tasks, shares[name]) for name, task in tasks.items()]
    optimizer = torch.optim.Adam([matrix, offset], lr=rate)
    draw = _batch_drawer(len(values), groups, generator)
    for step in range(steps):
        for part in optimizer.param_groups:
            part["lr"] = rate * (1 + math.cos(math.pi * step / steps)) / 2
        chosen = torch.from_numpy(draw()).to(device)
        loss = _same_cosines(values[chosen] @ matrix.T + offset, aims[chosen], widths, aim)
        for task, pairs, share in contrasts:
            if not share:
                continue
            rows, ids = _label_batch(task, generator, pairs=pairs)
            numbers = values[torch.from_numpy(rows).to(device)] @ matrix.T + offset
            ids_there = torch.from_numpy(ids).to(device)
            loss = loss + share * _contrast(numbers, ids_there, widths)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return matrix.detach().cpu().numpy(), offset.detach().cpu().numpy()


def _batch_drawer(
    n: int, groups: np.ndarray | None, generator: np.random.Generator
) -> Callable[[], np.ndarray]:
    """Draws the rows of a batch: any, or whole groups of about as many rows."""
    if groups is None:
        return lambda: generator.choice(n, min(_BATCH, n), replace=False)
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    count = max(1, min(len(members), _BATCH * len(members) // n))

    def draw() -> np.ndarray:
        chosen = generator.choice(len(members), count, replace=False)
        return np.concatenate([members[i] for i in chosen])

    return draw


def _same_cosines(numbers: Tensor, aims: Tensor, widths: Sequence[int], aim: Aim) -> Tensor:
    aimed = aims @ aims.T
    loss = numbers.new_zeros(())
    for width in widths:
        unit = functional.normalize(numbers[:, :width], dim=1)
        if aim.squares:
            loss = loss + aim.squares * (unit @ unit.T - aimed).square().mean()
        if aim.neighbours:
            loss = loss + aim.neighbours * similarity_divergence(unit, aims, aim.temperature)
    return loss


def _contrast(numbers: Tensor, ids: Tensor, widths: Sequence[int]) -> Tensor:
    """Label-aware InfoNCE with every text of the label as a positive, a mean over texts."""
    own = torch.eye(len(ids), dtype=torch.bool, device=ids.device)
    positive = (ids[:, None] == ids) & ~own
    loss = numbers.new_zeros(())
    for width in widths:
        unit = functional.normalize(numbers[:, :width], dim=1)
        log_share = (unit @ unit.T / _TEMPERATURE).masked_fill(own, -torch.inf).log_softmax(1)
        kept = log_share.masked_fill(~positive, 0.0).sum(1)
        loss = loss - (kept / positive.sum(1)).mean()
    return loss


def _label_rows(labels: Sequence[str | None]) -> dict[str, list[np.ndarray]]:
    """Of each task the rows of each label that has at least two."""
    places: dict[str, dict[str, list[int]]] = {}
    for i, label in enumerate(labels):
        if label is not None:
            places.setdefault(label.partition(":")[0], {}).setdefault(label, []).append(i)
    tasks = {
        name: [np.array(rows) for rows in task.values() if len(rows) > 1]
        for name, task in places.items()
    }
    return {name: task for name, task in tasks.items() if len(task) > 1}


def _label_batch(
    task: list[np.ndarray], generator: np.random.Generator, *, pairs: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of some labels of a task, at least two of each, and the number of each one's label."""
    most = max(_MOST_LABELS, _BATCH // 2 if pairs else 0)
    chosen = generator.permutation(len(task))[:most]
    each = max(2, min(32, _BATCH // (2 * len(chosen))))
    parts = [generator.permutation(task[i])[:each] for i in chosen]
    return np.concatenate(parts), np.repeat(np.arange(len(parts)), [len(part) for part in parts])
