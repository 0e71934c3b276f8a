"""The embeddings section of `trine demo`: the paper's study, small, on the sample posts.

Two to three minutes on two cores, without a network: the base comes from an installed package, the
posts with Trine, the conversations from an installed package.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import polars as pl

from trine.core.report import Section, SectionContext
from trine.core.tables import Column, Table, save_table
from trine.embeddings.config import ModelConfig, Recipe, TrainingConfig
from trine.embeddings.sources import sample_task
from trine.embeddings.transfer import transfer
from trine.embeddings.transfer_analysis import language_frame
from trine.embeddings.transfer_report import summary_of, transfer_sections

if TYPE_CHECKING:
    from trine.embeddings.transfer import TransferResult

__all__ = [
    "BATCH", "CHANGES", "DRAWS", "LEARNED", "MAX_ROWS", "SEEDS", "STEPS", "TOKENS", "UNSEEN",
    "WIDTHS", "demo_recipe", "language_table", "section",
]  # fmt: skip

STEPS = 30
BATCH = 16
TOKENS = 48
SEEDS = 1
MAX_ROWS = 60
DRAWS = 2
WIDTHS = (8, 16, 128)

# Of the sample tasks; the first group is learned, the second only scored.
LEARNED = ("interest", "storyline", "search", "translations")
UNSEEN = ("hashtags", "function", "conversations")
# Scored and never seen in a translation. The base's vocabulary is English: it has most pieces of
# Spanish and few of Japanese.
HELD_OUT = ("es", "ja")
# What there is no time for: other languages, and classifiers, which need training texts too.
CHANGES: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "translations": {"languages": ("de", "es", "fr", "ja"), "held_out_languages": HELD_OUT},
        "hashtags": {"metrics": ("triplet",)},
        "function": {"metrics": ("triplet",)},
        "conversations": {"languages": ("en", "it", "nl", "uk"), "metrics": ("triplet",)},
    }
)


def demo_recipe(seed: int = 0) -> Recipe:
    """Tasks to learn and tasks to be scored on, from text that needs no network."""
    learned = [sample_task(name, **CHANGES.get(name, {})) for name in LEARNED]
    unseen = [sample_task(name, role="zero_shot", **CHANGES.get(name, {})) for name in UNSEEN]
    return Recipe(
        title="demo",
        tasks=(*learned, *unseen),
        model=ModelConfig(base="minilm", freeze_layers=4, max_tokens=TOKENS),
        training=TrainingConfig(
            steps=STEPS, batch_size=BATCH, max_tokens=TOKENS, rate=5e-5, head_rate=5e-4,
            distillation=1.0, save_every=STEPS,
        ),
        seed=seed,
    )  # fmt: skip


def section(context: SectionContext) -> Section:
    """Learns tasks together and each alone, and says what came of it.

    Args:
      context: where to compute and keep results; models that are there already are not trained
        again.
    """
    result = transfer(
        demo_recipe(context.seed),
        Path(),
        seeds=SEEDS,
        max_rows=MAX_ROWS,
        draws=DRAWS,
        widths=WIDTHS,
        root=context.directory,
        executor=context.executor,
        progress=context.progress,
    )
    parts = transfer_sections(result, context.directory)
    languages = language_table(result)
    save_table(languages, context.directory / "tables", "languages")
    return Section(
        title="Text embeddings: one small-vector model from several labelling tasks",
        paragraphs=[
            "A transformer that was pre-trained on English (`minilm`, 384 numbers a text) learns "
            f"{len(LEARNED)} tasks on short professional posts at once, and is cut to "
            f"{result.recipe.dimension} numbers: posts on one topic or on one news story, a query "
            "and the post that answers it, a post and its translation come near to each other. "
            "The question is the paper's (LinkedIn Post Embeddings, arXiv 2405.11344): does "
            "learning tasks together beat learning each alone?",
            summary_of(result),
            f"This is an anecdote, not a result: {_seeds(SEEDS)}, {STEPS} steps of "
            f"{BATCH} texts a task, at most {MAX_ROWS} scored rows a task and language, on 1,000 "
            "posts that were written for this demo. The study on public data, with seeds and "
            "intervals, is on the page `docs/embeddings/results.md`.",
        ],
        tables=[*parts[0].tables, languages],
        figures=[figure for part in parts for figure in part.figures],
        notes=[
            "Scores go from 0 to 100. accuracy: logistic regression on 8 texts a label, mean of "
            f"{DRAWS} draws; v_measure: agreement of k-means clusters with the stories; "
            "triplet_hard: share of triplets in which a text with the same label is nearer than "
            "one with the nearest other label (below 50 is possible, and means that a wrong text "
            "is usually nearer); recall@1: the right post comes first; f1: the right translation "
            "is the nearest.",
            "`base, PCA` is the untouched encoder, cut to as many numbers by principal directions "
            "of the training texts: what 50 numbers cost before anything is learned. Single-task "
            "models had as many updates on their task's data as the multi-task one.",
            "Stories of the scored posts were never trained on, nor were translations into "
            f"{' and '.join(HELD_OUT)}. The vocabulary of the base is English: other scripts are "
            "mostly unknown to it. `hashtags` and `function` are other labels of the same posts, "
            "so not as far from what was learned as `conversations`.",
            "A model of your own: `trine embeddings init`, then `trine embeddings train`.",
        ],
    )


def language_table(result: TransferResult) -> Table:
    """Tasks in several languages: base, its PCA and multi, language by language."""
    frame = language_frame(result.rows, result.recipe, result.recipe.dimension)
    frame = frame.with_columns(
        pl.when(pl.col("seen")).then(pl.lit("yes")).otherwise(pl.lit("no")).alias("seen")
    ).select("task", "language", "seen", "metric", "base", "base_pca", "multi", "gain")
    return Table(
        frame,
        f"Language by language, at {result.recipe.dimension} numbers",
        [
            Column("task"),
            Column("language"),
            Column("seen", "trained on"),
            Column("metric"),
            Column("base", "base, full width", ".1f"),
            Column("base_pca", "base, PCA", ".1f"),
            Column("multi", format=".1f", highlight=True),
            Column("gain", "multi - base", "+.1f"),
        ],
    )


def _seeds(count: int) -> str:
    return f"{count} seed{'' if count == 1 else 's'}"
