"""Guesses what the columns of a table mean, and writes the guess as a recipe with comments.

1. Split and language: by the column's name and by what is in it.
2. Texts: columns of words that hardly repeat; usual names (text, sentence, title) come first.
3. A numeric column beside two texts is a score: `graded`. Two texts without a label: `pairs`.
4. The label: a usual name, else the column with most distinct values that still repeat. Rows that
   join several labels with a separator: `multi`. A column that is a function of the label and has
   fewer values is a coarser level of it: `hierarchical`.

A guess is written with its reasons; a person reads it before training.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from trine.core.config import to_plain
from trine.core.errors import DataError, UsageError
from trine.embeddings.audit import Audit, audit
from trine.embeddings.columns import ColumnFacts, column_facts, separator_of
from trine.embeddings.config import TaskConfig
from trine.embeddings.recipe_text import Guess, recipe_text
from trine.embeddings.sources import read_source, sample_task
from trine.embeddings.splits import SPLITS

__all__ = ["Guess", "Guessed", "guess_recipe", "guess_task"]

_SPLIT_NAMES = ("split", "set", "subset", "partition", "fold", "part")
_LANGUAGE_NAMES = ("lang", "language", "locale", "lang_code", "language_code", "langue", "sprache")
_SCORE_NAMES = (
    "score",
    "similarity",
    "relatedness",
    "relatedness_score",
    "gold",
    "rating",
    "grade",
)
_LABEL_NAMES = (
    "label", "labels", "tag", "tags", "hashtag", "hashtags", "intent", "topic", "topics",
    "category", "categories", "class", "emotion", "emotions", "sentiment", "target", "genre",
)  # fmt: skip
_TEXT_NAMES = (
    "text", "text1", "sentence", "sentence1", "query", "question", "question1", "title", "anchor",
    "premise", "utterance", "tweet", "post", "message", "review", "comment", "content", "body",
    "text2", "sentence2", "question2", "positive", "hypothesis", "document", "passage", "answer",
    "translation", "description", "abstract",
)  # fmt: skip
_SECOND_NAMES = {"text2", "sentence2", "question2", "positive", "hypothesis", "translation"}
# Labels by which data sets mark rows that belong to none of the others.
_OUTSIDE = ("oos", "out_of_scope", "out-of-scope", "out of scope")


@dataclass(frozen=True)
class Guessed:
    """A whole recipe.

    Attributes:
      guesses: in the order of the given tables.
      findings: of the audit.
      text: the recipe in TOML, with comments; `load_recipe` reads it.
    """

    guesses: Sequence[Guess]
    findings: Audit
    text: str

    def document(self) -> dict[str, Any]:
        """What `--json` prints: the recipe as text and as values, its reasons, the audit."""
        tasks = [
            {**to_plain(guess.config), "reasons": list(guess.reasons)} for guess in self.guesses
        ]
        return {"recipe": self.text, "tasks": tasks, "audit": self.findings.document()}


def guess_recipe(sources: Sequence[str], base: Path) -> Guessed:
    """A recipe for tables, with its audit.

    Args:
      sources: tables, relative to `base` if they are relative, or `sample:NAME`.
      base: the directory that the recipe will be in.

    Raises:
      UsageError: no table, or two that would give tasks of one name.
      DataError: a table that cannot be read or has no text or no label.
    """
    if not sources:
        raise UsageError("no table", accepted="files such as data/*.csv, or sample:NAME")
    names: dict[str, str] = {}
    for source in sources:
        name = task_name(source)
        if name in names:
            raise UsageError(
                f"two tables would give a task called {name!r}: {names[name]} and {source}",
                hint="rename one of them, or give them in two recipes and join these by hand",
            )
        names[name] = source
    tables = {source: read_source(source, base) for source in sources}
    guesses = [guess_task(source, table) for source, table in tables.items()]
    findings = audit([guess.config for guess in guesses], base, tables=tables)
    return Guessed(guesses, findings, recipe_text(guesses, findings))


def task_name(source: str) -> str:
    """The name of a source's task: the file's without folder and endings, in a recipe's letters."""
    name = source.removeprefix("sample:") if source.startswith("sample:") else Path(source).name
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", name.partition(".")[0]).strip("-_")
    return name or "task"


