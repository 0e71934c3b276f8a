"""Rate of solved deals: DDS called directly against `trine bridge deals generate`, a core each.

Usage: python -m benchmarks.bridge_deals [DEALS] [ROUNDS]

Both solve the same deals on one thread, in turns; the figure is deals in a second of CPU time,
which other programs on the machine disturb less than the clock on the wall.
"""

import ctypes
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from trine.bridge.deal_generation import block_owner, generate_deals
from trine.bridge.deals import read_solved_deals
from trine.core.executors import SerialExecutor
from trine.core.progress import SilentProgress


def directly(owner: np.ndarray) -> np.ndarray:
    """One call of the library with structures filled by plain loops; `[n, strain, seat]`."""
    import endplay._dds as dds

    deals, results, par = dds.ddTableDeals(), dds.ddTablesRes(), dds.allParResults()
    deals.noOfTables = len(owner)
    for deal, cards in enumerate(owner.tolist()):
        for card, seat in enumerate(cards):
            deals.ddTableDeal[deal].cards[seat][3 - card // 13] |= 1 << (card % 13 + 2)
    dds._dll.CalcAllTables(
        ctypes.byref(deals), -1, (ctypes.c_int * 5)(), ctypes.byref(results), ctypes.byref(par)
    )
    tables = [[list(row) for row in results.results[deal].resTable] for deal in range(len(owner))]
    return np.array(tables)[:, [3, 2, 1, 0, 4]]


def measure(count: int, seed: int) -> dict[str, float]:
    """Deals per CPU second of both ways, `directly` and `trine`, on the same deals."""
    import endplay._dds as dds

    dds.SetMaxThreads(1)
    owner = block_owner(0, seed=seed, part="all")[:count]
    start = time.process_time()
    tables = directly(owner)
    plain = time.process_time() - start
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "a.deals"
        start = time.process_time()
        generate_deals(path, count, seed=seed, executor=SerialExecutor(), progress=SilentProgress())
        ours = time.process_time() - start
        assert (read_solved_deals(path).tricks == tables.reshape(-1, 20)).all()
    return {"directly": count / plain, "trine": count / ours}


def main() -> None:
    """Measures and prints."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    found = [measure(count, seed) for seed in range(rounds)]
    # The harmonic mean: all deals by all the time.
    rates = {name: rounds / sum(1 / turn[name] for turn in found) for name in found[0]}
    for name, rate in rates.items():
        print(f"{name:10} {rate:.3f} deals per CPU second")
    print(f"ratio      {rates['trine'] / rates['directly']:.3f}")


if __name__ == "__main__":
    main()
