"""Together or alone, at several lengths of training: what `trine embeddings transfer` does at one.

    python benchmarks/embeddings_lengths.py RECIPE --arm multi --steps 100 400 --seed 0 --out FILE
    python benchmarks/embeddings_lengths.py RECIPE --arm single --steps 100 400 --seed 0 --out FILE

A length is a number of updates on each task; fewer tasks in a step make more steps (with alpha 0,
in rounds). Every length is a training of its own with the whole schedule, so that its end can be
compared. A single-task model gets as many updates on its task as the joint model; with
`head.per_task` both are scored on trained tasks with that task's own head, as in the study, and
with `training.leave_after` the joint model with every branch too (column `left`). Rows that
`validation_rows` puts aside are scored as well, so that a length and a branch can be chosen without
a look at the test rows.

One process does one arm of one seed; start several side by side. Each model's scores are appended
to the file as one JSON line a score when they are there.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from trine.core.seeding import Seeds
from trine.embeddings.branches import (
    BRANCHES,
    branch_file,
    branch_model,
    fit_branches,
    joint_states,
    single_recipe,
    ways_to_leave,
)
from trine.embeddings.building import build_encoder
from trine.embeddings.config import Recipe, load_recipe
from trine.embeddings.encoder import add_head, head_of, load_base
from trine.embeddings.evaluation.suite import evaluate_model
from trine.embeddings.loading import load_tasks
from trine.embeddings.losses import trained_widths
from trine.embeddings.refit import refit_head
from trine.embeddings.task_heads import fit_task_heads
from trine.embeddings.tasks import Task
from trine.embeddings.training import fit


def main() -> None:
    """Runs one arm of one seed."""
    options = _options()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    recipe, place = load_recipe(options.recipe, options.set)
    recipe = recipe.model_copy(update={"seed": options.seed})
    loaded, _ = load_tasks(recipe, place)
    names = [task.name for task in recipe.trained if task.kind != "unlabelled"]
    if options.arm == "base":
        _score_base(recipe, loaded, options)
        return
    if options.arm == "multi":
        least = min(joint_steps(recipe, steps) for steps in options.steps)
        if least <= max(recipe.training.leave_after, default=0):
            raise SystemExit(f"{least} joint steps, to leave after {recipe.training.leave_after}")
    for steps in options.steps:
        for name in [""] if options.arm == "multi" else options.task or names:
            if name:
                own = single_recipe(recipe, name, steps)
            else:
                training = recipe.training.model_copy(update={"steps": joint_steps(recipe, steps)})
                own = recipe.model_copy(update={"training": training})
            roles = {config.name: config for config in own.tasks}
            tasks = [Task(roles[task.name], task.frame) for task in loaded]
            _learn_and_score(own, tasks, name, steps, options)


def joint_steps(recipe: Recipe, updates: int) -> int:
    """Steps in which the joint model has so many updates on each task."""
    n = len(recipe.trained)
    per_step = min(recipe.training.tasks_per_step or n, n)
    if per_step < n and not recipe.training.in_rounds:
        raise SystemExit(f"{per_step} of {n} tasks a step: equal updates need training.alpha=0")
    if updates * n % per_step:
        raise SystemExit(
            f"{updates} updates of {n} tasks are no whole number of steps of {per_step}"
        )
    return updates * n // per_step


def _learn_and_score(
    recipe: Recipe, tasks: list[Task], name: str, steps: int, options: argparse.Namespace
) -> None:
    began = time.perf_counter()
    seeds = Seeds(recipe.seed)
    model, _ = build_encoder(recipe, tasks, seeds)
    scratch = tempfile.TemporaryDirectory()
    place = Path(scratch.name)
    branches = place / BRANCHES
    result = fit(
        model, tasks, recipe, directory=place, seeds=seeds, keep=joint_states(recipe, branches)
    )
    learned = time.perf_counter()
    widths = trained_widths(recipe.training, recipe.dimension, model.get_embedding_dimension() or 0)
    child = seeds.child("head")
    facts = {"arm": options.arm, "trained": name, "seed": recipe.seed, "steps": steps,
             "loss": sum(result.losses.values()) / len(result.losses),
             "left": "" if name else "stays", "learning": round(learned - began, 1)}  # fmt: skip
    trained = [task for task in tasks if task.config.role == "train" and task.kind != "unlabelled"]
    linear = head_of(model).linear
    weight, bias = linear.weight.detach().clone(), linear.bias.detach().clone()
    fit_branches(
        model, tasks, recipe, folder=branches, checkpoints=place, seeds=seeds
    )  # fmt: skip
    ways = ways_to_leave(recipe, tasks)
    for after in recipe.training.leave_after:
        for task in [task for task in trained if after in ways[task.name]]:
            branch = branch_model(model, branch_file(branches, task.name, after))
            how = {"head": "computed", "left": str(after)}
            _score(branch, [task], widths, facts | how, options)
    scratch.cleanup()
    if recipe.head.per_task:
        computed = fit_task_heads(model, tasks, recipe.head, child, widths)
        for task in trained:
            if task.name in result.heads:
                own = torch.from_numpy(result.heads[task.name]).to(weight)
                _set_head(model, own @ weight, own @ bias)
                _score(model, [task], [len(own)], facts | {"head": "trained"}, options)
            both = [torch.from_numpy(part).to(weight) for part in computed[task.name]]
            _set_head(model, *both)
            _score(model, [task], widths, facts | {"head": "computed"}, options)
    else:
        refit_head(model, tasks, recipe.head, child, widths)
        _score(model, trained, widths, facts | {"head": "shared"}, options)
    if not name:
        _set_head(model, weight, bias)
        refit_head(model, tasks, recipe.head, child, widths)
        others = [task for task in tasks if task.config.role == "zero_shot"]
        _score(model, others, widths, facts | {"head": "shared"}, options)


def _set_head(model: Any, weight: torch.Tensor, bias: torch.Tensor) -> None:
    """The first rows of the model's head; the others give 0 and are not looked at."""
    linear = head_of(model).linear
    with torch.no_grad():
        linear.weight.zero_()[: len(weight)].copy_(weight)
        linear.bias.zero_()[: len(bias)].copy_(bias)


