"""The papers' figures and tables, one a module; `base` says what an experiment is."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["EXPERIMENTS", "Entry"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the register: where the experiment is, and its title in the report."""

    place: str
    title: str


_HERE = "trine.dynamics.experiments"

EXPERIMENTS: Mapping[str, Entry] = MappingProxyType(
    {
        "F1": Entry(f"{_HERE}.deep_correlation:experiment", "Correlation per layer over epochs"),
        "F2": Entry(f"{_HERE}.initial_rank:experiment", "Initial rank of the winners"),
        "F3": Entry(f"{_HERE}.cifar_teacher:experiment", "Correlation with a CIFAR-10 teacher"),
        "F4": Entry(f"{_HERE}.fade_out:experiment", "Lucky and unlucky fan-out weights"),
        "F5": Entry(f"{_HERE}.alignment:experiment", "H* and L* become diagonal"),
        "F6": Entry(f"{_HERE}.loss_curves:experiment", "Loss and over-parameterisation"),
        "F7": Entry(f"{_HERE}.lottery_ticket:experiment", "Lottery tickets are lucky nodes"),
        "F8": Entry(f"{_HERE}.l_shape:experiment", "L-shape, two layers"),
        "F9": Entry(f"{_HERE}.success_rate:experiment", "Success rate by teacher node"),
        "F10": Entry(f"{_HERE}.evaluation_loss:experiment", "Evaluation loss, two layers"),
        "F11": Entry(f"{_HERE}.deep_l_shape:experiment", "L-shape, deep"),
        "F12": Entry(f"{_HERE}.theory_overlay:experiment", "Averaged and exact dynamics and SGD"),
        "T1": Entry(f"{_HERE}.ablations:experiment", "Ablations of the deep run"),
        "T2": Entry(f"{_HERE}.bn_signs:experiment", "Signs of BatchNorm biases"),
    }
)
