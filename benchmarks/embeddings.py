"""Speed of the embeddings room: encoding, a training step, the server with and without batching.

    .venv/bin/python -m benchmarks.embeddings            all of it, minutes; rewrites records/
    .venv/bin/python -m benchmarks.embeddings --quick    few texts, one turn, prints only

*Encoding*: the packaged MiniLM by the library's `SentenceTransformer.encode` as it comes, and by
ours in PyTorch, in ONNX Runtime and there in 8 bits; the same texts, one thread. *Training*: tokens
(without padding) per CPU second of our trainer and of the library's own with its collator and its
`MultipleNegativesRankingLoss`; the same pairs, base and batch size, nothing frozen. The routes run
in turns within one process, a ratio is taken within each turn, and its spread is over turns.
*Server*: see `benchmarks.embeddings_server`.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from benchmarks.embeddings_server import ServerCase, server_row, server_table
from benchmarks.run import RECORDS, as_record, circumstances, quick_wanted

from trine.core.artifacts import write_json, write_text
from trine.core.executors import ProcessExecutor
from trine.core.seeding import Seeds
from trine.core.stats import summarise
from trine.core.tables import Column, Table, save_table, to_markdown
from trine.embeddings.config import HeadConfig, ModelConfig, Recipe, TrainingConfig
from trine.embeddings.sources import sample_task

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from trine.embeddings.tasks import Task

HERE = Path(__file__).parent
COMMAND = "python -m benchmarks.embeddings"
LONG = 128
"""Tokens of a long text, the two special ones included."""
ROUTES = ("PyTorch", "ONNX", "ONNX int8")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
      short: texts.
      long: texts of `LONG` tokens.
      mixed: texts.
      turns: of encoding and of training.
      steps: of each trainer in a turn, after one that is not counted.
      pairs: in a batch.
      seconds: of a served case, in each mode.
    """

    short: int = 256
    long: int = 32
    mixed: int = 256
    turns: int = 3
    steps: int = 2
    pairs: int = 32
    seconds: float = 60.0


QUICK = Sizes(short=64, long=8, mixed=64, turns=1, steps=1, seconds=3.0)


@dataclass(frozen=True)
class TextSet:
    """Texts that are encoded, and the least ratios asked for by route."""

    name: str
    texts: list[str]
    wanted: dict[str, float]


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, all threads, and the result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def search_pairs(model: ModelConfig | None = None) -> tuple[Recipe, list[Task]]:
    """The sample's queries with the posts that answer them, learnt with nothing frozen."""
    from trine.embeddings.loading import load_tasks

    chosen = (model or ModelConfig()).model_copy(update={"freeze_vocabulary": False})
    recipe = Recipe(
        tasks=(sample_task("search"),),
        model=chosen,
        head=HeadConfig(start="none"),
        training=TrainingConfig(max_tokens=None),
    )
    return recipe, load_tasks(recipe, HERE)[0]


def text_sets(sizes: Sizes, tokenizer: Any) -> list[TextSet]:
    """Short texts, texts of `LONG` tokens and mixed ones."""
    frame = search_pairs()[1][0].frame
    queries, posts = (
        frame["text"].unique(maintain_order=True),
        frame["pair"].unique(maintain_order=True),
    )
    generator = Seeds(0).generator("texts")
    mixed = [*queries, *posts]
    chosen = [mixed[int(i)] for i in generator.permutation(len(mixed))[: sizes.mixed]]
    data = os.environ.get("TRINE_DATA")
    banking = Path(data or "") / "text" / "banking77.csv.gz"
    if data and banking.is_file():
        rows = pl.read_csv(banking).filter(pl.col("split") == "test")
        name, short = "banking77", rows["text"].to_list()
    else:
        name, short = "search queries", queries.to_list()
    # Banking77's rows are sorted by label: a seeded choice stands for all of them.
    short = [short[int(i)] for i in generator.permutation(len(short))[: sizes.short]]
    onnx = {"ONNX": 1.8, "ONNX int8": 1.8}
    return [
        TextSet(f"short ({name})", short, onnx),
        TextSet(f"{LONG} tokens", long_texts(list(posts), tokenizer, sizes.long), onnx),
        TextSet("mixed lengths", chosen, {"PyTorch": 1.2}),
    ]


