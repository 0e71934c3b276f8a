"""Speed of the bridge room: the engine in lock-step, a match, one decision, the solver.

    .venv/bin/python -m benchmarks.bridge                   some minutes; rewrites records/
    .venv/bin/python -m benchmarks.bridge --quick           small, prints only
        --pgx PYTHON        also pgx's environment, by an interpreter that has pgx and jax
        --networks A B      match and decision with these instead of random weights

*Engine*: random legal calls with the 480 numbers of every player to call and the mask of legal
calls, one thread, decisions per CPU second: thousands of auctions in lock-step
(`trine.bridge.lockstep`), OpenSpiel's `bridge` with its observation tensor, and pgx's
`bridge_bidding`, in turns. Dealing is in ours and in pgx's, and left out of OpenSpiel's. *Match*:
two networks at both tables of every board. *Decision*: one call of a network, from what the seat
sees to the call. *Solver*: double-dummy tables as `trine bridge deals generate` makes them against
DDS called directly (`benchmarks.bridge_deals`).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from benchmarks.run import RECORDS, as_record, circumstances

from trine.bridge.deals import SolvedDeals, read_solved_deals
from trine.core.artifacts import write_json, write_text
from trine.core.executors import ProcessExecutor
from trine.core.seeding import Seeds
from trine.core.stats import summarise
from trine.core.tables import Column, Table, save_table, to_markdown

if TYPE_CHECKING:
    import torch

    from trine.bridge.lockstep import LockstepAuctions

HERE = Path(__file__).parent
COMMAND = "python -m benchmarks.bridge"
SAMPLE = "sample:random-10k"
PUBLISHED = 65_000
"""Decisions per CPU second of pgx and of OpenSpiel that the task names, on another machine."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
      batches: auctions in lock-step, the sizes that are tried.
      auctions: of ours in a turn, at least.
      games: of OpenSpiel in a turn.
      pgx: tables and steps of pgx in a turn.
      turns: of everything.
      boards: of the match.
      decisions: single ones.
      deals: solved in a turn, both ways.
    """

    batches: tuple[int, ...] = (1024, 4096, 16_384, 32_768)
    auctions: int = 32_768
    games: int = 500
    pgx: tuple[int, int] = (4096, 50)
    turns: int = 5
    boards: int = 10_000
    decisions: int = 300
    deals: int = 40


QUICK = Sizes((256,), 256, 10, (64, 10), 1, 50, 5, 2)


def write_pgx_table(path: Path, deals: SolvedDeals) -> Path:
    """Solved deals in pgx's own layout, see `trine.bridge.importers`."""
    ranks = np.array([12, *range(12)])  # A 2 3 .. K
    suits = deals.owner.reshape(-1, 4, 13)[:, ::-1][:, :, ranks].astype(np.int64)
    tricks = deals.tricks.reshape(-1, 5, 4).transpose(0, 2, 1).astype(np.int64)
    keys, values = suits @ 4 ** np.arange(12, -1, -1), tricks @ 16 ** np.arange(4, -1, -1)
    np.save(path, np.stack([keys, values]).astype(np.int32))
    return path


def random_calls(auctions: LockstepAuctions, generator: torch.Generator) -> torch.Tensor:
    """`[N]` calls, each legal one as likely as any other."""
    import torch

    ours = auctions.side == auctions.turn % 2
    doubling = torch.where(auctions.doubled == 0, ~ours, (auctions.doubled == 1) & ours)
    more = (auctions.bid >= 0) & doubling
    bids = 34 - auctions.bid
    chosen = (torch.rand(len(bids), generator=generator) * (bids + 1 + more)).long()
    others = torch.where(chosen == bids, 35, 36 + auctions.doubled)
    return torch.where(chosen < bids, auctions.bid + 1 + chosen, others)


