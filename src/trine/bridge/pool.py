"""Past selves: copies of the policy as opponents (fictitious self-play).

Kita et al. 2024 draw one past self for each update; so do we. A copy is a file of its own in the
run directory, so the pool survives a kill. When the pool is full, the copy that leaves is the one
whose neighbours in time are nearest to each other: the oldest and the newest always stay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from trine.bridge.config import PoolConfig
from trine.bridge.network import PolicyNetwork, load_network, save_network

__all__ = ["Pool"]

_MEMORY = 0.9
"""Share of the old mean that a new result against a copy leaves."""

_SHARPNESS = 1.0
"""IMPs a board by which one copy must be harder than another to be e times as likely (`hard`)."""


@dataclass
class Pool:
    """Copies by the update after which they were made.

    Attributes:
      directory: where the files are.
      config: the recipe's.
      members: updates, ascending.
      results: running mean IMPs a board of the learner against each, by update.
    """

    directory: Path
    config: PoolConfig
    members: list[int] = field(default_factory=list)
    results: dict[int, float] = field(default_factory=dict)

    def path(self, member: int) -> Path:
        """The file of a copy."""
        return self.directory / f"past-{member:07d}.safetensors"

    def add(self, update: int, network: PolicyNetwork) -> None:
        """Keeps a copy as of this update."""
        if update in self.members:
            return
        save_network(self.path(update), network, {"update": update})
        self.members.append(update)
        if len(self.members) > self.config.size:
            self.members.remove(self._most_crowded())

    def clean(self) -> None:
        """Removes files of copies that left; call it once a checkpoint no longer names them."""
        kept = {self.path(member) for member in self.members}
        for path in self.directory.glob("past-*.safetensors"):
            if path not in kept:
                path.unlink()

    def draw(
        self, generator: np.random.Generator, device: torch.device
    ) -> tuple[int, PolicyNetwork] | None:
        """One copy, ready to play; None if the pool is empty."""
        if not self.members:
            return None
        member = int(generator.choice(self.members, p=self.probabilities()))
        return member, load_network(self.path(member), device).requires_grad_(False)

    def probabilities(self) -> np.ndarray:
        """With which each copy is drawn, `[members]`."""
        if self.config.choice == "uniform":
            return np.full(len(self.members), 1 / len(self.members))
        # Not met yet counts as even.
        means = np.array([self.results.get(member, 0.0) for member in self.members])
        weights = np.exp(-(means - means.min()) / _SHARPNESS)
        return weights / weights.sum()

    def tell(self, member: int, imps: float) -> None:
        """A result of the learner against a copy, IMPs a board."""
        old = self.results.get(member)
        self.results[member] = imps if old is None else _MEMORY * old + (1 - _MEMORY) * imps

    def _most_crowded(self) -> int:
        inner = range(1, len(self.members) - 1)
        if not inner:
            return self.members[0]
        return self.members[
            min(inner, key=lambda place: self.members[place + 1] - self.members[place - 1])
        ]