def long_texts(posts: Sequence[str], tokenizer: Any, count: int) -> list[str]:
    """Posts joined and cut into texts of `LONG` tokens, the special ones included."""
    texts: list[str] = []
    joined = " ".join(posts)
    places = tokenizer(joined, add_special_tokens=False, return_offsets_mapping=True,
                       truncation=False, verbose=False)["offset_mapping"]  # fmt: skip
    for start in range(0, len(places), LONG - 2):
        own = places[start : start + LONG - 2]
        if len(texts) < count and len(own) == LONG - 2:
            texts.append(joined[own[0][0] : own[-1][1]])
    return texts


def encoding_rows(sizes: Sizes, model: ModelConfig | None = None) -> list[dict[str, Any]]:
    """Every text set by every route, in turns with the library's default.

    Returns:
      A record for each set and route: texts per CPU second both ways, their ratio, and the
      smallest cosine between the two vectors of a text.
    """
    import torch

    from trine.embeddings.encoder import load_base
    from trine.embeddings.inference import Encoder
    from trine.embeddings.onnx_export import export_onnx, open_onnx

    torch.set_num_threads(1)
    library = load_base(model or ModelConfig())[0].eval()
    routes = {"PyTorch": Encoder.of(library)}
    with tempfile.TemporaryDirectory(prefix="trine-benchmark-") as name:
        for route in ROUTES[1:]:
            folder = Path(name) / route
            export_onnx(library, folder, int8=route.endswith("int8"))
            routes[route] = open_onnx(folder, threads=1)
        found: list[dict[str, Any]] = []
        for own in text_sets(sizes, library.tokenizer):
            found += _encoding(library, routes, own, sizes.turns)
    return found


def _encoding(
    library: SentenceTransformer, routes: dict[str, Any], own: TextSet, turns: int
) -> list[dict[str, Any]]:
    plain: list[float] = []
    ours: dict[str, list[float]] = {route: [] for route in routes}
    least: dict[str, float] = {}
    for route in routes.values():
        route.encode(own.texts[:32])  # memory is touched; the same for the library
    library.encode(own.texts[:32])
    lengths = routes["PyTorch"].encode_counted(own.texts[:1000])[1]
    for _ in range(turns):
        seconds, expected = cpu_seconds(lambda: library.encode(own.texts))
        plain.append(len(own.texts) / seconds)
        for name, route in routes.items():
            seconds, vectors = cpu_seconds(partial(route.encode, own.texts))
            ours[name].append(len(own.texts) / seconds)
            least[name] = float(np.sum(vectors * np.asarray(expected), axis=1).min())
    plain_rate = np.array(plain)
    return [
        {
            "metric": "texts per CPU second of one core",
            "texts": own.name,
            "route": name,
            "count": len(own.texts),
            "tokens": float(np.mean(lengths)),
            "turns": turns,
            "plain": as_record(summarise(plain_rate)),
            "ours": as_record(summarise(np.array(rates))),
            "ratio": as_record(summarise(np.array(rates) / plain_rate)),
            "wanted": own.wanted.get(name),
            "least_cosine": least[name],
        }
        for name, rates in ours.items()
    ]


def training_row(sizes: Sizes, model: ModelConfig | None = None) -> dict[str, Any]:
    """Our trainer and the library's on the same pairs, in turns.

    Returns:
      The record: tokens per CPU second both ways and their ratio, and what was padded.
    """
    import torch

    torch.set_num_threads(1)
    rates: dict[str, list[float]] = {"plain": [], "ours": []}
    padded: dict[str, list[float]] = {"plain": [], "ours": []}
    for turn in range(sizes.turns):
        for way in rates:
            counted = _train(way == "ours", sizes, turn, model)
            rates[way].append(counted.tokens / counted.seconds)
            padded[way].append(1 - counted.tokens / counted.places)
    plain, ours = np.array(rates["plain"]), np.array(rates["ours"])
    return {
        "metric": "tokens per CPU second of one core, padding not counted",
        "case": f"queries and posts, {sizes.pairs} pairs a batch",
        "turns": sizes.turns,
        "steps": sizes.steps,
        "plain": as_record(summarise(plain)),
        "ours": as_record(summarise(ours)),
        "ratio": as_record(summarise(ours / plain)),
        "wanted": 1.3,
        "padding_plain": float(np.mean(padded["plain"])),
        "padding_ours": float(np.mean(padded["ours"])),
    }