def _score_base(recipe: Recipe, tasks: list[Task], options: argparse.Namespace) -> None:
    model, _ = load_base(recipe.model)
    full = model.get_embedding_dimension() or 0
    facts: dict[str, Any] = {
        "arm": "base", "trained": "", "seed": None, "steps": 0, "head": "none",
    }  # fmt: skip
    _score(model, tasks, (full,), facts, options)
    head = recipe.head.model_copy(update={"start": "pca"})
    add_head(model, tasks, head, Seeds(recipe.seed).child("head"))
    _score(model, tasks, (recipe.dimension,), facts | {"arm": "base+pca"}, options)


def _score(
    model: Any,
    tasks: Sequence[Task],
    widths: Sequence[int],
    facts: dict[str, Any],
    options: argparse.Namespace,
) -> None:
    for split in options.splits:
        there = [task for task in tasks if task.rows(split).height]
        if split != "test":  # a zero-shot task has its examples there
            there = [task for task in there if task.train.height]
        began = time.perf_counter()
        rows = evaluate_model(
            model, there, model_name=options.label, widths=list(widths), split=split,
            max_rows=options.max_rows, draws=options.draws,
        )  # fmt: skip
        spent = round(time.perf_counter() - began, 1)
        lines = [json.dumps(asdict(row) | facts | {"split": split, "scoring": spent})
                 for row in rows]  # fmt: skip
        if lines:
            # Not buffered: one write, which processes side by side do not mix.
            with Path(options.out).open("ab", buffering=0) as file:
                file.write(("\n".join(lines) + "\n").encode())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--arm", choices=["base", "single", "multi"], required=True)
    parser.add_argument("--steps", type=int, nargs="*", default=[100, 400])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--task", nargs="*", default=[], help="single: only these tasks")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--label", default="model", help="of the rows")
    parser.add_argument("--splits", nargs="*", default=["validation", "test"])
    parser.add_argument("--max-rows", type=int, default=300)
    parser.add_argument("--draws", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
