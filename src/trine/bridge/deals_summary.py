"""What a file of solved deals holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from trine.bridge.deals import read_solved_deals
from trine.bridge.deals_file import DealsFile, is_deals_file
from trine.bridge.evaluation_sets import set_name
from trine.bridge.symmetry import canonical_hash, is_evaluation

__all__ = ["summary"]


def summary(source: Path | str) -> dict[str, Any]:
    """Facts about a file of solved deals, or a sample.

    Returns:
      `file`, `deals` (whole ones), `wanted` (that the file is for), `broken_blocks`, `seed` and
      `part` (of random deals, else None), `set` (a named evaluation set, or None), `different`
      (deals that are no suit or seat permutation of another), `evaluation` (deals on the side that
      is never trained on), `north_notrump` (mean tricks of North in notrump; about 6.1 for random
      deals: a quick look at the order).

    Raises:
      DataError: missing, of another kind, or without a whole deal.
    """
    facts: dict[str, Any] = {"file": str(source)}
    path = Path(source)
    header, broken = None, 0
    if is_deals_file(path):
        with DealsFile.open(path) as file:
            header = file.header
            broken = int(file.state().broken.sum())
    deals = read_solved_deals(source)
    random = header is not None and header.seed >= 0
    return facts | {
        "deals": len(deals),
        "wanted": len(deals) if header is None else header.count,
        "broken_blocks": broken,
        "seed": header.seed if random and header is not None else None,
        "part": header.part if random and header is not None else None,
        "set": None if header is None else set_name(header),
        "different": len(np.unique(canonical_hash(deals.owner))),
        "evaluation": int(is_evaluation(deals.owner).sum()),
        "north_notrump": round(float(deals.tricks[:, 16].mean()), 3),
    }
