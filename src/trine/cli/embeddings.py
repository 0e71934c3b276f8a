"""`trine embeddings`: one embedding model from many labelling tasks."""

from pathlib import Path
from typing import Annotated, Any

import typer

from trine.cli.output import emit, make_progress, say, say_table
from trine.cli.runs import JsonOption, RootOption

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

RunOption = Annotated[
    Path | None, typer.Option("--run", help="Run directory.  [default: a named one]")
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="One value by its dotted name, e.g. training.steps=50."),
]


@app.callback()
def embeddings() -> None:
    """Text embeddings: one small-vector model from many semantic labelling tasks."""


@app.command()
def init(
    tables: Annotated[
        list[str],
        typer.Argument(
            metavar="TABLE...", help="CSV, TSV, JSONL or Parquet, gzip too; or sample:NAME."
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Guess a recipe from tables, print it, and say what is wrong with the data.

    Example: trine embeddings init data/*.csv > recipe.toml
    """
    from trine.embeddings.guessing import guess_recipe

    guessed = guess_recipe(tables, Path())
    if not as_json:
        for table in guessed.findings.tables():
            say_table(table)
    emit(guessed.document(), as_json=as_json, text=guessed.text.rstrip("\n"))


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A TOML file: tasks, base, dimension, budget.")],
    settings: SettingsOption = None,
    steps: Annotated[
        int | None, typer.Option(help="Optimiser steps.  [default: the recipe's]")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show tasks, rows and updates; train nothing.")
    ] = False,
    runs: RootOption = None,
    directory: RunOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train one model on all tasks of a recipe and score it; the same command resumes.

    Example: trine embeddings train recipe.toml --set training.steps=300
    """
    from trine.core.extras import require
    from trine.embeddings.config import load_recipe

    resolved, base = load_recipe(recipe, settings or [], training__steps=steps)
    require("embeddings", "trine embeddings train")
    from trine.embeddings.train_run import plan
    from trine.embeddings.train_run import train as run_training

    if dry_run:
        _show_plan(plan(resolved, base), as_json)
        return
    from trine.embeddings.train_report import OWN, scores_table

    done = run_training(
        resolved, base, root=runs, directory=directory, progress=make_progress(), say=say
    )
    tables = [scores_table(done.scores)] if done.scores else []
    if done.own_scores:
        tables.append(scores_table(done.own_scores, OWN))
    emit(
        done.document,
        as_json=as_json,
        tables=tables,
        text=f"model: {done.model}\nreport: {done.run.report}",
    )


@app.command()
def branch(
    run: Annotated[Path, typer.Argument(help="Run directory of a finished training.")],
    task: Annotated[str, typer.Argument(help="A task that the recipe trains.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    width: Annotated[
        int | None, typer.Option(min=1, help="Of the vectors.  [default: the recipe's dimension]")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write one task's own model: the joint one with that task's branch, or its own head.

    Example: trine embeddings branch runs/my-run banking77 --out banking77-model
    """
    from trine.core.extras import require

    require("embeddings", "trine embeddings branch")
    from trine.embeddings.task_models import write_task_model

    size = write_task_model(run, task, out, width)
    document = {"model": str(out), "task": task, "width": size}
    emit(document, as_json=as_json, text=f"model of {task}, {size} numbers: {out}")


def _show_plan(facts: dict[str, Any], as_json: bool) -> None:
    import polars as pl

    from trine.core.tables import Table

    rows = [
        {**task, "rows": "/".join(str(n) for n in task["rows"].values())} for task in facts["tasks"]
    ]
    title = (
        f"{facts['base']} to {facts['dimension']} numbers: {facts['steps']} steps, "
        f"{facts['tasks_per_step']} tasks in each"
    )
    if facts["branch_steps"]:
        title += f", then {facts['branch_steps']} for each task alone"
    frame = pl.DataFrame(rows, infer_schema_length=None)
    empty = ["rate"] if frame["rate"].null_count() == frame.height else []
    table = Table(frame.drop(empty), title)
    emit(facts, as_json=as_json, tables=[table])


SuiteOption = Annotated[
    Path, typer.Option("--suite", help="A recipe: its tasks are scored, whatever their role.")
]
WidthOption = Annotated[
    list[int] | None,
    typer.Option("--width", help="Leading numbers to use; may be repeated.  [default: all]"),
]
MaxRowsOption = Annotated[
    int | None,
    typer.Option("--max-rows", min=10, help="Scored rows a task and language.  [default: all]"),
]
DrawsOption = Annotated[
    int, typer.Option(min=1, help="Draws of a classification; 10 is MTEB's number.")
]


MixtureOption = Annotated[
    Path | None,
    typer.Option("--mixture", help="Recipe whose training texts fit +pcaN.  [default: the suite]"),
]


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A folder, a base (minilm, ...) or a hub name.")],
    suite: SuiteOption,
    widths: WidthOption = None,
    split: Annotated[str, typer.Option(help="test or validation.")] = "test",
    max_rows: MaxRowsOption = None,
    mixture: MixtureOption = None,
    draws: DrawsOption = 10,
    as_json: JsonOption = False,
) -> None:
    """Score a model on every task of a recipe, by MTEB's protocols, language by language.

    Example: trine embeddings evaluate runs/my-run/model --suite recipe.toml
    """
    from dataclasses import asdict

    from trine.core.errors import DataError, UsageError

    if split not in ("test", "validation"):
        raise UsageError(f"split {split!r}", accepted="test, validation")
    tasks = _suite(suite, "trine embeddings evaluate")
    from trine.embeddings.comparing import open_scored
    from trine.embeddings.evaluation.suite import evaluate_model
    from trine.embeddings.train_report import scores_table

    rows = evaluate_model(
        open_scored(model, tasks if mixture is None else _mixture(mixture) or []),
        tasks,
        model_name=model,
        widths=widths,
        split=split,
        max_rows=max_rows,
        draws=draws,
        progress=make_progress(),
    )
    if not rows:
        raise DataError(
            f"{suite} has no {split} rows to score",
            hint="set validation_rows for its tasks" if split == "validation" else "",
        )
    emit([asdict(row) for row in rows], as_json=as_json, tables=[scores_table(rows)])


def _mixture(recipe: Path | None) -> list[Any] | None:
    return None if recipe is None else _suite(recipe, "--mixture")


def _suite(suite: Path, what: str) -> list[Any]:
    from trine.core.extras import require
    from trine.embeddings.config import load_recipe
    from trine.embeddings.loading import load_tasks

    resolved, base = load_recipe(suite)
    require("embeddings", what)
    return load_tasks(resolved, base)[0]


@app.command()
def compare(
    models: Annotated[
        list[str],
        typer.Argument(help="Folders, bases (minilm, minilm+pca50, ...) or hub names."),
    ],
    suite: SuiteOption,
    api: Annotated[
        str | None, typer.Option("--api", help="Address of an OpenAI-compatible endpoint, .../v1.")
    ] = None,
    api_model: Annotated[
        str | None, typer.Option("--api-model", help="Name of the model there.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Call the endpoint without asking; the cost is said.")
    ] = False,
    mixture: MixtureOption = None,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", help="Where answers are kept.  [default: under $TRINE_CACHE]"),
    ] = None,
    widths: WidthOption = None,
    max_rows: MaxRowsOption = None,
    draws: DrawsOption = 10,
    out: Annotated[Path | None, typer.Option("--out", help="Also write an HTML page here.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Score several models side by side, an endpoint too (key: $OPENAI_API_KEY, never stored).

    Example: trine embeddings compare minilm minilm+pca50 runs/my-run/model --suite recipe.toml
    """
    from dataclasses import asdict

    from trine.core.errors import UsageError

    if (api is None) != (api_model is None):
        raise UsageError("--api and --api-model go together", accepted="both or neither")
    tasks = _suite(suite, "trine embeddings compare")
    from trine.embeddings.comparing import api_scores, api_texts
    from trine.embeddings.comparing import compare as run_compare
    from trine.embeddings.comparing_report import comparison_table, write_comparison

    endpoint: Any = None
    if api is not None and api_model is not None:
        from trine.embeddings.api import ApiModel
        from trine.embeddings.bases import cache_directory

        endpoint = ApiModel(api, api_model, cache or cache_directory() / "api-vectors.sqlite")
        estimate = endpoint.estimate(api_texts(tasks, max_rows=max_rows, draws=draws))
        say(f"{api_model}: {estimate}")
        if any(task.config.prefix for task in tasks):
            say(f"{api_model}: gets the texts without the prefixes of the recipe")
        if estimate.texts and not endpoint.is_local and not yes:
            _ask(f"call {endpoint.shown} now?")
    # The endpoint first: what it answers is kept, what the models score is lost if it fails.
    theirs: list[Any] = []
    if endpoint is not None:
        theirs = api_scores(
            endpoint, tasks, widths=widths, max_rows=max_rows, draws=draws,
            progress=make_progress(),
        )  # fmt: skip
    rows = run_compare(
        models, tasks, mixture=_mixture(mixture), widths=widths, max_rows=max_rows, draws=draws,
        progress=make_progress(),
    )  # fmt: skip
    rows += theirs
    written = f"page: {write_comparison(rows, out)}" if out is not None else ""
    emit(
        [asdict(row) for row in rows],
        as_json=as_json,
        tables=[comparison_table(rows)],
        text=written,
    )


def _ask(question: str) -> None:
    import sys

    from trine.core.errors import UsageError

    if not sys.stdin.isatty():
        raise UsageError("this would call a paid endpoint", hint="give --yes to go on")
    typer.confirm(question, abort=True, err=True)


@app.command()
def encode(
    source: Annotated[Path, typer.Argument(help="A table: CSV, JSON lines or Parquet.")],
    out: Annotated[Path, typer.Option("--out", help="The Parquet file to write.")],
    model: Annotated[str, typer.Option("--model", help="A folder or a base.")] = "minilm",
    text: Annotated[str, typer.Option(help="Column of the text.")] = "text",
    column: Annotated[str, typer.Option(help="Name of the column of vectors.")] = "vector",
    keep: Annotated[
        list[str] | None, typer.Option(help="Columns to copy; may be repeated.  [default: all]")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of the encoder.  [default: one for each core]")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Vectors of a table's texts into a Parquet file; constant memory, goes on after a kill.

    Example: trine embeddings encode posts.parquet --model runs/my-run/model --out vectors.parquet
    """
    from dataclasses import asdict

    from trine.core.extras import require

    require("embeddings", "trine embeddings encode")
    from trine.embeddings.encode_files import encode_file
    from trine.embeddings.inference import encoder_named

    encoder = encoder_named(model, threads=threads)
    done = encode_file(
        source, out, encoder.encode, model=model, text=text, column=column, keep=keep,
        progress=make_progress(),
    )  # fmt: skip
    words = f"{done.rows:,} vectors of {done.width} numbers in {done.out}"
    if done.blank:
        words += f"; {done.blank:,} rows without a text have none"
    emit(asdict(done), as_json=as_json, text=words)


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="A folder or a base.")],
    onnx: Annotated[bool, typer.Option("--onnx", help="As an ONNX graph.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Matrices in 8 bits.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder to write.  [default: MODEL-onnx, with -int8]"),
    ] = None,
    suite: Annotated[
        Path | None,
        typer.Option("--suite", help="A recipe: measure on its tasks what the export loses."),
    ] = None,
    mixture: MixtureOption = None,
    max_rows: MaxRowsOption = None,
    draws: DrawsOption = 10,
    as_json: JsonOption = False,
) -> None:
    """Write a model for ONNX Runtime; with --suite, say what it costs in quality.

    Example: trine embeddings export runs/my-run/model --onnx --int8 --suite recipe.toml
    """
    from trine.core.errors import UsageError

    if not onnx:
        raise UsageError("no format given", accepted="--onnx, with --int8 if wanted")
    tasks = _suite(suite, "trine embeddings export") if suite is not None else []
    from trine.core.extras import require

    require("embeddings", "trine embeddings export")
    from trine.embeddings.bases import folder_named
    from trine.embeddings.comparing import open_model
    from trine.embeddings.onnx_export import export_onnx, quality_loss

    opened = open_model(model, tasks if mixture is None else _mixture(mixture) or [])
    source = folder_named(model) or Path(model.replace("/", "-"))
    folder = out or source.with_name(f"{source.name}-onnx{'-int8' if int8 else ''}")
    graph = export_onnx(opened, folder, int8=int8)
    document: dict[str, Any] = {"graph": str(graph), "bytes": graph.stat().st_size, "int8": int8}
    if tasks:
        document["loss"] = quality_loss(opened, folder, tasks, max_rows=max_rows, draws=draws)
    text = f"{graph} ({graph.stat().st_size / 2**20:.1f} MiB)"
    if tasks:
        text += f"; mean loss {document['loss']['mean']:+.2f} points"
    emit(document, as_json=as_json, text=text)


@app.command()
def serve(
    model: Annotated[str, typer.Argument(help="A folder (ONNX or not) or a base.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: a free one.")] = 8000,
    name: Annotated[
        str | None, typer.Option(help="Of the model in answers.  [default: the folder's]")
    ] = None,
    batch_texts: Annotated[
        int, typer.Option(min=0, help="Texts of different requests joined in one pass; 0: none.")
    ] = 256,
    most_texts: Annotated[int, typer.Option(min=1, help="In one request.")] = 2048,
    most_bytes: Annotated[int, typer.Option(min=1024, help="Of one request.")] = 8 * 2**20,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of the encoder.  [default: one for each core]")
    ] = None,
) -> None:
    """Serve a model at /v1/embeddings, as OpenAI's clients expect; /healthz and /metrics too.

    A key in $TRINE_API_KEY must then be sent by every client; off loopback one is required.

    Example: trine embeddings serve runs/my-run/model --port 8000
    """
    from trine.core.extras import require

    require("serve", "trine embeddings serve")
    require("embeddings", "trine embeddings serve")
    from trine.embeddings.serving.run import check_address, run_server

    key = check_address(host)
    from trine.embeddings.inference import encoder_named
    from trine.embeddings.serving.schemas import Limits

    encoder = encoder_named(model, threads=threads)
    limits = Limits(texts=most_texts, body=most_bytes)
    shown = name or Path(model).name
    run_server(
        encoder, shown, host=host, port=port, key=key, limits=limits, batch_texts=batch_texts,
        say=say,
    )  # fmt: skip


@app.command()
def transfer(
    recipe: Annotated[Path, typer.Argument(help="A TOML file with two trained tasks or more.")],
    seeds: Annotated[int, typer.Option(min=1, help="How many; three for a claim.")] = 3,
    settings: SettingsOption = None,
    max_rows: MaxRowsOption = None,
    draws: DrawsOption = 10,
    matrix_seeds: Annotated[
        int | None,
        typer.Option(min=0, help="Seeds whose single-task models see every task.  [default: all]"),
    ] = None,
    widths: Annotated[
        list[int] | None,
        typer.Option("--width", help="Of the dimension curve.  [default: 8, 16, ... 256]"),
    ] = None,
    runs: RootOption = None,
    directory: RunOption = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 means one for each core.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Learn tasks together and each alone with equal updates, and say who gains.

    Example: trine embeddings transfer recipe.toml --seeds 3
    """
    from trine.core.extras import require
    from trine.embeddings.config import load_recipe

    resolved, base = load_recipe(recipe, settings or [])
    require("embeddings", "trine embeddings transfer")
    from trine.core.executors import make_executor
    from trine.embeddings.transfer import WIDTHS
    from trine.embeddings.transfer import transfer as run_transfer
    from trine.embeddings.transfer_report import summary_of, transfer_tables

    result = run_transfer(
        resolved, base, seeds=seeds, max_rows=max_rows, draws=draws, matrix_seeds=matrix_seeds,
        widths=widths or WIDTHS, root=runs, directory=directory,
        executor=make_executor(workers), progress=make_progress(), say=say,
    )  # fmt: skip
    emit(
        result.rows.to_dicts(),
        as_json=as_json,
        tables=transfer_tables(result),
        text=f"{summary_of(result)}\nreport: {result.run.report}",
    )


@app.command()
def members(
    vectors: Annotated[
        Path, typer.Argument(help="Parquet with vectors (trine embeddings encode).")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Write each member's interests as Parquet.")
    ] = None,
    member: Annotated[str, typer.Option(help="Column that names the member.")] = "member",
    column: Annotated[str, typer.Option(help="Column of vectors.")] = "vector",
    age: Annotated[str, typer.Option(help="Column of ages in days; empty: none.")] = "",
    distance: Annotated[float, typer.Option(help="Height at which Ward's tree is cut.")] = 1.0,
    most: Annotated[int, typer.Option(min=1, help="Interests kept of a member.")] = 5,
    retrieve: Annotated[
        str | None, typer.Option(help="Also list the posts nearest to this member's interests.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many posts.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Members as a few weighted medoids of their posts (Ward), and retrieval by each of them.

    Example: trine embeddings members vectors.parquet --member author --retrieve "Ada" -k 5
    """
    from trine.core.extras import require

    require("embeddings", "trine embeddings members")
    from trine.embeddings.member_files import member_tables, summarise_members

    found = summarise_members(
        vectors, out, member=member, column=column, age=age, distance=distance, most=most,
        retrieve_for=retrieve, k=k,
    )  # fmt: skip
    emit(found, as_json=as_json, tables=member_tables(found))
