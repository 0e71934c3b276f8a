"""One seed to many named random generators.

Randomness is an argument everywhere: a command takes one seed, and each place that draws numbers
asks for a generator by name (`"deal"`, `"init"`). Adding a new name never changes the numbers of
the others, and asking for the same name twice gives the same numbers twice.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from trine.core.errors import UsageError

__all__ = ["Seeds"]


@dataclass(frozen=True, slots=True)
class Seeds:
    """A seed and the path of names below it.

    The spawn key of a name is its SHA-256 digest as eight 32-bit words, hence independent of the
    process, the platform and the order of calls (Python's own `hash` is none of these).

    Args:
      seed: any integer from 0 upward.
      path: names of the parents, outermost first.
    """

    seed: int
    path: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"seed {self.seed}", accepted="an integer from 0 upward")

    def child(self, *names: str | int) -> "Seeds":
        """Seeds one or more levels down, e.g. one a restart: `seeds.child("restart", 3)`."""
        return Seeds(self.seed, (*self.path, *(str(name) for name in names)))

    def sequence(self, *names: str | int) -> np.random.SeedSequence:
        """The numpy seed sequence of a name."""
        words: list[int] = []
        for name in (*self.path, *(str(name) for name in names)):
            digest = hashlib.sha256(name.encode()).digest()
            words.extend(int(word) for word in np.frombuffer(digest, dtype="<u4"))
        return np.random.SeedSequence(entropy=self.seed, spawn_key=tuple(words))

    def generator(self, *names: str | int) -> np.random.Generator:
        """A fresh generator (PCG64) of a name."""
        return np.random.Generator(np.random.PCG64(self.sequence(*names)))

    def integer(self, *names: str | int) -> int:
        """A 63-bit integer of a name, for libraries that take a seed and no generator."""
        return int(self.sequence(*names).generate_state(1, np.uint64)[0] >> np.uint64(1))
