"""One training, several ways to end it: which head, and how much of the base.

    python benchmarks/embeddings_heads.py RECIPE --seed 0 --out FILE --end trained refit average-0.5

| end | encoder | head |
|---|---|---|
| `trained` | trained | as training left it |
| `refit` | trained | computed again on the trained encoder |
| `average-W` | W of the trained one and the rest of the base | computed again |

Each end is scored on validation rows, to choose by, and on test rows, at the recipe's dimension and
at full width. The scores are appended to the file as one JSON line a score when they are there.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from trine.core.seeding import Seeds
from trine.embeddings.building import build_encoder
from trine.embeddings.config import load_recipe
from trine.embeddings.encoder import average_with
from trine.embeddings.evaluation.suite import evaluate_model
from trine.embeddings.inference import first_module
from trine.embeddings.loading import load_tasks
from trine.embeddings.losses import trained_widths
from trine.embeddings.refit import refit_head
from trine.embeddings.training import fit


def main() -> None:
    """Trains, ends and scores."""
    options = _options()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    recipe, place = load_recipe(options.recipe, options.set)
    recipe = recipe.model_copy(update={"seed": options.seed})
    tasks, _ = load_tasks(recipe, place)
    seeds = Seeds(recipe.seed)
    began = time.perf_counter()
    model, _ = build_encoder(recipe, tasks, seeds)
    base = _copy(first_module(model).auto_model.state_dict())
    with tempfile.TemporaryDirectory() as scratch:
        result = fit(model, tasks, recipe, directory=Path(scratch), seeds=seeds)
    learned = time.perf_counter() - began
    trained = _copy(model.state_dict())
    widths = trained_widths(recipe.training, recipe.dimension, model.get_embedding_dimension() or 0)
    for end in options.end:
        model.load_state_dict(trained)
        if end.startswith("average-"):
            average_with(model, base, float(end.removeprefix("average-")))
        if end != "trained":
            refit_head(model, tasks, recipe.head, seeds.child("head"), widths)
        for split in options.splits:
            # Without training rows of their own, tasks have their examples in validation.
            scored = [t for t in tasks if split == "test" or t.kind == "graded" or t.train.height]
            then = time.perf_counter()
            rows = evaluate_model(
                model, [task for task in scored if task.rows(split).height],
                model_name=options.label or recipe.title, widths=list(widths), split=split,
                max_rows=options.max_rows,
                draws=options.draws if split == "test" else min(2, options.draws),
            )  # fmt: skip
            facts = {
                "seed": recipe.seed, "steps": result.steps, "end": end, "split": split,
                "losses": result.losses, "learning": round(learned, 1),
                "scoring": round(time.perf_counter() - then, 1),
            }  # fmt: skip
            lines = "".join(json.dumps(asdict(row) | facts) + "\n" for row in rows)
            # Not buffered: one write, which processes side by side do not mix.
            with Path(options.out).open("ab", buffering=0) as file:
                file.write(lines.encode())


def _copy(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value.detach().clone() for name, value in state.items()}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--end", nargs="+", default=["trained", "refit"])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--label", default="", help="of the rows; empty: the recipe's title")
    parser.add_argument("--splits", nargs="*", default=["validation", "test"])
    parser.add_argument("--max-rows", type=int, help="scored rows; all unless given")
    parser.add_argument("--draws", type=int, default=10)
    return parser.parse_args()


if __name__ == "__main__":
    main()
