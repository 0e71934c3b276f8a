"""`trine embeddings serve` under load: many clients at once, with and without dynamic batching.

Two servers of the same model listen on free ports, one of them with `--batch-texts 0`; both encode
on as many threads as the case says. One asyncio process plays all clients: each sends a request,
waits for the answer and sends the next. The servers are loaded in turns, so that other work on the
machine falls on both alike, and the ratio of their rates is taken turn by turn. Vectors travel in
base 64, which is what the official client asks for. CPU time of server and clients a request says
what bounds the rate.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import polars as pl
import psutil
from benchmarks.run import as_record

from trine.core.stats import summarise
from trine.core.tables import Column, Table

MODES = {"batched": [], "single": ["--batch-texts", "0"]}
"""Options of the server by mode."""
_TRINE = (sys.executable, "-c", "from trine.cli.app import main; main()")


@dataclass(frozen=True, slots=True)
class ServerCase:
    """A row of the table.

    Attributes:
      name: shown.
      is_onnx: whether the base is exported and served by ONNX Runtime; else PyTorch.
      texts: in one request.
      clients: at once.
      seconds: of load in each mode, all turns together.
      turns: of both modes.
      threads: that the model computes with.
      wanted: the least ratio asked for; None: none.
    """

    name: str
    is_onnx: bool = False
    texts: int = 1
    clients: int = 32
    seconds: float = 60.0
    turns: int = 3
    threads: int = 1
    wanted: float | None = None


@dataclass
class Load:
    """What the clients saw in one turn.

    Attributes:
      seconds: of the turn.
      latencies: of the answered requests, seconds.
      errors: of the others, in words.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


async def load(
    address: str, texts: Sequence[str], *, clients: int, per_request: int, seconds: float
) -> Load:
    """Keeps so many clients busy for a time; each finishes the request that it has begun."""
    found = Load()
    places = itertools.count(0, per_request)
    begin = time.perf_counter()

    async def client(session: httpx.AsyncClient) -> None:
        while time.perf_counter() - begin < seconds:
            start = next(places)
            own = [texts[i % len(texts)] for i in range(start, start + per_request)]
            sent = time.perf_counter()
            try:
                answer = await session.post(
                    f"{address}/embeddings", json={"input": own, "encoding_format": "base64"}
                )
                answer.raise_for_status()
                if len(answer.json()["data"]) != per_request:
                    raise ValueError("another number of vectors than of texts")
            except (httpx.HTTPError, ValueError, KeyError) as error:
                found.errors.append(f"{type(error).__name__}: {error}")
            else:
                found.latencies.append(time.perf_counter() - sent)

    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(
        limits=limits, timeout=60, trust_env=False, verify=False
    ) as session:
        await asyncio.gather(*(client(session) for _ in range(clients)))
    found.seconds = time.perf_counter() - begin
    return found


@contextmanager
def started(command: Sequence[str], threads: int = 1) -> Iterator[tuple[str, psutil.Process]]:
    """A server's address (with `/v1`) and process; ended on leaving.

    Args:
      command: says `serving NAME at ADDRESS` on stderr once it listens.
      threads: of the libraries behind it.
    """
    own = {"OMP_NUM_THREADS": str(threads), "COLUMNS": "200"}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=said, env=os.environ | own
        )
        try:
            until = time.monotonic() + 120
            while True:
                said.seek(0)
                told = said.read()
                match = re.search(r" at (http://\S+/v1)", told)
                if match:
                    break
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"the server did not start: {told[-500:]}")
                time.sleep(0.05)
            yield match[1], psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(timeout=60)


def server_row(case: ServerCase, model: str = "minilm") -> dict[str, Any]:
    """Measures one case in both modes.

    Returns:
      The record: by mode requests per second, latencies, errors, CPU milliseconds of the server
      and of the clients a request, and texts in a pass; and the ratio of the rates.
    """
    from contextlib import ExitStack

    texts = queries()
    with ExitStack() as stack:
        served = model
        if case.is_onnx:
            served = stack.enter_context(tempfile.TemporaryDirectory(prefix="trine-benchmark-"))
            command = [*_TRINE, "embeddings", "export", model, "--onnx", "--out", served]
            subprocess.run(command, check=True, capture_output=True)
        servers = {
            mode: stack.enter_context(
                started(
                    [*_TRINE, "embeddings", "serve", served, "--port", "0",
                     "--threads", str(case.threads), *options],
                    case.threads,
                )
            )
            for mode, options in MODES.items()
        }  # fmt: skip
        turns: dict[str, list[dict[str, Any]]] = {mode: [] for mode in MODES}
        for server in servers.values():
            _turn(server, texts, case, 0.5)  # not counted: the first requests touch memory
        for _ in range(case.turns):
            for mode, server in servers.items():
                turns[mode].append(_turn(server, texts, case, case.seconds / case.turns))
        passes = {mode: texts_in_a_pass(server[0]) for mode, server in servers.items()}
    rates = {mode: np.array([t["rate"] for t in own]) for mode, own in turns.items()}
    return {
        "metric": "requests per second of the clock",
        "case": case.name,
        "clients": case.clients,
        "texts": case.texts,
        "turns": case.turns,
        "threads": case.threads,
        "seconds": case.seconds,
        **{mode: _mode(own) | {"texts_in_a_pass": passes[mode]} for mode, own in turns.items()},
        "ratio": as_record(summarise(rates["batched"] / rates["single"])),
        "wanted": case.wanted,
    }


