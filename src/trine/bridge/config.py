"""The recipe of a bidding network: what `trine bridge train` is told.

A training has up to three stages: imitation of recorded auctions, self-play, and a match of the
result against its start. Every table of the recipe is one of the classes below. This module imports
no torch, so that a recipe can be checked before anything heavy is read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from trine.core.config import Config, load_config
from trine.core.errors import DataError, UsageError

__all__ = [
    "BudgetConfig",
    "CriticConfig",
    "DealsConfig",
    "EvaluationConfig",
    "ImitationConfig",
    "NetworkConfig",
    "PoolConfig",
    "PpoConfig",
    "Recipe",
    "RewardConfig",
    "SearchConfig",
    "load_recipe",
    "resolve_deals",
    "resolve_path",
]


class NetworkConfig(Config):
    """Policy (and plain value) network.

    Attributes:
      codec: name of the observation codec, see `trine.bridge.observation`.
      layers: hidden layers.
      width: numbers in each hidden layer.
      residual: whether each hidden layer after the first adds its input to its output.
    """

    codec: str = "lockhart480"
    layers: int = Field(default=4, ge=1, le=32)
    width: int = Field(default=512, ge=8, le=8192)
    residual: bool = False


class CriticConfig(Config):
    """The critic of self-play; only the policy is needed at the table.

    Attributes:
      privileged: whether it sees all four hands, the double-dummy table, and the reward of every
        contract on the deal (spec 6.8); if not, it is the value head of the policy network.
      layers: hidden layers of the privileged critic.
      width: of its hidden layers.
      start: a `state.safetensors` of an earlier training whose critic is taken over; empty: drawn
        anew (then give it some updates alone, `ppo.critic_warmup`).
    """

    privileged: bool = True
    layers: int = Field(default=3, ge=1, le=32)
    width: int = Field(default=384, ge=8, le=8192)
    start: str = ""


class ImitationConfig(Config):
    """Warm start on recorded auctions. Suits are never permuted here: they rank in bidding.

    Attributes:
      auctions: files of auctions (JSON lines with `deal`, `dealer`, `vul`, `calls`, gzip too, or an
        `npz` of packed auctions). Environment variables are expanded: `$TRINE_DATA/bridge/...`.
      updates: optimiser steps; 0: no imitation.
      minibatch: decisions in a step.
      rate: Adam's step at its highest; rises over the first 2 % of the updates, then falls along a
        half cosine to a hundredth of it.
      weight_decay: of AdamW.
      smoothing: share of the target spread over the legal calls, so that no call becomes
        impossible for self-play.
      held_out: share of the deals that are kept for measuring agreement; the evaluation part of the
        split (`trine.bridge.symmetry`), a tenth of all, is left out besides.
      evaluate_every: updates between two measurements.
    """

    auctions: tuple[str, ...] = ()
    updates: int = Field(default=0, ge=0)
    minibatch: int = Field(default=1024, ge=1)
    rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    smoothing: float = Field(default=0.0, ge=0, lt=1)
    held_out: float = Field(default=0.05, gt=0, lt=0.9)
    evaluate_every: int = Field(default=1000, ge=1)


class DealsConfig(Config):
    """Solved deals of self-play.

    Attributes:
      files: what `trine bridge deals` writes, `npz` of packed deals and tables, or the name of a
        sample (`sample:random-10k`). Environment variables are expanded. Deals of the evaluation
        part (see `trine.bridge.symmetry`) are never trained on; they are what is measured on.
      permute_suits: whether the suits of every training deal (and the rows of its table) are
        permuted at random: 24 true deals from each.
    """

    files: tuple[str, ...] = ()
    permute_suits: bool = True


class RewardConfig(Config):
    """What a table is worth to its sides.

    Attributes:
      kind: `duplicate`: IMPs against the other tables of the deal, where the seats are exchanged;
        `own_score`: the table's own score; `minus_par`: IMPs against the par of the deal.
      tables: tables a deal is played at, half of them with the seats exchanged. With more than two,
        the duplicate reward is the mean of the IMPs against every table of the other half.
      scale: IMPs (or score points for `own_score`) that count as 1.
    """

    kind: Literal["duplicate", "own_score", "minus_par"] = "duplicate"
    tables: int = Field(default=2, ge=2, le=64)
    scale: float | None = Field(default=None, gt=0)

    @property
    def unit(self) -> float:
        """IMPs, or score points for `own_score` (spec 6.7), that count as a reward of 1."""
        if self.scale is not None:
            return self.scale
        return 7600.0 if self.kind == "own_score" else 24.0

    @model_validator(mode="after")
    def _even(self) -> Self:
        if self.tables % 2:
            raise ValueError(
                f"reward.tables = {self.tables}: half of them have the seats exchanged, so it must "
                "be even"
            )
        return self


class PpoConfig(Config):
    """Proximal policy optimisation (Schulman et al. 2017).

    Attributes:
      boards: deals in the batch of one update; each is played at `reward.tables` tables, from the
        first call to the last.
      minibatch: decisions in an optimiser step.
      epochs: passes over the batch.
      settled: decisions where the most probable call has at least this probability are passed over
        as if they were forced, because they have next to no gradient; 1: none. Needs the privileged
        critic. Entropy, divergence and `kl_target` are then means over the decisions that are left.
      rate: Adam's step of the policy at the start.
      rate_end: and at the end of the budget; in between along a half cosine.
      critic_rate: Adam's step of the privileged critic at the start.
      critic_rate_end: and at the end of the budget; None: it stays as it is.
      critic_warmup: updates in which only the privileged critic learns.
      clip: of the probability ratio.
      value_clip: of the change of a value within an update; 0: none.
      gae_lambda: of generalised advantage estimation.
      critic_lambda: the same for what the values learn; None: `gae_lambda`. Near 1 the values stay
        true to what happens while the advantages trust them.
      discount: of later rewards.
      entropy: weight of the entropy at the start.
      entropy_end: and at the end of the budget.
      value_weight: of the value loss where policy and value share a network.
      gradient_norm: longer gradients are cut to this.
      kl_target: an update ends early once the policy is so far (nats a decision, mean) from the one
        that played; 0: never.
      kl_start: weight of the divergence from the policy at the start of self-play (after
        imitation); 0: none.
      normalise_advantages: whether the advantages of a minibatch have mean 0 and deviation 1.
      temperature: of the play in training.
    """

    boards: int = Field(default=4096, ge=1)
    minibatch: int = Field(default=4096, ge=1)
    epochs: int = Field(default=2, ge=1)
    settled: float = Field(default=1.0, gt=0, le=1)
    rate: float = Field(default=1e-4, gt=0)
    rate_end: float = Field(default=1e-5, ge=0)
    critic_rate: float = Field(default=5e-4, gt=0)
    critic_rate_end: float | None = Field(default=None, ge=0)
    critic_warmup: int = Field(default=0, ge=0)
    clip: float = Field(default=0.2, gt=0, lt=1)
    value_clip: float = Field(default=0.0, ge=0)
    gae_lambda: float = Field(default=0.9, ge=0, le=1)
    critic_lambda: float | None = Field(default=None, ge=0, le=1)
    discount: float = Field(default=1.0, gt=0, le=1)
    entropy: float = Field(default=0.003, ge=0)
    entropy_end: float = Field(default=0.001, ge=0)
    value_weight: float = Field(default=0.5, ge=0)
    gradient_norm: float = Field(default=0.5, gt=0)
    kl_target: float = Field(default=0.03, ge=0)
    kl_start: float = Field(default=0.0, ge=0)
    normalise_advantages: bool = True
    temperature: float = Field(default=1.0, gt=0)


class PoolConfig(Config):
    """Past selves as opponents (fictitious self-play).

    Attributes:
      share: of the deals that are played against a past self; the others against the current one.
      every: updates between two copies into the pool.
      size: copies that are kept: the first and the last, and in between the most evenly spread.
      choice: `uniform`, or `hard`: a copy that the current policy beats by less is drawn more.
    """

    share: float = Field(default=0.5, ge=0, le=1)
    every: int = Field(default=25, ge=1)
    size: int = Field(default=32, ge=1)
    choice: Literal["uniform", "hard"] = "uniform"


class SearchConfig(Config):
    """Joint policy search inside self-play, see `trine.bridge.search`.

    Attributes:
      strategy: `none`, `jps2020` or `density`.
      share: of the deals that are searched (`jps2020`), or of the decisions whose joint changes are
        valued (`density`).
      min_probability: calls that are more probable are candidates.
      rollouts: of each candidate.
      partner_branch: whether a rollout branches over the partner's candidates (a joint change);
        without it, only one player changes.
      best_on_best: whether a candidate is worth its best branch instead of the mean (`jps2020`).
      weight: of the loss (`density`).
      exploration: share of every candidate in the changed policy, so that rare calls have a reach
        (`density`).
    """

    strategy: str = "none"
    share: float = Field(default=0.05, ge=0, le=1)
    min_probability: float = Field(default=0.05, gt=0, lt=1)
    rollouts: int = Field(default=5, ge=1)
    partner_branch: bool = True
    best_on_best: bool = False
    weight: float = Field(default=1.0, ge=0)
    exploration: float = Field(default=0.1, ge=0, le=1)


class BudgetConfig(Config):
    """When self-play ends: at the first of these that is reached; 0: no bound of this kind.

    Attributes:
      updates: batches.
      decisions: calls made in self-play, those in rollouts of a search not counted.
      cpu_seconds: processor time of self-play and its updates, rollouts included. Two runs that
        stop by this are equal in compute, not in updates.
      seconds: the same by the clock: what a rented GPU is paid by.
    """

    updates: int = Field(default=0, ge=0)
    decisions: int = Field(default=0, ge=0)
    cpu_seconds: float = Field(default=0.0, ge=0)
    seconds: float = Field(default=0.0, ge=0)

    @property
    def is_set(self) -> bool:
        """Whether there is self-play at all."""
        return bool(self.updates or self.decisions or self.cpu_seconds or self.seconds)


class EvaluationConfig(Config):
    """Matches against the start of self-play, on deals that are never trained on.

    Attributes:
      boards: of a match along the way.
      every: updates between two; 0: none along the way.
      final_boards: of the match at the end.
    """

    boards: int = Field(default=1000, ge=1)
    every: int = Field(default=50, ge=0)
    final_boards: int = Field(default=10_000, ge=1)


class Recipe(Config):
    """The whole training.

    Attributes:
      title: a few words for the name of the run.
      seed: of everything random.
      start: weights to start from; empty: drawn anew.
      network, critic, imitation, deals, reward, ppo, pool, search, budget, evaluation: the tables.
      averaging: decay a update of the running mean of the weights that is written as the result;
        0: the last weights are the result.
      checkpoint_every: updates between two checkpoints.
      device: `auto`: a GPU if there is one.
      precision: `bf16` runs the matrix products in bfloat16.
      compile: whether torch compiles the passes of an update (worth it on a GPU).
      threads: of torch on the CPU; 0: as the environment says.
    """

    title: str = ""
    seed: int = Field(default=1, ge=0)
    start: str = ""
    network: NetworkConfig = NetworkConfig()
    critic: CriticConfig = CriticConfig()
    imitation: ImitationConfig = ImitationConfig()
    deals: DealsConfig = DealsConfig()
    reward: RewardConfig = RewardConfig()
    ppo: PpoConfig = PpoConfig()
    pool: PoolConfig = PoolConfig()
    search: SearchConfig = SearchConfig()
    budget: BudgetConfig = BudgetConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    averaging: float = Field(default=0.0, ge=0, lt=1)
    checkpoint_every: int = Field(default=20, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "bf16"] = "float32"
    compile: bool = False
    threads: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.imitation.updates and not self.imitation.auctions:
            raise ValueError(
                "imitation.updates without imitation.auctions: name the files of auctions, "
                'e.g. auctions = ["$TRINE_DATA/bridge/epbot_sayc_random_auctions.npz"]'
            )
        if self.budget.is_set and not self.deals.files:
            raise ValueError(
                "a budget of self-play without deals.files: name solved deals, e.g. from "
                "`trine bridge deals generate`"
            )
        if self.ppo.critic_warmup and not self.critic.privileged:
            raise ValueError(
                "ppo.critic_warmup without a privileged critic: policy and value head are one "
                "network, nothing would learn; set it to 0, or critic.privileged = true"
            )
        if self.ppo.settled < 1 and not self.critic.privileged:
            raise ValueError(
                f"ppo.settled = {self.ppo.settled:g} without a privileged critic: the value head "
                "would miss the calls that are left out; set it to 1, or critic.privileged = true"
            )
        if not self.imitation.updates and not self.budget.is_set:
            raise ValueError(
                "nothing to do: set imitation.updates, or one of budget.updates, budget.decisions, "
                "budget.cpu_seconds, budget.seconds"
            )
        return self


def load_recipe(path: Path, settings: tuple[str, ...] | list[str] = ()) -> Recipe:
    """A recipe file with `--set` values over it.

    Raises:
      ConfigError: one line naming the wrong key or value.
      DataError: no such file, or not TOML.
    """
    return load_config(Recipe, path, settings)


def resolve_deals(text: str, base: Path) -> Path | str:
    """As `resolve_path`, but the name of a sample stays what it is."""
    return text if text.startswith("sample:") else resolve_path(text, base)


def resolve_path(text: str, base: Path) -> Path:
    """A path of a recipe: variables expanded, relative ones from the recipe's directory.

    Raises:
      UsageError: a variable that is not set.
      DataError: no such file.
    """
    expanded = os.path.expandvars(text)
    if "$" in expanded:
        raise UsageError(
            f"{text}: a variable in it is not set", hint="set it, e.g. export TRINE_DATA=/my/data"
        )
    path = base / Path(expanded).expanduser()
    if not path.is_file():
        hint = f"correct {text!r} in the recipe"
        if path.suffix == ".deals":
            hint += ", or make them: trine bridge deals generate"
        raise DataError(f"no file {os.path.normpath(path)}", hint=hint)
    return path