def guess_task(source: str, table: pl.DataFrame) -> Guess:
    """What the columns of one table mean.

    Args:
      source: as the recipe will name it.
      table: its rows.

    Raises:
      DataError: no column of texts, or texts and nothing to learn from them.
    """
    if source.startswith("sample:"):
        return Guess(sample_task(source.removeprefix("sample:")), ["shipped with Trine"])
    facts: list[ColumnFacts] = []
    unread: list[str] = []
    for name in table.columns:
        try:
            facts.append(column_facts(table[name]))
        except DataError as error:  # a picture, say, or a length of time
            unread.append(str(error))
    reasons = [f"{fault}, and is not used" for fault in unread]
    values: dict[str, Any] = {"name": task_name(source), "source": source}
    split = _split_column(facts, reasons)
    language = _language_column(facts, split)
    values |= {"split": split, "language": language}
    rest = [fact for fact in facts if fact.name not in (split, language)]
    texts = _text_columns(rest)
    if not texts:
        raise DataError(
            "; ".join(
                [
                    f"{source} has no column of texts",
                    *unread,
                    f"its columns: {', '.join(table.columns)}",
                ]
            ),
            accepted="a column of words that differ from row to row",
            hint="write its [[tasks]] by hand",
        )
    others = [fact for fact in rest if fact not in texts]
    values |= _kind(source, table, texts, others, reasons)
    if not language and texts[0].foreign > 0.3:
        reasons.append("many letters outside a to z: set default_language if this is not English")
    if split:
        names = table[split].cast(pl.String).str.strip_chars().str.to_lowercase()
        if not names.replace(SPLITS).eq("train").any():
            values["role"] = "zero_shot"
            reasons.append("no row of split train: evaluated only")
    return Guess(TaskConfig.model_validate(values), reasons)


def _split_column(facts: Sequence[ColumnFacts], reasons: list[str]) -> str:
    for fact in facts:
        known = bool(fact.values) and all(v.lower() in SPLITS for v in fact.values)
        named = fact.name.lower() in _SPLIT_NAMES
        if known and (named or len(fact.values) > 1):
            return fact.name
        names = [v for v in fact.values if v.lower() in SPLITS]
        if named and len(names) > 1:  # most are names: loading will tell which is none
            reasons.append(f"column {fact.name!r} has values that name no split")
            return fact.name
        if named and fact.values:
            shown = ", ".join(repr(v) for v in sorted(fact.values)[:4])
            reasons.append(
                f"column {fact.name!r} holds {shown}, no names of splits: a split is made"
            )
            return ""
    reasons.append("no split column: a fifth of the texts becomes test (test_share)")
    return ""


def _language_column(facts: Sequence[ColumnFacts], split: str) -> str:
    for fact in facts:
        if fact.name == split or not fact.values:
            continue
        # A column called language may well name programming languages: half must be codes.
        # The few that are not are a mistake that loading will name.
        if fact.name.lower() in _LANGUAGE_NAMES and fact.languages >= 0.5:
            return fact.name
    return ""


def _text_columns(facts: Sequence[ColumnFacts]) -> list[ColumnFacts]:
    def rank(fact: ColumnFacts) -> int:
        name = fact.name.lower()
        return _TEXT_NAMES.index(name) if name in _TEXT_NAMES else len(_TEXT_NAMES)

    def is_text(fact: ColumnFacts) -> bool:
        if fact.numeric or fact.is_list or fact.identifier:
            return False
        named = fact.name.lower()
        if named in _LABEL_NAMES:
            return False
        return fact.words and (named in _TEXT_NAMES or fact.distinct > 0.5)

    return sorted(filter(is_text, facts), key=rank)


