"""The loop of self-play: play a batch, learn from it, measure, keep.

In reading order: what a run works with (`Setting`), the loop, and the small things it asks. What is
played is in `trine.bridge.self_play`, what is learnt in `trine.bridge.ppo`.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from trine.bridge.checkpoint_match import distance_from_par, duplicate_match
from trine.bridge.config import Recipe, resolve_path
from trine.bridge.critic_view import EXTRA_INPUTS
from trine.bridge.network import PolicyNetwork, PrivilegedCritic, copy_of, save_network
from trine.bridge.observation import Observation, make_observation
from trine.bridge.players import Actor
from trine.bridge.pool import Pool
from trine.bridge.ppo import Learner, ppo_update
from trine.bridge.rewards import imps_of
from trine.bridge.search import make_strategy
from trine.bridge.self_play import Batch, Deals, play_batch
from trine.bridge.train_report import write_train_report
from trine.bridge.training_deals import DealSource
from trine.bridge.training_state import load_module, load_state, save_state
from trine.core.artifacts import write_text
from trine.core.config import to_plain
from trine.core.errors import UsageError
from trine.core.progress import Progress
from trine.core.runs import Run

__all__ = ["Setting", "adam", "device_of", "train_by_self_play"]


@dataclass(frozen=True)
class Setting:
    """What every stage of a training works with.

    Attributes:
      recipe: what is done.
      base: directory that relative paths of the recipe start from.
      run: where results are kept.
      progress: told how far it is.
      say: one line of talk.
    """

    recipe: Recipe
    base: Path
    run: Run
    progress: Progress
    say: Callable[[str], None]

    @cached_property
    def device(self) -> torch.device:
        """As the recipe wants it."""
        return device_of(self.recipe.device)

    @cached_property
    def codec(self) -> Observation:
        """Of the network."""
        return make_observation(self.recipe.network.codec)

    @property
    def bf16(self) -> bool:
        """Whether matrix products run in bfloat16."""
        return self.recipe.precision == "bf16"

    def held_out(self, deals: DealSource, boards: int) -> Deals:
        """The same boards whenever it is asked; suits permuted only if there are too few deals."""
        generator = torch.Generator(self.device).manual_seed(self.run.seeds.integer("match"))
        return deals.draw(boards, generator, permute=boards > len(deals))

    def greedy(self, network: PolicyNetwork) -> Actor:
        """Its most probable calls."""
        return Actor(network, self.codec, 0.0, self.bf16)

    def forget_after(self, stage: str, update: int) -> None:
        """Removes rows of the record that the newest state does not know."""
        path = self.run.metrics_path
        if not path.is_file():
            return
        lines = [line for line in path.read_text().splitlines() if line.endswith("}")]
        rows = [(json.loads(line), line) for line in lines]
        kept = [line for row, line in rows if row["stage"] != stage or row["update"] <= update]
        write_text(path, "".join(f"{line}\n" for line in kept))


def train_by_self_play(
    setting: Setting, network: PolicyNetwork, deals: DealSource, held: DealSource
) -> dict[str, Any]:
    """The loop; at its end `network` holds the result, which is written too.

    Args:
      setting: of the run.
      network: to start from, changed in place.
      deals: to train on.
      held: to measure on.

    Returns:
      counters: `updates`, `decisions`, `rollouts`, `cpu_seconds`, `seconds`.

    Raises:
      DataError: a checkpoint, or a critic to start from, that does not fit.
    """
    recipe, run, device = setting.recipe, setting.run, setting.device
    ppo, seeds = recipe.ppo, setting.run.seeds
    critic = None
    if recipe.critic.privileged:
        critic = PrivilegedCritic(
            setting.codec.size + EXTRA_INPUTS, recipe.critic.layers, recipe.critic.width
        ).reset(torch.Generator().manual_seed(seeds.integer("critic")))
        if recipe.critic.start:
            load_module(resolve_path(recipe.critic.start, setting.base), "critic", critic)
        critic.to(device)
    start = copy_of(network)
    averaged = copy_of(network)
    learner = Learner(
        policy=network,
        critic=critic,
        policy_optimiser=adam(network, ppo.rate),
        critic_optimiser=adam(critic, ppo.critic_rate) if critic is not None else None,
        anchor=start if ppo.kl_start else None,
        bf16=setting.bf16,
        compiled=recipe.compile,
    )
    modules: dict[str, torch.nn.Module] = {"policy": network, "averaged": averaged}
    optimisers = {"policy": learner.policy_optimiser}
    if critic is not None and learner.critic_optimiser is not None:
        modules["critic"] = critic
        optimisers["critic"] = learner.critic_optimiser
    pool = Pool(run.checkpoints, recipe.pool)
    counters: dict[str, Any] = dict.fromkeys(("updates", "decisions", "rollouts"), 0)
    counters |= {"cpu_seconds": 0.0, "seconds": 0.0}
    state = run.checkpoints / "state.safetensors"
    if state.is_file():
        counters |= load_state(state, modules, optimisers)
        pool.members = counters.pop("pool")
        pool.results = {int(k): v for k, v in counters.pop("pool_results").items()}
        setting.say(f"going on after update {counters['updates']}")
    setting.forget_after("self_play", counters["updates"])
    strategy = make_strategy(recipe.search)
    actor = Actor(network, setting.codec, ppo.temperature, setting.bf16)
    total = recipe.budget.updates or None
    with setting.progress.task("self-play", total) as task, run.metrics() as out:
        task.advance(counters["updates"])
        while (share := _share_done(recipe, counters)) < 1:
            update = counters["updates"] + 1
            began, began_cpu = time.perf_counter(), time.process_time()
            if (update - 1) % recipe.pool.every == 0 and recipe.pool.share:
                pool.add(update - 1, network)
            chance = seeds.generator("pool", update)
            past = pool.draw(chance, device) if recipe.pool.share else None
            opponent = (
                Actor(past[1], setting.codec, ppo.temperature, setting.bf16) if past else None
            )
            generator = torch.Generator(device).manual_seed(seeds.integer("play", update))
            actor.decisions = 0
            network.eval()
            batch = play_batch(
                deals.draw(ppo.boards, generator, permute=recipe.deals.permute_suits),
                actor,
                opponent,
                recipe.pool.share,
                recipe.reward,
                strategy,
                generator,
            )
            played = time.perf_counter()
            network.train()
            found = ppo_update(
                learner,
                batch,
                strategy,
                ppo,
                rate=_half_cosine(ppo.rate, ppo.rate_end, share),
                critic_rate=_half_cosine(
                    ppo.critic_rate,
                    ppo.critic_rate if ppo.critic_rate_end is None else ppo.critic_rate_end,
                    share,
                ),
                entropy=_half_cosine(ppo.entropy, ppo.entropy_end, share),
                search_weight=recipe.search.weight,
                warmup=update <= ppo.critic_warmup,
                generator=torch.Generator(device).manual_seed(seeds.integer("order", update)),
            )
            _average(averaged, network, recipe.averaging)
            seconds = time.perf_counter() - began
            made = len(batch.call)
            asked = actor.decisions + (opponent.decisions if opponent else 0)
            counters["updates"] = update
            counters["decisions"] += made
            counters["rollouts"] += asked - made
            counters["cpu_seconds"] += time.process_time() - began_cpu
            counters["seconds"] += seconds
            against = _against_past(batch, recipe.reward.tables)
            if past and against is not None:
                pool.tell(past[0], against)
            row = {
                "stage": "self_play",
                "update": update,
                "decisions": counters["decisions"],
                "cpu_seconds": round(counters["cpu_seconds"], 3),
                "seconds": round(counters["seconds"], 3),
                "rollout_share": (asked - made) / asked,
                "decisions_per_second": made / seconds,
                "play_share": (played - began) / seconds,
                "calls": float(batch.lengths.float().mean()),
                "against_past": against,
                "past": past[0] if past else None,
                **found,
            }
            every = recipe.evaluation.every
            if every and update % every == 0:
                result = setting.greedy(_result(recipe, network, averaged))
                boards = setting.held_out(held, recipe.evaluation.boards)
                match = duplicate_match(result, setting.greedy(start), boards)
                row["against_start"] = match["imps_per_board"]
                row["from_par"] = distance_from_par(result, boards)
            out.write(**row)
            task.advance(note=_note(row))
            if update % recipe.checkpoint_every == 0 or _share_done(recipe, counters) >= 1:
                save_state(
                    state,
                    modules,
                    optimisers,
                    {**counters, "pool": pool.members, "pool_results": pool.results},
                )
                pool.clean()
                write_train_report(run, recipe, None)
    best = _result(recipe, network, averaged)
    about = {"recipe": to_plain(recipe), **counters}
    save_network(run.directory / "network.safetensors", best, about)
    network.load_state_dict(best.state_dict())
    network.eval()
    return counters


def adam(module: torch.nn.Module, rate: float) -> torch.optim.Adam:
    """The optimiser of a training, on the device of the module."""
    parameters = list(module.parameters())
    # One kernel a step where launches are what a step costs.
    fused = parameters[0].is_cuda
    return torch.optim.Adam(parameters, lr=rate, eps=1e-5, fused=fused)


def device_of(name: str) -> torch.device:
    """The device of a name of the recipe.

    Raises:
      UsageError: a GPU is wanted, and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("device = 'cuda', and torch sees no GPU", accepted="auto, cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _result(recipe: Recipe, network: PolicyNetwork, averaged: PolicyNetwork) -> PolicyNetwork:
    return averaged if recipe.averaging else network


def _share_done(recipe: Recipe, counters: dict[str, Any]) -> float:
    """Share of the budget that is used up, by the bound that is nearest."""
    bounds = {
        "updates": recipe.budget.updates,
        "decisions": recipe.budget.decisions,
        "cpu_seconds": recipe.budget.cpu_seconds,
        "seconds": recipe.budget.seconds,
    }
    return max(counters[name] / bound for name, bound in bounds.items() if bound)


def _half_cosine(first: float, last: float, share: float) -> float:
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


@torch.no_grad()
def _average(averaged: PolicyNetwork, network: PolicyNetwork, decay: float) -> None:
    """Moves the running mean of the weights; with decay 0 it is a copy."""
    for mean, weight in zip(averaged.parameters(), network.parameters(), strict=True):
        mean.lerp_(weight, 1 - decay)


def _against_past(batch: Batch, tables: int) -> float | None:
    """IMPs a board of the learner against the past self of this batch; None without one."""
    points = batch.points.view(tables, -1)
    rows = batch.against_past.view(tables, -1)[0]
    if not bool(rows.any()):
        return None
    half = tables // 2
    return float(imps_of(points[:half, rows] - points[half:, rows]).mean())


def _note(row: dict[str, Any]) -> str:
    parts = [
        f"{row['decisions_per_second']:,.0f} decisions/s",
        f"entropy {row.get('entropy', 0):.2f}",
    ]
    if row["against_past"] is not None:
        parts.append(f"{row['against_past']:+.2f} IMPs against past")
    if row.get("against_start") is not None:
        parts.append(f"{row['against_start']:+.2f} against start")
    return ", ".join(parts)
