"""`trine bridge train`: imitation, self-play, a match against the start; resumable after a kill.

A run leaves, beside what every run leaves (`trine.core.runs`):

    network.safetensors       the result, playable as a bot
    result.json               what `--json` prints
    checkpoints/
      start.safetensors       the policy at the start of self-play
      imitation-state.safetensors, state.safetensors      the newest states
      past-0000025.safetensors, ...                       the pool of past selves

Every random number of an update comes from the seed and the number of the update, so a training
that was killed goes on from its newest state to the result it would have had (on the same device,
unless the budget is processor time).
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trine.bridge.checkpoint_match import distance_from_par, duplicate_match
from trine.bridge.config import Recipe, resolve_deals, resolve_path
from trine.bridge.critic_view import EXTRA_INPUTS
from trine.bridge.imitation import imitate, split_decisions
from trine.bridge.network import (
    PolicyNetwork,
    PrivilegedCritic,
    copy_of,
    load_network,
    save_network,
)
from trine.bridge.observation import make_observation
from trine.bridge.players import Actor
from trine.bridge.pool import Pool
from trine.bridge.ppo import Learner, ppo_update
from trine.bridge.recorded_auctions import join, read_auctions
from trine.bridge.rewards import imps_of
from trine.bridge.search import make_strategy
from trine.bridge.self_play import Batch, Deals, play_batch
from trine.bridge.training_deals import DealSource, load_deals
from trine.bridge.training_state import load_module, load_state, save_state
from trine.core.artifacts import read_json, write_json, write_text
from trine.core.config import to_plain
from trine.core.errors import ConfigError, UsageError
from trine.core.progress import Progress, SilentProgress
from trine.core.runs import Run, open_run

__all__ = ["TrainResult", "plan", "train"]

_LOG = logging.getLogger(__name__)
RESULT = "result.json"


@dataclass(frozen=True)
class TrainResult:
    """A finished training.

    Attributes:
      run: its directory.
      network: file of the weights.
      document: what `--json` prints.
    """

    run: Run
    network: Path
    document: dict[str, Any]


def train(
    recipe: Recipe,
    base: Path,
    *,
    root: Path | None = None,
    directory: Path | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = _LOG.info,
) -> TrainResult:
    """Trains, goes on with, or recognises the run of a recipe.

    Args:
      recipe: what is done.
      base: directory that relative paths of the recipe start from.
      root: where runs live.
      directory: this very run directory.
      progress: where to tell how far it is.
      say: one line of talk.

    Raises:
      ConfigError, DataError, UsageError: in a recipe, a file of deals, auctions or weights.
    """
    run = open_run(
        recipe,
        system="bridge",
        verb="train",
        name=recipe.title,
        seed=recipe.seed,
        root=root,
        directory=directory,
    )
    if run.is_finished:
        say(f"already trained: {run.directory}")
    else:
        with run:
            write_json(
                run.directory / RESULT,
                _Training(recipe, base, run, progress or SilentProgress(), say).document(),
            )
    return TrainResult(
        run, run.directory / "network.safetensors", read_json(run.directory / RESULT)
    )


class _Training:
    """The stages of one run."""

    def __init__(
        self,
        recipe: Recipe,
        base: Path,
        run: Run,
        progress: Progress,
        say: Callable[[str], None],
    ) -> None:
        self.recipe, self.base, self.run = recipe, base, run
        self.progress, self.say = progress, say
        self.device = _device(recipe.device)
        self.bf16 = recipe.precision == "bf16"
        self.codec = make_observation(recipe.network.codec)
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("high")

    def document(self) -> dict[str, Any]:
        """Runs all stages and says what came of them."""
        recipe, run = self.recipe, self.run
        found: dict[str, Any] = {
            "run_dir": str(run.directory),
            "network": str(run.directory / "network.safetensors"),
        }
        network = self._started()
        if recipe.imitation.updates:
            found["imitation"] = self._imitation(network)
        start = run.checkpoints / "start.safetensors"
        if not start.is_file():
            save_network(start, network, {"recipe": to_plain(recipe)})
        if not recipe.budget.is_set:
            save_network(Path(found["network"]), network, {"recipe": to_plain(recipe)})
        else:
            train_deals, held_deals = load_deals(
                [resolve_deals(text, self.base) for text in recipe.deals.files], self.device
            )
            found["self_play"] = self._self_play(network, train_deals, held_deals)
            boards = self._held_out(held_deals, recipe.evaluation.final_boards)
            opponent = self._greedy(copy_of(self._loaded(start)))
            found["match"] = duplicate_match(self._greedy(network), opponent, boards)
            found["from_par"] = distance_from_par(self._greedy(network), boards)
        from trine.bridge.train_report import write_train_report

        write_train_report(run, recipe, found)
        return found

    def _started(self) -> PolicyNetwork:
        recipe = self.recipe
        if recipe.start:
            return self._loaded(resolve_path(recipe.start, self.base))
        generator = torch.Generator().manual_seed(self.run.seeds.integer("init"))
        network = PolicyNetwork(recipe.network, self.codec.size).reset(generator)
        return network.to(self.device)

    def _loaded(self, path: Path) -> PolicyNetwork:
        network = load_network(path, self.device)
        if network.config != self.recipe.network:
            raise ConfigError(
                f"{path} is a network of {to_plain(network.config)}",
                accepted=f"the recipe's: {to_plain(self.recipe.network)}",
                hint="set the recipe's [network] to the file's",
            )
        return network

    def _imitation(self, network: PolicyNetwork) -> dict[str, Any]:
        """Learns recorded auctions, or reads what an earlier attempt learned."""
        summary = self.run.directory / "imitation.json"
        state = self.run.checkpoints / "imitation-state.safetensors"
        if summary.is_file():
            load_state(state, {"policy": network}, {})
            return read_json(summary)
        config = self.recipe.imitation
        paths = [resolve_path(text, self.base) for text in config.auctions]
        parts = [read_auctions(path) for path in paths]
        source = torch.cat(
            [torch.full((len(part),), i, dtype=torch.uint8) for i, part in enumerate(parts)]
        )
        learn, held = split_decisions(join(parts), source, self.codec, config.held_out, self.device)
        self.say(
            f"imitation of {sum(map(len, parts)):,} auctions: {len(learn):,} decisions to learn "
            f"from, {len(held):,} held out, {learn.dropped + held.dropped} auctions left out"
        )
        self._forget_after("imitation", _updates_of(state))
        found = imitate(
            network,
            learn,
            held,
            [path.name for path in paths],
            config,
            state=state,
            seeds=self.run.seeds,
            metrics=self.run.metrics,
            bf16=self.bf16,
            progress=self.progress,
        )
        write_json(summary, found)
        self.say(f"agreement on held-out deals: {100 * found['agreement']:.1f} %")
        return found

    def _self_play(
        self, network: PolicyNetwork, deals: DealSource, held: DealSource
    ) -> dict[str, Any]:
        """The loop; at its end `network` holds the result."""
        recipe, run, device = self.recipe, self.run, self.device
        ppo, seeds = recipe.ppo, self.run.seeds
        critic = None
        if recipe.critic.privileged:
            critic = PrivilegedCritic(
                self.codec.size + EXTRA_INPUTS, recipe.critic.layers, recipe.critic.width
            ).reset(torch.Generator().manual_seed(seeds.integer("critic")))
            if recipe.critic.start:
                load_module(resolve_path(recipe.critic.start, self.base), "critic", critic)
            critic.to(device)
        start = copy_of(network)
        averaged = copy_of(network)
        learner = Learner(
            policy=network,
            critic=critic,
            policy_optimiser=torch.optim.Adam(network.parameters(), lr=ppo.rate, eps=1e-5),
            critic_optimiser=(
                torch.optim.Adam(critic.parameters(), lr=ppo.critic_rate, eps=1e-5)
                if critic is not None
                else None
            ),
            anchor=start if ppo.kl_start else None,
            bf16=self.bf16,
        )
        modules: dict[str, torch.nn.Module] = {"policy": network, "averaged": averaged}
        optimisers = {"policy": learner.policy_optimiser}
        if critic is not None and learner.critic_optimiser is not None:
            modules["critic"] = critic
            optimisers["critic"] = learner.critic_optimiser
        pool = Pool(run.checkpoints, recipe.pool)
        counters: dict[str, Any] = {"updates": 0, "decisions": 0, "rollouts": 0, "cpu_seconds": 0.0}
        state = run.checkpoints / "state.safetensors"
        if state.is_file():
            counters = load_state(state, modules, optimisers)
            pool.members = counters.pop("pool")
            pool.results = {int(k): v for k, v in counters.pop("pool_results").items()}
            self.say(f"going on after update {counters['updates']}")
        self._forget_after("self_play", counters["updates"])
        if recipe.compile:
            network.features = torch.compile(network.features, dynamic=True)
            if critic is not None:
                critic.compile(dynamic=True)
        strategy = make_strategy(recipe.search)
        actor = Actor(network, self.codec, ppo.temperature, self.bf16)
        total = recipe.budget.updates or None
        with self.progress.task("self-play", total) as task, run.metrics() as out:
            task.advance(counters["updates"])
            while (share := _share_done(recipe, counters)) < 1:
                update = counters["updates"] + 1
                began, began_cpu = time.perf_counter(), time.process_time()
                if (update - 1) % recipe.pool.every == 0 and recipe.pool.share:
                    pool.add(update - 1, network)
                chance = seeds.generator("pool", update)
                past = pool.draw(chance, device) if recipe.pool.share else None
                opponent = Actor(past[1], self.codec, ppo.temperature, self.bf16) if past else None
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
                    entropy=_half_cosine(ppo.entropy, ppo.entropy_end, share),
                    search_weight=recipe.search.weight,
                    warmup=update <= ppo.critic_warmup,
                    generator=torch.Generator().manual_seed(seeds.integer("order", update)),
                )
                _average(averaged, network, recipe.averaging)
                seconds = time.perf_counter() - began
                made = len(batch.call)
                asked = actor.decisions + (opponent.decisions if opponent else 0)
                counters["updates"] = update
                counters["decisions"] += made
                counters["rollouts"] += asked - made
                counters["cpu_seconds"] += time.process_time() - began_cpu
                against = _against_past(batch, recipe.reward.tables)
                if past and against is not None:
                    pool.tell(past[0], against)
                row = {
                    "stage": "self_play",
                    "update": update,
                    "decisions": counters["decisions"],
                    "cpu_seconds": round(counters["cpu_seconds"], 3),
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
                    result = self._greedy(self._result(network, averaged))
                    boards = self._held_out(held, recipe.evaluation.boards)
                    match = duplicate_match(result, self._greedy(start), boards)
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
                    self._live_report()
        best = self._result(network, averaged)
        about = {"recipe": to_plain(recipe), **counters}
        save_network(run.directory / "network.safetensors", best, about)
        network.load_state_dict(best.state_dict())
        network.eval()
        return counters

    def _result(self, network: PolicyNetwork, averaged: PolicyNetwork) -> PolicyNetwork:
        return averaged if self.recipe.averaging else network

    def _held_out(self, deals: DealSource, boards: int) -> Deals:
        """The same boards whenever it is asked; suits permuted only if there are too few deals."""
        generator = torch.Generator(self.device).manual_seed(self.run.seeds.integer("match"))
        return deals.draw(boards, generator, permute=boards > len(deals))

    def _greedy(self, network: PolicyNetwork) -> Actor:
        return Actor(network, self.codec, 0.0, self.bf16)

    def _live_report(self) -> None:
        from trine.bridge.train_report import write_train_report

        write_train_report(self.run, self.recipe, None)

    def _forget_after(self, stage: str, update: int) -> None:
        """Removes rows of the record that the newest state does not know."""
        path = self.run.metrics_path
        if not path.is_file():
            return
        lines = [line for line in path.read_text().splitlines() if line.endswith("}")]
        rows = [(json.loads(line), line) for line in lines]
        kept = [line for row, line in rows if row["stage"] != stage or row["update"] <= update]
        write_text(path, "".join(f"{line}\n" for line in kept))


def plan(recipe: Recipe, base: Path) -> dict[str, Any]:
    """What `--dry-run` shows: sizes of networks, batch and data; every file is looked for.

    Raises:
      ConfigError, DataError, UsageError: as training would.
    """
    codec = make_observation(recipe.network.codec)
    make_strategy(recipe.search)
    network = PolicyNetwork(recipe.network, codec.size)
    critic = PrivilegedCritic(codec.size + EXTRA_INPUTS, recipe.critic.layers, recipe.critic.width)
    starts = filter(None, [recipe.start, recipe.critic.start])
    texts = [*recipe.imitation.auctions, *recipe.deals.files, *starts]
    return {
        "files": [str(resolve_deals(text, base)) for text in texts],
        "device": str(_device(recipe.device)),
        "inputs": codec.size,
        "policy_parameters": sum(p.numel() for p in network.parameters()),
        "critic_parameters": (
            sum(p.numel() for p in critic.parameters()) if recipe.critic.privileged else 0
        ),
        "tables_per_update": recipe.ppo.boards * recipe.reward.tables,
        "search": recipe.search.strategy,
        "imitation_updates": recipe.imitation.updates,
        "budget": {k: v for k, v in to_plain(recipe.budget).items() if v},
    }


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("device = 'cuda', and torch sees no GPU", accepted="auto, cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _share_done(recipe: Recipe, counters: dict[str, Any]) -> float:
    """Share of the budget that is used up, by the bound that is nearest."""
    bounds = {
        "updates": recipe.budget.updates,
        "decisions": recipe.budget.decisions,
        "cpu_seconds": recipe.budget.cpu_seconds,
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
    parts = [f"{row['decisions_per_second']:,.0f} decisions/s", f"entropy {row['entropy']:.2f}"]
    if row["against_past"] is not None:
        parts.append(f"{row['against_past']:+.2f} IMPs against past")
    if row.get("against_start") is not None:
        parts.append(f"{row['against_start']:+.2f} against start")
    return ", ".join(parts)


def _updates_of(state: Path) -> int:
    from trine.core.artifacts import read_metadata

    return json.loads(read_metadata(state)["counters"])["updates"] if state.is_file() else 0
