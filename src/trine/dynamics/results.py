"""The numbers of a film as tidy tables, one row a measurement, and what `--json` prints.

Correlations are best correlations: of each teacher node, that with its best student node. "Alive"
leaves out teacher nodes that are never active on the evaluation samples, which have no correlation
with anything; they are counted apart. The *winner* of a teacher node is its best student node at
the end of training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from trine.core.seeding import Seeds
from trine.core.stats import summarise
from trine.dynamics.films import Reel
from trine.dynamics.measures.luck import luck
from trine.dynamics.measures.matching import Matching

__all__ = [
    "correlation_frame",
    "layer_results",
    "loss_frame",
    "node_frame",
    "pull_frame",
    "row_norm_frame",
]


def correlation_frame(reel: Reel) -> pl.DataFrame:
    """Best correlations over time.

    Returns:
      One row a moment, seed and hidden layer: `seed`, `epoch`, `step`, `layer`, `mean` (dead
      nodes as 0), `mean_alive`, `minimum`, `maximum` (both over nodes that are alive), `dead`,
      `nodes`.
    """
    rows: list[dict[str, Any]] = []
    for shot in reel.snapshots:
        for place, seed in enumerate(reel.seeds):
            for one in shot.matching.summaries(place):
                rows.append(
                    {
                        "seed": seed, "epoch": shot.epoch, "step": shot.step, "layer": one.layer,
                        "mean": one.mean, "mean_alive": one.mean_alive, "minimum": one.minimum,
                        "maximum": one.maximum, "dead": one.dead, "nodes": one.nodes,
                    }
                )  # fmt: skip
    return pl.DataFrame(rows)


def loss_frame(reel: Reel) -> pl.DataFrame:
    """`seed`, `epoch`, `step`, `train_loss` (NaN at the start), `evaluation_loss`."""
    rows = [
        {
            "seed": seed, "epoch": shot.epoch, "step": shot.step,
            "train_loss": float(shot.train_loss[place]),
            "evaluation_loss": float(shot.evaluation_loss[place]),
        }
        for shot in reel.snapshots
        for place, seed in enumerate(reel.seeds)
    ]  # fmt: skip
    return pl.DataFrame(rows)


def _winners(matching: Matching, layer: int) -> NDArray[np.int64]:
    return matching.winners(layer).numpy()


def _array(values: torch.Tensor) -> NDArray[Any]:
    return values.numpy()


def node_frame(reel: Reel) -> pl.DataFrame:
    """Teacher nodes and their winners.

    Returns:
      One row a seed, layer and teacher node: `alive`, `active` (share of samples), `winner`,
      `initial_rank` (0: the nearest of all at the start), `students`, `initial_correlation` (of the
      winner), `final_correlation`, `fan_out` (of the winner at the end).
    """
    from trine.dynamics.measures.luck import initial_ranks

    start, end = reel.first.matching, reel.last.matching
    rows: list[dict[str, Any]] = []
    for layer in range(end.depth):
        before, after = _array(start.correlation[layer]), _array(end.correlation[layer])
        winners, ranks = _winners(end, layer), initial_ranks(before, after)
        alive, active = _array(end.alive(layer)), _array(end.teacher_active[layer])
        for place, seed in enumerate(reel.seeds):
            for node, winner in enumerate(winners[place].tolist()):
                rows.append(
                    {
                        "seed": seed, "layer": layer, "teacher_node": node,
                        "alive": bool(alive[place, node]), "active": float(active[place, node]),
                        "winner": winner, "initial_rank": int(ranks[place, node]),
                        "students": after.shape[2],
                        "initial_correlation": float(before[place, node, winner]),
                        "final_correlation": float(after[place, node, winner]),
                        "fan_out": float(reel.last.fan_out[layer][place, winner]),
                    }
                )  # fmt: skip
    return pl.DataFrame(rows)


def row_norm_frame(reel: Reel) -> pl.DataFrame:
    """Norms of the weights into and out of student nodes, winners and others apart.

    Returns:
      One row a moment, seed, layer and `role` (`winner` of a teacher node that is alive, `other`):
      `nodes`, and the median, smallest and largest `fan_in` and `fan_out` norm.
    """
    end = reel.last.matching
    rows: list[dict[str, Any]] = []
    for layer in range(end.depth):
        winners, alive = _winners(end, layer), _array(end.alive(layer))
        for place, seed in enumerate(reel.seeds):
            won = np.zeros(end.correlation[layer].shape[2], dtype=bool)
            won[winners[place][alive[place]]] = True
            for shot in reel.snapshots:
                for role, nodes in (("winner", won), ("other", ~won)):
                    if not nodes.any():
                        continue
                    row: dict[str, Any] = {
                        "seed": seed, "epoch": shot.epoch, "step": shot.step, "layer": layer,
                        "role": role, "nodes": int(nodes.sum()),
                    }  # fmt: skip
                    for name in ("fan_in", "fan_out"):
                        values = getattr(shot, name)[layer][place][nodes]
                        row[f"{name}_median"] = float(np.median(values))
                        row[f"{name}_minimum"] = float(values.min())
                        row[f"{name}_maximum"] = float(values.max())
                    rows.append(row)
    return pl.DataFrame(rows)


def pull_frame(reel: Reel) -> pl.DataFrame:
    """How teacher nodes pull on their winners, and on the other student nodes, over time.

    Returns:
      One row a moment with pulls, seed, layer and living teacher node j': `winner`, `drift` and
      `attraction` of the winner towards j' (gradient units: change of the winner's incoming
      weights along the direction of j' per unit of time), `drift_others` and `attraction_others`
      (medians over the other student nodes), `share` (teacher pull of j' on the winner over the
      length of the winner's step), `top_pull` (whether no other teacher node pulls the winner as
      much). Empty if no pulls were recorded.
    """
    end = reel.last.matching
    rows: list[dict[str, Any]] = []
    for shot in (s for s in reel.snapshots if s.pull):
        for layer in range(end.depth):
            attraction, drift = shot.pull[f"attraction.{layer}"], shot.pull[f"drift.{layer}"]
            pull, total = shot.pull[f"teacher_pull.{layer}"], shot.pull[f"total.{layer}"]
            winners, alive = _winners(end, layer), _array(end.alive(layer))
            for place, seed in enumerate(reel.seeds):
                for node in np.flatnonzero(alive[place]).tolist():
                    best = int(winners[place, node])
                    others = np.arange(drift.shape[1]) != best
                    row: dict[str, Any] = {
                        "seed": seed, "epoch": shot.epoch, "step": shot.step, "layer": layer,
                        "teacher_node": node, "winner": best,
                        "share": float(pull[place, best, node]) / max(total[place, best], 1e-30),
                        "top_pull": int(pull[place, best].argmax()) == node,
                    }  # fmt: skip
                    for name, values in (("drift", drift), ("attraction", attraction)):
                        row[name] = float(values[place, best, node])
                        rest = values[place, others, node]
                        row[f"{name}_others"] = float(np.median(rest)) if len(rest) else math.nan
                    rows.append(row)
    return pl.DataFrame(rows)


def layer_results(reel: Reel) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What `trine dynamics run --json` calls `layers`: pooled, and for every seed.

    Pooled correlations are means over seeds of the means over nodes, with their standard error;
    pooled ranks and their test take all nodes of all seeds together.

    Returns:
      The pooled layers, and one `{"seed", "train_loss", "evaluation_loss", "layers"}` a seed.
    """
    start, end = reel.first.matching, reel.last.matching
    seeds = Seeds(reel.config.first_seed).child("permutations")
    places = range(len(reel.seeds))
    summaries = [end.summaries(place) for place in places]
    layers: list[dict[str, Any]] = []
    for layer in range(end.depth):
        ours = [summaries[place][layer] for place in places]
        row = _pooled(layer, [s.mean for s in ours], [s.mean_alive for s in ours])
        row |= {
            "minimum": _least([s.minimum for s in ours]),
            "maximum": -_least([-s.maximum for s in ours]),
            "dead_teacher_nodes": sum(s.dead for s in ours),
            "teacher_nodes": sum(s.nodes for s in ours),
            "matched_above_95": int((end.matched(layer) & end.alive(layer)).sum()),
            **_luck(start, end, layer, list(places), seeds.child("pooled", layer)),
        }
        layers.append(row)
    each: list[dict[str, Any]] = []
    for place, seed in enumerate(reel.seeds):
        own = [
            {
                "layer": layer,
                "mean_best_correlation": one.mean,
                "mean_best_correlation_alive": one.mean_alive,
                "minimum": one.minimum,
                "maximum": one.maximum,
                "dead_teacher_nodes": one.dead,
                "teacher_nodes": one.nodes,
                "matched_above_95": int((end.matched(layer) & end.alive(layer))[place].sum()),
                **_luck(start, end, layer, [place], seeds.child(seed, layer)),
            }
            for layer, one in enumerate(summaries[place])
        ]
        each.append(
            {
                "seed": seed,
                "train_loss": float(reel.last.train_loss[place]),
                "evaluation_loss": float(reel.last.evaluation_loss[place]),
                "layers": own,
            }
        )
    return layers, each


