"""Published figures of Tian, Gong and Jiang 2020 (arXiv 2008.06495), as facts with their source.

`PAPER` holds the exact-search table (mean score over seeds), `PAPER_SAMPLED` the sampled one.
`AUTHORS_CODE` holds what the authors' C++ printed: a log in their repository, and CPU seconds of
their program measured on one loaded core. "Best known" is the paper's row of that name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trine.games.tree import LEAF, Tree

Key = tuple[str, int | None]


@dataclass(frozen=True, slots=True)
class PaperRow:
    """One game of the paper's table; mean scores, game points.

    Attributes:
      cfr: CFR1k.
      cfr_jps: CFR1k + JPS.
      a2c: independent A2C.
      bad: Bayesian Action Decoder.
      best_known: the row "best known".
    """

    cfr: float
    cfr_jps: float
    a2c: float
    bad: float
    best_known: float

    def of(self, method: str) -> float | None:
        """The printed score of one of our methods, if there is one."""
        return {
            "cfr": self.cfr, "cfr+jps": self.cfr_jps, "a2c": self.a2c, "bad": self.bad
        }.get(method)  # fmt: skip


PAPER: dict[Key, PaperRow] = {
    ("comm", 3): PaperRow(0.89, 1.00, 0.60, 1.00, 1.00),
    ("comm", 5): PaperRow(0.85, 1.00, 0.57, 0.88, 1.00),
    ("comm", 6): PaperRow(0.85, 1.00, 0.51, 0.50, 1.00),
    ("comm", 7): PaperRow(0.85, 1.00, 0.02, 0.29, 1.00),
    ("mini-hanabi", None): PaperRow(9.11, 9.50, 8.20, 9.47, 10.0),
    ("simple-bidding", 4): PaperRow(2.18, 2.20, 2.19, 2.23, 2.25),
    ("simple-bidding", 8): PaperRow(4.96, 5.00, 4.79, 4.99, 5.06),
    ("simple-bidding", 16): PaperRow(10.47, 10.56, 9.97, 9.81, 10.75),
    ("two-suit-bridge", 3): PaperRow(1.01, 1.07, 0.66, 0.53, 1.13),
    ("two-suit-bridge", 4): PaperRow(1.62, 1.71, 1.03, 0.98, 1.84),
    ("two-suit-bridge", 5): PaperRow(2.60, 2.74, 1.71, 1.31, 2.89),
}

PAPER_SAMPLED: dict[Key, dict[int | None, float]] = {
    ("mini-hanabi", None): {
        None: 9.50, 1: 10.00, 2: 9.99, 5: 9.95, 8: 9.75, 15: 9.51, 20: 9.51, 25: 9.51, 30: 9.51
    },
    ("simple-bidding", 16): {
        None: 10.56, 1: 10.47, 2: 10.47, 5: 10.49, 8: 10.52, 15: 10.58, 20: 10.60, 25: 10.61,
        30: 10.61,
    },
}  # fmt: skip
"""CFR1k + sampled JPS by number of samples k; `None` is exact search."""


@dataclass(frozen=True, slots=True)
class AuthorsRun:
    """What the authors' C++ gave.

    Attributes:
      value: score of CFR1k + JPS in their log of seed 1; `None` where there is no log.
      cpu_seconds: of CFR1k + JPS, one loaded core; `None` where it did not finish.
      search_cpu_seconds: of the search part alone.
    """

    value: float | None
    cpu_seconds: float | None
    search_cpu_seconds: float | None


AUTHORS_CODE: dict[Key, AuthorsRun] = {
    ("simple-bidding", 16): AuthorsRun(10.5625, 66, 64),
    ("comm", 6): AuthorsRun(None, 173, 164),
    ("comm", 7): AuthorsRun(None, None, None),
    ("two-suit-bridge", 5): AuthorsRun(None, 38, 17),
}


PROVED: dict[Key, float] = {("simple-bidding", 16): 2752 / 256}
"""Optima that take long to prove, from `docs/methods/exact.md`; the command is there too."""


def label(key: Key) -> str:
    """Game and size as in the paper's table."""
    names = {
        "comm": "Comm", "mini-hanabi": "Mini-Hanabi", "simple-bidding": "Simple Bidding",
        "two-suit-bridge": "2-Suit Bridge", "kuhn": "Kuhn", "leduc": "Leduc",
    }  # fmt: skip
    name, size = key
    return names.get(name, name) + ("" if size is None else f" {size}")


def count_info_sets(tree: Tree) -> int | None:
    """Information sets as the paper's table counts them: decision sets, the root and leaf keys.

    A leaf key of the authors' code is the public history with the last mover's card, in
    Mini-Hanabi with both cards. `None` for games that the table does not list.
    """
    name = tree.game_id.partition(":")[0]
    public = tree.public
    if public is None or name not in {game for game, _ in PAPER}:
        return None
    terminal = np.flatnonzero(public.player == LEAF)
    if name == "mini-hanabi":
        keys = len(terminal) * len(public.probability)
    else:
        keys = int(public.num_types[public.player[public.parent[terminal]]].sum())
    return 1 + tree.num_info_sets + keys