def queries() -> list[str]:
    """Short texts: the sample's search queries."""
    from trine.embeddings.sources import read_source

    return read_source("sample:search", Path())["query"].drop_nulls().unique().sort().to_list()


def _turn(
    server: tuple[str, psutil.Process], texts: Sequence[str], case: ServerCase, seconds: float
) -> dict[str, Any]:
    address, process = server
    before, mine = process.cpu_times(), time.process_time()
    made = asyncio.run(
        load(address, texts, clients=case.clients, per_request=case.texts, seconds=seconds)
    )
    after = process.cpu_times()
    return {
        "rate": len(made.latencies) / made.seconds,
        "latencies": made.latencies,
        "errors": made.errors,
        "server": after.user + after.system - before.user - before.system,
        "clients": time.process_time() - mine,
    }


def _mode(turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    latencies = np.array([value for t in turns for value in t["latencies"]])
    done = max(1, len(latencies))
    errors = [error for t in turns for error in t["errors"]]
    shown = latencies if len(latencies) else np.array([np.nan])
    return {
        "requests": len(latencies),
        "rate": as_record(summarise(np.array([t["rate"] for t in turns]))),
        "p50_ms": float(np.percentile(shown, 50) * 1000),
        "p99_ms": float(np.percentile(shown, 99) * 1000),
        "errors": len(errors),
        "first_error": errors[0] if errors else None,
        "server_cpu_ms": sum(t["server"] for t in turns) / done * 1000,
        "clients_cpu_ms": sum(t["clients"] for t in turns) / done * 1000,
    }


def texts_in_a_pass(address: str) -> float:
    """Mean number of texts in one pass of the model so far, from `/metrics`."""
    told = httpx.get(f"{address.removesuffix('/v1')}/metrics", trust_env=False, verify=False).text
    total, count = (
        float(match[1])
        if (match := re.search(rf"^trine_pass_texts_{end} (\S+)", told, re.M))
        else 0
        for end in ("sum", "count")
    )
    return total / count if count else 0.0


def server_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Two lines a case: with batching, and without."""
    lines = [(row, mode) for row in rows for mode in MODES]

    def spread(record: dict[str, Any], digits: int) -> str:
        error = record["standard_error"]
        tail = "" if error is None else f" ± {error:,.{digits}f}"
        return f"{record['mean']:,.{digits}f}{tail}"

    frame = pl.DataFrame(
        {
            "case": [row["case"] for row, _ in lines],
            "mode": ["yes" if mode == "batched" else "no" for _, mode in lines],
            "seconds": [row["seconds"] for row, _ in lines],
            "rate": [spread(row[mode]["rate"], 0) for row, mode in lines],
            "p50": [row[mode]["p50_ms"] for row, mode in lines],
            "p99": [row[mode]["p99_ms"] for row, mode in lines],
            "errors": [row[mode]["errors"] for row, mode in lines],
            "pass": [row[mode]["texts_in_a_pass"] for row, mode in lines],
            "server": [row[mode]["server_cpu_ms"] for row, mode in lines],
            "clients": [row[mode]["clients_cpu_ms"] for row, mode in lines],
            "ratio": [
                spread(row["ratio"], 2) if mode == "batched" else None for row, mode in lines
            ],
            "wanted": [row["wanted"] if mode == "batched" else None for row, mode in lines],
        }
    )
    columns = (
        Column("case"), Column("mode", "batching"), Column("seconds", "seconds", ".0f"),
        Column("rate", "requests/s"), Column("p50", "p50, ms", ".0f"),
        Column("p99", "p99, ms", ".0f"), Column("errors"), Column("pass", "texts a pass", ".1f"),
        Column("server", "server CPU, ms a request", ".2f"),
        Column("clients", "clients' CPU, ms a request", ".2f"),
        Column("ratio", highlight=True), Column("wanted", "asked for", ".1f"),
    )  # fmt: skip
    return Table(
        frame, f"Server: {rows[0]['clients']} clients at once", columns,
        f"Mean ± standard error over {rows[0]['turns']} turns; the clients share one process and "
        "the machine with the server.",
    )  # fmt: skip
