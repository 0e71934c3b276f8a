"""Topic-labelled short conversations in many languages, from the package `chatterbot-corpus`.

The package (BSD-3-Clause) has one YAML file for each language and category. A row here is one
conversation (question and answers joined); its topic is the category, whatever a language's folder
calls the file. Categories that are no topic (greetings, profiles of the robot, mixed trivia, small
talk, logs of technical support) are left out.
"""

from __future__ import annotations

import functools
import hashlib
from importlib import resources
from types import MappingProxyType
from typing import Any

import polars as pl

from trine.core.extras import require

__all__ = ["TOPICS", "conversations"]

# File name -> topic. What is not here is no topic.
TOPICS = MappingProxyType(
    {
        "ai": "artificial intelligence", "IA": "artificial intelligence",
        "coding": "programming", "computers": "computers", "computer": "computers",
        "emotion": "emotion", "emotions": "emotion", "emociones": "emotion",
        "food": "food", "health": "health",
        "history": "history", "history_brasil": "history",
        "humor": "humour", "literature": "literature",
        "money": "money", "dinero": "money",
        "movies": "films", "politics": "politics",
        "psychology": "psychology", "psicologia": "psychology",
        "science": "science", "sports": "sports", "sport": "sports",
    }
)  # fmt: skip

_LANGUAGES = MappingProxyType(
    {
        "bengali": "bn", "chinese": "zh-Hans", "dutch": "nl", "english": "en", "french": "fr",
        "german": "de", "hebrew": "he", "hindi": "hi", "indonesian": "id", "italian": "it",
        "japanese": "ja", "korean": "ko", "marathi": "mr", "oriya": "or", "persian": "fa",
        "portuguese": "pt", "russian": "ru", "spanish": "es", "swedish": "sv", "tamil": "ta",
        "telugu": "te", "thai": "th", "traditionalchinese": "zh-Hant", "turkish": "tr",
        "ukrainian": "uk", "urdu": "ur", "yoruba": "yo",
    }
)  # fmt: skip

# A topic with fewer conversations in a language tells nothing about that language.
_FEWEST = 8


@functools.cache
def conversations() -> pl.DataFrame:
    """Columns `split`, `language`, `topic`, `text`; the split is fixed, by the question's digest.

    Raises:
      MissingExtra: without the extra `embeddings`.
    """
    require("embeddings", "sample:conversations")
    import yaml

    # Safe loaders build plain values only; the one in C is ten times as fast.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    rows: list[dict[str, str]] = []
    root = resources.files("chatterbot_corpus") / "data"
    for folder in sorted(root.iterdir(), key=lambda entry: entry.name):
        if folder.name not in _LANGUAGES:
            continue
        for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
            topic = TOPICS.get(file.name.removesuffix(".yml"))
            if topic is None:
                continue
            content: Any = yaml.load(file.read_text(encoding="utf-8"), Loader=loader)  # a safe one
            for turns in content.get("conversations") or []:
                texts = [turns] if isinstance(turns, str) else [str(t) for t in turns if t]
                text = " ".join(" ".join(texts).split())
                if text:
                    language = _LANGUAGES[folder.name]
                    split = _split(f"{language}:{texts[0].strip().lower()}")
                    rows.append(
                        {"split": split, "language": language, "topic": topic, "text": text}
                    )
    frame = pl.DataFrame(rows).unique(maintain_order=True)
    return frame.filter(pl.len().over("language", "topic") >= _FEWEST)


def _split(question: str) -> str:
    # By the question: answers to one question stay on one side.
    return "test" if hashlib.sha256(question.encode()).digest()[0] < 0.3 * 256 else "train"