@dataclass
class _Counted:
    seconds: float = 0.0
    tokens: int = 0
    places: int = 0


def _train(is_ours: bool, sizes: Sizes, seed: int, chosen: ModelConfig | None) -> _Counted:
    """A few steps from the start; the first one is not counted, later ones with their loading."""
    from transformers import TrainerCallback

    from trine.embeddings.encoder import load_base
    from trine.embeddings.training import make_trainer

    recipe, tasks = search_pairs(chosen)
    model = load_base(recipe.model)[0]
    counted = _Counted()

    def count(_: Any, given: tuple[dict[str, Any], ...]) -> None:
        mask = given[0]["attention_mask"]
        counted.tokens += int(mask.sum())
        counted.places += mask.numel()

    class Clock(TrainerCallback):
        """From the end of the first step to the end of the last."""

        began = 0.0

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 1:
                counted.tokens = counted.places = 0
                self.began = time.process_time()
            counted.seconds = time.process_time() - self.began

    model.register_forward_pre_hook(count)
    with tempfile.TemporaryDirectory(prefix="trine-benchmark-") as name:
        if is_ours:
            wanted = {"steps": sizes.steps + 1, "batch_size": sizes.pairs}
            whole = {
                "training": recipe.training.model_copy(update=wanted),
                "dimension": model.get_embedding_dimension(),
            }
            trainer: Any = make_trainer(
                model, tasks, recipe.model_copy(update=whole),
                directory=Path(name), seeds=Seeds(seed), callbacks=[Clock()],
            )  # fmt: skip
        else:
            trainer = _library_trainer(model, tasks[0], sizes, seed, Path(name))
            trainer.add_callback(Clock())
        trainer.train()
    return counted


def _library_trainer(
    model: SentenceTransformer, task: Task, sizes: Sizes, seed: int, folder: Path
) -> Any:
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from transformers.trainer_callback import PrinterCallback

    class Trainer(SentenceTransformerTrainer):
        """The library's; its model card, made before the first step, would ask the hub."""

        def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
            """None."""

    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder), max_steps=sizes.steps + 1, seed=seed, learning_rate=2e-5,
        per_device_train_batch_size=sizes.pairs, use_cpu=True, save_strategy="no",
        logging_strategy="no", report_to="none", disable_tqdm=True, dataloader_pin_memory=False,
    )  # fmt: skip
    frame = task.train
    pairs = Dataset.from_dict(
        {"anchor": frame["text"].to_list(), "positive": frame["pair"].to_list()}
    )
    trainer = Trainer(model, arguments, train_dataset=pairs,
                      loss=MultipleNegativesRankingLoss(model))  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    return trainer


def spread(record: dict[str, Any], digits: int) -> str:
    """Mean and standard error."""
    error = record["standard_error"]
    tail = "" if error is None else f" ± {error:,.{digits}f}"
    return f"{record['mean']:,.{digits}f}{tail}"


def encoding_table(rows: Sequence[dict[str, Any]]) -> Table:
    """One line a text set and route."""
    frame = pl.DataFrame(
        {
            "texts": [r["texts"] for r in rows],
            "count": [r["count"] for r in rows],
            "tokens": [r["tokens"] for r in rows],
            "plain": [spread(r["plain"], 1) for r in rows],
            "route": [r["route"] for r in rows],
            "ours": [spread(r["ours"], 1) for r in rows],
            "ratio": [spread(r["ratio"], 2) for r in rows],
            "wanted": [r["wanted"] for r in rows],
            "cosine": [r["least_cosine"] for r in rows],
        }
    )
    columns = (
        Column("texts"), Column("count", "number"), Column("tokens", "mean tokens", ".1f"),
        Column("plain", "library's default, texts/s"), Column("route", "ours by"),
        Column("ours", "texts/s"), Column("ratio", highlight=True),
        Column("wanted", "asked for", ".1f"), Column("cosine", "least cosine", ".4f"),
    )  # fmt: skip
    return Table(
        frame, "Encoding: texts per CPU second of one core", columns,
        f"Mean ± standard error over {rows[0]['turns']} turns. Least cosine: between the library's "
        "vector of a text and ours.",
    )  # fmt: skip


