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
from trine.bridge.recorded_auctions import join, read_auctions
from trine.bridge.search import make_strategy
from trine.bridge.train_report import write_train_report
from trine.bridge.training_deals import load_deals
from trine.bridge.training_loop import Setting, device_of, train_by_self_play
from trine.bridge.training_state import load_state
from trine.core.artifacts import read_json, write_json
from trine.core.config import to_plain
from trine.core.errors import ConfigError
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
                _Training(Setting(recipe, base, run, progress or SilentProgress(), say)).document(),
            )
    return TrainResult(
        run, run.directory / "network.safetensors", read_json(run.directory / RESULT)
    )


class _Training:
    """The stages of one run."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        if setting.recipe.threads:
            torch.set_num_threads(setting.recipe.threads)
        if setting.device.type == "cuda":
            torch.set_float32_matmul_precision("high")

    def document(self) -> dict[str, Any]:
        """Runs all stages and says what came of them."""
        recipe, run = self.setting.recipe, self.setting.run
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
                [resolve_deals(text, self.setting.base) for text in recipe.deals.files],
                self.setting.device,
            )
            found["self_play"] = train_by_self_play(self.setting, network, train_deals, held_deals)
            boards = self.setting.held_out(held_deals, recipe.evaluation.final_boards)
            opponent = self.setting.greedy(copy_of(self._loaded(start)))
            found["match"] = duplicate_match(self.setting.greedy(network), opponent, boards)
            found["from_par"] = distance_from_par(self.setting.greedy(network), boards)
        write_train_report(run, recipe, found)
        return found

    def _started(self) -> PolicyNetwork:
        recipe = self.setting.recipe
        if recipe.start:
            return self._loaded(resolve_path(recipe.start, self.setting.base))
        generator = torch.Generator().manual_seed(self.setting.run.seeds.integer("init"))
        network = PolicyNetwork(recipe.network, self.setting.codec.size).reset(generator)
        return network.to(self.setting.device)

    def _loaded(self, path: Path) -> PolicyNetwork:
        network = load_network(path, self.setting.device)
        if network.config != self.setting.recipe.network:
            raise ConfigError(
                f"{path} is a network of {to_plain(network.config)}",
                accepted=f"the recipe's: {to_plain(self.setting.recipe.network)}",
                hint="set the recipe's [network] to the file's",
            )
        return network

    def _imitation(self, network: PolicyNetwork) -> dict[str, Any]:
        """Learns recorded auctions, or reads what an earlier attempt learned."""
        summary = self.setting.run.directory / "imitation.json"
        state = self.setting.run.checkpoints / "imitation-state.safetensors"
        if summary.is_file():
            load_state(state, {"policy": network}, {})
            return read_json(summary)
        config = self.setting.recipe.imitation
        paths = [resolve_path(text, self.setting.base) for text in config.auctions]
        parts = [read_auctions(path) for path in paths]
        source = torch.cat(
            [torch.full((len(part),), i, dtype=torch.uint8) for i, part in enumerate(parts)]
        )
        learn, held = split_decisions(
            join(parts), source, self.setting.codec, config.held_out, self.setting.device
        )
        self.setting.say(
            f"imitation of {sum(map(len, parts)):,} auctions: {len(learn):,} decisions to learn "
            f"from, {len(held):,} held out, {learn.dropped + held.dropped} auctions left out"
        )
        self.setting.forget_after("imitation", _updates_of(state))
        found = imitate(
            network,
            learn,
            held,
            [path.name for path in paths],
            config,
            state=state,
            seeds=self.setting.run.seeds,
            metrics=self.setting.run.metrics,
            bf16=self.setting.bf16,
            progress=self.setting.progress,
        )
        write_json(summary, found)
        self.setting.say(f"agreement on held-out deals: {100 * found['agreement']:.1f} %")
        return found


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
        "device": str(device_of(recipe.device)),
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


def _updates_of(state: Path) -> int:
    from trine.core.artifacts import read_metadata

    return json.loads(read_metadata(state)["counters"])["updates"] if state.is_file() else 0