def _kind(
    source: str,
    table: pl.DataFrame,
    texts: Sequence[ColumnFacts],
    others: Sequence[ColumnFacts],
    reasons: list[str],
) -> dict[str, Any]:
    first = texts[0].name
    second = texts[1].name if len(texts) > 1 else ""
    label = _label_column(others)
    if second:
        numbers = [fact for fact in others if fact.numeric and fact.count > 1]
        scores = [fact for fact in numbers if fact.name.lower() in _SCORE_NAMES]
        if not scores and label and label.numeric and label.name.lower() in _LABEL_NAMES:
            scores = [label]  # two texts and `label` 0 or 1: paraphrase or not
        unread = [f.name for f in others if not f.numeric and f.name.lower() in _SCORE_NAMES]
        if unread and not scores:
            reasons.append(f"column {unread[0]!r} holds more than numbers and is not used")
        if scores:
            reasons.append(f"two texts and a number {scores[0].name!r}: graded")
            return {"kind": "graded", "text": first, "pair": second, "score": scores[0].name}
        named = label is not None and label.name.lower() in _LABEL_NAMES
        if not named or second.lower() in _SECOND_NAMES:
            reasons.append(f"two texts and no label: rows pair {first!r} with {second!r}")
            if label is not None and named:
                reasons.append(f"column {label.name!r} is not used")
            return {"kind": "pairs", "text": first, "pair": second}
        reasons.append(
            f"column {second!r} holds texts too and is not used "
            f'(to pair them: kind = "pairs", pair = "{second}")'
        )
    if label is None:
        raise DataError(
            f"{source}: texts in {first!r} and no label; its columns: {', '.join(table.columns)}",
            accepted="a column whose values repeat, or a second column of texts",
            hint='write its [[tasks]] by hand (kind = "unlabelled" serves distillation)',
        )
    return {"text": first, **_labelled(table, label, others, reasons)}


def _label_column(others: Sequence[ColumnFacts]) -> ColumnFacts | None:
    for name in _LABEL_NAMES:
        for fact in others:
            if fact.name.lower() == name and fact.count > 1:
                return fact
    repeated = [f for f in others if f.count > 1 and f.distinct <= 0.5 and not f.identifier]
    return max(repeated, key=lambda fact: fact.count, default=None)


def _labelled(
    table: pl.DataFrame, label: ColumnFacts, others: Sequence[ColumnFacts], reasons: list[str]
) -> dict[str, Any]:
    values: dict[str, Any] = {"label": label.name}
    if label.is_list:
        reasons.append(f"column {label.name!r} holds lists: multi")
        return {**values, "kind": "multi"}
    separator = separator_of(table[label.name])
    if separator:
        reasons.append(f"labels in {label.name!r} are joined by {separator!r}: multi")
        return {**values, "kind": "multi", "separator": separator}
    levels = _coarser(table, label, others)
    if levels:
        values |= {"kind": "hierarchical", "label": (*levels, label.name)}
        named = ", ".join(repr(name) for name in levels)
        follow = "follow" if len(levels) > 1 else "follows"
        reasons.append(f"{named} {follow} from {label.name!r}: hierarchical, coarse to fine")
    outside = [name for name in _OUTSIDE if name in label.values]
    if outside:
        values["drop_labels"] = tuple(outside)
        reasons.append(f"label {outside[0]!r} says that a row has no label: left out")
    return values


def _coarser(
    table: pl.DataFrame, label: ColumnFacts, others: Sequence[ColumnFacts]
) -> tuple[str, ...]:
    """Columns that the label determines, coarse to fine, each determined by the next."""
    levels: list[str] = []
    finer = label
    for fact in sorted(others, key=lambda f: -f.count):
        if fact is label or fact.is_list or not 1 < fact.count < finer.count:
            continue
        pairs = table.select(finer.name, fact.name).drop_nulls().unique()
        if pairs.height == pairs[finer.name].n_unique():
            levels.insert(0, fact.name)
            finer = fact
    return tuple(levels)
