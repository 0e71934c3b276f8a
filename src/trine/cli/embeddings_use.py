"""`trine embeddings encode | export | serve | members`: what a model is used for."""

from pathlib import Path
from typing import Annotated, Any

import typer

from trine.cli.embeddings_options import (
    DrawsOption,
    MaxRowsOption,
    MixtureOption,
    mixture_tasks,
    suite_tasks,
)
from trine.cli.output import emit, make_progress, say
from trine.cli.runs import JsonOption

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Adds the commands to the room's."""
    app.command()(encode)
    app.command()(export)
    app.command()(serve)
    app.command()(members)


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
    tasks = suite_tasks(suite, "trine embeddings export") if suite is not None else []
    from trine.core.extras import require

    require("embeddings", "trine embeddings export")
    from trine.embeddings.bases import folder_named
    from trine.embeddings.comparing import open_model
    from trine.embeddings.onnx_export import export_onnx, quality_loss

    opened = open_model(model, tasks if mixture is None else mixture_tasks(mixture) or [])
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