def play_lockstep(owner: torch.Tensor, batch: int, generator: torch.Generator) -> int:
    """A batch of auctions from the deal to the end.

    Args:
      owner: `[D, 52]` deals to draw from.
      batch: auctions.
      generator: of everything.

    Returns:
      Decisions.
    """
    import torch

    from trine.bridge.lockstep import LockstepAuctions
    from trine.bridge.observation import make_observation

    codec = make_observation("lockhart480")
    owner = owner.index_select(0, torch.randint(len(owner), (batch,), generator=generator))
    dealer, vulnerability = torch.randint(4, (2, batch), generator=generator)
    auctions = LockstepAuctions.start(dealer, vulnerability)
    decisions = 0
    while len(owner):
        hand = owner == auctions.turn[:, None].to(torch.uint8)
        x, legal = codec.encode(auctions, hand), auctions.legal()
        assert x.shape == (len(owner), 480) and legal.shape == (len(owner), 38)
        decisions += len(x)
        auctions = auctions.after(random_calls(auctions, generator))
        keep = (~auctions.done).nonzero()[:, 0]
        auctions, owner = auctions.select(keep), owner.index_select(0, keep)
    return decisions


def lockstep_rate(batch: int, auctions: int, seed: int) -> float:
    """Decisions per CPU second of ours."""
    import torch

    torch.set_num_threads(1)
    owner = torch.from_numpy(read_solved_deals(SAMPLE).owner.copy())
    generator = torch.Generator().manual_seed(Seeds(seed).integer("calls"))
    play_lockstep(owner, min(batch, 256), generator)
    start, decisions = time.process_time(), 0
    for _ in range(max(1, auctions // batch)):
        decisions += play_lockstep(owner, batch, generator)
    return decisions / (time.process_time() - start)


def openspiel_rate(games: int, seed: int) -> float:
    """Decisions per CPU second of OpenSpiel; the deal and what follows the auction left out."""
    import pyspiel

    game = pyspiel.load_game("bridge(use_double_dummy_result=false)")
    draw = Seeds(seed).generator("openspiel")
    decisions, seconds = 0, 0.0
    for _ in range(games):
        state = game.new_initial_state()
        for card in draw.permutation(52).tolist():
            state.apply_action(card)
        uniforms = draw.random(320).tolist()
        auction, count = state.current_phase(), 0
        start = time.process_time()
        while not state.is_terminal() and state.current_phase() == auction:
            state.observation_tensor(state.current_player())
            legal = state.legal_actions()
            state.apply_action(legal[int(uniforms[count] * len(legal))])
            count += 1
        seconds += time.process_time() - start
        decisions += count
    return decisions / seconds


def pgx_rate(python: str, sizes: Sizes) -> dict[str, Any]:
    """The record of pgx in a process of the other interpreter."""
    with tempfile.TemporaryDirectory(prefix="trine-benchmark-") as folder:
        table = write_pgx_table(Path(folder) / "table.npy", read_solved_deals(SAMPLE))
        command = [python, str(HERE / "bridge_pgx.py"), "speed", str(table), *map(str, sizes.pgx)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise SystemExit(f"{python} cannot run pgx: {said[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def engine_rows(sizes: Sizes, pgx: str = "") -> list[dict[str, Any]]:
    """A record for each size of batch, with the ratio to OpenSpiel and pgx turn by turn."""
    rates: dict[str, list[float]] = {}
    versions: dict[str, str] = {}

    def note(name: str, rate: float) -> None:
        rates.setdefault(name, []).append(rate)
        print(f"{name}: {rate:,.0f} decisions per CPU second", file=sys.stderr)

    for turn in range(sizes.turns):
        note("OpenSpiel", openspiel_rate(sizes.games, turn))
        if pgx:
            found = pgx_rate(pgx, sizes)
            versions = {name: found[name] for name in ("pgx", "jax")}
            note("pgx", found["rate"])
        for batch in sizes.batches:
            note(str(batch), lockstep_rate(batch, sizes.auctions, turn))
    rows: list[dict[str, Any]] = []
    for batch in sizes.batches:
        ours = np.array(rates[str(batch)])
        row: dict[str, Any] = {
            "metric": "decisions per CPU second of one core", "batch": batch,
            "turns": sizes.turns, "ours": as_record(summarise(ours)), "wanted": 10, **versions,
            "published": PUBLISHED,
        }  # fmt: skip
        for name in ("OpenSpiel", "pgx"):
            if name in rates:
                row[name] = as_record(summarise(rates[name]))
                row[f"ratio_{name}"] = as_record(summarise(ours / np.array(rates[name])))
        rows.append(row)
    return rows


def random_networks(folder: Path) -> list[Path]:
    """Two networks of the usual size whose auctions are about as long as real ones, ten calls."""
    import torch

    from trine.bridge.config import NetworkConfig
    from trine.bridge.network import PolicyNetwork, save_network
    from trine.bridge.observation import make_observation

    config = NetworkConfig()
    made: list[Path] = []
    for number in range(2):
        network = PolicyNetwork(config, make_observation(config.codec).size)
        network.reset(torch.Generator().manual_seed(number))
        with torch.no_grad():
            network.policy.weight *= 500
        made.append(save_network(folder / f"random-{number}.safetensors", network))
    return made


def match_row(sizes: Sizes, networks: Sequence[Path] = ()) -> dict[str, Any]:
    """A match of two networks, and single decisions of the first."""
    from trine.bridge.bots.base import Observations
    from trine.bridge.bots.registry import make_bot
    from trine.bridge.match import boards_of, play_match

    with tempfile.TemporaryDirectory(prefix="trine-benchmark-") as folder:
        paths = list(networks) or random_networks(Path(folder))
        first, second = (make_bot(str(path)) for path in paths)
    boards = boards_of(read_solved_deals(SAMPLE), sizes.boards, 0)
    wall, cpu = time.perf_counter(), time.process_time()
    match = play_match(first, second, boards)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    calls = sum(int((table.calls >= 0).sum()) for table in match.tables)
    single: list[float] = []
    for row in range(sizes.decisions):
        table = match.tables[row % 2].calls[row % sizes.boards]
        made = table[table >= 0][: row % 5].tolist()
        seat = (int(boards.dealer[row % sizes.boards]) + len(made)) % 4
        seen = Observations.same_auction(
            (boards.owner[row % sizes.boards] == seat)[None], made,
            int(boards.dealer[row % sizes.boards]), 0,
        )  # fmt: skip
        start = time.perf_counter()
        first.calls(seen)
        single.append(1000 * (time.perf_counter() - start))
    return {
        "metric": "seconds of a match; milliseconds of one decision",
        "networks": [path.stem for path in paths],
        "boards": sizes.boards,
        "decisions": calls,
        "seconds": wall,
        "cpu_seconds": cpu,
        "wanted_seconds": 60,
        "decision_ms_median": float(np.median(single)),
        "decision_ms_99": float(np.quantile(single, 0.99)),
        "wanted_ms": 20,
    }


def solver_row(sizes: Sizes) -> dict[str, Any]:
    """Deals per CPU second through our generation and by DDS directly, in turns."""
    from benchmarks.bridge_deals import measure

    turns = [measure(sizes.deals, turn) for turn in range(min(sizes.turns, 2))]
    plain, ours = (np.array([turn[name] for turn in turns]) for name in ("directly", "trine"))
    return {
        "metric": "deals per CPU second of one core",
        "deals": sizes.deals,
        "turns": len(turns),
        "plain": as_record(summarise(plain)),
        "ours": as_record(summarise(ours)),
        "ratio": as_record(summarise(ours / plain)),
        "wanted": 0.9,
    }


def spread(record: dict[str, Any] | None, digits: int) -> str:
    """Mean and standard error."""
    if record is None:
        return ""
    error = record["standard_error"]
    tail = "" if error is None else f" ± {error:,.{digits}f}"
    return f"{record['mean']:,.{digits}f}{tail}"


def engine_table(rows: Sequence[dict[str, Any]]) -> Table:
    """One line a size of batch."""
    frame = pl.DataFrame(
        {
            "batch": [r["batch"] for r in rows],
            "ours": [spread(r["ours"], 0) for r in rows],
            "OpenSpiel": [spread(r.get("OpenSpiel"), 0) for r in rows],
            "ratio_OpenSpiel": [spread(r.get("ratio_OpenSpiel"), 1) for r in rows],
            "pgx": [spread(r.get("pgx"), 0) or "not installed" for r in rows],
            "ratio_pgx": [spread(r.get("ratio_pgx"), 1) for r in rows],
            "wanted": [r["wanted"] for r in rows],
        }
    )
    columns = (
        Column("batch", "auctions at once", ","), Column("ours", "ours, decisions/s"),
        Column("OpenSpiel", "OpenSpiel, decisions/s"),
        Column("ratio_OpenSpiel", "ratio", highlight=True),
        Column("pgx", "pgx, decisions/s"), Column("ratio_pgx", "ratio", highlight=True),
        Column("wanted", "asked for"),
    )  # fmt: skip
    return Table(
        frame, "Random legal auctions with 480 numbers a decision: decisions per CPU second",
        columns, f"Mean ± standard error over {rows[0]['turns']} turns, one thread.",
    )  # fmt: skip


def other_table(match: dict[str, Any], solver: dict[str, Any] | None) -> Table:
    """The match, one decision, the solver."""
    rows = [
        (f"match of two networks, {match['boards']:,} boards, {match['decisions']:,} calls",
         f"{match['seconds']:.1f} s ({match['cpu_seconds']:.1f} CPU s)",
         f"{match['wanted_seconds']} s"),
        ("one decision of a network, median (99 %)",
         f"{match['decision_ms_median']:.2f} ms ({match['decision_ms_99']:.2f} ms)",
         f"{match['wanted_ms']} ms"),
    ]  # fmt: skip
    if solver:
        rows.append(
            ("solved deals per CPU second, ours / DDS directly",
             f"{spread(solver['ours'], 2)} / {spread(solver['plain'], 2)}, "
             f"ratio {spread(solver['ratio'], 3)}", f"{solver['wanted']}")
        )  # fmt: skip
    frame = pl.DataFrame(rows, ["what", "measured", "wanted"], orient="row")
    columns = (Column("what"), Column("measured", highlight=True), Column("wanted", "asked for"))
    return Table(frame, "Match, decision, solver", columns)


def main(arguments: list[str]) -> int:
    """Run the parts; returns the exit code."""
    parser = argparse.ArgumentParser(prog=COMMAND)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--pgx", default="", metavar="PYTHON")
    parser.add_argument("--networks", nargs=2, type=Path, default=[], metavar=("A", "B"))
    given = parser.parse_args(arguments)
    sizes = QUICK if given.quick else Sizes()
    engine = engine_rows(sizes, given.pgx)
    # Processes of their own: the match may use all cores, the solver keeps its memory.
    match = match_row(sizes, given.networks)
    solver = next(made for _, made in ProcessExecutor(1).run(solver_row, [sizes]))
    tables = {"bridge-engine": engine_table(engine), "bridge-other": other_table(match, solver)}
    text = "\n".join(to_markdown(table) for table in tables.values())
    print(text)
    if given.quick:
        return 0
    import torch

    shared = circumstances() | {
        "command": COMMAND, "torch": torch.__version__,
        "threads_of_the_match": os.environ.get("OMP_NUM_THREADS", "all"),
    }  # fmt: skip
    for row in engine:
        write_json(RECORDS / f"bridge-engine-{row['batch']}.json", row | shared)
    write_json(RECORDS / "bridge-match.json", match | shared)
    write_json(RECORDS / "bridge-solver.json", solver | shared)
    for name, made in tables.items():
        save_table(made, RECORDS, name)
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    begin, end = "<!-- bridge -->\n", "<!-- end of bridge -->\n"
    head, rest = readme.split(begin)
    write_text(HERE / "README.md", head + begin + "\n" + text + "\n" + end + rest.split(end)[1])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