def _pooled(layer: int, means: Sequence[float], alive: Sequence[float]) -> dict[str, Any]:
    living = [value for value in alive if not math.isnan(value)] or [math.nan]
    return {
        "layer": layer,
        "mean_best_correlation": summarise(means).mean,
        "mean_best_correlation_se": summarise(means).standard_error,
        "mean_best_correlation_alive": summarise(living).mean,
        "mean_best_correlation_alive_se": summarise(living).standard_error,
    }


def _least(values: Sequence[float]) -> float:
    finite = [value for value in values if not math.isnan(value)]
    return min(finite) if finite else math.nan


def _luck(
    start: Matching, end: Matching, layer: int, places: list[int], seeds: Seeds
) -> dict[str, Any]:
    alive = _array(end.alive(layer))[places]
    students = end.correlation[layer].shape[2]
    if not alive.any():
        return {
            "initial_rank_mean": math.nan,
            "initial_rank_chance": (students - 1) / 2,
            "initial_rank_p": math.nan,
        }
    found = luck(
        _array(start.correlation[layer])[places],
        _array(end.correlation[layer])[places],
        seeds.generator("luck"),
        alive=alive,
    )
    return {
        "initial_rank_mean": found.rank_mean,
        "initial_rank_chance": found.rank_chance,
        "initial_rank_p": found.p_value,
    }
