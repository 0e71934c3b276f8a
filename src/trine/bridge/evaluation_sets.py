"""Named sets of deals to measure on: whoever says the name means the same deals.

Their deals are drawn from the evaluation side of the split (`trine.bridge.symmetry`), so no
training that keeps to the split has seen one of them, in whatever guise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from trine.bridge.deals_file import Header
from trine.core.errors import UsageError

__all__ = ["EVALUATION_SETS", "EvaluationSet", "evaluation_set", "set_name"]

_PART = "evaluation"


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """A set of deals.

    Attributes:
      name: what it is called.
      seed: of its deals.
      count: how many there are.
      purpose: what it is for.
    """

    name: str
    seed: int
    count: int
    purpose: str

    @property
    def part(self) -> str:
        """What its deals are drawn from."""
        return _PART


_SETS = (
    EvaluationSet("evaluation-500", 52_000_001, 500, "a quick look while training"),
    EvaluationSet("evaluation-2k", 52_000_002, 2_000, "choosing between checkpoints"),
    EvaluationSet("evaluation-10k", 52_000_003, 10_000, "figures that are reported"),
)

EVALUATION_SETS: Mapping[str, EvaluationSet] = MappingProxyType({s.name: s for s in _SETS})
"""A set keeps its name, seed and size for ever; another one gets another name."""


def evaluation_set(name: str) -> EvaluationSet:
    """The set of a name.

    Raises:
      UsageError: there is none.
    """
    if name not in EVALUATION_SETS:
        raise UsageError.unknown("evaluation set", name, list(EVALUATION_SETS))
    return EVALUATION_SETS[name]


def set_name(header: Header) -> str | None:
    """The name of the set that a deals file is for, if it is for one."""
    for known in _SETS:
        if (header.seed, header.part, header.count) == (known.seed, known.part, known.count):
            return known.name
    return None
