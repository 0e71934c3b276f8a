"""The bridge environment of pgx, for comparison: its speed, and positions with its observation.

    PGX-PYTHON benchmarks/bridge_pgx.py speed TABLE.npy BATCH STEPS
    PGX-PYTHON benchmarks/bridge_pgx.py golden TABLE.npy OUT.json

PGX-PYTHON is an interpreter with pgx and jax (`pip install pgx "jax[cpu]"`), apart from ours: pgx
is no dependency, and nothing of ours is imported here. TABLE.npy are solved deals in pgx's own
layout; `benchmarks.bridge.write_pgx_table` makes one. Prints one JSON document.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

# One thread, set before jax reads it.
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_PLATFORMS"] = "cpu"


def speed(table: str, batch: int, steps: int) -> dict[str, Any]:
    """Random legal calls at `batch` tables, reset when over; decisions per CPU second."""
    import jax
    from pgx.bridge_bidding import BridgeBidding
    from pgx.experimental import auto_reset

    env = BridgeBidding(table)
    step = jax.vmap(auto_reset(env.step, env.init))

    def one(carry: Any, _: Any) -> Any:
        state, key = carry
        key, draw, again = jax.random.split(key, 3)
        # One number a table, as in ours: a draw of 38 would be most of the time.
        order = state.legal_action_mask.cumsum(1)
        wanted = (jax.random.uniform(draw, (batch,)) * order[:, -1]).astype(int)
        calls = (order > wanted[:, None]).argmax(1)
        state = step(state, calls, jax.random.split(again, batch))
        return (state, key), state.observation.sum()  # so that it is made

    many = jax.jit(lambda carry: jax.lax.scan(one, carry, None, length=steps))
    state = jax.jit(jax.vmap(env.init))(jax.random.split(jax.random.PRNGKey(0), batch))
    carry = (state, jax.random.PRNGKey(1))
    carry, seen = jax.block_until_ready(many(carry))  # compiles
    start = time.process_time()
    carry, seen = jax.block_until_ready(many(carry))
    seconds = time.process_time() - start
    return {"batch": batch, "decisions": batch * steps, "seconds": seconds,
            "rate": batch * steps / seconds, "ones": float(seen.sum()) / (batch * steps),
            **versions()}  # fmt: skip


def golden(table: str, out: str, games: int = 12) -> dict[str, Any]:
    """Positions of random auctions with the 480 numbers of the player to call."""
    import jax
    import numpy as np
    from pgx.bridge_bidding import BridgeBidding

    env = BridgeBidding(table)
    init, step, observe = jax.jit(env.init), jax.jit(env.step), jax.jit(env.observe)
    generator = np.random.default_rng(0)
    positions: list[dict[str, Any]] = []
    for game in range(games):
        state = init(jax.random.PRNGKey(game))
        calls: list[int] = []
        while not bool(state.terminated) and len(calls) < 40:
            # The first, and then now and then one of the auction.
            if not calls or generator.random() < 0.1:
                seen = np.asarray(observe(state, state.current_player))
                positions.append(
                    {
                        "owners": _owners(np.asarray(state._hand)),
                        "dealer": int(state._dealer),
                        "ns_vulnerable": bool(state._vul_NS),
                        "ew_vulnerable": bool(state._vul_EW),
                        "calls": list(calls),
                        "observation": np.packbits(seen).tobytes().hex(),
                    }
                )
            legal = np.flatnonzero(np.asarray(state.legal_action_mask))
            # Mostly small steps, so that auctions are long and are doubled.
            low = [c for c in legal if c < 3] * 3 + [c for c in legal if c >= 3][:4]
            call = int(generator.choice(low))
            calls.append(call)
            state = step(state, call)
    document = {
        "source": "pgx bridge_bidding (BridgeBidding v1), observe(state, state.current_player)",
        **versions(),
        "owners": "seat N E S W = 0..3 of each card, card = suit S H D C * 13 + rank A 2 3 .. K",
        "calls": "pgx: 0 pass, 1 double, 2 redouble, 3..37 = 1C 1D 1H 1S 1N .. 7N",
        "observation": "480 bits, the first the highest of the first byte, hexadecimal",
    }
    head = json.dumps(document, indent=1)[:-2]
    rows = ",\n  ".join(json.dumps(position) for position in positions)
    Path(out).write_text(f'{head},\n "positions": [\n  {rows}\n ]\n}}\n', encoding="utf-8")
    return {"positions": len(positions)}


def _owners(hand: Any) -> str:
    """52 digits."""
    seats = {int(card): place // 13 for place, card in enumerate(hand)}
    return "".join(str(seats[card]) for card in range(52))


def versions() -> dict[str, str]:
    """Of both packages."""
    from importlib.metadata import version

    return {"pgx": version("pgx"), "jax": version("jax")}


def main(arguments: list[str]) -> int:
    """Runs one of the two; returns the exit code."""
    if len(arguments) == 4 and arguments[0] == "speed":
        print(json.dumps(speed(arguments[1], int(arguments[2]), int(arguments[3]))))
        return 0
    if len(arguments) == 3 and arguments[0] == "golden":
        print(json.dumps(golden(arguments[1], arguments[2])))
        return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