def training_table(rows: Sequence[dict[str, Any]]) -> Table:
    """One line a case."""
    frame = pl.DataFrame(
        {
            "case": [r["case"] for r in rows],
            "plain": [spread(r["plain"], 0) for r in rows],
            "ours": [spread(r["ours"], 0) for r in rows],
            "ratio": [spread(r["ratio"], 2) for r in rows],
            "wanted": [r["wanted"] for r in rows],
            "padding_plain": [r["padding_plain"] for r in rows],
            "padding_ours": [r["padding_ours"] for r in rows],
        }
    )
    columns = (
        Column("case"), Column("plain", "library's trainer, tokens/s"),
        Column("ours", "ours, tokens/s"), Column("ratio", highlight=True),
        Column("wanted", "asked for", ".1f"), Column("padding_plain", "padding, library", ".0%"),
        Column("padding_ours", "padding, ours", ".0%"),
    )  # fmt: skip
    return Table(
        frame, "Training: tokens per CPU second of one core", columns,
        f"Mean ± standard error over {rows[0]['turns']} turns of {rows[0]['steps']} steps; padding "
        "is not counted as tokens.",
    )  # fmt: skip


def main(arguments: list[str]) -> int:
    """Run the three parts; returns the exit code."""
    quick = quick_wanted(arguments)
    if quick is None:
        return 2
    sizes = QUICK if quick else Sizes()
    # Processes of their own: their libraries use one thread.
    encoding = next(made for _, made in ProcessExecutor(1).run(encoding_rows, [sizes]))
    for row in encoding:
        print(f"{row['texts']}, {row['route']}: {row['ratio']['mean']:.2f} times", file=sys.stderr)
    training = [made for _, made in ProcessExecutor(1).run(training_row, [sizes])]
    print(f"training: {training[0]['ratio']['mean']:.2f} times", file=sys.stderr)
    served: list[dict[str, Any]] = []
    for case in server_cases(sizes):
        served.append(server_row(case))
        print(f"{case.name}: {served[-1]['ratio']['mean']:.2f} times", file=sys.stderr)
    tables = {
        "embeddings-encoding": encoding_table(encoding),
        "embeddings-training": training_table(training),
        "embeddings-server": server_table(served),
    }
    text = "\n".join(to_markdown(table) for table in tables.values())
    print(text)
    if quick:
        return 0
    import sentence_transformers
    import torch

    shared = circumstances() | {
        "command": COMMAND, "torch": torch.__version__,
        "sentence_transformers": sentence_transformers.__version__,
    }  # fmt: skip
    for kind, rows in (("encoding", encoding), ("training", training), ("server", served)):
        for record in rows:
            named = f"{record['texts']} {record['route']}" if kind == "encoding" else record["case"]
            plain = "".join(c for c in named if c not in "(),").replace(" ", "-")
            write_json(RECORDS / f"embeddings-{kind}-{plain}.json", record | shared)
    for name, made in tables.items():
        save_table(made, RECORDS, name)
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    begin, end = "<!-- embeddings -->\n", "<!-- end of embeddings -->\n"
    head, rest = readme.split(begin)
    write_text(HERE / "README.md", head + begin + "\n" + text + "\n" + end + rest.split(end)[1])
    return 0


def server_cases(sizes: Sizes) -> list[ServerCase]:
    """What is served: the base in PyTorch and as an exported graph, to small and larger requests.

    The first two are what users meet; the others say what batching gains where, and for them less
    time is enough.
    """
    return [
        ServerCase("ONNX, 1 text a request", is_onnx=True, seconds=sizes.seconds, wanted=2.0),
        ServerCase(
            "ONNX, 1 text, two threads", is_onnx=True, seconds=sizes.seconds, threads=2, wanted=2.0
        ),
        ServerCase("PyTorch, 1 text a request", seconds=sizes.seconds / 4, wanted=2.0),
        ServerCase("ONNX, 8 texts a request", is_onnx=True, texts=8, seconds=sizes.seconds / 6),
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
