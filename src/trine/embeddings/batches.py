"""Which rows go into a batch, and which tasks into a step.

A batch of a label task is made of couples that share a label, so that every text has a positive:
the first of each couple goes through all rows in shuffled order, without repeats until all were
seen; its partner is drawn in the same way from the rows of one of its labels. With `hard` a share
of the couples is drawn from labels that are confusable with the others in the batch. A batch of
pairs goes through the rows in shuffled order and takes no text twice, because the same text in two
groups would be its own negative.

A step holds one batch from each of k tasks. Task i is drawn, without replacement within a step,
with probability proportional to (its rows) ** alpha; with alpha 0 the tasks come in shuffled rounds
instead, so that each has had as many batches as any other whenever a round is complete. The paper's
GPUs "sample from different data sets at the same time"; sizes and rates are not known, these are
our own.

Everything is drawn from named generators: the same seed gives the same batches, and a resumed run
gets there by drawing again (indices only, which costs microseconds).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
from sentence_transformers.base.sampler import DefaultBatchSampler, MultiDatasetDefaultBatchSampler

from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.embeddings.training_rows import TrainingRows

__all__ = ["StepSampler", "TaskBatchSampler", "check_batch_size", "drawn_tasks", "task_rates"]


def check_batch_size(task: str, kind: str, size: int) -> None:
    """Whether a batch can hold a contrast.

    Raises:
      UsageError: fewer than four texts where labels are contrasted.
    """
    if kind in ("single", "multi", "hierarchical") and size < 4:
        raise UsageError(
            f"batch_size {size} for task {task!r}",
            accepted="4 or more: two texts of each of two labels",
        )


def task_rates(sizes: Sequence[int], alpha: float) -> np.ndarray:
    """`[n]` probabilities proportional to size ** alpha: 0 is uniform, 1 proportional."""
    weights = np.asarray(sizes, dtype=np.float64) ** alpha
    return weights / weights.sum()


def drawn_tasks(
    rates: np.ndarray, tasks_per_step: int, steps: int, seeds: Seeds, *, in_rounds: bool = False
) -> Iterator[list[int]]:
    """The tasks of each step, by number; known before any training, for equal updates elsewhere.

    Args:
      rates: `[n]` see `task_rates`.
      tasks_per_step: k, all of them if there are no more.
      steps: how many.
      seeds: of the batches.
      in_rounds: whether the tasks come in shuffled rounds, whatever the rates.
    """
    rng = seeds.generator("tasks")
    n = len(rates)
    waiting: list[int] = []  # of the round that has begun
    for _ in range(steps):
        if tasks_per_step >= n:
            drawn = list(range(n))
        elif in_rounds:
            drawn, waiting = waiting[:tasks_per_step], waiting[tasks_per_step:]
            if (missing := tasks_per_step - len(drawn)) > 0:
                # A step across two rounds takes no task twice.
                fresh = [int(task) for task in rng.permutation(n)]
                fresh.sort(key=drawn.__contains__)
                drawn, waiting = drawn + fresh[:missing], fresh[missing:]
        else:
            drawn = rng.choice(n, size=tasks_per_step, replace=False, p=rates).tolist()
        yield sorted(drawn)


class TaskBatchSampler(DefaultBatchSampler):
    """An endless stream of batches of one task.

    Args:
      dataset: of the rows.
      rows: keys of each.
      batch_size: texts, or pairs of texts.
      seeds: of this task.
      hard: share of the couples (or pairs) from confusable labels.
      neighbours: `[L, m]` confusable labels of each key, -1 where there are fewer; None: no such
        share.
    """

    def __init__(
        self,
        dataset: Any,
        rows: TrainingRows,
        batch_size: int,
        seeds: Seeds,
        *,
        hard: float = 0.0,
        neighbours: np.ndarray | None = None,
    ) -> None:
        super().__init__(dataset, batch_size=batch_size, drop_last=False)
        check_batch_size(rows.name, rows.kind, batch_size)
        self.rows = rows
        self.seeds = seeds
        self.hard = hard if neighbours is not None and neighbours.size else 0.0
        self.neighbours = neighbours
        self._members: dict[int, list[int]] = defaultdict(list)
        for row, own in enumerate(rows.keys):
            for key in own:
                self._members[key].append(row)

    def __len__(self) -> int:
        """Batches in which every row is seen about once."""
        return max(1, len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        """Batches of row numbers without end, the same at every call."""
        rng = self.seeds.generator("batches")
        decks = _Decks(self._members, rng)
        alone = self.rows.pairs or self.rows.kind == "unlabelled"
        return self._pairs(rng, decks) if alone else self._couples(rng, decks)

    def _couples(self, rng: np.random.Generator, decks: _Decks) -> Iterator[list[int]]:
        usable = [row for row in range(len(self.rows)) if self._key_of(row, rng) is not None]
        anchors = _Deck(usable, rng)
        everything = _Deck(range(len(self.rows)), rng)
        couples = self.batch_size // 2
        plain = max(1, couples - round(couples * self.hard))
        while True:
            batch: dict[int, None] = {}
            keys: list[int] = []
            for place in range(couples):
                if place < plain:
                    anchor = anchors.draw(batch.__contains__)
                    key = None if anchor is None else self._key_of(anchor, rng)
                else:
                    key = self._neighbour(keys, rng)
                    anchor = decks[key].draw(batch.__contains__)
                    if anchor is not None and self.rows.kind == "hierarchical":
                        key = self._key_of(anchor, rng)  # nobody else may have its whole path
                if anchor is None or key is None:
                    continue
                batch[anchor] = None
                keys.append(key)
                partner = decks[key].draw(batch.__contains__)
                if partner is not None:
                    batch[partner] = None
            whole = list(batch)
            yield self._with_contrast(whole, everything) if _one_label(whole, self.rows) else whole

    def _with_contrast(self, batch: list[int], everything: _Deck) -> list[int]:
        """Nothing to tell apart: the last two give way to texts of other labels."""
        common = set(self.rows.keys[batch[0]])
        kept = batch[: max(2, len(batch) - 2)]
        for _ in range(2):
            row = everything.draw(
                lambda r: r in batch or r in kept or not common.isdisjoint(self.rows.keys[r])
            )
            if row is not None:
                kept.append(row)
        return kept

    def _pairs(self, rng: np.random.Generator, decks: _Decks) -> Iterator[list[int]]:
        anchors = _Deck(range(len(self.rows)), rng)
        plain = max(1, self.batch_size - round(self.batch_size * self.hard))
        clashes = self.rows.kind == "pairs"  # graded pairs are compared by score, not by text
        while True:
            batch: list[int] = []
            taken: dict[str, set[int]] = defaultdict(set)
            inside: set[int] = set()

            def unwanted(row: int, taken: Any = taken, inside: Any = inside) -> bool:
                if row in inside:
                    return True
                groups = self.rows.keys[row]
                return clashes and any(
                    taken.get(text, set()) - set(groups) for text in self.rows.sides(row)
                )

            for place in range(self.batch_size):
                row = None
                if place >= plain and batch:
                    row = decks[self._neighbour_of_row(batch, rng)].draw(unwanted)
                if row is None:
                    row = anchors.draw(unwanted)
                if row is None:
                    break
                batch.append(row)
                inside.add(row)
                for text in self.rows.sides(row):
                    taken[text].update(self.rows.keys[row])
            yield batch

    def _key_of(self, row: int, rng: np.random.Generator) -> int | None:
        """The key a text finds its partner by: one of its labels, or the deepest shared path."""
        shared = [key for key in self.rows.keys[row] if len(self._members[key]) > 1]
        if not shared:
            return None
        if self.rows.kind == "multi":
            return shared[int(rng.integers(len(shared)))]
        return shared[0]

    def _neighbour(self, keys: list[int], rng: np.random.Generator) -> int:
        assert self.neighbours is not None
        key = keys[int(rng.integers(len(keys)))]
        near = self.neighbours[key]
        near = near[near >= 0]
        return int(near[int(rng.integers(len(near)))]) if len(near) else key

    def _neighbour_of_row(self, batch: list[int], rng: np.random.Generator) -> int:
        row = batch[int(rng.integers(len(batch)))]
        return self._neighbour([self.rows.keys[row][0]], rng)


class StepSampler(MultiDatasetDefaultBatchSampler):
    """One batch from each of k tasks, step after step.

    Args:
      dataset: the tasks' data sets, concatenated.
      batch_samplers: one a task, endless.
      steps: optimiser steps.
      tasks_per_step: k; 0: all tasks in every step.
      rates: `[n]` see `task_rates`.
      seeds: for the draw of tasks.
      in_rounds: see `drawn_tasks`.
    """

    def __init__(
        self,
        dataset: Any,
        batch_samplers: Sequence[TaskBatchSampler],
        *,
        steps: int,
        tasks_per_step: int,
        rates: np.ndarray,
        seeds: Seeds,
        in_rounds: bool = False,
    ) -> None:
        super().__init__(dataset, batch_samplers=list(batch_samplers))
        self.steps = steps
        self.per_step = min(tasks_per_step or len(rates), len(rates))
        self.rates = rates
        self.seeds = seeds
        self.in_rounds = in_rounds

    def __len__(self) -> int:
        """Batches in all steps."""
        return self.steps * self.per_step

    def __iter__(self) -> Iterator[list[int]]:
        """Row numbers in the concatenated data set."""
        offsets = np.cumsum([0, *(len(cast("Any", part)) for part in self.dataset.datasets)])
        streams = [iter(sampler) for sampler in self.batch_samplers]
        for tasks in drawn_tasks(
            self.rates, self.per_step, self.steps, self.seeds, in_rounds=self.in_rounds
        ):
            for task in tasks:
                yield [int(offsets[task]) + row for row in next(streams[task])]


class _Deck:
    """Cards drawn without replacement; shuffled anew when all were drawn."""

    def __init__(self, cards: Sequence[int], rng: np.random.Generator) -> None:
        self._cards = np.asarray(cards, dtype=np.int64)
        self._rng = rng
        self._queue: deque[int] = deque()

    def draw(self, unwanted: Callable[[int], bool]) -> int | None:
        """The next card that is wanted; unwanted ones keep their turn. None if all are unwanted."""
        aside: list[int] = []
        found: int | None = None
        for _ in range(2):  # the rest of the deck, then a new shuffle
            while self._queue and found is None:
                card = self._queue.popleft()
                if unwanted(card):
                    aside.append(card)
                else:
                    found = card
            if found is not None:
                break
            waiting = set(aside)
            fresh = [int(c) for c in self._rng.permutation(self._cards) if int(c) not in waiting]
            if not fresh:
                break
            self._queue.extend(fresh)
        self._queue.extendleft(reversed(aside))
        return found


class _Decks:
    """A deck a key, made when first asked for."""

    def __init__(self, members: dict[int, list[int]], rng: np.random.Generator) -> None:
        self._members = members
        self._rng = rng
        self._made: dict[int, _Deck] = {}

    def __getitem__(self, key: int) -> _Deck:
        if key not in self._made:
            self._made[key] = _Deck(self._members.get(key, []), self._rng)
        return self._made[key]


def _one_label(batch: list[int], rows: TrainingRows) -> bool:
    common = set(rows.keys[batch[0]]) if batch else set()
    for row in batch[1:]:
        common &= set(rows.keys[row])
    return bool(common)
