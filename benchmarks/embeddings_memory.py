"""Memory of one training step with a large batch, whole and by gradient caching.

    .venv/bin/python -m benchmarks.embeddings_memory            minutes; rewrites its record
    .venv/bin/python -m benchmarks.embeddings_memory --quick    a small batch, prints only

The packaged MiniLM learns the sample's queries and the posts that answer them with nothing frozen;
each case takes one step in a fresh process, because peak memory is the process's.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from benchmarks.embeddings import search_pairs
from benchmarks.run import RECORDS, circumstances, peak_memory, quick_wanted

from trine.core.artifacts import write_json, write_text
from trine.core.executors import ProcessExecutor
from trine.core.seeding import Seeds
from trine.core.tables import Column, Table, save_table, to_markdown
from trine.embeddings.config import ModelConfig

HERE = Path(__file__).parent
BEGIN, END = "<!-- embeddings-memory -->\n", "<!-- end of embeddings-memory -->\n"
COMMAND = "python -m benchmarks.embeddings_memory"
GIB = 2**30
MOST = 4 * GIB
"""What a step by gradient caching may take."""


@dataclass(frozen=True, slots=True)
class Case:
    """One step.

    Attributes:
      pairs: in the batch.
      cache_rows: texts in a piece of gradient caching; 0: off.
      model: None: the packaged MiniLM.
    """

    pairs: int = 512
    cache_rows: int = 0
    model: ModelConfig | None = None


def memory_row(case: Case) -> dict[str, Any]:
    """Peak resident memory of a process that takes the step."""
    import torch

    from trine.embeddings.encoder import load_base
    from trine.embeddings.training import make_trainer

    torch.set_num_threads(1)
    recipe, tasks = search_pairs(case.model)
    model = load_base(recipe.model)[0]
    training = recipe.training.model_copy(
        update={"steps": 1, "batch_size": case.pairs, "cache_rows": case.cache_rows}
    )
    whole = {"training": training, "dimension": model.get_embedding_dimension()}
    with tempfile.TemporaryDirectory(prefix="trine-benchmark-") as name:
        trainer = make_trainer(
            model, tasks, recipe.model_copy(update=whole), directory=Path(name), seeds=Seeds(0)
        )
        before, start = peak_memory(), time.process_time()
        trainer.train()
        seconds = time.process_time() - start
    (tokens,) = (tokens for tokens, _ in trainer.tokens.values())
    return {
        "metric": "peak resident memory of a process that takes one step, bytes",
        "case": f"queries and posts, {case.pairs} pairs a batch",
        "cache_rows": case.cache_rows,
        "tokens": tokens,
        "peak_bytes": peak_memory(),
        "peak_bytes_before": before,
        "wanted": MOST if case.cache_rows else None,
        "seconds": seconds,
    }


def memory_table(rows: Sequence[dict[str, Any]]) -> Table:
    """One line a case."""
    frame = pl.DataFrame(
        {
            "case": [r["case"] for r in rows],
            "pieces": [r["cache_rows"] or None for r in rows],
            "tokens": [r["tokens"] for r in rows],
            "peak": [r["peak_bytes"] / GIB for r in rows],
            "before": [r["peak_bytes_before"] / GIB for r in rows],
            "wanted": [None if r["wanted"] is None else r["wanted"] / GIB for r in rows],
            "seconds": [r["seconds"] for r in rows],
        },
        infer_schema_length=None,
    )
    columns = (
        Column("case"), Column("pieces", "texts a piece"), Column("tokens", format=","),
        Column("peak", "peak memory, GiB", ".2f", highlight=True),
        Column("before", "before the step, GiB", ".2f"),
        Column("wanted", "asked for, at most", ".0f"),
        Column("seconds", "CPU seconds", ".0f"),
    )  # fmt: skip
    return Table(
        frame, "Memory: one training step", columns,
        "Resident memory of the whole process, once; without a size of pieces the batch is whole.",
    )  # fmt: skip


def main(arguments: list[str]) -> int:
    """Measure both ways; returns the exit code."""
    quick = quick_wanted(arguments)
    if quick is None:
        return 2
    pairs = 32 if quick else 512
    cases = [Case(pairs, 32), Case(pairs, 0)]
    rows = [next(made for _, made in ProcessExecutor(1).run(memory_row, [c])) for c in cases]
    table = memory_table(rows)
    text = to_markdown(table)
    if not quick:
        write_json(
            RECORDS / "embeddings-memory.json",
            {**circumstances(), "command": COMMAND, "rows": rows},
        )
        save_table(table, RECORDS, "embeddings-memory")
        readme = (HERE / "README.md").read_text(encoding="utf-8")
        head, rest = readme.split(BEGIN)
        after = rest.split(END)[1]
        write_text(HERE / "README.md", f"{head}{BEGIN}\n{text}\n{END}{after}")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
