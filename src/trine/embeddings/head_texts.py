"""The texts that a head is computed from: training texts of all tasks, and near variants of them.

Two texts drawn at random have little in common, so a head fitted to random texts alone learns to
tell far from far. What users ask of a vector is to tell near from nearer. So each text can be given
variants, made here by damage of any size: words left out, replaced by another text's, cut and
continued by another text, or in another order. Nobody has to say how near a variant is: the
encoder's own cosine is what the head is fitted to (`trine.embeddings.head_fit`). The texts of a
group, a text or the two sides of a pair with their variants, go into a batch together.

Variants are no sentences and need not be. The other text is any of the mixture, of whatever task
and language; a single word is taken apart by letters; now and then a variant is the text itself.

Our own choice, measured on development splits (docs/embeddings/results.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from trine.embeddings.config import HeadConfig
from trine.embeddings.splits import STEP
from trine.embeddings.tasks import Task

__all__ = ["HeadTexts", "head_texts", "mixture", "variant"]

# Shares of the words that one variant changes.
_SHARES = (0.15, 0.3, 0.5)


@dataclass(frozen=True)
class HeadTexts:
    """Texts, and what is known of them.

    Attributes:
      texts: n of them.
      labels: of each, as `task:label`; None: none known. Variants have none.
      prefixes: what its task puts before each; None: the model's own prefix.
      groups: `[n]` number of the group of each; None: every text is alone.
      pair_tasks: names of the tasks whose labels are the two sides of a pair.
    """

    texts: list[str]
    labels: list[str | None]
    prefixes: list[str | None]
    groups: np.ndarray | None = None
    pair_tasks: frozenset[str] = frozenset()

    def vectors(self, encode: Callable[[str | None, list[str]], np.ndarray]) -> np.ndarray:
        """`[n, d]` vectors, the texts of each prefix encoded together.

        Args:
          encode: a prefix and texts to vectors.
        """
        if all(prefix is None for prefix in self.prefixes):
            return encode(None, self.texts)
        places = {
            prefix: [i for i, own in enumerate(self.prefixes) if own == prefix]
            for prefix in dict.fromkeys(self.prefixes)
        }
        parts = [encode(key, [self.texts[i] for i in rows]) for key, rows in places.items()]
        order = np.concatenate(list(places.values()))
        return np.concatenate(parts)[np.argsort(order)]


def head_texts(
    tasks: Sequence[Task], config: HeadConfig, generator: np.random.Generator
) -> HeadTexts:
    """About `config.rows` texts and, for a fitted head, `config.fit_variants` variants of each.

    Args:
      tasks: those with training rows count.
      config: of the head.
      generator: of the choice, and of the variants.
    """
    chosen = mixture(tasks, config.rows, generator)
    if not config.fit_variants or config.start != "fitted":
        return chosen
    pairs = chosen.pair_tasks
    first: dict[str, int] = {}
    groups = [
        first.setdefault(label, i) if label and label.partition(":")[0] in pairs else i
        for i, label in enumerate(chosen.labels)
    ]
    made: list[str] = []
    for text in chosen.texts:
        others = generator.integers(len(chosen.texts), size=config.fit_variants)
        made += [variant(text, chosen.texts[other], generator) for other in others]
    own = [prefix for prefix in chosen.prefixes for _ in range(config.fit_variants)]
    return HeadTexts(
        chosen.texts + made,
        chosen.labels + [None] * len(made),
        chosen.prefixes + own,
        np.array(groups + list(np.repeat(groups, config.fit_variants)), dtype=np.int64),
        pairs,
    )


def mixture(tasks: Sequence[Task], rows: int, generator: np.random.Generator) -> HeadTexts:
    """Training texts of all tasks in equal shares, and a label of each that names its task too.

    Both texts of a pair are there, with a label of their own.

    Args:
      tasks: those with training rows count.
      rows: about how many texts in all.
      generator: of the choice.
    """
    texts: list[str] = []
    labels: list[str | None] = []
    prefixes: list[str | None] = []
    trained = [task for task in tasks if task.train.height and task.config.role == "train"]
    for task in trained:
        pairs = task.kind == "pairs"
        share = max(1, rows // len(trained) // (2 if pairs else 1))
        frame = task.train
        places = sorted(int(i) for i in generator.permutation(frame.height)[:share])
        chosen = frame[places]
        texts += chosen["text"].to_list()
        if task.kind in ("single", "hierarchical"):
            depth = len(task.config.labels)  # a path that ends early has no finest label
            labels += [
                f"{task.name}:{STEP.join(own)}" if len(own) == depth else None
                for own in chosen["labels"].to_list()
            ]
        elif pairs:
            texts += chosen["pair"].to_list()
            labels += [f"{task.name}:{place}" for place in places] * 2
        else:
            labels += [None] * chosen.height
        prefixes += [task.config.prefix] * (len(texts) - len(prefixes))
    pair_tasks = frozenset(task.name for task in trained if task.kind == "pairs")
    return HeadTexts(texts, labels, prefixes, pair_tasks=pair_tasks)


def variant(text: str, other: str, generator: np.random.Generator) -> str:
    """A text more or less near another: of its words some are gone, replaced or moved.

    Args:
      text: to start from. Without blanks (Japanese, Thai, one word) its characters are its words.
      other: where new words come from.
      generator: of the kind of damage, and of its place.
    """
    joint = " " if len(text.split()) > 1 else ""
    words = text.split() if joint else list(text)
    foreign = (other.split() if joint else list(other)) or words
    if len(words) < 2:
        return f"{text} {other}"
    count = max(1, round(len(words) * _SHARES[int(generator.integers(len(_SHARES)))]))
    places = generator.permutation(len(words))[: min(count, len(words) - 1)]
    kind = generator.random()
    if kind < 0.35:
        gone = set(places.tolist())
        words = [word for i, word in enumerate(words) if i not in gone]
    elif kind < 0.75:
        for place in places:
            words[place] = foreign[int(generator.integers(len(foreign)))]
    elif kind < 0.9:
        words = words[: len(words) // 2] + foreign[len(foreign) // 2 :]
    else:
        words = [words[i] for i in generator.permutation(len(words))]
    return joint.join(words)
